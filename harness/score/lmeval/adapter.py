"""Any arm as an lm-eval model: log-likelihoods, rolling log-likelihoods and generation, without a conversion.

Requests are scored in batches of like length, longest first. What is too long for the model is treated as
lm-eval's own `hf` model does, cut from the left, and remembered in `truncated`; a continuation that alone is longer
than the model, where `hf` fails, is scored in pieces and remembered in `split`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from harness.data.tokenizer import Tokenizer
from harness.model.decode import Sampling, stream_batch
from harness.model.transformer import Transformer
from harness.score.lmeval.hf_tokenizer import HuggingFaceTokenizer
from harness.score.perplexity import TOKENS_PER_BATCH

LOGITS_PER_BATCH = 2**26
"""Logits of one forward. Assumption: 256 MB in fp32 fits any device that trains a model of that vocabulary."""

TEXTS_PER_BATCH = 32
"""Texts generated together. Assumption: far from any memory limit at these sizes."""

DEFAULT_NEW_TOKENS = 256
"""lm-eval's `hf` model generates as many when a task does not say."""

TokenRequest = tuple[tuple[str, str] | None, list[int], list[int]]


@dataclass(frozen=True)
class Window:
    """One row of a batch: `targets` are the last of what the inputs predict."""

    request: int
    inputs: list[int]
    targets: list[int]


