"""Small simulated folders, made once."""

import dataclasses

import numpy as np
import pytest

from venom_hw.detector import PRESETS, generate_folder


@pytest.fixture(scope="session")
def ptsi_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ptsi")
    generate_folder(PRESETS["ptsi"], folder, pulses=1500, seed=3)
    return folder


@pytest.fixture(scope="session")
def inhf_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inhf")
    generate_folder(PRESETS["inhf"], folder, pulses=60, seed=3)
    return folder


@pytest.fixture
def quiet_ptsi():
    """The PtSi preset without any scatter or noise."""
    return dataclasses.replace(PRESETS["ptsi"], fano_ev=0.0, site_scatter=0.0, hotspot_scatter=0.0, tls_at_1hz=1e-30,
                               white_phase_psd=1e-20, pileup_fraction=0.0)


def user_arrays(n=40, samples=600, scale=0.2, centre=(-0.3, 0.07), tau=40e-6, rate=2e6, seed=0, height=1.9):
    """A laboratory's own arrays in volts: pulses on a circle about `centre`, peak at sample 200."""
    rng = np.random.default_rng(seed)
    time = (np.arange(samples) - 200) / rate
    theta = height * np.where(time >= 0, np.exp(-np.maximum(time, 0) / tau), 0.0)
    theta = theta * rng.normal(1.0, 0.01, (n, 1))
    z = complex(*centre) + scale * np.exp(-1j * (theta + 0.4))
    z = z + 0.002 * (rng.standard_normal(z.shape) + 1j * rng.standard_normal(z.shape))
    return {"i_trace": z.real, "q_trace": z.imag, "mask": np.ones(n, bool),
            "peak_heights": -height * (1 + 0.01 * rng.standard_normal(n))}
