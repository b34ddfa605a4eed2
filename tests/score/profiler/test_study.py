"""The profile of a small study, end to end, and the shape that the report is made from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.analyse.profile import table, work_times
from harness.analyse.roofline import roof
from harness.model.transformer import Transformer
from harness.plan.ledger import count
from harness.records.example_measurements import example_profile
from harness.score.profiler import study
from harness.score.profiler.study import DEEPEST_MODULE, TOP_ROWS, profile_arms, shortened
from harness.score.profiler.tables import TraceTables
from harness.score.throughput.ceilings import Ceilings
from harness.score.throughput.measure import Candidate
from harness.spec.spec import Choice, Spec, choose
from harness.train.checkpoint import weights_of

SMALL = Spec(n_layers=2, d_model=16, n_heads=2, seq_len=8, d_ff=32)
NAMES = ("../gpt2", "ffn=deepseek_v3 norm=rms")
MOST_BYTES = 200_000
"""Of the detail of two arms."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path, bool]:
    """The detail, the folder of its traces, and whether a model that was handed in is as it was."""
    logdir = tmp_path_factory.mktemp("profiled") / "tensorboard" / "profile"
    spec = SMALL.replace(ffn=choose("deepseek_v3", num_experts=4, top_k=2), norm=Choice("rms"))
    model = Transformer(spec, seed=0).eval()
    before = {name: tensor.clone() for name, tensor in weights_of(model).items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study, "ceilings", lambda *_: Ceilings("made up", "float32", 1, 1e9, 1e8))
        detail = profile_arms(
            [Candidate(NAMES[0], count(SMALL)), Candidate(NAMES[1], count(spec), model)],
            torch.arange(100),
            tokens_per_step=16,
            device=torch.device("cpu"),
            cache_folder=logdir,
            logdir=logdir,
        )
    kept = all(torch.equal(before[name], tensor) for name, tensor in weights_of(model).items())
    return detail, logdir, kept and not model.training


def test_it_is_small_plain_json(made: tuple[dict[str, Any], Path, bool]) -> None:
    text = json.dumps(made[0], allow_nan=False)
    assert json.loads(text)["arms"][1]["arm"] == NAMES[1]
    assert 5_000 < len(text) < MOST_BYTES


def test_every_arm_and_work_is_a_run_of_tensorboard(made: tuple[dict[str, Any], Path, bool]) -> None:
    _, logdir, _ = made
    assert [p.name for p in logdir.parent.parent.iterdir()] == ["tensorboard"], "a name is no path"
    runs = {str(p.parent.relative_to(logdir)) for p in logdir.rglob("*.pt.trace.json.gz")}
    assert runs == {f"{arm}/{work}" for arm in ("gpt2", "ffn=deepseek_v3-norm=rms") for work in ("train", "decode")}


def test_a_model_is_left_as_it_came(made: tuple[dict[str, Any], Path, bool]) -> None:
    assert made[2]


def shape(value: Any) -> Any:
    """Keys all the way down; of a list its first element."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [shape(value[0])] if value else []
    return None


def test_the_made_up_measurement_has_the_shape_of_a_real_one(made: tuple[dict[str, Any], Path, bool]) -> None:
    assert shape(example_profile(NAMES).detail) == shape(made[0])


def test_the_report_reads_it(made: tuple[dict[str, Any], Path, bool]) -> None:
    detail = json.loads(json.dumps(made[0]))
    base, arm = work_times(detail, "train")
    assert base.of("router") is None
    assert arm.of("router") is not None
    for name in ("operators", "modules", "memory"):
        assert {row.arm for row in table(detail, "train", name, 2)} == set(NAMES)
    assert {module.bound for module in roof(detail, NAMES).modules} <= {"memory", "compute"}


def test_tables_keep_the_rows_that_matter_most() -> None:
    operators = [{"name": str(i), "host_self_duration": i} for i in range(99)]
    memory = [{"Operator Name": str(i), "Self Allocation Size (KB)": i % 7 + i / 100} for i in range(99)]
    modules = [{"name": str(i), "depth": i % 6} for i in range(60)]
    kept = shortened(TraceTables(tuple(operators), tuple(modules), tuple(memory)))
    assert [row["host_self_duration"] for row in kept.operators] == list(range(98, 98 - TOP_ROWS, -1))
    sizes = [row["Self Allocation Size (KB)"] for row in kept.memory]
    assert len(sizes) == TOP_ROWS
    assert sizes == sorted(sizes, reverse=True)
    assert max(row["depth"] for row in kept.modules) == DEEPEST_MODULE
    assert len(kept.modules) == 40
    operators[3]["device_self_duration"] = 1
    on_device = shortened(TraceTables(tuple(operators), (), ()))
    assert on_device.operators[0]["name"] == "3", "what ran on a device is ordered by its time there"
