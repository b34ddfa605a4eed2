"""The search over learning rates, its optimum against known truth, and the width of a curve."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import optimize

from harness.analyse import learning_rate as lr
from harness.analyse.learning_rate import Curve, curve, due, optimum, quadratic, rate_of, width
from harness.records.tuning import TuningTrial

CENTER = 6e-3


def trial(arm: str, half: int, loss: float | None, seed: int = 10_000) -> TuningTrial:
    state = "complete" if loss is not None else "failed"
    return TuningTrial(arm, rate_of(CENTER, half), seed, state, loss, "" if loss is not None else "diverged", "k")


def bowl(best: float, curvature: float = 0.04, level: float = 1.6):
    """A loss that is lowest at `best` octaves."""
    return lambda half: level + curvature / 2 * (half / 2 - best) ** 2


def searched(losses: dict[str, object], seeds: tuple[int, ...] = (10_000,)) -> list[Curve]:
    """The curves after every trial that is due, where `losses` gives an arm's loss at a half octave."""
    trials: list[TuningTrial] = []
    while True:
        curves = [curve(trials, arm, CENTER) for arm in losses]
        todo = due(curves)
        if not todo:
            return curves
        for arm, halves in todo.items():
            trials += [trial(arm, half, losses[arm](half), seed) for half in halves for seed in seeds]  # pyright: ignore


def test_the_grid_then_the_half_octaves_beside_the_best() -> None:
    (found,) = searched({"a": bowl(1.2)})
    assert [p.half for p in found.points] == [-6, -4, -2, 0, 1, 2, 3, 4, 6]
    assert found.edge is None
    assert found.points[0].lr == CENTER / 8


def test_an_optimum_on_the_edge_widens_the_grid_of_every_arm() -> None:
    inside, outside = searched({"inside": bowl(0.1), "outside": bowl(4.6)})
    assert max(p.half for p in outside.points) == 12
    assert max(p.half for p in inside.points) == 12
    assert len(inside.points) == len(outside.points), "every arm has equally many trials"
    assert outside.edge is None
    low, _ = searched({"low": bowl(-3.4), "inside": bowl(0.1)})
    assert min(p.half for p in low.points) == -8


def test_a_grid_is_not_widened_for_ever() -> None:
    far, _ = searched({"far": lambda half: -half, "inside": bowl(0)})
    assert max(p.half for p in far.points) == lr.WIDEST + 1
    assert far.edge == "high"
    assert lr.best_rate(far, CENTER) == float(f"{far.points[-1].lr:.3g}")


def test_divergence_bounds_the_optimum_and_is_no_edge() -> None:
    (found,) = searched({"a": lambda half: bowl(2.5)(half) if half <= 4 else None})
    assert found.edge is None
    assert found.best is not None
    assert found.best.half == 4
    assert found.points[-1].mean is None


def test_one_diverged_seed_makes_a_rate_diverged() -> None:
    trials = [trial("a", half, 1.5, seed) for half in (0, 2) for seed in (1, 2)]
    trials[0] = trial("a", 0, None, 1)
    found = curve(trials, "a", CENTER)
    assert [p.broken for p in found.points] == [1, 0]
    assert found.points[0].mean is None


def test_an_arm_that_always_diverges_is_on_the_edge() -> None:
    (found,) = searched({"a": lambda half: None})
    assert (found.best, found.edge, lr.best_rate(found, CENTER), width(found, 0.01)) == (None, "low", None, None)


def test_the_quadratic_against_scipy() -> None:
    rng = np.random.default_rng(3)
    x = np.array([-1, -0.5, 0, 0.5, 1.0])
    y = 1.6 + 0.02 * (x - 0.3) ** 2 + rng.normal(0, 0.001, (3, 5)) + np.array([[0.0], [0.1], [-0.1]])
    found = quadratic(x, y)
    assert found is not None
    start = np.array([0.0, 0.0, 0.0, 0.0, 0.0])

    def residuals(p: np.ndarray) -> np.ndarray:
        return (y - p[:3, None] - p[3] * x - p[4] * x**2).ravel()

    fitted = optimize.least_squares(residuals, start).x
    assert found.octaves == pytest.approx(-fitted[3] / (2 * fitted[4]), rel=1e-6)
    assert found.curvature == pytest.approx(2 * fitted[4], rel=1e-6)


