"""Cached decoding equals uncached, at every step, for every position x attention pair."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from harness.model.transformer import Transformer
from harness.spec.spec import Choice, Spec
from variants import registry
from variants.norm.rms import RMSNorm
from variants.slots import Context, Position, Shape

TIME = 11
POSITIONS = registry.names("position")
ATTENTIONS = {"mha": {}, "gqa": {"n_kv_heads": 2}, "mqa": {}, "mla": {"q_rank": 9}, "window": {"window": 4}}


def shake(module: nn.Module) -> None:
    """Draw every parameter, so that no table, gain or bias is trivially 0 or 1, and none is left undrawn."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(0.2 * torch.randn(p.shape, generator=generator, dtype=p.dtype) + 0.5 * (p.ndim < 2))


def model_of(position: str, attention: str) -> tuple[Transformer, Tensor]:
    choice = Choice(attention, tuple(sorted(ATTENTIONS[attention].items())))
    spec = Spec(position=Choice(position), attention=choice, n_layers=2, d_model=24, n_heads=4, d_ff=32, seq_len=TIME)
    model = Transformer(spec, seed=0)
    shake(model)
    return model.eval(), torch.randint(257, (2, TIME), generator=torch.Generator().manual_seed(6))


@torch.no_grad()
@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("position", POSITIONS)
def test_decoding_with_a_cache_equals_without(position: str, attention: str) -> None:
    model, tokens = model_of(position, attention)
    whole = model(tokens)
    for chunks in ([1] * TIME, [5, 1, 3, 2]):
        state = model.new_state(2, TIME + 2)
        parts = [model(chunk, state) for chunk in tokens.split(chunks, dim=1)]
        for i, (mine, expected) in enumerate(zip(parts, whole.split(chunks, dim=1), strict=True)):
            torch.testing.assert_close(mine, expected, rtol=0, atol=1e-5, msg=lambda m, i=i: f"step {i}: {m}")


@torch.no_grad()
@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("position", ["none", "rope", "alibi", "t5", "fire"])
def test_texts_may_stand_at_different_positions(position: str, attention: str) -> None:
    """(batch, time) positions over one cache give each text what it gets alone."""
    sizes = Shape(24, 2, 4, 6, 32, TIME, 31, bias=True)
    module = registry.get("attention", attention)(sizes, RMSNorm, **ATTENTIONS[attention]).double()
    variant: Position = registry.get("position", position)(sizes).double()
    shake(module)
    shake(variant)
    x = torch.randn(2, TIME, 24, dtype=torch.float64, generator=torch.Generator().manual_seed(7))
    state, every = module.new_state(2, TIME, x), torch.arange(TIME)
    whole = module(x, Context(every, TIME, variant.encode(every, TIME)), state)
    rows = torch.tensor([[2, 3, 4], [6, 7, 10]])
    index = rows[..., None].expand(-1, -1, 24)
    again = module(x.gather(1, index), Context(rows, TIME, variant.encode(rows, TIME)), state)
    torch.testing.assert_close(again, whole.gather(1, index), rtol=0, atol=1e-12)
