"""Run jobs on a Ray cluster that somebody has started: one task a run, one core each, or a share of a GPU.

A task is handed its errand as JSON and answers with JSON; an actor beside the study (mailbox.py) takes what a run
tells about once a second and answers whether to stop. A run whose worker or node is lost is handed out again, to
whichever node has room, and goes on from its last checkpoint in the store, which all nodes see under the same path.

Tasks have no retries of Ray's own: it counts a lost node and a run that kills its process alike, and without a word.
"""

from __future__ import annotations

import contextlib
import json
import logging
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import ray
from ray._private import services  # the address Ray will make of ours: the public API waits ten minutes for a wrong one
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from harness.engine.errand import Errand, common_store, errands_of, event_text, marked
from harness.engine.event import Event
from harness.engine.job import Job
from harness.engine.local import STOP_SECONDS
from harness.engine.mailbox import Mailbox
from harness.engine.one_job import Reporter, perform
from harness.engine.roster import Roster
from harness.train.device import choose_device
from variants.errors import UserError

PORT = 6379
"""Where `ray start --head` listens if not told otherwise."""

CONNECT_SECONDS = 5.0
"""How long a cluster's head may take to accept a connection. Assumption: it answers in milliseconds or not at all."""

POLL_SECONDS = 0.5
"""Between two looks at the mailbox. Assumption: half of what a run takes to speak again."""

FIRST_ANSWER_SECONDS = 60.0
"""How long the mailbox may take to answer a run that starts; after that its study is taken to be gone. Assumption."""


class RayEngine:
    """Tasks on a Ray cluster.

    Args:
        address: `auto` (the cluster this machine belongs to), HOST or HOST:PORT of its head.
        log: file that receives what Ray prints here; what runs print, tracebacks included, is in Ray's own logs.
        num_workers: runs at a time; None: as many as the cluster has room for.
        runs_per_gpu: runs that share a GPU, where the jobs' device is one.
    """

    def __init__(self, address: str, log: Path, num_workers: int | None = None, runs_per_gpu: int = 1) -> None:
        self.address, self.log, self.num_workers, self.runs_per_gpu = address, log, num_workers, runs_per_gpu

    def run(self, jobs: Sequence[Job], on_event: Callable[[Event], None]) -> None:
        """Run every job; each leaves its record in its store. An interrupt checkpoints the runs and is raised again.

        Raises:
            StoreError: a record or checkpoint could not be written.
            UserError: the cluster cannot be reached, has no room for a run, or a node would not give the same bits.
        """
        if not jobs:
            return
        with (
            marked(common_store(jobs)) as mark,
            prints_to(self.log, on_event) as tell,
            connected(self.address) as between_calls,
        ):
            errands = errands_of(jobs, mark)
            wanted = resources(errands[0].job.device, self.runs_per_gpu)
            check_room(wanted, ray.cluster_resources())
            _Study(Roster(jobs, tell), errands, wanted, self.num_workers).run(between_calls)


def resources(device: str, runs_per_gpu: int) -> dict[str, float]:
    """What one run asks of the cluster, as Ray's task options."""
    on_gpu = choose_device(device).type == "cuda"
    return {"num_cpus": 1, "num_gpus": 1 / runs_per_gpu if on_gpu else 0}


def check_room(wanted: dict[str, float], cluster: Mapping[str, float]) -> None:
    """Refuse a cluster on which no run would ever start.

    Raises:
        UserError: there is no core, or no GPU where one is wanted.
    """
    for option, name in (("num_cpus", "CPU"), ("num_gpus", "GPU")):
        if cluster.get(name, 0) < wanted[option]:
            raise UserError(
                f"a run needs {wanted[option]:g} {name} and the Ray cluster has {cluster.get(name, 0):g}; "
                f"add a node that has one, or choose another --device"
            )


@contextlib.contextmanager
def prints_to(log: Path, on_event: Callable[[Event], None]) -> Iterator[Callable[[Event], None]]:
    """Ray tells of lost nodes on stdout, whatever it is told, where a study may owe its reader one JSON document.

    Yields `on_event` with the stdout there was.
    """
    stdout = sys.stdout

    def tell(event: Event) -> None:
        with contextlib.redirect_stdout(stdout):
            on_event(event)

    with log.open("a") as file, contextlib.redirect_stdout(file):
        yield tell


@contextlib.contextmanager
def connected(address: str) -> Iterator[Callable[[], None]]:
    """Be a driver of the cluster at `address`, and leave it. Yields what is to be called between calls of Ray.

    Ray would leave at SIGTERM without a word, and makes a plain KeyboardInterrupt of what a handler raises in one of
    its calls: so a SIGTERM is kept until the yielded function is called, which hands it to the handler that was there.

    Raises:
        UserError: nothing answers there, or not to us.
    """
    found = find(address)
    at_sigterm = signal.getsignal(signal.SIGTERM)
    arrived: list[int] = []

    def deliver() -> None:
        if arrived and callable(at_sigterm):
            at_sigterm(arrived.pop(), None)

    try:
        _join(found)
        _at_sigterm((lambda number, frame: arrived.append(number)) if callable(at_sigterm) else at_sigterm)
        yield deliver
    finally:
        ray.shutdown()
        _at_sigterm(at_sigterm)


