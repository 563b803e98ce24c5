"""A small network with an affine in front and gain and offset behind, and its golden model for any of them."""

import numpy as np

from venom_hw.datapath import FixedType, GraphBuilder
from venom_hw.datapath.model import Datapath
from venom_hw.datapath.passes.loadable import loadable_head, loadable_step
from venom_hw.datapath.reference import run_step

S = lambda width, frac: FixedType(True, width, frac)  # noqa: E731
MAX_STEPS = 7


def calibrated_network() -> Datapath:
    b = GraphBuilder("step", max_steps=MAX_STEPS)
    sample = b.input("sample", (2,), S(16, 0))
    product = b.constmatmul(sample, np.array([[3000, -7], [90, 2500]]), S(13, [22, 21]), name="affine")
    bias = b.constant(np.array([40, -300]), S(12, 9), name="affine_bias")
    iq = b.requantise(b.add(product, bias), S(12, 9), name="iq")
    h = b.state("h", (2,), S(14, 10))
    kept = b.mul(h, b.constant(np.array([3]), FixedType(False, 2, 2)))
    b.next_state(h, b.requantise(b.add(kept, iq), S(14, 10), name="h_out"))
    b.accumulator("pool", b.slice(iq, 0, 0, 1), out="pool_out")
    step = b.build({})
    b = GraphBuilder("head")
    h, pool = b.input("h", (2,), S(14, 10)), b.input("pool", (1,), step["pool"].type)
    raw = b.requantise(b.add(b.slice(h, 0, 0, 1), pool), S(16, 10), name="raw")
    scaled = b.mul(raw, b.constant(np.array(700), S(12, 9), name="gain"))
    energy = b.requantise(b.add(scaled, b.constant(np.array(900), S(12, 9), name="offset")), FixedType(False, 16, 12))
    spread = b.requantise(b.slice(h, 0, 1, 2), S(16, 10), name="log_variance")
    return Datapath(step, b.build({"energy": energy, "log_variance": spread}), {"model": "calibrated"})


def golden_with(network: Datapath, calibration: dict[str, np.ndarray]):
    """What `sim.case.expect` wants; `calibration`: (windows, *shape) integers by name, the model's own where absent."""
    (step, step_loaded), (head, head_loaded) = loadable_step(network.step), loadable_head(network.head)

    def given(tensors, count):
        return {
            t.name: np.broadcast_to(calibration.get(t.name, t.default), (count, *t.shape)) for t in tensors
        }

    def run(samples, lengths):
        count, longest = samples.shape[:2]
        states = {n.name: np.zeros((count, *n.shape), np.int64) for n in step.state_nodes}
        trace = {name: np.zeros((count, longest, *v.shape[1:]), np.int64) for name, v in states.items()}
        for t in range(longest):
            states = run_step(step, {"sample": samples[:, t], **given(step_loaded, count)}, states).states
            for name, values in states.items():
                trace[name][:, t] = values
        last = {name: values[np.arange(count), lengths - 1] for name, values in trace.items()}
        result = run_step(head, {n: last[n] for n in ("h", "pool")} | given(head_loaded, count), {})
        return result.outputs, trace

    return run
