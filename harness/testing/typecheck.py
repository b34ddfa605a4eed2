"""The checker behind the shapes in signatures, used under pytest only: beartype, with int accepted as float."""

from __future__ import annotations

from beartype import BeartypeConf, beartype

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
