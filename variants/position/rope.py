"""Rotary position embedding, RoPE (Su et al. 2021, arXiv:2104.09864)."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from variants.errors import UserError
from variants.position._frequencies import Frequencies, Scaling
from variants.registry import register
from variants.slots import Encoding, Flops, Position, Shape


@register("position", "rope")
class RoPE(Position):
    """RoPE: pair i of q and k turns by t w_i, w_i = theta^(-2i / d), at position t. Su et al. 2021, arXiv:2104.09864.

    (u, v) -> (u cos - v sin, v cos + u sin); d dimensions of a head turn, the first `partial` of them.
    Angles are fp32, or fp64 in an fp64 model. Scaling to texts s times longer (s is `factor`):

    - linear: w / s (Chen et al. 2023, arXiv:2306.15595).
    - ntk: theta s^(d / (d - 2)) for theta, whatever the length of the text.
    - yarn: w for pairs that turn beta_fast times in original_len, w / s for those that turn beta_slow
      times, between them a ramp linear in the index of the pair, its ends rounded outwards; cos and sin
      times 0.1 ln s + 1 (Peng et al. 2023, arXiv:2309.00071). The paper's ramp is linear in the number
      of turns; this one is that of the authors' code, of transformers and of the published models.
    - llama3: w / s for fewer than low_freq turns in original_len, w for more than high_freq, linear in the
      number of turns between (Llama Team 2024, arXiv:2407.21783; constants from its published code).

    Args:
        theta: base of the geometric series of frequencies.
        layout: which dimensions pair up. half, (x_i, x_{i+d/2}), as Llama in transformers and GPT-NeoX;
            interleaved, (x_2i, x_2i+1), as GPT-J, Meta's Llama and DeepSeek.
        partial: share of a head's dimensions that turn; 0.25 in GPT-NeoX.
        scaling: how the frequencies are stretched.
        factor: s, the new length over the old.
        original_len: positions trained on before scaling; the model's seq_len when none (yarn, llama3).
        attention_factor: what cos and sin are multiplied by, instead of 0.1 ln s + 1 (yarn).
        beta_fast: turns within original_len from which a pair stays (yarn).
        beta_slow: turns up to which it is fully stretched (yarn).
        low_freq: turns up to which a pair is fully stretched (llama3).
        high_freq: turns from which it stays (llama3).
    """

    def __init__(
        self,
        shape: Shape,
        *,
        theta: float = 10_000.0,
        layout: Literal["half", "interleaved"] = "half",
        partial: float = 1.0,
        scaling: Scaling = "none",
        factor: float | None = None,
        original_len: int | None = None,
        attention_factor: float | None = None,
        beta_fast: float = 32.0,
        beta_slow: float = 1.0,
        low_freq: float = 1.0,
        high_freq: float = 4.0,
    ) -> None:
        super().__init__()
        if (factor is None) != (scaling == "none"):
            raise UserError(
                f"position.factor, the new length over the old, goes with position.scaling, got scaling={scaling} "
                f"and factor={factor}; set both or neither"
            )
        if factor is not None and factor < 1:
            raise UserError(f"position.factor must be at least 1, got {factor}")
        if not 0 < partial <= 1:
            raise UserError(f"position.partial must lie in (0, 1], got {partial}")
        if theta <= 1 or high_freq <= low_freq or beta_fast <= beta_slow:
            raise UserError(
                "position=rope needs theta > 1, high_freq > low_freq and beta_fast > beta_slow, "
                f"got {theta}, {high_freq} and {low_freq}, {beta_fast} and {beta_slow}"
            )
        self.shape, self.interleaved, self.partial = shape, layout == "interleaved", partial
        self.frequencies = Frequencies(
            theta, scaling, factor or 1.0, original_len or shape.seq_len, attention_factor,
            beta_fast, beta_slow, low_freq, high_freq,
        )  # fmt: skip
        self._turning(shape.d_head)

    def encode(self, positions: Int[Tensor, "*batch time"], num_keys: int) -> Encoding:
        tables: dict[tuple[int, torch.dtype], tuple[Tensor, Tensor]] = {}  # of this pass, shared by its layers

        def rotate(x: Float[Tensor, "batch heads time size"]) -> Float[Tensor, "batch heads time size"]:
            size = self._turning(x.shape[-1])
            if (size, x.dtype) not in tables:
                tables[size, x.dtype] = self._cos_sin(positions, size, x.dtype)
            cos, sin = tables[size, x.dtype]
            if size == x.shape[-1]:
                return self._turn(x, cos, sin)
            return torch.cat((self._turn(x[..., :size], cos, sin), x[..., size:]), dim=-1)

        return Encoding(rotate=rotate)

    def _turning(self, size: int) -> int:
        """How many of a head's `size` dimensions turn."""
        turning = int(size * self.partial)
        if turning < 2 or turning % 2:
            raise UserError(
                f"position=rope turns dimensions in pairs, got {turning} of the {size} of a head; "
                "change --size, --heads or position.partial"
            )
        return turning

    def _cos_sin(self, positions: Tensor, size: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        precise = torch.promote_types(dtype, torch.float32)
        angles = positions[..., None].to(precise) * self.frequencies.series(size, precise, positions.device)
        if angles.ndim == 3:
            angles = angles[:, None]  # (B, 1, T, size/2)
        magnitude = self.frequencies.magnitude
        cos, sin = angles.cos() * magnitude, angles.sin() * magnitude
        return self._join(cos, cos).to(dtype), self._join(-sin, sin).to(dtype)

    def _turn(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """(u, v) (cos, cos) + (v, u) (-sin, sin), over whole heads: fewer calls than half by half."""
        u, v = x.unflatten(-1, (-1, 2)).unbind(-1) if self.interleaved else x.chunk(2, dim=-1)
        return x * cos + self._join(v, u) * sin

    def _join(self, u: Tensor, v: Tensor) -> Tensor:
        """Pairs back in the layout of a head."""
        return torch.stack((u, v), dim=-1).flatten(-2) if self.interleaved else torch.cat((u, v), dim=-1)

    def flops(self, seq_len: int) -> Flops:
        # q and k of n_heads in every layer: 4 multiplications and 2 additions a pair, 3 an element. An attention
        # with fewer kv heads or a rotary slice does fewer; rotations are shown, never matched
        elements = 2 * self.shape.n_heads * self._turning(self.shape.d_head)
        return Flops(rotation=3.0 * elements * self.shape.n_layers)
