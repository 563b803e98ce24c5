"""Linear forms made into signals: many at once, so that rows over the same inputs share their adders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from venom_hw.codegen.rtl.adder_graph import Plan, Term, adder_bits, scaled
from venom_hw.codegen.rtl.adder_search import best_plan
from venom_hw.codegen.rtl.forms import CellList, Form, Label, meet, power_of_two
from venom_hw.codegen.rtl.strategies import Strategies

Carry = tuple[str, int]
"""A signal of one bit and its shift."""


@dataclass(frozen=True)
class Request:
    """A form that is needed as one signal; `known` are bounds that its terms alone do not prove."""

    form: Form
    label: Label
    known: tuple[int, int] | None = None


class Sums:
    """Makes signals of forms, once each."""

    def __init__(self, cells: CellList, strategies: Strategies):
        self.cells, self.strategies = cells, strategies
        self._made: dict[tuple, str] = {}

    def get(self, form: Form) -> str | None:
        """The signal of a form, if there is one already."""
        return form.signal or self._made.get(form.key)

    def make(self, requests: Sequence[Request]) -> None:
        """Cells for every request that has no signal yet."""
        todo: dict[tuple, Request] = {}
        for request in requests:
            if self.get(request.form) is None:
                todo.setdefault(request.form.key, request)
        sums = []
        for key, request in todo.items():
            if not request.form.terms:
                self._made[key] = self.cells.constant(request.form.constant, request.label)
            elif len(request.form.terms) == 1 and power_of_two(*request.form.terms.values()) is not None:
                ((name, coefficient),) = request.form.terms.items()
                term = (name, power_of_two(coefficient), coefficient < 0)
                self._made[key] = self.cells.add([term], request.form.constant, request.label, request.known)
            else:
                sums.append(request)
        for group in _connected(sums):
            self._make_group(group)

    def _make_group(self, group: Sequence[Request]) -> None:
        carries = {r.form.key: carry for r in group if (carry := self._carry(r.form)) is not None}
        rows = [{n: c for n, c in r.form.terms.items() if n != carries.get(r.form.key, ("",))[0]} for r in group]
        if self.strategies.constant_matrix == "dsp":
            rows = [self._multiplied(r.label, row) for r, row in zip(group, rows, strict=True)]
        names = list(dict.fromkeys(name for row in rows for name in row))
        matrix = np.array([[row.get(name, 0) for name in names] for row in rows], object)
        bounds = [(self.cells[n].lo, self.cells[n].hi) for n in names]
        levels = [self.cells.levels[n] for n in names]
        search = self.strategies.search if self.strategies.constant_matrix == "adder_graph" else 0
        plan = best_plan(matrix, bounds, levels, search=search)
        self._emit(plan, names, group, carries)

    def _carry(self, form: Form) -> Carry | None:
        """A term of one bit, added where the sum's last adder has its carry input; only beside two other terms."""
        for name, coefficient in form.terms.items():
            shift = power_of_two(coefficient)
            bit = (self.cells[name].lo, self.cells[name].hi) == (0, 1)
            if bit and shift is not None and coefficient > 0 and len(form.terms) > 2:
                return name, shift
        return None

    def _multiplied(self, label: Label, row: Mapping[str, int]) -> dict[str, int]:
        """A multiplier for each coefficient that is no power of two; the sum that is left."""
        out: dict[str, int] = {}
        for name, coefficient in row.items():
            if power_of_two(coefficient) is None:
                name, coefficient = self._product(label, name, coefficient)
            out[name] = out.get(name, 0) + coefficient
        return out

    def _product(self, label: Label, name: str, coefficient: int) -> tuple[str, int]:
        shift = (coefficient & -coefficient).bit_length() - 1
        weight = coefficient >> shift
        constant = self.cells.constant(weight, label.part(f"weight_{'m' * (weight < 0)}{abs(weight)}"))
        signal = self.cells[name]
        lo, hi = sorted((signal.lo * weight, signal.hi * weight))
        part = label.part(f"times_{name}")
        return self.cells.new("mul", part, lo, hi, (name, constant), {}, "dsp"), 1 << shift

    def _emit(
        self, plan: Plan, names: Sequence[str], group: Sequence[Request], carries: Mapping[tuple, Carry]
    ) -> None:
        """Cells of a plan. A row whose last adder is its own takes its shift, sign and constant into its adders."""
        own = {}  # last adder -> the row that alone reads it
        first = len(plan.bounds)
        for request, row in zip(group, plan.rows, strict=True):
            if row is not None and row.node >= first and plan.uses[row.node] == 1:
                own[row.node] = (request, row)
        owner = _owners(plan, group)
        carry = {node: carries[r.form.key] for node, (r, _) in own.items() if r.form.key in carries}
        places = self._constant_places(plan, names, own, carry)
        signals, offsets = list(names), [0] * len(names)  # offsets: constants in a signal beyond its node's value
        for k, pair in enumerate(plan.adders):
            node = first + k
            label = own[node][0].label if node in own else owner[node].part(f"part_{k}")
            row = own[node][1] if node in own else Term(node, 0, False)
            terms, offset = [], places.get(node, 0)
            for side, term in enumerate(pair):
                shift, negate = term.shift + row.shift, term.negate != row.negate
                offset += (-offsets[term.node] if negate else offsets[term.node]) << shift
                term = (signals[term.node], shift, negate)
                if (node, side) in places:
                    offset += places[node, side]
                    part = owner[node].part("offset", "with the row's constant")
                    term = (self.cells.add([term], places[node, side], part), 0, False)
                terms.append(term)
            known = tuple(end + offset for end in scaled(plan.node_bounds[node], Term(node, row.shift, row.negate)))
            if node in carry:
                known = (known[0], known[1] + (1 << carry[node][1]))
                terms = self._with_carry(terms, carry[node], places.get(node, 0), label)
            if node in own and own[node][0].known is not None:
                known = meet(known, own[node][0].known)
            signals.append(self.cells.add(terms, places.get(node, 0), label, known))
            offsets.append(offset)
            if node in own:
                self._made[own[node][0].form.key] = signals[-1]
        for request, row in zip(group, plan.rows, strict=True):
            if request.form.key not in self._made:
                terms = [(signals[row.node], row.shift, row.negate)]
                form = Form({signals[row.node]: (-1 if row.negate else 1) << row.shift}, request.form.constant)
                if request.form.key in carries:
                    form, terms = Form({}), [*terms, (*carries[request.form.key], False)]
                signal = form.signal or self.cells.add(terms, request.form.constant, request.label, request.known)
                self._made[request.form.key] = signal

    def _with_carry(self, terms: list, carry: Carry, constant: int, label: Label) -> list:
        """The terms of an adder with a third of one bit: its carry, or on an operand where it enters elsewhere."""
        (_, low, minus), (_, high, also) = sorted(terms, key=lambda t: t[1])
        if not constant and not minus and not also and high == carry[1]:
            return [*terms, (*carry, False)]
        first, *rest = terms
        return [(self.cells.add([first, (*carry, False)], 0, label.part("increment")), 0, False), *rest]

    def _constant_places(self, plan: Plan, names: Sequence[str], own: dict, carry: Mapping[int, Carry]) -> dict:
        """Where the rows' constants are added: {adder: constant} in zero bits, {(adder, side): constant} on an operand.

        An operand that waits for the other one anyway costs no clock; of those, the narrowest sum.
        """
        levels = [self.cells.levels[name] for name in names]
        clocks = self.strategies.latencies["add"]
        for a, b in plan.adders:
            levels.append(max(levels[a.node], levels[b.node]) + clocks)
        places: dict = {}
        for node, (request, row) in own.items():
            if request.form.constant:
                found = list(_places(plan, node, row, request.form.constant))
                if node in carry:  # its carry enters where the adder begins: the constant must not begin it lower
                    shifts = [term.shift for term in plan.adders[node - len(names)]]
                    above = shifts.index(max(shifts))
                    found = [f for f in found if f[1] != node or (f[0] and f[2] != above)]
                late = [
                    max(0, levels[plan.adders[at - len(names)][side].node] + 2 * clocks - levels[at]) if cost else 0
                    for cost, at, side, _ in found
                ]
                best = min(range(len(found)), key=lambda k: (found[k][0] > 0, late[k], found[k][0], found[k][1]))
                cost, at, side, value = found[best]
                places[(at, side) if cost else at] = value
        return places


