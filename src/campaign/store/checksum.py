"""Checksums inside JSON: the last field of a record, a header or an event is the sum of all that comes before it.

    "crc32" = CRC-32 of the compact JSON of the document without that field and without its closing brace

Eight hexadecimal digits, so a changed digit, key or order is found. A document that has no such field was written
before there were checksums, and is taken as it is. A last field of eight hexadecimal digits whose name differs from
that one in a letter is a checksum with a damaged name.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from typing import Any

import orjson

FIELD = "crc32"
_BEFORE = f',"{FIELD}":"'.encode()
_END = len(_BEFORE) + 10  # the field with its digits, a quote and the brace
_DIGITS = re.compile("[0-9a-f]{8}")
_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS  # as records are written


def sealed_line(line: bytes) -> bytes:
    """One line of compact JSON, an object with at least one field, with its checksum at the end."""
    body = line[:-1]
    return b'%b%b%08x"}' % (body, _BEFORE, zlib.crc32(body))


def seal(document: Mapping[str, Any]) -> dict[str, Any]:
    """A document with its checksum as the last field; one that it has already is made again."""
    bare = {name: value for name, value in document.items() if name != FIELD}
    return {**bare, FIELD: f"{zlib.crc32(_compact(bare)[:-1]):08x}"}


def fault_of_line(line: bytes) -> str | None:
    """What is wrong with a line by its checksum; None where nothing is, or where it has none."""
    if line[-_END:-10] == _BEFORE:
        is_right = line[-10:] == b'%08x"}' % zlib.crc32(line[:-_END])
        return None if is_right else _WRONG
    if not line.endswith(b'"}'):
        return None  # records end with a list where they have no checksum
    try:
        return fault_of(orjson.loads(line))
    except orjson.JSONDecodeError as error:
        return f"not JSON ({error})"


def fault_of(document: Any) -> str | None:
    """What is wrong with a document by its checksum; None where nothing is, or where it has none."""
    if not isinstance(document, dict) or not document:
        return None
    if FIELD in document:
        return None if seal(document)[FIELD] == document[FIELD] else _WRONG
    name, value = next(reversed(document.items()))
    if isinstance(value, str) and _DIGITS.fullmatch(value) and _is_nearly(name):
        return f"`{name}` is where `{FIELD}` should be"
    return None


def _is_nearly(name: str) -> bool:
    return len(name) == len(FIELD) and sum(a != b for a, b in zip(name, FIELD, strict=True)) == 1


_WRONG = "its checksum is that of something else"


def _compact(document: Mapping[str, Any]) -> bytes:
    try:
        return orjson.dumps(document, option=_OPTIONS)
    except TypeError:  # an integer of more than 64 bits
        return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
