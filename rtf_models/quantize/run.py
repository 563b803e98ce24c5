"""The whole quantisation of one encoder: calibrate, fine-tune, export, verify, judge, report."""

from __future__ import annotations

import hashlib
import itertools
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from rtf_models.checkpoint import Checkpoint
from rtf_models.data.dataset import SourceDataset
from rtf_models.data.source import Source
from rtf_models.embedding import Embeddings
from venom_hw.atomic import write_atomically
from venom_hw.interchange.execute import Executor
from venom_hw.interchange.export import count_quantisers
from venom_hw.quantize.recipe import Recipe
from venom_hw.quantize.report import write_json
from venom_hw.quantize.run import sha256, versions
from venom_hw.quantize.verify import VerifyError

from .calibrate import calibrate, calibration_curves
from .checkpoint import FILE_NAME, QuantisedCheckpoint, save_quantised
from .evaluate import FLOAT, PTQ, QAT, fidelity, float_embeddings, probe_scores, quantised_embeddings
from .files import write_qonnx
from .fold import encoder_shape, fold_weights
from .report import plot, text_table
from .sizes import sizes
from .training import data_hash, fine_tune
from .verify import verify_file

REPORT_FORMAT = "rtf/quantise-report/1"
STATE = ".qat-state.safetensors"


@dataclass
class Data:
    """Light curves: ``train`` to calibrate, fine-tune and fit the probe on, ``test`` to judge on."""

    train: Sequence[Source]
    test: Sequence[Source]
    folder: str = ""


@dataclass
class Run:
    """What all parts share.  ``bar(what)`` gives a function that wraps an iterable in a progress bar."""

    checkpoint: Checkpoint
    data: Data
    recipe: Recipe
    say: Callable[[str], None]
    bar: Callable[[str], Callable[[Any], Any]] | None
    progress: bool
    seconds: dict[str, float] = field(default_factory=dict)
    began: float = field(default_factory=time.perf_counter)

    def lap(self, what: str) -> None:
        """Add the time since the last lap."""
        now = time.perf_counter() - self.began - sum(self.seconds.values())
        self.seconds[what] = round(self.seconds.get(what, 0) + now, 1)


def quantise_model(
    checkpoint: Checkpoint,
    data: Data,
    out: Path,
    recipe: Recipe,
    *,
    name: str,
    command: str,
    counts: Sequence[int | None] = (10, None),
    fresh: bool = False,
    say: Callable[[str], None] = print,
    bar: Callable[..., Any] | None = None,
) -> dict[str, Any]:
    """Run everything; writes quantised.safetensors, encoder.onnx, report.json, report.txt and report.png into ``out``.

    ``counts``: the fingerprints of so many first detections are judged (None: of whole light curves).  Light curves
    longer than the encoder's sums are proven for are cut, for the float model's fingerprints too, and the quantised
    checkpoint's inputs then say so (``max_len``).  Returns the report.  Raises EncoderError for a model that cannot be
    quantised, VerifyError when the file differs from the network in any integer.
    """
    inputs = fingerprint(checkpoint, data, recipe, [name, list(counts)])
    if not fresh and (done := finished(out, inputs)):
        say(text_table(done))
        say(f"{out} already holds this result (same model, data, recipe and versions); --fresh makes it again")
        return done
    model = checkpoint.model
    shape = encoder_shape(model.config(), recipe.tensors["e"]["bits"])
    checkpoint, cut = within_length(checkpoint, data, shape.max_len)
    if cut:
        say(f"{cut} light curves are longer than the {shape.max_len} detections that this encoder takes: cut to those")
    run = Run(checkpoint, data, recipe, say, bar, progress=bar is not None)
    parameters = fold_weights(model.state_dict(), shape, model.mode)
    dataset = SourceDataset(data.train, checkpoint.inputs)
    curves = calibration_curves(dataset, int(recipe.calibration["sources"]))
    network, formats = calibrate(parameters, shape, curves, recipe, progress=bar and bar("calibrate"))
    say(f"calibrated {len(formats)} number formats on {len(curves)} light curves")
    run.lap("calibrate")

    quantised = QuantisedCheckpoint(
        name, model.mode, network, formats, recipe.to_dict(), checkpoint.inputs, checkpoint.scheme
    )
    reference = {n: _embed(run, float_embeddings, checkpoint, n) for n in counts}
    evaluation = {_case(n): {FLOAT: {"probe": _probe(run, reference[n])}} for n in counts}
    cosines = {PTQ: _judge(run, quantised, PTQ, reference, evaluation)}
    run.lap("evaluate")

    out.mkdir(parents=True, exist_ok=True)
    resume = out / STATE
    if fresh:
        resume.unlink(missing_ok=True)
    losses = _train(run, network, resume)
    run.lap("fine-tune")
    if losses:
        cosines[QAT] = _judge(run, quantised, QAT, reference, evaluation)
    run.lap("evaluate")

    quantised.training = {
        "command": command,
        "float_sha256": checkpoint.sha256,
        "versions": versions(),
        "seed": recipe.training["seed"],
        "steps": len(losses),
    }
    paths = [save_quantised(out / FILE_NAME, quantised)]
    paths.append(write_qonnx(network, formats, out / "encoder.onnx", model=name))
    run.lap("export")
    held_out = [checkpoint.inputs.prepare(source) for source in data.test]
    check = verify_file(network, formats, paths[1], held_out, progress=bar and bar("verify"))
    run.lap("verify")

    report = {
        "format": REPORT_FORMAT,
        "model": name,
        "mode": model.mode,
        "command": command,
        "versions": versions(),
        "inputs": inputs,
        "float_sha256": checkpoint.sha256,
        "data": {"folder": data.folder, "train": len(data.train), "test": len(data.test)},
        "recipe": recipe.to_dict(),
        "evaluation": evaluation,
        "quantisers": {"network": count_quantisers(network), "file": len(Executor(paths[1]).quants)},
        "verification": check.to_dict(),
        "sizes": sizes(network, formats),
        "final_loss": losses[-1] if losses else None,
        "seconds": run.seconds,
        "files": {p.name: {"bytes": p.stat().st_size, "sha256": sha256(p)} for p in paths},
    }
    if cut:
        report["data"]["cut"] = {"light_curves": cut, "max_len": shape.max_len}
    paths.append(write_json(out / "report.json", report))
    paths.append(write_atomically(out / "report.txt", (text_table(report) + "\n").encode()))
    paths.append(plot(out / "report.png", f"{name}, {len(data.test)} light curves", report, cosines, losses))
    say(text_table(report))
    for path in paths:
        say(f"wrote {path} ({path.stat().st_size / 1024:.0f} kB)")
    if check.mismatches or check.padding_mismatches:
        raise VerifyError(
            f"{check.mismatches} integers of the file differ from the network and {check.padding_mismatches} depend on "
            f"the padding; first: {check.first}"
        )
    resume.unlink(missing_ok=True)
    return report


