"""Time to verdict: from the command to 95 % intervals of +-0.003 nats per byte for norm=rms and activation=swiglu, at
the default size on two cores; against the same by hand, and what the ratio is made of.

    HARNESS_NANOGPT=CHECKOUT python -m tests.benchmarks.time_to_verdict --save speeds.json   # measures, 4 min
    python -m tests.benchmarks.time_to_verdict --speeds speeds.json                          # the table alone

By hand is nanoGPT's train.py, one run after another on both cores, its own estimate of the loss, a baseline for each
question, and an unpaired comparison. A time is (runs) x (seconds a run): the seconds are measured in turns; the seeds
that a half-width takes follow from a spread by Student's t. Spreads do not depend on the machine: nanoGPT's are those
of by_hand.jsonl, which by_hand.py writes, ours those of pairs.jsonl, the losses of one study:

    python -m harness.ablate norm=rms activation=swiglu --design add-one --seeds 16 --score none
    python -m tests.benchmarks.time_to_verdict --pairs-of reports/STUDY > pairs.jsonl

A variant that is written into nanoGPT is taken to be as fast, and to spread as much, as what is there.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scipy import stats

from harness.analyse.sequential import operating
from harness.records.study import read_study
from harness.train.compile import COMPILE_SECONDS, choose_step, find_compiler
from tests.benchmarks.by_hand import STEPS
from tests.benchmarks.race_training import COMPILED, EAGER, GROUPS, PEER, PEER_TWICE, raced
from tests.benchmarks.turns import ROOT, SIZES, table

BY_HAND = Path(__file__).with_name("by_hand.jsonl")
PAIRS = Path(__file__).with_name("pairs.jsonl")
QUESTIONS = ("norm=rms", "activation=swiglu")
WIDTH = 0.003
"""Half of the interval, nats per byte."""

KINDS = ("eager", "compiled")
"""The last ways: what the harness does, by either step."""

MARGIN = 0.01
"""Of equivalence, the default."""


@dataclass(frozen=True)
class Speeds:
    """Seconds. Of a step: nanoGPT on both cores, and each of two at once on one; `eager` and `compiled`, each of two
    workers (None without a compiler). Of a run beyond its steps: by hand; the validation of the whole split; the rest
    of what a worker does. Of a study before its first step.
    """

    hand: float
    hand_two: float
    eager: float
    compiled: float | None
    hand_once: float
    validation: float
    rest: float
    start: float


@dataclass(frozen=True)
class Spread:
    """Final losses by seed, nats per byte: of a baseline by hand, and of the studies' pairs (baseline, variant)."""

    sampled: tuple[float, ...]
    whole: tuple[float, ...]
    pairs: dict[str, tuple[tuple[float, float], ...]]

    def paired(self, question: str) -> float:
        """Standard deviation of the difference of a pair."""
        return statistics.stdev(variant - baseline for baseline, variant in self.pairs[question])

    def unpaired(self, question: str) -> float:
        """The same, were its two runs independent."""
        return math.hypot(*(statistics.stdev(values) for values in zip(*self.pairs[question], strict=True)))


@dataclass(frozen=True)
class Way:
    """How both questions are answered: so many seeds of an arm for each, so many runs in all, `lanes` at a time."""

    name: str
    seeds: tuple[int, ...]
    runs: int
    step: float
    once: float
    lanes: int = 1
    start: float = 0.0

    @property
    def seconds(self) -> float:
        return self.runs / self.lanes * (STEPS * self.step + self.once) + self.start


