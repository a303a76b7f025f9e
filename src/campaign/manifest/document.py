"""JSON text → document: strict, bounded, with the line and column of what is wrong."""

from __future__ import annotations

import json
from typing import Any

from campaign.errors import Diagnostic, ManifestError

MAX_BYTES = 32 * 2**20  # a manifest is written by people; rows by the million belong into a file
MAX_DEPTH = 64  # the deepest nesting of lists and objects


class _RefusedError(ValueError):
    """A value that JSON parses and a manifest does not hold."""


def parse(text: str | bytes, *, source: str = "manifest") -> Any:
    """Parse a manifest's text.

    Duplicate keys, NaN, Infinity, numbers beyond a double, text that is not UTF-8, more than 32 MB and more than 64
    levels are errors.

    Raises:
        ManifestError: with the line and column where there is one.
    """
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if len(raw) > MAX_BYTES:
        raise _error(
            source,
            f"the manifest has {len(raw):,} bytes; the most is {MAX_BYTES:,}",
            'put rows into a CSV or Parquet file and name it: {"file": {"path": "points.parquet"}}',
        )
    try:
        decoded = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _error(source, f"not UTF-8 at byte {error.start}", "save the file as UTF-8") from None
    _check_depth(decoded, source)
    try:
        return json.loads(
            decoded, object_pairs_hook=_unique, parse_constant=_constant, parse_float=_float, parse_int=_int
        )
    except json.JSONDecodeError as error:
        line = decoded.splitlines()[error.lineno - 1].strip()[:80] if decoded.strip() else ""
        what = f"not JSON at line {error.lineno}, column {error.colno}: {error.msg}"
        raise _error(source, what, f"the line reads: {line}" if line else "the file is empty") from None
    except _RefusedError as error:
        raise _error(source, str(error), None) from None


def _error(source: str, message: str, hint: str | None) -> ManifestError:
    return ManifestError([Diagnostic(place="", message=message, hint=hint)], source=source)


def _check_depth(text: str, source: str) -> None:
    """Nesting outside of strings, before the parser recurses."""
    depth, inside, escaped = 0, False, False
    for character in text if text.count("[") + text.count("{") > MAX_DEPTH else "":
        if inside:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == '"':
                inside = False
        elif character == '"':
            inside = True
        elif character in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise _error(source, f"lists and objects are nested deeper than {MAX_DEPTH} levels", None)
        elif character in "]}":
            depth -= 1


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _RefusedError(f"the key `{key}` appears twice in one object")
            seen.add(key)
    return document


def _constant(name: str) -> Any:
    raise _RefusedError(f"`{name}` is not a JSON number; write null or leave the key out")


def _float(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise _RefusedError(f"the number `{text[:40]}` is beyond the range of a double")
    return value


def _int(text: str) -> int:
    if len(text) > 20 or abs(int(text)) >= 2**53:
        raise _RefusedError(f"the integer `{text[:40]}` is beyond 2^53, where numbers stop being exact")
    return int(text)
