"""Write a simulated data set in the laboratory's folder format."""

from __future__ import annotations

import json
from pathlib import Path

from .errors import DataError
from .folder import FORMAT, read_metadata, write_line, write_metadata
from .presets import DetectorPreset
from .simulator import simulate_line
from .wavelength import line_label, photon_energy, wavelength_of

NOISE_TRACES = 1000


def describe(preset: DetectorPreset, wavelengths_nm, pulses: int, seed: int) -> dict:
    """metadata.json of a simulated folder (the files hold centred counts, hence centre (0, 0))."""
    return {
        "format": FORMAT, "simulated": True, "complete": True,
        "preset": preset.name, "version": preset.version, "seed": seed, "pulses": pulses,
        "sample_rate_hz": preset.sample_rate_hz, "counts_per_unit": preset.counts_per_unit, "centre": [0.0, 0.0],
        "tau_s": preset.window_tau_s, "lines": [line_label(w) for w in wavelengths_nm],
        "loop_radius_counts": preset.loop_radius * preset.counts_per_unit, "parameters": preset.to_dict(),
    }


def _refuse_foreign(folder: Path, wanted: dict, found: dict, force: bool) -> None:
    """Raise DataError rather than write over something else; measured data are never replaced."""
    lines = sorted(folder.glob("*nm.npz"))
    if lines and not found.get("simulated"):
        raise DataError(folder, None, f"data that no simulation wrote are here ({lines[0].name})", "an empty folder")
    others = sorted(p.name for p in folder.iterdir() if not p.name.startswith(".")) if folder.is_dir() else []
    if others and not found:
        raise DataError(folder, None, f"files that no simulation wrote are here ({others[0]})", "an empty folder")
    same = {**found, "complete": None} == {**wanted, "complete": None}
    if found and not same and not force:
        there, new = (f"{d.get('preset')} version {d.get('version')} seed {d.get('seed')}, {d.get('pulses')} pulses of "
                      f"{len(d.get('lines', []))} lines" for d in (found, wanted))
        message = f"another data set is here ({there if there != new else 'other parameters'})"
        raise DataError(folder / "metadata.json", None, message, f"{new}; or an empty folder, or --force")


def generate_folder(preset: DetectorPreset, folder: Path, pulses: int, seed: int, energies_ev=None, force=False,
                    progress=None) -> list[Path]:
    """Simulate every line (or the given photon energies, eV) and write the folder; returns the files written.

    A folder that already holds exactly this data set is left alone (returns []); one that holds another simulated one
    is an error unless `force`, one with measured data always. `complete` in metadata.json turns true at the end.
    """
    folder = Path(folder)
    wavelengths = list(preset.wavelengths_nm) if energies_ev is None else [wavelength_of(e) for e in energies_ev]
    metadata = json.loads(json.dumps(describe(preset, wavelengths, pulses, seed)))
    found = read_metadata(folder)
    if found == metadata and not force:
        return []
    _refuse_foreign(folder, metadata, found, force)
    for label in found.get("lines", []):
        (folder / f"{label}.npz").unlink(missing_ok=True)
    write_metadata(folder, {**metadata, "complete": False})
    written = []
    for wavelength in wavelengths:
        traces = simulate_line(preset, photon_energy(wavelength), pulses, seed, progress)
        path = folder / f"{line_label(wavelength)}.npz"
        write_line(path, i_trace=traces.i_trace, q_trace=traces.q_trace, mask=traces.mask,
                   peak_heights=traces.peak_heights)
        written.append(path)
    noise = simulate_line(preset, 0.0, min(pulses, NOISE_TRACES), seed, progress)
    write_line(folder / "noise.npz", i_trace=noise.i_trace, q_trace=noise.q_trace)
    write_metadata(folder, metadata)
    return [*written, folder / "noise.npz", folder / "metadata.json"]
