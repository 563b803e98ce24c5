"""Cutouts: science, template and difference stamps of an alert, and the scaling that a network sees."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import numpy as np

from ..errors import require
from .fits_image import simple_image
from .source import STAMP

CUTOUTS = ("cutoutScience", "cutoutTemplate", "cutoutDifference")
EMPTY_STAMP = np.zeros((3, STAMP, STAMP), np.float32)
_LARGEST = 1 << 22  # bytes that one unpacked stamp may have: a forged gzip stream cannot fill the memory


class NoStamp(ValueError):
    """A packet has no complete triplet of 63 x 63 stamps; the message says what is wrong with which."""


def decode_stamp(data: bytes) -> np.ndarray:
    """One stamp, float32 pixels, from the bytes that a packet carries (a gzip-compressed FITS file).

    Raises:
        NoStamp: not gzip, not a FITS image of two axes, cut short, or larger than any stamp.
        MissingPackage: the file is not of the simple kind that ZTF sends, and astropy is not installed.
    """
    try:
        unpacker = zlib.decompressobj(wbits=31)
        unpacked = unpacker.decompress(data, _LARGEST)
    except (zlib.error, TypeError) as error:
        raise NoStamp(str(error)) from None
    if unpacker.unconsumed_tail:
        raise NoStamp(f"unpacks to more than {_LARGEST} bytes")
    if not unpacker.eof:
        raise NoStamp("gzip data end too early")
    if (image := simple_image(unpacked)) is not None:
        return image
    fits = require("astropy.io.fits", "rtf")
    try:
        image = fits.PrimaryHDU.fromstring(unpacked).data
    except Exception as error:  # astropy has exceptions of many kinds for damaged files
        raise NoStamp(f"no FITS image ({type(error).__name__}: {str(error)[:100]})") from None
    if image is None or image.ndim != 2:
        raise NoStamp("no FITS image of two axes")
    return image.astype(np.float32)


def packet_stamps(packet: Mapping) -> np.ndarray:
    """(3, 63, 63) float32 science, template, difference of a packet, in pixel units, 0 where a pixel has no value.

    Raises:
        NoStamp: one of the three is missing, damaged or not exactly 63 x 63 (clipped by the edge of the detector).
    """
    stamps = np.empty((3, STAMP, STAMP), np.float32)
    for k, name in enumerate(CUTOUTS):
        cutout = packet.get(name)
        data = cutout.get("stampData") if isinstance(cutout, Mapping) else cutout
        if not isinstance(data, bytes | bytearray) or not data:
            raise NoStamp(f"{name} missing")
        try:
            stamp = decode_stamp(bytes(data))
        except NoStamp as error:
            raise NoStamp(f"{name}: {error}") from None
        if stamp.shape != (STAMP, STAMP):
            raise NoStamp(f"{name} is {stamp.shape[0]} x {stamp.shape[1]}, not {STAMP} x {STAMP} (clipped by an edge)")
        stamps[k] = stamp
    stamps[~np.isfinite(stamps)] = 0
    return stamps


def scaled_stamp(stamp: np.ndarray) -> np.ndarray:
    """(3, 63, 63) as a network sees it: a channel is clipped to its percentiles 1 and 99 and standardised.

    A channel without contrast (a standard deviation up to 1e-6) becomes 0.
    """
    stamp = np.where(np.isfinite(stamp), stamp, 0).astype(np.float64)
    low, high = np.percentile(stamp, [1, 99], axis=(1, 2), keepdims=True)
    stamp = np.clip(stamp, low, high)
    mean, std = stamp.mean(axis=(1, 2), keepdims=True), stamp.std(axis=(1, 2), keepdims=True)
    return np.where(std > 1e-6, (stamp - mean) / np.where(std > 1e-6, std, 1), 0).astype(np.float32)
