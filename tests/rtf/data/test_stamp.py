"""Cutouts: real and made-up FITS stamps, what is no stamp, the scaling."""

import gzip
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtf_models.data.stamp import CUTOUTS, NoStamp, decode_stamp, packet_stamps, scaled_stamp

fits = pytest.importorskip("astropy.io.fits")


def packed(image, **header) -> bytes:
    file = io.BytesIO()
    fits.PrimaryHDU(np.asarray(image), fits.Header(header)).writeto(file)
    return gzip.compress(file.getvalue())


def by_hand(data: bytes) -> np.ndarray:
    """Oracle: the standard's layout read with nothing but NumPy (32-bit floats after blocks of 2880 bytes)."""
    data = gzip.decompress(data)
    end = next(k for k in range(0, len(data), 80) if data[k:k + 8] == b"END     ")
    cards = {data[k:k + 8].decode().strip(): data[k + 10:k + 30].decode().strip() for k in range(0, end, 80)}
    shape = int(cards["NAXIS2"]), int(cards["NAXIS1"])
    assert cards["BITPIX"] == "-32"
    return np.frombuffer(data, ">f4", shape[0] * shape[1], (end // 2880 + 1) * 2880).reshape(shape)


def packet_of(stamps) -> dict:
    return {name: {"fileName": "x.fits.gz", "stampData": stamp if isinstance(stamp, bytes) else packed(stamp)}
            for name, stamp in zip(CUTOUTS, stamps, strict=True)}


def test_stamps_of_a_packet():
    rng = np.random.default_rng(0)
    stamps = rng.normal(100, 5, (3, 63, 63)).astype(np.float32)
    stamps[1, 3, 4], stamps[2, 0, 0] = np.nan, np.inf
    found = packet_stamps(packet_of(stamps))
    np.testing.assert_array_equal(found, np.where(np.isfinite(stamps), stamps, 0))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(decode_stamp(packed(stamps[0])), by_hand(packed(stamps[0])))


def test_scaled_integers():
    image = np.arange(63 * 63, dtype=np.int16).reshape(63, 63)
    np.testing.assert_array_equal(decode_stamp(packed(image, BLANK=7)).ravel()[6:9], [6, np.nan, 8])


GOOD = packed(np.ones((63, 63), np.float32))
NO_STAMPS = {
    "clipped by an edge": (packed(np.ones((63, 62), np.float32)), "63 x 62.*clipped"),
    "too large": (packed(np.ones((64, 63), np.float32)), "64 x 63"),
    "not gzip": (b"SIMPLE  =                    T", "header"),
    "cut short": (GOOD[:60], "too early"),
    "no FITS": (gzip.compress(b"no image" * 500), "FITS"),
    "FITS cut short": (gzip.compress(gzip.decompress(GOOD)[:8000]), "FITS"),
    "an image of three axes": (packed(np.ones((2, 63, 63), np.float32)), "two axes"),
    "no data": (packed(np.zeros(0, np.float32)), "FITS"),
    "a gzip bomb": (gzip.compress(bytes(1 << 26)), "more than"),
    "empty": (b"", "missing"),
}


@pytest.mark.parametrize(("data", "message"), NO_STAMPS.values(), ids=NO_STAMPS.keys())
def test_what_is_no_stamp(data, message):
    with pytest.raises(NoStamp, match=f"cutoutTemplate.*{message}"):
        packet_stamps(packet_of([GOOD, data, GOOD]))


@pytest.mark.parametrize("cutout", [None, {}, {"stampData": None}, {"stampData": "text"}, 3], ids=range(5))
def test_missing_cutouts(cutout):
    with pytest.raises(NoStamp, match="cutoutDifference missing"):
        packet_stamps(packet_of([GOOD] * 3) | {"cutoutDifference": cutout})


def original_scaling(stamp):
    """The original's, channel by channel: clip to percentiles 1 and 99, subtract the mean, divide by the deviation."""
    out = np.zeros_like(stamp)
    for k in range(3):
        low, high = np.percentile(stamp[k], [1, 99])
        clipped = np.clip(stamp[k], low, high)
        if clipped.std() > 1e-6:
            out[k] = (clipped - clipped.mean()) / clipped.std()
    return out


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.floats(0, 4), st.floats(-100, 1000))
def test_scaling_is_the_originals(seed, size, level):
    rng = np.random.default_rng(seed)
    stamp = (level + 10**size * rng.standard_t(3, (3, 63, 63))).astype(np.float32)
    stamp[1] = level
    np.testing.assert_allclose(scaled_stamp(stamp), original_scaling(stamp), rtol=1e-3, atol=1e-3)
    assert (scaled_stamp(stamp)[1] == 0).all()


def test_real_stamps(ztf_folder):
    """All 483 stamps of the real packets, against an oracle; one triplet is clipped by an edge."""
    pytest.importorskip("fastavro")
    pytest.importorskip("pyarrow")
    from rtf_models.data.packets import read_packets

    good, shapes = 0, []
    for path in sorted(ztf_folder.glob("alerts_*/*")):
        for packet in read_packets(path):
            for name in CUTOUTS:
                data = packet[name]["stampData"]
                image = decode_stamp(data)
                shapes.append(image.shape)
                np.testing.assert_array_equal(image, by_hand(data))
            try:
                found = packet_stamps(packet)
                assert np.isfinite(found).all() and found.std() > 0
                good += 1
            except NoStamp as error:
                assert "63 x 62" in str(error)
    assert good == 160 and len(shapes) == 483 and shapes.count((63, 62)) == 3
