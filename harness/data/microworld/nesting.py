"""Nesting: the beginning of a row of balanced brackets of three kinds (a Dyck language), then what closes it.

    nest ([]{(x)})

Between `fewest` and `most` brackets the beginning ends with a chance of 1 in 6 where something is open; a bracket
closes what is open or opens a kind, half and half where both can be. All after the x is certain, its end too.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

from harness.data.microworld.draft import ANSWER, Bounds, Draft

CLOSE = "x"


@dataclass(frozen=True)
class Nesting:
    kinds: tuple[str, ...] = ("()", "[]", "{}")
    fewest: int = 2  # brackets before the x
    most: int = 16  # or one more, where the most leave nothing open
    deepest: int = 6
    name: str = "nesting"
    opening: str = "nest"

    def write(self, draft: Draft) -> None:
        draft.write(" ")
        closers: list[str] = []
        length = 0
        while True:
            must_stop = length >= self.most and bool(closers)
            may_stop = length >= self.fewest and bool(closers)
            top = closers[-1] if closers else ""
            options, bounds = _options(self.kinds, len(closers) < self.deepest, top, may_stop, must_stop)
            chosen = options[draft.choose(options, bounds=bounds)]
            if chosen == CLOSE:
                break
            length += 1
            if chosen == top:
                closers.pop()
            else:
                closers.append(next(kind[1] for kind in self.kinds if chosen == kind[0]))
        for closer in reversed(closers):
            draft.write(closer, ANSWER)
        draft.write("\n", ANSWER)


@lru_cache(maxsize=1 << 10)
def _options(
    kinds: tuple[str, ...], may_open: bool, top: str, may_stop: bool, must_stop: bool
) -> tuple[tuple[str, ...], Bounds | None]:
    """A draw of the beginning; `top` closes what was opened last, empty where nothing is open."""
    if must_stop:
        return (CLOSE,), None
    n = len(kinds)
    weighted = [(kind[0], 5) for kind in kinds if may_open]
    weighted += [(top, 5 * n)] if top else []
    weighted += [(CLOSE, n * (1 + (may_open and bool(top))))] if may_stop else []  # 1/6 of the sum
    return tuple(word for word, _ in weighted), tuple(accumulate(weight for _, weight in weighted))
