"""Recall: pairs of a key and a value, then keys in any order, and each time its value is asked for.

    pair b1d8f5;d8f5b1d8b1f5d8f5b1d8f5b1

Multi-query associative recall (MQAR, Arora et al. 2023, arXiv:2312.04927). Keys differ within a document; how many,
their values and the twelve questions are uniform, and keys may be asked for again. The answers are certain.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.data.microworld.draft import ANSWER, Draft, more_or_stop

ASK = ";"


@dataclass(frozen=True)
class Recall:
    keys: str = "abcdefgh"
    values: str = "0123456789"
    fewest: int = 2  # pairs
    most: int = 8
    questions: int = 12  # Assumption: fewer, and a default run learns nothing of it
    name: str = "recall"
    opening: str = "pair"

    def write(self, draft: Draft) -> None:
        draft.write(" ")
        free = tuple(self.keys)
        pairs: dict[str, str] = {}
        while True:
            options, bounds = more_or_stop(free, (ASK,), len(pairs), self.fewest, self.most)
            key = options[draft.choose(options, bounds=bounds)]
            if key == ASK:
                break
            pairs[key] = self.values[draft.choose(self.values)]
            free = tuple(other for other in free if other != key)
        keys = tuple(pairs)
        for _ in range(self.questions):
            draft.write(pairs[keys[draft.choose(keys)]], ANSWER)
        draft.write("\n")