def within_length(checkpoint: Checkpoint, data: Data, longest: int) -> tuple[Checkpoint, int]:
    """The checkpoint with inputs that cut at ``longest`` detections, if any light curve is longer (else as it was);
    how many are.
    """
    lengths = (checkpoint.inputs.length(source) for source in itertools.chain(data.train, data.test))
    cut = sum(length > longest for length in lengths)
    return (replace(checkpoint, inputs=replace(checkpoint.inputs, max_len=longest)) if cut else checkpoint), cut


def _case(count: int | None) -> str:
    return "whole light curves" if count is None else f"first {count} detections"


def _embed(run: Run, embed: Callable[..., Embeddings], model: Any, count: int | None) -> dict[str, Embeddings]:
    return {
        split: embed(model, getattr(run.data, split), count, progress=run.progress) for split in ("train", "test")
    }


def _probe(run: Run, embeddings: dict[str, Embeddings]) -> dict[str, Any] | None:
    return probe_scores(embeddings["train"], embeddings["test"], run.checkpoint.scheme)


def _judge(
    run: Run, quantised: QuantisedCheckpoint, stage: str, reference: dict, evaluation: dict[str, dict]
) -> np.ndarray:
    """Fill in one stage of the evaluation; the cosines of the last case's test fingerprints to the float ones."""
    for count, floats in reference.items():
        own = _embed(run, quantised_embeddings, quantised, count)
        z, target = (np.asarray(e["test"].embeddings, np.float64) for e in (own, floats))
        entry = {"probe": _probe(run, own), "fidelity": fidelity(z, target)}
        evaluation[_case(count)][stage] = entry
        run.say(
            f"{stage}, {_case(count)}: cosine to float {entry['fidelity']['cosine_mean']:.5f}, "
            f"relative error {100 * entry['fidelity']['relative_error']:.2f} %"
        )
    return (z * target).sum(1) / np.maximum(np.linalg.norm(z, axis=1) * np.linalg.norm(target, axis=1), 1e-12)


def _train(run: Run, network: Any, resume: Path) -> list[float]:
    settings = run.recipe.training
    steps = run.bar("fine-tune")(range(int(settings["steps"]))) if run.bar else None

    def progress(step: int, loss: float) -> None:
        if steps is not None:
            steps.update(step + 1 - steps.n)
            steps.set_postfix(loss=f"{loss:.4f}", refresh=False)

    losses = fine_tune(network, run.checkpoint, run.data.train, settings, resume=resume, progress=progress)
    if steps is not None:
        steps.close()
    return losses


def fingerprint(checkpoint: Checkpoint, data: Data, recipe: Recipe, options: Any) -> str:
    """Hash of what decides the result: float model, light curves, recipe, options, versions."""
    curves = [data_hash(split) for split in (data.train, data.test)]
    facts = [checkpoint.sha256, curves, recipe.to_dict(), options, versions()]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def finished(out: Path, inputs: str) -> dict[str, Any] | None:
    """The report in ``out`` if it is of these inputs, without a mismatch, and its files are untouched."""
    try:
        report = json.loads((out / "report.json").read_text())
        check = report["verification"]
        same = report["inputs"] == inputs and not check["mismatches"] and not check["padding_mismatches"]
        same &= all(sha256(out / name) == facts["sha256"] for name, facts in report["files"].items())
    except (OSError, ValueError, KeyError):
        return None
    return report if same and (out / "report.png").exists() else None
