"""What a model can do: its loss on `--data microworld` above the grammar's own floor, facet by facet.

excess = (-log q(text)) - (-log p(text)), p the grammar given its world, both for the same validation documents. Its
expectation is a Kullback-Leibler divergence, so it is 0 for a model that is the grammar and positive for any other;
its noise is only that of the difference. A part (the answers of a facet) is chosen by the text before it, so the same
holds for the part.

Each document is scored alone after an end-of-text mark, not in the windows of training, which cut documents: what
stood before a cut would count against the model. A document longer than the model goes on in windows whose targets
see at least half the model's length; that too is a model of the text, so its excess is what the short context costs.

A token that stands for several bytes has the sum of their floors and the part of its last byte. Parts are made of
whole words with the space before them, which the house's own tokenizers never join, so their sums stay exact: the
tokens of a text are one function of it, and a model that spreads some probability on other spellings pays for it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from harness.data.dataset import TokenizedData, encode_documents
from harness.data.documents import Document
from harness.data.microworld.draft import ANSWER, OPENING, Sample
from harness.data.microworld.grammar import SEED, facet_names, split_drafts
from harness.data.tokenizer import Tokenizer
from harness.model.transformer import Transformer
from harness.score.extrapolation import ratio_and_error
from harness.score.perplexity import TOKENS_PER_BATCH
from harness.score.position import DECIMALS
from variants.errors import UserError

MAX_DOCUMENTS = 400
"""Documents a facet, the first of the split. Measured: 2,400 in all take 1 s at nano size on one core."""

OPENING_ROW = "opening"
"""The row of the words that name the facet: which facet comes is no part of any facet's ability."""


@dataclass(frozen=True)
class FacetPart:
    """One facet, `all` of it after its first word, or only its `answer`s: what the context or the world tells.

    `document_excess` holds the excess nats of each document; `standard_error` of the excess per byte is over them.
    An answer is right where each of its tokens is the likeliest.
    """

    facet: str
    part: str  # "all" or "answer"
    nats: float  # of all documents together
    floor: float
    num_bytes: int
    standard_error: float | None
    num_answers: int
    num_right: int
    document_excess: tuple[float, ...]

    @property
    def excess(self) -> float:
        """Nats above the floor, of all documents together."""
        return self.nats - self.floor

    @property
    def excess_per_byte(self) -> float:
        return self.excess / self.num_bytes

    @property
    def right(self) -> float | None:
        """The share of answers that are right."""
        return self.num_right / self.num_answers if self.num_answers else None

    def to_json(self) -> dict[str, Any]:
        return {
            "facet": self.facet,
            "part": self.part,
            "nats": self.nats,
            "floor": self.floor,
            "excess": self.excess,
            "num_bytes": self.num_bytes,
            "num_documents": len(self.document_excess),
            "nats_per_byte": self.nats / self.num_bytes,
            "floor_per_byte": self.floor / self.num_bytes,
            "excess_per_byte": self.excess_per_byte,
            "standard_error": self.standard_error,
            "num_answers": self.num_answers,
            "right": self.right,
            "document_excess": [round(x, DECIMALS) for x in self.document_excess],
        }


@dataclass(frozen=True)
class FacetScores:
    """A row a facet and part, and the opening words."""

    parts: tuple[FacetPart, ...]

    def of(self, facet: str, part: str = "all") -> FacetPart:
        return next(row for row in self.parts if (row.facet, row.part) == (facet, part))

    @property
    def scores(self) -> dict[str, float | None]:
        """Flat values for a run's record, `facets/recall/answer`: excess nats per byte."""
        return {f"facets/{row.facet}/{row.part}": row.excess_per_byte for row in self.parts}

    def to_json(self) -> dict[str, Any]:
        return {
            "parts": [row.to_json() for row in self.parts],
            "seed": SEED,
            "max_documents": MAX_DOCUMENTS,
            "unit": "nats per byte",
            "direction": "lower",
        }


@dataclass(frozen=True, eq=False)
class ScoredDocument:
    """A document by token: (tokens,) each."""

    facet: str
    nats: np.ndarray  # -log q
    floor: np.ndarray  # -log p
    num_bytes: np.ndarray
    parts: np.ndarray
    likeliest: np.ndarray  # whether the model thinks no other token likelier


def facet_loss(model: Transformer, tokenizer: Tokenizer, data: TokenizedData) -> FacetScores:
    """The excess of `model` over the floor on the validation documents of `--data microworld`.

    Args:
        tokenizer: the one that prepared `data`.

    Raises:
        UserError: the data is another corpus.
    """
    chosen = [draft.sample(facet) for facet, draft in _first_of_each(data, tokenizer)]
    return summarise(score_documents(model, tokenizer, chosen))


def score_documents(model: Transformer, tokenizer: Tokenizer, samples: Sequence[Sample]) -> list[ScoredDocument]:
    """Each document scored alone, in the order of `samples`."""
    tokens = [tokenizer.encode(sample.text).astype(np.int64) for sample in samples]
    nats, likeliest = document_nats(model, tokenizer.end_of_text, tokens)
    return [
        _by_token(sample, tokenizer.token_bytes[ids], *scored)
        for sample, ids, *scored in zip(samples, tokens, nats, likeliest, strict=True)
    ]


