"""What every variant must do, whoever wrote it. A file dropped into variants/SLOT/ is checked by all of these.

from harness.testing.contract import CHECKS, check_variant
check_variant("norm", "mine")
"""

from __future__ import annotations

import copy
import importlib.util
import inspect
import re
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from harness.model.transformer import Transformer
from harness.plan.ledger import count
from harness.plan.profile import declared, profile
from harness.spec.recipe import Recipe
from harness.spec.spec import Choice, Spec
from harness.train.checkpoint import weights_of
from harness.train.optimizer import make_optimizer
from harness.train.trainer import train_step
from variants import registry
from variants.errors import UserError

TOLERANCE = 1e-5
"""fp32 logits computed along two ways (cached or not, alone or in a batch) agree to this."""

ROUNDING = 1e-12
"""fp64 logits, which are about 1, whose sums were taken in another order; measured 1e-15."""


def spec_of(slot: str, name: str, **options: Any) -> Spec:
    """A small baseline with one variant swapped in: 2 layers of 24, 16 positions, 31 tokens."""
    small = Spec(n_layers=2, d_model=24, n_heads=2, d_ff=32, seq_len=16, vocab_size=31)
    required = getattr(registry.get(slot, name), "contract_options", {})
    return small.replace(**{slot: Choice(name, tuple(sorted({**required, **options}.items())))})


def sees_the_future(slot: str, name: str) -> bool:
    """Whether a variant declares that it is not causal (`leaks = True`)."""
    return getattr(registry.get(slot, name), "leaks", False)


def tokens(batch: int = 3, time: int = 16) -> Tensor:
    return torch.randint(31, (batch, time), generator=torch.Generator().manual_seed(1))


def keeps_shape_and_dtype(slot: str, name: str) -> None:
    """Logits are (batch, time, vocab) in the dtype of the parameters, finite, and not all equal."""
    for dtype in (torch.float32, torch.float64):
        logits = Transformer(spec_of(slot, name), seed=0).to(dtype)(tokens())
        assert logits.shape == (3, 16, 31), f"logits have shape {tuple(logits.shape)}"
        assert logits.dtype == dtype, f"a {dtype} model gave {logits.dtype} logits"
        assert logits.isfinite().all(), "some logits are not finite"
        assert logits.std() > 0, "all logits are equal"


@torch.no_grad()
def is_causal(slot: str, name: str) -> None:
    """Changing token t leaves every logit before t as it was: to the bit, or else to the rounding of fp64.

    Where experts get other numbers of tokens, some CPUs' products round the same row otherwise. What leaks is larger.
    """
    if sees_the_future(slot, name):
        return _must_be_refused(slot, name)
    model = Transformer(spec_of(slot, name), seed=0).eval()
    before = tokens()
    for t in (1, 8, 15):
        after = before.clone()
        after[:, t] = (after[:, t] + 1) % 31
        if not torch.equal(model(before)[:, :t], model(after)[:, :t]):
            exact = copy.deepcopy(model).double()
            leak = (exact(before)[:, :t] - exact(after)[:, :t]).abs().max().item()
            assert leak <= ROUNDING, f"token {t} changes a logit before it, by {leak:.0e}"
    return None


def _must_be_refused(slot: str, name: str) -> None:
    """A variant that sees the future must refuse to be built unless its user says so by an option."""
    try:
        Transformer(spec_of(slot, name).replace(**{slot: Choice(name)}), seed=0)
    except UserError:
        return
    raise AssertionError(f"{slot}={name} sees the future and is built without its user asking for that")


@torch.no_grad()
def is_batch_independent(slot: str, name: str) -> None:
    """A text's logits do not depend on the texts beside it."""
    if sees_the_future(slot, name):
        return
    model = Transformer(spec_of(slot, name), seed=0).eval()
    together = model(tokens())
    alone = torch.cat([model(row[None]) for row in tokens()])
    _close(together, alone, "the logits of a text depend on the texts beside it")


def has_finite_gradients(slot: str, name: str) -> None:
    """Every parameter receives a finite gradient."""
    model = Transformer(spec_of(slot, name), seed=0)
    (model.loss(tokens(), tokens().roll(-1, 1)) + model.auxiliary_loss()).backward()
    for path, parameter in model.named_parameters():
        assert parameter.grad is not None, f"{path} receives no gradient"
        assert parameter.grad.isfinite().all(), f"{path} receives a gradient that is not finite"


def is_deterministic(slot: str, name: str) -> None:
    """The same seed gives the same bits, initial and trained; another seed gives others."""
    first, again, other = (_trained(spec_of(slot, name), seed) for seed in (0, 0, 1))
    assert all(torch.equal(first[k], again[k]) for k in first), "the same seed gave other weights"
    assert any(not torch.equal(first[k], other[k]) for k in first), "another seed gave the same weights"


def _trained(spec: Spec, seed: int) -> dict[str, Tensor]:
    torch.manual_seed(torch.seed() % 2**31)  # whatever a variant draws from the global generator shows
    model, recipe = Transformer(spec, seed=seed), Recipe()
    optimizer = make_optimizer(model, recipe)
    model.train()
    for step in range(3):
        train_step(model, optimizer, (tokens(), tokens().roll(-1, 1)), recipe, step, 3)
    return weights_of(model)


