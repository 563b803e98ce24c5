# %% [markdown]
# # VENOM-HW in ten minutes
#
# From simulated photons to gateware that is proven bit for bit:
#
# 1. **simulate** pulses of a microwave kinetic inductance detector
# 2. **train** a VENOM network briefly
# 3. **evaluate** it against optimal filters and the Cramer-Rao bound
# 4. **quantise** it to integers
# 5. **generate** Vitis HLS C++ and SystemVerilog
# 6. **compare** everything with everything
#
# Run it as a script (`python -m venom_hw tutorial`), or cell by cell in an editor or notebook that knows `# %%`
# (`jupytext --to ipynb docs/tutorial.py` makes a notebook of it). What is finished is not done again. Everything
# goes to `build/tutorial/`. A few minutes of CPU time, of which simulating, training and the first evaluation are
# about one; two free cores are plenty, on busy ones it takes longer. Each step prints when it began.
#
# Each step is a command of its own, printed before it runs, so that you can try others of its options.

# %%
from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

from venom_hw.__main__ import main as venom

HELP = """\
examples:
  python -m venom_hw tutorial                    a few minutes of CPU time, into build/tutorial
  python -m venom_hw tutorial --out my/folder    again from the start, elsewhere
  python -m venom_hw tutorial --tiny             a minute or so: every step works, and no number means anything
"""


