"""Legacy weight files become complete checkpoints: sizes, window, normalisation, held-out pulses, counted energies."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.detector.conftest import user_arrays
from venom_hw.convert import main
from venom_hw.detector import DataError, load_pulse_set, normalisation
from venom_hw.detector.folder import write_line
from venom_hw.legacy import load_legacy
from venom_hw.model import CheckpointError, MKIDEnergySSM, load_checkpoint
from venom_hw.model.sizes import sizes_of_tensors

SIZES = {"d_model": 8, "d_state": 4, "n_layers": 2, "d_conv": 3, "expand": 2, "d_head_hidden": 12}


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """(folder, trained network, held-out indices): a network that reads the energies of a small folder."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("sets") / "PtSiData"
    for k, wavelength in enumerate((808, 980, 1310)):
        write_line(folder / f"{wavelength}nm.npz", **user_arrays(n=120, samples=660, seed=k, height=2.1 - 0.25 * k))
    pulses = load_pulse_set(folder)
    held = np.arange(len(pulses))[3::7]
    train = np.setdiff1d(np.arange(len(pulses)), held)
    assert (pulses.lengths == pulses.window.length).all()
    stats = normalisation(pulses, train)
    x = torch.from_numpy((pulses.counts - np.array(stats["iq_mean"])) / stats["iq_std"]).float()
    y = torch.from_numpy((pulses.energies - stats["energy_offset"]) / stats["energy_scale"]).float()
    model = MKIDEnergySSM(**SIZES)
    steps = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(40):
        steps.zero_grad()
        rows = train[::3]
        loss = ((model(x[rows])[0] - y[rows]) ** 2).mean()
        loss.backward()
        steps.step()
    assert loss < 0.2
    return folder, model.eval(), held


def write_legacy(path, model, held=None, history=(), zipped=True):
    if zipped:
        torch.save(model.state_dict(), path)
    else:
        save_file({k: v.contiguous() for k, v in model.state_dict().items()}, path)
    if held is not None:
        meta = {"training_history": list(history), "validation_indices": [int(k) for k in held]}
        path.with_name(f"{path.stem}_meta.json").write_text(json.dumps(meta))
    return path


@pytest.mark.parametrize("zipped", [True, False])
def test_everything_comes_back(tmp_path, lab, zipped):
    folder, model, held = lab
    path = write_legacy(tmp_path / "venom.safetensors", model, held, [{"epoch": 1, "loss": 2.0}], zipped)
    found = load_legacy(path, folder)
    assert found.checkpoint.model.config == SIZES and found.weights.unplaced == []
    pulses = load_pulse_set(folder)
    train = np.setdiff1d(np.arange(len(pulses)), held)
    assert found.checkpoint.normalisation == normalisation(pulses, train)  # held-out pulses took no part
    assert found.checkpoint.normalisation != normalisation(pulses)
    assert found.checkpoint.window == pulses.window.to_dict()
    assert found.checkpoint.training["history"] == [{"epoch": 1, "loss": 2.0}]
    assert found.energy == "standardised" and found.correlation > 0.9 and found.notes == []
    assert "meta file" in found.held_out
    estimates = found.checkpoint.predict(pulses.counts[held])[0]
    assert np.corrcoef(estimates, pulses.energies[held])[0, 1] > 0.9


def test_energies_in_electronvolts_are_recognised(tmp_path, lab):
    folder, model, held = lab
    stats = load_legacy(write_legacy(tmp_path / "a.safetensors", model, held), folder).checkpoint.normalisation
    other = MKIDEnergySSM(**SIZES)
    other.load_state_dict(model.state_dict())
    with torch.no_grad():  # the same network with its first output in eV
        other.head.fc3.weight[0] *= stats["energy_scale"]
        other.head.fc3.bias[0] = other.head.fc3.bias[0] * stats["energy_scale"] + stats["energy_offset"]
    path = write_legacy(tmp_path / "b.safetensors", other, held)
    found = load_legacy(path, folder)
    assert found.energy == "eV"
    assert (found.checkpoint.normalisation["energy_offset"], found.checkpoint.normalisation["energy_scale"]) == (0, 1)
    counts = load_pulse_set(folder).counts
    wanted = load_legacy(tmp_path / "a.safetensors", folder).checkpoint.predict(counts)[0]
    np.testing.assert_allclose(found.checkpoint.predict(counts)[0], wanted, rtol=1e-5)
    forced = load_legacy(path, folder, energy="standardised")
    assert forced.energy == "standardised" and forced.checkpoint.normalisation["energy_scale"] != 1
    with pytest.raises(ValueError, match="standardised"):
        load_legacy(path, folder, energy="joule")


