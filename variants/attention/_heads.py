"""Softmax attention over heads, the part that mha and its relatives share.

A = softmax(q k^T / sqrt(d_head) + bias + causal mask) v. Vaswani et al. 2017, arXiv:1706.03762.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from variants.errors import UserError
from variants.slots import Context, Flops, Linear, MakeNorm, Shape, State, causal_keys, visible


def attend(
    q: Float[Tensor, "batch heads time d_head"],
    k: Float[Tensor, "batch kv_heads keys d_head"],
    v: Float[Tensor, "batch kv_heads keys d_value"],
    context: Context,
    *,
    window: int | None = None,
) -> Float[Tensor, "batch heads time d_value"]:
    """Causal attention through torch's fused kernel; a query head uses kv head floor(head * kv_heads / heads)."""
    time = q.shape[2]
    bias = context.encoding.bias
    grouped = k.shape[1] != q.shape[1]
    windowed = window is not None and window < context.num_keys
    if bias is None and not windowed and time == context.num_keys and context.positions.ndim == 1:
        return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=grouped)
    mask = visible(context.positions, context.num_keys, window)
    if mask.ndim == 3:
        mask = mask[:, None]  # (B, 1, T, K)
    if bias is not None:
        mask = bias.to(q.dtype).masked_fill(~mask, -torch.inf)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=grouped)


def remember(cache: Tensor, new: Tensor, positions: Tensor) -> None:
    """Write the keys or values (batch, heads, time, d) of `positions` into a cache, in place."""
    if positions.ndim == 1:
        cache.index_copy_(2, positions, new)
    else:
        index = positions[:, None, :, None].expand(-1, new.shape[1], -1, new.shape[3])
        cache.scatter_(2, index, new)


class HeadAttention(nn.Module):
    """Queries in `n_heads` heads, keys and values in `n_kv_heads`, an optional window and QK-norm.

    qk_norm "head" normalises q and k over d_head with one gain for all heads (Qwen3); "full" over
    all heads together (OLMo 2); both before the rotation.
    """

    def __init__(
        self,
        shape: Shape,
        make_norm: MakeNorm,
        *,
        n_kv_heads: int,
        window: int | None = None,
        qk_norm: Literal["none", "head", "full"] = "none",
    ) -> None:
        super().__init__()
        if n_kv_heads < 1 or shape.n_heads % n_kv_heads:
            raise UserError(f"attention.n_kv_heads must divide n_heads = {shape.n_heads}, got {n_kv_heads}")
        if window is not None and window < 1:
            raise UserError(f"attention.window must be at least 1 key, got {window}")
        self.n_heads, self.n_kv_heads, self.d_head = shape.n_heads, n_kv_heads, shape.d_head
        self.window = window
        q_size, kv_size = shape.n_heads * shape.d_head, n_kv_heads * shape.d_head
        self.q = Linear(shape.d_model, q_size, bias=shape.bias)
        self.k = Linear(shape.d_model, kv_size, bias=shape.bias)
        self.v = Linear(shape.d_model, kv_size, bias=shape.bias)
        self.out = Linear(q_size, shape.d_model, bias=shape.bias, role="output")
        self.qk_norm = qk_norm
        if qk_norm == "head":
            self.q_norm, self.k_norm = make_norm(shape.d_head), make_norm(shape.d_head)
        elif qk_norm == "full":
            self.q_norm, self.k_norm = make_norm(q_size), make_norm(kv_size)

    def forward(
        self, x: Float[Tensor, "batch time d_model"], context: Context, state: State | None = None
    ) -> Float[Tensor, "batch time d_model"]:
        q, k, v = self.q(x), self.k(x), self.v(x)
        if self.qk_norm == "full":
            q, k = self.q_norm(q), self.k_norm(k)
        q, k, v = self._split(q, self.n_heads), self._split(k, self.n_kv_heads), self._split(v, self.n_kv_heads)
        if self.qk_norm == "head":
            q, k = self.q_norm(q), self.k_norm(k)
        if context.encoding.rotate is not None:
            q, k = context.encoding.rotate(q), context.encoding.rotate(k)
        if state is not None:
            remember(state["k"], k, context.positions)
            remember(state["v"], v, context.positions)
            k, v = state["k"][:, :, : context.num_keys], state["v"][:, :, : context.num_keys]
        y = attend(q, k, v, context, window=self.window)  # (B, H, T, d_head)
        return self.out(y.transpose(1, 2).flatten(2))

    def _split(self, x: Tensor, heads: int) -> Tensor:
        return x.unflatten(2, (heads, self.d_head)).transpose(1, 2)  # (B, heads, T, d_head)

    def new_state(self, batch_size: int, max_len: int, like: Tensor) -> State:
        size = (batch_size, self.n_kv_heads, max_len, self.d_head)
        return {"k": like.new_zeros(size), "v": like.new_zeros(size)}

    def flops(self, seq_len: int) -> Flops:
        # q k^T and the weighted sum of v: 2 multiply-adds of d_head a head and visible key
        per_key = 4.0 * self.n_heads * self.d_head
        keys = causal_keys(seq_len, self.window)
        return Flops(attention=per_key * keys, attention_masked=per_key * (seq_len - keys))
