"""Pickles as mkidcalculator writes them, made with classes of our own under its module names."""

import contextlib
import pickle
import sys
import types

import numpy as np
from scipy.interpolate import make_interp_spline

MODULES = {"loop": ("Loop",), "pulse": ("Pulse",), "noise": ("Noise",), "resonator": ("Resonator",),
           "data": ("AnalogReadoutLoop", "AnalogReadoutNoise", "AnalogReadoutPulse", "NoData")}


@contextlib.contextmanager
def fake_package():
    """Empty classes importable as mkidcalculator.io.*, for as long as the block lasts; {name: class}."""
    classes, added = {}, []
    try:
        for module in ("mkidcalculator", "mkidcalculator.io", *(f"mkidcalculator.io.{m}" for m in MODULES)):
            sys.modules[module] = types.ModuleType(module)
            added.append(module)
        for module, names in MODULES.items():
            full = f"mkidcalculator.io.{module}"
            for name in names:
                classes[name] = type(name, (), {"__module__": full})
                setattr(sys.modules[full], name, classes[name])
        yield classes
    finally:
        for module in added:
            sys.modules.pop(module, None)


def build(cls, **attributes):
    thing = cls()
    thing.__dict__.update(attributes)
    return thing


def lab_traces(n, wavelength, seed, samples=600, rate=0.8e6, tau=60e-6):
    """I and Q of `n` pulses of one line, volts; the peak at sample 200."""
    rng = np.random.default_rng(seed)
    time = (np.arange(samples) - 200) / rate
    height = 2.0 * (1000.0 / wavelength) ** 0.5 * rng.normal(1, 0.01, (n, 1))
    theta = height * np.where(time >= 0, np.exp(-np.maximum(time, 0) / tau), 0.0)
    z = complex(-0.3, 0.07) + 0.2 * np.exp(-1j * (theta + 0.4))
    z = z + 0.002 * (rng.standard_normal(z.shape) + 1j * rng.standard_normal(z.shape))
    return z.real, z.imag


def write_loop(folder, wavelengths=(813.7, 1310.0), n=40, protocol=4, responses=True, raw=False, elsewhere="/other/lab",
               spectrum=True, drop=()):
    """A pickled Loop with pulses, noise and a sweep; arrays in pulse_data_*.npz (or, `raw`, in the analogreadout
    files that `_data` names). Returns the pickle's path. `drop`: attributes of the pulses left out."""
    with fake_package() as classes:
        loop = build(classes["Loop"], lmfit_results={}, _directory=elsewhere,
                     energy_calibration=make_interp_spline([0.0, 0.5, 1.0], [0.0, 0.8, 2.0], k=2))
        loop.pulses = []
        metadata = {"parameters": {"sample_rate": 0.8, "attenuation": 60.0}, "file_name": "x"}
        for k, wavelength in enumerate(wavelengths):
            i, q = lab_traces(n, wavelength, k)
            mask = np.ones(n, bool)
            mask[0] = False
            laser = [float(w == wavelength) for w in (254, 405.9, 663.1, 813.7, 916.8, 978.6, 1120, 1310)]
            own = metadata | {"parameters": metadata["parameters"] | {"laser": laser}}
            file = f"raw_{k}.npz" if raw else f"pulse_data_{k}.npz"
            if raw:
                pulses = np.zeros((2, n, i.shape[1]), [("I", "f8"), ("Q", "f8")])
                pulses["I"][1], pulses["Q"][1] = i, q
                np.savez(folder / file, pulses=pulses, metadata=np.array(own, object), freqs=np.array([4e9, 5e9]))
            else:
                np.savez(folder / file, _i_trace=i, _q_trace=q)
                np.savez(folder / f"raw_{k}.npz", metadata=np.array(own, object), freqs=np.array([4e9, 5e9]))
            data = build(classes["AnalogReadoutPulse"], channel=1, index=None, _npz=f"{elsewhere}/raw_{k}.npz",
                         _energies=() if raw else (1239.841984332 / wavelength,))
            pulse = build(classes["Pulse"], name="p", _data=data, _loop=loop, _mask=mask, _npz=f"{elsewhere}/{file}",
                          _directory=elsewhere, _i_trace=None if raw else "_i_trace",
                          _q_trace=None if raw else "_q_trace", _p_trace="_p_trace",
                          _responses=-np.linspace(0.5, 0.6, n) if responses else None, _peak_height=None,
                          _spectrum={"fwhm": 0.05 * (k + 1), "calibrated": True, "pdf": None} if spectrum else None)
            for name in drop:
                del pulse.__dict__[name]
            loop.pulses.append(pulse)
        rng = np.random.default_rng(9)
        noise = np.zeros((2, 1, 20, 500), [("I", "f8"), ("Q", "f8")])
        noise["I"][1, 0], noise["Q"][1, 0] = -0.1 + 0.002 * rng.standard_normal((2, 20, 500))
        np.savez(folder / "noise_0.npz", noise=noise, metadata=np.array(metadata, object))
        data = build(classes["AnalogReadoutNoise"], channel=1, index=0, _npz=f"C:\\lab\\{'noise_0.npz'}")
        loop.noise = [build(classes["Noise"], _data=data, _loop=loop, _npz=None)]
        np.savez(folder / "sweep_0.npz", freqs=np.stack([np.arange(5.0), np.arange(5.0) + 10]),
                 z=np.exp(1j * np.arange(10.0)).reshape(2, 5), metadata=np.array(metadata, object))
        loop._data = build(classes["AnalogReadoutLoop"], channel=1, index=None, _npz=f"{elsewhere}/sweep_0.npz")
        path = folder / "loop.p"
        path.write_bytes(pickle.dumps(loop, protocol))
    return path
