"""From an estimate with its interval, and what a claim says of it, to one word.

    supported       the interval lies beyond the smallest effect of interest (SESOI), in the claimed direction; or
                    inside the claimed range, or beyond the claimed bound
    direction only  it excludes no effect, in the claimed direction, and not the SESOI (or not the claimed bound)
    equivalent      two one-sided tests put the effect within the SESOI or the margin of none
    refuted         the interval excludes what is claimed
    inconclusive    none of these

A rule is the words it can give in their order, each with the statement that must hold of the interval. Smaller levels
give longer intervals, so a statement that holds at one level holds at every larger one; the smallest is its p-value.
In a family Holm's procedure is made over the questions, word by word, as harness/analyse/comparison.py does for
differences and equivalence: the chance that any question is given that word falsely is at most the level.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from scipy import special

from harness.analyse.finite import Interval
from harness.analyse.statistics import holm

Word = Literal["supported", "direction only", "equivalent", "refuted", "inconclusive", "not tested", "pending"]

WORDS: dict[Word, str] = {
    "supported": "the interval lies beyond the smallest effect of interest, as claimed",
    "direction only": "no effect is excluded, the smallest effect of interest is not",
    "equivalent": "within the margin, by two one-sided tests",
    "refuted": "the interval excludes what is claimed",
    "inconclusive": "the data do not decide",
    "not tested": "it cannot be tested on this device or with this program, and is not guessed at",
    "pending": "its runs are not all there yet",
}

LEVEL = 0.05  # convention; of one question, or of the whole confirmatory family


Shape = Literal["plain", "ratio", "percent"]

SHAPES: dict[Shape, Callable[[float], float]] = {
    "plain": lambda x: x,
    "ratio": lambda x: math.exp(min(x, 700.0)),
    "percent": lambda x: 100 * math.expm1(min(x, 700.0)),
}
"""How an estimate is shown and held against limits; the last two are of logarithms of ratios. All of them rise."""


@dataclass(frozen=True)
class Effect:
    """An estimate `raw`, and `value` through its shape. With `error` and `df` its intervals are Student's; else only
    `ci95` and `ci90` are known, or neither, for a number that is exact.
    """

    raw: float
    n: int  # seeds, blocks, or 1 for an exact number
    error: float | None = None
    df: float | None = None
    ci95: Interval | None = None
    ci90: Interval | None = None
    shape: Shape = "plain"

    @property
    def value(self) -> float:
        return SHAPES[self.shape](self.raw)

    @property
    def exact(self) -> bool:
        return self.error is None and self.ci95 is None

    def interval(self, level: float) -> Interval:
        """Of coverage 1 - level, through the shape.

        Raises:
            ValueError: only the 95 % and 90 % intervals are known.
        """
        low, high = self._interval(level)
        return SHAPES[self.shape](low), SHAPES[self.shape](high)

    def _interval(self, level: float) -> Interval:
        if self.error is not None and self.df is not None:
            half = -float(special.stdtrit(self.df, level / 2)) * self.error if self.error > 0 and level < 1 else 0.0
            return self.raw - half, self.raw + half
        known = {0.05: self.ci95, 0.1: self.ci90}.get(round(level, 12))
        if known is not None:
            return known
        if self.exact:
            return self.raw, self.raw
        raise ValueError(f"only intervals of 95 and 90 % are known here, asked for {1 - level:.3%}")


Limits = Mapping[str, float]
Statement = Callable[[Effect, Limits, float], bool]
"""Whether something holds of an effect's interval of coverage 1 - level, under the limits of the claim."""


def _null(limits: Limits) -> float:
    return limits.get("null", 0.0)


def _less(effect: Effect, bound: float, level: float) -> bool:
    return effect.interval(level)[1] < bound


def _more(effect: Effect, bound: float, level: float) -> bool:
    return effect.interval(level)[0] > bound


def _within(effect: Effect, null: float, margin: float, level: float) -> bool:
    """Two one-sided tests at `level` each."""
    if margin <= 0:
        return False
    low, high = effect.interval(min(1.0, 2 * level))
    return null - margin < low and high < null + margin


def _inside(effect: Effect, limits: Limits, level: float) -> bool:
    low, high = effect.interval(level)
    return limits["low"] <= low and high <= limits["high"]


def _outside(effect: Effect, limits: Limits, level: float) -> bool:
    return _less(effect, limits["low"], level) or _more(effect, limits["high"], level)


def _of_its_sign(effect: Effect, limits: Limits, level: float) -> bool:
    return _more(effect, 0.0, level) if limits["low"] >= 0 else _less(effect, 0.0, level)


def _as_expected(effect: Effect, limits: Limits, level: float) -> bool:
    return abs(effect.value - limits.get("expected", 0.0)) <= limits.get("tolerance", 0.0)


class Allowed(NamedTuple):
    """A word that a rule can give, and the statement that must hold for it."""

    word: Word
    holds: Statement


