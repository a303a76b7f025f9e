"""What the sections of a configuration have in common: closed models, and errors that name the place and the value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from campaign.science import Diagnostic, ManifestError, nearest


class Section(BaseModel):
    """A section: frozen; names that it does not have are refused.

    Numbers may be text ("1e-8"), because YAML reads numbers without a point so.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)


Kind = TypeVar("Kind", bound=Section)


def checked(kind: type[Kind], values: Mapping[str, Any], places: Mapping[str, str], source: str) -> Kind:
    """A section from its values.

    Args:
        places: field → where it stands in the document.

    Raises:
        ManifestError: every wrong value, with its place.
    """
    try:
        return kind(**values)
    except ValidationError as error:
        raise ManifestError((_finding(kind, item, places) for item in error.errors()), source=source) from error


def _finding(kind: type[BaseModel], item: Any, places: Mapping[str, str]) -> Diagnostic:
    name = str(item["loc"][0]) if item["loc"] else ""
    deeper = "".join(f".{part}" for part in item["loc"][1:])
    place = f"{places.get(name, name)}{deeper}" or "/"
    if item["type"] == "extra_forbidden":
        return Diagnostic(place=place, message=f"unknown key `{name}`", hint=nearest(name, kind.model_fields))
    said = item["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    return Diagnostic(place=place, message=f"the value is {item['input']!r}", hint=f"valid: {said}")


def flattened(document: Mapping[str, Any], at: str = "") -> dict[str, Any]:
    """Dotted path → value of each leaf; an empty mapping is a leaf."""
    found: dict[str, Any] = {}
    for key, value in document.items():
        place = f"{at}.{key}" if at else str(key)
        if isinstance(value, Mapping) and value:
            found |= flattened(value, place)
        else:
            found[place] = value
    return found
