"""Multi-head latent attention (DeepSeek-AI 2024, DeepSeek-V2, arXiv:2405.04434)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from variants.attention._heads import attend, check_positive, joined, remember
from variants.errors import UserError
from variants.registry import register
from variants.slots import Context, Flops, Linear, MakeNorm, Shape, State, causal_keys


@register("attention", "mla")
class MLA(nn.Module):
    """MLA: k = [W_UK c; k_rope], v = W_UV c from one latent c = N(W_DKV x); only c and k_rope are cached. DeepSeek-V2.

    k_rope = RoPE(W_KR x) is one head for all; q = [q_nope; RoPE(q_rope)] = W_UQ N(W_DQ x), or W_Q x without
    q_rank; scores are divided by sqrt(d_nope + d_rope). DeepSeek-AI 2024, arXiv:2405.04434, section 2.1.
    N is the study's norm. Reading a text expands k and v; decoding absorbs W_UK into q and W_UV into the
    output and attends to the latents themselves, the same function. Up-projections have no bias.

    Args:
        kv_rank: size of c; when none 4 d_head as in DeepSeek-V2, at most half of d_model.
        q_rank: size of the latent of q; none is a full-rank projection.
        d_nope: dimensions of q and k in a head that carry no position; d_head when none.
        d_rope: dimensions that do; d_head / 2, even, when none.
        d_value: dimensions of v in a head; d_head when none. At most d_nope + d_rope.
        bias: biases on the down-projections and the output; the model's when none.
        softcap: scores s become softcap tanh(s / softcap); no cap when none.
        scale: what scores are multiplied by; 1 / sqrt(d_nope + d_rope) when none.
    """

    def __init__(
        self,
        shape: Shape,
        make_norm: MakeNorm,
        *,
        kv_rank: int | None = None,
        q_rank: int | None = None,
        d_nope: int | None = None,
        d_rope: int | None = None,
        d_value: int | None = None,
        bias: bool | None = None,
        softcap: float | None = None,
        scale: float | None = None,
    ) -> None:
        super().__init__()
        check_positive(
            kv_rank=kv_rank, q_rank=q_rank, d_nope=d_nope, d_rope=d_rope, d_value=d_value, softcap=softcap, scale=scale
        )
        bias = shape.bias if bias is None else bias
        self.n_heads = shape.n_heads
        self.kv_rank = kv_rank or max(min(4 * shape.d_head, shape.d_model // 2), 1)
        self.d_nope, self.d_value = d_nope or shape.d_head, d_value or shape.d_head
        self.d_rope = d_rope or 2 * max(shape.d_head // 4, 1)
        self._check_sizes()
        self.softcap, self.scale = softcap, (self.d_nope + self.d_rope) ** -0.5 if scale is None else scale
        q_size = shape.n_heads * (self.d_nope + self.d_rope)
        if q_rank is None:
            self.q = Linear(shape.d_model, q_size, bias=False)
        else:
            self.q_down = Linear(shape.d_model, q_rank, bias=bias)
            self.q_norm = make_norm(q_rank)
            self.q_up = Linear(q_rank, q_size, bias=False)
        self.q_rank = q_rank
        self.kv_down = Linear(shape.d_model, self.kv_rank + self.d_rope, bias=bias)
        self.kv_norm = make_norm(self.kv_rank)
        self.kv_up = Linear(self.kv_rank, shape.n_heads * (self.d_nope + self.d_value), bias=False)
        self.out = Linear(shape.n_heads * self.d_value, shape.d_model, bias=bias, role="output")

    def _check_sizes(self) -> None:
        if self.d_rope % 2:
            raise UserError(f"attention.d_rope turns in pairs and must be even, got {self.d_rope}")
        if self.d_value > self.d_nope + self.d_rope:
            raise UserError(
                f"attention.d_value may be at most d_nope + d_rope = {self.d_nope + self.d_rope}, got {self.d_value}"
            )

    def forward(
        self, x: Float[Tensor, "batch time d_model"], context: Context, state: State | None = None
    ) -> Float[Tensor, "batch time d_model"]:
        q = self.q(x) if self.q_rank is None else self.q_up(self.q_norm(self.q_down(x)))
        q = q.unflatten(2, (self.n_heads, -1)).transpose(1, 2)  # (B, H, T, d_nope + d_rope)
        q_nope, q_rope = q.split((self.d_nope, self.d_rope), dim=-1)
        latent, k_rope = self.kv_down(x)[:, None].split((self.kv_rank, self.d_rope), dim=-1)  # (B, 1, T, .)
        latent = self.kv_norm(latent)
        if context.encoding.rotate is not None:
            q_rope, k_rope = context.encoding.rotate(q_rope), context.encoding.rotate(k_rope)
        if state is None:
            y = self._expanded(q_nope, q_rope, latent, k_rope, context)
        else:
            remember(state["latent"], torch.cat((latent, k_rope), dim=-1), context.positions)
            y = self._absorbed(q_nope, q_rope, state["latent"][:, :, : context.num_keys], context)
        return self.out(joined(y))

    def _expanded(self, q_nope: Tensor, q_rope: Tensor, latent: Tensor, k_rope: Tensor, context: Context) -> Tensor:
        """k and v of every head; the cheaper way when many queries share them."""
        kv = self.kv_up(latent[:, 0]).unflatten(2, (self.n_heads, -1)).transpose(1, 2)
        k_nope, v = kv.split((self.d_nope, self.d_value), dim=-1)
        q = torch.cat((q_nope, q_rope), dim=-1)
        k = torch.cat((k_nope, k_rope.expand(-1, self.n_heads, -1, -1)), dim=-1)
        return attend(q, k, v, context, scale=self.scale, softcap=self.softcap)

    def _absorbed(self, q_nope: Tensor, q_rope: Tensor, k: Tensor, context: Context) -> Tensor:
        """q_nope W_UK against the latents, one key [c; k_rope] for all heads; then W_UV on their weighted sum."""
        weight = self.kv_up.weight.unflatten(0, (self.n_heads, -1))  # (H, d_nope + d_value, kv_rank)
        w_k, w_v = weight.split((self.d_nope, self.d_value), dim=1)
        q = torch.cat((q_nope @ w_k, q_rope), dim=-1)  # (B, H, T, kv_rank + d_rope)
        y = attend(q, k, k, context, scale=self.scale, softcap=self.softcap)[..., : self.kv_rank]
        return y @ w_v.transpose(1, 2)

    def new_state(self, batch_size: int, max_len: int, like: Tensor) -> State:
        """c and k_rope side by side, the key that decoding attends to: nothing is joined while it does."""
        return {"latent": like.new_zeros(batch_size, 1, max_len, self.kv_rank + self.d_rope)}

    def flops(self, seq_len: int) -> Flops:
        # q k^T over d_nope + d_rope and the weighted sum of d_value, 2 FLOPs each a head and visible key; the
        # kernel computes the full square, with v padded to the size of k
        d_key, keys = self.d_nope + self.d_rope, causal_keys(seq_len)
        attention = 2.0 * self.n_heads * (d_key + self.d_value) * keys
        capping = 3.0 * self.n_heads * keys if self.softcap is not None else 0.0
        d_used = self.d_value if self.softcap is not None else d_key  # the capped path does not pad
        full = 2.0 * self.n_heads * (d_key + d_used) * seq_len
        return Flops(attention=attention, attention_masked=full - attention, activation=capping)

    def decode_flops(self, context: int) -> Flops:
        """Of the core for one more token when `context` are cached: the absorbed form, on the latents themselves.

        Absorbing W_UK into q and W_UV into the output costs as much as `kv_up` does in a full pass, and is
        counted there.
        """
        per_key = 2.0 * self.n_heads * (2 * self.kv_rank + self.d_rope)
        return Flops(attention=per_key * (context + 1))
