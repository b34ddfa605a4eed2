"""Where optuna keeps a sweep's trials, and what becomes of a trial whose worker is gone.

    sqlite:///FILE                 one machine; the default, in the sweep's folder
    journal:FILE                   many machines with a shared file system
    postgresql+psycopg://...       many machines; pip install 'ablation-harness[postgresql]'

The study is made by the command before any worker starts: two processes that make one in SQLite at the same moment
break each other.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import NoSuchModuleError, SQLAlchemyError

from harness.records.atomic import StoreError
from variants.errors import UserError, nearest

JOURNAL = "journal:"

HEARTBEAT_SECONDS = 60
"""A trial of another machine whose worker has been silent for twice as long is given up and tried again."""

MOST_RETRIES = 3
"""Times that a trial lost with its worker is tried again."""

SQLITE_SECONDS = 60
"""How long a process waits for others to finish writing SQLite's file. Assumption: longer than any busy disk takes."""

UNSIGNED_SECONDS = 2 * SQLITE_SECONDS
"""A trial that runs for so long without its worker's name: the worker was killed between taking and signing it."""

SAMPLERS = {
    "tpe": optuna.samplers.TPESampler,
    "random": optuna.samplers.RandomSampler,
    "nsga2": optuna.samplers.NSGAIISampler,
    "nsga3": optuna.samplers.NSGAIIISampler,
    "qmc": optuna.samplers.QMCSampler,
    "gp": optuna.samplers.GPSampler,
    "brute-force": optuna.samplers.BruteForceSampler,
}
PRUNERS = {
    "none": lambda: optuna.pruners.NopPruner(),
    "halving": lambda: optuna.pruners.SuccessiveHalvingPruner(min_resource=37, reduction_factor=3),
    "hyperband": lambda: optuna.pruners.HyperbandPruner(min_resource=37, max_resource=1000, reduction_factor=3),
    "median": lambda: optuna.pruners.MedianPruner(n_startup_trials=5),
}
"""Resources are thousandths of the FLOP budget: the first rung is at 1/27 of it (harness/engine/sweep.py)."""


def make_sampler(name: str, seed: int) -> optuna.samplers.BaseSampler:
    """The sampler of that name. Workers have different seeds, or all would suggest the same trials.

    Raises:
        UserError: an unknown name, or a package it needs is not installed.
    """
    if name not in SAMPLERS:
        raise UserError(f"unknown sampler {name!r}{nearest(name, SAMPLERS)}; --sampler takes {', '.join(SAMPLERS)}")
    options = {"constant_liar": True} if name == "tpe" else {}  # trials that are running count as poor ones
    with _quiet():
        try:
            return SAMPLERS[name](seed=seed, **options)
        except ImportError as error:
            raise UserError(f"--sampler {name} needs a package that is not installed ({error})") from error


def make_pruner(name: str) -> optuna.pruners.BasePruner:
    """The pruner of that name. Raises `UserError` for an unknown one."""
    if name not in PRUNERS:
        raise UserError(f"unknown pruner {name!r}{nearest(name, PRUNERS)}; --pruner takes {', '.join(PRUNERS)}")
    return PRUNERS[name]()


def open_storage(url: str) -> BaseStorage:
    """The storage behind a URL.

    Raises:
        UserError: the URL is of no kind that is known, or nothing answers there.
    """
    shown = _shown(url)
    try:
        if url.startswith(JOURNAL):
            _mend(Path(url.removeprefix(JOURNAL)))
            return JournalStorage(JournalFileBackend(url.removeprefix(JOURNAL)))
        with _quiet():
            return RDBStorage(
                url,
                engine_kwargs={"connect_args": {"timeout": SQLITE_SECONDS}} if url.startswith("sqlite") else {},
                heartbeat_interval=HEARTBEAT_SECONDS,
                heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(max_retry=MOST_RETRIES),
            )
    except (ImportError, NoSuchModuleError) as error:
        raise UserError(
            f"--storage {shown} needs a driver that is not installed ({error}); for PostgreSQL: "
            "pip install 'ablation-harness[postgresql]'"
        ) from error
    except (SQLAlchemyError, StorageInternalError, OSError, LookupError, TypeError, ValueError, RuntimeError) as error:
        raise UserError(
            f"--storage {shown} cannot be opened ({_first_line(error)}); it takes sqlite:///FILE, "
            "journal:FILE or postgresql+psycopg://USER@HOST/DATABASE"
        ) from error


def _mend(journal: Path) -> None:
    """Cut off half a line, which a kill or a full disk left at the end: the next one would be written on to it."""

    def whole() -> int:
        return journal.read_bytes().rfind(b"\n") + 1

    if not journal.is_file() or whole() == journal.stat().st_size:
        return
    lock = JournalFileSymlinkLock(str(journal))
    lock.acquire()  # so that nobody is writing
    try:
        os.truncate(journal, whole())
    finally:
        lock.release()


