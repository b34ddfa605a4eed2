"""Long lists of numbers out of a record's JSON, kept at 8 bytes a number: as Python lists they take 4 to 12 times that.

    Numbers   [0.5, None, 1.0], [3, 4]          a value an item, position or block
    Rows      [[21, 5.2e9, 4.98], ...]          a loss curve, validation documents, the likelihoods of four choices
    Ragged    [[-1.5, -0.2], [-3.0], ...]       the likelihoods of as many choices as an item has

All are read like the lists they stand for, equal them, and are written as them again (records.seal): an integer stays
one and None stays None. NumPy reads them without a copy, None as NaN. JSON has no NaN, so NaN can stand for None.
"""

from __future__ import annotations

import itertools
import math
from array import array
from collections.abc import Iterator, Sequence
from typing import Any, Literal, overload

import numpy as np

FEWEST = 16
"""Entries of a list that is worth it: an array has 80 bytes of its own."""

LARGEST_INTEGER = 2**53
"""Beyond it a float does not hold every integer."""

Number = int | float | None

Kind = Literal["integers", "floats", "floats or None"]


class Packed(Sequence[Any]):
    """What the three share: they are the lists they stand for."""

    __slots__ = ()
    __hash__ = None  # type: ignore[assignment]  # as of a list

    def tolist(self) -> list[Any]:
        raise NotImplementedError

    def __iter__(self) -> Iterator[Any]:
        return iter(self.tolist())

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Packed):
            return self.tolist() == other.tolist()
        return self.tolist() == other

    def __repr__(self) -> str:
        return repr(self.tolist())


class Numbers(Packed):
    """A list of floats or None, or of integers."""

    __slots__ = ("_data", "_kind")

    def __init__(self, data: array[float], kind: Kind) -> None:
        self._data = data
        self._kind: Kind = kind

    def __len__(self) -> int:
        return len(self._data)

    @overload
    def __getitem__(self, index: int) -> Number: ...
    @overload
    def __getitem__(self, index: slice) -> list[Number]: ...
    def __getitem__(self, index: int | slice) -> Number | list[Number]:
        if isinstance(index, slice):
            return _said(self._data[index].tolist(), self._kind)
        return _said([self._data[index]], self._kind)[0]

    def tolist(self) -> list[Number]:
        return _said(self._data.tolist(), self._kind)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return _as_array(np.frombuffer(self._data, dtype=np.float64), dtype, copy)


class Rows(Packed):
    """A list of lists of one length, each column of floats or None, or of integers."""

    __slots__ = ("_columns", "_data")

    def __init__(self, data: array[float], columns: tuple[Kind, ...]) -> None:
        self._data, self._columns = data, columns  # row by row

    def __len__(self) -> int:
        return len(self._data) // len(self._columns)

    @overload
    def __getitem__(self, index: int) -> list[Number]: ...
    @overload
    def __getitem__(self, index: slice) -> list[list[Number]]: ...
    def __getitem__(self, index: int | slice) -> list[Number] | list[list[Number]]:
        if isinstance(index, slice):
            return self.tolist()[index]
        width, at = len(self._columns), range(len(self))[index]
        row = self._data[at * width : (at + 1) * width].tolist()
        return [_said([x], kind)[0] for x, kind in zip(row, self._columns, strict=True)]

    def tolist(self) -> list[list[Number]]:
        width = len(self._columns)
        columns = (_said(self._data[i::width].tolist(), kind) for i, kind in enumerate(self._columns))
        return list(map(list, zip(*columns, strict=True)))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return _as_array(np.frombuffer(self._data, dtype=np.float64).reshape(len(self), -1), dtype, copy)


class Ragged(Packed):
    """A list of lists of several lengths."""

    __slots__ = ("_ends", "_numbers")

    def __init__(self, numbers: Numbers, ends: array[int]) -> None:
        self._numbers, self._ends = numbers, ends  # 0, and where each row ends

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, index: int | slice) -> Any:
        return self.tolist()[index]

    def tolist(self) -> list[list[Number]]:
        flat = self._numbers.tolist()
        return [flat[start:end] for start, end in itertools.pairwise(self._ends)]


def _said(values: list[float], kind: Kind) -> list[Any]:
    """Floats as the JSON said them."""
    if kind == "integers":
        return list(map(int, values))
    return values if kind == "floats" else [None if x != x else x for x in values]


def _as_array(view: np.ndarray, dtype: Any, copy: bool | None) -> np.ndarray:
    view = view.astype(view.dtype if dtype is None else dtype, copy=bool(copy))
    view.flags.writeable = bool(copy)
    return view


class Compactor:
    """Packs the JSON of one record after another. Lists of names that several records have are kept once."""

    def __init__(self) -> None:
        self._names: dict[tuple[int, str, str], list[str]] = {}

    def __call__(self, value: Any) -> Any:
        """`value` with its long lists of numbers packed; dictionaries are changed in place."""
        if isinstance(value, dict):
            for key, inner in value.items():
                if isinstance(inner, dict | list):
                    value[key] = self(inner)
            return value
        if isinstance(value, list):
            return self._list(value)
        return value

    def _list(self, value: list[Any]) -> Any:
        kinds = set(map(type, value))
        if kinds == {list} and (len(value) >= FEWEST or max(map(len, value)) < FEWEST):
            return self._rows(value)
        if kinds & {dict, list}:
            return [self(inner) for inner in value]
        if len(value) < FEWEST:
            return value
        if kinds == {str}:
            known = self._names.setdefault((len(value), value[0], value[-1]), value)
            return known if known == value else value
        return _numbers(value, kinds) or value

    def _rows(self, value: list[list[Any]]) -> Any:
        flat = list(itertools.chain.from_iterable(value))
        kinds = set(map(type, flat))
        if kinds & {dict, list}:
            return [self(inner) for inner in value]
        return value if len(value) < FEWEST else _rows(value, flat, kinds) or value


def _numbers(value: list[Any], kinds: set[type]) -> Numbers | None:
    kind = _kind(value, kinds)
    return None if kind is None else Numbers(_data(value, kind), kind)


def _rows(value: list[list[Any]], flat: list[Any], kinds: set[type]) -> Rows | Ragged | None:
    width = len(value[0])
    if set(map(len, value)) != {width}:
        numbers = _numbers(flat, kinds)
        ends = itertools.accumulate(map(len, value), initial=0)
        return None if numbers is None else Ragged(numbers, array("q", ends))
    columns: list[Kind] = ["floats"] * width
    if kinds == {float}:
        return Rows(array("d", flat), tuple(columns))
    data = array("d", bytes(8 * len(flat)))
    for i in range(width):
        column = flat[i::width]
        kind = _kind(column, set(map(type, column)))
        if kind is None:
            return None
        columns[i] = kind
        data[i::width] = _data(column, kind)
    return Rows(data, tuple(columns)) if width else None


def _kind(values: list[Any], kinds: set[type]) -> Kind | None:
    """None where the values are not of one kind, or a float would not hold one."""
    if kinds == {float}:
        return "floats"
    if kinds == {int}:
        return "integers" if max(map(abs, values)) <= LARGEST_INTEGER else None
    return "floats or None" if kinds <= {float, type(None)} else None


def _data(values: list[Any], kind: Kind) -> array[float]:
    return array("d", [math.nan if x is None else x for x in values] if kind == "floats or None" else values)