def options(argv: list[str]) -> argparse.Namespace:
    p = argparse.ArgumentParser(
        prog="python -m venom_hw.tutorial", description="The whole road, from pulses to gateware, explained.",
        epilog=HELP, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    p.add_argument("--out", type=Path, default=Path("build/tutorial"), help="folder to write (build/tutorial)")
    p.add_argument("--tiny", action="store_true", help="small numbers everywhere: to see that it runs")
    return p.parse_args(argv)


IN_NOTEBOOK = "ipykernel" in sys.modules
ARGUMENTS = options([] if IN_NOTEBOOK else sys.argv[1:])
OUT = ARGUMENTS.out / "tiny" if ARGUMENTS.tiny else ARGUMENTS.out
STARTED = time.perf_counter()


def command(*words) -> None:
    """Print and run one command of the project; stop the tutorial where it fails."""
    argv = [str(word) for word in words]
    print(f"\n[{time.perf_counter() - STARTED:4.0f} s] python -m venom_hw {' '.join(argv)}\n", flush=True)
    if status := venom(argv):
        raise SystemExit(status)


def chapter(title: str) -> None:
    print(f"\n{'=' * 100}\n{title}\n{'=' * 100}", flush=True)


def size(full: int, tiny: int) -> int:
    return tiny if ARGUMENTS.tiny else full


# %% [markdown]
# ## 1. Pulses
#
# A photon breaks Cooper pairs in a superconducting resonator; its resonance moves, and the readout tone's I and Q
# trace out part of a circle and come back. The preset `ptsi` is modelled on a platinum silicide detector: five
# laser lines from 808 to 1310 nm, sampled at 2 MHz. A data folder holds one `.npz` a line, the same for simulated
# and measured pulses. These pulses have seed 1; the training will simulate its own (seed 2), so they are new to the
# network.

# %%
chapter("1. Simulate")
PULSES = OUT / "pulses"
command("simulate", "--preset", "ptsi", "--pulses", size(2000, 200), "--seed", 1, "--out", PULSES)

# %% [markdown]
# Loading cuts a window about each pulse: the peak heights are clipped at 2 robust sigma, the traces low-pass
# filtered and decimated by 4, and L = 10 + 5 tau x rate = 126 samples are kept as 16-bit integers, which is what
# gateware will see.

# %%
from venom_hw.detector import load_pulse_set  # noqa: E402  (imports stand where the story needs them)

pulses = load_pulse_set(PULSES)
print(f"{len(pulses)} pulses of {pulses.counts.shape[1]} samples at {pulses.window.rate_hz / 1e3:g} kHz")
for k, label in enumerate(pulses.wl_labels):
    mine = pulses.wl_ids == k
    excursion = np.hypot(*(pulses.counts[mine].mean(axis=0) - pulses.counts[mine, :5].mean(axis=(0, 1))).T).max()
    energy = pulses.energies[mine][0]
    print(f"  {label:>7}  {energy:.4f} eV  {mine.sum():5d} pulses, mean excursion {excursion:6.0f} counts")

# %% [markdown]
# The excursion grows far less than the energy: the resonance has moved by more than its width, the phase saturates.
# A matched filter loses resolution there; the return to rest still tells the energy. That is where a network gains.

# %% [markdown]
# ## 2. Train
#
# 3,314 parameters: a selective state space layer that reads a sample at a time, and a small head that reads the
# energy out of an attention-weighted mean. The network learns from a near continuum of energies. From five lines
# alone it would learn to recognise the lines: splendid numbers there, and nonsense between them.
#
# This is a short training, of some 20,000 pulses for 8 epochs; the shipped `ptsi` saw six times the pulses in each of
# three times as many epochs (25).

# %%
chapter("2. Train")
RUN = OUT / "run"
if (RUN / "report.json").is_file():
    print(f"{RUN}: trained already")
elif (RUN / "state.json").is_file():
    command("train", "--resume", RUN, "--simulated", OUT / "training-pulses")
else:
    command(
        "train", "--preset", "ptsi", "--simulated", OUT / "training-pulses", "--epochs", size(8, 4), "--out", RUN,
        "--set", f"pulses={size(2000, 200)}", f"between={size(80, 20)}", f"between_pulses={size(250, 100)}",
        f"line_pulses={size(250, 100)}", *(["d_model=8", "d_head_hidden=8", "batch=32"] if ARGUMENTS.tiny else []),
    )  # fmt: skip
MODEL = RUN / "model.safetensors"

# %% [markdown]
# The checkpoint is one safetensors file that carries its own window and normalisation:

# %%
from venom_hw.model import load_checkpoint  # noqa: E402

checkpoint = load_checkpoint(MODEL)
energy, log_variance = checkpoint.predict(pulses.counts[:5])
stated = np.exp(0.5 * log_variance)
print(f"{checkpoint.model.parameter_count()} parameters; five photons:")
for true, found, sigma in zip(pulses.energies[:5], energy, stated, strict=True):
    print(f"  true {true:.4f} eV, estimate {found:.4f} +- {sigma:.4f} eV")

# %% [markdown]
# ## 3. Evaluate
#
# Resolving power R = E / FWHM, all estimators on the same pulses, all calibrated to energy on other pulses, with
# bootstrap intervals. The Cramer-Rao bound says what no unbiased estimator can exceed on this detector. Look at the
# energies *between* the lines too: a network that had learned lines would fail there.

# %%
chapter("3. Evaluate")
EVALUATION = OUT / "evaluation"
command(
    "evaluate", "--model", MODEL, "--data", PULSES, "--out", EVALUATION, "--bootstrap", size(100, 5),
    "--simulate-between", size(400, 40),
)  # fmt: skip
command(
    "figures", "--model", MODEL, "--data", PULSES, "--out", OUT / "figures", "--formats", "png",
    "--only", "spectrum", "attention", "features", "states", "--bootstrap", size(100, 5), "--filters", "shared",
)  # fmt: skip

# %% [markdown]
# `figures/attention.png` shows which samples the network weighs; `states.png`, how long its hidden states remember.
#
# In training the network sees a window at once; in gateware a sample at a time. The same function, in another
# order:

# %%
command("distribution", "--model", MODEL, "--data", PULSES, "--out", OUT / "distribution", "--bootstrap", size(20, 2))

# %% [markdown]
# ## 4. Quantise
#
# Every number becomes an integer with a binary point, weights of 8 bits; a short fine-tuning follows the float
# network. The results are two QONNX files: the step (once a sample) and the head (once a photon). Pulses at
# energies between the lines (`--extra`) keep the quantised network from drifting there.

# %%
chapter("4. Quantise")
BETWEEN, QUANTISED = OUT / "between", OUT / "quantised"
command(
    "simulate", "--preset", "ptsi", "--pulses", size(200, 40), "--seed", 3, "--out", BETWEEN,
    "--energies", "0.92,1.0,1.06,1.15,1.22,1.3,1.4,1.47,1.6",
)  # fmt: skip
command(
    "quantize", "--model", MODEL, "--data", PULSES, "--extra", BETWEEN, "--out", QUANTISED, "--name", "tutorial",
    "--set", f"training.steps={size(150, 5)}", "--windows", size(200, 20), "--bootstrap", size(100, 5),
)  # fmt: skip

# %% [markdown]
# ## 5. Generate
#
# The QONNX files become a typed fixed-point graph, and that becomes C++ for Vitis HLS and plain SystemVerilog.
# Nobody has to believe it: the generated C++ is compiled with g++ and run on pulses and on stress windows, and must
# give the same integers as the golden model, in every output and every state word after every sample.
#
# (`--no-bench` leaves out the simulations under Verilator, which take some minutes; `make hls MODEL=...` has them all.)

# %%
chapter("5. Generate")
BUILD = OUT / "build"
command(
    "hls", "--model", QUANTISED, "--data", PULSES, "--windows", size(100, 8), "--no-bench", "--out", BUILD,
    *(["--channels", 16] if ARGUMENTS.tiny else []),
)  # fmt: skip

# %% [markdown]
# Read what was written: `build/hls/` is C++ that one can follow, `build/rtl/stages.svg` shows the pipeline.

# %% [markdown]
# ## 6. Compare
#
# Down the ladder once more, in the unit that matters: the resolving power of the optimal filters, the float
# network, the quantised network, and the integers that the gateware computes.

# %%
chapter("6. Compare")
COMPARISON = OUT / "comparison"
command(
    "evaluate", "--model", MODEL, "--quantised", QUANTISED, "--data", PULSES, "--out", COMPARISON,
    "--bootstrap", size(100, 5), "--simulate-between", 0,
)  # fmt: skip
proof = json.loads((BUILD / "report.json").read_text())
integers = json.loads((COMPARISON / "report.json").read_text())["integers"]
print(f"""
{time.perf_counter() - STARTED:.0f} seconds. Written to {OUT}:
  {RUN.name + "/report.pdf":<26}the training, page by page
  {COMPARISON.name + "/report.png":<26}all estimators side by side
  figures/                  what the network looks at
  {QUANTISED.name + "/step.onnx":<26}the network as QONNX, once a sample; head.onnx once a photon
  {BUILD.name + "/hls, build/rtl":<26}the gateware; bit exact against the golden model: {proof["bit_exact"]}
quantised network and golden integers: {integers["differ"]} of {integers["windows"]} windows differ
Next: the same with measured pulses (--data), make hls MODEL={QUANTISED} with every bench,
or python -m venom_hw --help.""")
