"""The compiled engine of the golden model: `native_code`'s C++ of the step graph, over groups of windows in threads."""

from __future__ import annotations

import ctypes
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from venom_hw.compiled import KernelUnavailable, compile_library
from venom_hw.datapath.graph import Graph
from venom_hw.datapath.native_code import generate
from venom_hw.datapath.passes.factor_decay import factor_decay

# The last four do not change a result: no infinity, no not-a-number and no minus zero can come up.
FLAGS = (
    "-std=c++17", "-O3", "-march=native", "-fPIC", "-shared", "-Wall", "-Wextra", "-Wno-psabi",
    "-fno-math-errno", "-fno-trapping-math", "-ffinite-math-only", "-fno-signed-zeros",
)  # fmt: skip


class NativeEngine:
    """One step graph, compiled.

    Raises:
        KernelUnavailable: no compiler, or it fails.
        DatapathError: the graph needs integers beyond the 53 bits that a double carries exactly.
    """

    name = "native"

    def __init__(self, graph: Graph):
        self.graph = factor_decay(graph)
        self.code = generate(self.graph)
        self.path = compile_library(self.code.source, "golden", FLAGS, what=f"the C++ of graph {graph.name!r}")
        try:
            library = ctypes.CDLL(str(self.path))
        except OSError as error:
            raise KernelUnavailable(f"{self.path}: {error}") from error
        self.lanes = library.venom_lanes()
        self.function = library.venom_run
        self.function.argtypes = (
            [ctypes.c_void_p] * 2 + [ctypes.c_int64] * 4 + [ctypes.c_void_p] * 5
        )
        self.function.restype = None

    def run(
        self, samples: np.ndarray, lengths: np.ndarray, trace: bool, threads: int = 1
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], dict[str, int]]:
        """Final states, trace and saturations of windows (B, L, *shape) of int64 samples within the input's type."""
        graph, (count, length) = self.graph, samples.shape[:2]
        samples, lengths = (np.ascontiguousarray(v, np.int64) for v in (samples, lengths))
        states = {s: np.empty((count, *graph[s].shape), np.int64) for s, _ in graph.states}
        traced = {
            name: np.zeros((count, length, *graph[node].shape), graph[node].type.dtype)
            for name, node in (self.code.traced if trace else ())
        }
        groups = -(-count // self.lanes)
        threads = max(1, min(threads, groups))
        ends = [min(i * groups // threads * self.lanes, count) for i in range(threads + 1)]
        saturations = np.zeros((threads, len(self.code.counted) + 1), np.int64)
        state_pointers, trace_pointers = _pointers(states), _pointers(traced) if trace else None

        def work(i: int) -> None:
            self.function(
                samples.ctypes.data, lengths.ctypes.data, count, length, ends[i], ends[i + 1],
                self.code.constants.ctypes.data, self.code.tables.ctypes.data,
                state_pointers, trace_pointers, saturations[i].ctypes.data,
            )  # fmt: skip

        if threads > 1:  # ctypes lets go of the interpreter lock while the function runs
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(work, range(threads)))
        else:
            work(0)
        counts = saturations.sum(axis=0).tolist()
        return states, traced, {name: n for name, n in zip(self.code.counted, counts, strict=False) if n}


def _pointers(arrays: dict[str, np.ndarray]) -> ctypes.Array:
    return (ctypes.c_void_p * max(len(arrays), 1))(*(v.ctypes.data for v in arrays.values()))
