"""What `tox -e bench` hands to pytest, for the tools beside it."""

from __future__ import annotations

from tests.benchmarks.regression.baseline import TESTS

MEASURED = ("-o", "addopts=", "-q", "--import-mode=importlib", TESTS, "--benchmark-only", "--benchmark-quiet")
COMPARED = (*MEASURED, "--benchmark-compare", "--benchmark-compare-fail=median:30%")
