"""The Ray engine on a real cluster of two nodes on loopback: the same bits, though a node is killed; a stop; sentences.

The cluster and the study are processes of their own: what Ray leaves open, and how it patches signals, stays theirs.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest
import torch

pytest.importorskip("ray", reason="the extra [ray] is not installed")

from harness.engine.event import Event
from harness.engine.job import Job
from harness.engine.ray_cluster import check_room, find, resources
from harness.records.store import RunStore
from tests.engine.tiny_jobs import bits, first_steps_after, local_bits, statuses, tiny_jobs
from variants.errors import UserError

ROOT = Path(__file__).parent.parent.parent
STEPS = 1000
RAY = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # the switch that keeps Ray from taking the machine's outward address
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",  # 15 if not told otherwise: next to other work the tests would take for ever
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": "0123456789abcdef" * 4,
}

CLUSTER = """
import sys
from ray.cluster_utils import Cluster
node = dict(num_cpus=1, node_ip_address="127.0.0.1", object_store_memory=100_000_000)
cluster = Cluster(initialize_head=True, head_node_args=dict(include_dashboard=False, **node))
second = cluster.add_node(**node)
print(cluster.address, second.all_processes["raylet"][0].process.pid, flush=True)
sys.stdin.read()
cluster.shutdown()
"""

STUDY = """
import dataclasses, json, sys
from pathlib import Path
from harness.cli.boundary import run_command
from harness.engine.engines import make_engine
from harness.engine.job import Job

def show(event):
    print(json.dumps(dataclasses.asdict(event)), flush=True)

def study():
    jobs = [Job.from_json(data) for data in json.loads(sys.argv[2])]
    make_engine("ray", num_workers=None, log=Path(sys.argv[3]), address=sys.argv[1]).run(jobs, show)
    return 0

if __name__ == "__main__":
    sys.exit(run_command(study))
"""


@dataclass(frozen=True)
class Cluster:
    """Two nodes of one core. Everything Ray writes, its token too, goes to `home`."""

    address: str
    raylet: int
    home: Path

    def study(self, jobs: list[Job], address: str | None = None, **environment: str) -> subprocess.Popen[str]:
        data = json.dumps([job.to_json() for job in jobs])
        return subprocess.Popen(
            [sys.executable, "-c", STUDY, address or self.address, data, str(self.home / "log")],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=_environment(self.home) | environment,
        )


def _environment(home: Path) -> dict[str, str]:
    return {**os.environ, **RAY, "HOME": str(home), "RAY_TMPDIR": str(home)}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    home = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # not tmp_path: a socket's path has 107 characters at most
    with (home / "errors").open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-c", CLUSTER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=_environment(home),
        )
    with process:
        assert process.stdout is not None
        line = process.stdout.readline().split()
        assert line, (home / "errors").read_text()
        yield Cluster(line[0], int(line[1]), home)
    shutil.rmtree(home, ignore_errors=True)


def follow(lines: IO[str]) -> Iterator[Event]:
    for line in lines:
        yield Event(**json.loads(line))


def descendants(pid: int) -> list[int]:
    """A process and those it has started, from the kernel's list."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                found += [int(child) for child in task.read_text().split()]
    return found


def does(pid: int) -> bool:
    """Whether a process or one it has started is a Ray worker that does an errand."""
    return any(b"do_errand" in Path(f"/proc/{p}/cmdline").read_bytes() for p in descendants(pid))


def test_a_study_is_stopped_and_continues(cluster: Cluster, tmp_path: Path) -> None:
    (job,) = jobs = tiny_jobs(tmp_path, 1, 50_000)
    with cluster.study(jobs) as study:
        assert study.stdout is not None
        assert any(event.kind == "progress" for event in follow(study.stdout)), study.communicate()
        study.send_signal(signal.SIGTERM)
        _, printed = study.communicate(timeout=60)
    assert study.returncode == 143, printed
    assert printed == "terminated; the same command continues from here\n"
    folder = RunStore(job.store).folder(job.key)
    assert list(folder.glob("checkpoints/step-*"))
    with RunStore(job.store).lock(job.key, should_stop=lambda: True) as held:
        assert held, "the run's process has not left"


def test_a_killed_node_costs_no_bits(cluster: Cluster, tmp_path: Path) -> None:
    jobs = tiny_jobs(tmp_path, 4, STEPS)
    events: list[Event] = []
    with cluster.study(jobs) as study:
        assert study.stdout is not None
        news = follow(study.stdout)
        for event in news:
            events.append(event)
            if len({e.job for e in events if e.kind == "progress"}) == 2 and does(cluster.raylet):
                break
        for pid in reversed(descendants(cluster.raylet)):
            os.kill(pid, signal.SIGKILL)
        events += news
        _, printed = study.communicate(timeout=60)
    assert study.returncode == 0, printed
    assert printed == ""
    assert statuses(events) == dict.fromkeys(range(4), "finished")
    (note,) = [index for index, event in enumerate(events) if event.kind == "note"]
    assert first_steps_after(events, note) > 50
    assert bits(jobs) == local_bits(4, STEPS)


def test_a_study_without_the_token(cluster: Cluster, tmp_path: Path) -> None:
    with cluster.study(tiny_jobs(tmp_path, 1, 10), RAY_AUTH_TOKEN="") as study:
        _, printed = study.communicate(timeout=60)
    assert study.returncode == 2
    assert printed.count("\n") == 1
    assert "does not take us" in printed


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("127.0.0.2:1", "no Ray cluster answers"),
        ("ray://head:10001", "leave ray:// out"),
        ("127.0.0.2:x", "no Ray cluster"),
    ],
)
def test_an_address_without_a_cluster(address: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        find(address)


def test_no_cluster_of_our_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.2:1")
    with pytest.raises(UserError, match=r"no Ray cluster answers at 127.0.0.2:1"):
        find("auto")


def test_what_a_run_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resources("cpu", 4) == {"num_cpus": 1, "num_gpus": 0}
    monkeypatch.setattr("harness.engine.ray_cluster.choose_device", torch.device)
    assert resources("cuda", 4) == {"num_cpus": 1, "num_gpus": 0.25}
    check_room({"num_cpus": 1, "num_gpus": 0.25}, {"CPU": 2, "GPU": 1})
    with pytest.raises(UserError, match=r"0.25 GPU and the Ray cluster has 0"):
        check_room({"num_cpus": 1, "num_gpus": 0.25}, {"CPU": 2})
