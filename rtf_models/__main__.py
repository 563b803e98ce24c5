"""`python -m rtf_models COMMAND`: every tool of the RTF system behind one command line."""

from __future__ import annotations

import sys
from pathlib import Path

from venom_hw import __version__
from venom_hw.command_line import Command, CommandLine

GROUPS: dict[str, tuple[Command, ...]] = {
    "Data": (
        Command("preprocess", "preprocess", "alerts (Avro, Parquet, alerts.npy) or BTS curves into a data folder"),
        Command("generate", "synthetic.command", "synthetic light curves of eight models, as a survey would see them"),
        Command("generate-surveysim", "synthetic.surveysim", "synthetic light curves through the survey_sim package"),
    ),
    "Models": (
        Command("train", "train.command", "an AE, VAE or VQ-VAE, or a sweep over latent dimensions"),
        Command("convert-checkpoint", "convert_checkpoint", "the original's best_model.pt into one file of ours"),
        Command("quantize", "quantize.command", "the encoder into integers and QONNX"),
    ),
    "Models, judged": (
        Command("early", "evaluation.command.early", "accuracy against the number of detections"),
        Command("linear-probe", "evaluation.command.linear_probe", "logistic regression on the fingerprints of runs"),
        Command("mlp-probe", "evaluation.command.mlp_probe", "small networks on the fingerprints of runs"),
        Command("physical", "evaluation.command.physical", "reconstruction in magnitudes and days"),
        Command("anomaly", "evaluation.command.anomaly", "calibrated anomaly scores, and how well they find a class"),
        Command("search", "evaluation.command.search", "objects alike by cosine distance; precision at k"),
        Command("visualize", "evaluation.command.visualize", "maps of the latent space: UMAP, t-SNE, PCA"),
        Command("compare", "evaluation.command.compare", "AE, VAE and VQ-VAE side by side, in one table"),
    ),
    "Streams": (
        Command("encode", "stream.command", "a stream of alerts (Avro files, Kafka) into fingerprints, restartable"),
        Command("calibrate-stream", "stream.calibrate", "anomaly scores for encode, at every number of detections"),
    ),
    "To learn it all": (
        Command("example", "example.__main__", "the worked example on real BTS curves, from data to tables"),
    ),
}  # fmt: skip

HEADER = """\
usage: python -m rtf_models COMMAND [options]
       python -m rtf_models COMMAND --help

RTF: fingerprints of transient light curves, 64 numbers an object, from raw alerts to a searchable stream.
"""
FOOTER = """\
The usual road:
  python -m rtf_models preprocess --bts bts_lightcurves.npz --output-dir data/bts
  python -m rtf_models train --data-dir data/bts --output-dir runs --mode ae --latent-dims 64 --random-truncate
  python -m rtf_models early --checkpoint runs/ae_dim64_randtrunc --data-dir data/bts --output-dir analysis/early
  python -m rtf_models encode --help

Errors end with status 2 and say what was expected.
"""

COMMAND_LINE = CommandLine(
    "rtf_models", Path(__file__).resolve().parent, f"venom-hw {__version__} (rtf_models)", GROUPS, HEADER, FOOTER
)
main = COMMAND_LINE.main


if __name__ == "__main__":
    sys.exit(main())
