"""How variants are compared: one stage a folder, frozen dataclasses between them.

In a notebook: `from harness import load_study`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.reporting.frames import Study


def load_study(folder: Path | str) -> Study:
    """A study as pandas DataFrames, read from its folder without torch; see `harness.reporting.frames.Study`.

    Raises:
        UserError: the folder is not a study's, or a file in it is cut short, damaged or of another version.
        StoreError: the disk refuses.
    """
    from harness.reporting.frames import read_frames  # here, so that importing a room of the house reads no pandas

    return read_frames(Path(folder))