def main(argv: Sequence[str] | None = None) -> None:
    p = argparse.ArgumentParser(description="What time to verdict is made of, against the same by hand.")
    p.add_argument("--by-hand", type=Path, default=BY_HAND, help="lines that by_hand.py printed")
    p.add_argument("--speeds", type=Path, help="seconds measured before, by --save")
    p.add_argument("--save", type=Path, help="where to keep what is measured now")
    p.add_argument("--rounds", type=int, default=12, help="of the race")
    p.add_argument("--pairs-of", type=Path, metavar="STUDY", help="print the losses of a study as lines of pairs.jsonl")
    args = p.parse_args(argv)
    if args.pairs_of:
        print("\n".join(json.dumps(line) for line in pairs_of(args.pairs_of)))
        return
    if args.speeds is None and "HARNESS_NANOGPT" not in os.environ:
        sys.exit("HARNESS_NANOGPT names no checkout; git clone https://github.com/karpathy/nanoGPT and set it")
    if not args.by_hand.exists():
        sys.exit(f"{args.by_hand} is not there; it takes what tests.benchmarks.by_hand prints, for both recipes")
    speeds = Speeds(**json.loads(args.speeds.read_text())) if args.speeds else measured(args.rounds)
    if args.save:
        args.save.write_text(json.dumps(dataclasses.asdict(speeds), indent=1) + "\n")
    print(json.dumps(dataclasses.asdict(speeds)))
    for recipe in ("harness", "readme"):
        spread = spreads(args.by_hand, recipe)
        print(f"\nby hand with the recipe of {recipe!r}\n{shown(ways(speeds, spread), spread)}")


def spreads(by_hand: Path, recipe: str) -> Spread:
    """What the committed losses say."""
    rows = [json.loads(line) for line in by_hand.read_text(encoding="utf-8").splitlines()]
    rows = [row for row in rows if row["recipe"] == recipe and row["steps"] == STEPS]
    return Spread(
        sampled=tuple(row["sampled"] for row in rows),
        whole=tuple(row["whole"] for row in rows),
        pairs={question: pairs_in(PAIRS, question) for question in QUESTIONS},
    )


def pairs_in(file: Path, question: str) -> tuple[tuple[float, float], ...]:
    """(baseline, variant) of each seed."""
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return tuple((line["baseline"], line["variant"]) for line in lines if line["arm"] == question)


def pairs_of(folder: Path) -> list[dict[str, Any]]:
    """A line a variant and seed of a study, with the final losses in nats per byte."""
    study, runs = read_study(folder)
    losses: dict[str, dict[int, float]] = {arm.name: {} for arm in study.arms}
    for run in runs:
        loss = run.record.scores["nats_per_byte"]
        assert loss is not None, "a committed study has finished runs"
        losses[run.arm][run.seed] = loss
    baseline = losses.pop(study.baseline)
    return [
        {"arm": arm, "seed": seed, "baseline": baseline[seed], "variant": variant[seed]}
        for arm, variant in losses.items()
        for seed in study.seeds
    ]


def seeds_for(sd: float, width: float, *, paired: bool) -> int:
    """The fewest seeds an arm whose 95 % interval is +-`width`: t(df) sd / sqrt(n) <= width.

    Args:
        sd: of the difference of one run of each arm. df is n - 1 of pairs and 2n - 2 of two independent arms.
    """
    n = 2
    while stats.t.ppf(0.975, n - 1 if paired else 2 * n - 2) * sd / math.sqrt(n) > width:
        n += 1
    return n


def ways(s: Speeds, spread: Spread) -> list[Way]:
    """From by hand to ours, one part at a time."""
    sampled, whole = (math.sqrt(2) * statistics.stdev(values) for values in (spread.sampled, spread.whole))

    def seeds(sds: Sequence[float], paired: bool = False) -> tuple[int, ...]:
        return tuple(seeds_for(sd, WIDTH, paired=paired) for sd in sds)

    hand, on_all = seeds([sampled, sampled]), seeds([whole, whole])
    unpaired = seeds([spread.unpaired(q) for q in QUESTIONS])
    paired = seeds([spread.paired(q) for q in QUESTIONS], paired=True)
    on_split = s.hand_once + s.validation
    runs = sum(paired) + max(paired)  # one baseline for both questions
    once, start = s.validation + s.rest, len(QUESTIONS) * s.start
    found = [
        Way("by hand", hand, 2 * sum(hand), s.hand, s.hand_once),
        Way("the baseline kept", hand, sum(hand) + max(hand), s.hand, s.hand_once),
        Way("the whole split scored", on_all, sum(on_all) + max(on_all), s.hand, on_split),
        Way("the harness's model and start", unpaired, sum(unpaired) + max(unpaired), s.hand, on_split),
        Way("seeds in pairs", paired, runs, s.hand, on_split),
        Way("two runs at once", paired, runs, s.hand_two, on_split, 2),
        Way("eager", paired, runs, s.eager, once, 2, start),
    ]
    if s.compiled is not None:
        found.append(Way("compiled", paired, runs, s.compiled, once, 2, start + COMPILE_SECONDS))
    return found


