"""Reference over a distance: K and Q each get a number, a tale goes on about others, and they come up again.

    tale K7 Q3 the fox met a hen ran Q3 the owl hid K7

Numbers differ; words are uniform, the number of steps is uniform, and a step is K, Q or one of two kinds of sentence,
all equally likely. The number after K or Q is certain: it stands where that letter came last, up to 100 bytes before.
"""

from __future__ import annotations

import string
from dataclasses import dataclass

from harness.data.microworld.draft import ANSWER, Draft, more_or_stop

MEANT = (" K", " Q")
ARTICLES = (" the", " a")
NOUNS = tuple(f" {noun}" for noun in ("dog", "cat", "hen", "fox", "owl", "bee", "cow", "rat"))
VERBS = tuple(f" {verb}" for verb in ("saw", "met", "fed", "hid", "led", "hit", "ran", "sat"))
END = "\n"


@dataclass(frozen=True)
class Reference:
    numbers: str = string.digits
    nouns: tuple[str, ...] = NOUNS
    verbs: tuple[str, ...] = VERBS
    fewest: int = 2  # steps
    most: int = 9
    name: str = "reference"
    opening: str = "tale"

    def write(self, draft: Draft) -> None:
        free, told = self.numbers, {}
        for letter in MEANT:
            draft.write(letter)
            told[letter] = free[draft.choose(free)]
            free = free.replace(told[letter], "")
        for length in range(self.most + 1):
            options, bounds = more_or_stop((*MEANT, *ARTICLES), (END,), length, self.fewest, self.most)
            word = options[draft.choose(options, bounds=bounds)]
            if word == END:
                break
            if word in told:
                draft.write(told[word], ANSWER)
            else:
                draft.choose(self.nouns)
                draft.choose(self.verbs)
