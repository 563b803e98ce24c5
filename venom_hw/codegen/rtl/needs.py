"""Forms that an operation waits for as signals (see `elaborate`)."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

import numpy as np

from venom_hw.codegen.rtl.forms import Form
from venom_hw.codegen.rtl.sums import Request

if TYPE_CHECKING:
    from venom_hw.codegen.rtl.elaborate import Elaboration

Needs = Generator[list[Request], None, np.ndarray]
"""Yields what has to become signals, returns the forms of a node (or what was asked for)."""


def shifted_signals(e: Elaboration, forms: dict) -> Needs:
    """Forms as (signal << shift) where they are one, as new signals otherwise: {key: (form, label)} -> {key: Form}."""
    wanted = {key: Request(f, label) for key, (f, label) in forms.items() if f.terms and f.shifted is None}
    yield list(wanted.values())
    return {key: Form({e.sums.get(wanted[key].form): 1}) if key in wanted else f for key, (f, _) in forms.items()}


def plain_signals(e: Elaboration, requests: dict) -> Needs:
    """Forms as signals: {key: Request} -> {key: name}."""
    yield list(requests.values())
    return {key: e.sums.get(request.form) for key, request in requests.items()}
