"""Saved generators: the same pulses after loading; what is no generator is refused by file and field."""

import io
import json

import numpy as np
import pytest

from venom_hw.detector import DataError
from venom_hw.detector.synthetic import GENERATORS, PcaGenerator, TemplateGenerator, load_generator


@pytest.fixture(scope="module", params=["pca", "template"])
def fitted(request, known):
    few = known.pulse_set(200)
    return GENERATORS[request.param].fit(few, np.arange(len(few)), n_components=8)


def parts(path):
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def test_loaded_generator_makes_the_same_pulses(fitted, tmp_path):
    path = fitted.save(tmp_path / "folder" / "generator.npz")
    energies = np.random.default_rng(0).uniform(*fitted.energy_range, 400)
    expected = fitted.sample(energies, np.random.default_rng(1))
    for again in (type(fitted).load(path), load_generator(path)):
        assert np.array_equal(again.sample(energies, np.random.default_rng(1)), expected)
        assert again.window == fitted.window and again.labels == fitted.labels and again.kind == fitted.kind
    assert [p.name for p in path.parent.iterdir()] == ["generator.npz"]


def test_another_kind_is_refused(fitted, tmp_path):
    path = fitted.save(tmp_path / "generator.npz")
    other = TemplateGenerator if isinstance(fitted, PcaGenerator) else PcaGenerator
    with pytest.raises(DataError, match=f"kind '{fitted.kind}'.*kind '{other.kind}'"):
        other.load(path)


def test_missing_and_damaged_files_are_refused(fitted, tmp_path):
    path = fitted.save(tmp_path / "generator.npz")
    with pytest.raises(DataError, match="absent.npz.*cannot be read"):
        load_generator(tmp_path / "absent.npz")
    (tmp_path / "half.npz").write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match="half.npz"):
        load_generator(tmp_path / "half.npz")
    np.savez(tmp_path / "line.npz", i_trace=np.zeros(3))
    with pytest.raises(DataError, match="line.npz.*incomplete"):
        load_generator(tmp_path / "line.npz")


def test_every_missing_or_misshapen_array_is_noticed(fitted, tmp_path):
    whole = parts(fitted.save(tmp_path / "generator.npz"))
    for name in whole:
        np.savez(tmp_path / "less.npz", **{k: v for k, v in whole.items() if k != name})
        with pytest.raises(DataError, match="less.npz"):
            load_generator(tmp_path / "less.npz")
        if name != "description":
            for wrong in (whole[name][..., :-1], np.full_like(whole[name], np.nan)):
                np.savez(tmp_path / "wrong.npz", **{**whole, name: wrong})
                with pytest.raises(DataError, match="wrong.npz"):
                    load_generator(tmp_path / "wrong.npz")


def test_a_later_format_and_pickled_objects_are_refused(fitted, tmp_path):
    whole = parts(fitted.save(tmp_path / "generator.npz"))
    description = json.loads(str(whole["description"])) | {"format": f"venom-hw/synthetic-{fitted.kind}/2"}
    np.savez(tmp_path / "later.npz", **{**whole, "description": np.array(json.dumps(description))})
    with pytest.raises(DataError, match="later.npz.*/2'"):
        load_generator(tmp_path / "later.npz")
    content = io.BytesIO()
    np.savez(content, **{**whole, "means": np.array([print], object)})
    (tmp_path / "pickled.npz").write_bytes(content.getvalue())
    with pytest.raises(DataError, match="pickled.npz.*allow_pickle"):
        load_generator(tmp_path / "pickled.npz")
