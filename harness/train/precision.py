"""In which numbers a run is trained: fp32, or the forward in bf16.

With bf16 the products of the forward and their gradients are bf16, by torch.autocast, which leaves to fp32 what needs
it. Weights, AdamW's moments, gradients as they are added up, the gradient's norm, the logits as the loss reads them
and the loss stay fp32. After training the weights are scored in fp32, as those of every run.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from harness.model.cross_entropy import sliced_cross_entropy
from harness.model.transformer import Transformer
from harness.spec.spec import Spec
from harness.train.compiled import TOLERANCE
from variants.errors import UserError

Precision = Literal["fp32", "bf16"]

WHOLE_LOGITS = 2**26
"""Logits, tokens x entries, that are held whole, and of a slice where there are more: 256 MiB in fp32. Larger than in
fp32 (harness/model/cross_entropy.py), for a GPU that many small slices would keep waiting. Assumption."""

BF16_TOLERANCE = 2e-2
"""Largest difference, as a share, of a loss or a gradient that is computed in another order: sums of products of
numbers with 8 bits, 2^-8 each. Assumption."""


class LowPrecisionTransformer(Transformer):
    """The same model with another `loss`; its forward is that of any model, for scores."""

    def loss(self, tokens: Int[Tensor, "batch time"], targets: Int[Tensor, "batch time"]) -> Float[Tensor, ""]:
        """Mean cross-entropy in fp32, nats per token, of logits in bf16, a slice at a time where there are many.

        A slice's gradient is taken at once: the weights that a later backward would read are those of a module, and
        within a stack the runs' are others.
        """
        self.check_length(tokens.shape[1], None)
        positions, cap = torch.arange(tokens.shape[1], device=tokens.device), self.spec.logit_softcap
        with torch.autocast(tokens.device.type, dtype=torch.bfloat16):
            x = self._hidden(tokens, positions, len(positions), None)
            if tokens.numel() * self.spec.vocab_size <= WHOLE_LOGITS:
                return F.cross_entropy(self._logits(x).float().flatten(0, 1), targets.flatten())
        x, weight = x.flatten(0, 1).bfloat16(), self.head.weight.bfloat16()
        return sliced_cross_entropy(x, weight, targets.flatten(), cap, WHOLE_LOGITS)


def make_model(spec: Spec, seed: int, precision: Precision) -> Transformer:
    """The model of a run at its initial values, which do not depend on the precision."""
    return (Transformer if precision == "fp32" else LowPrecisionTransformer)(spec, seed=seed)


def tolerance_of(model: Transformer) -> float:
    """The share of a loss or gradient up to which a difference is rounding."""
    return BF16_TOLERANCE if isinstance(model, LowPrecisionTransformer) else TOLERANCE


def check_precision(precision: Precision, device: torch.device) -> str:
    """What a user should know of training so on this device, "" when nothing.

    Raises:
        UserError: the device cannot.
    """
    if precision == "fp32":
        return ""
    if device.type not in ("cpu", "cuda"):
        raise UserError(f"--precision bf16 needs --device cpu or cuda, got {device.type}; use fp32")
    if has_bf16(device):
        return ""
    return f"{device.type} has no arithmetic in bf16 here and imitates it: slower than fp32 by up to ten times"


def has_bf16(device: torch.device) -> bool:
    """Whether the device multiplies in bf16: a GPU from Ampere on, a CPU with AVX512_BF16 or AMX."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
