"""Class schemes: the names of fine and coarse classes and which belongs to which.

A label is a fine class's id; -1 is a source of unknown class: it trains reconstruction and is never counted as a class.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from venom_hw.atomic import write_atomically

from .errors import DataError

UNKNOWN = -1
CLASSES_FILE = "classes.json"


@dataclass(frozen=True)
class ClassScheme:
    """Names of the fine and coarse classes; fine class k belongs to coarse class coarse_of[k].

    Attributes:
        name: of the scheme ("applecider", "bts").
        fine, coarse: names, in the order of the ids.
        coarse_of: coarse id of each fine id.
    """

    name: str
    fine: tuple[str, ...]
    coarse: tuple[str, ...]
    coarse_of: tuple[int, ...]

    def __post_init__(self):
        for field in ("fine", "coarse", "coarse_of"):
            object.__setattr__(self, field, tuple(getattr(self, field)))
        for field in ("fine", "coarse"):
            names = getattr(self, field)
            if not names or not all(isinstance(x, str) and x for x in names) or len(set(names)) != len(names):
                raise DataError(f"class scheme '{self.name}'", field, f"names {names}", "names, each once")
        good = all(type(k) is int and 0 <= k < len(self.coarse) for k in self.coarse_of)
        if len(self.coarse_of) != len(self.fine) or not good:
            raise DataError(f"class scheme '{self.name}'", "coarse_of", f"{self.coarse_of}",
                            f"{len(self.fine)} ids from 0 to {len(self.coarse) - 1}")

    def coarse_id(self, fine_id: int) -> int:
        """The coarse class of a fine class; -1 for -1 and for ids that the scheme does not have."""
        fine_id = int(fine_id)
        return self.coarse_of[fine_id] if 0 <= fine_id < len(self.coarse_of) else UNKNOWN

    def fine_name(self, fine_id: int) -> str:
        """Name of a fine class; "unknown" for -1 and ids that the scheme does not have."""
        return self.fine[fine_id] if 0 <= fine_id < len(self.fine) else "unknown"

    def coarse_name(self, coarse_id: int) -> str:
        """Name of a coarse class; "unknown" for -1 and ids that the scheme does not have."""
        return self.coarse[coarse_id] if 0 <= coarse_id < len(self.coarse) else "unknown"

    def to_dict(self) -> dict:
        """For JSON: {"name", "fine": [[name, coarse name], ...], "coarse": [name, ...]}."""
        pairs = [[name, self.coarse[k]] for name, k in zip(self.fine, self.coarse_of, strict=True)]
        return {"name": self.name, "fine": pairs, "coarse": list(self.coarse)}

    @classmethod
    def from_dict(cls, content: Mapping, source: str | Path = "class scheme") -> ClassScheme:
        """The scheme of a `to_dict`. `source` names it in errors (DataError)."""
        try:
            coarse = tuple(content["coarse"])
            fine, belongs = zip(*content["fine"], strict=True)
            return cls(str(content["name"]), fine, coarse, tuple(coarse.index(name) for name in belongs))
        except DataError:
            raise
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(source, None, f"no class scheme ({type(error).__name__}: {error})",
                            '{"name": ..., "fine": [[name, coarse name], ...], "coarse": [names]}') from error

    def save(self, folder: str | Path) -> Path:
        """Writes classes.json into a data folder; its path."""
        return write_atomically(Path(folder) / CLASSES_FILE, json.dumps(self.to_dict(), indent=1) + "\n")


def scheme_of(folder: str | Path) -> ClassScheme:
    """The scheme that a data folder's classes.json gives; APPLECIDER where there is none (DataError if damaged)."""
    path = Path(folder) / CLASSES_FILE
    if not path.is_file():
        return APPLECIDER
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(path, None, f"cannot be read ({error})", "a JSON file") from error
    return ClassScheme.from_dict(content, path)


def _scheme(name: str, groups: Mapping[str, Sequence[str]]) -> ClassScheme:
    """From {coarse name: its fine names}, in order."""
    coarse = tuple(groups)
    pairs = [(fine, k) for k, group in enumerate(coarse) for fine in groups[group]]
    return ClassScheme(name, tuple(fine for fine, _ in pairs), coarse, tuple(k for _, k in pairs))


_APPLECIDER = {"SN Ia": ["SN Ia"], "SN cc": ["SN Ib", "SN Ic", "SN II", "SN IIP", "SN IIn", "SN IIb"],
               "Cataclysmic": ["Cataclysmic"], "AGN": ["AGN"], "TDE": ["TDE"]}

# The original's classes; its label files hold these fine ids.
APPLECIDER = _scheme("applecider", _APPLECIDER)
# With a place for synthetic kilonovae and afterglows: fine id 10, coarse id 5.
APPLECIDER6 = _scheme("applecider6", {**_APPLECIDER, "other": ["other"]})

# The Bright Transient Survey's classes. Superluminous supernovae stand apart from core collapse: their light curves
# and, for hydrogen-poor ones, their engines are others.
BTS = _scheme("bts", {"SN Ia": ["SN Ia"], "core collapse": ["SN Ib", "SN Ic", "SN II", "SN IIn", "SN IIb"],
                      "other": ["SLSN", "nova", "TDE", "gap transient"]})
BTS_TYPES = {
    "SN Ia": ("SN Ia", "SN Ia-91T", "SN Ia-91bg", "SN Ia-pec", "SN Ia-CSM", "SN Iax"),
    "SN Ib": ("SN Ib", "SN Ib/c", "SN Ib-pec", "SN Ibn"),
    "SN Ic": ("SN Ic", "SN Ic-BL", "SN Icn"),
    "SN II": ("SN II", "SN IIP", "SN II-pec"),
    "SN IIn": ("SN IIn",),
    "SN IIb": ("SN IIb",),
    "SLSN": ("SLSN-I", "SLSN-II"),
    "nova": ("nova",),
    "TDE": ("TDE",),
    "gap transient": ("ILRT", "LRN", "Ca-rich"),
}


def bts_label(kind: str) -> int:
    """Fine id in `BTS` of a spectroscopic type of the survey ("SN Ia-91T"); -1 where it is in no class."""
    for name, kinds in BTS_TYPES.items():
        if kind in kinds:
            return BTS.fine.index(name)
    return UNKNOWN
