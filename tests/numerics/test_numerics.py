"""Golden numbers: short runs of each preset family repeat, and what changes them is named.

    tox -e numerics

On the class of machine that a golden file is of, every bit must be the same; elsewhere every loss within a bound.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

import variants.norm.layer
import variants.norm.rms
from tests.numerics import golden, update
from tests.numerics.compare import LOSS_BOUND, first_difference, same, sentences, within_bound
from tests.numerics.families import families
from tests.numerics.record import SEQ_LEN, SIZE, Numbers, Print, numbers_of

FAMILIES = families(SIZE, SEQ_LEN)
GOLDEN = golden.find()
RENEW = 'if it is meant: tox -e numerics-update -- "the reason"'


@pytest.mark.parametrize("name", FAMILIES)
def test_numbers_repeat(name: str) -> None:
    assert name in GOLDEN.families, f"{name} has no golden numbers; {RENEW}"
    known, now = GOLDEN.families[name], numbers_of(FAMILIES[name])
    kept = same(known, now) if GOLDEN.exact else within_bound(known, now)
    assert kept, "\n".join([*sentences(name, known, now, exact=GOLDEN.exact), f"{GOLDEN.path.name}; {RENEW}"])


def test_golden_numbers_are_of_families_that_exist() -> None:
    assert set(GOLDEN.families) <= set(FAMILIES), RENEW


def seventh_digit(forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The same, one part in ten million larger."""
    return lambda self, x: forward(self, x) * (1 + 1.2e-7)


@pytest.mark.parametrize(
    ("family", "norm", "module"),
    [
        ("gpt2", variants.norm.layer.LayerNorm, "layers.0.residual.attention_norm"),
        ("llama", variants.norm.rms.RMSNorm, "layers.0.residual.attention_norm"),
        ("deepseek-v3", variants.norm.rms.RMSNorm, "layers.0.residual.attention_norm"),
    ],
)
def test_the_seventh_digit_of_a_norm_is_found_and_named(
    family: str, norm: type[torch.nn.Module], module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = numbers_of(FAMILIES[family])
    monkeypatch.setattr(norm, "forward", seventh_digit(norm.forward))
    after = numbers_of(FAMILIES[family])
    assert not same(before, after)
    found = first_difference(before, after, exact=True)
    assert found is not None
    assert found[0].name == module
    assert f"the first that differs in step 0 is {module}" in sentences(family, before, after, exact=True)[0]


def test_a_change_beyond_step_0_is_not_blamed_on_a_module(monkeypatch: pytest.MonkeyPatch) -> None:
    before = numbers_of(FAMILIES["gpt2"])
    clip = torch.nn.utils.clip_grad_norm_
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", lambda parameters, norm: clip(parameters, norm * 1.01))
    after = numbers_of(FAMILIES["gpt2"])
    (told,) = sentences("gpt2", before, after, exact=True)
    assert "no module of step 0 differs" in told
    assert "the loss differs from step 1 on" in told


def test_a_gradient_alone_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A forward that keeps its bits and a backward that does not."""
    norm = variants.norm.layer.LayerNorm
    before, forward = numbers_of(FAMILIES["gpt2"]), norm.forward

    def steeper(self: variants.norm.layer.LayerNorm, x: Tensor) -> Tensor:
        return forward(self, _steeper(x))

    monkeypatch.setattr(norm, "forward", steeper)
    found = first_difference(before, numbers_of(FAMILIES["gpt2"]), exact=True)
    assert found is not None
    assert found[0].name.startswith("gradient of layers.1.ffn.down")


def _steeper(x: Tensor) -> Tensor:
    if x.requires_grad:
        x = x.view_as(x)
        x.register_hook(lambda gradient: gradient * (1 + 1.2e-7))
    return x


def numbers(*losses: float, prints: str = "abc") -> Numbers:
    return Numbers(losses, tuple(Print(name, f"digest of {name}", 1.0) for name in prints))


def test_elsewhere_a_bound_decides_and_sizes_name_the_module() -> None:
    known = numbers(4.0, 3.0)
    assert within_bound(known, numbers(4.0 * (1 + LOSS_BOUND / 2), 3.0))
    off = dataclasses.replace(numbers(4.0, 3.001), prints=(Print("a", "x", 1.00001), Print("b", "y", 1.01)))
    assert not within_bound(known, off)
    (told,) = sentences("gpt2", known, off, exact=False)
    assert "is b (size 1.0 -> 1.01)" in told
    assert "from step 1 on" in told
    assert "no longer there: c" in told


def test_another_name_is_no_change_of_numbers() -> None:
    assert same(numbers(4.0, prints="abc"), numbers(4.0, prints="axc"))
    assert not same(numbers(4.0), numbers(4.0000005))


def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    families = {"gpt2": numbers(4.0, 0.1 + 0.2), "llama": numbers(5.0, prints="")}
    golden.write(golden.own_path(tmp_path), families, ({"date": "2026-01-01", "reason": 'a "reason"'},))
    found = golden.find(tmp_path)
    assert found.exact
    assert found.families == families
    assert found.history[0]["reason"] == 'a "reason"'


def test_a_renewal_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    assert update.main([]) == 2
    assert "say why" in capsys.readouterr().err


def test_golden_files_are_small() -> None:
    assert sum(path.stat().st_size for path in golden.FOLDER.glob("*.json")) < 300_000
