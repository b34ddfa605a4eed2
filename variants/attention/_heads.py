"""Softmax attention over heads, the part that mha and its relatives share.

A = softmax(scale q k^T + bias + causal mask) v, scale = 1 / sqrt(d_head). Vaswani et al. 2017, arXiv:1706.03762.
"""

from __future__ import annotations

import math
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from variants.attention._fused import fused
from variants.errors import UserError
from variants.slots import Context, Flops, Linear, MakeNorm, Shape, State, causal_keys, visible

QKNorm = Literal["none", "head", "full"]


def attend(
    q: Float[Tensor, "batch heads time d_head"],
    k: Float[Tensor, "batch kv_heads keys d_head"],
    v: Float[Tensor, "batch kv_heads keys d_value"],
    context: Context,
    *,
    window: int | None = None,
    scale: float | None = None,
    softcap: float | None = None,
) -> Float[Tensor, "batch heads time d_value"]:
    """Causal attention; a query head uses kv head floor(head * kv_heads / heads).

    It runs through torch's fused kernel, which has no place for a soft cap: that is computed step by
    step. d_value may not exceed d_head; smaller ones are padded, because the fast kernels take one
    size (measured on a CPU: 4 times faster than unpadded). scale None is 1 / sqrt(d_head).
    """
    d_head, d_value = q.shape[-1], v.shape[-1]
    assert d_value <= d_head, (d_value, d_head)
    scale = 1 / math.sqrt(d_head) if scale is None else scale
    if softcap is not None:
        return _attend_capped(q, k, v, context, window, scale, softcap)
    v = F.pad(v, (0, d_head - d_value)) if d_value < d_head else v
    windowed = window is not None and window < context.num_keys
    whole = q.shape[2] == context.num_keys and context.positions.ndim == 1
    causal = whole and not windowed and context.encoding.bias is None
    mask = None if causal else mask_of(context, q.dtype, window)
    y = fused(q, k, v, mask, causal, scale)
    return y[..., :d_value] if d_value < d_head else y


def mask_of(context: Context, dtype: torch.dtype, window: int | None) -> Tensor:
    """What SDPA calls the mask: True where a key is seen, or the position's bias there, or 0, and -inf elsewhere."""
    mask = visible(context.positions, context.num_keys, window)
    if mask.ndim == 3:
        mask = mask[:, None]  # (B, 1, T, K)
    bias = context.encoding.bias
    if bias is None:  # for one query SDPA would turn the booleans into numbers again in every layer
        return mask if mask.shape[-2] > 1 else torch.where(mask, 0.0, -torch.inf).to(dtype)
    mask = torch.where(mask, bias.to(dtype), -torch.inf)
    return mask if mask.ndim == 4 else mask[None]  # SDPA's fast path on a CPU wants four dimensions


def _attend_capped(
    q: Tensor, k: Tensor, v: Tensor, context: Context, window: int | None, scale: float, softcap: float
) -> Tensor:
    """softmax(cap tanh(scale q k^T / cap) + bias) v: the cap is on the scores alone. Gemma 2, arXiv:2408.00118."""
    groups = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(groups, dim=1), v.repeat_interleave(groups, dim=1)
    scores = softcap * torch.tanh(q @ k.transpose(-1, -2) * (scale / softcap))  # (B, H, T, K)
    mask = mask_of(context, scores.dtype, window)
    scores = scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask
    weights = scores.softmax(dim=-1, dtype=torch.promote_types(scores.dtype, torch.float32))
    return weights.to(v.dtype) @ v


def remember(cache: Tensor, new: Tensor, positions: Tensor) -> None:
    """Write the keys or values (batch, heads, time, d) of `positions` into a cache, in place."""
    if positions.ndim == 1:
        cache.index_copy_(2, positions, new)
    else:
        index = positions[:, None, :, None].expand(-1, new.shape[1], -1, new.shape[3])
        cache.scatter_(2, index, new)


