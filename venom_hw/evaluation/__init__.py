"""Judging models: every estimator on the same held-out pulses, in one table and one picture, against the bound."""

from .errors import EvaluationError
from .evaluate import evaluate_estimators
from .left_out import leave_one_out
from .report import EstimatorReport, read_report
from .write import write_report

__all__ = [
    "EstimatorReport",
    "EvaluationError",
    "evaluate_estimators",
    "leave_one_out",
    "read_report",
    "write_report",
]
