"""The project as a whole: rooms and arrows, pins, make targets, what must not be in the tree."""

import ast
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]

# The rooms and the arrows of the design: what each may import, of the project itself.
ARROWS = {
    "model": set(),
    "detector": set(),
    "datapath": set(),
    "train": {"model", "detector"},
    "quantize": {"model", "detector", "train", "interchange", "datapath"},
    "interchange": {"datapath"},
    "codegen": {"datapath", "boards"},
    "synthesis": {"datapath", "codegen", "boards"},
    "tradeoff": {"quantize", "flow", "interchange", "datapath"},
    "flow": {"model", "detector", "interchange", "datapath", "codegen", "boards"},
    "evaluation": {"model", "detector", "train", "quantize", "interchange", "datapath", "flow"},
    "figures": {"model", "detector", "train", "quantize", "interchange", "datapath", "flow", "evaluation"},
    "cluster": set(),
    "inert_pickle": set(),
    "train_array": {"model", "detector", "train", "cluster"},
    "sweep": {"model", "detector", "train", "cluster"},
}
# Small modules without imports of the project, open to every room.
NEUTRAL = {"atomic", "backend", "command_line", "compiled", "inert_pickle", "state_files", "tensor_check"}
# The same for rtf_models, folders and single files, from bottom to top: each may import what stands above it here.
RTF_ROOMS = [
    "errors", "classes", "model", "data", "features", "original_checkpoint", "checkpoint", "convert_checkpoint",
    "preprocess", "embedding", "train", "synthetic", "evaluation", "stream", "quantize", "example", "__main__",
]  # fmt: skip
# Rooms of venom_hw that rtf_models may import besides the neutral ones; only its quantize needs them.
RTF_NEEDS = {"quantize", "interchange", "datapath"}
# And what the lower rooms must not know at all.
FOREIGN = {
    "datapath": {"torch", "onnx", "qonnx", "brevitas", "jinja2", "scipy"},
    "detector": {"torch", "onnx", "qonnx", "brevitas", "jinja2"},
    "model": {"onnx", "qonnx", "brevitas", "jinja2"},
    "codegen": {"torch", "onnx", "qonnx", "brevitas"},
    "interchange": {"jinja2"},
    "synthesis": {"torch", "onnx", "qonnx", "brevitas"},
    "tradeoff": {"torch", "onnx", "qonnx", "brevitas", "jinja2"},
    "cluster": {"torch", "onnx", "qonnx", "brevitas", "jinja2"},
}


def imported_names(path: Path) -> set[str]:
    """Dotted names that a file imports, anywhere in it; relative imports made absolute."""
    package = list(path.relative_to(REPOSITORY).parent.parts)
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base = base + (node.module.split(".") if node.module else [])
            names |= {".".join([*base, alias.name]) for alias in node.names} | {".".join(base)}
    return names


def room_files(room: str) -> list[Path]:
    return sorted((REPOSITORY / "venom_hw" / room).rglob("*.py"))


def test_every_room_has_its_arrows():
    folders = {path.parent.name for path in (REPOSITORY / "venom_hw").glob("*/__init__.py")}
    with_code = {path.relative_to(REPOSITORY / "venom_hw").parts[0] for path in tracked("venom_hw/*/*.py")}
    assert set(ARROWS) == folders == with_code


@pytest.mark.parametrize("room", sorted(ARROWS))
def test_arrows_never_run_back_up(room):
    files = room_files(room)
    assert files, f"venom_hw/{room} has no Python file"
    allowed = ARROWS[room] | NEUTRAL | {room}
    wrong = [
        f"{path.relative_to(REPOSITORY)} imports {name}"
        for path in files
        for name in sorted(imported_names(path))
        if name.startswith("venom_hw.") and not name.startswith("venom_hw.__") and name.split(".")[1] not in allowed
    ]
    assert not wrong


