"""Studies of every shape a report must survive."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.analyse.aa_studies import pipeline_errors
from harness.analyse.calibration import false_positives, noise
from harness.analyse.comparison import compare
from harness.analyse.looks import compare_study, due
from harness.analyse.scores import SCORES
from harness.records.calibration import CalibrationRecord, scale_key, scale_of
from harness.records.example import example_design_study, example_runs, example_study
from harness.records.example_scores import (
    example_score,
    extrapolation_score,
    lm_eval_score,
    position_score,
    scored,
    with_mixture,
)
from harness.records.record import StudyRun
from harness.records.score import ScoreRecord, Value
from harness.reporting.section import Material
from harness.reporting.write import write_report

BASE = (1.650, 1.655, 1.648, 1.652)
HOSTILE = "<script>alert(1)</script> | `x` & \"y\" 'z' [a](javascript:b) $\\frac{$ 中\n--> ]]> _w_"
LONG = "norm=rms activation=swiglu position=rope ffn.num_experts={} attention.n_kv_heads=1 model.tied_head=false"
LOADS = ((120, 80, 60, 60), (200, 100, 20, 0))


def made(
    values: dict[str, Sequence[float | None]],
    seeds: Sequence[int] = (0, 1, 2, 3),
    score: Callable[[StudyRun], Iterable[ScoreRecord]] = lambda run: (),
    mixtures: Sequence[str] = (),
) -> Material:
    study, runs = example_study(tuple(values), seeds), scored(example_runs(values), score)
    runs = [with_mixture(run, LOADS) if run.arm in mixtures and run.record.scores else run for run in runs]
    return Material(study, runs, compare(study, runs))


def moved(*differences: float) -> list[float]:
    return [b + d for b, d in zip(BASE, differences, strict=True)]


def designed(*tokens: str, diverged: Sequence[str] = (), seeds: int = 4, **how: Any) -> Material:
    """A study of a design; arms differ by their place, and those named diverge on seed 1."""
    study = example_design_study(*tokens, seeds=range(seeds), **how)
    base = [*BASE, *BASE, *BASE][:seeds]
    values: dict[str, list[float | None]] = {
        arm.name: [b - 0.004 * i + 0.001 * ((i * s) % 3) for s, b in enumerate(base)]
        for i, arm in enumerate(study.arms)
    }
    for arm in diverged:
        values[arm][1] = None
    runs = example_runs(values)
    wanted = set(due(study, runs))
    runs = [run for run in runs if (run.arm, run.seed) in wanted]
    return Material(study, runs, compare_study(study, runs))


def everything(run: StudyRun) -> list[ScoreRecord]:
    """All scores. Arms of RoPE score a little better, and go on past the training length."""
    rope = "position=rope" in run.arm
    return [
        position_score(run, -0.05 * rope),
        extrapolation_score(run, 0.04 if rope else None),
        lm_eval_score(run, 0.35 + 0.1 * rope, num_ties=3),
        lm_eval_score(run, 0.25, task="blimp", num_items=240),
    ]


def fifteen(run: StudyRun) -> list[ScoreRecord]:
    many = [Value(f"v{i}", f"some score {i}", run.seed + 10.0**i, "things", "higher") for i in range(9)]
    return [*everything(run), example_score(run, "others", many)]


def troubled(run: StudyRun) -> list[ScoreRecord]:
    """Scores that are missing on some seeds, failed, not a number, or not defined."""
    scores = [
        example_score(run, "position", reason="RuntimeError: out of | memory\n<b>"),
        extrapolation_score(run, None, num_blocks=2),
        example_score(run, "others", [Value("empty", "nothing", None, "nats", "lower", reason=f"{HOSTILE} is N/A")]),
        example_score(run, "late", [Value("not/a number", "not a number", float("nan"), "nats", "lower")]),
        example_score(run, "capacity", reason="UserError: no capacity"),
    ]
    if run.seed == 1:
        return [*scores, lm_eval_score(run, 0.3, task=HOSTILE, num_ties=1)]
    if run.seed == 2:
        return [*scores, lm_eval_score(run, 0.3, task=HOSTILE, num_items=30), position_score(run)]
    return scores if run.seed else []


def calibrated(material: Material, num_seeds: int = 8) -> Material:
    """With the noise of its scale measured: runs of sd 0.003, nine of ten parts of it init and data order."""
    rng = np.random.default_rng(0)
    own, planted = rng.normal(1.65, 0.003, num_seeds), rng.normal(1.70, 0.003, num_seeds)
    table = rng.normal(1.65, 0.0025, (3, 1)) + rng.normal(0, 0.001, (1, 3)) + rng.normal(0, 0.0003, (3, 3))
    by_seed, beside = dict(enumerate(own.tolist())), dict(enumerate((own + planted - 1.65).tolist()))
    scores = [score for name, score in SCORES.items() if name != "perplexity"]
    study, scale = material.study, scale_of(material.study)
    runs = [r for r in example_runs({study.baseline: own.tolist()}) if r.seed < num_seeds]
    aa = dataclasses.replace(study, seeds=list(range(num_seeds)), registration={}, design={})
    record = CalibrationRecord(
        key=scale_key(scale),
        scale=scale,
        command=["--steps", "3105"],
        created="2026-11-02T09:00:00+00:00",
        noise=[noise(s, by_seed, table.tolist(), [[1.65, 1.65]] * 2, beside, num_seeds) for s in scores],
        false_positives=false_positives(own.tolist()),
        planted={"found": True, "mean_difference": 0.05, "reason": "the difference is not zero"},
        seconds_per_run=25.0,
        pipeline=pipeline_errors(aa, runs, most=50)._asdict(),
        environment=study.environment,
    )
    return dataclasses.replace(material, calibration=record)


def every_shape() -> dict[str, Material]:
    many = {f"norm=v{i}" if i % 4 else LONG.format(i): moved(*(1e-3 * i * d for d in (1, 2, -1, 1))) for i in range(39)}
    hostile = made({HOSTILE: BASE, f"{HOSTILE} 2": [1.66, None, 1.65, 1.66]})
    command = [*hostile.study.command, "```", "</pre><b>"]
    three = ("norm=rms", "activation=swiglu", "position=rope")
    two = {"gpt2": BASE, "position=rope": moved(-0.05, -0.049, -0.052, -0.051)}
    return {
        "equivalent": made({"gpt2": BASE, "norm=rms": moved(0.001, -0.001, 0.002, -0.0015)}),
        "calibrated": calibrated(made({"gpt2": BASE, "norm=rms": moved(-0.003, -0.002, -0.004, -0.0035)})),
        "inconclusive": made({"gpt2": BASE, "norm=rms": moved(0.02, -0.03, 0.025, 0.01)}),
        "many": made({"gpt2": BASE, **many}),
        "long": made({"g" * 300: BASE, "x" * 300: BASE, "x" * 299 + "y": BASE}),
        "one seed": made({"gpt2": BASE[:1], "norm=rms": [1.6]}, seeds=(0,)),
        "alone": made({"gpt2": BASE}),
        "nothing finished": made({"gpt2": [None] * 4, "norm=rms": [None] * 4}),
        "nothing begun": made({"gpt2": [], "norm=rms": []}),
        "always diverged": made({"gpt2": BASE, "norm=none": [None] * 4}),
        "hostile": dataclasses.replace(
            hostile, study=dataclasses.replace(hostile.study, name=HOSTILE, command=command)
        ),
        "huge": made({"gpt2": BASE, "norm=dyt": [3e12, 3e38, 5.0, 2.0]}),
        "factorial": designed("norm=rms,dyt", "activation=swiglu", kinds=["factorial"]),
        "three factors": designed(*three, kinds=["factorial", "path"], seeds=6, family="max-t"),
        "fraction": designed(*three, "residual=post", kinds=["factorial"], one_in=2),
        "factorial, diverged": designed(*three, kinds=["factorial"], diverged=["norm=rms"], seeds=2),
        "contributions": designed(*three, kinds=["add-one", "leave-one-out"], family="max-t", seeds=6),
        "path": designed(*three, kinds=["path"], diverged=["norm=rms"]),
        "screen": designed("norm=rms,dyt,crms", kinds=["add-one"], screen=3, seeds=8, diverged=["norm=dyt"]),
        "explore": designed("norm=rms,dyt,crms", "position=rope", kinds=["add-one"], family="explore"),
        "dunnett": designed("norm=rms,dyt,crms", kinds=["add-one"], family="dunnett", seeds=5),
        "scored": made({**two, "ffn=moe": moved(-0.1, -0.09, -0.11, -0.1)}, score=everything, mixtures=("ffn=moe",)),
        "many scored": made({"gpt2": BASE, **many}, score=fifteen, mixtures=list(many)),
        "long scored": made({"g" * 300: BASE, "x" * 300: BASE}, score=everything, mixtures=["x" * 300]),
        "one seed scored": made({"gpt2": BASE[:1], "position=rope": [1.6]}, (0,), everything, ("position=rope",)),
        "alone scored": made({"gpt2": BASE}, score=everything, mixtures=("gpt2",)),
        "troubled scores": made({**two, "norm=none": [None] * 4}, score=troubled),
        "hostile scored": made({HOSTILE: BASE, f"{HOSTILE} 2": BASE}, score=troubled, mixtures=(HOSTILE,)),
        "one arm scored": made(two, score=lambda run: everything(run) if run.arm != "gpt2" else []),
    }


SHAPES = every_shape()


@pytest.fixture(params=SHAPES)
def shape(request: pytest.FixtureRequest) -> Material:
    return SHAPES[request.param]


@pytest.fixture(scope="session")
def report_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Material], Path]:
    """The folder of a study's report, written once."""
    folders: dict[str, Path] = {}

    def folder(study: Material) -> Path:
        name = next(name for name, known in SHAPES.items() if known is study)
        if name not in folders:
            folders[name] = tmp_path_factory.mktemp("report")
            assert write_report(folders[name], study) == folders[name] / "report.html"
        return folders[name]

    return folder


@pytest.fixture
def equivalent() -> Material:
    return SHAPES["equivalent"]


@pytest.fixture
def hostile() -> Material:
    return SHAPES["hostile"]


@pytest.fixture
def huge() -> Material:
    return SHAPES["huge"]


@pytest.fixture
def with_scores() -> Material:
    return SHAPES["scored"]


@pytest.fixture
def hostile_scores() -> Material:
    return SHAPES["hostile scored"]


@pytest.fixture
def troubled_scores() -> Material:
    return SHAPES["troubled scores"]


@pytest.fixture
def many() -> Material:
    return SHAPES["many"]


@pytest.fixture
def long() -> Material:
    return SHAPES["long"]


@pytest.fixture
def alone() -> Material:
    return SHAPES["alone"]


@pytest.fixture
def nothing_begun() -> Material:
    return SHAPES["nothing begun"]
