"""What pydantic found → diagnostics that name the place, the value and what is valid."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ValidationError

from campaign.errors import Diagnostic, nearest


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


def field_names(model: type[BaseModel], location: Iterable[str | int] = ()) -> tuple[str, ...]:
    """Names that are valid at a location inside a model."""
    for part in location:
        field = model.model_fields.get(str(part))
        annotation = field.annotation if field else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return ()
        model = annotation
    return tuple(f.alias or name for name, f in model.model_fields.items())


def translate(error: ValidationError, model: type[BaseModel], place: str, *, extra: tuple[str, ...] = ()) -> list:
    """Diagnostics of a failed validation.

    Args:
        error: what pydantic raised.
        model: the model that was validated.
        place: JSON pointer of the validated object.
        extra: further names that are valid beside the model's fields.
    """
    return [_one(found, model, place, extra) for found in error.errors(include_url=False)]


def _one(found: Any, model: type[BaseModel], place: str, extra: tuple[str, ...]) -> Diagnostic:
    location = tuple(found["loc"])
    where, value, what = pointer(place, *location), found.get("input"), found["msg"]
    name = location[-1] if location else ""
    match found["type"]:
        case "extra_forbidden":
            valid = (
                (*extra, *field_names(model, location[:-1]))
                if len(location) == 1
                else field_names(model, location[:-1])
            )
            return Diagnostic(place=where, message=f"unknown key `{name}`", hint=nearest(str(name), valid))
        case "missing":
            return Diagnostic(place=pointer(place, *location[:-1]), message=f"the key `{name}` is missing")
        case "literal_error":
            expected = str(found["ctx"]["expected"])
            valid = [part.strip(" '\"") for part in expected.replace(" or ", ",").split(",")]
            hint = nearest(value, valid) if isinstance(value, str) else "valid: " + ", ".join(valid)
            return Diagnostic(place=where, message=f"{shown(value)} is not valid here", hint=hint)
        case "value_error":
            return Diagnostic(place=where, message=what.removeprefix("Value error, "))
        case _:
            wanted = what[0].lower() + what[1:]
            return Diagnostic(place=where, message=f"{shown(value)} ({kind_of(value)}) is not valid: {wanted}")
