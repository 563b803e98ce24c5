"""Many independent tasks on a cluster: results as they come, lost ones tried again, hopeless ones reported."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from .session import Session


@dataclass(frozen=True)
class Outcome:
    """Of task number `index`: its value, or `error` (one line) after `attempts`."""

    index: int
    attempts: int
    value: Any = None
    error: str = ""


def run_tasks(
    session: Session | None,
    function: Callable,
    arguments: Sequence[tuple],
    *,
    retries: int = 1,
    cpus: float = 1,
    gpus: float = 0,
) -> Iterator[Outcome]:
    """`function(*arguments[k])` for each k, on the cluster's workers (session None: here, one after the other).

    A task that raises, or whose worker dies, is submitted again up to `retries` times. The function and its arguments
    must be importable and picklable on the workers. Outcomes come in the order in which tasks end.
    """
    if session is None:
        yield from _run_here(function, arguments, retries)
        return
    ray = session.ray
    remote = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=0)(function)
    attempts = [1] * len(arguments)
    waiting = {remote.remote(*a): k for k, a in enumerate(arguments)}
    while waiting:
        (ready, *_), _ = ray.wait(list(waiting), num_returns=1)
        index = waiting.pop(ready)
        try:
            yield Outcome(index, attempts[index], ray.get(ready))
        except ray.exceptions.RayError as error:
            if attempts[index] > retries:
                yield Outcome(index, attempts[index], error=_one_line(error))
                continue
            attempts[index] += 1
            waiting[remote.remote(*arguments[index])] = index


def _run_here(function: Callable, arguments: Sequence[tuple], retries: int) -> Iterator[Outcome]:
    for index, some in enumerate(arguments):
        for attempt in range(1, retries + 2):
            try:
                value = function(*some)
            except Exception as error:  # whatever a task raises is its outcome, as on a cluster
                if attempt > retries:
                    yield Outcome(index, attempt, error=_one_line(error))
                continue
            yield Outcome(index, attempt, value)
            break


def _one_line(error: BaseException) -> str:
    cause = getattr(error, "cause", None) or error
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return f"{type(cause).__name__}: {lines[-1] if lines else 'no message'}"
