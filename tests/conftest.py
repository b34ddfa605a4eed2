"""Fixtures shared by every folder of tests."""

from __future__ import annotations

import os
import random
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import harness.testing.typecheck  # noqa: F401 - the import hook of pyproject.toml looks it up as an attribute

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch loads: with more, workers and tests fight over the cores

MOST_PROCESSES = 4
"""Of a whole run of the tests. Each takes about 1 GB, and a study that it trains has two workers. Assumption."""


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Folders of tests go to a process a core, a file at a time; files that are named, and benchmarks, stay in one."""
    alone = all(".py" in argument for argument in config.args) or config.getoption("benchmark_only")
    return 0 if alone else min(os.cpu_count() or 1, MOST_PROCESSES)


@pytest.fixture
def small_text(tmp_path: Path) -> Path:
    """A file of 40 kB of made-up sentences, enough for models of 16 positions."""
    rng = random.Random(0)
    words = ["the", "cat", "sat", "on", "a", "mat", "and", "then", "it", "ran", "off", "with", "my", "hat"]
    lines = [" ".join(rng.choices(words, k=rng.randint(4, 12))).capitalize() + "." for _ in range(1200)]
    path = tmp_path / "small.txt"
    path.write_text("\n".join(lines))
    return path


@pytest.fixture
def tiny_flags(small_text: Path, tmp_path: Path) -> list[str]:
    """Flags of a study that trains in seconds: 1 layer of 16, 16 positions, 60 steps."""
    size, length = "--size 1x16 --heads 2 --seq-len 16", "--tokens-per-step 64 --steps 60 --seeds 2"
    return [
        *f"{size} {length} --workers 2 --device cpu --score none".split(),
        "--data",
        str(small_text),
        "--out",
        str(tmp_path / "out"),
    ]


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The URL of a PostgreSQL server of its own, on loopback, that ends with the tests."""
    on_path = shutil.which("initdb")
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin")) + ([Path(on_path).parent] if on_path else [])
    if not found:
        pytest.skip("PostgreSQL is not installed; on Debian: apt-get install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="harness-postgresql-"))
    user: list[str] = []
    if os.geteuid() == 0:  # the server refuses to run as root
        shutil.chown(folder, "postgres")
        user = ["runuser", "-u", "postgres", "--"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    bin_folder, data = found[-1], folder / "data"
    options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={folder} -c fsync=off"
    quiet = {"check": True, "stdout": subprocess.DEVNULL, "cwd": folder}
    subprocess.run([*user, bin_folder / "initdb", "-D", data, "-U", "harness", "--auth=trust"], **quiet)
    control = [*user, bin_folder / "pg_ctl", "-D", data, "-w"]
    subprocess.run([*control, "-o", options, "-l", folder / "log", "start"], **quiet)
    try:
        yield f"postgresql+psycopg://harness@127.0.0.1:{port}/postgres"
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], **quiet)
        shutil.rmtree(folder, ignore_errors=True)
