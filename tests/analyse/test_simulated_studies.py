"""The whole pipeline on studies with known truth: no word errs more often than declared, intervals cover, effects and
contributions are recovered. A few hundred studies each; docs/statistics.md has thousands.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from harness.analyse.design_contributions import shares_of
from harness.analyse.design_effects import effects_of, two_way_means
from harness.analyse.looks import compare_study
from harness.records.record import StudyRecord
from tests.analyse.simulated_studies import (
    SD,
    THREE,
    World,
    against,
    crossed,
    designed,
    effects,
    interacting,
    play,
    slopes_of,
    verdicts,
)

STUDIES = 150


def most(rate: float, studies: int = STUDIES) -> float:
    """What a rate of errors may show in so many studies: three standard errors more."""
    return rate + 3 * math.sqrt(rate * (1 - rate) / studies)


@pytest.mark.parametrize(
    ("study", "world"),
    [
        (against(1, 3), World()),
        (against(1, 8), World(correlation=0.95)),
        (against(4, 4), World(correlation=0.0)),
        (against(4, 8, family="max-t"), World(skewed=True)),
        (against(4, 4, family="dunnett"), World()),
        (against(4, 4, family="dunnett"), World(spread=(1.0, 4.0))),
        (against(2, 12, looks=(4, 8, 12)), World()),
        (against(10, 9, screen=3), World()),
        (designed("path", 4), World()),
        (designed("leave-one-out", 4), World()),
    ],
    ids=["3 seeds", "paired", "Holm", "max-t", "Dunnett", "uneven", "looks", "screen", "path", "leave-one-out"],
)
def test_differences_that_are_not_there_are_seen_as_rarely_as_declared(study: StudyRecord, world: World) -> None:
    tally = verdicts(study, [0.0] * (len(study.arms) - 1), world, STUDIES)
    assert tally.rate("wrong") <= most(0.05)
    assert tally.rate("covered", "intervals") >= 1 - most(0.05)


def test_a_difference_of_the_margin_is_rarely_called_equivalent() -> None:
    tally = verdicts(against(1, 6, margin=2 * SD), [2 * SD], World(), STUDIES)
    assert 0 < tally.rate("wrongly equivalent") <= most(0.05)


def test_effects_that_are_there_are_found_and_looks_save_runs() -> None:
    fixed = verdicts(against(1, 12), [-2 * SD], World(), 60)
    looks = verdicts(against(1, 12, looks=(4, 8, 12)), [-2 * SD], World(), 60)
    assert fixed.rate("right", "effects") > 0.95
    assert looks.rate("right", "effects") > 0.95
    assert looks.of["runs"] < 0.85 * fixed.of["runs"]


def test_a_screen_saves_runs_and_its_confirmed_estimates_are_not_biased() -> None:
    truth = [-2 * SD] * 2 + [0.0] * 8
    screened = verdicts(against(10, 11, screen=3), truth, World(), STUDIES)
    assert screened.rate("right", "effects") > 0.9
    assert abs(screened.mean("bias")) < 3 * SD / math.sqrt(8 * STUDIES)
    assert screened.of["runs"] < 0.75 * STUDIES * 11 * 11
    assert 0.4 < screened.of["screened out"] / (10 * STUDIES) < 0.75


def test_a_declared_test_that_is_refused_is_not_replaced_by_another() -> None:
    study = against(3, 4, family="dunnett")
    runs = play(study, [-0.1] * 3, World(spread=(1.0, 30.0)), np.random.default_rng(0))
    for c in compare_study(study, runs):
        assert c.p_adjusted is None
        assert c.verdict == "inconclusive"
        assert "Dunnett's test, as declared, gives no verdict: the arms' differences spread unequally" in c.reason


def test_an_exploratory_study_names_few_that_are_nothing() -> None:
    tally = verdicts(against(10, 8, family="explore"), [-2 * SD] * 3 + [0.0] * 7, World(), STUDIES)
    assert tally.sums["false share"] / STUDIES <= most(0.10)
    assert tally.of["named"] > 2.5 * STUDIES
    assert tally.of["right"] == 0, "exploring gives no verdict"


@pytest.mark.parametrize("one_in", [1, 2])
def test_known_effects_are_recovered_exactly_without_noise(one_in: int) -> None:
    study = crossed(*THREE, seeds=3, one_in=one_in)
    truth = [interacting(tuple(cell["levels"])) for cell in study.design["cells"]][1:]
    found = effects_of(study, play(study, truth, Seeds(), np.random.default_rng(0)))
    assert found is not None
    estimates = {row.term: row.estimate for row in found.rows}
    if one_in == 1:
        assert estimates == pytest.approx(
            {
                "norm": -0.010 + 0.008 / 2,
                "activation": -0.006 + 0.008 / 2,
                "position": 0.0,
                "norm x activation": 0.008,
                "norm x position": 0.0,
                "activation x position": 0.0,
            },
            abs=1e-12,
        )
    else:  # position = -(norm x activation): its chain holds minus the interaction, in units of a main effect
        assert estimates == pytest.approx({"norm": -0.006, "activation": -0.002, "position": -0.004}, abs=1e-12)


class Seeds(World):
    """Seeds differ, and nothing else."""

    def values(self, rng: np.random.Generator, arms: int, seeds: int) -> np.ndarray:
        return np.tile(1.65 + rng.normal(0, 0.1, seeds), (arms, 1))


def test_contributions_are_those_of_the_cells() -> None:
    study = crossed(*THREE, seeds=3)
    truth = [interacting(tuple(cell["levels"])) for cell in study.design["cells"]][1:]
    found = shares_of(study, play(study, truth, Seeds(), np.random.default_rng(0)))
    assert found is not None
    assert found.total is not None
    rows = {row.factor: row for row in found.rows}
    for row in rows.values():
        assert row.add_one
        assert row.leave_one_out
        assert row.gap
        assert row.shapley
    numbers = {
        name: tuple(getattr(row, part).mean for part in ("add_one", "leave_one_out", "gap", "shapley"))
        for name, row in rows.items()
    }
    assert numbers["norm"] == pytest.approx((-0.010, -0.002, 0.008, -0.006), abs=1e-12)
    assert numbers["activation"] == pytest.approx((-0.006, 0.002, 0.008, -0.002), abs=1e-12)
    assert numbers["position"] == pytest.approx((0, 0, 0, 0), abs=1e-12)
    assert sum(row[3] for row in numbers.values()) == pytest.approx(found.total.mean)


def test_a_path_adds_up() -> None:
    study = designed("path", 4)
    found = shares_of(study, play(study, [-0.01, -0.014, -0.02], Seeds(), np.random.default_rng(0)))
    assert found is not None
    assert [row.step.mean for row in found.steps] == pytest.approx([-0.01, -0.004, -0.006])
    assert [row.so_far.mean for row in found.steps] == pytest.approx([-0.01, -0.014, -0.02])
    assert found.total is not None
    assert found.total.mean == pytest.approx(-0.02)


def test_intervals_of_effects_cover_and_null_effects_stay_silent() -> None:
    tally = effects(crossed(*THREE, seeds=4), interacting, World(), STUDIES)
    assert tally.rate("wrong") <= most(0.05)
    for name in ("covered", "covered, pooled"):
        assert tally.rate(name, "intervals") == pytest.approx(0.95, abs=0.04)
    for part in ("add_one", "leave_one_out", "gap", "shapley"):
        assert tally.rate(f"{part} covered", f"{part} intervals") == pytest.approx(0.95, abs=0.04)


@pytest.mark.parametrize("unlike", ["cells", "seeds"])
def test_cells_that_spread_and_effects_that_differ_by_seed_are_covered_and_stay_silent(unlike: str) -> None:
    study = crossed(*THREE, seeds=4)
    world = World(spread=(1.0, 4.0)) if unlike == "cells" else World(slopes=slopes_of(study, place=2))
    tally = effects(study, interacting, world, STUDIES)
    assert tally.rate("covered", "intervals") == pytest.approx(0.95, abs=0.04)
    assert tally.rate("wrong") <= most(0.05)
    if unlike == "seeds":
        assert tally.rate("covered, pooled", "intervals") < tally.rate("covered", "intervals")


def test_two_way_means_are_the_means_of_the_cells() -> None:
    study = crossed(*THREE, seeds=3)
    truth = [interacting(tuple(cell["levels"])) for cell in study.design["cells"]][1:]
    runs = play(study, truth, World(), np.random.default_rng(1))
    first = two_way_means(study, runs)[0]
    assert (first.x.name, first.lines.name) == ("norm", "activation")
    by_arm = {cell["arm"]: tuple(cell["levels"]) for cell in study.design["cells"]}
    for i, j in itertools.product(range(2), range(2)):
        values = [run.record.scores["nats_per_byte"] for run in runs if by_arm[run.arm][:2] == (i, j)]
        assert first.means[j][i] == pytest.approx(np.mean([value for value in values if value is not None]))
    assert first.half > 0
