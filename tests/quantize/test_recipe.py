"""Recipe files: defaults, overrides, and errors that name file and key."""

import pytest

from venom_hw.quantize.recipe import Recipe, RecipeError, load_recipe


def test_default_and_round_trip():
    recipe = load_recipe()
    assert recipe.tensors["h"] == {"bits": 16, "guard": 1} and recipe.weights["w_x"]["bits"] == 8
    assert Recipe.from_dict(recipe.to_dict()) == recipe


def test_file_and_overrides(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("[weights]\nw_x = { bits = 6 }\n[training]\nsteps = 7\n")
    recipe = load_recipe(path, ["tensors.B.bits=10", "training.seed=5"])
    assert recipe.weights["w_x"]["bits"] == 6 and recipe.tensors["B"]["bits"] == 10
    assert (
        recipe.training["steps"] == 7 and recipe.training["seed"] == 5 and recipe.weights["w_z"]["bits"] == 8
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[weight]\nw_x = { bits = 6 }", r"unknown section \[weight\]"),
        ("[weights]\nw_q = { bits = 6 }", r"\[weights\] has no 'w_q'"),
        ("[weights]\nw_x = 6", "expected a table"),
        ("[weights]\nw_x = { width = 6 }", "w_x has no 'width'"),
        ("[weights]\nw_x = { bits = 6.5 }", "w_x.bits = 6.5: expected int"),
        ("[weights]\nw_x = { bits = 60 }", "w_x.bits = 60: expected 2 to 20"),
        ("[tensors]\nB = { rounding = 'up' }", "B.rounding = 'up'.*half_even"),
        ("[tensors]\nh = { guard = 20 }", "h.guard = 20"),
        ("[tensors]\ne = { bits = 10 }", "e: frac must equal bits"),
        ("[tensors]\nmu = { frac = 11 }", "mu is fixed by the stream's contract"),
        ("[training]\nsteps = 'many'", "steps = 'many': expected a number"),
        ("format = 'other/9'", "format must be"),
        ("not toml at all", "not TOML"),
    ],
)
def test_errors_name_file_and_key(tmp_path, text, words):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=words) as caught:
        load_recipe(path)
    assert "bad.toml" in str(caught.value)


def test_missing_file_and_bad_override(tmp_path):
    with pytest.raises(RecipeError, match="no such file"):
        load_recipe(tmp_path / "none.toml")
    with pytest.raises(RecipeError, match="expected section.key=value"):
        load_recipe(overrides=["tensors.B.bits=]"])
