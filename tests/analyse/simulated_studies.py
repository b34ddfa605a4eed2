"""Studies with known truth through the whole pipeline, from records to verdicts: how often does each word err?

    python -m tests.analyse.simulated_studies 2000

prints the table of docs/statistics.md; tests/analyse/test_simulated_studies.py runs a few hundred of each.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from harness.analyse.comparison import Comparison, is_discovery
from harness.analyse.design_contributions import shares_of
from harness.analyse.design_effects import effects_of
from harness.analyse.looks import compare_study, due
from harness.analyse.screening import was_screened_out
from harness.records.example import example_design_study, example_run
from harness.records.record import StudyRecord, StudyRun

NORMS = ("rms", "dyt", "crms", "prms", "scale")
THREE = ("norm=rms", "activation=swiglu", "position=rope")
NARROW = 1e-9
"""A margin within which nothing is equivalent, so that every wrong word is a wrong difference."""

SD = 0.005  # nats per byte, of a difference between two arms of one seed; about what the default size has


@dataclass(frozen=True)
class World:
    """Where the numbers come from. `correlation` is that of two arms over seeds; `shared` that of two seeds, which no
    study should have; `spread` is each arm's own sd over the others'; `slopes` are the sd, in SD, over seeds of what
    each arm changes.
    """

    correlation: float = 0.5
    shared: float = 0.0
    skewed: bool = False
    spread: tuple[float, ...] = ()
    slopes: tuple[float, ...] = ()

    def values(self, rng: np.random.Generator, arms: int, seeds: int) -> np.ndarray:
        """(arms, seeds) whose paired differences have the standard deviation SD."""
        own = rng.exponential(1, (arms, seeds)) - 1 if self.skewed else rng.normal(0, 1, (arms, seeds))
        own = np.sqrt(1 - self.shared) * own + np.sqrt(self.shared) * rng.normal(0, 1, (arms, 1))
        own *= np.array([*self.spread, *[1.0] * (arms - len(self.spread))])[:, None]
        block = np.sqrt(self.correlation / (1 - self.correlation)) * rng.normal(0, 1, seeds)
        differing = np.zeros((arms, seeds))
        if self.slopes:
            differing = SD * np.array(self.slopes)[:, None] * rng.normal(0, 1, seeds)
        return 1.65 + SD / np.sqrt(2) * (own + block) + differing


@dataclass
class Tally:
    """Counts over studies."""

    studies: int = 0
    of: Counter[str] = field(default_factory=Counter)
    sums: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))

    def rate(self, name: str, out_of: str = "") -> float:
        return self.of[name] / (self.of[out_of] if out_of else self.studies)

    def mean(self, name: str) -> float:
        return self.sums[name] / self.of[name]


def play(study: StudyRecord, effects: Sequence[float], world: World, rng: np.random.Generator) -> list[StudyRun]:
    """The runs of a study in which arm i has the true effect `effects[i]` (the baseline has 0), as many as its looks or
    its screen ask for.
    """
    truth = np.array([0.0, *effects])
    values = world.values(rng, len(study.arms), len(study.seeds)) + truth[:, None]
    place = {arm.name: i for i, arm in enumerate(study.arms)}
    done: dict[tuple[str, int], StudyRun] = {}
    while waiting := [key for key in due(study, list(done.values())) if key not in done]:
        for arm, seed in waiting:
            done[arm, seed] = example_run(arm, seed, float(values[place[arm], study.seeds.index(seed)]))
    return list(done.values())


def verdicts(study: StudyRecord, effects: Sequence[float], world: World, studies: int, seed: int = 0) -> Tally:
    """Words against the truth, and intervals against the true differences."""
    rng, tally = np.random.default_rng(seed), Tally()
    truth = {study.baseline: 0.0, **{a.name: e for a, e in zip(study.arms[1:], effects, strict=True)}}
    for _ in range(studies):
        runs = play(study, effects, world, rng)
        tally.studies += 1
        tally.of["runs"] += len(runs)
        found = compare_study(study, runs)
        wrong, false_same = False, False
        named = [c for c in found if study.registration["family"] == "explore" and is_discovery(c)]
        for c in found:
            real = truth[c.arm] - truth[c.baseline]
            _count(tally, study, c, real)
            wrong |= c.verdict in ("better", "worse") and real == 0
            wrong |= (c.verdict == "better" and real > 0) or (c.verdict == "worse" and real < 0)
            false_same |= c.verdict == "equivalent" and abs(real) >= study.margin
        tally.of["wrong"] += wrong
        tally.of["wrongly equivalent"] += false_same
        tally.of["named"] += len(named)
        if named:
            tally.of["any named"] += 1
            tally.sums["false share"] += sum(truth[c.arm] == 0 for c in named) / len(named)
    return tally


def _count(tally: Tally, study: StudyRecord, c: Comparison, real: float) -> None:
    if was_screened_out(c):
        tally.of["screened out"] += 1
        return
    tally.of["judged"] += 1
    tally.of["right"] += real != 0 and c.verdict == ("better" if real < 0 else "worse")
    tally.of["effects"] += real != 0
    if c.ci95 is not None:
        tally.of["intervals"] += 1
        tally.of["covered"] += c.ci95[0] <= real <= c.ci95[1]
    if c.mean_difference is not None:
        tally.of["bias"] += 1
        tally.sums["bias"] += c.mean_difference - real


def effects(study: StudyRecord, cell: Callable[[tuple[int, ...]], float], world: World, studies: int) -> Tally:
    """A factorial whose cells have known means: estimates, intervals and words of its effects and contributions."""
    rng, tally = np.random.default_rng(0), Tally()
    truth = [cell(tuple(c["levels"])) for c in study.design["cells"]][1:]
    exact = play(study, truth, _Silent(), rng)
    known = effects_of(study, exact)
    shares = shares_of(study, exact)
    assert known is not None
    for _ in range(studies):
        runs = play(study, truth, world, rng)
        found, parts = effects_of(study, runs), shares_of(study, runs)
        assert found is not None
        tally.studies += 1
        wrong = False
        for row, real in zip(found.rows, known.rows, strict=True):
            tally.of["intervals"] += 1
            tally.of["covered"] += row.ci95[0] <= real.estimate <= row.ci95[1]
            tally.of["covered, pooled"] += row.ci95_pooled[0] <= real.estimate <= row.ci95_pooled[1]
            wrong |= abs(real.estimate) < 1e-12 and row.p_adjusted <= 0.05
            tally.of["effects"] += abs(real.estimate) >= 1e-12
            tally.of["right"] += abs(real.estimate) >= 1e-12 and row.p_adjusted <= 0.05
            tally.sums[row.term] += row.estimate - real.estimate
            tally.of[row.term] += 1
        tally.of["wrong"] += wrong
        for row, real in zip(parts.rows if parts else (), shares.rows if shares else (), strict=True):
            for name in ("add_one", "leave_one_out", "gap", "shapley"):
                have, want = getattr(row, name), getattr(real, name)
                if have is not None:
                    tally.of[f"{name} intervals"] += 1
                    tally.of[f"{name} covered"] += have.ci[0] <= want.mean <= have.ci[1]
    return tally


class _Silent(World):
    def values(self, rng: np.random.Generator, arms: int, seeds: int) -> np.ndarray:
        return np.full((arms, seeds), 1.65)


def interacting(levels: tuple[int, ...]) -> float:
    """Means of a 2 x 2 x 2: two main effects, one interaction, the third factor does nothing."""
    a, b = levels[0], levels[1]
    return -0.010 * a - 0.006 * b + 0.008 * a * b


def against(arms: int, seeds: int, **how: Any) -> StudyRecord:
    """So many arms against the baseline."""
    how.setdefault("margin", NARROW)
    tokens = [f"norm={','.join(NORMS[:arms])}", "position=rope,alibi,none", "ffn=moe,switch"][: 1 if arms <= 5 else 3]
    return example_design_study(*tokens, kinds=["add-one"], seeds=range(seeds), **how)


def crossed(*tokens: str, seeds: int, one_in: int = 1) -> StudyRecord:
    """A factorial or a fraction of one."""
    return example_design_study(*tokens, kinds=["factorial"], one_in=one_in, seeds=range(seeds))


def slopes_of(study: StudyRecord, place: int) -> tuple[float, ...]:
    """2 SD over seeds for the arms in which the factor at `place` is switched on: its effect differs by seed."""
    on = {cell["arm"] for cell in study.design["cells"] if cell["levels"][place]}
    return tuple(2.0 * (arm.name in on) for arm in study.arms)


def main(studies: int) -> None:
    """The tables of docs/statistics.md."""
    even = World()
    half = [-2 * SD] * 2 + [0.0] * 3
    print("| study | world | a wrong difference | wrongly equivalent | coverage | effects found | bias / sd |")
    print("|---|---|---:|---:|---:|---:|---:|")
    for name, where, study, truth, world in (
        ("1 arm, 3 seeds", "no effect", against(1, 3), [0.0], even),
        ("1 arm, 8 seeds", "no effect", against(1, 8), [0.0], even),
        ("1 arm, 8 seeds", "no effect, pairing correlation 0", against(1, 8), [0.0], World(0.0)),
        ("1 arm, 8 seeds", "no effect, pairing correlation 0.95", against(1, 8), [0.0], World(0.95)),
        ("1 arm, 8 seeds", "no effect, exponential noise", against(1, 8), [0.0], World(skewed=True)),
        ("1 arm, 8 seeds", "no effect, seeds correlated 0.2 with each other", against(1, 8), [0.0], World(shared=0.2)),
        ("1 arm, 8 seeds", "a difference of the margin, 2 sd", against(1, 8, margin=2 * SD), [2 * SD], even),
        (
            "1 arm, looks 4, 8, 12",
            "a difference of the margin, 2 sd",
            against(1, 12, looks=(4, 8, 12), margin=2 * SD),
            [2 * SD],
            even,
        ),
        ("1 arm, 8 seeds", "no effect, margin 2 sd", against(1, 8, margin=2 * SD), [0.0], even),
        ("5 arms, 4 seeds, Holm", "no effect", against(5, 4), [0.0] * 5, even),
        ("5 arms, 8 seeds, Holm", "no effect", against(5, 8), [0.0] * 5, even),
        ("5 arms, 8 seeds, Holm", "2 of 5, -2 sd", against(5, 8), half, even),
        ("5 arms, 8 seeds, max-t", "no effect", against(5, 8, family="max-t"), [0.0] * 5, even),
        ("5 arms, 8 seeds, max-t", "2 of 5, -2 sd", against(5, 8, family="max-t"), half, even),
        (
            "5 arms, 8 seeds, max-t",
            "no effect, exponential noise",
            against(5, 8, family="max-t"),
            [0.0] * 5,
            World(skewed=True),
        ),
        ("5 arms, 4 seeds, Dunnett", "no effect", against(5, 4, family="dunnett"), [0.0] * 5, even),
        ("5 arms, 4 seeds, Dunnett", "2 of 5, -2 sd", against(5, 4, family="dunnett"), half, even),
        (
            "5 arms, 4 seeds, Dunnett",
            "no effect, one arm spreads 4 times",
            against(5, 4, family="dunnett"),
            [0.0] * 5,
            World(spread=(1.0, 4.0)),
        ),
        ("1 arm, looks 4, 8, 12", "no effect", against(1, 12, looks=(4, 8, 12)), [0.0], even),
        ("1 arm, looks 4, 8, 12", "-2 sd", against(1, 12, looks=(4, 8, 12)), [-2 * SD], even),
        ("3 arms, looks 4, 8, 12", "no effect", against(3, 12, looks=(4, 8, 12)), [0.0] * 3, even),
        ("10 arms, screen 3, confirm 8", "no effect", against(10, 11, screen=3), [0.0] * 10, even),
        ("10 arms, screen 3, confirm 8", "2 of 10, -2 sd", against(10, 11, screen=3), [-2 * SD] * 2 + [0.0] * 8, even),
        ("path of 3, 8 seeds", "no effect", designed("path", 8), [0.0] * 3, even),
        ("leave-one-out of 3, 8 seeds", "no effect", designed("leave-one-out", 8), [0.0] * 4, even),
    ):
        _line(name, where, verdicts(study, truth, world, studies))
    found = verdicts(against(10, 8, family="explore"), [-2 * SD] * 3 + [0.0] * 7, even, studies)
    print(
        f"\nexplore, 10 arms, 8 seeds, 3 of 10 with -2 sd: {found.sums['false share'] / studies:.1%} of the named wrong"
    )
    factorials(studies)


def factorials(studies: int) -> None:
    """The table of effects and contributions."""
    even, uneven = World(), World(spread=(1.0, 4.0, 1.0, 1.0))
    differing = World(slopes=slopes_of(crossed(*THREE, seeds=4), place=2))
    print(
        "\n| factorial | world | wrong effect | coverage | pooled | add-one | leave-one-out | gap | Shapley | found |"
    )
    print("|---|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    for name, where, study, world in (
        ("2 x 2 x 2, 4 seeds", "equal spread", crossed(*THREE, seeds=4), even),
        ("2 x 2 x 2, 8 seeds", "equal spread", crossed(*THREE, seeds=8), even),
        ("2 x 2 x 2, 4 seeds", "one cell spreads 4 times", crossed(*THREE, seeds=4), uneven),
        ("2 x 2 x 2, 8 seeds", "one cell spreads 4 times", crossed(*THREE, seeds=8), uneven),
        ("2 x 2 x 2, 4 seeds", "what a factor does differs by seed, 2 sd", crossed(*THREE, seeds=4), differing),
        ("2 x 2 x 2, 8 seeds", "what a factor does differs by seed, 2 sd", crossed(*THREE, seeds=8), differing),
        ("half of 2 x 2 x 2 x 2, 4 seeds", "equal spread", crossed(*THREE, "residual=post", seeds=4, one_in=2), even),
    ):
        tally = effects(study, interacting, world, studies)
        covered = [
            tally.rate(f"{part} covered", f"{part} intervals") if tally.of[f"{part} intervals"] else None
            for part in PARTS
        ]
        cells = [
            tally.rate("wrong"),
            tally.rate("covered", "intervals"),
            tally.rate("covered, pooled", "intervals"),
            *covered,
        ]
        texts = ["" if cell is None else f"{cell:.1%}" for cell in [*cells, tally.rate("right", "effects")]]
        print("| " + " | ".join([name, where, *texts]) + " |", flush=True)


PARTS = ("add_one", "leave_one_out", "gap", "shapley")


def designed(kind: str, seeds: int) -> StudyRecord:
    """A path, or leave-one-out, of three changes."""
    return example_design_study(*THREE, kinds=[kind], seeds=range(seeds), margin=NARROW)


def _line(name: str, where: str, tally: Tally) -> None:
    found = f"{tally.rate('right', 'effects'):.1%}" if tally.of["effects"] else ""
    covered = f"{tally.rate('covered', 'intervals'):.1%}" if tally.of["intervals"] else ""
    cells = (name, where, f"{tally.rate('wrong'):.1%}", f"{tally.rate('wrongly equivalent'):.1%}", covered, found)
    bias = f"{tally.mean('bias') / SD:+.2f}" if tally.of["bias"] else ""
    print("| " + " | ".join([*cells, bias]) + " |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
