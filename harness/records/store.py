"""The run store: one folder a run, named by the digest of everything that decides its outcome.

    STORE/runs/ab/ab12.../record.json    the run's record, sealed (records.seal)
    STORE/runs/ab/ab12.../run.lock       held while the run is trained
    STORE/runs/ab/ab12.../record.lock    held for the instant a record is written
    STORE/runs/ab/ab12.../scores/cd34....json    a score of the run, sealed, by its own key

The key is the address, so asking for one record among 100,000 opens one file and lists nothing. Records
are only ever added: equal content is trained once, and a record that was reported is never changed.
The one exception is a failed run, which a later attempt may replace.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import math
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from harness.records.atomic import StoreError, write_text
from harness.records.record import RunRecord, to_json
from harness.records.score import ScoreRecord, score_from_json
from harness.records.seal import seal, unseal
from variants.errors import UserError

__all__ = ["RunStore", "StoreError"]

_KEY = re.compile(r"[0-9a-f]{64}")  # a SHA-256 in hexadecimal, and never a path
RETRY_SECONDS = 0.05
"""Between two tries for a lock that another process holds: short beside a run, long beside a system call."""

TELL_SECONDS = 1.0
"""Between two signs that a lock is waited for. Assumption."""

_STATUSES = ("finished", "diverged", "failed")


class RunStore:
    """The runs kept under `folder`, which need not exist until the first is put."""

    def __init__(self, folder: Path | str) -> None:
        self._runs = Path(folder) / "runs"

    def folder(self, key: str) -> Path:
        """Where the run's record, checkpoints and weights live. `lock` and `put` make it.

        Raises:
            UserError: `key` is not 64 lower-case hexadecimal digits.
        """
        if not _KEY.fullmatch(key):
            raise UserError(f"a run's key is 64 hexadecimal digits, got {key[:80]!r}; take it from RunRecord.key")
        return self._runs / key[:2] / key

    def get(self, key: str) -> RunRecord | None:
        """The record of a run, or None when there is none.

        Raises:
            UserError: there is a record, and it is damaged, edited, of another version, or another run's.
            StoreError: the disk refuses to read it.
        """
        path = self.folder(key) / "record.json"
        text = _read(path)
        if text is None:
            return None
        try:
            return _record(unseal(text, str(path)), key, path)
        except UserError as error:
            raise UserError(f"{error}; delete that file to train the run again") from error

    def put(self, record: RunRecord) -> None:
        """Keep `record`, unless its run already has a finished or diverged one: the first one wins.

        When this returns, the record kept is on disk. A kill at any moment leaves the old state or the new.

        Raises:
            StoreError: the disk refuses, for instance because it is full; nothing was changed.
            UserError: the record that is already there is damaged.
        """
        folder = self.folder(record.key)
        with _locked(folder / "record.lock"):
            present = self.get(record.key)
            if present is not None and present.status != "failed":
                return
            for abandoned in folder.glob(".record.json.*.tmp"):  # by writers that were killed: we hold the lock
                with contextlib.suppress(OSError):
                    abandoned.unlink()
            write_text(folder / "record.json", json.dumps(seal(to_json(record)), allow_nan=False))

    def get_score(self, run: str, key: str) -> ScoreRecord | None:
        """A score of a run, or None when there is none.

        Raises:
            UserError: there is one, and it is damaged, edited, of another version, or another run's.
            StoreError: the disk refuses to read it.
        """
        path = self._score_path(run, key)
        text = _read(path)
        if text is None:
            return None
        try:
            score = _score(unseal(text, str(path)), path)
            if (score.run, score.key) != (run, key):
                raise UserError(f"{path} is the score {score.key!r} of run {score.run!r}, put into the wrong folder")
        except UserError as error:
            raise UserError(f"{error}; delete that file to score the run again") from error
        return score

    def put_score(self, score: ScoreRecord) -> None:
        """Keep a score; a failed one may be replaced, a finished one is the same again and is left as it is.

        Raises:
            StoreError: the disk refuses; nothing was changed.
        """
        present = self.get_score(score.run, score.key)
        if present is None or present.status == "failed":
            text = json.dumps(seal(to_json(score)), allow_nan=False)
            write_text(self._score_path(score.run, score.key), text)

    def _score_path(self, run: str, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise UserError(f"a score's key is 64 hexadecimal digits, got {key[:80]!r}; take it from ScoreRecord.key")
        return self.folder(run) / "scores" / f"{key}.json"

    @contextlib.contextmanager
    def lock(
        self,
        key: str,
        *,
        on_wait: Callable[[], None] = lambda: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Iterator[bool]:
        """Hold the run: a second process asking for it waits. The system lets go if the holder is killed.

        `on_wait` is called about once a second while another process holds it. Yields False, and holds nothing, when
        `should_stop` said to wait no longer.

        Raises:
            StoreError: the disk refuses.
        """
        with _locked(self.folder(key) / "run.lock", on_wait, should_stop) as held:
            yield held

    def __iter__(self) -> Iterator[RunRecord]:
        """Every record, by key; a record put meanwhile may or may not be met."""
        for prefix in _names(self._runs):
            for key in _names(self._runs / prefix):
                if _KEY.fullmatch(key) and key.startswith(prefix):
                    record = self.get(key)
                    if record is not None:
                        yield record


def _read(path: Path) -> bytes | None:
    """The bytes of a file, None when there is none."""
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror or error}") from error


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _record(body: dict[str, Any], key: str, path: Path) -> RunRecord:
    fields = {field.name for field in dataclasses.fields(RunRecord)}
    if set(body) != fields:
        raise UserError(f"{path} has other fields than a run record: {', '.join(sorted(set(body) ^ fields))}")
    if body["status"] not in _STATUSES:
        raise UserError(f"{path} has status {body['status']!r}, known are {', '.join(_STATUSES)}")
    if body["key"] != key:
        raise UserError(f"{path} is the record of run {body['key']!r}, put into the wrong folder")
    return RunRecord(**body)


def _score(body: dict[str, Any], path: Path) -> ScoreRecord:
    try:
        return score_from_json(body)
    except (KeyError, TypeError) as error:
        raise UserError(f"{path} is not a score ({error})") from error


@contextlib.contextmanager
def _locked(
    path: Path,
    on_wait: Callable[[], None] = lambda: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[bool]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise StoreError(f"cannot lock {path}: {error.strerror or error}") from error
    try:
        told = -math.inf
        while not (held := _try_lock(descriptor, path)) and not should_stop():
            if time.monotonic() - told >= TELL_SECONDS:
                told = time.monotonic()
                on_wait()
            time.sleep(RETRY_SECONDS)
        try:
            yield held
        finally:
            if held:
                fcntl.flock(descriptor, fcntl.LOCK_UN)  # closing is not enough: a forked child may hold a copy
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int, path: Path) -> bool:
    """Whether the lock is ours now. A wait within the system call would be deaf to a stop."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise StoreError(f"cannot lock {path}: {error.strerror or error}") from error
    return True
