"""The main job through its command: verdict, report, reuse, JSON, and every kind of bad input."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from harness.ablate import main
from harness.engine import timing
from harness.records.study import read_study
from harness.report import main as rebuild
from tests.clone import clone_with
from variants import registry


def test_one_arm_end_to_end(tiny_flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["norm=rms", "activation=swiglu", "--json", *tiny_flags]) == 0
    first = json.loads(capsys.readouterr().out)
    assert first["schema_version"] == 1
    assert [arm["name"] for arm in first["arms"]] == ["gpt2", "norm=rms activation=swiglu"]
    assert {run["status"] for run in first["runs"]} == {"finished"}
    assert len(first["runs"]) == 4
    assert not any(run["reused"] for run in first["runs"])
    (comparison,) = first["comparisons"]
    assert comparison["num_seeds"] == 2
    assert comparison["ci95"][0] <= comparison["mean_difference"] <= comparison["ci95"][1]
    assert comparison["verdict"] in {"better", "worse", "equivalent", "inconclusive"}
    folder = Path(first["study"]["folder"])
    names = {"report.md", "report.html", "comparisons.json", "runs.jsonl", "study.json"}
    assert names <= {p.name for p in folder.iterdir()}

    assert main(["norm=rms", "--json", *tiny_flags]) == 0
    second = json.loads(capsys.readouterr().out)
    reused = {(run["arm"], run["reused"]) for run in second["runs"]}
    assert reused == {("gpt2", True), ("norm=rms", False)}
    weights = {(run["arm"], run["seed"]): run["weights_sha256"] for run in first["runs"]}
    again = {(run["arm"], run["seed"]): run["weights_sha256"] for run in second["runs"]}
    assert weights["gpt2", 0] == again["gpt2", 0]


def test_commas_cross_and_the_baseline_is_no_arm(tiny_flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["norm=rms,layer", "activation=relu,gelu", "--dry-run", "--json", *tiny_flags]) == 0
    arms = [arm["name"] for arm in json.loads(capsys.readouterr().out)["arms"]]
    assert arms == ["gpt2", "norm=rms activation=relu", "norm=rms", "activation=relu"]


def test_every_regime_in_one_study(
    tiny_flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One contrast under all regimes: the verdict is that of equal FLOPs, the baseline is trained once."""
    monkeypatch.setattr(timing, "PRECISE", 1e9)
    flags = [*tiny_flags, "--steps", "300", "--match", "all", "--json"]
    assert main(["activation=swiglu", *flags]) == 0
    first = json.loads(capsys.readouterr().out)
    rows = {row["regime"]: row for row in first["regimes"]["rows"]}
    assert list(rows) == ["flops", "params", "tokens", "time"]
    assert [arm["name"] for arm in first["arms"]] == ["gpt2", "activation=swiglu"]
    assert all(row["comparison"]["num_seeds"] == 2 for row in rows.values())
    assert rows["flops"]["comparison"]["mean_difference"] == first["comparisons"][0]["mean_difference"]
    beside = first["regimes"]["runs"]
    assert {run["key"] for run in beside if run["arm"] == "gpt2"} == {
        run["key"] for run in first["runs"] if run["arm"] == "gpt2"
    }
    assert all(run["reused"] for run in beside if run["arm"] == "gpt2")
    step = next(arm for arm in first["regimes"]["timing"]["arms"] if arm["arm"] == "activation=swiglu")["relative"]
    assert rows["time"]["record"]["num_tokens"] / 64 * step == pytest.approx(300, rel=0.005)
    folder = Path(first["study"]["folder"])
    report = (folder / "report.md").read_text()
    assert "## Matching regimes" in report
    registered = read_study(folder)[0].registration
    assert "Holm over all of them" in registered["families"][1]

    (tmp_path / "out" / "store" / "timings").rename(tmp_path / "elsewhere")
    assert main(["activation=swiglu", *flags]) == 0, "a study that was begun keeps the timing it was planned with"
    second = json.loads(capsys.readouterr().out)
    assert second["regimes"]["timing"] == first["regimes"]["timing"]
    assert all(run["reused"] for run in (*second["runs"], *second["regimes"]["runs"]))
    assert rebuild([str(folder)]) == 0
    assert (folder / "report.md").read_text().count("trained before this was registered") <= 1


def test_equal_seconds_alone(
    tiny_flags: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "PRECISE", 1e9)
    argv = ["norm=rms", *tiny_flags, "--steps", "400", "--match", "time", "--dry-run", "--json"]
    assert main(argv) == 0
    first = json.loads(capsys.readouterr().out)
    assert first["study"]["match"] == "time"
    assert abs(first["arms"][1]["mismatch"]) <= 0.005
    assert main(argv) == 0
    assert json.loads(capsys.readouterr().out)["arms"] == first["arms"], "the plan is reproducible"


def test_one_seed_gives_no_verdict(tiny_flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["norm=rms", "--json", *tiny_flags, "--seeds", "1"]) == 0
    (comparison,) = json.loads(capsys.readouterr().out)["comparisons"]
    assert comparison["verdict"] is None
    assert "1 seed has no spread" in comparison["reason"]


