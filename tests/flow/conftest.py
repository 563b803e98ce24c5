"""A small quantised network as files, and its datapath."""

import pytest

from tests.quantize.sample import WINDOW, quantised
from venom_hw.flow.model_files import find_model
from venom_hw.interchange.importer import import_venom
from venom_hw.quantize.files import write_qonnx


@pytest.fixture(scope="session")
def small_model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    network, formats, _, _ = quantised(d_model=8, d_state=4, hidden=8)
    write_qonnx(network, formats, folder, model="small", window=WINDOW)
    return folder


@pytest.fixture(scope="session")
def small_files(small_model):
    return find_model(str(small_model))


@pytest.fixture(scope="session")
def small_datapath(small_files):
    return import_venom(small_files.step, small_files.head)
