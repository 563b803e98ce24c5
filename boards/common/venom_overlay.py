"""PYNQ driver of the stand-alone overlay (overlay.tcl): windows in, energies out. Not run on hardware so far.

On the board, with venom_<board>.bit and .hwh from overlay.tcl side by side::

    from venom_overlay import VenomOverlay
    venom = VenomOverlay("venom_rfsoc4x2.bit", **core_shape("manifest.json"))   # build/rfsoc4x2/hls
    results = venom.run([(channel, counts), ...])      # counts: int16 (steps, 2), I and Q
    results["energy_eV"], results["sigma_eV"], results["channel"]

`pack_windows` and `unpack_results` are plain NumPy and work anywhere; only `VenomOverlay` needs pynq. This file
stands alone on purpose: copy it to the board with the bitstream. The words are those of venom_dma_adapter.v.
"""

from __future__ import annotations

import json
import time

import numpy as np

VALID = np.uint64(1) << np.uint64(63)
LAST = np.uint64(1) << np.uint64(48)
#: The core's result word: energy unsigned, log variance signed (sigma in eV), see the stream contract.
ENERGY_LSB_EV = 2.0**-12
LOG_VARIANCE_LSB = 2.0**-10

#: Count -> (GPIO block of the overlay, register offset): what the adapter and the core count.
COUNTERS = {
    "results": ("gpio_counters", 0),
    "dropped_behind_core": ("gpio_counters", 8),
    "abandoned_windows": ("gpio_windows", 0),
    "overlong_windows": ("gpio_windows", 8),
    "dropped_in_core": ("gpio_core", 0),
}

RESULT = np.dtype(
    [("channel", "u2"), ("energy_code", "u2"), ("log_variance_code", "i2"), ("energy_eV", "f8"), ("sigma_eV", "f8")]
)


class OverlayError(RuntimeError):
    """Windows that the core cannot take, or results that did not come as they should."""


def core_shape(manifest) -> dict:
    """`channel_bits`, `revisit` and `max_steps` of a generated project, from its manifest.json (path)."""
    with open(manifest, encoding="utf-8") as stream:
        content = json.load(stream)
    missing = [key for key in ("channel_bits", "revisit", "max_steps") if not isinstance(content.get(key), int)]
    if missing:
        raise OverlayError(f"{manifest}: no {missing[0]}; expected the manifest.json of a generated HLS project")
    return {key: content[key] for key in ("channel_bits", "revisit", "max_steps")}


def pack_windows(windows, *, channel_bits: int, revisit: int, max_steps: int) -> np.ndarray:
    """Interleave windows into words for the DMA.

    Parameters
    ----------
    windows : sequence of (channel, counts)
        `counts` int16 (steps, 2): centred I, Q in ADC counts. Windows of one channel are played back to back in
        the given order.
    channel_bits : int
        Bits of the channel number in TUSER; the start flag is the bit above.
    revisit : int
        The core's minimum distance, in clocks, between two samples of one channel.
    max_steps : int
        The core's longest window (L).

    Returns
    -------
    uint64 (frames * slots,)
        One sample of each channel a frame; a frame is at least `revisit` words long, filled up with bubbles.

    Raises
    ------
    OverlayError
        No windows, a channel out of range, a window of the wrong type or shape, empty or longer than `max_steps`.
    """
    streams: dict[int, list[np.ndarray]] = {}
    for index, (channel, counts) in enumerate(windows):
        counts = np.asarray(counts)
        if not 0 <= channel < 1 << channel_bits:
            raise OverlayError(f"window {index}: channel {channel} does not fit in {channel_bits} bits")
        if counts.dtype != np.int16 or counts.ndim != 2 or counts.shape[1] != 2:
            raise OverlayError(f"window {index}: expected int16 (steps, 2), got {counts.dtype} {counts.shape}")
        if not 1 <= len(counts) <= max_steps:
            raise OverlayError(f"window {index}: {len(counts)} samples, expected 1 to {max_steps}")
        unsigned = counts.view(np.uint16).astype(np.uint64)
        words = unsigned[:, 0] | unsigned[:, 1] << np.uint64(16) | np.uint64(channel) << np.uint64(32) | VALID
        words[0] |= np.uint64(1) << np.uint64(32 + channel_bits)
        words[-1] |= LAST
        streams.setdefault(int(channel), []).append(words)
    if not streams:
        raise OverlayError("no windows given")
    columns = [np.concatenate(parts) for parts in streams.values()]
    frames = np.zeros((max(map(len, columns)), max(revisit, len(columns))), dtype=np.uint64)
    for slot, words in enumerate(columns):
        frames[: len(words), slot] = words
    return frames.ravel()


