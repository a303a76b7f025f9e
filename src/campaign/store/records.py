"""JSON as campaign writes it: never NaN or Infinity, keys as given, one line a record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from campaign.errors import Damage
from campaign.store.atomic import publish_bytes

_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS


def dumps(value: Any) -> bytes:
    """One line of JSON, without a newline. NaN and ±Infinity become null; the record's `nonfinite` names them."""
    return orjson.dumps(value, option=_OPTIONS)


def dumps_pretty(value: Any) -> bytes:
    """JSON for people: indented, with a final newline."""
    return orjson.dumps(value, option=_OPTIONS | orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def loads(data: bytes | str) -> Any:
    return orjson.loads(data)


def publish_json(path: Path, value: Any, *, durable: bool = True) -> None:
    """Publish a JSON file for people and programs."""
    publish_bytes(path, dumps_pretty(value), durable=durable)


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        FileNotFoundError: as `open` does.
        Damage: the file is not JSON.
    """
    data = path.read_bytes()
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise Damage(f"{path} is not JSON ({error})", hint="run `campaign verify`") from error
