"""Means over seeds with Student's interval, and axes that a wide band cannot stretch out of use."""

from __future__ import annotations

import pytest
from scipy import stats

from harness.analyse.levels import Band, Level, band, level, limits

VALUES = [1.65, 1.66, 1.64, 1.67, 1.655]


def test_the_interval_is_that_of_one_sample() -> None:
    found = level(VALUES)
    assert found is not None
    reference = stats.ttest_1samp(VALUES, 0.0).confidence_interval()
    assert (found.mean, found.n) == (pytest.approx(1.655), 5)
    assert found.ci95 == pytest.approx((reference.low, reference.high))


def test_one_seed_has_no_interval_and_nothing_has_no_level() -> None:
    assert level([1.5]) == Level(1.5, None, 1)
    assert level([]) is None
    assert level([2.0, 2.0]) == Level(2.0, (2.0, 2.0), 2)


def test_a_band_is_sorted_and_leaves_out_what_was_not_found() -> None:
    found = band({4.0: [1.0], 1.0: [3.0, 5.0], 2.0: []})
    assert found.xs == (1.0, 4.0)
    assert [at.mean for at in found.levels] == [4.0, 1.0]
    assert band({}) == Band((), ())


def test_an_axis_holds_the_lines_and_not_all_of_a_wide_band() -> None:
    narrow = Band((1, 2), (Level(1.0, (0.9, 1.1), 4), Level(3.0, (2.9, 3.1), 4)))
    found = limits([narrow])
    assert found is not None
    assert found[0] < 0.9 < 3.1 < found[1] < 3.4
    wild = Band((1, 2), (Level(1.0, (-500.0, 502.0), 2), Level(3.0, (2.9, 3.1), 4)))
    cut = limits([wild, narrow])
    assert cut is not None
    assert cut[0] < 1.0
    assert cut[1] > 3.0
    assert cut[1] - cut[0] < 8
    flat = limits([Band((1,), (Level(2.0, (1.0, 3.0), 4),))])
    assert flat is not None
    assert flat[0] < 1.0 < 3.0 < flat[1]
    alone = limits([Band((1,), (Level(0.0, None, 1),))])
    assert alone is not None
    assert alone[0] < 0.0 < alone[1]
    assert limits([]) is None
