"""`bytes`: an id is a byte of UTF-8. Needs no training, so losses compare across corpora without care."""

from __future__ import annotations

import hashlib
import json

import numpy as np

NUM_BYTES = 256  # values of a byte


class ByteTokenizer:
    name = "bytes"
    vocab_size = NUM_BYTES + 1
    end_of_text = NUM_BYTES

    @property
    def token_bytes(self) -> np.ndarray:
        return np.array([1] * NUM_BYTES + [0], dtype=np.int64)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def encode(self, text: str) -> np.ndarray:
        return np.frombuffer(text.encode(), dtype=np.uint8).astype(np.uint16)

    def decode(self, ids: np.ndarray) -> str:
        ids = np.asarray(ids)
        return ids[ids != self.end_of_text].astype(np.uint8).tobytes().decode(errors="replace")

    def to_json(self) -> str:
        return json.dumps({"name": self.name})
