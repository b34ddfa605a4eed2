"""A variant alone, on its own inputs, forward and backward: the rest of a model does not thin out its slowdown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from harness.model.build import build, shape_of
from harness.model.initialise import initialise
from harness.model.transformer import Transformer
from harness.plan.ledger import count
from harness.spec.spec import Choice, Spec
from tests.benchmarks.regression.reference import Reference, copy, gemm
from variants import registry
from variants.slots import Context, Encoding, MakeNorm, Position

BATCH, TIME = 8, 64
SPEC = Spec(n_layers=2, d_model=48, n_heads=2, d_ff=96, seq_len=TIME, vocab_size=31)
"""Small, and large enough that torch's kernels weigh as much as the calls to them."""


@dataclass(frozen=True)
class Passes:
    """`forward()` keeps a graph; `backward()` goes through one such graph again and again, None where none is kept."""

    forward: Callable[[], object]
    backward: Callable[[], object] | None
    reference: Reference


def passes_of(slot: str, name: str) -> Passes:
    """The two passes of a variant with its default options."""
    required = getattr(registry.get(slot, name), "contract_options", {})
    spec = SPEC.replace(**{slot: Choice(name, tuple(sorted(required.items())))})
    torch.manual_seed(0)
    module, inputs, call = SLOTS[slot](spec)
    draw(module, spec)

    def forward() -> list[Tensor]:
        outputs = [out for out in call(*inputs) if out is not None]
        loss = getattr(module, "auxiliary_loss", None)
        return outputs if loss is None else [*outputs, loss]

    kept = [out for out in forward() if out.requires_grad]
    ends = [*inputs, *(p for p in module.parameters() if p.requires_grad)]
    gradients = [torch.ones_like(out) for out in kept]

    def backward() -> Sequence[Tensor | None]:
        return torch.autograd.grad(kept, ends, gradients, retain_graph=True, allow_unused=True)

    return Passes(forward, backward if kept else None, reference_of(slot, spec, inputs))


def draw(module: nn.Module, spec: Spec) -> None:
    """Initial values: constructors leave matrices as the memory was, where numbers too small for fp32 are slow."""
    model = nn.Module().train()
    model.spec, model.module = cast("Any", spec), module
    initialise(cast("Transformer", model), seed=0)


def reference_of(slot: str, spec: Spec, inputs: Sequence[Tensor]) -> Reference:
    """Attention and FFN against a product of the FLOPs they declare, the others against a copy of their input."""
    if slot not in ("attention", "ffn"):
        return copy(sum(x.nbytes for x in inputs))
    modules = count(spec).modules
    return gemm(BATCH * TIME * sum(m.flops.model for m in modules if m.name.startswith(f"layers.0.{slot}")))


def values(*shape: int) -> Tensor:
    return torch.randn(*shape).requires_grad_()


Slot = tuple[nn.Module, list[Tensor], Callable[..., Sequence[Tensor | None]]]


def norm(spec: Spec) -> Slot:
    module = build(spec, "norm", spec.d_model)
    return module, [values(BATCH, TIME, spec.d_model)], lambda x: [module(x)]


def activation(spec: Spec) -> Slot:
    module = build(spec, "activation")
    shape, count = shape_of(spec), cast("Any", module).num_projections
    return module, [values(BATCH, TIME, shape.d_ff) for _ in range(count)], lambda *x: [module(*x)]


def position(spec: Spec) -> Slot:
    """Embeds, rotates queries, and makes the bias on scores, whichever of them it does."""
    module, shape = cast("Position", build(spec, "position", shape_of(spec))), shape_of(spec)
    positions = torch.arange(TIME)
    inputs = [values(BATCH, TIME, shape.d_model), values(BATCH, shape.n_heads, TIME, shape.d_head)]

    def call(x: Tensor, q: Tensor) -> list[Tensor | None]:
        encoding = module.encode(positions, TIME)
        return [module.embed(x, positions), encoding.rotate(q) if encoding.rotate else None, encoding.bias]

    return module, inputs, call


def ffn(spec: Spec) -> Slot:
    module = build(spec, "ffn", shape_of(spec), partial(build, spec, "activation"))
    return module, [values(BATCH, TIME, spec.d_model)], lambda x: [module(x)]


def attention(spec: Spec) -> Slot:
    module = build(spec, "attention", shape_of(spec), make_norm(spec))
    context = Context(torch.arange(TIME), TIME, Encoding())
    return module, [values(BATCH, TIME, spec.d_model)], lambda x: [module(x, context)]


def residual(spec: Spec) -> Slot:
    """With sub-layers that do nothing, so that its own norms and sums are what is timed."""
    module = build(spec, "residual", shape_of(spec), make_norm(spec))
    return module, [values(BATCH, TIME, spec.d_model)], lambda x: [module(x, same, same)]


def make_norm(spec: Spec) -> MakeNorm:
    return cast("MakeNorm", partial(build, spec, "norm"))


def same(x: Tensor) -> Tensor:
    return x


SLOTS: dict[str, Callable[[Spec], Slot]] = {
    "norm": norm,
    "activation": activation,
    "position": position,
    "ffn": ffn,
    "attention": attention,
    "residual": residual,
}
