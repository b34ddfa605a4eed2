"""GPT-J's layers, as the installed transformers wants them called."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def gptj_positions(config: Any, rows: Tensor, dtype: torch.dtype) -> dict[str, Any]:
    """How a GPT-J attention is told its positions: as angles since transformers 5.24, before that as numbers."""
    from transformers.models.gptj import modeling_gptj

    if not hasattr(modeling_gptj, "GPTJRotaryEmbedding"):
        return {"position_ids": rows}
    return {"position_embeddings": modeling_gptj.GPTJRotaryEmbedding(config)(torch.zeros(1, dtype=dtype), rows)}
