"""Generation with the cached model: greedy, or drawn with a temperature, top-k and top-p, from a seed.

Several prompts go through the model together. The state counts one length for all of them, so the prompts stand
left-aligned: what they have in common in length is read in one pass, and from there every pass is one token of
each text, the next of its prompt where it has one, else the one just drawn. So no text sees padding, and each gets
what it would get alone, up to the rounding of a larger matrix product. Prompts of like length go together best.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from harness.model.replay import Step
from harness.model.transformer import Transformer
from variants.errors import UserError


@dataclass(frozen=True)
class Sampling:
    """How a token is drawn from the logits: divided by `temperature`, cut to `top_k`, then to `top_p`.

    `temperature` 0 is greedy: the likeliest token, the lowest id of several. `top_p` keeps the smallest set of
    likeliest tokens whose probability, of what top_k left, reaches it (Holtzman et al. 2020, arXiv:1904.09751).
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < float("inf"):
            raise UserError(f"temperature must be 0 (greedy) or more, got {self.temperature}")
        if self.top_k is not None and self.top_k < 1:
            raise UserError(f"top_k must be at least 1 token, got {self.top_k}; leave it out to keep all")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise UserError(f"top_p must lie in (0, 1], got {self.top_p}; leave it out to keep all")


GREEDY = Sampling(temperature=0.0)

PAYS = 16
"""Steps from which a recorded step pays. Measured at 2x48 and 4x96, batch 1 and 16, on a CPU: recording takes as long
as 12 to 16 replayed steps save."""


def generate(
    model: Transformer,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    sampling: Sampling = GREEDY,
    stop_id: int | None = None,
) -> list[list[int]]:
    """What the model writes after each prompt: at most `max_new_tokens`, ending before `stop_id`.

    Raises:
        UserError: a prompt is empty, or a text would be longer than the model is defined for.
    """
    texts: list[list[int]] = [[] for _ in prompts]
    for new in stream_batch(model, prompts, max_new_tokens, sampling, stop_id):
        for text, token in zip(texts, new, strict=True):
            if token is not None:
                text.append(token)
    return texts


def stream(
    model: Transformer,
    prompt: Sequence[int],
    max_new_tokens: int,
    sampling: Sampling = GREEDY,
    stop_id: int | None = None,
) -> Iterator[int]:
    """`generate` for one prompt, token by token. Raises what it raises."""
    for (token,) in stream_batch(model, [prompt], max_new_tokens, sampling, stop_id):
        assert token is not None
        yield token


def stream_batch(
    model: Transformer,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    sampling: Sampling = GREEDY,
    stop_id: int | None = None,
) -> Iterator[list[int | None]]:
    """After each pass the new token of every text, None where its prompt is still read or it has ended."""
    check_lengths(model, prompts, max_new_tokens)
    if not prompts or max_new_tokens == 0:
        return
    model.eval()
    writers = [Writer(prompt, max_new_tokens, sampling, stop_id) for prompt in prompts]
    lengths = [len(prompt) for prompt in prompts]
    reader = Reader(model, len(prompts), max(lengths) + max_new_tokens - 1)
    rows = reader.read([list(prompt[: min(lengths)]) for prompt in prompts], sampling)
    while True:
        length = reader.state.length
        new = [writer.next(row, length) for writer, row in zip(writers, rows, strict=True)]
        if any(token is not None for token in new):
            yield new
        if all(writer.ended for writer in writers):
            return
        rows = reader.read([[writer.last] for writer in writers], sampling)


def check_lengths(model: Transformer, prompts: Sequence[Sequence[int]], max_new_tokens: int) -> None:
    """Raise `UserError` unless every text begins with a token and fits the model with what is to be written."""
    if max_new_tokens < 0:
        raise UserError(f"max_new_tokens must be 0 or more, got {max_new_tokens}")
    if not all(len(prompt) for prompt in prompts):
        raise UserError("a prompt needs at least one token, got an empty one; begin it with end-of-text")
    longest = max(map(len, prompts), default=0)
    space = room(model, longest)
    if space is not None and max_new_tokens > space:
        raise UserError(
            f"position={model.spec.position.variant} is defined for {model.position.limit} positions, got a prompt of "
            f"{longest} tokens and {max_new_tokens} to write; at most {max(space, 0)} fit: shorten the prompt, write "
            "fewer, or choose another position variant"
        )


