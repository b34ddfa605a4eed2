"""Validation loss: nats per token, nats and bits per byte, perplexity, over a whole split in fixed windows.

End-of-text targets carry no text and are left out, so that bits per byte = nats / (ln 2 x bytes of text) means
the same for every tokenizer. Windows do not overlap: the first tokens of each have little context (the
early-token curse), equally for every arm.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from harness.data.dataset import TokenizedData
from harness.data.windows import evaluation_batches, per_document
from harness.model.transformer import Transformer

TOKENS_PER_BATCH = 8192
"""Tokens in one evaluation forward. Assumption: fits any device that trains the model."""


@dataclass(frozen=True)
class ValidationLoss:
    """`documents` (num_documents, 3) holds nats, tokens and bytes of each validation document."""

    documents: np.ndarray

    @property
    def scores(self) -> dict[str, float]:
        nats, tokens, num_bytes = self.documents.sum(axis=0)
        return {
            "nats_per_token": float(nats / tokens),
            "nats_per_byte": float(nats / num_bytes),
            "bits_per_byte": float(nats / (math.log(2) * num_bytes)),
            "perplexity": float(np.exp(nats / tokens)),
        }


@torch.no_grad()
def validation_loss(model: Transformer, data: TokenizedData) -> ValidationLoss:
    """The loss of `model` on every validation token but the first, summed by document."""
    device = next(model.parameters()).device
    seq_len = model.spec.seq_len
    nats = np.zeros(len(data.validation) - 1)
    model.eval()
    for inputs, targets, index in evaluation_batches(data.validation, seq_len, max(1, TOKENS_PER_BATCH // seq_len)):
        logits = model(inputs.to(device))
        loss = F.cross_entropy(logits.flatten(0, 1).float(), targets.to(device).flatten(), reduction="none")
        nats[index.flatten().numpy()] = loss.double().cpu().numpy()
    return ValidationLoss(per_document(nats, data))