def test_a_diverged_run_is_a_record(tiny_flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["norm=rms", "--json", *tiny_flags, "--lr", "1e30"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert {run["status"] for run in result["runs"]} == {"diverged"}
    assert result["comparisons"][0]["verdict"] == "inconclusive"


def test_bpe_and_chinese(tiny_flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = tmp_path / "chinese.txt"
    text.write_text("話說孫悟空一個筋斗雲十萬八千里。\n" * 400, encoding="utf-8")
    assert main(["position=rope", "--json", *tiny_flags, "--data", str(text), "--tokenizer", "bpe:300"]) == 0
    runs = json.loads(capsys.readouterr().out)["runs"]
    assert all(run["scores"]["bits_per_byte"] > 0 for run in runs)


def test_the_balance_of_experts_is_recorded(tiny_flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ffn=moe", "--json", *tiny_flags, "--seeds", "1"]) == 0
    folder = Path(json.loads(capsys.readouterr().out)["study"]["folder"])
    health = {run.arm: run.record.moe_health for run in read_study(folder)[1]}
    assert health["gpt2"] is None
    experts = health["ffn=moe"]
    assert experts is not None
    (layer,) = experts["layers"]
    assert sum(layer["load"]) == 2 * experts["num_tokens"]  # every token visits two experts
    assert 0 <= layer["load_entropy"] <= 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "name at least one slot=variant"),
        (["norms=rms"], "did you mean 'norm'"),
        (["norm=rsm"], "did you mean 'rms'"),
        (["norm"], "slot=variant"),
        (["norm="], "slot=variant"),
        (["norm=rms", "norm=layer"], "second time"),
        (["ffn=moe", "ffn.num_expert=4"], "did you mean 'num_experts'"),
        (["ffn=moe", "ffn.num_experts=many"], "integer"),
        (["ffn=moe", "ffn.top_k=9"], "top_k"),
        (["norm=rms", "ffn.num_experts=4"], "no option"),
        (["norm=rms", "--size", "huge"], "LAYERSxD_MODEL"),
        (["norm=rms", "--size", "0x16"], "at least 1 layer"),
        (["norm=rms", "--heads", "3"], "divide"),
        (["norm=rms", "--baseline", "gpt9"], "unknown preset"),
        (["norm=rms", "--seeds", "0"], "at least 1"),
        (["norm=rms", "--seeds", "two"], "at least 1"),
        (["norm=rms", "--lr", "-1"], "positive"),
        (["norm=rms", "--tokens-per-step", "17"], "multiple of --seq-len"),
        (["norm=rms", "--tokenizer", "bpe:9"], "257"),
        (["norm=rms", "--tokenizer", "wordpiece"], "bpe:VOCAB"),
        (["norm=rms", "--data", "nowhere"], "nowhere"),
        (["norm=rms", "--match", "memory"], "invalid choice"),
        (["norm=rms", "activation=relu", "--match", "all", "--design", "path"], "against the baseline under every"),
        (["norm=rms", "--device", "abacus"], "abacus"),
        (["norm=rms", "--wibble"], "wibble"),
        (["position=rope", "--size", "1x6", "--heads", "2"], "in pairs"),
        (["norm=rms", "--nproc", "2"], "add --parallel"),
        (["norm=rms", "--parallel", "fsdp"], "add e.g. --nproc 2"),
        (["norm=rms", "--parallel", "tensor", "--nproc", "2"], "invalid choice: 'tensor'"),
        (["norm=rms", "--parallel", "ddp", "--nproc", "0"], "at least 1"),
        (["norm=rms", "--parallel", "ddp", "--nproc", "3"], "--nproc 3 x --seq-len 16 = 48, got 64; try 48"),
        (["norm=rms", "--parallel", "ddp", "--nproc", "2", "--engine", "ray"], "this machine alone"),
        (["norm=rms", "--parallel", "ddp", "--nproc", "2", "--compile", "on"], "eager steps"),
        (["norm=rms", "--parallel", "ddp", "--nproc", "2", "--match", "time"], "steps of one process"),
        (["position=fire", "--parallel", "fsdp", "--nproc", "2", "--match", "tokens"], "use --parallel ddp"),
        (["ffn=expert_choice", "ffn.leaks=true", "--parallel", "ddp", "--nproc", "2"], "ExpertChoice"),
    ],
)
def test_bad_input_is_one_sentence(
    words: list[str], sentence: str, tiny_flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*tiny_flags, *words]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert sentence in printed.err
    assert not (tmp_path / "out").exists()


def test_budget_too_small(tiny_flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    i = tiny_flags.index("--steps")
    assert main(["norm=rms", *tiny_flags[:i], *tiny_flags[i + 2 :], "--budget", "10"]) == 2
    assert "less than one step" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("content", "sentence"), [(b"", "empty"), (b"\x00\x01\xff" * 999, "text"), (b"one line", "")])
def test_bad_corpus(
    content: bytes, sentence: str, tiny_flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.txt"
    path.write_bytes(content)
    assert main(["norm=rms", *tiny_flags, "--data", str(path)]) == 2
    printed = capsys.readouterr().err
    assert sentence in printed
    assert printed.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_unwritable_out(tiny_flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("a file where a folder should be")
    assert main(["norm=rms", *tiny_flags, "--out", str(blocked / "reports")]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_list_shows_every_variant(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    shown = capsys.readouterr().out
    for slot in registry.SLOTS:
        for name in registry.names(slot):
            assert f"{slot}={name}" in shown


def test_a_variant_file_dropped_in_is_found(tiny_flags: list[str], tmp_path: Path) -> None:
    """A throwaway norm, one file and nothing else, trains through the command and keeps the contract."""
    source = registry.source("norm", "rms").read_text().replace('"rms"', '"throwaway"')
    clone = clone_with(tmp_path / "clone", "norm", {"throwaway": source})

    def said(*command: str) -> str:
        return subprocess.run(
            [sys.executable, *command], cwd=clone, check=True, stdout=subprocess.PIPE, text=True
        ).stdout

    result = json.loads(said("-m", "harness.ablate", "norm=throwaway", "--json", *tiny_flags))
    assert {run["status"] for run in result["runs"]} == {"finished"}
    code = (
        "from harness.ablate import main; from harness.testing.contract import check_variant;"
        "main(['--list']); check_variant('norm', 'throwaway')"
    )
    assert "norm=throwaway" in said("-c", code)
