from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from harness.data.byte_tokenizer import ByteTokenizer


@given(st.text())
def test_ids_are_the_bytes_of_utf8(text: str) -> None:
    tokenizer = ByteTokenizer()
    ids = tokenizer.encode(text)
    assert ids.tolist() == list(text.encode())
    assert tokenizer.decode(ids) == text


def test_a_token_is_a_byte_and_end_of_text_is_none() -> None:
    tokenizer = ByteTokenizer()
    assert (tokenizer.vocab_size, tokenizer.end_of_text) == (257, 256)
    assert tokenizer.token_bytes.tolist() == [1] * 256 + [0]


def test_decoding_leaves_out_end_of_text_and_marks_broken_bytes() -> None:
    assert ByteTokenizer().decode(np.array([256, 97, 0xFF, 98, 256])) == "a�b"