def _join(found: str) -> None:
    try:
        ray.init(found, log_to_driver=False, logging_level=logging.ERROR, namespace="ablation-harness")
    except (RayError, RuntimeError, ConnectionError, ValueError) as error:  # other versions, no token, a head that ends
        raise UserError(
            f"the Ray cluster at {found} does not take us ({_first_line(error)}); docs/engines.md has what it needs"
        ) from error


def _at_sigterm(handler: Any) -> None:
    if threading.current_thread() is threading.main_thread():  # signals are its alone
        signal.signal(signal.SIGTERM, signal.SIG_DFL if handler is None else handler)


def find(address: str) -> str:
    """HOST:PORT of the head, after a look whether somebody answers.

    Raises:
        UserError: `auto` finds no cluster, or nobody answers.
    """
    if "://" in address:
        raise UserError(
            f"--address takes auto, HOST or HOST:PORT of a Ray head, got {address!r}; "
            f"leave {address.split('://')[0]}:// out and run the command on a node of the cluster"
        )
    try:
        found = services.canonicalize_bootstrap_address(_with_port(address))
    except (ConnectionError, ValueError):
        found = None
    if found is None:
        raise UserError(
            f"--address {address} finds no Ray cluster; start one with `ray start --head`, or name its HOST:PORT"
        )
    host, _, port = found.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except (OSError, ValueError, OverflowError) as error:
        raise UserError(
            f"no Ray cluster answers at {found} ({_first_line(error)}); "
            f"check --address, which was {address}, and `ray status` on the head"
        ) from error
    return found


def _with_port(address: str) -> str:
    return address if address == "auto" or ":" in address else f"{address}:{PORT}"


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


class _Study:
    """The errands of a study on the cluster we are connected to.

    Args:
        wanted: by one run (`resources`).
    """

    def __init__(
        self, roster: Roster, errands: Sequence[Errand], wanted: dict[str, float], num_workers: int | None
    ) -> None:
        self.roster, self.errands = roster, errands
        self.room = num_workers or len(errands)
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self.mailbox: Any = ray.remote(Mailbox).options(num_cpus=0, scheduling_strategy=here).remote()
        self.task = ray.remote(do_errand).options(**wanted, max_retries=0)
        self.flying: dict[Any, int] = {}

    def run(self, between_calls: Callable[[], None]) -> None:
        try:
            while self.roster.waiting or self.flying:
                between_calls()
                while self.roster.waiting and len(self.flying) < self.room:
                    index = self.roster.waiting.popleft()
                    self.flying[self.task.remote(self.errands[index].to_text(), self.mailbox)] = index
                done, _ = ray.wait(list(self.flying), timeout=POLL_SECONDS)
                for event in ray.get(self.mailbox.take.remote()):
                    self.roster.hear(event)
                for ref in done:
                    self._end(ref, self.flying.pop(ref))
        finally:
            if self.flying:
                self._stop()

    def _end(self, ref: Any, index: int) -> None:
        try:
            event = Event.from_json(index, json.loads(ray.get(ref)))
        except RayTaskError as error:  # not the run's own: those come as events
            raise UserError(
                f"a node of the Ray cluster cannot run the harness ({_last_line(error)}); "
                "install the same version on every node"
            ) from error
        except RayError as error:
            self.roster.lost(index, f"its worker or node was lost ({type(error).__name__})")
            return
        self.roster.hear(event)
        if event.status == "stopped":
            self.roster.stopped(index)

    def _stop(self) -> None:
        """Have the runs checkpoint and leave; end those that do not."""
        deadline = time.monotonic() + STOP_SECONDS
        with contextlib.suppress(RayError):
            ray.get(self.mailbox.stop.remote(), timeout=STOP_SECONDS)
            for ref, index in self.flying.items():
                if index not in self.roster.started:
                    ray.cancel(ref)
            _, left = ray.wait(
                list(self.flying), num_returns=len(self.flying), timeout=max(0.0, deadline - time.monotonic())
            )
            for ref in left:
                ray.cancel(ref, force=True)


def _last_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[-1]


class _Line:
    """A run's line to the mailbox. It never waits for an answer, for Ray gives away the core of a task that waits."""

    def __init__(self, mailbox: Any) -> None:
        self.mailbox = mailbox
        self.answer: Future[bool] | None = None

    def __call__(self, event: Event) -> bool:
        """Whether to stop, by the newest answer that has come; the study being gone is one too."""
        if self.answer is None:
            self._post(event)
            return self._heard(FIRST_ANSWER_SECONDS)
        if not self.answer.done():
            return False
        stopping = self._heard(0)
        self._post(event)
        return stopping

    def _post(self, event: Event) -> None:
        self.answer = self.mailbox.post.remote(event).future()

    def _heard(self, seconds: float) -> bool:
        assert self.answer is not None
        try:
            return self.answer.result(seconds)
        except (RayError, TimeoutError):
            return True


def do_errand(text: str, mailbox: Any) -> str:
    """One run, in a worker process of Ray: JSON of an errand in, JSON of its last event out."""
    errand = Errand.from_text(text)
    reporter = Reporter(_Line(mailbox), Event("start", errand.index))
    if reporter.should_stop():
        return event_text(Event("end", errand.index, status="stopped"))
    return event_text(perform(errand, reporter.tell, reporter.should_stop))