def summarise(documents: Sequence[ScoredDocument]) -> FacetScores:
    """The rows of a table, facets in the order of the grammar."""
    by_facet: dict[str, list[ScoredDocument]] = defaultdict(list)
    for document in documents:
        by_facet[document.facet].append(document)
    rows = [_row(OPENING_ROW, "all", documents, [d.parts == OPENING for d in documents])]
    for facet in sorted(by_facet, key=facet_names().index):
        found = by_facet[facet]
        rows.append(_row(facet, "all", found, [d.parts != OPENING for d in found]))
        rows.append(_row(facet, "answer", found, [d.parts == ANSWER for d in found]))
    return FacetScores(tuple(rows))


@torch.no_grad()
def document_nats(
    model: Transformer, end_of_text: int, documents: Sequence[np.ndarray]
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """For each document its tokens' nats after an end-of-text mark, and whether each was the likeliest.

    Documents of one length go together, so that nothing is padded.
    """
    device = next(model.parameters()).device
    nats = [np.empty(len(tokens)) for tokens in documents]
    likeliest = [np.empty(len(tokens), dtype=bool) for tokens in documents]
    by_length: dict[int, list[int]] = defaultdict(list)
    for i, tokens in enumerate(documents):
        by_length[len(tokens)].append(i)
    model.eval()
    for length, alike in by_length.items():
        for start in range(0, len(alike), rows := max(1, TOKENS_PER_BATCH // length)):
            batch = alike[start : start + rows]
            text = np.stack([np.concatenate([[end_of_text], documents[i]]) for i in batch])
            for begin, first, end in windows(length, model.spec.seq_len):
                inputs = torch.from_numpy(text[:, begin:end]).to(device)
                targets = torch.from_numpy(text[:, first + 1 : end + 1]).to(device)
                logits = model(inputs)[:, first - begin :].float()
                found = -logits.log_softmax(-1).gather(-1, targets[..., None])[..., 0].double().cpu().numpy()
                best = (logits.argmax(-1) == targets).cpu().numpy()
                for row, i in enumerate(batch):
                    nats[i][first:end], likeliest[i][first:end] = found[row], best[row]
    return nats, likeliest


def windows(num_targets: int, context: int) -> Iterator[tuple[int, int, int]]:
    """(begin, first, end): inputs begin..end-1 predict targets first..end-1; every target comes once."""
    yield 0, 0, min(num_targets, context)
    step = max(1, context // 2)
    for first in range(context, num_targets, step):
        end = min(first + step, num_targets)
        yield end - context, first, end


def _first_of_each(data: TokenizedData, tokenizer: Tokenizer) -> Iterator[tuple[str, Any]]:
    """The first documents of each facet, once the data is known to be the corpus."""
    assert tokenizer.sha256 == data.tokenizer_sha256, "another tokenizer made this data"
    drafts = list(split_drafts("validation"))
    stream, _ = encode_documents([Document(draft.text, facet) for facet, draft in drafts], tokenizer)
    if not np.array_equal(stream, data.validation):
        raise UserError(
            f"facets are scored where the entropy of the text is known, and the data here is {data.name!r}; "
            "use --data microworld"
        )
    counts: dict[str, int] = defaultdict(int)
    for facet, draft in drafts:
        counts[facet] += 1
        if counts[facet] <= MAX_DOCUMENTS:
            yield facet, draft


def _by_token(sample: Sample, num_bytes: np.ndarray, nats: np.ndarray, likeliest: np.ndarray) -> ScoredDocument:
    ends = np.cumsum(num_bytes)
    assert ends[-1] == len(sample.text), "the tokenizer lost text"
    floor = np.add.reduceat(sample.nats, ends - num_bytes)
    return ScoredDocument(sample.facet, nats, floor, num_bytes, sample.parts[ends - 1], likeliest)


def _row(facet: str, part: str, documents: Sequence[ScoredDocument], inside: Sequence[np.ndarray]) -> FacetPart:
    """The sums over the tokens that are `inside`, a mask a document."""
    pairs = list(zip(documents, inside, strict=True))
    nats = np.array([d.nats[m].sum() for d, m in pairs])
    floor = np.array([d.floor[m].sum() for d, m in pairs])
    num_bytes = np.array([d.num_bytes[m].sum() for d, m in pairs])
    answers = [right for d, m in pairs for right in _answers(d, m)]
    return FacetPart(
        facet=facet,
        part=part,
        nats=float(nats.sum()),
        floor=float(floor.sum()),
        num_bytes=int(num_bytes.sum()),
        standard_error=ratio_and_error(nats - floor, num_bytes)[1],
        num_answers=len(answers),
        num_right=sum(answers),
        document_excess=tuple((nats - floor).tolist()),
    )


def _answers(document: ScoredDocument, inside: np.ndarray) -> list[bool]:
    """Whether each run of answer tokens is right in whole."""
    answer = np.concatenate([[False], (document.parts == ANSWER) & inside, [False]])
    begins, ends = np.flatnonzero(answer[1:] & ~answer[:-1]), np.flatnonzero(~answer[1:] & answer[:-1])
    return [bool(document.likeliest[a:b].all()) for a, b in zip(begins, ends, strict=True)]
