"""The short FITS reader against astropy: real stamps, made ones, and headers that it must leave to astropy."""

import zlib

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st

from rtf_models.data import stamp
from rtf_models.data.fits_image import simple_image
from rtf_models.data.packets import read_packets

IMAGE = (np.arange(12).reshape(3, 4) - 5.5).astype(">f4")


def file_of(image=IMAGE, **cards) -> bytes:
    hdu = fits.PrimaryHDU(image)
    for name, value in cards.items():
        hdu.header[name] = value
    return b"".join([hdu.header.tostring().encode(), image.tobytes(), bytes(-image.nbytes % 2880)])


def astropy_says(data: bytes):
    try:
        image = fits.PrimaryHDU.fromstring(data).data
    except Exception:
        return None
    return image if image is None else image.astype(np.float32)


def test_every_real_stamp(ztf_folder):
    files = sorted([*ztf_folder.glob("alerts_avro/*.avro"), *ztf_folder.glob("alerts_parquet/*.parquet")])
    short = 0
    for packet in (packet for path in files for packet in read_packets(path)):
        for name in stamp.CUTOUTS:
            data = (packet.get(name) or {}).get("stampData")
            if data:
                unpacked = zlib.decompressobj(wbits=31).decompress(data)
                image = simple_image(unpacked)
                np.testing.assert_array_equal(image, astropy_says(unpacked))
                short += 1
    assert short > 400


def test_made_images_and_what_is_left_to_astropy():
    data = file_of(OBJECT="x / END", EXPTIME=30.0)
    np.testing.assert_array_equal(simple_image(data), IMAGE)
    assert simple_image(data).dtype == np.float32 and simple_image(data).flags.writeable
    for cards in ({"BSCALE": 2.0}, {"BZERO": 1.0}, {"BLANK": -1}):
        assert simple_image(file_of(**cards)) is None
    for other in (IMAGE.astype(">f8"), IMAGE.astype(">i2"), IMAGE[0], IMAGE.reshape(1, 3, 4)):
        assert simple_image(file_of(other)) is None
    assert simple_image(data[:2880]) is None and simple_image(data[: 2880 + 47]) is None
    assert simple_image(b"") is None and simple_image(b"END" + b" " * 77) is None


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 800), st.integers(0, 255)), min_size=1, max_size=3))
@pytest.mark.filterwarnings("ignore")
def test_damage_never_gives_other_pixels_than_astropy(changes):
    data = bytearray(file_of(OBJECT="x"))
    for place, value in changes:
        data[place] = value
    image = simple_image(bytes(data))
    if image is not None:
        np.testing.assert_array_equal(image, astropy_says(bytes(data)))
