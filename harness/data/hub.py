"""`hf:owner/name[:config]`: a data set of the Hugging Face hub, or `hf:folder` with local json, parquet or text.

A row is a document. The splits it comes with are used, and a missing one is cut from train. The
whole text is held in memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.data.documents import SPLITS, Corpus, Document, make_corpus
from harness.data.split import HELD_OUT, split_documents
from variants.errors import UserError

PREFIX = "hf:"
OTHER_NAMES = {"valid": "validation", "val": "validation", "dev": "validation"}
TEXT_TYPES = ("string", "large_string")


def load_hub(name: str) -> Corpus:
    """The corpus behind a `--data` value that begins with `hf:`."""
    path, config = _parse(name)
    rows = {OTHER_NAMES.get(split, split): data for split, data in _download(name, path, config).items()}
    if "train" not in rows:
        if len(rows) != 1:
            raise UserError(f"a data set needs a train split, and {name!r} has {', '.join(sorted(rows))}; use another")
        rows = {"train": next(iter(rows.values()))}
    given = {split: _documents(rows[split], split, name) for split in SPLITS if split in rows}
    missing = [split for split in HELD_OUT if not given.get(split)]
    if missing:
        given = {**given, **_cut(given["train"], name, missing)}
    return make_corpus(name, **given)


def _parse(name: str) -> tuple[str, str | None]:
    """What load_dataset is handed: a path or owner/name, and a config."""
    rest = name.removeprefix(PREFIX)
    if not rest:
        raise UserError(f"a data set is named as hf:owner/name[:config] or hf:folder, and {name!r} names none")
    if Path(rest).expanduser().exists():
        return str(Path(rest).expanduser()), None
    if rest.startswith((".", "/", "~")):
        raise UserError(f"hf: takes owner/name[:config] or a folder that exists, and there is no {rest!r}; check it")
    path, _, config = rest.partition(":")
    return path, config or None


def _download(name: str, path: str, config: str | None) -> Mapping[str, Any]:
    """The data set by split; whatever stops it becomes one sentence."""
    import datasets
    from datasets.exceptions import DatasetsError

    shown = not datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        found = datasets.load_dataset(path, config)
    except ConnectionError as error:
        raise UserError(
            f"{name!r} is loaded from the Hugging Face hub, which cannot be reached ({_first_line(error)}); "
            "connect, or use --data stdlib, which needs no network"
        ) from error
    except (OSError, ValueError, RuntimeError, DatasetsError) as error:
        raise UserError(
            f"datasets could not load {name!r} ({type(error).__name__}: {_first_line(error)}); "
            "check it is hf:owner/name[:config] or a folder of json, parquet or text files"
        ) from error
    finally:
        if shown:
            datasets.enable_progress_bars()
    assert isinstance(found, Mapping), type(found)
    return {str(split): rows for split, rows in found.items()}


def _documents(rows: Any, split: str, name: str) -> list[Document]:
    column = _text_column(rows, name)
    return [Document(text, f"{split} {i}") for i, text in enumerate(rows[column][:]) if text]


def _text_column(rows: Any, name: str) -> str:
    """`text`, or the only column of strings."""
    strings = [column for column, feature in rows.features.items() if getattr(feature, "dtype", None) in TEXT_TYPES]
    if "text" in strings:
        return "text"
    if len(strings) == 1:
        return strings[0]
    raise UserError(
        f"a data set's text is its column 'text' or its only column of strings, and {name!r} has the columns "
        f"{', '.join(f'{column} ({_kind(feature)})' for column, feature in rows.features.items())}; "
        "rename one to 'text'"
    )


def _cut(train: list[Document], name: str, missing: list[str]) -> dict[str, list[Document]]:
    cut = split_documents(train, name, held_out=missing)
    return {split: cut[split] for split in ("train", *missing)}


def _kind(feature: Any) -> str:
    return str(getattr(feature, "dtype", type(feature).__name__))


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
