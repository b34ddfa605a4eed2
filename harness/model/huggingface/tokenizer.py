"""A run's tokenizer as the files that transformers reads: tokenizer.json and its two companions.

Ids are the same for every text. End-of-text is a special token there, and `split_special_tokens` keeps a text that
happens to spell it a text, as it is here.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from variants.errors import UserError

END_OF_TEXT = "<|endoftext|>"
"""How the token is spelled; GPT-2's, and only a name."""

NAMES = ("tokenizer.json", "tokenizer_config.json", "generation_config.json")


def save_tokenizer(description: str, end_of_text: int, max_len: int, folder: Path) -> None:
    """Write the files of `NAMES` beside a model.

    Args:
        description: the tokenizer's own JSON: a name, and but for `bytes` the tokenizers library's `model`.
        end_of_text: the last id, the one token that is no text.
        max_len: tokens that the model was trained on.
    """
    contents = {
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": END_OF_TEXT,  # it opens every document, and ends what is written
            "eos_token": END_OF_TEXT,
            "model_max_length": max_len,
            "clean_up_tokenization_spaces": False,
            "split_special_tokens": True,
        },
        "generation_config.json": dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), end_of_text),
    }
    (folder / "tokenizer.json").write_text(fast_tokenizer(description, end_of_text).to_str(), encoding="utf-8")
    for name, content in contents.items():
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def fast_tokenizer(description: str, end_of_text: int) -> Any:
    """A `tokenizers.Tokenizer` with the same ids, and end-of-text as a special token.

    Raises:
        UserError: the description is of a tokenizer that end-of-text does not follow.
    """
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # its threads and forked workers do not go together
    from tokenizers import AddedToken, Tokenizer

    content = json.loads(description)
    tokenizer = Tokenizer.from_str(content["model"]) if "model" in content else _bytes()
    if tokenizer.get_vocab_size() != end_of_text:
        raise UserError(
            f"tokenizer {content['name']!r} can be exported when end-of-text is its last id, got {end_of_text} after "
            f"{tokenizer.get_vocab_size()} tokens of text; prepare the data again"
        )
    tokenizer.add_special_tokens([AddedToken(END_OF_TEXT, special=True, normalized=False)])
    assert tokenizer.token_to_id(END_OF_TEXT) == end_of_text
    return tokenizer


def _bytes() -> Any:
    """Byte-pair encoding without a pair: an id is a byte of UTF-8."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    tokenizer = Tokenizer(models.BPE(vocab={char: byte for byte, char in enumerate(byte_chars())}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def byte_chars() -> list[str]:
    """The character that stands for each byte in a byte-level vocabulary (GPT-2's `bytes_to_unicode`).

    Printable bytes of Latin-1 stand for themselves, the others for the characters from U+0100 on, in order.
    """
    printable = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    others = iter(range(256))
    return [chr(byte) if byte in printable else chr(256 + next(others)) for byte in range(256)]
