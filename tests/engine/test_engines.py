"""Engines by name: the one that was asked for, and a sentence for everything else."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from harness.engine.engines import ENGINES, SLURM_MINUTES, make_engine
from harness.engine.local import LocalEngine
from variants.errors import UserError

LOG = Path("log")


def test_local() -> None:
    engine = make_engine("local", num_workers=3, log=LOG)
    assert isinstance(engine, LocalEngine)
    assert engine.num_workers == 3


def test_ray() -> None:
    module = pytest.importorskip("harness.engine.ray_cluster", reason="the extra [ray] is not installed")
    engine: Any = make_engine("ray", num_workers=None, log=LOG, runs_per_gpu=4)
    assert isinstance(engine, module.RayEngine)
    assert (engine.address, engine.num_workers, engine.runs_per_gpu) == ("auto", None, 4)
    other: Any = make_engine("ray", num_workers=2, log=LOG, address="head:1")
    assert other.address == "head:1"


def test_slurm() -> None:
    module = pytest.importorskip("harness.engine.slurm", reason="the extra [slurm] is not installed")
    engine: Any = make_engine("slurm", num_workers=None, log=LOG, slurm_partition="short", slurm_options=["mem=2G"])
    assert isinstance(engine, module.SlurmEngine)
    assert engine.options == module.SlurmOptions("short", SLURM_MINUTES, (("mem", "2G"),))


@pytest.mark.parametrize(
    ("name", "flags", "sentence"),
    [
        ("rey", {}, "did you mean 'ray'"),
        ("", {}, "known: local, ray, slurm"),
        ("local", {"address": "auto"}, "--address belongs to --engine ray"),
        ("slurm", {"address": "auto"}, "--address belongs to --engine ray"),
        ("ray", {"slurm_partition": "short"}, "--slurm-partition belongs to --engine slurm"),
        ("local", {"slurm_minutes": 5}, "--slurm-minutes belongs to --engine slurm"),
        ("local", {"slurm_options": ["mem=1G"]}, "--slurm-option belongs to --engine slurm"),
        ("slurm", {"runs_per_gpu": 2}, "2 runs a GPU"),
    ],
)
def test_what_does_not_fit(name: str, flags: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        make_engine(name, num_workers=1, log=LOG, **flags)


@pytest.mark.parametrize(("name", "package"), [("ray", "ray"), ("slurm", "submitit")])
def test_a_missing_package(name: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = {"ray": "ray_cluster", "slurm": "slurm"}[name]
    monkeypatch.delitem(sys.modules, f"harness.engine.{module}", raising=False)
    monkeypatch.setitem(sys.modules, package, None)  # importing it now says it is not there
    with pytest.raises(UserError, match=rf"pip install 'ablation-harness\[{name}\]'"):
        make_engine(name, num_workers=1, log=LOG)
    assert name in ENGINES
