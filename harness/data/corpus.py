"""From what the user writes after --data to a corpus: a name, a path, or `hf:owner/name`."""

from __future__ import annotations

import importlib
import os
import pkgutil
from pathlib import Path

from harness.data import corpora
from harness.data.documents import SPLITS, Corpus, Document
from harness.data.hub import PREFIX, load_hub
from harness.data.local import load_path
from harness.data.shuffled import SHUFFLED, shuffled
from variants.errors import UserError, nearest

__all__ = ["SPLITS", "Corpus", "Document", "corpus_names", "load_corpus"]


def corpus_names() -> list[str]:
    """The corpora with a name: the files of harness/data/corpora."""
    return sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(corpora.__path__))


def load_corpus(name: str) -> Corpus:
    """The corpus called `name`; a name wins over a file of that name, which `./name` reaches.

    `shuffled:NAME` is a control: the characters of each document in a random order, so that nothing is left to learn
    but how frequent they are, and no variant has anything to be better at.
    """
    if name.startswith(SHUFFLED):
        return shuffled(load_corpus(name.removeprefix(SHUFFLED)))
    if name in corpus_names():
        return importlib.import_module(f"{corpora.__name__}.{name.replace('-', '_')}").load()
    if name.startswith(PREFIX):
        return load_hub(name)
    path = Path(name).expanduser()
    if name and path.exists():
        return load_path(name)
    if path.suffix or os.sep in name or "/" in name:
        raise UserError(f"--data takes a path that exists, and there is no {name!r}; check it, or name a known corpus")
    raise UserError(
        f"--data takes a known corpus, a path or hf:owner/name, and {name!r} is none{nearest(name, corpus_names())}"
    )
