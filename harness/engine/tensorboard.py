"""The runs of a study as TensorBoard scalars: `tensorboard --logdir FOLDER` shows each arm and seed as a run.

A run's file has one name and is replaced whole, so writing again doubles no point, and the same records give the same
bytes. It is put together from tensorboard's own records: its writers choose a new name each time (either is imported
in 0.3 s, so that is no reason), and a study pays for the import only when it writes.
"""

from __future__ import annotations

import datetime
import io
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

from harness.records.atomic import StoreError
from harness.records.record import RunRecord, StudyRun
from harness.score.profiler.folders import folders

FILE = "events.out.tfevents.0.harness"
"""TensorBoard reads files with `tfevents` in their names."""

LOSS, LOSS_BY_FLOPS = "train/nats_per_token", "train/nats_per_token_by_megaflop"
"""The second has training FLOPs in millions where TensorBoard shows a step: arms are matched by FLOPs."""

MEGA = 1e6


def write_scalars(folder: Path, runs: Sequence[StudyRun]) -> None:
    """Write each run's loss curve and scores to `folder`/ARM/seed-N, instead of what was written there before.

    What was not finite is left out: TensorBoard has no point for it.

    Raises:
        StoreError: the disk refuses; each file is whole, as it was or as it is now.
    """
    at = folders(list(dict.fromkeys(run.arm for run in runs)))
    for run in runs:
        _replace(folder / at[run.arm] / f"seed-{run.seed:d}" / FILE, _events(run))


def points(run: StudyRun) -> Iterator[tuple[str, int, float]]:
    """(tag, step, value) of every finite number: the curve, then the scores at the last step of it."""
    curve = [(int(step), flops, loss) for step, flops, loss in run.record.curve]
    yield from ((LOSS, step, loss) for step, _, loss in curve if _finite(loss))
    yield from ((LOSS_BY_FLOPS, round(flops / MEGA), loss) for _, flops, loss in curve if _finite(loss))
    last = curve[-1][0] if curve else 0
    scores = [(f"validation/{name}", value) for name, value in run.record.scores.items()]
    scores += [(f"scores/{value.name}", value.value) for score in run.scores for value in score.values]
    yield from ((tag, last, value) for tag, value in scores if value is not None and _finite(value))


def _events(run: StudyRun) -> bytes:
    """The file's bytes: records of Event messages, the version first."""
    from tensorboard.compat.proto import event_pb2, summary_pb2
    from tensorboard.summary.writer.record_writer import RecordWriter

    event, summary = cast("Any", event_pb2), cast("Any", summary_pb2)  # protobuf makes its classes as it is imported
    began, ended = _times(run.record)
    last = run.record.curve[-1][0] if run.record.curve else 0
    buffer = io.BytesIO()
    writer = RecordWriter(buffer)
    writer.write(event.Event(wall_time=began, file_version="brain.Event:2").SerializeToString())
    for tag, step, value in points(run):
        share = step / last if last and tag == LOSS else 1.0
        point = summary.Summary(value=[summary.Summary.Value(tag=tag, simple_value=value)])
        time = began + share * (ended - began)
        writer.write(event.Event(wall_time=time, step=step, summary=point).SerializeToString())
    return buffer.getvalue()


def _times(record: RunRecord) -> tuple[float, float]:
    """Seconds since 1970 at which training began and ended; 0 for a record that has no date."""
    if not record.created:
        return 0.0, record.seconds
    ended = datetime.datetime.fromisoformat(record.created).timestamp()
    return ended - record.seconds, ended


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _replace(path: Path, content: bytes) -> None:
    """Atomic for a reader; not forced to disk, since the records it is made from are."""
    temporary = path.with_name(".scalars.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}; what was there before still is") from error
