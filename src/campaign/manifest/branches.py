"""Options that may be of several kinds: which of them a wrong value was meant as. pydantic reports every one."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

_PREFIX = "Input should be "


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What pydantic found at one place.

    Attributes:
        found: as pydantic says it.
        location: the keys that lead to it in the document; pydantic's has the kind besides, where there are several.
        kinds: (number of keys before it, kind) of each choice between several.
        names: keys that are valid beside the last one; empty where they are not known.
    """

    found: Mapping[str, Any]
    location: tuple[str | int, ...]
    kinds: tuple[tuple[int, str], ...]
    names: tuple[str, ...]


def faults(found: Iterable[Mapping[str, Any]], model: type[BaseModel]) -> list[Fault]:
    """The faults of a validation, those of one kind alone for each value that may be of several."""
    kept = [_placed(one, model) for one in found]
    for level in range(max((len(one.kinds) for one in kept), default=0)):
        kept = _meant(kept, level)
    return kept


def _placed(found: Mapping[str, Any], model: type[BaseModel]) -> Fault:
    annotation: Any = model
    location: list[str | int] = []
    kinds: list[tuple[int, str]] = []
    names: tuple[str, ...] = ()
    for part in found["loc"]:
        members = _members(annotation)
        if len(members) > 1:
            kinds.append((len(location), str(part)))
            annotation = next((one for one in members if _is_kind(one, str(part))), None)
            continue
        (inner,) = members
        names = _keys(inner)
        annotation = _inside(inner, part)
        location.append(part)
    return Fault(found=found, location=tuple(location), kinds=tuple(kinds), names=names)


def _members(annotation: Any) -> list[Any]:
    """The kinds that a value may be of, without null: pydantic names none where one is left."""
    while typing.get_origin(annotation) is typing.Annotated:
        annotation = typing.get_args(annotation)[0]
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return [one for one in typing.get_args(annotation) if one is not type(None)]
    return [annotation]


def _is_kind(annotation: Any, kind: str) -> bool:
    (annotation,) = _members(annotation)
    name = getattr(typing.get_origin(annotation) or annotation, "__name__", str(annotation).rpartition(".")[2])
    return kind.partition("[")[0].lower() == name.partition("[")[0].lower()


def _keys(annotation: Any) -> tuple[str, ...]:
    if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
        return ()
    return tuple(field.alias or name for name, field in annotation.model_fields.items())


def _inside(annotation: Any, part: str | int) -> Any:
    """The annotation of what stands at a key or a number; None where it is not known."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return next((f.annotation for name, f in annotation.model_fields.items() if part in (name, f.alias)), None)
    arguments = [one for one in typing.get_args(annotation) if one is not ...]
    return arguments[-1] if len(set(arguments)) == 1 or typing.get_origin(annotation) is dict else None


def _meant(found: Sequence[Fault], level: int) -> list[Fault]:
    """The faults without those of kinds that a value was not meant as, for the choices of one level."""
    groups: dict[Any, dict[str, list[Fault]]] = {}
    for i, one in enumerate(found):
        choices = one.kinds[: level + 1]
        is_choice = len(choices) > level
        key = (one.location[: choices[level][0]], choices[:level]) if is_choice else i
        groups.setdefault(key, {}).setdefault(choices[level][1] if is_choice else "", []).append(one)
    kept: list[Fault] = []
    for kinds in groups.values():
        best = max(kinds.values(), key=lambda own: _likeness(own, level))
        is_clear = len(kinds) == 1 or _likeness(best, level) > (False, False)
        kept.extend(best if is_clear else [_any_of([own[0] for own in kinds.values()])])
    return kept


def _likeness(own: Sequence[Fault], level: int) -> tuple[bool, bool]:
    """How much a value looks like what these faults are of: it is wrong inside; it is of the right type."""
    is_inside = any(len(one.location) > one.kinds[level][0] for one in own)
    return is_inside, not any(one.found["type"].endswith(("_type", "_parsing")) or _is_other(one) for one in own)


def _is_other(one: Fault) -> bool:
    return one.found["type"] == "literal_error"


def _any_of(own: Sequence[Fault]) -> Fault:
    """One fault for a value that is of none of the kinds."""
    wanted = [one.found["msg"].removeprefix(_PREFIX) for one in own]
    expected = [one.found["ctx"]["expected"] for one in own if _is_other(one)]
    found = {**own[0].found, "type": "no_kind", "msg": _PREFIX + ", or ".join(wanted), "ctx": {"expected": expected}}
    return Fault(found=found, location=own[0].location, kinds=(), names=own[0].names)
