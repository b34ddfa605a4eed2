"""Position variants against their formulas, and the properties that hold for any position."""

from __future__ import annotations

import math
from typing import Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from variants import registry
from variants.errors import UserError
from variants.position.alibi import ALiBi
from variants.position.fire import EPS, FIRE
from variants.position.rope import RoPE
from variants.position.sinusoidal import Sinusoidal
from variants.position.t5 import T5
from variants.slots import Position, Shape

BIASED = ("alibi", "t5", "fire")


def shape(n_heads: int = 4, d_head: int = 8, seq_len: int = 16) -> Shape:
    d_model = n_heads * d_head
    return Shape(d_model, 2, n_heads, d_head, 4 * d_model, seq_len, 31, bias=False)


def make(name: str, **options: object) -> Position:
    """A position variant in fp64 with every parameter drawn, so that no table is trivially zero."""
    position = registry.get("position", name)(shape(), **options).double()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for p in position.parameters():
            p.copy_(torch.rand(p.shape, generator=generator, dtype=p.dtype) - 0.3)
    return position


def bias_of(position: Position, positions: Tensor, num_keys: int) -> Tensor:
    bias = position.encode(positions, num_keys).bias
    assert bias is not None
    return bias


def rotated(position: Position, x: Tensor, positions: Tensor) -> Tensor:
    rotate = position.encode(positions, int(positions.max()) + 1).rotate
    assert rotate is not None
    return rotate(x)


