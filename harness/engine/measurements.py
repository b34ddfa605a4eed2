"""Measure all arms of a study side by side, from the weights that their first finished runs have."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from harness.data.dataset import TokenizedData
from harness.engine.attempt import attempt
from harness.engine.identity import ROOT, files_digest
from harness.plan.match import PlannedArm
from harness.records.record import StudyRun
from harness.records.score import Measurement
from harness.records.store import RunStore
from harness.records.study import read_measurements, write_measurement
from harness.score.load import load_run
from harness.score.profiler.study import profile_arms
from harness.score.throughput.arm import Settings
from harness.score.throughput.ceilings import device_name
from harness.score.throughput.measure import Candidate, measure
from variants.errors import UserError

TEXT_TOKENS = 2**16
"""Of the validation split that the arms read, so that experts are chosen as they would be. Assumption."""


@dataclass(frozen=True)
class Subject:
    """What is measured. `folder` is the study's; its traces go under it."""

    arms: Sequence[PlannedArm]
    runs: Sequence[StudyRun]
    data: TokenizedData
    store: RunStore
    store_folder: Path
    folder: Path
    tokens_per_step: int
    device: torch.device

    def keys(self) -> dict[str, str]:
        """By arm, the run whose weights stand for it: its first finished seed's. An arm without one is left out."""
        finished = [run for run in self.runs if run.record.status == "finished"]
        return {run.arm: run.record.key for run in sorted(finished, key=lambda run: -run.seed)}

    def candidates(self) -> list[Candidate]:
        """The arms that have a finished run, with its weights; one that cannot be trained is not run here either.

        Raises:
            UserError: the baseline has none, so there is nothing to measure the others against.
        """
        keys = self.keys()
        if self.arms[0].name not in keys:
            raise UserError(f"no run of {self.arms[0].name} finished, so there is nothing to measure arms against")
        return [
            Candidate(arm.name, arm.ledger, load_run(self.store.folder(keys[arm.name]), device=self.device).model)
            for arm in self.arms
            if arm.name in keys
        ]

    @property
    def text(self) -> torch.Tensor:
        return torch.from_numpy(self.data.validation[:TEXT_TOKENS].astype("int64"))


def _speed(subject: Subject, say: Callable[[str], None]) -> dict[str, Any]:
    return _timed(subject, Settings(subject.tokens_per_step, batch_sizes=()), say)


def _throughput(subject: Subject, say: Callable[[str], None]) -> dict[str, Any]:
    return _timed(subject, Settings(subject.tokens_per_step), say)


def _timed(subject: Subject, settings: Settings, say: Callable[[str], None]) -> dict[str, Any]:
    found = measure(
        subject.candidates(),
        settings,
        subject.device,
        subject.store_folder,
        text=subject.text,
        on_progress=lambda what: say(f"timing {what}"),
    )
    return found.to_json()


def _profile(subject: Subject, say: Callable[[str], None]) -> dict[str, Any]:
    return profile_arms(
        subject.candidates(),
        subject.text,
        tokens_per_step=subject.tokens_per_step,
        device=subject.device,
        cache_folder=subject.store_folder,
        logdir=subject.folder / "tensorboard" / "profile",
        on_progress=say,
    )


@dataclass(frozen=True)
class Measurer:
    """`record` is the name under which the measurement is kept; `code` the files whose change makes it anew."""

    record: str
    measure: Callable[[Subject, Callable[[str], None]], dict[str, Any]]
    code: tuple[str, ...]


MEASURERS = {
    "speed": Measurer("throughput", _speed, ("harness/score/throughput/*.py",)),
    "throughput": Measurer("throughput", _throughput, ("harness/score/throughput/*.py",)),
    "profile": Measurer("profile", _profile, ("harness/score/profiler/*.py", "harness/score/throughput/*.py")),
}


def measure_study(names: Sequence[str], subject: Subject, say: Callable[[str], None]) -> list[Measurement]:
    """The measurements of a study, those that were asked for made unless they are there. One that fails is a record.

    Raises:
        StoreError: the disk refuses.
    """
    present = {m.name: m for m in read_measurements(subject.folder)}
    for name in names:
        measurer = MEASURERS[name]
        identity = _identity(name, measurer, subject)
        known = present.get(measurer.record)
        if known is None or known.identity != identity or known.status == "failed":
            make = partial(measurer.measure, subject, say)
            present[measurer.record] = attempt(measurer.record, identity, make)
            write_measurement(subject.folder, present[measurer.record])
    return list(present.values())


def _identity(name: str, measurer: Measurer, subject: Subject) -> dict[str, Any]:
    keys = subject.keys()
    specs = [[arm.name, arm.ledger.spec.to_json(), keys.get(arm.name)] for arm in subject.arms]
    files = {path for pattern in measurer.code for path in ROOT.glob(pattern)}
    return {
        "measurement": name,
        "arms": hashlib.sha256(repr(specs).encode()).hexdigest(),
        "data": subject.data.sha256,
        "tokens_per_step": subject.tokens_per_step,
        "device": device_name(subject.device),
        "torch": torch.__version__,
        "code": files_digest(files),
    }