def _places(plan: Plan, root: int, row: Term, constant: int) -> Iterator[tuple[int, int, int, int]]:
    """Where a row's constant can be added among the adders that only it reads: (adder bits, adder, side, value).

    No adder bits: in the zero bits under a shifted operand.
    """
    first = len(plan.bounds)
    todo = [(root, 0, False)]  # adder, its shift and sign in the row
    while todo:
        at, depth, minus = todo.pop()
        value = -constant if minus else constant
        exact, value = value & ((1 << depth) - 1) == 0, value >> depth
        outer = row if at == root else Term(at, 0, False)
        for side, term in enumerate(plan.adders[at - first]):
            shift, negate = term.shift + outer.shift, term.negate != outer.negate
            if exact and not negate and 0 < value < 1 << shift:
                yield 0, at, side, value
            if exact:
                lo, hi = scaled(plan.node_bounds[term.node], Term(0, shift, negate))
                yield max(1, adder_bits((lo + value, hi + value), [(shift, negate)], value)), at, side, value
            if term.node >= first and plan.uses[term.node] == 1:
                todo.append((term.node, depth + shift, minus != negate))


def _owners(plan: Plan, group: Sequence[Request]) -> dict[int, Label]:
    """The label of the first row that reads each node, directly or not."""
    owner: dict[int, Label] = {}
    for request, row in zip(group, plan.rows, strict=True):
        if row is not None:
            owner.setdefault(row.node, request.label)
    first = len(plan.bounds)
    for k in reversed(range(len(plan.adders))):
        for term in plan.adders[k]:
            if first + k in owner:
                owner.setdefault(term.node, owner[first + k])
    return owner


def _connected(requests: Sequence[Request]) -> list[list[Request]]:
    """Groups of requests that have signals in common."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        parent.setdefault(name, name)
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for request in requests:
        first, *rest = request.form.terms
        for name in rest:
            parent[root(name)] = root(first)
    groups: dict[str, list[Request]] = {}
    for request in requests:
        groups.setdefault(root(next(iter(request.form.terms))), []).append(request)
    return list(groups.values())
