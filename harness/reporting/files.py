"""A page as files in a folder: report.html, report.md, figures and tables. The same page gives the same bytes."""

from __future__ import annotations

from pathlib import Path

from harness.records.atomic import write_text
from harness.reporting import html, markdown
from harness.reporting.page import Page
from harness.reporting.tables import FOLDER, write_tables
from variants.errors import UserError


def inside(folder: Path, *names: str) -> Path:
    """A folder below a report's own, to be written into.

    Raises:
        UserError: it, or one between, is a link, or a name leads out.
    """
    path = folder.joinpath(*names)
    if path.resolve() != folder.resolve().joinpath(*names):
        raise UserError(f"{path} leads out of {folder}, and a report writes into its own folder alone; remove it")
    return path


def write_page(folder: Path, page: Page) -> Path:
    """Write the files of a page, report.html last; returns its path.

    Raises:
        UserError: see `inside`.
        StoreError: the disk refuses; each file is whole, as it was or as it is now.
    """
    inside(folder, FOLDER)
    for drawing in page.drawings:
        write_text(folder / f"{drawing.name}.svg", drawing.svg)
    write_tables(folder, page)
    write_text(folder / "report.md", markdown.render(page))
    write_text(folder / "report.html", html.render(page))
    return folder / "report.html"
