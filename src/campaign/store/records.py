"""JSON as campaign writes it: never NaN or Infinity, keys as given, one line a record, a checksum at the end."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from campaign.errors import Damage
from campaign.store.atomic import publish_bytes
from campaign.store.checksum import fault_of, seal

_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS


def dumps(value: Any) -> bytes:
    """One line of JSON, without a newline. NaN and ±Infinity become null; the record's `nonfinite` names them."""
    return orjson.dumps(value, option=_OPTIONS)


def dumps_pretty(value: Any) -> bytes:
    """JSON for people: indented, with a final newline."""
    return orjson.dumps(value, option=_OPTIONS | orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def loads(data: bytes | str) -> Any:
    return orjson.loads(data)


def publish_json(path: Path, value: Mapping[str, Any], *, durable: bool = True) -> None:
    """Publish a JSON object for people and programs, with its checksum."""
    publish_bytes(path, dumps_pretty(seal(value)), durable=durable)


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        FileNotFoundError: as `open` does.
        Damage: the file is not JSON, or not what its checksum says.
    """
    data = path.read_bytes()
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise Damage(f"{path} is not JSON ({error})", hint="run `campaign verify`") from error
    fault = fault_of(document)
    if fault is not None:
        raise Damage(f"{path} is damaged: {fault}", hint="run `campaign verify`")
    return document
