"""torch's fused attention, of one model and of many models as one program."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def fused(
    q: Float[Tensor, "batch heads time d_head"],
    k: Float[Tensor, "batch kv_heads keys d_head"],
    v: Float[Tensor, "batch kv_heads keys d_head"],
    mask: Tensor | None,
    causal: bool,
    scale: float,
) -> Float[Tensor, "batch heads time d_head"]:
    """`scaled_dot_product_attention`, where fewer heads of keys than of queries are shared in groups."""
    under_vmap = torch._C._functorch.is_batchedtensor(q)  # pyright: ignore[reportAttributeAccessIssue] # no public way
    if under_vmap:
        return _OfManyModels.apply(q, k, v, mask, causal, scale)  # pyright: ignore[reportReturnType]
    return F.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, is_causal=causal, scale=scale, enable_gqa=k.shape[1] != q.shape[1]
    )


class _OfManyModels(torch.autograd.Function):
    """What `torch.func.vmap` does with it: the models' sequences become one batch.

    Left to itself vmap runs a CPU's kernel model after model, and a GPU's without what its backward needs (torch 2.11:
    "LSE is not correctly aligned"). The gradient is that of the kernel, which vmap leaves to autograd.
    """

    @staticmethod
    def forward(*arguments: Any) -> Tensor:
        raise NotImplementedError("called under vmap alone")

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        raise NotImplementedError("called under vmap alone")

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *arguments: Any) -> tuple[Tensor, int]:
        models = info.batch_size
        q, k, v = (_as_one_batch(x, dim, models) for x, dim in zip(arguments[:3], in_dims, strict=False))
        mask, batch = arguments[3], len(q) // models
        if in_dims[3] is not None:  # each model's own, of one sequence or of every one
            mask = mask.movedim(in_dims[3], 0).expand(models, batch, *mask.shape[-3:]).flatten(0, 1)
        return fused(q, k, v, mask, *arguments[4:]).unflatten(0, (models, batch)), 0


def _as_one_batch(x: Tensor, dim: int | None, models: int) -> Tensor:
    """(models x batch, ...); what all models have in common is repeated."""
    return (x.expand(models, *x.shape) if dim is None else x.movedim(dim, 0)).flatten(0, 1)
