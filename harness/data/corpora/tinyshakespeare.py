"""`tinyshakespeare`: 1.1 MB of plays (karpathy/char-rnn), the first 90 % to train on and the rest to validate,
as nanoGPT cuts it, so that its published losses can be compared. There is no test split.
"""

from __future__ import annotations

from harness.data.documents import Corpus, Document, make_corpus
from harness.data.known_file import KnownFile

FILE = KnownFile(
    path="text/tinyshakespeare/input.txt",
    sha256="86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
    size=1_115_394,
)


def load() -> Corpus:
    text = FILE.read()
    cut = int(len(text) * 0.9)  # in characters: nanoGPT's data/shakespeare_char/prepare.py
    return make_corpus("tinyshakespeare", [Document(text[:cut], "first 90 %")], [Document(text[cut:], "last 10 %")])
