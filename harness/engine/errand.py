"""A job on its way to another machine: what travels, how that machine is checked, and a folder to meet in.

Errands travel as JSON. A Ray task is handed one (harness/engine/ray_cluster.py); a Slurm job reads it from an
`ErrandFolder` on the shared disk and answers there (harness/engine/slurm.py), so that no port is opened for it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import secrets
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.data.known_file import VARIABLE
from harness.engine.event import Event
from harness.engine.job import Job
from harness.records.atomic import write_text
from harness.train.device import choose_device
from variants.errors import UserError


@dataclass(frozen=True)
class Errand:
    """A job with what the place that does it is checked against; it travels as JSON.

    Args:
        index: of the job in its study.
        identity: of the run where the study is; the same content elsewhere gives the same bits.
        mark: name of a file in the store, which shows that a place sees the same folder.
        folder: the study's working folder, to which the files named in scores are relative.
        data: what HARNESS_DATA is where the study is, "" when it is not set.
    """

    index: int
    job: Job
    identity: dict[str, Any]
    mark: str
    folder: str
    data: str

    def to_text(self) -> str:
        return json.dumps({**self.__dict__, "job": self.job.to_json()})

    @classmethod
    def from_text(cls, text: str) -> Errand:
        data = json.loads(text)
        return cls(**{**data, "job": Job.from_json(data["job"])})


@contextlib.contextmanager
def marked(store: str) -> Iterator[str]:
    """A file in the store by which other machines show that they see the same folder; yields its name.

    Raises:
        StoreError: the store cannot be written.
    """
    mark = Path(store) / f".shared-{secrets.token_hex(8)}"
    write_text(mark, mark.name)
    try:
        yield mark.name
    finally:
        mark.unlink(missing_ok=True)


def errands_of(jobs: Sequence[Job], mark: str) -> list[Errand]:
    """The jobs as they travel: the store by its full path, the device by its kind, for another machine numbers its own.

    Args:
        mark: of the store (`marked`).
    """
    return [
        Errand(
            index,
            dataclasses.replace(job, store=str(Path(job.store).absolute()), device=choose_device(job.device).type),
            job.identity,
            mark,
            str(Path.cwd()),
            os.environ.get(VARIABLE, ""),
        )
        for index, job in enumerate(jobs)
    ]


def common_store(jobs: Sequence[Job]) -> str:
    """The folder all jobs keep their records in."""
    (store,) = {job.store for job in jobs}
    return store


def event_text(event: Event) -> str:
    """An event as a line of JSON, which `Event.from_json` reads."""
    return json.dumps({**dataclasses.asdict(event), "event": event.kind})


def misplaced(errand: Errand) -> str:
    """Why this machine must not do the errand, "" when it may."""
    here = socket.gethostname()
    if not (Path(errand.job.store) / errand.mark).is_file():
        return (
            f"the store {errand.job.store} is not the same folder on {here}; "
            "give a --store on a disk that every node sees under the same path"
        )
    try:
        ours = errand.job.identity
    except UserError as error:
        return f"{here} cannot run the study ({error})"
    differing = [name for name in ours if ours[name] != errand.identity.get(name)]
    if not differing:
        return ""
    name = "code" if "code" in differing else differing[0]
    return (
        f"{here} would not give the same bits: its {name} is {_short(ours[name])} and the study's is "
        f"{_short(errand.identity.get(name))}; use nodes of one kind with the same installation"
    )


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:12]}..."


@dataclass(frozen=True)
class ErrandFolder:
    """Errands, what is told of them, and whether to go on, as files on a shared disk.

    FOLDER/3.json    errand 3
    FOLDER/3.events  what is told of it, a JSON line an event, by one attempt after another
    FOLDER/state     `go`, or `stop`. It is rewritten and not made, because a file system over a network may go on
                     saying for a minute that a new file is not there; a file that is opened is up to date.
    """

    path: Path

    def create(self, errands: list[Errand]) -> None:
        for errand in errands:
            write_text(self.path / f"{errand.index}.json", errand.to_text())
        self.say("go")

    def say(self, state: str) -> None:
        write_text(self.path / "state", state)

    def stopping(self) -> bool:
        try:
            return (self.path / "state").read_text() == "stop"
        except FileNotFoundError:  # somebody has cleaned up after the study
            return True

    def errand(self, index: int) -> Errand:
        return Errand.from_text((self.path / f"{index}.json").read_text())

    def tell(self, event: Event) -> bool:
        """Append an event; whether the study is stopping. Opened anew each time, so that other machines see it."""
        with (self.path / f"{event.job}.events").open("a") as file:
            file.write(event_text(event) + "\n")
        return self.stopping()

    def told(self, index: int, offset: int) -> tuple[list[Event], int]:
        """The events after the first `offset` bytes, and where the next will be."""
        try:
            with (self.path / f"{index}.events").open("rb") as file:
                file.seek(offset)
                text = file.read()
        except FileNotFoundError:
            return [], offset
        whole = text[: text.rfind(b"\n") + 1]
        return [Event.from_json(index, json.loads(line)) for line in whole.splitlines()], offset + len(whole)
