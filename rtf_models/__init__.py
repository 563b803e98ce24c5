"""RTF (Real-Time Fingerprints): a transformer that turns the light curves of alert streams into small latent vectors.

The public names of the original RTF, and those that one needs beside them, are importable from here; each is loaded
when it is first used, so that `import rtf_models` is quick:

    from rtf_models import embed_sources, load_checkpoint, open_split

    checkpoint = load_checkpoint("runs/ae_dim64")              # ours, or the original's best_model.pt: no flags
    fingerprints = embed_sources(checkpoint, open_split("data/bts", "test"))
    fingerprints.embeddings                                    # (N, 64) float32

On the command line: python -m rtf_models --help.
"""

from importlib import import_module as _import_module

_PUBLIC = {
    # the original's names (a compatibility contract)
    "LightCurveCompressor": "model", "Time2Vec": "model", "VectorQuantizer": "model", "ImageTower": "model",
    "AlertDataset": "data.compatible", "MetaNPZDataset": "data.compatible", "PhotoNPZDataset": "data.compatible",
    "collate_fn": "data.dataset",
    # ours
    "Checkpoint": "checkpoint", "load_checkpoint": "checkpoint", "save_checkpoint": "checkpoint",
    "Embeddings": "embedding", "embed_sources": "embedding",
    "Source": "data.source", "InputSpec": "data.inputs", "SourceDataset": "data.dataset", "open_split": "data.folder",
    "ClassScheme": "classes", "RtfError": "errors",
}  # fmt: skip

__all__ = [
    "AlertDataset", "Checkpoint", "ClassScheme", "Embeddings", "ImageTower", "InputSpec", "LightCurveCompressor",
    "MetaNPZDataset", "PhotoNPZDataset", "RtfError", "Source", "SourceDataset", "Time2Vec", "VectorQuantizer",
    "collate_fn", "embed_sources", "load_checkpoint", "open_split", "save_checkpoint",
]  # fmt: skip


def __getattr__(name: str):
    if name not in _PUBLIC:
        raise AttributeError(f"module 'rtf_models' has no attribute '{name}'")
    return getattr(_import_module(f"rtf_models.{_PUBLIC[name]}"), name)


def __dir__():
    return sorted({*globals(), *_PUBLIC})
