"""Ray: a cluster to work on (local by default), tasks with retries, sources out, files back, site settings."""

from .env_file import read_env
from .errors import ClusterError
from .files import collect_files, place_files, stage_sources
from .session import Session, connect
from .tasks import Outcome, run_tasks

__all__ = [
    "ClusterError",
    "Outcome",
    "Session",
    "collect_files",
    "connect",
    "place_files",
    "read_env",
    "run_tasks",
    "stage_sources",
]
