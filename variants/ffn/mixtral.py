"""Mixtral's mixture of experts (Jiang et al. 2024, arXiv:2401.04088): the function of `moe`, under its own name."""

from __future__ import annotations

from variants.ffn.moe import MoE
from variants.registry import register


@register("ffn", "mixtral")
class Mixtral(MoE):
    """Mixtral: y = sum over the top_k of w_i FFN_i(x), w = softmax of the top_k logits. Jiang 2024, arXiv:2401.04088.

    The same function, options and defaults as `ffn=moe`: 8 experts, top 2, dropless.
    """
