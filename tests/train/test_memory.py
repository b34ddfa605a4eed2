"""Freed memory is taken again without page faults, in a process of its own: the setting is the process's."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

CHILD = """
import resource, sys
from harness.train.memory import keep_freed_memory

if sys.argv[1] == "kept":
    assert keep_freed_memory()
for number in range(12):
    if number == 2:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    held = [bytearray(16 * 2**20) for _ in range(3)]
    del held
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    done = subprocess.run([sys.executable, "-c", CHILD, how], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="malloc is not glibc's here")
def test_what_was_freed_is_taken_again_without_page_faults() -> None:
    assert 20 * faults("kept") < faults("given back")