class HarnessLM(TemplateLM):
    """A `Transformer` and its tokenizer behind lm-eval's model interface. The model is put into evaluation mode.

    Attributes:
        truncated: arguments of requests whose context was cut from the left.
        split: arguments of requests whose continuation was longer than the model and scored in pieces.
        shortened: contexts for which fewer tokens were generated than the task asks, to leave room for the context.
    """

    def __init__(self, model: Transformer, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.model, self.coder = model.eval(), tokenizer
        self._device = next(model.parameters()).device
        self.truncated: set[tuple[Any, ...]] = set()
        self.split: set[tuple[Any, ...]] = set()
        self.shortened: set[str] = set()

    @property
    def eot_token_id(self) -> int:
        return self.coder.end_of_text

    @property
    def prefix_token_id(self) -> int:
        coder = self.coder
        return coder.prefix_token if isinstance(coder, HuggingFaceTokenizer) else coder.end_of_text

    @property
    def max_length(self) -> int:
        """Tokens the model was trained on, or fewer where its positions end earlier."""
        limit = self.model.position.limit
        return self.model.spec.seq_len if limit is None else min(limit, self.model.spec.seq_len)

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **kwargs: Any) -> list[int]:
        coder = self.coder
        if (
            isinstance(coder, HuggingFaceTokenizer)
            and add_special_tokens is not False
            and not coder.begins_text(string)
        ):
            return coder.encode_with_special(string).tolist()
        return coder.encode(string).tolist()

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = True) -> list[tuple[float, bool]]:
        return super().loglikelihood(requests, disable_tqdm=True)

    def _loglikelihood_tokens(
        self, requests: Sequence[TokenRequest], disable_tqdm: bool = True, **kwargs: Any
    ) -> list[tuple[float, bool]]:
        windows = [window for i, request in enumerate(requests) for window in self._windows(i, request)]
        windows.sort(key=lambda window: -len(window.inputs))
        # nothing to score: BPE has merged the continuation into the context. Not a certainty, so not 0
        totals = [0.0 if continuation else float("nan") for _, _, continuation in requests]
        greedy = [bool(continuation) for _, _, continuation in requests]
        for batch in self._batches(windows):
            for window, (nats, is_greedy) in zip(batch, self._score(batch), strict=True):
                totals[window.request] += nats
                greedy[window.request] &= is_greedy
        return list(zip(totals, greedy, strict=True))

    def _windows(self, index: int, request: TokenRequest) -> Iterator[Window]:
        """One window, or several of half the model's length for a continuation that is longer than the model."""
        arguments, context, continuation = request
        context = context or [self.prefix_token_id]
        tokens, n = [*context, *continuation], self.max_length
        piece = max(1, len(continuation))
        if len(continuation) > n:
            piece = max(1, n // 2)
            self.split.add(arguments or ())
        elif len(tokens) > n + 1:
            self.truncated.add(arguments or ())
        for start in range(len(context), len(tokens), piece):
            end = min(start + piece, len(tokens))
            yield Window(index, tokens[max(0, end - 1 - n) : end - 1], tokens[start:end])

    def _batches(self, windows: Sequence[Window]) -> Iterator[list[Window]]:
        """Consecutive windows, the first of each batch the longest."""
        tokens = max(1, min(TOKENS_PER_BATCH, LOGITS_PER_BATCH // self.model.spec.vocab_size))
        start = 0
        while start < len(windows):
            rows = max(1, tokens // len(windows[start].inputs))
            yield list(windows[start : start + rows])
            start += rows

    @torch.no_grad()
    def _score(self, batch: Sequence[Window]) -> Iterable[tuple[float, bool]]:
        """Log-likelihood of each window's targets, and whether each target is the likeliest token."""
        inputs = torch.zeros(len(batch), len(batch[0].inputs), dtype=torch.int64)  # (B, T), padded on the right
        targets, scored = torch.zeros_like(inputs), torch.zeros_like(inputs, dtype=torch.bool)
        for row, window in enumerate(batch):
            end = len(window.inputs)
            inputs[row, :end] = torch.tensor(window.inputs)
            targets[row, end - len(window.targets) : end] = torch.tensor(window.targets)
            scored[row, end - len(window.targets) : end] = True
        targets, scored = targets.to(self._device), scored.to(self._device)
        log_p = self.model(inputs.to(self._device)).float().log_softmax(-1)  # (B, T, V)
        nats = log_p.gather(-1, targets[..., None])[..., 0]
        # float64: the sum of as many equal terms is equal, whatever the padding, so ties stay ties
        totals = torch.where(scored, nats, 0.0).double().sum(1)
        greedy = ((log_p.argmax(-1) == targets) | ~scored).all(1) & totals.isfinite()
        return zip(totals.tolist(), greedy.tolist(), strict=True)

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = True) -> list[float]:
        """Log-likelihood of whole texts in disjoint windows of `max_length`, lm-eval's own."""
        pieces: list[TokenRequest] = []
        owners = []
        for owner, request in enumerate(requests):
            tokens = self.tok_encode(request.args[0])
            rolling = get_rolling_token_windows(tokens, self.prefix_token_id, self.max_length, context_len=1)
            for window in rolling:
                context, continuation = make_disjoint_window(window)
                pieces.append((None, context, continuation))
                owners.append(owner)
        totals = [0.0] * len(requests)
        for owner, (nats, _) in zip(owners, self._loglikelihood_tokens(pieces), strict=True):
            totals[owner] += nats
        return totals

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = True) -> list[str]:
        """Text after each context up to the first stop string, end-of-text or the task's number of tokens."""
        alike: dict[tuple[int, tuple[str, ...], Sampling], list[tuple[int, list[int]]]] = defaultdict(list)
        for i, request in enumerate(requests):
            context, kwargs = cast("tuple[str, dict[str, Any]]", request.args)
            new = self._new_tokens(context, kwargs)
            prompt = self._prompt(context, self.max_length - new)
            alike[new, _stops(kwargs), _sampling(kwargs)].append((i, prompt))
        texts = [""] * len(requests)
        for (new, stops, sampling), prompts in alike.items():
            prompts.sort(key=lambda pair: len(pair[1]))  # prompts of like length go together best
            for start in range(0, len(prompts), TEXTS_PER_BATCH):
                batch = prompts[start : start + TEXTS_PER_BATCH]
                written = self._generate([prompt for _, prompt in batch], new, stops, sampling)
                for (i, _), text in zip(batch, written, strict=True):
                    texts[i] = text
        return texts

    def _new_tokens(self, context: str, kwargs: dict[str, Any]) -> int:
        """Tokens to generate; at most half the model's length, where `hf` fails when no room is left."""
        names = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")  # lm-eval's precedence
        wanted = next((int(kwargs[name]) for name in names if kwargs.get(name) is not None), DEFAULT_NEW_TOKENS)
        room = max(1, self.max_length // 2)
        if wanted > room:
            self.shortened.add(context)
        return min(wanted, room)

    def _prompt(self, context: str, room: int) -> list[int]:
        tokens = self.tok_encode(context) or [self.prefix_token_id]
        if len(tokens) > room:
            self.truncated.add((context,))
        return tokens[-room:]

    def _generate(self, prompts: list[list[int]], new: int, stops: tuple[str, ...], sampling: Sampling) -> list[str]:
        ids: list[list[int]] = [[] for _ in prompts]
        texts = [""] * len(prompts)
        stopped = [False] * len(prompts)
        for tokens in stream_batch(self.model, prompts, new, sampling, self.eot_token_id):
            for row, token in enumerate(tokens):
                if token is not None and not stopped[row]:
                    ids[row].append(token)
                    texts[row] = self.coder.decode(torch.tensor(ids[row]).numpy())
                    stopped[row] = any(stop in texts[row] for stop in stops)
            if all(stopped):
                break
        return [_cut(text, stops) for text in texts]


def _stops(kwargs: dict[str, Any]) -> tuple[str, ...]:
    until = kwargs.get("until") or []
    return tuple(stop for stop in ([until] if isinstance(until, str) else until) if stop)


def _sampling(kwargs: dict[str, Any]) -> Sampling:
    """Greedy unless the task asks to sample; the seed is fixed, so a score repeats."""
    temperature = float(kwargs.get("temperature") or 0.0)
    if kwargs.get("do_sample") is False or temperature == 0:
        return Sampling(temperature=0.0)
    return Sampling(temperature=temperature, top_k=kwargs.get("top_k"), top_p=kwargs.get("top_p"))


def _cut(text: str, stops: Iterable[str]) -> str:
    for stop in stops:
        text = text.split(stop)[0]
    return text
