"""The store keeps what it was given, once, through kills, full disks and two writers at a time."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.records import store as store_module
from harness.records.atomic import write_text
from harness.records.example import example_run
from harness.records.record import RunRecord
from harness.records.score import ScoreRecord
from harness.records.store import RunStore, StoreError
from variants.errors import UserError

ROOT = Path(__file__).parents[2]


def record(seed: int = 0, **changes: Any) -> RunRecord:
    return dataclasses.replace(example_run("norm=rms", seed, 1.65).record, **changes)


def path_of(store: RunStore, one: RunRecord) -> Path:
    return store.folder(one.key) / "record.json"


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    """A separate Python that runs `script`."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return out


def test_a_record_comes_back_as_it_was_put(tmp_path: Path) -> None:
    one, other = record(0), record(1)
    RunStore(tmp_path).put(one)
    RunStore(tmp_path).put(other)
    assert RunStore(tmp_path).get(one.key) == one
    assert path_of(RunStore(tmp_path), one) == tmp_path / "runs" / one.key[:2] / one.key / "record.json"
    assert list(RunStore(tmp_path)) == sorted([one, other], key=lambda r: r.key)


def test_an_unknown_key_is_none_and_an_absent_store_is_empty(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "absent")
    assert store.get("0" * 64) is None
    assert list(store) == []
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize("key", ["", "../" * 21 + "a", "0" * 63, "0" * 64 + "\n", "A" * 64, "/" + "0" * 63, "é" * 64])
def test_a_key_that_is_not_a_digest_never_becomes_a_path(tmp_path: Path, key: str) -> None:
    store = RunStore(tmp_path / "store")
    for use in (store.folder, store.get, lambda k: store.put(record(key=k)), lambda k: store.lock(k).__enter__()):
        with pytest.raises(UserError, match="64 hexadecimal digits"):
            use(key)
    assert list(tmp_path.iterdir()) == []


def test_the_first_finished_record_wins_and_a_failed_one_may_be_replaced(tmp_path: Path) -> None:
    store, one = RunStore(tmp_path), record()
    failed = dataclasses.replace(one, status="failed", reason="killed", scores={})
    store.put(failed)
    store.put(dataclasses.replace(failed, reason="killed again"))
    assert store.get(one.key) == dataclasses.replace(failed, reason="killed again")
    store.put(one)
    for later in (failed, dataclasses.replace(one, seconds=1.0), dataclasses.replace(one, status="diverged")):
        store.put(later)
        assert store.get(one.key) == one


def test_what_is_not_finite_is_stored_as_null(tmp_path: Path) -> None:
    nan, inf = float("nan"), float("inf")
    one = record(
        status="diverged", scores={"nats_per_byte": nan}, curve=[[1, 2.0, inf]], identity={"a": (-inf, {1: nan})}
    )
    RunStore(tmp_path).put(one)
    back = RunStore(tmp_path).get(one.key)
    assert back is not None
    assert (back.scores, back.curve) == ({"nats_per_byte": None}, [[1, 2.0, None]])
    assert back.identity == {"a": [None, {"1": None}]}


def test_every_cut_of_the_file_is_refused(tmp_path: Path) -> None:
    store, one = RunStore(tmp_path), record()
    store.put(one)
    whole = path_of(store, one).read_bytes()
    for length in [*range(0, len(whole), 41), len(whole) - 1]:
        path_of(store, one).write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"record\.json is not readable JSON .* delete that file to train"):
            store.get(one.key)


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda d: d["scores"].update(nats_per_byte=1.5), "does not match its own sha256"),
        (lambda d: d.update(sha256="0" * 64), "does not match its own sha256"),
        (lambda d: d.pop("sha256"), "does not match its own sha256"),
        (lambda d: d.update(schema_version=2), "schema_version 2, this program reads 1"),
        (lambda d: d.update(seconds=float("nan")), "NaN is not JSON"),
    ],
)
def test_an_edited_record_is_refused(tmp_path: Path, change: Callable[[dict[str, Any]], object], sentence: str) -> None:
    store, one = RunStore(tmp_path), record()
    store.put(one)
    edit(path_of(store, one), change)
    with pytest.raises(UserError, match=sentence):
        store.get(one.key)
    with pytest.raises(UserError, match=sentence):  # nor is it silently replaced
        store.put(one)


