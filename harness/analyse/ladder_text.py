"""What a ladder says in words, for the terminal and the report alike."""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.analyse.ladder import Climb, RankChange
from harness.analyse.multiplier_curve import Fitted
from harness.analyse.scaling import REACH, Multiplier
from harness.analyse.text import count, interval, listing, number, p_text, seeds, signed

ALPHA = 0.05
"""Of a trend that is called one; convention."""

DECADES = 1.5
"""That a ladder should span before E and alpha are read (definitions 3.2)."""

OF = {"FLOPs": "compute", "tokens": "tokens", "seconds": "training time"}


def headline(c: Climb) -> str:
    """`ffn=moe is worth 1.42 times gpt2's compute at 4e+12 FLOPs, 95 % interval 1.31 to 1.54`, and why not if not."""
    if c.reason:
        return f"{c.arm}: no compute multiplier, {c.reason}"
    last = c.worth["FLOPs"][-1]
    if last.multiplier is None:
        return f"{c.arm} at {flops(last.budget)}: no compute multiplier, {last.reason}"
    return f"{c.arm} {worth(last, c.baseline, 'FLOPs')}"


def worth(m: Multiplier, baseline: str, unit: str) -> str:
    """`is worth 1.42 times gpt2's compute at 4e+12 FLOPs, 95 % interval 1.31 to 1.54`."""
    what = f"times {baseline}'s {OF[unit]} at {flops(m.budget)}"
    if m.multiplier is None:
        return f"is worth an unknown number of {what} ({m.reason})"
    ci = f"no interval ({m.reason})" if m.ci95 is None else f"95 % interval {range_text(m)}"
    return f"is worth {factor(m.multiplier)} {what}, {ci}"


def told_apart(m: Multiplier) -> str:
    """The word for a multiplier and its interval."""
    if m.ci95 is None:
        return "no interval"
    return "saves compute" if m.ci95[0] > 1 else "costs compute" if m.ci95[1] < 1 else "not told apart from 1"


def sentences(c: Climb) -> list[str]:
    """Everything that a ladder says of an arm: its worth, in tokens and seconds, its trend, its slope, its signs."""
    if c.reason:
        return [f"{headline(c)}."]
    told = [f"{headline(c)}."]
    known = [m for m in c.worth["FLOPs"] if m.multiplier is not None]
    if known and known[-1] is not c.worth["FLOPs"][-1]:
        told.append(f"At the largest rung that has one, {c.arm} {worth(known[-1], c.baseline, 'FLOPs')}.")
    for unit in ("tokens", "seconds"):
        if unit in c.absent:
            told.append(f"In {unit}: not known, {c.absent[unit]}.")
        elif known:
            m = next(m for m in reversed(c.worth[unit]) if m.multiplier is not None)
            told.append(f"In {unit} it {worth(m, c.baseline, unit)}.")
    return [*told, trend_text(c), slope_text(c), sign_text(c), *([lost_text(c)] if c.lost else [])]


def trend_text(c: Climb) -> str:
    """Whether the multiplier changes with compute: a gain that fades is called so."""
    if c.trend is None:
        return "Whether its worth changes with scale is not known: fewer than two rungs have a multiplier."
    each = f"each doubling of compute multiplies its worth by {number(c.trend.per_doubling, 3)}"
    if c.trend.ci95 is None:
        return f"Whether its worth changes with scale is not known: {each}, without an interval ({c.trend.reason})."
    low, high = c.trend.ci95
    each = f"{each} (95 % interval {number(low, 3)} to {number(high, 3)})"
    if low <= 1 <= high:
        return f"No change of its worth with scale is shown: {each}."
    known = [m for m in c.worth["FLOPs"] if m.multiplier is not None]
    first = known[0].multiplier or 1.0
    gains = first > 1
    if high < 1:
        return f"{'Its gain fades with scale' if gains else 'It falls further behind with scale'}: {each}."
    return f"{'Its gain grows with scale' if gains else 'It catches up with scale'}: {each}."


