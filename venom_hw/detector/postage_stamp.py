"""Postage stamps of the MKIDGen3 readout: short I/Q captures of single photons, as pulses and as data folders.

A capture is a buffer (N, 128, 2) int16: of each stamp, word 0 holds the channel's id (in the I half), words 1 to
127 the I and Q of 127 samples at 1 MHz, eight of them before the trigger. The DDC has subtracted the loop's centre.
The readout's number format implies that 2^15 counts are full scale, the lab's own reading function divides by 2^14:
which of the two is meant is a question to the capture, so units other than counts are only made when asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .convert_loop import digest, prepare_folder
from .dataset import PulseSet, cut_pulses
from .errors import DataError
from .folder import RawLine, write_line, write_metadata
from .raw_heights import HeightFilter
from .wavelength import line_label, photon_energy
from .window import Window, fit_decay, window_length

RATE_HZ = 1.0e6
WORDS = 128
BEFORE_TRIGGER = 8
CHANNELS = 2048
UNITS = {"counts": 1.0, "2^15": 2.0**-15, "2^14": 2.0**-14}
AT_RAIL = 32767


@dataclass(frozen=True)
class PostageStamps:
    """channels (N,) int; iq (N, 127, 2) int16 counts at 1 MHz, eight samples before the trigger."""

    channels: np.ndarray
    iq: np.ndarray
    source: str = "stamps"

    def __len__(self) -> int:
        return len(self.channels)

    def of_channel(self, channel: int) -> PostageStamps:
        rows = self.channels == channel
        if not rows.any():
            found = ", ".join(map(str, np.unique(self.channels)[:16]))
            raise DataError(self.source, "channel", f"no stamp of channel {channel}", f"one of {found}")
        return PostageStamps(self.channels[rows], self.iq[rows], self.source)

    def complex(self) -> np.ndarray:
        """(N, 127) complex counts."""
        return self.iq[..., 0] + 1j * self.iq[..., 1].astype(np.float64)

    def unclipped(self) -> np.ndarray:
        """(N,) bool: no sample at the end of the range."""
        return (np.abs(self.iq.astype(np.int32)) < AT_RAIL).all(axis=(1, 2))


def stamps_of(buffer, *, skip: int = 1, source="buffer") -> PostageStamps:
    """Stamps of a capture buffer (N, 128, 2) int16. The first `skip` are left out (the first of a capture is garbage),
    and so are places of the buffer that were never filled (all zero). Raises DataError."""
    buffer = np.asarray(buffer)
    if buffer.ndim != 3 or buffer.shape[1:] != (WORDS, 2) or buffer.dtype != np.int16:
        raise DataError(source, None, f"shape {buffer.shape}, {buffer.dtype}", f"(N, {WORDS}, 2) int16: word 0 the "
                        f"channel, then {WORDS - 1} samples of I and Q")
    if skip < 0:
        raise DataError(source, "skip", str(skip), "0 or more")
    buffer = buffer[skip:]
    buffer = buffer[buffer[:, 1:].any(axis=(1, 2))]
    if not len(buffer):
        raise DataError(source, None, "no stamp with samples in it", "a capture that was filled")
    channels = buffer[:, 0, 0].astype(np.uint16).astype(int)
    if (wrong := channels >= CHANNELS).any():
        raise DataError(source, "word 0", f"channel {channels[wrong][0]}",
                        f"0 to {CHANNELS - 1}: the id word of a stamp")
    return PostageStamps(channels, np.ascontiguousarray(buffer[:, 1:]), str(source))


def read_stamps(path, *, skip: int = 1) -> PostageStamps:
    """Stamps of an .npy file, or of an .npz with one array. Raises DataError."""
    path = Path(path)
    try:
        found = np.load(path, allow_pickle=False)
        if isinstance(found, np.lib.npyio.NpzFile):
            with found as archive:
                if len(archive.files) != 1:
                    raise DataError(path, None, f"arrays {', '.join(archive.files)}", "one array, the capture buffer")
                found = archive[archive.files[0]]
    except DataError:
        raise
    except (OSError, ValueError, EOFError) as error:
        raise DataError(path, None, f"cannot be read ({error})", "an npy file of a capture buffer") from error
    return stamps_of(found, skip=skip, source=path)


def stamps_to_pulses(stamps: PostageStamps, *, window: Window | None = None, downsample: int = 2, n_tau: float = 5.0,
                     n_pre: int = 3, wavelength_nm: float | None = None, extend: bool = False):
    """(PulseSet, channels (M,)) of a capture, ready for a model; no folder is needed.

    Without a wavelength the energies are NaN (nobody knows them) and the one label is "unknown". A stamp has only eight
    samples before its trigger: with a larger n_pre pulses begin too early to be cut, unless `extend` puts each
    stamp's own median of these samples, a flat line without noise, in front. Windows end with the stamp (`lengths`).
    """
    z = stamps.complex()
    good = np.flatnonzero(stamps.unclipped())
    if not len(good):
        raise DataError(stamps.source, None, "every stamp is clipped", "samples inside the int16 range")
    height = HeightFilter.fit([z[good]], stamps.source, centre=0j)
    heights, pulse = height(stamps.iq[..., 0], stamps.iq[..., 1]), height.pulse
    if window is None:
        try:
            tau = fit_decay(pulse.height, RATE_HZ)
        except (ValueError, RuntimeError) as error:
            raise DataError(stamps.source, "tau_s", f"cannot be fitted ({error})", "a window") from error
        rate = RATE_HZ / downsample
        window = Window(rate, n_pre, window_length(n_pre, n_tau, tau, rate), tau, n_tau, downsample)
    if abs(window.raw_rate_hz / RATE_HZ - 1) > 1e-6:
        raise DataError(stamps.source, "sample_rate_hz", "stamps of 1 MHz", f"{window.raw_rate_hz:g} Hz, the window's "
                        "raw rate")
    iq = stamps.iq
    if extend:
        front = np.rint(np.median(iq[:, :BEFORE_TRIGGER - 2], axis=1, keepdims=True)).astype(np.int16)
        iq = np.concatenate([np.repeat(front, window.n_pre * window.downsample, axis=1), iq], axis=1)
    raw = RawLine(Path(stamps.source), iq[..., 0], iq[..., 1], stamps.unclipped(), heights)
    counts, lengths, used = cut_pulses(raw, good, window, pulse.rest, pulse.middle)
    label, energy = ("unknown", np.nan) if wavelength_nm is None else (line_label(wavelength_nm),
                                                                      photon_energy(wavelength_nm))
    pulses = PulseSet(counts, np.full(len(used), energy), np.zeros(len(used), int), [label], None, heights[used],
                      lengths, window, source={"postage_stamps": True, "extended": extend})
    return pulses, stamps.channels[used]


def write_stamp_folder(captures: Mapping[float, PostageStamps], out, channel: int | None = None, *,
                       units: str = "counts", force: bool = False) -> list[Path]:
    """One channel's captures, {wavelength nm: stamps}, as a data folder; returns the files (none if already there).

    `units` "counts" writes int16 (what gateware and model see), "2^15" or "2^14" floats of full scale. A capture of
    several channels needs `channel`. Clipped stamps are marked bad in `mask`. Raises DataError.
    """
    if units not in UNITS:
        raise DataError("units", None, repr(units), " or ".join(UNITS))
    if not captures:
        raise DataError("captures", None, "no capture", "one a laser line")
    if channel is None:
        present = np.unique(np.concatenate([s.channels for s in captures.values()]))
        if len(present) > 1:
            raise DataError("channel", None, f"stamps of {len(present)} channels ({', '.join(map(str, present[:16]))})",
                            "the number of one")
        channel = int(present[0])
    chosen = {wavelength: captures[wavelength].of_channel(channel) for wavelength in sorted(captures)}
    masks = [stamps.unclipped() for stamps in chosen.values()]
    for (wavelength, stamps), mask in zip(chosen.items(), masks, strict=True):
        if not mask.any():
            raise DataError(stamps.source, line_label(wavelength), "every stamp is clipped", "samples inside int16")
    height = HeightFilter.fit([s.complex()[mask] for s, mask in zip(chosen.values(), masks, strict=True)],
                              f"channel {channel}", centre=0j)
    fingerprint = {"converted_from": "postage stamps", "channel": channel, "units": units,
                   "stamps": {line_label(w): int(len(s)) for w, s in chosen.items()},
                   "sha256": {line_label(w): digest(s.source) if Path(s.source).is_file() else None
                              for w, s in chosen.items()}}
    if not prepare_folder(Path(out), fingerprint, force):
        return []
    written = []
    for (wavelength, stamps), mask in zip(chosen.items(), masks, strict=True):
        i, q = np.moveaxis(stamps.iq if units == "counts" else (stamps.iq * UNITS[units]).astype(np.float32), -1, 0)
        written.append(Path(out) / f"{line_label(wavelength)}.npz")
        write_line(written[-1], i_trace=np.ascontiguousarray(i), q_trace=np.ascontiguousarray(q), mask=mask,
                   peak_heights=height(stamps.iq[..., 0], stamps.iq[..., 1]))
    write_metadata(Path(out), {**fingerprint, "complete": True, "sample_rate_hz": RATE_HZ, "centre": [0.0, 0.0],
                               "before_trigger": BEFORE_TRIGGER})
    return [*written, Path(out) / "metadata.json"]
