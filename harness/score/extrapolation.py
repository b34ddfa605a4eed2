"""Length extrapolation: the same target tokens scored with shorter and longer contexts than the model was trained on.

Two ways of cutting a text into windows of L inputs (Press et al. 2022, arXiv:2108.12409, appendix B):

- non-overlapping: each window predicts all its L targets, so a target sees L/2 tokens on average. A longer window
  gains because fewer targets stand near its beginning (the early-token curse), whatever the positions do;
- sliding: windows advance by a stride and only the last `stride` targets of each count, so every target sees nearly L.

Every length scores the same targets, blocks of the training length spread over the whole split, so a difference
between two lengths is the context's doing. Past a position variant's `limit` the loss is None, never guessed.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from harness.data.dataset import TokenizedData
from harness.model.transformer import Transformer
from harness.score.position import DECIMALS, past_limit, text_targets, window_nats
from variants.errors import UserError

RATIOS = (0.25, 0.5, 1.0, 1.25, 1.5, 2.0, 4.0, 8.0)
"""Context over training length. ALiBi's table 2 has the like of 1 to 7; definitions, claim C8."""

MAX_TARGETS = 4096
"""Target tokens. Measured: 3 to 6 s at nano size on one core; the standard error is then about 0.05 nats, and that of
a difference between two lengths, which share the targets, several times less."""

SEED = 0
"""Of the choice of blocks: part of the score's definition, so all arms and seeds are scored on the same tokens."""

Mode = Literal["sliding", "non-overlapping"]
MODES: tuple[Mode, ...] = ("sliding", "non-overlapping")