def test_rtf_imports_run_down_its_list_and_venom_does_not_know_it():
    files = {path: path.relative_to(REPOSITORY / "rtf_models").parts[0].removesuffix(".py")
             for path in tracked("rtf_models/*.py", "rtf_models/**/*.py")}  # fmt: skip
    assert set(files.values()) - {"__init__"} == set(RTF_ROOMS)
    wrong = []
    for path, room in files.items():
        if room == "__init__":
            continue
        allowed = set(RTF_ROOMS[: RTF_ROOMS.index(room) + 1])
        for name in sorted(imported_names(path)):
            top, _, rest = name.partition(".")
            part = rest.split(".")[0]
            of_venom = NEUTRAL | (RTF_NEEDS if room == "quantize" else set())
            known = {"rtf_models": allowed, "venom_hw": of_venom | {"__version__"}}
            bad = part and top in known and part not in known[top]
            wrong += [f"{path.relative_to(REPOSITORY)} imports {name}"] if bad else []
    wrong += [str(path) for path in tracked("venom_hw/*.py", "venom_hw/**/*.py")
              if any(name.split(".")[0] == "rtf_models" for name in imported_names(path))]  # fmt: skip
    assert not wrong


@pytest.mark.parametrize("room", sorted(FOREIGN))
def test_rooms_do_not_know_what_is_not_theirs(room):
    wrong = [
        f"{path.relative_to(REPOSITORY)} imports {name}"
        for path in room_files(room)
        for name in sorted(imported_names(path))
        if name.split(".")[0] in FOREIGN[room]
    ]
    assert not wrong


def test_the_reader_of_arrows_sees_relative_and_nested_imports(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "REPOSITORY", tmp_path)
    folder = tmp_path / "venom_hw" / "datapath"
    folder.mkdir(parents=True)
    source = folder / "bad.py"
    source.write_text("def f():\n    from ..model import scan\n    import torch.nn\nfrom .fixed import A\n")
    assert {"venom_hw.model", "torch.nn", "venom_hw.datapath.fixed.A"} <= imported_names(source)


def tracked(*patterns: str) -> list[Path]:
    """Files of the repository (git's list, or the tree itself where there is no git)."""
    if shutil.which("git") and (REPOSITORY / ".git").exists():
        listed = subprocess.run(
            ["git", "-C", str(REPOSITORY), "ls-files", "-z", "--", *patterns], capture_output=True, text=True
        )
        if listed.returncode == 0:
            return [REPOSITORY / name for name in listed.stdout.split("\0") if name and (REPOSITORY / name).is_file()]
    skipped = {".venv", ".git", "build"}
    return [
        path
        for pattern in patterns
        for path in REPOSITORY.rglob(pattern)
        if path.is_file() and not skipped & set(path.relative_to(REPOSITORY).parts)
    ]


def pickles(source: str) -> list[str]:
    """What in a source text reads or writes pickle. torch.load is one unless it says weights_only=True."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            bad = {"pickle", "cloudpickle", "dill", "joblib", "shelve"}
            found += [module for module in modules if module.split(".")[0] in bad]
        elif isinstance(node, ast.Call):
            name, given = ast.unparse(node.func), {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            if name == "torch.save" or name == "torch.load" and given.get("weights_only") != "True":
                found.append(name)
            if given.get("allow_pickle") == "True":
                found.append(f"{name}(allow_pickle=True)")
    return found


def test_nothing_reads_or_writes_pickle():
    # tests write such files on purpose, to see them refused
    files = [path for path in tracked("*.py") if "tests" not in path.relative_to(REPOSITORY).parts]
    wrong = {str(path.relative_to(REPOSITORY)): pickles(path.read_text(encoding="utf-8")) for path in files}
    assert not {path: found for path, found in wrong.items() if found}


def test_the_reader_of_pickles_sees_them():
    source = """import pickle, json\nfrom joblib import load\ntorch.load(f)\ntorch.load(f, weights_only=True)