def shown(found: Sequence[Way], spread: Spread) -> str:
    """The table, the ratio as the rule has it, how sure it is, and what looks save."""
    first, rows = found[0], [["two questions, +-0.003 nats", "seeds", "runs", "s/run", "minutes", "times"]]
    for before, way in zip([first, *found], found, strict=False):
        figures = (STEPS * way.step + way.once, way.seconds / 60, before.seconds / way.seconds)
        seconds, minutes, times = (f"{x:.{digits}f}" for x, digits in zip(figures, (1, 1, 2), strict=True))
        rows.append([way.name, "/".join(map(str, way.seeds)), str(way.runs), seconds, minutes, times])
    step = choose_step("auto", num_steps=[STEPS], device_type="cpu", compiler=find_compiler(), obstacles=()).step
    ratios = {way.name: first.seconds / way.seconds for way in found}
    a, b = len(spread.sampled) - 1, min(map(len, spread.pairs.values())) - 1
    low, high = (ratios[step] * x for x in (1 / stats.f.ppf(0.975, a, b), stats.f.ppf(0.975, b, a)))
    lines = [
        table(rows),
        "ratios: " + ", ".join(f"{name} {ratios[name]:.1f}" for name in KINDS if name in ratios),
        f"by the rule {step}; 95 % interval, by the {a + 1} and {b + 1} seeds of the spreads: {low:.1f} to {high:.1f}",
        *(looks(question, spread, n) for question, n in zip(QUESTIONS, found[-1].seeds, strict=True)),
    ]
    return "\n".join(lines)


def looks(question: str, spread: Spread, seeds: int) -> str:
    """Pairs until a verdict, looked for at each third, were the mean and spread the true ones."""
    sd = spread.paired(question)
    mean = statistics.mean(variant - baseline for baseline, variant in spread.pairs[question])
    planned = sorted({max(2, math.ceil(seeds * k / 3)) for k in (1, 2, 3)})
    found = operating(planned, mean / sd, MARGIN / sd)
    return (
        f"{question} with looks at {', '.join(map(str, planned))} pairs: {found.expected_pairs:.1f} on average, "
        f"different {found.different:.0%}, equivalent {found.equivalent:.0%}, inconclusive {found.inconclusive:.0%}"
    )


def measured(rounds: int) -> Speeds:
    """On this machine, with nothing else on it."""
    groups, tokens = raced("2x48", rounds, 1.0), SIZES["2x48"][4]
    step = {
        name: processes * tokens / groups[name]["tokens_per_second"]
        for name, (_, processes, _) in GROUPS.items()
        if name in groups
    }
    trainer = json.loads(_output("-m", "tests.benchmarks.race_trainer", "--rounds", "2", "--once", "3", "--json"))
    by_hand = json.loads(_output("-m", "tests.benchmarks.by_hand", "--seeds", "1", "--steps", "200", "--threads", "2"))
    beyond_steps = by_hand["seconds"] - by_hand["steps"] * by_hand["median_step_ms"] / 1000
    with tempfile.TemporaryDirectory() as store:
        plan = _seconds("-m", "harness.ablate", QUESTIONS[0], "--dry-run", "--store", store, "--out", store)
    return Speeds(
        hand=step[PEER],
        hand_two=step[PEER_TWICE],
        eager=step[EAGER],
        compiled=step.get(COMPILED),
        hand_once=beyond_steps + _seconds("-c", "import torch"),
        validation=trainer["validation"],
        rest=trainer["rest"],
        start=plan + _seconds("-c", "import harness.engine.worker"),
    )


def _seconds(*command: str) -> float:
    """Wall clock of a Python process."""
    started = time.perf_counter()
    _output(*command)
    return time.perf_counter() - started


def _output(*command: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = (sys.executable, *command)
    return subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout


if __name__ == "__main__":
    main()
