"""The C simulation of a small VENOM agrees with the reference, and cannot be fooled: each mutation turns it red."""

import dataclasses
import re
import shutil

import numpy as np
import pytest

from venom_hw.codegen.csim import build_csim, run_csim
from venom_hw.codegen.errors import CodegenError
from venom_hw.codegen.hls_project import load_project
from venom_hw.codegen.stimulus import ABANDONED, IGNORED, OVERLONG, RESULT
from venom_hw.codegen.vectors import write_vectors


def test_agrees_on_every_word(tiny, tiny_binary):
    runs = tiny.stimulus.runs(tiny.datapath.step.max_steps)
    assert all(runs.count(flag) > 0 for flag in (RESULT, ABANDONED, IGNORED, OVERLONG)), (
        "the stimulus is too tame"
    )
    energies = tiny.expected.energy[runs.closing >= 0]
    assert len(np.unique(energies)) > 10, "the network answers nearly always the same"
    result = run_csim(tiny.project, tiny.vectors, binary=tiny_binary)
    assert result.mismatches == 0, str(result)
    assert result.windows == runs.count(RESULT) and result.beats == len(tiny.stimulus)


@pytest.mark.parametrize("what", ["state", "energy", "log_variance"])
def test_names_the_first_wrong_word(tiny, tiny_binary, tmp_path, what):
    runs = tiny.stimulus.runs(tiny.datapath.step.max_steps)
    run = int(np.flatnonzero(runs.closing >= 0)[7])
    step = int(runs.length[run]) - 1
    expected = tiny.expected
    if what == "state":
        h = expected.states["h"].copy()
        h[run, step, 2, 1] ^= 1
        expected = dataclasses.replace(expected, states={**expected.states, "h": h})
        tensor, index, value = "h", [2, 1], int(h[run, step, 2, 1])
    else:
        words = getattr(expected, what).copy()
        words.reshape(-1)[run] ^= 4
        expected = dataclasses.replace(expected, **{what: words})
        tensor, index, value = what, [0], int(words.reshape(-1)[run])
    path = write_vectors(tmp_path / "v.bin", tiny.stimulus, expected, max_steps=tiny.datapath.step.max_steps)
    result = run_csim(tiny.project, path, binary=tiny_binary)
    assert result.mismatches == (1 if what == "state" else 2), (
        "an energy is seen by the engine and at the stream"
    )
    assert result.first == {
        "channel": int(runs.channel[run]),
        "sample": step,
        "tensor": tensor,
        "index": index,
        "expected": value,
        "found": value ^ (1 if what == "state" else 4),
    }


def swap(pattern, replacement):
    """A change of source text by a regular expression."""
    return lambda text: re.sub(pattern, replacement, text)


def increase(pattern, by):
    """Add to the number that follows a pattern."""
    return lambda text: re.sub(rf"({pattern})(-?\d+)", lambda m: m[1] + str(int(m[2]) + by), text)


MUTATIONS = {
    "one table entry": (
        "step_tables.h",
        increase(r"xa_table\[128\] =\s+\{\s+(?:-?\d+,\s+){64}", 1),
    ),  # that of code 0
    "one rounding of a fixed-point type": ("types.h", swap(r"AP_RND_CONV(, AP_SAT> dx_t)", r"AP_TRN\1")),
    "one rounding of raw integers": (
        "step.cpp",
        swap(r"(h_out\[i\]\[j\] =\s+saturate<[^()]*>\()round_half_even", r"\1round_floor"),
    ),
    "one shift": ("step_weights.h", increase(r"h_out_drop\[4\]\[2\] =\s+\{\s+\{", 1)),
    "a lost state write": ("venom.cpp", swap(r"conv_memory\[at\]\[i\]\[j\] = conv_out\[i\]\[j\];", "")),
    "no clearing at a start": ("venom.cpp", swap(r"h\[i\]\[j\] = h_t\(0\);", "")),
    "a window too long is accepted": (
        "venom.cpp",
        swap(r"steps == steps_t\(MAX_STEPS\)", "steps == steps_t(0)"),
    ),
    "the closing flag": ("venom.cpp", swap(r"ap_uint<1>\(accepted && !last\)", "ap_uint<1>(accepted)")),
    "the head's offset": ("head_weights.h", increase(r"mlp_out_bias_words\[2\] =\s+\{", 9)),
}

SLOW = (
    "one rounding of a fixed-point type",
    "one shift",
    "a window too long is accepted",
    "the closing flag",
)


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n in SLOW)) for n in MUTATIONS])
def test_mutation_is_found(tiny, tiny_binary, tmp_path, name):
    file, change = MUTATIONS[name]
    folder = tmp_path / "hls"
    shutil.copytree(tiny.project.folder, folder)
    project = load_project(folder)
    text = (folder / "src" / file).read_text()
    changed = change(text)
    assert changed != text, "the mutation did not take"
    (folder / "src" / file).write_text(changed)
    result = run_csim(project, tiny.vectors, binary=build_csim(project, flags=tiny.flags))
    assert result.mismatches > 0 and result.first is not None


def test_refuses_vectors_of_another_design(tiny, tiny_binary, tmp_path):
    other = dataclasses.replace(tiny.stimulus, channels=8)
    path = write_vectors(tmp_path / "v.bin", other, tiny.expected, max_steps=tiny.datapath.step.max_steps)
    with pytest.raises(CodegenError, match="other channels"):
        run_csim(tiny.project, path, binary=tiny_binary)
    path.write_bytes(tiny.vectors.read_bytes()[:-5])
    with pytest.raises(CodegenError, match="ends early"):
        run_csim(tiny.project, path, binary=tiny_binary)


@pytest.mark.skipif(shutil.which("clang++") is None, reason="clang++ is not installed")
def test_clang_agrees(tiny):
    binary = build_csim(tiny.project, compiler="clang++", flags=tiny.flags)
    assert run_csim(tiny.project, tiny.vectors, binary=binary).mismatches == 0


def test_warnings_are_errors(tiny, tiny_binary, tmp_path):
    folder = tmp_path / "hls"
    shutil.copytree(tiny.project.folder, folder)
    head = folder / "src" / "head.cpp"
    head.write_text(head.read_text() + "static int never_used() { return 0; }\n")
    with pytest.raises(CodegenError, match="head.cpp: .*warned[^$]*never_used"):
        build_csim(load_project(folder), flags=tiny.flags)
