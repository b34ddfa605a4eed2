"""What a trunk saves, against its closed form, and branches against runs annealed on their own."""

from __future__ import annotations

import pytest

from harness.analyse.schedules import agreements, savings, total_flops
from harness.records.example_ladder import branched, example_ladder


def test_the_saving_is_its_closed_form() -> None:
    """Budgets 1, 2, 4, 8 with a decay of a fifth: 0.8 x 8 once and 0.2 x 15, of 15."""
    rungs = [branched(rung, 0.0) for rung in example_ladder({"norm=rms": 1.0})]
    studies = [rung.study for rung in rungs]
    for saving in savings(studies):
        assert saving.alone == pytest.approx(15e12)
        assert saving.trunk == pytest.approx(9.4e12, rel=1e-3)
        assert saving.share == pytest.approx(1 - 9.4 / 15, abs=1e-3)
        assert saving.leaves == tuple(a.num_steps - round(0.2 * a.num_steps) for a in (s.arms[0] for s in studies))
    assert total_flops(studies, trunk=False) == pytest.approx(4 * 2 * 15e12)
    assert total_flops(studies, trunk=True) == pytest.approx(4 * 2 * 9.4e12, rel=1e-3)


def test_branches_that_lose_less_everywhere_agree_on_the_difference() -> None:
    rungs = [branched(rung, 0.05) for rung in example_ladder({"norm=rms": 1.2})]
    found = agreements(rungs)
    assert [(a.label, a.arm) for a in found[:2]] == [("1e+12", "gpt2"), ("1e+12", "norm=rms")]
    assert all(a.losses[0] == pytest.approx(-0.05) for a in found)
    assert found[0].difference is None
    assert all(a.difference is not None and a.difference[0] == pytest.approx(0) for a in found[1::2])
    assert agreements(example_ladder({"norm=rms": 1.2})) == []
