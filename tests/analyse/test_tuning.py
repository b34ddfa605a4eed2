"""An arm whose only gain is a better learning rate is shown as such once both arms are tuned."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from harness.analyse import tuning
from harness.analyse.comparison import Comparison, compare
from harness.analyse.learning_rate import curve, due, rate_of
from harness.records.example import example_runs, example_study
from harness.records.tuning import TuningRecord, TuningTrial

CENTER, SEEDS, TUNING = 6e-3, range(6), (10_000, 10_001)
Loss = Callable[[float, int], float]


def made_up(best: float, level: float = 1.6) -> Loss:
    """The loss of an arm at an octave and seed; its optimum at `best`, its level there `level`."""
    return lambda octave, seed: (
        level
        + 0.03 * (octave - best) ** 2
        + 0.002 * np.random.default_rng([seed, round(100 * octave) + 10_000]).normal()
    )


def record_of(arms: dict[str, Loss], whole: Sequence[TuningTrial] = ()) -> TuningRecord:
    """What a search over these arms finds."""
    trials: list[TuningTrial] = []
    while todo := due([curve(trials, arm, CENTER) for arm in arms]):
        trials += [
            TuningTrial(arm, rate_of(CENTER, half), seed, "complete", arms[arm](half / 2, seed), "", "k")
            for arm, halves in todo.items()
            for half in halves
            for seed in TUNING
        ]
    return TuningRecord(CENTER, 0.25, list(TUNING), list(arms), "whole" if whole else "", "s", [*trials, *whole], "")


def compared(arms: dict[str, Loss], rates: dict[str, float]) -> list[Comparison]:
    """The arms on fresh seeds, each at its rate."""
    octaves = {arm: float(np.log2(rate / CENTER)) for arm, rate in rates.items()}
    runs = example_runs({arm: [arms[arm](octaves[arm], seed) for seed in SEEDS] for arm in arms})
    return compare(example_study(list(arms), SEEDS), runs)


def side_by_side(arms: dict[str, Loss]) -> tuning.TunedRow:
    record = record_of(arms)
    chosen = {s.arm: s.chosen for s in tuning.sensitivities(record, 0.01)}
    assert all(chosen.values())
    shared = compared(arms, dict.fromkeys(arms, CENTER))
    (row,) = tuning.tuned_rows(shared, compared(arms, chosen))  # pyright: ignore[reportArgumentType]
    return row


def test_a_gain_that_is_only_the_learning_rates_is_shown_as_such() -> None:
    """The arm is the baseline with its optimum where the shared recipe happens to be."""
    row = side_by_side({"gpt2": made_up(1.5), "norm=fast": made_up(0.0)})
    assert row.shared.verdict == "better"
    assert row.tuned is not None
    assert row.tuned.verdict == "equivalent"
    assert "its gain was the learning rate's" in row.words
    assert row.change is not None
    assert row.change.mean == pytest.approx(0.03 * 1.5**2, abs=0.01)
    assert row.change.ci[0] > 0


def test_a_gain_that_is_the_arms_own_stays() -> None:
    row = side_by_side({"gpt2": made_up(0.5), "norm=good": made_up(0.4, level=1.55)})
    assert row.words == "norm=good is better with the shared recipe and tuned"


def test_a_recipe_that_was_not_fair() -> None:
    row = side_by_side({"gpt2": made_up(0.0), "norm=slow": made_up(-1.5)})
    assert (row.shared.verdict, row.tuned.verdict if row.tuned else None) == ("worse", "equivalent")
    assert "was not fair to it" in row.words


def test_a_gain_that_fades_without_proof_is_not_called_the_rates() -> None:
    arms = {"gpt2": made_up(0.0), "x": made_up(0.0, 1.55)}
    better = compared(arms, dict.fromkeys(arms, CENTER))[0]
    noisy = example_runs({"gpt2": [1.6] * 6, "x": [1.4, 1.7, 1.5, 1.7, 1.4, 1.75]})
    (open_,) = compare(example_study(["gpt2", "x"], SEEDS), noisy)
    assert open_.verdict == "inconclusive"
    (row,) = tuning.tuned_rows([better], [open_])
    assert "is not shown where both have their own" in row.words


def test_every_arm_has_equally_many_trials_and_widening_is_told() -> None:
    found = tuning.sensitivities(record_of({"gpt2": made_up(0), "x": made_up(3.8)}), 0.01)
    assert {s.num_trials for s in found} == {2 * (9 + 2)}
    assert "widened for all arms, up to +5 octaves" in tuning.widened(found)
    assert tuning.widened(tuning.sensitivities(record_of({"gpt2": made_up(0)}), 0.01)) == ""


def test_an_optimum_on_the_edge_is_warned_of() -> None:
    record = record_of({"gpt2": made_up(0), "x": lambda octave, seed: 2 - octave / 10})
    found = tuning.sensitivities(record, 0.01)
    (told,) = tuning.warnings(record, found, 0.01)
    assert told.startswith("WARNING: x: the best rate")
    assert "not tuned" in told


def test_a_rate_that_does_not_hold_at_the_whole_budget_is_warned_of() -> None:
    def whole(losses: Sequence[float | None]) -> list[str]:
        rates = zip((0.003, 0.006, 0.012), losses, strict=True)
        trials = [TuningTrial("whole", r, 10_000, "complete" if x else "failed", x, "", "k") for r, x in rates]
        record = record_of({"gpt2": made_up(0)}, trials)
        return tuning.warnings(record, tuning.sensitivities(record, 0.01), 0.01)

    assert whole([1.62, 1.60, 1.63]) == []
    assert whole([1.595, 1.60, 1.63]) == []
    assert "loses 0.0300 nats per byte" in whole([1.57, 1.60, 1.63])[0]
    assert "diverges" in whole([1.57, None, None])[0]