def test_without_fitting_indices_the_split_is_new_and_said(tmp_path, lab):
    folder, model, _ = lab
    alone = load_legacy(write_legacy(tmp_path / "alone.safetensors", model), folder)
    assert alone.held_out == "a new split" and "may have been trained on" in alone.notes[0]
    beyond = load_legacy(write_legacy(tmp_path / "far.safetensors", model, [1, 100_000]), folder)
    assert "100000" in beyond.notes[0] and beyond.held_out == "a new split"


def test_weights_of_something_else_are_said(tmp_path, lab):
    folder, model, held = lab
    other = MKIDEnergySSM(**SIZES)
    other.load_state_dict(model.state_dict())
    with torch.no_grad():
        other.head.fc3.weight[0] *= -1  # falls where energies rise
    found = load_legacy(write_legacy(tmp_path / "new.safetensors", other, held), folder)
    assert found.correlation < -0.9 and any("hardly follow" in note for note in found.notes)


@pytest.mark.parametrize("sizes", [SIZES, {}, {"d_conv": 1}, {"n_layers": 3, "expand": 3}])
def test_sizes_follow_from_the_tensors(sizes):
    model = MKIDEnergySSM(**sizes)
    assert sizes_of_tensors(model.state_dict()) == model.config
    foreign = {"model." + k.replace("layers", "blocks").replace(".conv.", ".conv1d."):
               v.transpose(1, 2) if k.endswith("conv.weight") else v for k, v in model.state_dict().items()}
    assert sizes_of_tensors(foreign) == model.config


def test_sizes_of_other_networks_are_refused():
    state = MKIDEnergySSM(n_layers=2).state_dict()
    for name in ("backbone.layers.0.log_neg_A", "head.fc1.weight", "backbone.input_proj.weight"):
        with pytest.raises(CheckpointError, match=name):
            sizes_of_tensors({k: v for k, v in state.items() if k != name})
    with pytest.raises(CheckpointError, match="layers"):
        sizes_of_tensors({k.replace("layers.1", "layers.4"): v for k, v in state.items()})
    with pytest.raises(CheckpointError, match="not a VENOM"):
        sizes_of_tensors(state | {"backbone.layers.0.conv.weight": torch.zeros(5, 1, 3)})


def test_the_command_writes_a_checkpoint(tmp_path, lab, capsys):
    folder, model, held = lab
    path, out = write_legacy(tmp_path / "venom.safetensors", model, held), tmp_path / "new" / "m.safetensors"
    arguments = ["weights", str(path), "--data", str(folder), "--out", str(out)]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert "d_state 4" in said and "standardised" in said and "meta file" in said
    assert load_checkpoint(out).model.config == SIZES
    assert main(arguments) == 2 and "--force" in capsys.readouterr().err
    assert main([*arguments, "--force"]) == 0
    (tmp_path / "venom_meta.json").write_text("[1]")
    assert main([*arguments, "--force"]) == 2 and "venom_meta.json" in capsys.readouterr().err
    with pytest.raises(DataError, match="no such folder"):
        load_legacy(write_legacy(tmp_path / "x.safetensors", model), tmp_path / "none")


def test_whole_traces_are_remembered(tmp_path, lab):
    """A model for whole traces is to be given whole traces again (quantisation, evaluation)."""
    folder, model, held = lab
    path = write_legacy(tmp_path / "venom.safetensors", model, held)
    whole, cut = load_legacy(path, folder, full=True).checkpoint, load_legacy(path, folder).checkpoint
    assert whole.data["full_traces"] is True and "full_traces" not in cut.data
    assert whole.window["length"] == load_pulse_set(folder, full=True).window.length > cut.window["length"]
