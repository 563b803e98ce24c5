"""A connection to Ray: a cluster of this machine's cores by default, or one that runs already."""

from __future__ import annotations

import importlib.util
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import ClusterError
from .files import stage_sources

os.environ.setdefault(
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0"
)  # the coming default; without it Ray prints a warning
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")


# A worker of a busy machine may need more than Ray's 60 s to start; when it is given up, the task waits for ever.
PATIENCE = {"worker_register_timeout_seconds": 600}


@dataclass(frozen=True)
class Session:
    """ray: the module, connected; local: whether the cluster is this machine alone, so that its files are ours."""

    ray: Any
    local: bool


def ray_module():
    """The ray module. Raises ClusterError with the command that installs it."""
    try:
        import ray
    except ImportError as error:
        raise ClusterError(
            f"Ray is not installed ({error}); expected: pip install -e '.[ray]', or --no-ray to work in "
            "this process"
        ) from error
    return ray


def _start_local(ray, cpus: int | None, variables: dict[str, str], quiet: dict) -> None:
    """Start a cluster of this machine; tried twice, as Ray gives up a node of a busy machine after 30 s."""
    for last in (False, True):
        try:
            ray.init(
                num_cpus=cpus,
                include_dashboard=False,
                runtime_env={"env_vars": variables},
                _system_config=PATIENCE,
                **quiet,
            )
            return
        except Exception as error:
            ray.shutdown()
            if last or "timed out" not in str(error):
                raise


@contextmanager
def connect(
    address: str = "", cpus: int | None = None, env: dict[str, str] | None = None
) -> Iterator[Session]:
    """Start a local cluster (`cpus` of this machine's cores) or join the one at `address`; left again at the end.

    address: "host:6379" from a machine of the cluster, "ray://host:10001" from outside (needs ray[client]). There the
    package's sources are uploaded as runtime_env.working_dir. env: variables for the workers. Raises ClusterError.
    """
    ray = ray_module()
    variables = {"VENOM_BACKEND": "torch", **(env or {})}
    quiet = dict(logging_level=logging.ERROR, log_to_driver=False)
    if ray.is_initialized():
        raise ClusterError("this process is connected to a Ray cluster already; expected none")
    if address.startswith("ray://") and importlib.util.find_spec("grpc") is None:
        raise ClusterError(
            f"--ray-address {address}: Ray Client is not installed; expected: pip install 'ray[client]'"
        )
    with tempfile.TemporaryDirectory(prefix="venom-sources-") as folder:
        try:
            if address:
                runtime = {"working_dir": str(stage_sources(Path(folder))), "env_vars": variables}
                ray.init(address=address, runtime_env=runtime, **quiet)
            else:
                _start_local(ray, cpus, variables, quiet)
        except Exception as error:  # Ray raises bare Exception where a node does not come up
            ray.shutdown()
            raise ClusterError(
                f"--ray-address {address or '(local)'}: {error}; expected a running Ray cluster of the same "
                f"Ray ({ray.__version__}) and Python versions"
            ) from error
        try:
            yield Session(ray, not address)
        finally:
            ray.shutdown()