def test_sinusoidal_is_its_formula_at_any_length() -> None:
    position, d = Sinusoidal(shape()), shape().d_model
    assert position.limit is None
    ts = torch.tensor([0, 1, 2, 5000])
    table = position.embed(torch.zeros(1, 4, d, dtype=torch.float64), ts)[0]
    for row, t in zip(table, ts.tolist(), strict=True):
        for i in range(d // 2):
            angle = t / 10_000 ** (2 * i / d)
            assert row[2 * i] == pytest.approx(math.sin(angle), abs=1e-12)
            assert row[2 * i + 1] == pytest.approx(math.cos(angle), abs=1e-12)


def test_sinusoidal_amplitude_scales_the_table() -> None:
    x, t = torch.zeros(1, 4, 32), torch.arange(4)
    torch.testing.assert_close(Sinusoidal(shape(), amplitude=0.5).embed(x, t), Sinusoidal(shape()).embed(x, t) / 2)


@pytest.mark.parametrize(
    ("n_heads", "exponents"),
    [(1, [8]), (2, [4, 8]), (8, [1, 2, 3, 4, 5, 6, 7, 8]), (6, [2, 4, 6, 8, 1, 3]), (3, [4, 8, 2])],
)
def test_alibi_slopes(n_heads: int, exponents: list[int]) -> None:
    """8 heads: 1/2 .. 1/256 (Press et al. 2021, section 3); 6 heads: those of 4, then every other of 8."""
    assert ALiBi(shape(n_heads)).slopes().tolist() == [2.0**-e for e in exponents]


def test_alibi_slopes_keep_their_precision_in_any_dtype() -> None:
    exact = ALiBi(shape(16)).double().slopes()
    assert exact.tolist() == pytest.approx([2 ** (-h / 2) for h in range(1, 17)], rel=1e-15)
    assert ALiBi(shape(16)).bfloat16().slopes().dtype == torch.float32
    torch.testing.assert_close(ALiBi(shape(16)).bfloat16().slopes(), exact.float())


def test_alibi_bias_is_minus_slope_times_distance() -> None:
    bias = bias_of(ALiBi(shape(2)), torch.tensor([3, 4]), 5)
    assert bias.shape == (2, 2, 5)
    assert bias[0, 0, :4].tolist() == [-3 / 16, -2 / 16, -1 / 16, 0]
    assert bias[1, 1].tolist() == [-4 / 256, -3 / 256, -2 / 256, -1 / 256, 0]


def test_t5_buckets_by_hand() -> None:
    """32 buckets: exact to 15, then 16 + floor(16 ln(n/16) / ln 8), the last from 128 on (Raffel 2019, 2.1)."""
    distance = torch.arange(1000)
    for n, bucket in zip(distance.tolist(), T5(shape()).bucket(distance).tolist(), strict=True):
        expected = n if n < 16 else min(31, 16 + math.floor(16 * math.log(n / 16) / math.log(8)))
        assert bucket == expected, n


def test_t5_bias_reads_the_table() -> None:
    position = make("t5")
    assert isinstance(position, T5)
    bias = bias_of(position, torch.arange(16), 16)
    for i, j in [(0, 0), (5, 2), (15, 0), (15, 15)]:
        torch.testing.assert_close(bias[:, i, j], position.table[i - j])


@pytest.mark.parametrize("threshold", [4.0, 512.0])
def test_fire_is_its_formula(threshold: float) -> None:
    position = make("fire", threshold=threshold, width=5)
    assert isinstance(position, FIRE)
    with torch.no_grad():
        position.multiplier.fill_(-1.25)  # the reference takes its absolute value
        position.c.fill_(-0.2)
    bias = bias_of(position, torch.arange(16), 16)
    for i, j in [(0, 0), (3, 1), (7, 7), (15, 0), (15, 14)]:
        psi = math.log(0.2 * (i - j) + 1), math.log(0.2 * max(1.25 * threshold, i) + 1)
        hidden = torch.relu(position.up[:, 0] * (psi[0] / (psi[1] + EPS)) + position.up_bias)
        expected = position.down @ hidden + position.down_bias
        torch.testing.assert_close(bias[:, i, j], expected, rtol=0, atol=1e-12)


def test_fire_gradients_are_finite_and_reach_everything() -> None:
    position = FIRE(shape(), threshold=4.0)
    with torch.no_grad():
        position.up.copy_(torch.linspace(-1, 1, 32)[:, None])
        position.down.fill_(0.1)
    bias_of(position, torch.arange(16), 16).tril().sum().backward()
    for name, p in position.named_parameters():
        assert p.grad is not None, name
        assert p.grad.isfinite().all(), name
        assert (p.grad != 0).any(), name


@pytest.mark.parametrize("name", BIASED)
def test_a_bias_of_batched_positions_is_that_of_each_row(name: str) -> None:
    position, rows = make(name), torch.tensor([[0, 1, 2], [7, 8, 11]])
    together = bias_of(position, rows, 12)
    assert together.shape == (2, 4, 3, 12)
    for row, bias in zip(rows, together, strict=True):
        torch.testing.assert_close(bias, bias_of(position, row, 12), rtol=0, atol=0)


@pytest.mark.parametrize("name", BIASED)
def test_a_bias_continues_when_decoding(name: str) -> None:
    position = make(name)
    whole, last = bias_of(position, torch.arange(9), 9), bias_of(position, torch.tensor([8]), 9)
    torch.testing.assert_close(whole[:, 8:], last, rtol=0, atol=1e-15)


def test_rope_is_its_formula() -> None:
    """Half-split by complex numbers: (x_i + i x_{i + d/2}) e^{i t w_i}."""
    x = torch.randn(2, 4, 16, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    w = 500.0 ** (-torch.arange(0, 8, 2, dtype=torch.float64) / 8)
    turn = torch.polar(torch.ones(16, 4, dtype=torch.float64), torch.arange(16)[:, None] * w)
    z = torch.complex(x[..., :4], x[..., 4:]) * turn
    expected = torch.cat((z.real, z.imag), dim=-1)
    torch.testing.assert_close(rotated(RoPE(shape(), theta=500.0), x, torch.arange(16)), expected, rtol=0, atol=1e-12)


@settings(deadline=None, max_examples=20)
@given(shift=st.integers(1, 500), m=st.integers(0, 30), n=st.integers(0, 30), interleaved=st.booleans())
def test_rope_scores_depend_only_on_the_distance(shift: int, m: int, n: int, interleaved: bool) -> None:
    position = RoPE(shape(), layout="interleaved" if interleaved else "half")
    q, k = torch.randn(2, 1, 1, 1, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(m * 31 + n))

    def score(i: int, j: int) -> float:
        return (rotated(position, q, torch.tensor([i])) * rotated(position, k, torch.tensor([j]))).sum().item()

    assert score(m, n) == pytest.approx(score(m + shift, n + shift), abs=1e-12)


def test_half_split_is_interleaved_under_the_permutation_and_not_without() -> None:
    x, t = torch.randn(1, 4, 16, 8, dtype=torch.float64), torch.arange(16)
    order = [0, 2, 4, 6, 1, 3, 5, 7]
    half, interleaved = RoPE(shape()), RoPE(shape(), layout="interleaved")
    torch.testing.assert_close(
        rotated(half, x[..., order], t), rotated(interleaved, x, t)[..., order], rtol=0, atol=1e-14
    )
    assert (rotated(half, x, t) - rotated(interleaved, x, t)).abs().max() > 0.1


@pytest.mark.parametrize("layout", ["half", "interleaved"])
def test_rope_partial_turns_the_first_dimensions_as_a_smaller_head(layout: Literal["half", "interleaved"]) -> None:
    x, t = torch.randn(1, 2, 16, 24), torch.arange(16)
    partial = RoPE(shape(2, 24), partial=0.25, layout=layout)
    y = rotated(partial, x, t)
    assert torch.equal(y[..., 6:], x[..., 6:])
    assert torch.equal(y[..., :6], rotated(RoPE(shape(2, 6), layout=layout), x[..., :6], t))


def test_rope_takes_its_size_from_the_tensor() -> None:
    """MLA turns a slice of the head; both sizes live in one pass and in either order."""
    position, t = RoPE(shape(4, 8)), torch.arange(16)
    rotate = position.encode(t, 16).rotate
    assert rotate is not None
    x, y = torch.randn(1, 4, 16, 8), torch.randn(1, 1, 16, 4)
    first = rotate(x), rotate(y), rotate(x)
    assert torch.equal(first[0], first[2])
    assert torch.equal(first[1], rotated(RoPE(shape(4, 4)), y, t))


def test_rope_of_batched_positions_is_that_of_each_row() -> None:
    position, rows = RoPE(shape()), torch.tensor([[0, 1, 2], [7, 8, 11]])
    x = torch.randn(2, 4, 3, 8)
    for i in range(2):
        torch.testing.assert_close(
            rotated(position, x, rows)[i : i + 1], rotated(position, x[i : i + 1], rows[i]), rtol=0, atol=0
        )


def test_two_thetas_do_not_disturb_each_other() -> None:
    x, t = torch.randn(1, 4, 16, 8), torch.arange(16)
    first, second = RoPE(shape(), theta=1e4), RoPE(shape(), theta=1e2)
    before = rotated(first, x, t)
    assert not torch.allclose(before, rotated(second, x, t))
    assert torch.equal(before, rotated(first, x, t))


def test_rope_angles_are_fp32_in_a_bf16_model() -> None:
    x, t = torch.randn(1, 1, 1, 8).bfloat16(), torch.tensor([1001])  # 1001 is not a bf16 number
    exact = rotated(RoPE(shape()), x.double(), t)
    torch.testing.assert_close(rotated(RoPE(shape()).bfloat16(), x, t).double(), exact, rtol=0, atol=0.03)


@pytest.mark.parametrize(
    ("name", "options", "rule"),
    [
        ("rope", {"partial": 0.0}, "partial"),
        ("rope", {"partial": 0.4}, "pairs"),
        ("rope", {"scaling": "yarn"}, "factor"),
        ("rope", {"factor": 2.0}, "scaling"),
        ("rope", {"scaling": "ntk", "factor": 0.5}, "at least 1"),
        ("rope", {"theta": 0.5}, "theta"),
        ("t5", {"buckets": 1}, "buckets"),
        ("t5", {"max_distance": 16}, "max_distance"),
        ("fire", {"threshold": 0.0}, "threshold"),
        ("sinusoidal", {"amplitude": 0.0}, "amplitude"),
    ],
)
def test_bad_options_are_refused_by_name(name: str, options: dict[str, object], rule: str) -> None:
    with pytest.raises(UserError, match=rule):
        registry.get("position", name)(shape(), **options)
