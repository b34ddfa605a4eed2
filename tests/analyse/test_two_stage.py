"""Screen and confirm: fresh seeds only, no winner's curse, and the family's error by simulation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import scipy.stats

from harness.analyse import two_stage as ours
from harness.analyse.statistics import holm, paired_t
from harness.records.registration import SCREENING_LEVEL

stats: Any = scipy.stats  # its own annotations do not know the results' fields

SCREEN = {"good": {0: -0.05, 1: -0.04, 2: -0.06}, "none": {0: 0.01, 1: -0.02, 2: 0.02}, "bad": {0: 0.2, 1: 0.3, 2: 0.2}}


def test_the_screen_is_a_one_sided_t_test() -> None:
    rows = {row.arm: row for row in ours.screen(SCREEN)}
    for arm, values in SCREEN.items():
        reference = stats.ttest_1samp(list(values.values()), 0.0, alternative="less").pvalue
        assert rows[arm].p_better == pytest.approx(reference)
        assert rows[arm].goes_on == (reference <= SCREENING_LEVEL)
    higher = {row.arm: row.goes_on for row in ours.screen(SCREEN, "higher")}
    assert higher == {"good": False, "none": False, "bad": True}


def test_at_most_so_many_go_on_the_surest_first() -> None:
    arms = {
        name: {seed: -effect + 0.001 * seed for seed in range(3)}
        for name, effect in (("a", 0.1), ("b", 0.3), ("c", 0.2))
    }
    rows = ours.screen(arms, most=2)
    assert [row.arm for row in rows if row.goes_on] == ["b", "c"]
    assert "only 2 go on" in rows[0].reason


def test_confirming_uses_fresh_seeds_alone() -> None:
    screened = ours.screen(SCREEN)
    fresh = {"good": {10: -0.03, 11: -0.02, 12: -0.025, 13: -0.03}}
    (found,) = ours.confirm(screened, [0, 1, 2], fresh)
    assert found.test == paired_t(list(fresh["good"].values()))
    assert found.screened_mean == pytest.approx(-0.05)
    assert found.seeds == (10, 11, 12, 13)
    assert found.p_adjusted == found.test.p
    with pytest.raises(ValueError, match=r"seeds the screen has not seen, got \[2\]"):
        ours.confirm(screened, [0, 1, 2], {"good": {2: -0.03, 11: -0.02}})
    with pytest.raises(ValueError, match="exactly the arms that went on"):
        ours.confirm(screened, [0, 1, 2], {"bad": {10: 0.2, 11: 0.2}})


def test_the_level_is_shared_among_those_that_went_on() -> None:
    screened = [ours.Screened(arm, -1.0, 0.01, on, "") for arm, on in (("a", True), ("b", False), ("c", True))]
    fresh = {"a": {5: -1.0, 6: -1.3, 7: -0.8}, "c": {5: -0.1, 6: 0.2, 7: -0.4}}
    found = ours.confirm(screened, [0], fresh)
    assert [c.p_adjusted for c in found] == holm([paired_t(list(v.values())).p for v in fresh.values()])


def test_the_best_of_a_screen_is_too_good_and_the_confirmed_estimate_is_not() -> None:
    rng = np.random.default_rng(0)
    screened, confirmed = [], []
    for _ in range(400):
        draws = rng.normal(-0.5, 1, (10, 3))
        arms = {str(i): dict(enumerate(row.tolist())) for i, row in enumerate(draws)}
        best = min(ours.screen(arms, most=1, screening_level=0.999), key=lambda row: (not row.goes_on, row.p_better))
        row = best._replace(goes_on=True)
        (found,) = ours.confirm([row], range(3), {best.arm: dict(enumerate(rng.normal(-0.5, 1, 8).tolist(), 100))})
        screened.append(found.screened_mean)
        confirmed.append(found.test.mean)
    assert np.mean(screened) < -1.0, "the winner's curse"
    assert np.mean(confirmed) == pytest.approx(-0.5, abs=0.06)


@pytest.mark.parametrize("effects", [[0.0] * 8, [0.0] * 4 + [-2.0] * 4, [0.0]])
def test_the_family_error_is_kept(effects: list[float]) -> None:
    found = ours.operating(effects, 3, 8)
    assert found.family_error <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / ours.SIMULATED_STUDIES)


def test_a_screen_saves_runs_and_finds_what_is_there() -> None:
    found = ours.operating([0.0] * 9 + [-2.0], 3, 8)
    assert found.power[-1] > 0.9
    assert found.expected_runs < 0.8 * 11 * 8, "8 seeds for all 10 arms and the baseline"
    assert ours.operating([-2.0], 3, 8, screening_level=0.01).power[0] < ours.operating([-2.0], 3, 8).power[0]


def test_operating_of_one_arm_that_always_goes_on_is_the_t_test() -> None:
    found = ours.operating([0.0], 3, 6, screening_level=0.999999)
    assert found.family_error == pytest.approx(0.05, abs=0.011)
    assert found.expected_runs == pytest.approx(2 * 3 + 2 * 6, abs=0.01)


def test_no_spread_and_nonsense() -> None:
    rows = ours.screen({"better": {0: -0.1, 1: -0.1}, "same": {0: 0.0, 1: 0.0}})
    assert [(row.p_better, row.goes_on) for row in rows] == [(0.0, True), (1.0, False)]
    with pytest.raises(ValueError, match="at least 2 rows"):
        ours.screen({"a": {0: 1.0}})
    with pytest.raises(ValueError, match="finite"):
        ours.screen({"a": {0: 1.0, 1: math.nan}})
    with pytest.raises(ValueError, match="level lies between"):
        ours.screen(SCREEN, screening_level=0)