def unpack_results(words: np.ndarray, channel_bits: int) -> np.ndarray:
    """Result words (uint64) to a structured array of dtype `RESULT`; sigma_eV = exp(log variance / 2)."""
    words = np.asarray(words, dtype=np.uint64)
    valid = words & VALID != 0
    if not valid.all():
        raise OverlayError(f"result {int(valid.argmin())} lacks its valid bit: the transfer is incomplete")
    results = np.empty(len(words), dtype=RESULT)
    results["channel"] = words >> np.uint64(32) & np.uint64((1 << channel_bits) - 1)
    results["energy_code"] = words & np.uint64(0xFFFF)
    results["log_variance_code"] = (words >> np.uint64(16) & np.uint64(0xFFFF)).astype(np.uint16).view(np.int16)
    results["energy_eV"] = results["energy_code"] * ENERGY_LSB_EV
    results["sigma_eV"] = np.exp(0.5 * LOG_VARIANCE_LSB * results["log_variance_code"])
    return results


class VenomOverlay:
    """The overlay on a board: loads the bitstream, plays windows, reads results and counters.

    Parameters
    ----------
    bitfile : str
        The .bit; the .hwh of the same name lies beside it.
    channel_bits, revisit, max_steps : int
        Of the generated project, see `core_shape` and `pack_windows`.
    """

    def __init__(self, bitfile: str, *, channel_bits: int, revisit: int, max_steps: int):
        from pynq import Overlay

        self.overlay = Overlay(bitfile)
        self.dma = self.overlay.dma
        self._control = self.overlay.gpio_control.mmio
        self._blocks = {name: getattr(self.overlay, name).mmio for name in {block for block, _ in COUNTERS.values()}}
        self.shape = {"channel_bits": channel_bits, "revisit": revisit, "max_steps": max_steps}
        self.reset()

    def reset(self) -> None:
        """Reset core, adapter and result FIFO: state and counters are zero, every channel waits for its start."""
        self._control.write(8, 1)
        self._control.write(8, 0)

    def counters(self) -> dict[str, int]:
        """The counts of `COUNTERS` since reset."""
        return {name: self._blocks[block].read(offset) for name, (block, offset) in COUNTERS.items()}

    def run(self, windows) -> np.ndarray:
        """Play windows and return their results in order of completion (structured array, dtype `RESULT`)."""
        from pynq import allocate

        windows = list(windows)
        words = pack_windows(windows, **self.shape)
        sent = allocate(words.shape, dtype=np.uint64)
        received = allocate((len(windows),), dtype=np.uint64)
        before = self.counters()
        try:
            sent[:] = words
            received[:] = 0
            sent.flush()
            received.flush()
            self._control.write(0, len(windows))  # TLAST after as many results as there are windows
            self.dma.recvchannel.transfer(received)
            self.dma.sendchannel.transfer(sent)
            # A dropped result means that the transfer never ends, so a plain wait() might hang.
            deadline = time.monotonic() + 1.0 + len(words) / 1e7
            while not (self.dma.sendchannel.idle and self.dma.recvchannel.idle):
                if time.monotonic() > deadline:
                    since = {name: count - before[name] for name, count in self.counters().items()}
                    raise OverlayError(
                        f"{since['results']} of {len(windows)} results came; counted meanwhile: {since}; "
                        "load the overlay again before the next run"
                    )
            received.invalidate()
            return unpack_results(np.array(received), self.shape["channel_bits"])
        finally:
            sent.freebuffer()
            received.freebuffer()
