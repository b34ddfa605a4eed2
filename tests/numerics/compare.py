"""What differs between golden numbers and new ones, in sentences: where it began, and what it did to the losses."""

from __future__ import annotations

from tests.numerics.record import Numbers, Print

LOSS_BOUND = 2e-5
"""Largest relative difference of a loss between classes of machine. Measured: 3.2e-6 (docs/numerics.md)."""

SIZE_BOUND = 1e-4
"""The same of the sizes of prints, by which a module is named there. Measured: 1e-5."""

NOTHING = 1e-6
"""Sizes below are rounding errors alone: a key's bias has no gradient but for them (measured: 1e-9)."""


def same(golden: Numbers, now: Numbers) -> bool:
    """Every loss and every print that both have, bit for bit. A module under another name is no change of numbers."""
    return golden.losses == now.losses and first_difference(golden, now, exact=True) is None


def within_bound(golden: Numbers, now: Numbers) -> bool:
    """Whether two classes of machine agree: every loss within `LOSS_BOUND`."""
    pairs = zip(golden.losses, now.losses, strict=True)
    return all(abs(a - b) <= LOSS_BOUND * abs(a) for a, b in pairs)


def first_difference(golden: Numbers, now: Numbers, *, exact: bool) -> tuple[Print, Print] | None:
    """The first print in the order of computation that differs, as it was and as it is."""
    known = {p.name: p for p in golden.prints}
    both = ((known[p.name], p) for p in now.prints if p.name in known)
    return next(((a, b) for a, b in both if (a.digest != b.digest if exact else _moved(a, b))), None)


def _moved(a: Print, b: Print) -> bool:
    return abs(a.size - b.size) > SIZE_BOUND * max(a.size, b.size) and max(a.size, b.size) > NOTHING


def sentences(family: str, golden: Numbers, now: Numbers, *, exact: bool) -> list[str]:
    """What changed in a family, for whoever must find out why."""
    lines = [f"{family}: {_where(golden, now, exact)}", _losses(golden, now, exact)]
    old, new = {p.name for p in golden.prints}, {p.name for p in now.prints}
    for what, names in (("no longer there", old - new), ("new", new - old)):
        if names:
            lines.append(f"{what}: {', '.join(sorted(names)[:5])}{', ...' * (len(names) > 5)}")
    return ["\n  ".join(lines)]


def _where(golden: Numbers, now: Numbers, exact: bool) -> str:
    found = first_difference(golden, now, exact=exact)
    if found is None:
        return "no module of step 0 differs: what changed is the optimizer, the schedule or the data of later steps"
    before, after = found
    moved = "the size is the same to 6 digits" if before.size == after.size else f"size {before.size} -> {after.size}"
    return f"the first that differs in step 0 is {before.name} ({moved})"


def _losses(golden: Numbers, now: Numbers, exact: bool) -> str:
    bound = 0.0 if exact else LOSS_BOUND
    for step, (a, b) in enumerate(zip(golden.losses, now.losses, strict=True)):
        if abs(a - b) > bound * abs(a):
            worst = max(abs(b / a - 1) for a, b in zip(golden.losses, now.losses, strict=True))
            return f"the loss differs from step {step} on, {a:.9g} -> {b:.9g}; at most by {worst:.1e} of it"
    return "no loss differs"
