"""What pydantic found → diagnostics that name the place, the value and what is valid."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel, ValidationError

from campaign.errors import Diagnostic, nearest
from campaign.manifest.branches import Fault, faults


def pointer(*parts: str | int) -> str:
    """JSON pointer (RFC 6901) of a place: ``pointer("/stages/0", "expand")`` → ``/stages/0/expand``.

    The first part may be a pointer already; the others are escaped.
    """
    head, tail = (str(parts[0]), parts[1:]) if parts else ("", ())
    return head + "".join("/" + str(p).replace("~", "~0").replace("/", "~1") for p in tail)


def shown(value: Any) -> str:
    """A value as JSON, cut to 80 characters."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def kind_of(value: Any) -> str:
    """The JSON type of a value, as a person says it."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list() | tuple():
            return "a list"
        case _:
            return "an object"


def translate(error: ValidationError, model: type[BaseModel], place: str, *, extra: tuple[str, ...] = ()) -> list:
    """Diagnostics of a failed validation.

    Args:
        error: what pydantic raised.
        model: the model that was validated.
        place: JSON pointer of the validated object.
        extra: further names that are valid beside the model's fields.
    """
    found = faults(error.errors(include_url=False), model)
    misspelt = {(one.location[:-1], _meant(one, extra)) for one in found if one.found["type"] == "extra_forbidden"}
    return [
        _one(one, place, extra)
        for one in found
        if one.found["type"] != "missing" or (one.location[:-1], str(one.location[-1])) not in misspelt
    ]


def _valid(one: Fault, extra: tuple[str, ...]) -> tuple[str, ...]:
    return (*extra, *one.names) if len(one.location) == 1 else one.names


def _meant(one: Fault, extra: tuple[str, ...]) -> str | None:
    """The valid name that an unknown one is near to, if it is near to one alone."""
    hint = nearest(str(one.location[-1]), _valid(one, extra))
    return hint.split("`")[1] if hint.startswith("did you mean") and hint.count("`") == 2 else None


def _choices(expected: str) -> list[str]:
    return [part.strip(" '\"") for part in expected.replace(" or ", ",").split(",")]


def _one(fault: Fault, place: str, extra: tuple[str, ...]) -> Diagnostic:
    found, location = fault.found, fault.location
    where, value, what = pointer(place, *location), found.get("input"), found["msg"]
    name = location[-1] if location else ""
    match found["type"]:
        case "extra_forbidden":
            hint = nearest(str(name), _valid(fault, extra))
            return Diagnostic(place=where, message=f"unknown key `{name}`", hint=hint)
        case "missing":
            return Diagnostic(place=pointer(place, *location[:-1]), message=f"the key `{name}` is missing")
        case "literal_error":
            valid = _choices(str(found["ctx"]["expected"]))
            hint = nearest(value, valid) if isinstance(value, str) else "valid: " + ", ".join(valid)
            return Diagnostic(place=where, message=f"{shown(value)} is not valid here", hint=hint)
        case "value_error":
            return Diagnostic(place=where, message=what.removeprefix("Value error, "))
        case _:
            wanted = what[0].lower() + what[1:]
            hint = None
            if found["type"] == "no_kind" and isinstance(value, str):
                hint = nearest(value, [one for own in found["ctx"]["expected"] for one in _choices(own)])
                hint = hint if hint.startswith("did you mean") else None
            return Diagnostic(
                place=where, message=f"{shown(value)} ({kind_of(value)}) is not valid: {wanted}", hint=hint
            )
