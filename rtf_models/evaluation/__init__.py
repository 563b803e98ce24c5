"""Judging networks by their fingerprints and reconstructions; each name is loaded when it is first used."""

from importlib import import_module as _import_module

_PUBLIC = {
    "EvaluationError": "errors",
    "classification_metrics": "metrics",
    "linear_probe": "probe",
    "fit_probe": "probe",
    "early_classification": "early",
    "reconstruct": "reconstruction",
    "physical_metrics": "physical",
    "mlp_probe": "mlp",
    "AnomalyScorer": "anomaly",
    "SimilarityIndex": "similarity",
    "precision_at_k": "similarity",
    "project": "projection",
}

__all__ = [
    "AnomalyScorer",
    "EvaluationError",
    "SimilarityIndex",
    "classification_metrics",
    "early_classification",
    "fit_probe",
    "linear_probe",
    "mlp_probe",
    "physical_metrics",
    "precision_at_k",
    "project",
    "reconstruct",
]


def __getattr__(name: str):
    if name not in _PUBLIC:
        raise AttributeError(f"module 'rtf_models.evaluation' has no attribute '{name}'")
    return getattr(_import_module(f"rtf_models.evaluation.{_PUBLIC[name]}"), name)


def __dir__():
    return sorted({*globals(), *_PUBLIC})