@contextlib.contextmanager
def opened(url: str) -> Iterator[BaseStorage]:
    """`open_storage`, its connections closed in the end.

    Raises:
        UserError: see `open_storage`.
        StoreError: it answers no more, or what it answers is damaged.
    """
    storage = open_storage(url)
    try:
        yield storage
    except (StorageInternalError, SQLAlchemyError, json.JSONDecodeError) as error:
        raise StoreError(
            f"--storage {_shown(url)} cannot be read or written ({_first_line(error.__cause__ or error)}); what it has "
            "of the sweep stays, and the same command goes on from there"
        ) from error
    finally:
        if isinstance(storage, RDBStorage):
            with contextlib.suppress(SQLAlchemyError):
                storage.remove_session()
            storage.engine.dispose()


def _shown(url: str) -> str:
    """A URL as a message may have it: without user and password."""
    return url.rsplit("@", 1)[-1]


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def settled(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """The trials with a result: finished, pruned, or failed for a reason of their own. A lost one is tried again."""
    ended = (TrialState.COMPLETE, TrialState.PRUNED)
    return [t for t in trials if t.state in ended or (t.state == TrialState.FAIL and "reason" in t.user_attrs)]


def locks_folder(url: str, folder: Path) -> Path:
    """Where workers register: beside a journal, so that other machines see them too, else in the sweep's folder."""
    return Path(f"{url.removeprefix(JOURNAL)}.workers") if url.startswith(JOURNAL) else folder / "workers"


def is_open(study: optuna.Study, num_trials: int) -> bool:
    """Whether there is a trial left to begin: those that are settled and those that run are fewer than are wanted."""
    trials = study.get_trials(deepcopy=False)
    running = sum(trial.state == TrialState.RUNNING for trial in trials)
    return len(settled(trials)) + running < num_trials


@contextlib.contextmanager
def taking_turns(folder: Path) -> Iterator[Callable[[], None]]:
    """Wait for the turn to look for a trial and take it; what is yielded ends the turn.

    Two workers that look at once would both take the last one, and one of them would find none that was queued.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / "turn.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield lambda: fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def registered(folder: Path) -> Iterator[str]:
    """A name for a worker, and a lock that the system lets go of when the worker is gone, however it went."""
    folder.mkdir(parents=True, exist_ok=True)
    name = secrets.token_hex(8)
    descriptor = os.open(folder / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield name
    finally:
        os.close(descriptor)


def give_back_lost(study: optuna.Study, folder: Path) -> int:
    """Queue again the trials whose workers, registered in `folder`, are gone; returns how many there were."""
    lost = 0
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        worker = trial.user_attrs.get("worker")
        if worker is not None and _is_gone(folder / f"{worker}.lock"):
            study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)  # another command may be first
            attempts = trial.user_attrs.get("attempts", 1)
            if attempts <= MOST_RETRIES:
                _queue_again(study, trial, attempts + 1)
            lost += 1
    return lost


class Unsigned:
    """Trials that run and have no worker's name yet, to be looked at again and again: those that stay so are lost.

    No lock tells of their workers. They count as running, so that without this a sweep would wait for them for ever.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.since: dict[int, float] = {}  # by number, when it was first seen

    def give_up(self, study: optuna.Study) -> None:
        """Queue again those that have been seen for `UNSIGNED_SECONDS`."""
        running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        unsigned, now = [t.number for t in running if "worker" not in t.user_attrs], self.clock()
        self.since = {number: self.since.get(number, now) for number in unsigned}
        for number, since in self.since.items():
            if now - since >= UNSIGNED_SECONDS:
                study.tell(number, state=TrialState.FAIL, skip_if_finished=True)
                _queue_again(study, study.trials[number], 1)


def give_back_silent(study: optuna.Study) -> None:
    """Queue again the trials of other machines whose workers have not been heard of (`HEARTBEAT_SECONDS`)."""
    with _quiet():
        optuna.storages.fail_stale_trials(study)


def give_back_stopped(study: optuna.Study, worker: str) -> None:
    """Queue again the trial that a worker was told to leave: its run goes on from its checkpoint."""
    trials = study.get_trials(deepcopy=False, states=(TrialState.FAIL,))
    mine = [t for t in trials if t.user_attrs.get("worker") == worker and "reason" not in t.user_attrs]
    if mine:
        _queue_again(study, mine[-1], mine[-1].user_attrs.get("attempts", 1))


def _queue_again(study: optuna.Study, trial: FrozenTrial, attempts: int) -> None:
    queued = trial.system_attrs.get("fixed_params", {})  # it may be lost before it has taken all of them as its own
    study.enqueue_trial({**queued, **trial.params}, user_attrs={"attempts": attempts, "again": trial.number})


def _is_gone(lock: Path) -> bool:
    """Whether nobody holds the lock; False for a lock that is not here, for it is another machine's."""
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without optuna's notices that an argument of its own is experimental."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield
