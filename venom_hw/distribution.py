"""`python -m venom_hw.distribution`: how far the parallel and the recurrent execution of a model differ."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from venom_hw.detector import ResolvingPowerTable
    from venom_hw.evaluation.sample import Sample

LIMIT = 5.0  # per cent of a pulse's sigma (spec: venom.md)
PARALLEL, RECURRENT = "parallel", "recurrent"
EPILOG = """\
examples:
  python -m venom_hw.distribution --model ptsi --data data/ptsi
  python -m venom_hw.distribution --model runs/lab/model.safetensors --data lab/PtSi --out runs/lab/distribution
  VENOM_BACKEND=mlx python -m venom_hw.distribution --model inhf --data data/inhf

A model is trained in its parallel execution (a window at once) and runs in gateware in its recurrent one (a sample at a
time); they are the same function, computed in another order. Over all held-out pulses of a folder this compares the two
energy estimates, |e_par - e_rec|, with each pulse's own sigma, and the resolving powers of the lines, both calibrated
to energy on the same training pulses. The exit status is 1 if the worst pulse differs by 5 % of its sigma or more.
Written: distribution.json, distribution.png.
"""


@dataclass(frozen=True)
class Distribution:
    """Of each held-out pulse, in eV: difference (N,) e_par - e_rec, the network's sigma (N,), true energies (N,).
    table: resolving powers "parallel" and "recurrent"; length of the windows in samples.
    """

    difference: np.ndarray
    sigma: np.ndarray
    energies: np.ndarray
    table: ResolvingPowerTable
    length: int

    @property
    def per_cent(self) -> np.ndarray:
        """|e_par - e_rec| of each pulse in per cent of its sigma."""
        return 100 * abs(self.difference) / self.sigma

    @property
    def agrees(self) -> bool:
        return bool(self.per_cent.max() < LIMIT)

    def shifts(self) -> dict[str, float]:
        """R recurrent minus R parallel of each line."""
        change = self.table.value[RECURRENT] - self.table.value[PARALLEL]
        return {label: float(v) for label, v in zip(self.table.labels, change, strict=True)}

    def to_dict(self) -> dict:
        import numpy as np

        size = np.abs(self.difference)
        quantiles = {f"{q:g}%": float(np.percentile(1e3 * size, q)) for q in (50, 90, 99, 99.9, 100)}
        return {
            "pulses": len(size), "samples_a_window": self.length, "difference_meV": quantiles,
            "worst_per_cent_of_sigma": float(self.per_cent.max()), "limit_per_cent": LIMIT, "agrees": self.agrees,
            "mean_difference_meV": float(1e3 * self.difference.mean()), "R_shift": self.shifts(),
            "R": self.table.to_dict(),
            "lines": {
                label: {
                    "worst_meV": float(1e3 * size[rows].max()), "median_meV": float(1e3 * np.median(size[rows])),
                    "worst_per_cent_of_sigma": float(self.per_cent[rows].max()), "pulses": int(rows.sum()),
                }
                for label, rows in zip(
                    self.table.labels, (self.energies == e for e in self.table.energies), strict=True
                )
            },
        }  # fmt: skip


def measure_distribution(checkpoint, sample: Sample, *, n_boot: int = 100, progress=None) -> Distribution:
    """Both executions over the held-out pulses.

    checkpoint: anything with VenomCheckpoint's `predict`. The energy calibration is fitted once, to the parallel
    execution on training pulses, so that only the execution differs. progress(n) is called as n pulses are done.
    """
    import numpy as np

    from venom_hw.detector import resolving_power_table
    from venom_hw.detector.energy_calibration import EnergyCalibration

    pulses, shown, some, batch = sample.pulses, sample.judged, sample.calibration, 1000
    calibration = EnergyCalibration.fit(
        checkpoint.predict(pulses.counts[some], lengths=pulses.lengths[some])[0], pulses.energies[some]
    )
    parts = []
    for first in range(0, len(shown), batch):
        counts, lengths = shown.counts[first : first + batch], shown.lengths[first : first + batch]
        energy, logvar = checkpoint.predict(counts, lengths=lengths)
        parts.append((energy, checkpoint.predict(counts, recurrent=True, lengths=lengths)[0], logvar))
        if progress:
            progress(len(counts))
    parallel, recurrent, logvar = (np.concatenate(v) for v in zip(*parts, strict=True))
    table = resolving_power_table(
        {PARALLEL: calibration(parallel), RECURRENT: calibration(recurrent)},
        shown.energies, shown.wl_ids, shown.wl_labels, n_boot=n_boot,
    )  # fmt: skip
    return Distribution(
        parallel - recurrent, np.exp(0.5 * logvar), shown.energies, table, int(shown.counts.shape[1])
    )


def text(found: Distribution) -> str:
    """A table by line and the worst pulse."""
    facts, shifts = found.to_dict(), found.shifts()
    rows = [f"{'line':<10}{'median':>12}{'worst':>12}{'worst':>12}{'R parallel':>12}{'R shift':>10}",
            f"{'':<10}{'meV':>12}{'meV':>12}{'% of sigma':>12}"]  # fmt: skip
    for label, power in zip(found.table.labels, found.table.value[PARALLEL], strict=True):
        line = facts["lines"][label]
        rows.append(
            f"{label:<10}{line['median_meV']:>12.5f}{line['worst_meV']:>12.5f}{line['worst_per_cent_of_sigma']:>12.4f}"
            f"{power:>12.2f}{shifts[label]:>+10.4f}"
        )
    rows.append(
        f"{facts['pulses']} pulses of {found.length} samples: worst {facts['difference_meV']['100%']:.5f} meV, "
        f"{facts['worst_per_cent_of_sigma']:.4f} % of its sigma (limit {LIMIT:g} %): "
        + ("the executions agree" if found.agrees else "THE EXECUTIONS DIFFER")
    )
    return "\n".join(rows)


def plot(path: Path, found: Distribution, title: str) -> Path:
    """Cumulative distribution of the differences by line, in meV and in per cent of sigma, atomically."""
    import numpy as np

    from venom_hw.figures.style import colours, save_figure, styled_figure

    with styled_figure(7.0, 3.0) as figure:
        left, right = figure.subplots(1, 2, sharey=True)
        for colour, label, energy in zip(
            colours(len(found.table.labels)), found.table.labels, found.table.energies, strict=True
        ):
            rows = found.energies == energy
            for axes, values in ((left, 1e3 * np.abs(found.difference[rows])), (right, found.per_cent[rows])):
                tiny = values[values > 0].min() if (values > 0).any() else 1e-9
                beyond = 1 - np.arange(len(values)) / len(values)
                axes.plot(np.sort(np.maximum(values, tiny)), beyond, color=colour, label=label, drawstyle="steps-post")
        right.axvline(LIMIT, color="0.5", ls=":", label=f"limit {LIMIT:g} %")
        for axes, name in ((left, "|e_par - e_rec| [meV]"), (right, "of the pulse's sigma [%]")):
            axes.set(xscale="log", yscale="log", xlabel=name)
        left.set_ylabel("share of pulses beyond")
        right.legend(fontsize=6, loc="lower left")
        figure.suptitle(title, fontsize=9)
        return save_figure(figure, path)


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="python -m venom_hw.distribution", description=__doc__.split(": ", 1)[1], epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    p.add_argument("--model", required=True, help="float checkpoint: file, folder of a run, or ptsi, inhf")
    p.add_argument("--data", type=Path, required=True, help="folder of pulses, one npz a wavelength")
    p.add_argument("--out", type=Path, help="folder to write (default build/distribution/<model>)")
    p.add_argument("--pulses", type=int, help="at most so many held-out pulses of a line (default: all)")
    p.add_argument("--bootstrap", type=int, default=100, help="bootstrap resamples of R (default 100)")
    p.add_argument("--threads", type=int, help="CPU threads (default: all)")
    p.add_argument("--quiet", action="store_true", help="no progress bar")
    return p


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else list(argv)
    args = parser().parse_args(argv)
    import torch
    from tqdm import tqdm

    from venom_hw.atomic import write_atomically
    from venom_hw.backend import BackendError, choose_backend
    from venom_hw.evaluation.sample import load_sample
    from venom_hw.figures.models import INPUT_ERRORS, load_model
    from venom_hw.model import ModelError
    from venom_hw.model.inference import on_chosen_backend

    command = shlex.join(["python", "-m", "venom_hw.distribution", *argv])
    try:
        for name, least in (("pulses", 1), ("bootstrap", 2), ("threads", 1)):
            if (value := getattr(args, name)) is not None and value < least:
                raise ModelError(f"--{name} {value}: expected {least} or more")
        if args.threads:
            torch.set_num_threads(args.threads)
        backend = choose_backend()
        name, checkpoint = load_model(args.model)
        sample = load_sample(checkpoint, args.data, held_out_pulses=args.pulses)
        checkpoint = on_chosen_backend(checkpoint)
        with tqdm(total=len(sample.held_out), unit="pulse", desc="both executions", disable=args.quiet) as bar:
            found = measure_distribution(checkpoint, sample, n_boot=args.bootstrap, progress=bar.update)
    except (BackendError, *INPUT_ERRORS) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    out = args.out or Path("build") / "distribution" / name
    report = {"command": command, "model": name, "backend": backend, "data": args.data.name} | found.to_dict()
    write_atomically(out / "distribution.json", json.dumps(report, indent=1) + "\n")
    plot(out / "distribution.png", found, f"{name}: parallel against recurrent, {len(found.sigma)} pulses ({backend})")
    print(text(found))
    print(f"Written to {out}: distribution.json, distribution.png")
    return 0 if found.agrees else 1


if __name__ == "__main__":
    sys.exit(main())
