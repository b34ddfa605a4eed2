"""The tokenizer of a local transformers folder, read from its tokenizer.json with the tokenizers library.

transformers itself is not needed. Special tokens come from the JSON files beside it, with the precedence of
transformers: tokenizer_config.json, then config.json.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from variants.errors import UserError


class HuggingFaceTokenizer:
    """A `harness.data.tokenizer.Tokenizer` with what lm-eval's `hf` model adds: texts are encoded with the special
    tokens the tokenizer itself puts there, and a likelihood without context begins at its beginning-of-text token.

    Args:
        model: the text of tokenizer.json.
        end_of_text: id of the token that ends a text.
        begin_of_text: id of the token before a text; `end_of_text` when the tokenizer has none.
        split_special: a text that spells a special token stays a text.
    """

    def __init__(
        self, name: str, model: str, end_of_text: int, begin_of_text: int | None = None, split_special: bool = False
    ) -> None:
        os.environ["TOKENIZERS_PARALLELISM"] = "false"  # its threads and forked workers do not go together
        from tokenizers import Tokenizer

        self.name = name
        self._model = model
        self._tokenizer = Tokenizer.from_str(model)
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._tokenizer.encode_special_tokens = split_special
        self.end_of_text = end_of_text
        self.prefix_token = end_of_text if begin_of_text is None else begin_of_text
        self.vocab_size = max(self._tokenizer.get_vocab(with_added_tokens=True).values()) + 1
        self.sha256 = hashlib.sha256(self.to_json().encode()).hexdigest()

    @property
    def token_bytes(self) -> np.ndarray:
        """Bytes of each id's text; a token that is part of a character counts as it is decoded alone."""
        ids = range(self.vocab_size)
        return np.array([len(self.decode(np.array([i])).encode()) for i in ids], dtype=np.int64)

    def begins_text(self, text: str) -> bool:
        """Whether a text spells its beginning-of-text token itself; `hf` then adds no special tokens."""
        return text.startswith(self._tokenizer.id_to_token(self.prefix_token) or "\0")

    def encode(self, text: str) -> np.ndarray:
        return np.array(self._tokenizer.encode(text, add_special_tokens=False).ids, dtype=np.int64)

    def encode_with_special(self, text: str) -> np.ndarray:
        """The ids with what the tokenizer adds by itself, Llama's beginning-of-text for instance."""
        return np.array(self._tokenizer.encode(text, add_special_tokens=True).ids, dtype=np.int64)

    def decode(self, ids: np.ndarray) -> str:
        return self._tokenizer.decode(np.asarray(ids).tolist(), skip_special_tokens=True)

    def to_json(self) -> str:
        return json.dumps({"name": self.name, "model": self._model, "end_of_text": self.end_of_text})


def load_hf_tokenizer(folder: Path) -> HuggingFaceTokenizer:
    """The tokenizer of a transformers folder.

    Raises:
        UserError: no tokenizer.json, one that cannot be read, or none of its files names an end-of-text token.
    """
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise UserError(
            f"the tokenizer of a transformers folder is its tokenizer.json, and {folder} has none; "
            "save the folder with a fast tokenizer"
        )
    text = path.read_text(encoding="utf-8")
    files = [_read_json(folder / name) for name in ("tokenizer_config.json", "config.json")]
    vocab = _vocab(text, path)
    end, begin = (_special(which, files, vocab) for which in ("eos", "bos"))
    if end is None:
        end = begin
    if end is None:
        raise UserError(f"neither tokenizer_config.json nor config.json in {folder} names an eos token; add one")
    return HuggingFaceTokenizer(folder.name, text, end, begin, bool(files[0].get("split_special_tokens")))


def _vocab(text: str, path: Path) -> dict[str, int]:
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_str(text).get_vocab(with_added_tokens=True)
    except Exception as error:  # the library raises plain Exception for every fault of the file
        raise UserError(f"{path} is not a tokenizer the tokenizers library reads ({error})") from error


def _special(which: str, files: list[dict[str, Any]], vocab: dict[str, int]) -> int | None:
    """The id of `eos` or `bos`: by its text, by its id, or by the first of several ids."""
    for file in files:
        token = file.get(f"{which}_token")
        token = token.get("content") if isinstance(token, dict) else token
        if token in vocab:
            return vocab[token]
        number = file.get(f"{which}_token_id")
        number = number[0] if isinstance(number, list) and number else number
        if isinstance(number, int):
            return number
    return None


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path} is not readable JSON ({error}); it was cut short or damaged") from error
    return data if isinstance(data, dict) else {}