@pytest.mark.parametrize("text", ["[]", "3", "null", '{"schema_version": 1, "a": 1e999}', "[" * 100_000, "\ufeff{}"])
def test_other_json_is_refused(tmp_path: Path, text: str) -> None:
    store, one = RunStore(tmp_path), record()
    store.put(one)
    path_of(store, one).write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"record\.json"):
        store.get(one.key)


def test_a_record_in_another_runs_folder_is_refused(tmp_path: Path) -> None:
    store, one, other = RunStore(tmp_path), record(0), record(1)
    store.put(one)
    path_of(store, other).parent.mkdir(parents=True)
    path_of(store, one).rename(path_of(store, other))
    with pytest.raises(UserError, match="put into the wrong folder"):
        store.get(other.key)


def test_reading_one_record_lists_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, one = RunStore(tmp_path), record()
    store.put(one)

    def forbidden(*_: object) -> None:
        raise AssertionError("a folder was listed")

    for name in ("listdir", "scandir"):
        monkeypatch.setattr(os, name, forbidden)
    assert store.get(one.key) == one


def test_iteration_passes_over_what_is_not_a_run(tmp_path: Path) -> None:
    store, one = RunStore(tmp_path), record()
    store.put(one)
    (tmp_path / "runs" / "notes.txt").write_text("mine")
    (tmp_path / "runs" / "zz" / "not-a-key").mkdir(parents=True)
    (tmp_path / "runs" / "00" / ("0" * 64)).mkdir(parents=True)  # begun, not finished
    assert list(store) == [one]


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
@pytest.mark.parametrize("before", [None, "failed"])
def test_a_full_disk_is_one_sentence_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, before: str | None
) -> None:
    store, one = RunStore(tmp_path), record()
    earlier = dataclasses.replace(one, status="failed") if before else None
    if earlier:
        store.put(earlier)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(StoreError, match=r"cannot write .*record\.json: No space left on device"):
            store.put(one)
    assert store.get(one.key) == earlier
    assert not list(store.folder(one.key).glob(".*"))
    store.put(one)
    assert store.get(one.key) == one


def test_the_kernel_refusing_a_long_file_is_a_store_error(tmp_path: Path) -> None:
    script = """
import resource, sys
from pathlib import Path
from harness.records.atomic import StoreError, write_text
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
path = Path(sys.argv[1])
write_text(path, "old")
try:
    write_text(path, "x" * 10_000)
except StoreError as error:
    print(error, path.read_text(), sorted(p.name for p in path.parent.iterdir()))
"""
    out = finish(start(script, tmp_path / "file"))
    assert out == f"cannot write {tmp_path}/file: File too large; what was there before still is old ['file']\n"


def test_short_writes_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, content: real(descriptor, content[:7]))
    write_text(tmp_path / "a" / "file", "one two three four é")
    assert (tmp_path / "a" / "file").read_text(encoding="utf-8") == "one two three four é"


def test_a_store_that_cannot_be_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"cannot lock .*file"):
        RunStore(tmp_path / "file").put(record())
    assert RunStore(tmp_path / "file").get("0" * 64) is None
    (RunStore(tmp_path).folder("0" * 64) / "record.json").mkdir(parents=True)
    with pytest.raises(StoreError, match=r"cannot read .*Is a directory"):
        RunStore(tmp_path).get("0" * 64)


WRITER = """
import dataclasses, hashlib, sys, time
from pathlib import Path
from harness.records.example import example_run
from harness.records.store import RunStore
folder, who, (first, keys, padding) = sys.argv[1], sys.argv[2], map(int, sys.argv[3:])
store = RunStore(folder)
(Path(folder) / who).touch()
while not (Path(folder) / "go").exists():
    time.sleep(0.001)
for i in range(first, first + keys):
    run = example_run("norm=rms", i, 1.65).record
    store.put(dataclasses.replace(run, created=who, curve=[[j, j * 1.0, 2.0] for j in range(padding)]))
    print(i, flush=True)
"""


