"""The recipe: a TOML file that sets bits per tensor class, calibration and fine-tuning
(``recipes/default.toml`` explains each).

A user's file may hold only what differs from the default; ``key=value`` overrides come on top.  The effective
recipe is stored in the checkpoint and beside the report.
"""

from __future__ import annotations

import copy
import os
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RECIPE_FORMAT = "venom-hw/recipe/1"
DEFAULT = Path(__file__).parent / "recipes" / "default.toml"
TENSOR_KEYS = {
    "bits": int,
    "frac": int,
    "guard": int,
    "percentile": float,
    "rounding": str,
    "scale": str,
    "spread": int,
    "minimum": int,
    "balance": bool,
}
# key -> the tensor classes of VENOM that can have it
ONLY = {"scale": ("dx",), "spread": ("h", "g"), "minimum": ("g",), "balance": ("h",)}


class RecipeError(ValueError):
    """The recipe has an unknown key, a value of the wrong type or an impossible width; the message names file
    and key.
    """


@dataclass(frozen=True)
class RecipeBook:
    """The recipes of one kind of network: its default file (others lie beside it) and what they must keep to.

    ``only``: option of a tensor class -> the classes that can have it (options that are not named: all);
    ``optional``: section -> settings that the default file leaves out; ``check(recipe, source)`` raises RecipeError
    for what the network cannot do.
    """

    default: Path
    only: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    optional: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    check: Callable[[Recipe, str], None] = lambda recipe, source: None


@dataclass(frozen=True)
class Recipe:
    """Effective recipe: tables ``tensors``, ``weights`` (class -> settings), ``calibration``, ``training``."""

    tensors: dict[str, dict[str, Any]]
    weights: dict[str, dict[str, Any]]
    calibration: dict[str, Any]
    training: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        return {"format": RECIPE_FORMAT, **copy.deepcopy(self.__dict__)}

    @classmethod
    def from_dict(cls, entry: dict[str, Any], source: str = "recipe", book: RecipeBook | None = None) -> Recipe:
        book = VENOM if book is None else book
        if entry.get("format") != RECIPE_FORMAT:
            raise RecipeError(f"{source}: format = {entry.get('format')!r}, expected {RECIPE_FORMAT!r}")
        tables = {k: copy.deepcopy(v) for k, v in entry.items() if k != "format"}
        recipe = cls(
            **{name: tables.get(name, {}) for name in ("tensors", "weights", "calibration", "training")}
        )
        recipe._check(source, book)
        book.check(recipe, source)
        return recipe

    def settings(self, tensor_class: str) -> dict[str, Any]:
        """Settings of a tensor class (activation or weight); KeyError cannot happen for the network's own
        classes.
        """
        table = self.tensors if tensor_class in self.tensors else self.weights
        if tensor_class not in table:
            raise RecipeError(f"recipe has no entry for tensor class '{tensor_class}'")
        return table[tensor_class]

    def _check(self, source: str, book: RecipeBook) -> None:
        for table_name in ("tensors", "weights"):
            for name, settings in getattr(self, table_name).items():
                where = f"{source}: [{table_name}] {name}"
                if "bits" not in settings:
                    raise RecipeError(f"{where}: no 'bits'")
                for key, value in settings.items():
                    kind = TENSOR_KEYS[key]
                    if isinstance(value, bool) != (kind is bool) or not isinstance(
                        value, (int, float) if kind is float else kind
                    ):
                        raise RecipeError(f"{where}.{key} = {value!r}: expected {kind.__name__}")
                    if name not in book.only.get(key, (name,)):
                        allowed = ", ".join(book.only[key]) or "no class of this network"
                        raise RecipeError(f"{where}.{key}: only {allowed} can have it")
                if not 2 <= settings["bits"] <= 20:
                    raise RecipeError(f"{where}.bits = {settings['bits']}: expected 2 to 20")
                if settings.get("rounding", "half_even") not in ("half_even", "floor"):
                    raise RecipeError(
                        f"{where}.rounding = {settings['rounding']!r}: expected 'half_even' or 'floor' "
                        "(the two that survive Brevitas and QONNX)"
                    )
                if settings.get("scale", "tensor") not in ("tensor", "channel"):
                    raise RecipeError(f"{where}.scale = {settings['scale']!r}: expected 'tensor' or 'channel'")
                if not 0 <= settings.get("spread", 0) <= 20:
                    raise RecipeError(f"{where}.spread = {settings['spread']}: expected 0 to 20")
                if not 0 <= settings.get("minimum", 0) < 1 << settings["bits"]:
                    raise RecipeError(
                        f"{where}.minimum = {settings['minimum']}: expected 0 to {(1 << settings['bits']) - 1}"
                    )
                if not 0 <= settings.get("guard", 0) < settings["bits"] - 1:
                    raise RecipeError(
                        f"{where}.guard = {settings['guard']}: expected 0 to {settings['bits'] - 2}"
                    )
                if not 50 <= settings.get("percentile", 100.0) <= 100:
                    raise RecipeError(f"{where}.percentile = {settings['percentile']}: expected 50 to 100")


