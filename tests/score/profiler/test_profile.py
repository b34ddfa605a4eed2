"""A real profile: its shares, its traces read by the plugin's RunLoader and served by the plugin's endpoints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.model.transformer import Transformer
from harness.plan.ledger import count
from harness.score.profiler.profile import TRACED_STEPS, Profile, WorkProfile, flops_by_kind, kind_times, profile_model
from harness.score.profiler.tables import TraceTables, flat, read_tables
from harness.spec.spec import Choice, Spec, choose
from variants.errors import UserError

SMALL = Spec(n_layers=1, d_model=16, n_heads=2, seq_len=8, d_ff=32)

SERVE = r"""
import gzip, json, sys, time
from types import SimpleNamespace
from werkzeug.test import Client
from tensorboard.backend.application import TensorBoardWSGI  # noqa: F401, the plugin's host imports
from torch_tb_profiler.plugin import TorchProfilerPlugin

if __name__ == "__main__":
    plugin = TorchProfilerPlugin(SimpleNamespace(logdir=sys.argv[1]))
    apps = plugin.get_plugin_apps()
    def get(route, **query):
        response = Client(apps[route]).get(query_string=query)
        data = response.get_data()
        return [response.status_code, (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode()]
    for _ in range(2400):
        if not plugin.is_loading and len(json.loads(get("/runs")[1])["runs"]) == 2:
            break
        time.sleep(0.1)
    runs = json.loads(get("/runs")[1])["runs"]
    def place(run):
        (worker,) = json.loads(get("/workers", run=run, view="Operator")[1])
        (span,) = json.loads(get("/spans", run=run, worker=worker)[1]) or ["default"]
        return {"run": run, "worker": worker, "span": span}
    decode, train = map(place, runs)
    against = {f"exp_{key}": value for key, value in decode.items()}
    routes = ("/overview", "/operation", "/operation/table", "/memory", "/memory_curve", "/memory_events", "/module",
              "/tree", "/trace")
    answers = {route: get(route, **train, group_by="Operation") for route in routes}
    answers["/diff"] = get("/diff", **train, **against)
    answers["/diffnode"] = get("/diffnode", **train, **against, path="0")
    told = {route: [status, json.loads(text)] for route, (status, text) in answers.items()}
    other = {"js", "html", "kernel", "distributed", "runs", "views", "workers", "spans", "stack"}
    unasked = [route for route in apps if route not in told and not other & set(route.replace("/", ".").split("."))]
    views = json.loads(get("/views", run=runs[1])[1])
    print(json.dumps({"runs": runs, "views": views, "answers": told, "unasked": unasked}))
"""


def profiled(spec: Spec, logdir: Path | None = None) -> Profile:
    model = Transformer(spec, seed=0)
    return profile_model(model, count(spec), torch.arange(100), tokens_per_step=16, logdir=logdir)


def seconds(work: WorkProfile) -> dict[str, float]:
    return {k.kind: k.seconds for k in work.kinds}


@pytest.fixture(scope="module")
def logdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tensorboard") / "profile" / "gpt2"  # where a study puts them
    for _ in range(2):  # a second profile replaces the first
        profiled(SMALL, folder)
    return folder


@pytest.fixture(scope="module")
def tables(logdir: Path) -> TraceTables:
    return read_tables(logdir / "train")


def test_a_training_step_and_a_token_by_kind() -> None:
    made = profiled(SMALL)
    assert made.decode is not None
    for work in (made.train, made.decode):
        assert sum(k.share for k in work.kinds) == pytest.approx(1.0)
        assert sum(k.seconds for k in work.kinds) == pytest.approx(work.operators_seconds)
        assert 0 < work.operators_seconds <= work.wall_seconds
        for kind in ("matmul", "attention", "norm", "activation"):
            assert seconds(work)[kind] > 0
        assert seconds(work)["conv"] == seconds(work)["router"] == 0
        assert work.trace is None
    assert seconds(made.train)["optimizer"] > 0 == seconds(made.decode)["optimizer"]
    assert sum(k.flops_share or 0 for k in made.train.kinds) == pytest.approx(1.0)
    assert {k.flops for k in made.decode.kinds} == {None}
    assert json.loads(json.dumps(made.to_json()))["train"]["work"] == "train"


def test_kinds_follow_the_variants() -> None:
    made = profiled(SMALL.replace(norm=Choice("none"), ffn=choose("moe", num_experts=4)))
    assert seconds(made.train)["norm"] == 0 < seconds(made.train)["router"]
    leaking = profiled(SMALL.replace(ffn=choose("expert_choice", num_experts=4, leaks=True)))
    assert leaking.decode is None


def test_flops_beside_the_time() -> None:
    flops = flops_by_kind(count(SMALL))
    assert flops["matmul"] == 8 * 16 * 16 + 4 * 16 * 32 + 2 * 16 * 257
    assert flops["norm"] == 3 * count(SMALL).flops.norm / 3
    rows = {k.kind: k for k in kind_times({**dict.fromkeys(flops, 1.0), "optimizer": 1.0, "other": 3.0}, flops)}
    assert rows["other"].share == pytest.approx(0.3)
    assert rows["other"].flops_share == 0.0


def test_traces_stand_where_tensorboard_looks(logdir: Path) -> None:
    assert sorted(p.name for p in logdir.iterdir()) == ["decode", "train"]
    for folder in logdir.iterdir():
        (trace,) = folder.iterdir()
        assert trace.name.endswith(".pt.trace.json.gz")


def test_the_operator_module_and_memory_tables(tables: TraceTables) -> None:
    operators = {row["name"]: row for row in tables.operators}
    assert operators["aten::mm"]["host_self_duration"] > 0
    # 2 steps: q, k, v, out, up, down with a bias each, and their head without
    assert operators["aten::addmm"]["calls"] == 2 * 6
    names = [row["name"] for row in tables.modules]
    assert names[0].startswith("Transformer")
    assert tables.modules[0]["depth"] == 0
    assert any(name.startswith("MHA") for name in names)
    assert {row["device"] for row in tables.memory} == {"CPU"}
    assert any(row["Operator Name"] == "aten::addmm" for row in tables.memory)
    assert json.loads(json.dumps(tables.to_json()))["operators"][0]["calls"] >= 1


def test_the_plugins_endpoints_answer(logdir: Path, tmp_path: Path) -> None:
    script = tmp_path / "serve.py"
    script.write_text(SERVE)
    command = [sys.executable, str(script), str(logdir.parent.parent)]
    # fork: the plugin's spawned processes would each import everything again
    environment = {**os.environ, "TORCH_PROFILER_START_METHOD": "fork"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    said: dict[str, Any] = json.loads(done.stdout)
    # all but those of a GPU, of several processes, and of stacks, which torch 2.13 no longer writes where it looks
    assert said["unasked"] == []
    assert [run.replace("\\", "/") for run in said["runs"]] == ["profile/gpt2/decode", "profile/gpt2/train"]
    assert {"Overview", "Operator", "Trace", "Memory", "Module"} <= set(said["views"])
    assert {route: status for route, (status, _) in said["answers"].items() if status != 200} == {}
    check_answers({route: answer for route, (_, answer) in said["answers"].items()})


def check_answers(answers: dict[str, Any]) -> None:
    """Each endpoint tells of the training step that was traced."""
    names = {row["name"] for row in answers["/operation/table"]["data"]}
    assert {"aten::addmm", "aten::native_layer_norm", "aten::_fused_adamw_"} <= names
    assert answers["/operation"]["host_self_time"]["rows"]
    assert len(answers["/overview"]["steps"]["rows"]) == TRACED_STEPS
    assert answers["/module"]["data"][0]["name"].startswith("Transformer")
    assert "aten::addmm" in json.dumps(answers["/tree"])
    assert {row[0] for row in answers["/memory"]["rows"]["CPU"]} >= {"aten::addmm"}
    assert len(answers["/memory_curve"]["rows"]["CPU"]) > 10
    assert len(answers["/memory_events"]["rows"]["CPU"]) > 10
    assert any(event.get("name") == "aten::addmm" for event in answers["/trace"]["traceEvents"])
    assert answers["/diff"]["children"] or answers["/diff"]["left"]
    assert set(answers["/diffnode"]) >= {"left", "right"}


def test_modules_become_rows_with_depth() -> None:
    tree = [{"name": "a", "children": [{"name": "b", "children": []}]}, {"name": "c", "children": []}]
    assert [(row["name"], row["depth"]) for row in flat(tree)] == [("a", 0), ("b", 1), ("c", 0)]


def test_no_trace_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="profile a model into it first"):
        read_tables(tmp_path)
