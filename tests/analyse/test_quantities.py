"""Numbers as words."""

from __future__ import annotations

import pytest

from harness.analyse.quantities import change, percent, rate, rounded, rounded_interval, size


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "n/a"),
        (0.0, "0"),
        (0.012345, "0.0123"),
        (1.0, "1.00"),
        (9.999, "10.0"),
        (999.6, "1,000"),
        (12.34, "12.3"),
        (999.4, "999"),
        (12345.0, "12,300"),
        (-12345.0, "-12,300"),
        (3.2e13, "3.20e+13"),
    ],
)
def test_three_digits_that_count(value: float | None, text: str) -> None:
    assert rounded(value) == text


def test_shares_are_never_rounded_to_nothing() -> None:
    assert [percent(x) for x in (None, 0.0, 0.0004, 0.1234, 1.0)] == ["n/a", "0 %", "< 0.1 %", "12.3 %", "100.0 %"]
    assert percent(0.004, 0) == "< 1 %"


def test_sizes_and_rates() -> None:
    assert [size(x) for x in (None, 768, 1024, 6 * 2**20)] == ["n/a", "768 B", "1.00 KiB", "6.00 MiB"]
    assert [rate(x, "FLOP/s") for x in (None, 12.0, 1.884e11)] == ["unknown", "12.0 FLOP/s", "188 GFLOP/s"]
    assert rounded_interval((1.2, 1.31)) == "[1.20, 1.31]"
    assert rounded_interval(None) == "no interval"
    assert change((-2.14, -2.6, 0.0)) == "-2.1 % [-2.6, +0.0]"
    assert change(None) == "n/a"
