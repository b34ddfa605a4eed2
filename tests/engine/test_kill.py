"""A study is killed, stopped, damaged and shared: it ends with the same bits as one that was never disturbed."""

from __future__ import annotations

import os
import random
import signal
import socket
import time
from pathlib import Path

import pytest

from tests.clone import clone_with
from tests.engine.studies import Study, children, jumping_clock, kill, listeners, needs_proc, send

TOKENS = ["norm=rms", "--steps", "1000", "--seeds", "1", "--score", "none"]
Runs = list[dict[str, object]]


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = random.Random(0)
    path = tmp_path_factory.mktemp("text") / "small.txt"
    words = ["the", "cat", "sat", "on", "a", "mat", "and", "then", "it", "ran", "off", "with", "my", "hat"]
    path.write_text(" ".join(rng.choices(words, k=10_000)))
    return path


@pytest.fixture(scope="module")
def expected(text: Path, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """What the study gives when nothing happens to it."""
    return Study(TOKENS, text, tmp_path_factory.mktemp("whole")).finish()[0]


@needs_proc
def test_killed_twice_under_a_jumping_clock_gives_the_same_bits(text: Path, expected: Runs, tmp_path: Path) -> None:
    study = Study(TOKENS, text, tmp_path / "out", **jumping_clock(tmp_path / "clock"))
    rng = random.Random(int(os.environ.get("HARNESS_KILL_SEED", "0")))
    for _ in range(2):
        process = study.start()
        study.wait_for_checkpoint(process)
        time.sleep(rng.uniform(0.0, 0.5))
        workers = children(process.pid)
        assert workers
        kill(process, *workers)
    runs, printed = study.finish()
    assert runs == expected
    assert "no progress" not in printed


@needs_proc
def test_workers_without_a_study_checkpoint_and_leave(text: Path, expected: Runs, tmp_path: Path) -> None:
    """SIGKILL of the parent alone; and the next study does not mind that they are still there."""
    study = Study(TOKENS, text, tmp_path)
    process = study.start()
    study.wait_for_checkpoint(process)
    workers = children(process.pid)
    kill(process)
    again = study.start()
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in workers):
        assert time.monotonic() < deadline, "a worker outlives its study"
        time.sleep(0.05)
    assert study.end_of(again)[0] == expected


@needs_proc
def test_sigterm_to_workers_is_survived(text: Path, expected: Runs, tmp_path: Path) -> None:
    """They checkpoint and leave, and others go on."""
    study = Study(TOKENS, text, tmp_path)
    process = study.start()
    study.wait_for_checkpoint(process)
    assert [send(pid, signal.SIGTERM) for pid in children(process.pid)] == [True, True]
    runs, printed = study.end_of(process)
    assert runs == expected
    assert "was told to leave (SIGTERM) after step" in printed


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_polite_stop_checkpoints_and_continues(
    text: Path, expected: Runs, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    study = Study(TOKENS, text, tmp_path)
    process = study.start()
    study.wait_for_checkpoint(process)
    process.send_signal(number)
    _, printed = process.communicate(timeout=60)
    assert process.returncode == code
    assert "continues from here" in printed
    assert "Traceback" not in printed
    if number == signal.SIGTERM:
        assert study.finish()[0] == expected


@needs_proc
def test_what_a_crash_leaves(text: Path, expected: Runs, tmp_path: Path) -> None:
    """A checkpoint cut short, one half written, half a record, weights without a record; by hand, in every run begun.

    The damaged checkpoint is named in the log and on the display, and the one before it is used.
    """
    study = Study(TOKENS, text, tmp_path)
    process = study.start()
    folders: list[Path] = []
    while not folders:
        study.wait_for_checkpoint(process)
        folders = [folder for folder in tmp_path.rglob("checkpoints") if len(list(folder.glob("step-*"))) == 2]
    kill(process, *children(process.pid))
    folders = [folder for folder in folders if len(list(folder.glob("step-*"))) == 2]  # that have not ended meanwhile
    newest = [max(folder.glob("step-*")) for folder in folders]
    for step in newest:
        with (step / "weights.safetensors").open("r+b") as file:
            file.truncate(500)
        (step.with_name("writing-1")).mkdir()
        (step.parents[1] / ".record.json.0123456789abcdef.tmp").write_text('{"schema_ver')
        (step.parents[1] / "weights.safetensors").write_bytes(b"half")
    runs, printed = study.finish()
    assert runs == expected
    sentence = "weights.safetensors does not match its checksum): the run goes on from step"
    assert printed.count(sentence) == len(newest) > 0
    log = next(tmp_path.glob("*/workers.log")).read_text()
    assert all(f"damaged checkpoint {step.name} ({sentence}" in log for step in newest)
    assert not [*tmp_path.rglob("*.tmp"), *tmp_path.rglob("writing-*")]


COUNTED = '''
import os
from torch import nn
from torch.nn import functional as F
from variants.registry import register

@register("activation", "counted")
class Counted(nn.Module):
    """Counted: relu that leaves a byte for each training step. 2026."""

    num_projections = 1
    flops_per_unit = 1

    def forward(self, up):
        if up.requires_grad and len(up) == 4:  # 64 tokens in sequences of 16; whoever only looks at an arm gives it one
            with open(os.environ["COUNTED"], "ab") as file:
                file.write(b".")
        return F.relu(up)
'''


@needs_proc
def test_two_studies_share_a_store_and_train_no_run_twice(text: Path, tmp_path: Path) -> None:
    """An arm leaves a byte for every training step."""
    clone = clone_with(tmp_path / "clone", "activation", {"counted": COUNTED})
    tokens = ["activation=counted", "--steps", "400", "--seeds", "2", "--score", "none"]
    count = tmp_path / "count"
    count.touch()
    studies = [
        Study([*tokens, "--store", str(tmp_path / "store"), *more], text, tmp_path / out, clone, COUNTED=str(count))
        for out, more in (("one", []), ("two", ["--margin", "0.02"]))
    ]
    (one, said), (two, also_said) = [s.end_of(p) for s, p in [(study, study.start()) for study in studies]]
    assert one == two
    assert [run["status"] for run in one] == ["finished"] * 4
    assert count.stat().st_size == 2 * 400  # the runs of the counted arm
    assert "waiting for it" in said + also_said


@needs_proc
def test_a_running_study_listens_nowhere(text: Path, tmp_path: Path) -> None:
    study = Study(TOKENS, text, tmp_path)
    process = study.start()
    study.wait_for_checkpoint(process)
    pids = [process.pid, *children(process.pid)]
    assert len(pids) == 1 + 2
    listening = listeners(pids)
    kill(process, *pids)
    assert listening == []


def test_the_look_for_listeners_finds_one() -> None:
    with socket.create_server(("127.0.0.1", 0)):
        assert [address.split(":")[0] for address in listeners([os.getpid()])] == ["127.0.0.1"]
