"""The parts a report is made of, as text and figures: Markdown and HTML both show them, and neither adds a number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.analyse.comparison import Comparison
from harness.records.calibration import CalibrationRecord
from harness.records.record import StudyRecord, StudyRun
from harness.records.score import Measurement
from harness.records.tuning import TuningRecord


@dataclass(frozen=True)
class Material:
    """What a report is made of. `comparisons` are of the primary score, one an arm. `regimes` is the study of the same
    arms matched otherwise, `tuned` that of each at its own learning rate, as `tuning` found it, and `calibration` the
    noise of the baseline at this scale, where there is one.
    """

    study: StudyRecord
    runs: Sequence[StudyRun]
    comparisons: Sequence[Comparison]
    measurements: Sequence[Measurement] = ()
    regimes: Material | None = None
    tuning: TuningRecord | None = None
    tuned: Material | None = None
    calibration: CalibrationRecord | None = None

    def measurement(self, name: str) -> Measurement | None:
        """The measurement of that name, None when it was not made."""
        return next((m for m in self.measurements if m.name == name), None)


SENTENCES = ("reason", "warning", "decided", "answer", "how")
"""Heads of columns that hold sentences, when they are the last."""


@dataclass(frozen=True)
class Grid:
    """A table: the first column is a name, the others are numbers or a word; a cell may have two lines, parted by a
    newline. `links` lead from a row's name to a file beside the page.
    """

    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    note: str = ""
    title: str = ""  # where a section has several
    links: Mapping[str, str] = field(default_factory=dict)

    @property
    def ends_in_words(self) -> bool:
        """Whether the last column holds sentences."""
        return self.columns[-1] in SENTENCES


@dataclass(frozen=True)
class Drawing:
    """A figure. `name` is its file's, and unique in a report; `alt` says in words what it shows."""

    name: str
    svg: str
    alt: str
    caption: str = ""


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it: sentences, tables, figures, in this order."""

    title: str
    notes: tuple[str, ...] = ()
    grids: tuple[Grid, ...] = ()
    drawings: tuple[Drawing, ...] = ()
