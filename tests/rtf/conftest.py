"""Shared by the tests of rtf_models: the real ZTF data (skipped where absent) and small made-up sources."""

from pathlib import Path

import numpy as np
import pytest

from rtf_models.data.source import Source


@pytest.fixture(scope="session")
def ztf_folder(shared_data) -> Path:
    """Folder of the real ZTF packets and light curves; skips where absent."""
    folder = shared_data / "ztf"
    if not folder.is_dir():
        pytest.skip(f"real ZTF data not found: {folder} is no folder")
    return folder


@pytest.fixture(scope="session")
def bts_file(ztf_folder) -> Path:
    """bts_lightcurves.npz; skips where absent."""
    path = ztf_folder / "bts_lightcurves.npz"
    if not path.is_file():
        pytest.skip(f"real BTS light curves not found: {path}")
    return path


def random_source(rng, count: int, object_id="toy", label=0, metadata=False, images=False, features=False) -> Source:
    """A source of `count` random detections; metadata with gaps, a stamp at about two in three detections."""
    time = 2458000.5 + np.cumsum(rng.exponential(2.0, count))
    extra = {}
    if metadata:
        values = rng.normal(5, 3, (count, 30)).astype(np.float32)
        values[rng.random((count, 30)) < 0.2] = np.nan
        extra["metadata"] = values
    if images:
        stamps = rng.normal(100, 10, (count, 3, 63, 63)).astype(np.float32)
        extra |= {"images": stamps.__getitem__, "has_image": rng.random(count) < 0.67}
    if features:
        counts = np.unique([x for x in (3, 5, 10, count) if x <= count])
        values = rng.normal(0, 5, (len(counts), 114)).astype(np.float32)
        values[rng.random(values.shape) < 0.3] = np.nan
        extra |= {"features": values, "feature_counts": counts}
    return Source(object_id=object_id, time=time, band=rng.integers(0, 3, count), mag=rng.normal(18.5, 1, count),
                  mag_err=rng.uniform(0.02, 0.3, count), label=label, **extra)


@pytest.fixture(scope="session")
def make_source():
    """`random_source(rng, count, ...)`, as a fixture: test files of importlib mode cannot import a conftest.

    Of the whole session, so that hypothesis takes it.
    """
    return random_source


@pytest.fixture
def toy_sources(make_source):
    """40 sources of 3 to 60 detections whose two classes (fine ids 0 and 3) differ in magnitude and speed."""
    rng = np.random.default_rng(7)
    sources = []
    for k in range(40):
        label = 3 * (k % 2)
        count = int(rng.integers(3, 61))
        time = 2459000.5 + np.sort(rng.uniform(0, 90, count))
        phase = (time - time[0] - 20) / (10 if label == 0 else 30)
        mag = (17.5 if label == 0 else 19.0) + 0.8 * phase**2 / (1 + np.abs(phase)) + rng.normal(0, 0.05, count)
        sources.append(Source(object_id=f"toy{k:02d}", time=time, band=rng.integers(0, 2, count), mag=mag,
                              mag_err=rng.uniform(0.03, 0.2, count), label=label))
    return sources