def room(model: Transformer, prompt_len: int) -> int | None:
    """New tokens that fit after a prompt; None without end. The last one is written and never read."""
    limit = model.position.limit
    return None if limit is None else limit - prompt_len + 1 if prompt_len <= limit else 0


class Writer:
    """One text: feeds its prompt, then draws. `last` is the token it hands to the next pass."""

    def __init__(self, prompt: Sequence[int], max_new_tokens: int, sampling: Sampling, stop_id: int | None) -> None:
        self.prompt, self.left, self.sampling, self.stop_id = prompt, max_new_tokens, sampling, stop_id
        self.generator = generator_for(sampling.seed, prompt)
        self.ended = False
        self.last = int(prompt[0])

    def next(self, row: int | Float[Tensor, "vocab"], length: int) -> int | None:
        """The token after `length` others, if it is this text's own and not the prompt's.

        `row` is the likeliest one, or the logits to draw it from.
        """
        if self.ended:
            return None  # the row goes on as ballast until the others have ended
        if length < len(self.prompt):
            self.last = int(self.prompt[length])
            return None
        self.last = row if isinstance(row, int) else draw(row, self.sampling, self.generator)
        self.left -= 1
        stops = self.last == self.stop_id
        self.ended = stops or self.left == 0
        return None if stops else self.last


class Reader:
    """The model over its static cache: prompts as they are, then one token of each text by a replayed `Step`."""

    @torch.inference_mode()
    def __init__(self, model: Transformer, batch_size: int, max_len: int) -> None:
        self.model, self.device = model, model.embedding.weight.device
        self.state = model.new_state(batch_size, max_len)
        self.step, self.replays = Step(model, self.state), False
        self.drawn: tuple[list[list[int]], Tensor] = [], torch.empty(0)  # the likeliest tokens, (B, 1)

    @torch.inference_mode()
    def read(self, rows: list[list[int]], sampling: Sampling) -> list[int] | list[Tensor]:
        """Read equally many tokens of each text. The likeliest next ones when greedy, else their logits on the CPU.

        One wait for the device, whatever the number of texts.
        """
        known, tokens = self.drawn
        if rows != known:
            tokens = torch.tensor(rows, dtype=torch.int64, device=self.device)
        one_more = tokens.shape[1] == 1 and self.state.length > 0
        self.replays = one_more and (self.replays or self.state.max_len - self.state.length >= PAYS)
        logits = self.step(tokens) if self.replays else self.model.forward(tokens, self.state)  # (B, T, V)
        if sampling.temperature > 0:
            return list(logits[:, -1].cpu())
        likeliest = logits[:, -1:].argmax(-1)  # (B, 1)
        self.drawn = likeliest.tolist(), likeliest
        return [token for (token,) in self.drawn[0]]


def generator_for(seed: int, prompt: Sequence[int]) -> torch.Generator:
    """Keyed by the seed and the prompt, so that a text does not depend on the batch it is written in."""
    digest = hashlib.sha256(f"{seed}/{','.join(str(int(token)) for token in prompt)}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


def draw(logits: Float[Tensor, "vocab"], sampling: Sampling, generator: torch.Generator) -> int:
    """One token; by inversion of one uniform number, on the CPU, so that devices agree on it."""
    if sampling.temperature == 0:
        return int(logits.argmax())
    cumulative = probabilities(logits, sampling).cumsum(dim=-1)
    uniform = torch.rand((), generator=generator, dtype=torch.float64) * cumulative[-1]
    return int((cumulative <= uniform).sum())  # the first token whose cumulative probability is above it


def probabilities(logits: Float[Tensor, "vocab"], sampling: Sampling) -> Float[Tensor, "vocab"]:
    """What `draw` draws from, in fp64: exactly 0 for every token that was cut. Of equal ones the lower id is kept."""
    scaled = logits.double() / sampling.temperature if sampling.temperature else _only_largest(logits.double())
    sorted_logits, order = scaled.sort(descending=True, stable=True)
    if sampling.top_k is not None:
        sorted_logits[sampling.top_k :] = -torch.inf
    p = sorted_logits.softmax(dim=-1)
    if sampling.top_p is not None:
        before = p.cumsum(dim=-1) - p
        p = torch.where(before < sampling.top_p, p, 0.0)
    return torch.zeros_like(p).scatter_(0, order, p / p.sum())


def _only_largest(logits: Float[Tensor, "vocab"]) -> Float[Tensor, "vocab"]:
    return torch.full_like(logits, -torch.inf).index_fill_(0, logits.argmax(), 0.0)
