"""A page as files in a folder: report.html, report.md, figures and tables. The same page gives the same bytes."""

from __future__ import annotations

from pathlib import Path

from harness.records.atomic import write_text
from harness.reporting import html, markdown
from harness.reporting.page import Page
from harness.reporting.tables import write_tables


def write_page(folder: Path, page: Page) -> Path:
    """Write the files of a page, report.html last; returns its path.

    Raises:
        StoreError: the disk refuses; each file is whole, as it was or as it is now.
    """
    for drawing in page.drawings:
        write_text(folder / f"{drawing.name}.svg", drawing.svg)
    write_tables(folder, page)
    write_text(folder / "report.md", markdown.render(page))
    write_text(folder / "report.html", html.render(page))
    return folder / "report.html"
