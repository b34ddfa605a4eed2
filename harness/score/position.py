"""Loss by position in the context: mean nats at each position of the window, over the validation split.

A language model is worst at the first tokens of its window and improves as context comes in. Where the curve
flattens, more context is not used; where it rises past the training length, positions do not extrapolate
(definitions, claim C8).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from harness.data.dataset import TokenizedData
from harness.model.transformer import Transformer
from harness.score.perplexity import TOKENS_PER_BATCH
from variants.errors import UserError

MAX_TOKENS = 65_536
"""Tokens scored, in whole windows spread evenly over the split. Assumption: about 2 s at nano size on one core."""

DECIMALS = 5
"""Of nats in records; their standard errors are hundreds of times larger."""


@dataclass(frozen=True)
class PositionLoss:
    """`nats[t]` is the mean loss of the target that sees t + 1 tokens, `standard_error[t]` its spread over windows.

    None where no window has text at that position, and for the error of a single window.
    """

    context: int  # tokens of a window
    num_windows: int
    nats: tuple[float | None, ...]
    standard_error: tuple[float | None, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "context": self.context,
            "num_windows": self.num_windows,
            "nats": [_rounded(x) for x in self.nats],
            "standard_error": [_rounded(x) for x in self.standard_error],
            "unit": "nats per token",
            "direction": "lower",
        }


def loss_by_position(
    model: Transformer, data: TokenizedData, *, context: int | None = None, max_tokens: int = MAX_TOKENS
) -> PositionLoss | None:
    """The loss at each position of windows of `context` tokens (None: the training length).

    None where the position variant is not defined for that many positions.

    Raises:
        UserError: the validation split is shorter than one window.
    """
    length = context or model.spec.seq_len
    if past_limit(model, length):
        return None
    available = (len(data.validation) - 1) // length
    if available < 1:
        raise UserError(
            f"loss by position needs a validation split of at least {length + 1} tokens, and {data.name!r} has "
            f"{len(data.validation)}; give more text or a smaller --seq-len"
        )
    wanted = min(available, max(1, max_tokens // length))
    windows = np.unique(np.linspace(0, available - 1, wanted).round().astype(np.int64))
    nats = window_nats(model, data.validation, windows * length, length, keep=length)  # (windows, length)
    is_text = text_targets(data)[(windows * length)[:, None] + np.arange(length)]
    return _summary(np.where(is_text, nats, np.nan), length)


def _summary(nats: np.ndarray, length: int) -> PositionLoss:
    """Means and standard errors over the windows (rows); NaN marks targets that are no text."""
    counts = (~np.isnan(nats)).sum(axis=0)
    means = np.nansum(nats, axis=0) / np.maximum(counts, 1)
    squares = np.nansum((nats - means) ** 2, axis=0)
    errors = np.sqrt(squares / np.maximum(counts - 1, 1) / np.maximum(counts, 1))
    return PositionLoss(
        context=length,
        num_windows=len(nats),
        nats=tuple(float(m) if n else None for m, n in zip(means, counts, strict=True)),
        standard_error=tuple(float(e) if n > 1 else None for e, n in zip(errors, counts, strict=True)),
    )


def past_limit(model: Transformer, length: int) -> bool:
    """Whether the position variant is undefined for a text of `length` tokens."""
    return model.position.limit is not None and length > model.position.limit


def text_targets(data: TokenizedData) -> np.ndarray:
    """(targets,) True where target i, the token at i + 1, is text and not end-of-text."""
    return data.token_bytes[data.validation[1:]] > 0


@torch.no_grad()
def window_nats(model: Transformer, tokens: np.ndarray, starts: Sequence[int] | np.ndarray, length: int, keep: int):
    """(windows, keep) float64: nats of the last `keep` targets of windows of `length` inputs beginning at `starts`."""
    device = next(model.parameters()).device
    model.eval()
    starts = np.asarray(starts, dtype=np.int64)
    within = np.arange(length + 1)
    rows = max(1, TOKENS_PER_BATCH // length)
    nats = np.empty((len(starts), keep))
    for i in range(0, len(starts), rows):
        window = torch.from_numpy(tokens[starts[i : i + rows, None] + within].astype(np.int64)).to(device)
        logits = model(window[:, :-1])[:, -keep:].float()
        loss = F.cross_entropy(logits.flatten(0, 1), window[:, -keep:].flatten(), reduction="none")
        nats[i : i + rows] = loss.view(-1, keep).double().cpu().numpy()
    return nats


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DECIMALS)
