"""The rule that chooses between the compiled and the eager step."""

from __future__ import annotations

import shutil
from typing import Any

import pytest

from harness.train import compile as rule
from harness.train.compile import (
    COMPILE_SECONDS,
    PAYS_BACK,
    RUNS_A_WORKER,
    choose_step,
    find_compiler,
    seconds_saved,
    step_class,
)

ENOUGH = 16_000
"""Steps of a run at the default size and four times the default budget, about."""

PLAN: dict[str, Any] = {"num_steps": [ENOUGH], "device_type": "cpu", "compiler": "g++ 1", "obstacles": []}


@pytest.mark.parametrize(
    ("asked", "change", "step"),
    [
        ("auto", {}, "compiled"),
        ("auto", {"num_steps": [ENOUGH, ENOUGH // 4]}, "eager"),
        ("auto", {"compiler": None}, "eager"),
        ("auto", {"obstacles": ["ffn=moe reads values"]}, "eager"),
        ("auto", {"device_type": "cuda", "compiler": None}, "compiled"),
        ("auto", {"device_type": "cuda", "num_steps": [100]}, "eager"),
        ("auto", {"device_type": "mps", "compiler": None}, "eager"),
        ("on", {"num_steps": [1]}, "compiled"),
        ("on", {"device_type": "cuda", "compiler": None}, "compiled"),
        ("on", {"compiler": None}, "eager"),
        ("on", {"obstacles": ["ffn=moe reads values"]}, "eager"),
        ("off", {}, "eager"),
    ],
)
def test_the_rule(asked: Any, change: dict[str, Any], step: str) -> None:
    choice = choose_step(asked, **{**PLAN, **change})
    assert choice.step == step
    assert choice.reason


def test_the_threshold_is_where_twice_the_time_comes_back() -> None:
    even = ENOUGH * PAYS_BACK * COMPILE_SECONDS / (RUNS_A_WORKER * seconds_saved(ENOUGH, "cpu"))
    assert choose_step("auto", **{**PLAN, "num_steps": [even * 0.99]}).step == "eager"
    assert choose_step("auto", **{**PLAN, "num_steps": [even * 1.01]}).step == "compiled"


def test_a_missing_compiler_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert find_compiler() is None
    assert "no C++ compiler" in choose_step("auto", **{**PLAN, "compiler": find_compiler()}).reason


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
def test_the_compiler_is_part_of_the_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "g++")
    version = find_compiler()
    assert version is not None
    assert step_class("eager", "cpu") == "eager"
    assert version in step_class("compiled", "cpu")
    monkeypatch.setattr(rule, "find_compiler", lambda: "another")
    assert version not in step_class("compiled", "cpu")
