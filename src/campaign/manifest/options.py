"""Plug-ins' options as the plan needs them: which vary inside a program, which name files, what they resolve to."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
from pydantic import BaseModel, ValidationError

from campaign.errors import CampaignError, Diagnostic
from campaign.manifest.diagnose import translate
from campaign.registry import DataFile, Structural, Varying


def varying_options(options_model: type[BaseModel]) -> frozenset[str]:
    """Options whose values may differ between the runs of one program.

    Those typed `float`, unless marked `Structural`; and those marked `Varying`.
    """
    varying = set()
    for name, field in options_model.model_fields.items():
        marks = [m if isinstance(m, type) else type(m) for m in field.metadata]
        if Varying in marks or (field.annotation is float and Structural not in marks):
            varying.add(name)
    return frozenset(varying)


def validate(
    options_model: type[BaseModel], document: Mapping[str, Any], place: str, found: list[Diagnostic], extra: tuple = ()
) -> BaseModel | None:
    """Options from a JSON document; None after findings."""
    try:
        return options_model.model_validate_json(orjson.dumps(document))
    except ValidationError as error:
        found.extend(translate(error, options_model, place, extra=extra))
    except CampaignError as error:  # of a plug-in's own check; no `ValueError`, so the name of the option is not known
        found.append(Diagnostic.of(place, error))
    return None


def resolved(options: BaseModel) -> dict[str, Any]:
    """Every option as JSON, defaults filled in."""
    return options.model_dump(mode="json")


def data_files(options: BaseModel) -> tuple[str, ...]:
    """File names in `DataFile` options, sorted."""
    found: set[str] = set()
    for name, field in type(options).model_fields.items():
        value = getattr(options, name)
        if _marks_file(field.metadata) or any(_marks_file(m) for m in _metadata(field.annotation)):
            found.update(v for v in (value if isinstance(value, (list, tuple)) else [value]) if isinstance(v, str))
        elif isinstance(value, BaseModel):
            found.update(data_files(value))
    return tuple(sorted(found))


def paths(options: BaseModel) -> tuple[str, ...]:
    """What is in options of type `Path`, sorted."""
    values = (getattr(options, name) for name in type(options).model_fields)
    return tuple(sorted({value.as_posix() for value in values if isinstance(value, Path)}))


def with_files(options: BaseModel, paths: Mapping[str, str]) -> BaseModel:
    """The options with the names of data files replaced by the absolute paths that `build` takes."""
    changes: dict[str, Any] = {}
    for name, field in type(options).model_fields.items():
        value = getattr(options, name)
        if _marks_file(field.metadata) or any(_marks_file(m) for m in _metadata(field.annotation)):
            if isinstance(value, (list, tuple)):
                changes[name] = type(value)(paths.get(v, v) if isinstance(v, str) else v for v in value)
            elif isinstance(value, str):
                changes[name] = paths.get(value, value)
        elif isinstance(value, Path):
            changes[name] = Path(paths.get(value.as_posix(), value))
        elif isinstance(value, BaseModel):
            changes[name] = with_files(value, paths)
    return options.model_copy(update=changes) if changes else options


def _marks_file(metadata: Any) -> bool:
    return any(m is DataFile or isinstance(m, DataFile) for m in metadata)


def _metadata(annotation: Any) -> Iterator[tuple[Any, ...]]:
    """Metadata of every `Annotated` inside an annotation: ``Annotated[str, DataFile()] | None``, lists, tuples."""
    if typing.get_origin(annotation) is typing.Annotated:
        yield annotation.__metadata__
    if isinstance(annotation, types.GenericAlias | types.UnionType) or typing.get_args(annotation):
        for argument in typing.get_args(annotation):
            yield from _metadata(argument)
