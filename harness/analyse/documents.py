"""How much of the validation loss is the documents it was measured on? Its error over documents, and differences over
seeds and documents at once.

nats per byte is a ratio, the sum of nats over the sum of bytes. Its error over documents is that of a ratio with each
document as a cluster (Cochran 1977, Sampling Techniques, section 6.3), never over tokens, which depend on their
neighbours. A difference between two arms is read document by document, and both sources of spread are combined as
analyse/items.py does for the items of a benchmark.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.analyse.items import ItemComparison, clustered_standard_error, hierarchical
from harness.analyse.outcomes import by_arm, outcomes
from harness.analyse.scores import PRIMARY
from harness.records.record import RunRecord, StudyRecord, StudyRun


@dataclass(frozen=True)
class DocumentRow:
    """`loss` in nats per byte with its standard error over documents, of the mean over seeds. `difference` is arm minus
    baseline over the seeds both finished; None for the baseline, without a pair, or for the `reason`.
    """

    arm: str
    num_documents: int
    loss: float
    standard_error: float | None
    difference: ItemComparison | None
    reason: str = ""

    @property
    def seeds_error(self) -> float | None:
        """What seeds alone add to the standard error of the difference."""
        return None if self.difference is None else _root(self.difference.components.seeds)

    @property
    def documents_error(self) -> float | None:
        """What documents alone add to it."""
        return None if self.difference is None else _root(self.difference.components.items)


def _root(variance: float | None) -> float | None:
    return None if variance is None else math.sqrt(variance)


def document_rows(study: StudyRecord, runs: Sequence[StudyRun], arms: Sequence[str]) -> list[DocumentRow]:
    """The rows of the `arms` that have documents, in their order."""
    mine = by_arm(runs)
    tables = {arm: _by_seed(study, mine.get(arm, ()), arm) for arm in arms}
    baseline = _by_seed(study, mine.get(study.baseline, ()), study.baseline)
    return [_row(study, arm, baseline, table) for arm, table in tables.items() if table]


def _by_seed(study: StudyRecord, runs: Sequence[StudyRun], arm: str) -> dict[int, RunRecord]:
    finite = outcomes(study, runs, arm, PRIMARY).values
    return {run.seed: run.record for run in runs if run.seed in finite and run.record.documents}


def _row(study: StudyRecord, arm: str, baseline: dict[int, RunRecord], mine: dict[int, RunRecord]) -> DocumentRow:
    alike = _same_documents(list(mine.values()))
    if not alike:
        values, weights = _columns(next(iter(mine.values())))
        reason = f"the runs of {arm} were scored on different documents"
        return DocumentRow(arm, len(values), float(np.average(values, weights=weights)), None, None, reason)
    table, weights = _table(list(mine.values()))
    names = [str(i) for i in range(len(weights))]
    mean = float(np.average(table, axis=1, weights=weights).mean())
    error = clustered_standard_error(table.mean(axis=0), names, weights)
    shared = [seed for seed in baseline if seed in mine] if arm != study.baseline else []
    pairs = [record for seed in shared for record in (baseline[seed], mine[seed])]
    if not pairs:
        return DocumentRow(arm, len(names), mean, error, None)
    if not _same_documents(pairs):
        reason = f"{arm} and {study.baseline} were scored on different documents"
        return DocumentRow(arm, len(names), mean, error, None, reason)
    before, weights = _table([baseline[seed] for seed in shared])
    after, _ = _table([mine[seed] for seed in shared])
    difference = hierarchical("validation loss", PRIMARY, after - before, names, weights)
    return DocumentRow(arm, len(names), mean, error, difference)


def _same_documents(records: Sequence[RunRecord]) -> bool:
    """Bytes identify them: tokens may differ between tokenizers, the text does not."""
    sizes = [[document[2] for document in record.documents] for record in records]
    return all(size == sizes[0] for size in sizes)


def _table(records: Sequence[RunRecord]) -> tuple[np.ndarray, np.ndarray]:
    """(seeds, documents) nats per byte, and (documents,) bytes."""
    columns = [_columns(record) for record in records]
    return np.stack([values for values, _ in columns]), columns[0][1]


def _columns(record: RunRecord) -> tuple[np.ndarray, np.ndarray]:
    nats, _, num_bytes = np.array(record.documents, dtype=np.float64).T
    text = num_bytes > 0
    return nats[text] / num_bytes[text], num_bytes[text]