def test_two_processes_that_write_the_same_keys_agree_on_the_first(tmp_path: Path) -> None:
    writers = [start(WRITER, tmp_path, who, 0, 60, 10) for who in ("one", "two")]
    while not all((tmp_path / who).exists() for who in ("one", "two")):
        time.sleep(0.005)
    (tmp_path / "go").touch()
    seen: dict[str, str] = {}
    while any(writer.poll() is None for writer in writers):
        for kept in RunStore(tmp_path):
            assert seen.setdefault(kept.key, kept.created) == kept.created, "a record that was kept has changed"
    for writer in writers:
        finish(writer)
    records = list(RunStore(tmp_path))
    assert len(records) == 60
    assert {kept.created for kept in records} <= {"one", "two"}
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_kill_at_any_moment_leaves_a_store_that_reads(tmp_path: Path) -> None:
    moment = random.Random(0)
    (tmp_path / "go").touch()
    num_kept = 0
    for _ in range(12):
        writer = start(WRITER, tmp_path, "killed", num_kept, 10_000, 4000)
        assert writer.stdout is not None
        said = writer.stdout.readline()  # it is writing
        time.sleep(moment.uniform(0, 0.05))
        writer.send_signal(signal.SIGKILL)
        said += writer.communicate(timeout=60)[0]
        kept = {one.key for one in RunStore(tmp_path)}  # reads them all
        promised = {example_run("norm=rms", int(i), 1.65).record.key for i in said.split()}
        assert promised <= kept, "a record that put() had returned for is lost"
        num_kept = len(kept)
    RunStore(tmp_path).put(example_run("norm=rms", num_kept, 1.65).record)  # where the last kill fell
    assert not list(tmp_path.rglob("*.tmp"))


def test_the_lock_is_waited_for_and_falls_with_its_holder(tmp_path: Path) -> None:
    script = """
import sys, time
from harness.records.store import RunStore
with RunStore(sys.argv[1]).lock("a" * 64):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""
    holder = start(script, tmp_path, 60)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    waiter = start(script, tmp_path, 0)
    time.sleep(0.3)
    assert waiter.poll() is None
    holder.kill()
    assert finish(waiter) == "held\n"
    holder.communicate()


def test_whoever_waits_for_a_lock_says_so_and_can_be_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "TELL_SECONDS", 0.1)
    store, said = RunStore(tmp_path), []
    with store.lock("a" * 64, on_wait=lambda: said.append(0)) as held:
        assert held
        assert said == []
        with store.lock(
            "a" * 64, on_wait=lambda: said.append(time.monotonic()), should_stop=lambda: len(said) == 3
        ) as also_held:
            assert not also_held
        assert said[2] - said[0] >= 0.2
        with store.lock("b" * 64, should_stop=lambda: True) as other:
            assert other, "a lock that is free is taken"
    with store.lock("a" * 64, should_stop=lambda: True) as held:
        assert held


def test_a_run_is_put_while_its_lock_is_held(tmp_path: Path) -> None:
    store, one = RunStore(tmp_path), record()
    with store.lock(one.key):
        store.put(one)
    with store.lock(one.key):
        assert store.get(one.key) == one


def test_a_lock_the_file_system_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(store_module.fcntl, "flock", refuse)
    with pytest.raises(StoreError, match=r"cannot lock .*No locks available"), RunStore(tmp_path).lock("a" * 64):
        pass


def test_a_score_is_kept_beside_its_run_and_a_failed_one_is_replaced(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    run, key = "ab" * 32, "cd" * 32
    assert store.get_score(run, key) is None
    failed = ScoreRecord(key, {"score": "position"}, run, "position", "failed", "too short")
    store.put_score(failed)
    assert store.get_score(run, key) == failed
    finished = dataclasses.replace(failed, status="finished", reason="", detail={"nats": [1.0, None]})
    store.put_score(finished)
    store.put_score(failed)
    assert store.get_score(run, key) == finished


def test_a_damaged_or_misplaced_score_is_refused(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    run, key, other = "ab" * 32, "cd" * 32, "ef" * 32
    store.put_score(ScoreRecord(key, {}, run, "position", "finished", ""))
    folder = store.folder(run) / "scores"
    (folder / f"{other}.json").write_bytes((folder / f"{key}.json").read_bytes())
    with pytest.raises(UserError, match="wrong folder"):
        store.get_score(run, other)
    text = (folder / f"{key}.json").read_text()
    (folder / f"{key}.json").write_text(text.replace("finished", "fimished"))
    with pytest.raises(UserError, match="delete that file to score the run again"):
        store.get_score(run, key)
    with pytest.raises(UserError, match="64 hexadecimal digits"):
        store.get_score(run, "../x")