@torch.no_grad()
def decodes_as_it_reads(slot: str, name: str) -> None:
    """Logits with a decoding state, after a prompt and then token by token, equal those without."""
    if sees_the_future(slot, name):
        return
    model = Transformer(spec_of(slot, name), seed=0).eval()
    whole, state = model(tokens()), model.new_state(3, 16)
    parts = [model(tokens()[:, :7], state), *(model(tokens()[:, i : i + 1], state) for i in range(7, 16))]
    _close(whole, torch.cat(parts, dim=1), "cached decoding differs from uncached")


@torch.no_grad()
def survives_saving(slot: str, name: str) -> None:
    """Saved weights loaded into a model of another seed give the same logits."""
    model, copy = (Transformer(spec_of(slot, name), seed=seed).eval() for seed in (0, 1))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.safetensors"
        save_file(weights_of(model), path)
        copy.load_state_dict(load_file(path), strict=False)
    assert torch.equal(model(tokens()), copy(tokens())), "saved and loaded weights give other logits"


def counts_its_flops(slot: str, name: str) -> None:
    """The FLOPs a variant declares are those it executes, forward and backward."""
    spec = spec_of(slot, name)
    executed = profile(spec, batch_size=1)
    forward = declared(count(spec).flops, conv=executed.conv_forward > 0) * spec.seq_len
    assert executed.forward == forward, f"declared {forward} forward FLOPs, executed {executed.forward}"
    assert executed.backward == 2 * forward, f"declared {2 * forward} backward FLOPs, executed {executed.backward}"


@torch.no_grad()
def shares_no_cache(slot: str, name: str) -> None:
    """Two instances with different options do not disturb each other, whichever was used first."""
    for option, parameter in registry.options(slot, name).items():
        specs = spec_of(slot, name), spec_of(slot, name, **{option: _other_value(parameter)})
        try:
            there = _outputs_anew(slot, name, specs)
        except UserError:
            continue  # the other value is not valid at this size
        back = _outputs_anew(slot, name, specs[::-1])[::-1]
        assert all(torch.equal(a, b) for a, b in zip(there, back, strict=True)), (
            f"the outputs of two values of {option} depend on which was used first"
        )


def _outputs_anew(slot: str, name: str, specs: Sequence[Spec]) -> list[Tensor]:
    """Logits of each spec in turn, the variant's file executed anew so that nothing it keeps is left from before."""
    known = registry.get(slot, name)
    anew = importlib.util.spec_from_file_location(f"{known.__module__}_anew", registry.source(slot, name))
    assert anew is not None
    assert anew.loader is not None
    registry.forget(slot, name)
    try:
        anew.loader.exec_module(importlib.util.module_from_spec(anew))
        return [Transformer(spec, seed=0).eval()(tokens()) for spec in specs]
    finally:
        registry.forget(slot, name)
        registry.register(slot, name)(known)


def _other_value(parameter: inspect.Parameter) -> Any:
    """A value of the option's type that is not its default; for None, which stands for "off", one that is on."""
    default, annotation = parameter.default, parameter.annotation
    if get_origin(annotation) is Literal:
        return next(a for a in get_args(annotation) if a != default)
    kinds = [kind for kind in get_args(annotation) or (annotation,) if kind is not type(None)]
    if kinds[0] is bool:
        return not default
    return kinds[0](1 if default is None else default * 2 + 1)


def cites_its_source(slot: str, name: str) -> None:
    """The docstring names the paper, and `--list` has a line to show."""
    text = inspect.getdoc(registry.get(slot, name)) or ""
    assert re.search(r"\b(19|20)\d\d\b|arXiv:\d{4}\.\d{4,5}", text), "the docstring cites no paper (year or arXiv)"
    assert registry.summary(slot, name), "the docstring has no first line to list"


def types_its_options(slot: str, name: str) -> None:
    """Every option is annotated with a type the command line can read, and has a default."""
    for option, parameter in registry.options(slot, name).items():
        assert parameter.default is not inspect.Parameter.empty, f"option {option} has no default"
        kinds = get_args(parameter.annotation) or (parameter.annotation,)
        known = (int, float, bool, str, type(None))
        assert get_origin(parameter.annotation) is Literal or all(kind in known for kind in kinds), (
            f"option {option} is annotated {parameter.annotation}; use int, float, bool, str or a Literal"
        )


def _close(a: Tensor, b: Tensor, complaint: str) -> None:
    worst = (a - b).abs().max().item()
    assert worst <= TOLERANCE, f"{complaint}: by {worst:.2g}"


CHECKS: dict[str, Callable[[str, str], None]] = {
    check.__name__: check
    for check in (
        keeps_shape_and_dtype,
        is_causal,
        is_batch_independent,
        has_finite_gradients,
        is_deterministic,
        decodes_as_it_reads,
        survives_saving,
        counts_its_flops,
        shares_no_cache,
        cites_its_source,
        types_its_options,
    )
}


def check_variant(slot: str, name: str) -> None:
    """Run every check on one variant.

    Raises:
        AssertionError: the variant breaks its contract; the message says how.
    """
    for check in CHECKS.values():
        check(slot, name)
