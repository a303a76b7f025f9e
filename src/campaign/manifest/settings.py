"""`--set key=value`: single values of a manifest, changed before it is checked.

    problem.sigma=0.2              a dotted path; names that hold a dot themselves are found where they exist
    stages.fit.engine.max_steps=9  a stage by its name or number
    /expand/grid/problem.sigma=[1] a JSON pointer (RFC 6901)

The value is JSON; what is not JSON is text.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from campaign.errors import ManifestError, UsageError, nearest
from campaign.manifest import document as json_text


def with_settings(document: Any, settings: Sequence[str]) -> Any:
    """The manifest's document with every `key=value` applied, in order. The document itself stays as it is.

    Raises:
        UsageError: a setting without `=`, or one whose place cannot be in the document.
    """
    document = json.loads(json.dumps(document)) if settings else document
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not key.strip("./ "):
            raise UsageError(f"`{setting}` is not key=value", hint="for example --set problem.sigma=0.2")
        _set(document, _parts(document, key.strip(), setting), _value(text), setting)
    return document


def _value(text: str) -> Any:
    try:
        return json_text.parse(text)
    except ManifestError:
        return text


def _parts(document: Any, key: str, setting: str) -> list[str]:
    """The names on the way to a value."""
    if key.startswith("/"):
        return [part.replace("~1", "/").replace("~0", "~") for part in key[1:].split("/")]
    parts, inner, rest = [], document, key
    while rest:
        names = (
            [name for name in inner if rest == name or rest.startswith(f"{name}.")] if isinstance(inner, dict) else []
        )
        name = max(names, key=len, default=rest.partition(".")[0])
        parts.append(name)
        rest = rest[len(name) + 1 :]
        inner = _inner(inner, name, setting) if rest else None
    return parts


def _inner(outer: Any, name: str, setting: str) -> Any:
    """What is under a name; None where nothing is."""
    if isinstance(outer, list):
        return outer[_index(outer, name, setting)]
    return outer.get(name) if isinstance(outer, dict) else None


def _index(items: list[Any], name: str, setting: str) -> int:
    """The position in a list: a number from 0, or the `name` of an entry."""
    named = [str(item.get("name")) for item in items if isinstance(item, dict)]
    if name in named:
        return next(i for i, item in enumerate(items) if isinstance(item, dict) and item.get("name") == name)
    if name.isdecimal() and int(name) < len(items):
        return int(name)
    hint = nearest(name, named) if named else f"valid: 0 to {len(items) - 1}"
    raise UsageError(f"--set {setting}: the list has no entry `{name}`", hint=hint)


def _set(document: Any, parts: Sequence[str], value: Any, setting: str) -> None:
    inner = document
    for name in parts[:-1]:
        if isinstance(inner, dict):
            inner = inner.setdefault(name, {})
        else:
            inner = _inner(inner, name, setting)
        if not isinstance(inner, (dict, list)):
            raise UsageError(f"--set {setting}: `{name}` holds {json.dumps(inner)[:40]}, and nothing inside it")
    if isinstance(inner, list):
        inner[_index(inner, parts[-1], setting)] = value
    else:
        inner[parts[-1]] = value
