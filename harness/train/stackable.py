"""Whether the runs of a study are trained as stacks (harness/train/stacked.py), and of how many rows.

What vmap cannot carry is found by trying: the trainer knows no variant. All arms of a study are trained alike, as
with compiled steps (harness/train/compile.py). The number of rows is part of a run's identity; it depends on the plan
and the machine and not on how many seeds are asked for, so that a later study with more seeds finds the earlier runs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from harness.model.cross_entropy import WHOLE_LOGITS
from harness.model.transformer import Transformer
from harness.spec.recipe import Recipe
from harness.spec.spec import Spec
from harness.train.compiled import plain_numbers
from harness.train.eager import EagerStep
from harness.train.optimizer import make_optimizer
from harness.train.precision import Precision, make_model, tolerance_of
from harness.train.stack import NUMBERS_CHANGE, Stack, quiet_vmap
from variants.errors import UserError

ROWS = 8
"""Rows of a stack with `auto`: the default number of seeds. Assumption: what more rows bring was not measured."""

TRIAL_STEPS = 2
"""A change that one step makes shows in the next."""

TRIAL_LR = 1e-3
"""Of the trial, as a share of the recipe's. AdamW's first step moves each weight by the learning rate, whichever sign
rounding gave a gradient that is nearly zero; the second loss and gradient would differ by that."""

TRIAL_SEQUENCES = 2
"""Sequences of a trial's step where the logits of a whole step are few: what a forward reads does not depend on how
many there are, but for logits that are taken a slice at a time. Assumption."""


@dataclass(frozen=True)
class StackChoice:
    """Rows of every stack, None where runs are trained one by one, and the sentence that says why."""

    rows: int | None
    reason: str


def choose_stack(asked: int | str, device_type: str, obstacles: Sequence[str]) -> StackChoice:
    """The rows of every stack of a study.

    Args:
        asked: a number of rows, "auto" or "off".
        obstacles: of each arm that has one, what `stack_obstacle` says.
    """
    if asked == "off":
        return StackChoice(None, "--stack off")
    if asked == "auto" and device_type == "cpu":
        return StackChoice(None, "a stack brings nothing on a CPU, where vmap has no kernel of attention")
    if obstacles:
        return StackChoice(None, f"an arm cannot be stacked, and all arms are trained alike: {obstacles[0]}")
    rows = ROWS if asked == "auto" else int(asked)
    return StackChoice(rows, f"--stack {asked}")


def stack_obstacle(
    spec: Spec, recipe: Recipe, device: torch.device, precision: Precision = "fp32", rows: int = 2
) -> str | None:
    """Why runs of a spec cannot be stacked, None when they can: two are, and compared with the same two apart.

    A stack of one row is tried with one: it needs no vmap.
    """
    try:
        with quiet_vmap():
            compare_with_apart(spec, recipe, device, precision, range(min(rows, 2)))
    except UserError as error:
        return str(error)
    except Exception as error:  # vmap and autograd have many words for what they cannot carry
        first_line = (str(error).splitlines() or [""])[0]
        return f"torch.func.vmap cannot carry its forward or backward ({type(error).__name__}: {first_line})"
    return None


def compare_with_apart(
    spec: Spec, recipe: Recipe, device: torch.device, precision: Precision = "fp32", seeds: Sequence[int] = (0, 1)
) -> None:
    """A few steps of runs in a stack and apart, from equal weights on equal tokens.

    Raises:
        UserError: losses, moments or buffers differ by more than rounding, or a module changes between steps.
    """
    recipe = dataclasses.replace(recipe, lr=TRIAL_LR * recipe.lr)
    models, others = ([make_model(spec, seed, precision).to(device).train() for seed in seeds] for _ in range(2))
    changing = next(models[0].having("after_step"), None)
    if changing is not None:
        raise UserError(f"{type(changing).__name__} changes itself between steps, and a stack has one of it for all")
    optimizers, apart = ([make_optimizer(model, recipe) for model in group] for group in (models, others))
    stack = Stack(models, optimizers, recipe, TRIAL_STEPS)
    steps = [EagerStep(m, o, recipe, TRIAL_STEPS) for m, o in zip(others, apart, strict=True)]
    numbers, allowed = plain_numbers(others[0]), tolerance_of(models[0])
    for step in range(TRIAL_STEPS):
        tokens, targets = _random_text(spec, recipe, step, device, len(models))
        losses = stack((tokens, targets), step)
        expected = torch.stack([one((tokens[i], targets[i]), step) for i, one in enumerate(steps)])
        _check(losses, expected, "loss", allowed)
    if plain_numbers(others[0]) != numbers:
        raise UserError(NUMBERS_CHANGE)
    stack.settle(TRIAL_STEPS)
    for pair in zip(models, optimizers, others, apart, strict=True):
        _compare_state(*pair, allowed)


def _random_text(spec: Spec, recipe: Recipe, step: int, device: torch.device, runs: int) -> tuple[Tensor, Tensor]:
    """Tokens and targets (runs, B, T) each."""
    few = recipe.tokens_per_step * spec.vocab_size <= WHOLE_LOGITS
    sequences = TRIAL_SEQUENCES if few else recipe.tokens_per_step // spec.seq_len
    shape, generator = (runs, sequences, spec.seq_len + 1), torch.Generator().manual_seed(step)
    text = torch.randint(spec.vocab_size, shape, generator=generator).to(device)
    return text[..., :-1].contiguous(), text[..., 1:].contiguous()


def _compare_state(
    model: Transformer,
    optimizer: torch.optim.Optimizer,
    other: Transformer,
    apart: torch.optim.Optimizer,
    allowed: float,
) -> None:
    """Moments and buffers of a run in a stack, and of the same run apart."""
    for (name, one), two in zip(model.named_parameters(), other.parameters(), strict=True):
        mine, its = optimizer.state.get(one, {}), apart.state.get(two, {})
        if mine.keys() != its.keys():
            raise UserError(f"a stack trains {name} where a run apart does not, or the other way round")
    scale = max(state["exp_avg"].abs().max() for state in apart.state.values())
    for one, two in zip(model.parameters(), other.parameters(), strict=True):
        if two in apart.state:
            _check(optimizer.state[one]["exp_avg"], apart.state[two]["exp_avg"], "gradient", allowed, scale)
    for one, two in zip(model.buffers(), other.buffers(), strict=True):
        _check(one, two, "buffers", allowed)


def _check(found: Tensor, expected: Tensor, what: str, allowed: float, scale: Tensor | None = None) -> None:
    """Raise `UserError` where the largest difference is more than `allowed`, as a share of the largest number."""
    if not expected.numel() or torch.equal(found, expected):
        return
    off = ((found - expected).abs().max() / (expected.abs().max() if scale is None else scale)).item()
    if not off <= allowed:
        raise UserError(f"in a stack its {what} differs by {off:.1e}, more than {allowed:.0e}")