RULES: dict[str, tuple[Allowed, ...]] = {
    "below": (  # less than `null` (0), by `sesoi` (0) or more
        Allowed("supported", lambda e, c, a: _less(e, _null(c) - c.get("sesoi", 0.0), a)),
        Allowed("equivalent", lambda e, c, a: _within(e, _null(c), c.get("sesoi", 0.0), a)),
        Allowed("direction only", lambda e, c, a: _less(e, _null(c), a)),
        Allowed("refuted", lambda e, c, a: _more(e, _null(c), a)),
    ),
    "above": (  # more than `null` (0), by `sesoi` (0) or more
        Allowed("supported", lambda e, c, a: _more(e, _null(c) + c.get("sesoi", 0.0), a)),
        Allowed("equivalent", lambda e, c, a: _within(e, _null(c), c.get("sesoi", 0.0), a)),
        Allowed("direction only", lambda e, c, a: _more(e, _null(c), a)),
        Allowed("refuted", lambda e, c, a: _less(e, _null(c), a)),
    ),
    "equal": (  # `null` (0), within `margin`; a difference that may be smaller than the margin is a direction only
        Allowed("equivalent", lambda e, c, a: _within(e, _null(c), c["margin"], a)),
        Allowed("refuted", lambda e, c, a: _less(e, _null(c) - c["margin"], a) or _more(e, _null(c) + c["margin"], a)),
        Allowed("direction only", lambda e, c, a: _less(e, _null(c), a) or _more(e, _null(c), a)),
    ),
    "range": (  # between `low` and `high`, both of one sign
        Allowed("supported", _inside),
        Allowed("refuted", _outside),
        Allowed("direction only", _of_its_sign),
    ),
    "at_least": (  # `value_claimed` or more; `null` (0) is no effect
        Allowed("supported", lambda e, c, a: e.interval(a)[0] >= c["value_claimed"]),
        Allowed("refuted", lambda e, c, a: _less(e, c["value_claimed"], a)),
        Allowed("direction only", lambda e, c, a: _more(e, _null(c), a)),
    ),
    "at_most": (  # `value_claimed` or less; without a `null` there is no direction to fall back on
        Allowed("supported", lambda e, c, a: e.interval(a)[1] <= c["value_claimed"]),
        Allowed("refuted", lambda e, c, a: _more(e, c["value_claimed"], a)),
        Allowed("direction only", lambda e, c, a: _less(e, c.get("null", -math.inf), a)),
    ),
    "exact": (  # `expected` (0) within `tolerance` (0), a number without sampling
        Allowed("supported", _as_expected),
        Allowed("refuted", lambda e, c, a: not _as_expected(e, c, a)),
    ),
}
"""What a claim says of its number, by the name it is declared under."""


class Asked(NamedTuple):
    """A question as a rule sees it."""

    rule: str
    effect: Effect
    limits: Limits


class Judged(NamedTuple):
    """A word, and of a member of a family its p-value as adjusted by Holm: that of the word, or the smallest of those
    that were not given.
    """

    word: Word
    p_adjusted: float | None = None


def judge(question: Asked, level: float = LEVEL) -> Judged:
    """The word of a question that stands alone."""
    for allowed in RULES[question.rule]:
        if allowed.holds(question.effect, question.limits, level):
            return Judged(allowed.word)
    return Judged("inconclusive")


def judge_family(questions: Sequence[Asked | None]) -> list[Judged | None]:
    """The words of a family: each is given at `LEVEL` for all questions together (Holm 1979), word by word.

    Args:
        questions: None is a member without data, which counts in the size of the family and is given no word.
    """
    adjusted: list[dict[Word, float]] = [{} for _ in questions]
    words: set[Word] = {allowed.word for rule in RULES.values() for allowed in rule}
    for word in words:
        p = [1.0 if q is None else smallest_level(q, word) for q in questions]
        for i, value in enumerate(holm(p)):
            adjusted[i][word] = 1.0 if value is None else value
    return [None if q is None else _given(q, p) for q, p in zip(questions, adjusted, strict=True)]


def _given(question: Asked, p: Mapping[Word, float]) -> Judged:
    words: list[Word] = [allowed.word for allowed in RULES[question.rule]]
    for word in words:
        if p[word] <= LEVEL:
            return Judged(word, p[word])
    return Judged("inconclusive", min(p[word] for word in words))


def smallest_level(question: Asked, word: Word) -> float:
    """The smallest level at which the word's statement holds, which is its p-value; 1 where it never does."""
    holds = next((allowed.holds for allowed in RULES[question.rule] if allowed.word == word), None)
    if holds is None or not holds(question.effect, question.limits, 1 - 1e-9):
        return 1.0
    low, high = -300.0, 0.0  # of log level; below 1e-130 nothing depends on it
    for _ in range(40):  # to a relative 3e-10
        middle = (low + high) / 2
        low, high = (low, middle) if holds(question.effect, question.limits, math.exp(middle)) else (middle, high)
    return math.exp(high)