@dataclass(frozen=True)
class LengthPoint:
    """The loss with one context. `block_nats` sums the nats of each block of targets, the same blocks at every length;
    None with the `reason` where the model is not defined or the text does not reach.
    """

    ratio: float
    context: int  # tokens
    mode: Mode
    nats_per_token: float | None
    standard_error: float | None  # over blocks
    block_nats: tuple[float, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class Extrapolation:
    """One point a context and mode. `block_tokens` counts the text tokens of each block of targets."""

    train_context: int
    num_targets: int
    block_tokens: tuple[int, ...]
    points: tuple[LengthPoint, ...]

    def at(self, ratio: float, mode: Mode = "sliding") -> LengthPoint:
        return next(p for p in self.points if p.ratio == ratio and p.mode == mode)

    def growth(self, ratio: float, mode: Mode = "sliding") -> tuple[float, float | None] | None:
        """Nats per token gained or lost against the training length, and its standard error over the shared blocks.

        exp of it is the perplexity ratio ppl(ratio T0) / ppl(T0). None where either is not known.
        """
        here, trained = self.at(ratio, mode), self.at(1.0, mode)
        if here.nats_per_token is None or trained.nats_per_token is None:
            return None
        return ratio_and_error(np.subtract(here.block_nats, trained.block_nats), np.array(self.block_tokens))

    @property
    def scores(self) -> dict[str, float | None]:
        """Flat values for a run's record, `nats_per_token_sliding_2x` and so on."""
        return {f"nats_per_token_{p.mode.replace('-', '_')}_{p.ratio:g}x": p.nats_per_token for p in self.points}

    def to_json(self) -> dict[str, Any]:
        return {
            "train_context": self.train_context,
            "num_targets": self.num_targets,
            "block_tokens": list(self.block_tokens),
            "unit": "nats per token",
            "direction": "lower",
            "points": [_point_json(p, self.growth(p.ratio, p.mode)) for p in self.points],
        }


def extrapolation(model: Transformer, data: TokenizedData, *, max_targets: int = MAX_TARGETS) -> Extrapolation:
    """Loss on the same validation tokens at every context of `RATIOS`, sliding and non-overlapping.

    Raises:
        UserError: the validation split is shorter than two training windows.
    """
    train = model.spec.seq_len
    starts, longest = target_blocks(len(data.validation) - 1, train, max_targets, data.name)
    is_text = text_targets(data)[starts[:, None] + np.arange(train)]  # (blocks, train)
    block_tokens = is_text.sum(axis=1)
    points = []
    for mode in MODES:
        for ratio in RATIOS:
            context = context_of(ratio, train)
            reason = _refusal(model, context, longest, data.name)
            if reason:
                points.append(LengthPoint(ratio, context, mode, None, None, reason=reason))
                continue
            nats = target_nats(model, data.validation, starts, context, mode)
            blocks = np.where(is_text, nats, 0.0).sum(axis=1)
            mean, error = ratio_and_error(blocks, block_tokens)
            points.append(LengthPoint(ratio, context, mode, mean, error, tuple(blocks.tolist())))
    return Extrapolation(train, is_text.size, tuple(block_tokens.tolist()), tuple(points))


def context_of(ratio: float, train: int) -> int:
    return max(1, round(ratio * train))


def target_blocks(num_targets: int, train: int, max_targets: int, name: str) -> tuple[np.ndarray, int]:
    """Where the shared blocks of `train` targets begin, and the longest context that the split has room for.

    Each block has that context before it, and lies in whole windows of every length. One block is drawn from each of
    equal strata; evenly spaced ones would all stand at one place of the long windows.
    """
    contexts = [context_of(ratio, train) for ratio in RATIOS]
    for longest in sorted((c for c in contexts if c >= train), reverse=True):
        starts = np.arange(math.ceil(longest / train) * train, num_targets - train + 1, train)
        for context in (c for c in contexts if c <= longest):
            ends = ((starts + train - 1) // context + 1) * context  # of the last window that a block reaches into
            starts = starts[ends <= num_targets]
        if len(starts) > (longest > train):  # a context beyond the training length should have an error too
            return _one_of_each_stratum(starts, max(1, max_targets // train)), longest
    raise UserError(
        f"length extrapolation needs a validation split of at least {2 * train + 1} tokens (two windows of "
        f"--seq-len {train}), and {name!r} has {num_targets + 1}; give more text or a smaller --seq-len"
    )


def _one_of_each_stratum(starts: np.ndarray, wanted: int) -> np.ndarray:
    if len(starts) <= wanted:
        return starts
    rng = random.Random(SEED)
    return np.array([stratum[rng.randrange(len(stratum))] for stratum in np.array_split(starts, wanted)])


def target_nats(model: Transformer, tokens: np.ndarray, starts: np.ndarray, context: int, mode: Mode) -> np.ndarray:
    """(blocks, train) nats of the blocks of targets that begin at `starts`, from windows of `context` inputs."""
    cut = _sliding if mode == "sliding" else _non_overlapping
    return cut(model, tokens, starts, context)


def _non_overlapping(model: Transformer, tokens: np.ndarray, starts: np.ndarray, context: int) -> np.ndarray:
    """The windows of the whole split laid end to end from its beginning; only those that blocks lie in are scored."""
    positions = starts[:, None] + np.arange(model.spec.seq_len)
    windows = np.unique(positions // context)
    nats = window_nats(model, tokens, windows * context, context, keep=context)
    return nats[np.searchsorted(windows, positions // context), positions % context]


def _sliding(model: Transformer, tokens: np.ndarray, starts: np.ndarray, context: int) -> np.ndarray:
    """Advances by a quarter of the training length, or half the context where that is less."""
    train = model.spec.seq_len
    stride = max(1, min(train // 4, context // 2))
    before = context - stride  # inputs of a window ahead of those whose targets count
    whole = train // stride * stride
    firsts = starts[:, None] + np.arange(0, whole, stride) - before
    nats = window_nats(model, tokens, firsts.ravel(), context, stride).reshape(len(starts), whole)
    if whole == train:
        return nats
    rest = train - whole
    last = window_nats(model, tokens, starts + whole - before, before + rest, rest)
    return np.concatenate([nats, last], axis=1)


def ratio_and_error(nats: np.ndarray, tokens: np.ndarray) -> tuple[float, float | None]:
    """Sum of nats over sum of tokens, with the standard error of a ratio over blocks:

    sqrt(B/(B-1) sum (nats_b - r tokens_b)^2) / sum tokens (Cochran 1977, Sampling Techniques, section 6.3).
    """
    total, n = tokens.sum(), len(tokens)
    ratio = float(nats.sum() / total)
    if n < 2:
        return ratio, None
    return ratio, float(np.sqrt(n / (n - 1) * ((nats - ratio * tokens) ** 2).sum()) / total)


def _refusal(model: Transformer, context: int, longest: int, name: str) -> str:
    """Why a context cannot be scored; empty when it can."""
    if past_limit(model, context):
        return f"position={model.spec.position.variant} is defined for {model.position.limit} positions"
    if context > longest:
        return f"the validation split of {name!r} is too short for a context of {context}"
    return ""


def _point_json(point: LengthPoint, growth: tuple[float, float | None] | None) -> dict[str, Any]:
    return {
        "ratio": point.ratio,
        "context": point.context,
        "mode": point.mode,
        "nats_per_token": point.nats_per_token,
        "standard_error": point.standard_error,
        "growth": None if growth is None else growth[0],
        "growth_standard_error": None if growth is None else growth[1],
        "block_nats": [round(x, DECIMALS) for x in point.block_nats],
        "reason": point.reason,
    }
