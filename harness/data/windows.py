"""Fixed windows for scoring a whole split, and the sums of what was scored, document by document.

Windows follow one another without overlap, so a target early in its window has little context; the
same for every arm, and each target counts once.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from harness.data.dataset import TokenizedData


def evaluation_batches(
    tokens: np.ndarray, seq_len: int, sequences_per_batch: int, device: torch.device | str = "cpu"
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Inputs, targets and target indices, int64 (B, T); a last window that is shorter comes alone, (1, rest).

    Target i is the token at position i + 1: the indices run from 0 to len(tokens) - 2, each once, and
    are where a target's nats belong in the array that `per_document` takes. Indices stay on the CPU.
    """
    assert seq_len > 0, seq_len
    assert sequences_per_batch > 0, sequences_per_batch
    num_targets = max(len(tokens) - 1, 0)
    whole = num_targets // seq_len * seq_len
    per_batch = seq_len * sequences_per_batch
    spans = [(start, min(start + per_batch, whole)) for start in range(0, whole, per_batch)]
    if whole < num_targets:
        spans.append((whole, num_targets))
    for start, end in spans:
        shape = (-1, min(seq_len, end - start))
        span = torch.from_numpy(tokens[start : end + 1].astype(np.int64)).to(device)
        index = torch.arange(start, end)
        yield span[:-1].reshape(shape), span[1:].reshape(shape), index.reshape(shape)


def per_document(nats_per_target: np.ndarray, data: TokenizedData, split: str = "validation") -> np.ndarray:
    """(documents, 3) float64: nats, tokens and bytes of each document's text.

    End-of-text targets are no text and are left out of all three, so that
    bits per byte = nats.sum() / (ln 2 * bytes.sum()).
    """
    tokens, starts = data.tokens(split), data.document_starts[split]
    assert len(nats_per_target) == len(tokens) - 1, (len(nats_per_target), len(tokens))
    num_bytes = data.token_bytes[tokens]
    is_text = num_bytes > 0
    nats = np.zeros(len(tokens))
    nats[1:] = nats_per_target
    columns = (np.where(is_text, nats, 0.0), is_text.astype(np.float64), num_bytes.astype(np.float64))
    sums = np.stack([np.add.reduceat(column, starts) for column in columns], axis=1)
    assert sums[:, 2].sum() == data.num_bytes[split], "the documents' bytes are not the split's"
    return sums
