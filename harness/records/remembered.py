"""A store for the process that puts a study together: it asks for the study's records five times, and reads each once.

What has finished or diverged is never changed, so a copy in memory stays true; a failed run may be done again, and is
read anew. What is kept is packed (harness/records/compact.py): thousands of records fit into memory.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TypeVar

from harness.records.compact import Compactor
from harness.records.record import RunRecord
from harness.records.score import ScoreRecord
from harness.records.store import RunStore

LONG = ("documents", "curve", "detail")
"""Fields of records that hold long lists of numbers."""

Kept = TypeVar("Kept", RunRecord, ScoreRecord)


class RememberedStore(RunStore):
    """`RunStore`, each record and score opened once by this process."""

    def __init__(self, folder: Path | str) -> None:
        super().__init__(folder)
        self._known: dict[str, RunRecord] = {}
        self._known_scores: dict[tuple[str, str], ScoreRecord] = {}
        self._compact = Compactor()

    def get(self, key: str) -> RunRecord | None:
        """See `RunStore.get`."""
        if key not in self._known:
            record = super().get(key)
            if record is None or record.status == "failed":
                return record
            self._known[key] = self._packed(record)
        return self._known[key]

    def get_score(self, run: str, key: str) -> ScoreRecord | None:
        """See `RunStore.get_score`."""
        if (run, key) not in self._known_scores:
            score = super().get_score(run, key)
            if score is None or score.status == "failed":
                return score
            self._known_scores[run, key] = self._packed(score)
        return self._known_scores[run, key]

    def _packed(self, record: Kept) -> Kept:
        long = {name: self._compact(getattr(record, name)) for name in LONG if hasattr(record, name)}
        return dataclasses.replace(record, **long)
