"""The features of every real alert packet's own history: no error, no warning, and a packet's past is all it needs."""

import warnings

import numpy as np
import pytest

from rtf_models.data.alerts import source_from_alerts
from rtf_models.data.packets import read_avro, read_parquet
from rtf_models.errors import DataError
from rtf_models.features import FEATURE_NAMES, extract_features


def test_history_of_every_real_packet(ztf_folder):
    pytest.importorskip("fastavro")
    pytest.importorskip("pyarrow.parquet")
    files = sorted((ztf_folder / "alerts_parquet").glob("*.parquet"))
    packets = [packet for path in files for packet in read_parquet(path)]
    packets += [
        packet for path in sorted((ztf_folder / "alerts_avro").glob("*.avro")) for packet in read_avro(path)
    ]
    assert len(packets) == 161
    vectors = []
    for packet in packets:
        try:
            source = source_from_alerts(packet["objectId"], [packet], images=False)
        except DataError:  # every difference flux is negative: a light curve of nothing
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            vector = extract_features(source)
        assert vector.shape == (114,) and not np.isinf(vector).any()
        assert vector.tobytes() == extract_features(source, len(source)).tobytes()
        vectors.append(vector)
    known = dict(zip(FEATURE_NAMES, np.isfinite(vectors).mean(0), strict=True))
    assert len(vectors) > 100
    assert known["param_n_obs"] == 1.0 and known["np_t0"] > 0.5