def joined(y: Float[Tensor, "batch heads time d_head"]) -> Float[Tensor, "batch time width"]:
    """Heads side by side, as the output projection reads them."""
    return y.reshape(len(y), 1, -1) if y.shape[2] == 1 else y.transpose(1, 2).flatten(2)


def check_positive(**options: float | None) -> None:
    """Raises `UserError` for an option of attention that is set and not above 0."""
    for name, value in options.items():
        if value is not None and value <= 0:
            raise UserError(f"attention.{name} must be positive, got {value}")


class HeadAttention(nn.Module):
    """Queries in `n_heads` heads, keys and values in `n_kv_heads`, an optional window and QK-norm.

    n_heads * d_head need not be d_model.

    Args:
        n_kv_heads: heads of keys and values; each serves n_heads / n_kv_heads query heads.
        window: how many keys a query sees, itself included; None is all of them.
        qk_norm: a norm of q and k before the rotation. head, over d_head with one gain for all heads
            (Qwen3); full, over all heads together (OLMo 2).
        bias: biases on the four projections; None is the model's.
        softcap: scores s become softcap tanh(s / softcap); None is no cap.
        scale: what scores are multiplied by; None is 1 / sqrt(d_head).
    """

    def __init__(
        self,
        shape: Shape,
        make_norm: MakeNorm,
        *,
        n_kv_heads: int,
        window: int | None = None,
        qk_norm: QKNorm = "none",
        bias: bool | None = None,
        softcap: float | None = None,
        scale: float | None = None,
    ) -> None:
        super().__init__()
        if n_kv_heads < 1 or shape.n_heads % n_kv_heads:
            raise UserError(
                f"attention.n_kv_heads must divide n_heads = {shape.n_heads}, got {n_kv_heads}; change it or --heads"
            )
        check_positive(window=window, softcap=softcap, scale=scale)
        bias = shape.bias if bias is None else bias
        self.n_heads, self.n_kv_heads, self.d_head = shape.n_heads, n_kv_heads, shape.d_head
        self.window, self.softcap, self.scale, self.qk_norm = window, softcap, scale, qk_norm
        q_size, kv_size = shape.n_heads * shape.d_head, n_kv_heads * shape.d_head
        self.q = Linear(shape.d_model, q_size, bias=bias)
        self.k = Linear(shape.d_model, kv_size, bias=bias)
        self.v = Linear(shape.d_model, kv_size, bias=bias)
        self.out = Linear(q_size, shape.d_model, bias=bias, role="output")
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
        y = attend(q, k, v, context, window=self.window, scale=self.scale, softcap=self.softcap)  # (B, H, T, d_head)
        return self.out(joined(y))

    def _split(self, x: Tensor, heads: int) -> Tensor:
        batch_size, time = x.shape[:2]
        if time == 1:  # nothing changes places
            return x.view(batch_size, heads, 1, self.d_head)
        return x.view(batch_size, time, heads, self.d_head).transpose(1, 2)  # (B, heads, T, d_head)

    def new_state(self, batch_size: int, max_len: int, like: Tensor) -> State:
        size = (batch_size, self.n_kv_heads, max_len, self.d_head)
        return {"k": like.new_zeros(size), "v": like.new_zeros(size)}

    def flops(self, seq_len: int) -> Flops:
        # q k^T and the weighted sum of v: 2 multiply-adds of d_head a head and visible key
        per_key = 4.0 * self.n_heads * self.d_head
        keys = causal_keys(seq_len, self.window)
        capping = 3.0 * self.n_heads * keys if self.softcap is not None else 0.0  # divide, tanh, multiply
        scores = Flops(attention=per_key * keys, attention_masked=per_key * (seq_len - keys), activation=capping)
        if self.qk_norm != "head":
            return scores
        # a norm counts itself once a token; here it is called once a head
        q_norm, k_norm = (cast("Any", norm).flops(seq_len) for norm in (self.q_norm, self.k_norm))
        return scores + q_norm * (self.n_heads - 1) + k_norm * (self.n_kv_heads - 1)