def fills_unit_interval(recipe: Recipe, source: str, *classes: str) -> None:
    """Raise RecipeError unless every code of these tensor classes lies in [0, 1): frac = bits."""
    for name in classes:
        entry = recipe.tensors.get(name, {})
        if entry.get("frac") != entry.get("bits"):
            raise RecipeError(f"{source}: [tensors] {name}: frac must equal bits (values in [0, 1))")


def _check_venom(recipe: Recipe, source: str) -> None:
    fills_unit_interval(recipe, source, "e", "m")
    for name, width, frac in (("mu", 16, 12), ("logvar", 16, 10)):
        entry = recipe.tensors.get(name, {})
        if (entry.get("bits"), entry.get("frac")) != (width, frac):
            raise RecipeError(
                f"{source}: [tensors] {name} is fixed by the stream's contract: bits = {width}, frac = {frac}"
            )


VENOM = RecipeBook(DEFAULT, ONLY, {"training": ("calibrated",)}, _check_venom)


def shipped_recipes(book: RecipeBook = VENOM) -> list[str]:
    """Names of the recipes that come with the project, files of ``recipes/``."""
    return sorted(p.stem for p in book.default.parent.glob("*.toml"))


def load_recipe(
    path: str | os.PathLike | None = None, overrides: Iterable[str] = (), book: RecipeBook = VENOM
) -> Recipe:
    """Default recipe, updated by a TOML file (or the name of a shipped recipe) and by
    ``section.key[.setting]=value`` overrides (values in TOML).

    Raises RecipeError for a key the default does not have.
    """
    merged = tomllib.loads(book.default.read_text())
    if str(path) in shipped_recipes(book):
        path = book.default.parent / f"{path}.toml"
    if path is not None:
        try:
            user = tomllib.loads(Path(path).read_text())
        except FileNotFoundError:
            raise RecipeError(
                f"recipe {path}: no such file; shipped recipes: {', '.join(shipped_recipes(book))}"
            ) from None
        except tomllib.TOMLDecodeError as error:
            raise RecipeError(f"recipe {path}: not TOML: {error}") from None
        if user.pop("format", RECIPE_FORMAT) != RECIPE_FORMAT:
            raise RecipeError(f"recipe {path}: format must be {RECIPE_FORMAT!r}")
        _merge(merged, user, str(path), book)
    for override in overrides:
        key, _, text = override.partition("=")
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            raise RecipeError(f"--set {override}: expected section.key=value with a TOML value") from None
        tree: dict[str, Any] = {}
        node = tree
        *parents, leaf = key.strip().split(".")
        for part in parents:
            node = node.setdefault(part, {})
        node[leaf] = value
        _merge(merged, tree, f"--set {override}", book)
    return Recipe.from_dict(merged, str(path or "recipe"), book)


def _merge(base: dict[str, Any], update: dict[str, Any], source: str, book: RecipeBook) -> None:
    for section, entries in update.items():
        if section not in base or not isinstance(base[section], dict):
            known = ", ".join(k for k, v in base.items() if isinstance(v, dict))
            raise RecipeError(f"{source}: unknown section [{section}]; known: {known}")
        if not isinstance(entries, dict):
            raise RecipeError(f"{source}: [{section}] must be a table")
        for name, value in entries.items():
            optional = book.optional.get(section, ())
            if name not in base[section] and name not in optional:
                known = ", ".join((*base[section], *optional))
                raise RecipeError(f"{source}: [{section}] has no '{name}'; known: {known}")
            current = base[section].get(name, 0)
            if isinstance(current, dict):
                if not isinstance(value, dict):
                    raise RecipeError(
                        f"{source}: [{section}] {name} = {value!r}: expected a table such as {{ bits = 12 }}"
                    )
                unknown = set(value) - set(TENSOR_KEYS)
                if unknown:
                    raise RecipeError(
                        f"{source}: [{section}] {name} has no '{sorted(unknown)[0]}'; known: {', '.join(TENSOR_KEYS)}"
                    )
                current.update(value)
            elif isinstance(value, bool) or not isinstance(value, (int, float)):
                raise RecipeError(f"{source}: [{section}] {name} = {value!r}: expected a number")
            else:
                base[section][name] = value
