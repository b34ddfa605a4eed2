"""Statistics of low-precision input are taken in fp32, for the norms that torch has no kernel for."""

from __future__ import annotations

import torch
from torch import Tensor


def widen(x: Tensor) -> Tensor:
    """`x` in fp32 when its dtype is narrower (bf16, fp16), otherwise as it is."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
