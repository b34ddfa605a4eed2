"""Studies of every shape a report must survive."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from harness.analyse.comparison import compare
from harness.records.example import example_runs, example_study
from harness.reporting.section import Material
from harness.reporting.write import write_report

BASE = (1.650, 1.655, 1.648, 1.652)
HOSTILE = "<script>alert(1)</script> | `x` & \"y\" 'z' [a](javascript:b) $\\frac{$ 中\n--> ]]> _w_"


def made(values: dict[str, Sequence[float | None]], seeds: Sequence[int] = (0, 1, 2, 3)) -> Material:
    study, runs = example_study(tuple(values), seeds), example_runs(values)
    return Material(study, runs, compare(study, runs))


def moved(*differences: float) -> list[float]:
    return [b + d for b, d in zip(BASE, differences, strict=True)]


def every_shape() -> dict[str, Material]:
    long = "norm=rms activation=swiglu position=rope ffn.num_experts={} attention.n_kv_heads=1 model.tied_head=false"
    many = {f"norm=v{i}" if i % 4 else long.format(i): moved(*(1e-3 * i * d for d in (1, 2, -1, 1))) for i in range(39)}
    hostile = made({HOSTILE: BASE, f"{HOSTILE} 2": [1.66, None, 1.65, 1.66]})
    command = [*hostile.study.command, "```", "</pre><b>"]
    return {
        "equivalent": made({"gpt2": BASE, "norm=rms": moved(0.001, -0.001, 0.002, -0.0015)}),
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
