"""Copying: a row of letters, and the same row again.

    echo qxbqk;qxbqk

Letters are uniform, so is their number; all after the semicolon is certain, its end too. The induction head's task
(Olsson et al. 2022, arXiv:2209.11895), made harder where a letter comes twice.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.data.microworld.draft import ANSWER, Draft, more_or_stop

AGAIN = ";"


@dataclass(frozen=True)
class Copying:
    letters: str = "abcdefgh"
    fewest: int = 1
    most: int = 20
    name: str = "copying"
    opening: str = "echo"

    def write(self, draft: Draft) -> None:
        draft.write(" ")
        letters, row = tuple(self.letters), ""
        while True:
            options, bounds = more_or_stop(letters, (AGAIN,), len(row), self.fewest, self.most)
            letter = options[draft.choose(options, bounds=bounds)]
            if letter == AGAIN:
                break
            row += letter
        draft.write(row + "\n", ANSWER)
