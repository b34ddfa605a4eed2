"""Counting: a row of marks, then how many of each there were.

    count acaba:a3b1c1

Marks are uniform and so is their number; the counts are certain.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.data.microworld.draft import ANSWER, Draft, more_or_stop

TOTAL = ":"


@dataclass(frozen=True)
class Counting:
    marks: str = "abc"
    fewest: int = 2  # marks in a row
    most: int = 16
    name: str = "counting"
    opening: str = "count"

    def write(self, draft: Draft) -> None:
        draft.write(" ")
        marks = tuple(self.marks)
        counts = dict.fromkeys(marks, 0)
        for length in range(self.most + 1):
            options, bounds = more_or_stop(marks, (TOTAL,), length, self.fewest, self.most)
            mark = options[draft.choose(options, bounds=bounds)]
            if mark == TOTAL:
                break
            counts[mark] += 1
        for mark, count in counts.items():
            draft.write(mark)
            draft.write(str(count), ANSWER)
        draft.write("\n")
