"""A long stream in bounded memory; the state on the disk bounded too."""

import tracemalloc

import numpy as np

from rtf_models.stream.arrival import Arrival, EndOfStream
from rtf_models.stream.pipeline import EncodeOptions
from tests.rtf.stream.toy import encode, packet


class Endless:
    """Alerts of ever new objects, each made when it is asked for."""

    def __init__(self, count):
        self.count, self.at = count, 0

    def resume(self, positions):
        self.at = positions[-1]["at"] if positions else 0

    def take(self, timeout):
        if self.at >= self.count:
            raise EndOfStream
        n, self.at = self.at, self.at + 1
        return Arrival({"record": n}, packet(f"ZTF{n:09d}", n, 2459000.5 + n / 1000, mag=18.0))

    def whole_position(self):
        return {"at": self.at}

    changed_position = whole_position

    def note(self):
        return str(self.at)

    def committed(self): ...

    def close(self): ...


def test_memory_does_not_grow_with_the_stream(tmp_path, monkeypatch):
    monkeypatch.setattr("os.fsync", lambda handle: None)
    monkeypatch.setattr("rtf_models.stream.pipeline.LEAST_WHOLE", 50_000)
    options = EncodeOptions(batch=32, part_rows=200, max_wait=float("inf"), history=150, remember=250)
    sizes, states = [], []

    def note(count):
        if stream.at % 400 == 0:
            sizes.append(tracemalloc.get_traced_memory()[0])
            states.append(sum(p.stat().st_size for p in (tmp_path / "state").glob("state-*")))

    stream = Endless(3600)
    tracemalloc.start()
    try:
        totals = encode([], tmp_path, options, stream=stream, progress=note)
    finally:
        tracemalloc.stop()
    assert totals["fingerprints"] == 3600
    assert max(sizes[2:]) < 1.3 * np.median(sizes[1:3]) + 200_000, sizes
    assert max(states) < 300_000, states
