"""The sign-flip test: is the mean difference zero, judged without a normal distribution?

Under the null hypothesis each seed's difference is as likely to have the other sign (its distribution is symmetric
about zero), so every pattern of signs was as likely as the observed one. Fisher (1935), The Design of Experiments,
section 21; Ernst (2004), Statist. Sci. 19:676. Of 2^n patterns the observed one and its mirror image are the least
that can be as extreme: the two-sided p cannot be below 2^(1-n), and a test that cannot reach its level says nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from harness.analyse.finite import finite, level

MOST_EXACT_SEEDS = 17
"""Up to here all 2^(n-1) patterns are tried: 65,536, under a second for 40 arms (measured on one core)."""

DRAWS = 65_536
"""Random patterns beyond: the standard error of a p of 0.05 is then 0.0009 (binomial)."""

BLOCK = 2**22
"""Signs held at a time, 64 MiB with what makes them: 65,536 patterns of 5,000 seeds would be 5 GB (measured)."""

TIE = 1e-12  # relative; patterns whose sums differ by rounding alone are as extreme as each other


class SignFlip(NamedTuple):
    """A two-sided p-value; None with the `reason` where no outcome of so few seeds could have been significant."""

    p: float | None
    smallest: float  # the least p that n seeds can give
    exact: bool  # every pattern was tried
    reason: str = ""


def smallest_p(n: int) -> float:
    """2^(1-n): the least two-sided p of a sign-flip test with n seeds."""
    if n < 1:
        raise ValueError(f"a sign-flip test needs at least 1 seed, got {n}")
    return 2.0 ** (1 - n)


def seeds_to_reach(alpha: float, tests: int = 1) -> int:
    """The fewest seeds with 2^(1-n) <= alpha / tests: Holm's first step over that many tests can then be passed."""
    return max(1, math.ceil(1 - math.log2(level(alpha) / tests) - 1e-12))


def sign_flip(
    differences: Sequence[float], alpha: float = 0.05, tests: int = 1, *, draws: int = DRAWS, seed: int = 0
) -> SignFlip:
    """The two-sided sign-flip test of the mean, exact up to MOST_EXACT_SEEDS seeds.

    Args:
        tests: how many tests share `alpha` by Holm's rule: the smallest p must reach alpha / tests.
        draws, seed: random patterns where there are too many; p = (1 + hits) / (1 + draws), which is never 0 and keeps
            the level (Phipson and Smyth 2010, Stat. Appl. Genet. Mol. Biol. 9:39).

    Raises:
        ValueError: a difference is not finite, or there are none.
    """
    values = finite(differences, "a sign-flip test", least=1)
    n = values.size
    reason = why_unreachable(n, alpha, tests)
    exact = n <= MOST_EXACT_SEEDS
    if reason:
        return SignFlip(None, smallest_p(n), exact, reason)
    sums = np.abs(np.concatenate([block @ values for block in sign_blocks(n, draws=draws, seed=seed)]))
    extreme = int(np.count_nonzero(sums >= abs(values.sum()) - TIE * np.abs(values).sum()))
    p = extreme / len(sums) if exact else (1 + extreme) / (1 + len(sums))
    return SignFlip(p, smallest_p(n), exact)


def why_unreachable(n: int, alpha: float, tests: int = 1) -> str:
    """Why n seeds can never pass a sign-flip test at alpha / tests; empty when they can."""
    if smallest_p(n) <= level(alpha) / tests:
        return ""
    shared = f" shared by {tests} tests" if tests > 1 else ""
    return (
        f"{n} seeds give a sign-flip p of at least {smallest_p(n):.2g}, above the level {alpha:g}{shared}; "
        f"run {seeds_to_reach(alpha, tests)} seeds or use the t-test"
    )


def sign_blocks(n: int, *, draws: int = DRAWS, seed: int = 0) -> Iterator[np.ndarray]:
    """The rows of `sign_patterns` in order, about `BLOCK` signs at a time."""
    if n <= MOST_EXACT_SEEDS:
        yield sign_patterns(n)
        return
    rng, rows = np.random.default_rng(seed), max(1, BLOCK // n)
    for start in range(0, draws, rows):
        yield _random(rng, min(rows, draws - start), n)


def _random(rng: np.random.Generator, rows: int, n: int) -> np.ndarray:
    words = rng.integers(0, 2**64, (rows, -(-n // 64)), dtype=np.uint64)  # 64 signs a draw
    signs = np.unpackbits(words.view(np.uint8), axis=1, count=n) * 2.0 - 1.0
    signs[:, 0] = 1.0
    return signs


def sign_patterns(n: int, *, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """(patterns, n) of +1 and -1: all that differ by more than a flip of everything, else `draws` random ones.

    The first sign is +1 in every pattern: flipping all of them changes no two-sided statistic.
    """
    if n > MOST_EXACT_SEEDS:
        return _random(np.random.default_rng(seed), draws, n)
    signs = 1.0 - 2.0 * ((np.arange(2 ** (n - 1))[:, None] >> np.arange(n)) & 1)
    signs = signs[:, ::-1]
    signs[:, 0] = 1.0
    return signs