def slope_text(c: Climb) -> str:
    """The arms' slopes over log C, by the difference in loss."""
    if c.slope is None:
        return "Slopes cannot be compared: too few seeds and rungs to leave a degree of freedom."
    ln2 = math.log(2)
    low, high = c.slope.ci95
    ci = interval((low * ln2, high * ln2))
    said = f"the difference in loss changes by {signed(c.slope.slope * ln2)} {ci} nats per byte"
    shown = "differ" if c.slope.p <= ALPHA else "are not told apart"
    return f"The slopes over log compute {shown}: {said} with each doubling, p = {p_text(c.slope.p)}."


def sign_text(c: Climb) -> str:
    """Whether the arm is on the same side of the baseline at every rung."""
    signs = [d < 0 for d in c.differences]
    if all(signs) or not any(signs):
        return f"The mean loss of {c.arm} is {'below' if signs[0] else 'above'} {c.baseline}'s at every rung."
    below = listing(label for label, sign in zip(c.labels, signs, strict=True) if sign)
    above = listing(label for label, sign in zip(c.labels, signs, strict=True) if not sign)
    return f"The sign flips: the mean loss of {c.arm} is below {c.baseline}'s at {below}, and not at {above}."


def lost_text(c: Climb) -> str:
    """Which seeds are left out."""
    return f"Left out at every rung, because a run is missing at some: {seeds(c.lost)}."


def fit_text(fit: Fitted | None, num_rungs: int) -> str:
    """The baseline's law in a sentence, with how far it may be read."""
    if fit is None:
        return (
            f"{count(num_rungs, 'budget')} carry no law of three parameters; multipliers are read locally, on a line "
            "in log C between the two rungs around a loss."
        )
    law = fit.law
    said = (
        f"The baseline's loss is {number(law.E, 3)} + {number(law.A, 3)} (C / {law.unit:.3g})^-{number(law.alpha, 3)} "
        f"(95 % intervals: E {_floor(fit)}, A {_ci(fit.A)}, alpha {_ci(fit.alpha)}), at most "
        f"{100 * math.expm1(law.residual):.2g} % off at a rung."
    )
    if fit.decades < DECADES:
        said += (
            f" The rungs span {fit.decades:.1f} decades of compute: too few to read E and alpha; between the rungs, "
            f"and up to {REACH:g} times beyond them, the curve is an interpolation."
        )
    return said


def rank_text(change: RankChange) -> str:
    """How arms rank at two rungs."""
    if change.stability is None or change.stability.kendall is None or change.stability.spearman is None:
        return f"{change.smaller} and {change.larger}: {change.reason}"
    s = change.stability
    return (
        f"{change.smaller} and {change.larger}: Kendall's tau {signed(s.kendall, 2)} over {count(s.arms, 'arm')}, "
        f"p = {p_text(s.p)}; {p_text(s.smallest_p)} is the smallest that so few can give"
    )


def flops(budget: float) -> str:
    """`4e+12 FLOPs`."""
    return f"{budget:.3g} FLOPs"


def factor(multiplier: float | None) -> str:
    """Three digits that count: `1.42`, `0.871`, `12.3`."""
    return "n/a" if multiplier is None else f"{multiplier:.3g}"


def range_text(m: Multiplier) -> str:
    """`1.31 to 1.54`."""
    return "no interval" if m.ci95 is None else f"{factor(m.ci95[0])} to {factor(m.ci95[1])}"


def headlines(found: Sequence[Climb], rungs: int) -> str:
    """The answer of a ladder in one line: of one arm its worth, of more how many of each word."""
    if len(found) == 1:
        return headline(found[0])
    words = [told_apart(c.worth["FLOPs"][-1]) if not c.reason else "without a multiplier" for c in found]
    order = ("saves compute", "not told apart from 1", "costs compute", "no interval", "without a multiplier")
    counted = ", ".join(f"{words.count(word)} {word}" for word in order if word in words)
    return f"{count(len(found), 'arm')} against {found[0].baseline} over {count(rungs, 'rung')}: {counted}"


def _floor(fit: Fitted) -> str:
    on_bound = fit.E is None and fit.alpha is not None
    return "not seen, 0 is its bound" if on_bound else _ci(fit.E)


def _ci(ci: tuple[float, float] | None) -> str:
    return "not known" if ci is None else f"{number(ci[0], 3)} to {number(ci[1], 3)}"