np.load(f, allow_pickle=True)\nnp.load(f)\ntorch.save(x, f)\ntorch.load(f, weights_only=False)"""
    expected = ["pickle", "joblib", "torch.load", "np.load(allow_pickle=True)", "torch.save", "torch.load"]
    assert pickles(source) == expected


def test_no_path_of_one_machine_is_in_the_tree():
    personal = re.compile(rb"(?<![\w.~-])/(home|root|work|Users)/\w+")
    wrong = [
        f"{path.relative_to(REPOSITORY)}: {match.group(0).decode()}"
        for path in tracked("*")
        if path != Path(__file__).resolve() and (match := personal.search(path.read_bytes()))
    ]
    assert not wrong


def test_no_file_is_large():
    def limit(path: Path) -> int:
        return 6_000_000 if path.is_relative_to(REPOSITORY / "rtf_models" / "pretrained") else 2_000_000

    assert not [str(path) for path in tracked("*") if path.stat().st_size > limit(path)]


def distribution(requirement: str) -> str:
    return re.split(r"[\s\[<>=!~;]", requirement, maxsplit=1)[0].lower().replace("_", "-")


def test_every_requirement_is_pinned_in_the_constraints():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9.]+", pin) for pin in pins), "a pin must be name==version"
    pinned = {distribution(pin): pin.split("==")[1] for pin in pins}
    extras = [requirement for extra in project["optional-dependencies"].values() for requirement in extra]
    for requirement in project["dependencies"] + extras:
        name = distribution(requirement)
        if name == distribution(project["name"]):
            continue  # an extra that is made of others
        assert name in pinned, f"{requirement} is not in constraints.txt"
        if "==" in requirement:
            assert requirement.endswith("==" + pinned[name])
    assert pinned["torch"] == "2.13.0"


TARGETS = ["hls", "sim", "synth", "test", "test-full", "golden", "bench", "train", "quantize", "lint", "clean"]


def make(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    clean = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    for name in ("BOARD", "MODEL", "DATA", "OUT", "WAVES", "RTL", "PRESET", "ARGS"):
        clean.pop(name, None)
    return subprocess.run(
        [shutil.which("make"), *arguments], cwd=REPOSITORY, env=clean | environment, capture_output=True, text=True
    )


def test_make_help_lists_every_target():
    printed = make("help")
    assert printed.returncode == 0, printed.stderr
    for target in TARGETS:
        assert re.search(rf"^  make {target} +\S", printed.stdout, re.MULTILINE), target
    assert "rfsoc4x2 zcu111" in printed.stdout


@pytest.mark.parametrize(
    "arguments, command",
    [
        (["hls"], "-m venom_hw.hls --board rfsoc4x2"),
        (["hls", "BOARD=zcu111", "MODEL=m.safetensors"], "-m venom_hw.hls --board zcu111 --model m.safetensors"),
        (["synth"], "-m venom_hw.synth --board rfsoc4x2"),
        (["synth", "MODEL=inhf", "OUT=o", "ARGS=--no-alkaid"],
         "-m venom_hw.synth --board rfsoc4x2 --model inhf --out o --no-alkaid"),
        (["sim", "WAVES=1"], "sim/run.py --board rfsoc4x2 --waves"),
        (["sim", "WAVES=0"], "sim/run.py --board rfsoc4x2"),
        (["sim", "RTL=1", "WAVES=1"], "sim/run.py --board rfsoc4x2 --rtl --waves"),
        (["train"], "-m venom_hw.train --preset ptsi"),
        (["train", "PRESET=inhf", "OUT=o"], "-m venom_hw.train --preset inhf --out o"),
        (["train", "DATA=d", "OUT=o"], "-m venom_hw.train --data d --out o"),
        (["train", "ARGS=--resume runs/ptsi"], "-m venom_hw.train --resume runs/ptsi"),
        (["quantize", "MODEL=m", "DATA=d", "OUT=o"], "-m venom_hw.quantize --model m --data d --out o"),
    ],
)
def test_variables_reach_the_command(arguments, command):
    printed = make("--dry-run", *arguments)
    assert printed.returncode == 0, printed.stderr
    commands = [" ".join(line.split()[1:]) for line in printed.stdout.splitlines()]
    assert command in commands


@pytest.mark.parametrize("script", [".ci/run", "tools/check_environment.sh", "tools/verilator/verilator"])
def test_scripts_are_executable(script):
    assert os.access(REPOSITORY / script, os.X_OK)