def test_fiellers_interval_against_its_definition() -> None:
    """At both ends the slope's t statistic is exactly the critical value (checked by statsmodels' OLS)."""
    import statsmodels.api as sm
    from scipy import stats

    rng = np.random.default_rng(5)
    x = np.array([-1, -0.5, 0, 0.5, 1.0])
    y = 1.6 + 0.03 * (x - 0.2) ** 2 + rng.normal(0, 0.002, (2, 5))
    found = quadratic(x, y)
    assert found is not None
    assert found.ci95 is not None
    seeds = np.repeat(np.eye(2), 5, axis=0)
    design = np.column_stack([seeds, np.tile(x, 2), np.tile(x**2, 2)])
    fit = sm.OLS(y.ravel(), design).fit()
    for end in found.ci95:
        test = fit.t_test(np.array([0.0, 0.0, 1.0, 2 * end]))
        assert abs(float(np.squeeze(test.tvalue))) == pytest.approx(stats.t.isf(0.025, fit.df_resid), rel=1e-6)


@pytest.mark.parametrize(("seeds", "noise"), [(1, 0.002), (2, 0.004), (3, 0.008)])
def test_the_optimums_interval_covers_its_truth(seeds: int, noise: float) -> None:
    """1,000 searches' last five points, the truth anywhere between two rates; an unbounded interval covers."""
    rng = np.random.default_rng(seeds)
    x = np.array([-1, -0.5, 0, 0.5, 1.0])
    covered = 0
    for _ in range(1000):
        truth = rng.uniform(-0.25, 0.25)
        level = rng.normal(0, 0.05, (seeds, 1))
        found = quadratic(x, level + 0.02 * (x - truth) ** 2 + rng.normal(0, noise, (seeds, 5)))
        covered += found is None or found.ci95 is None or found.ci95[0] <= truth <= found.ci95[1]
    assert 0.93 <= covered / 1000 <= 0.975


def test_the_interval_of_a_whole_search_covers_its_truth() -> None:
    """The five points are chosen by the same noise that they are fitted with; the interval still covers."""
    rng = np.random.default_rng(11)
    covered = bounded = 0
    for _ in range(300):
        truth = rng.uniform(-1.5, 1.5)
        shape = bowl(truth)
        noisy: dict[tuple[int, int], float] = {}
        trials: list[TuningTrial] = []
        while todo := due([curve(trials, "a", CENTER)]):
            for half in todo["a"]:
                for seed in (1, 2):
                    noisy[half, seed] = shape(half) + rng.normal(0, 0.004)
                    trials.append(trial("a", half, noisy[half, seed], seed))
        found = optimum(curve(trials, "a", CENTER))
        ci = None if found is None else found.ci95
        bounded += ci is not None
        covered += ci is None or ci[0] <= truth <= ci[1]
    assert covered / 300 >= 0.92
    assert bounded / 300 >= 0.9, "and it says something"


def test_no_spread_no_interval_and_no_bowl_no_optimum() -> None:
    three = quadratic([-1, 0, 1], [[1.02, 1.0, 1.02]])
    assert three is not None
    assert (three.octaves, three.ci95) == (pytest.approx(0, abs=1e-12), None)
    assert three.curvature == pytest.approx(0.04)
    assert quadratic([-1, 0, 1], [[1.0, 1.1, 1.0]]) is None
    with pytest.raises(ValueError, match="3 points or more"):
        quadratic([0, 1], [[1.0, 1.1]])


def test_the_tuned_rate_is_the_vertex() -> None:
    (found,) = searched({"a": bowl(0.8)})
    rate = lr.best_rate(found, CENTER)
    assert rate == pytest.approx(CENTER * 2**0.8, rel=0.005)
    assert rate == float(f"{rate:.3g}")


def test_a_width_is_read_from_the_curve() -> None:
    (found,) = searched({"a": bowl(0, curvature=0.04)})
    measured = width(found, 0.02)  # 0.02 (x^2) <= 0.02: one octave on either side
    assert measured is not None
    assert measured.octaves == pytest.approx(2.0)
    assert not measured.open
    flat = width(found, 10.0)
    assert flat is not None
    assert flat.open
    assert flat.octaves == 6.0


def test_a_rate_that_diverged_bounds_the_width() -> None:
    (found,) = searched({"a": lambda half: 1.6 + 0.001 * abs(half) if half <= 2 else None})
    measured = width(found, 0.5)
    assert measured is not None
    assert measured.octaves == pytest.approx(3 + 1.0)
    assert math.isclose(rate_of(CENTER, 2), 2 * CENTER)
