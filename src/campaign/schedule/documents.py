"""The problem and engine documents of a group of rows: axes filled in, validated by the plug-ins' models."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel

from campaign.errors import Diagnostic
from campaign.manifest import options as option_models
from campaign.manifest.columns import Columns
from campaign.manifest.diagnose import shown
from campaign.schedule.axes import Axes
from campaign.schedule.places import Findings, Places
from campaign.schedule.plugins import Named, load_plugins

KINDS = ("problem", "engine")
Documents = Mapping[str, Mapping[str, Any]]  # kind → document
Plugins = Mapping[str, Mapping[str, Named]]  # kind → name → plug-in
_EXTRA = {"problem": ("name", "free"), "engine": ("name",)}  # keys of a document that are no options


def named_plugins(
    bases: Documents, columns: Columns, places: Places, folder: Path, timeout_s: float | None = None
) -> tuple[Plugins, Findings]:
    """The plug-ins that a stage names, in its documents and its axes.

    Args:
        bases: the stage's own documents.
        columns, places: its points.
        folder: of the manifest, for problems in files.
        timeout_s: how long a run may take.
    """
    loaded: dict[str, dict[str, Named]] = {}
    found: Findings = []
    for kind in KINDS:
        named = []
        column = columns.get(f"{kind}.name")
        if column is None or not column.where_present().all():
            named.append((bases[kind].get("name"), places.key(kind, "name")))
        if column is not None:
            values = column.values if column.is_coded else column.data[:1].tolist()
            named.extend((value, places.of(f"{kind}.name")) for value in values)
        for name, at in named:
            if not isinstance(name, str):
                found.append(Diagnostic(place=at, message=f"{shown(name)} names no {kind}"))
        names = {name: at for name, at in named if isinstance(name, str)}
        loaded[kind] = load_plugins(kind, names, folder, found, timeout_s)
    return loaded, found


def named(plugins: Mapping[str, Named], document: Mapping[str, Any]) -> Named | None:
    """The plug-in of a document, or None where it has none that is known."""
    name = document.get("name")
    return plugins.get(name) if isinstance(name, str) else None


def document(
    kind: str, base: Mapping[str, Any], axes: Axes, columns: Columns, row: int, varying: Mapping[str, Any]
) -> dict[str, Any]:
    """The problem or engine document of a row; `varying` gives the values of varying options."""
    filled = deepcopy(dict(base))
    for path in axes.options(kind):
        column = columns[path]
        if not column.is_present(row):
            continue
        value = varying[path] if path in varying else column.value(row)
        *parents, last = path.split(".")[1:]
        inner = filled
        for key in parents:
            inner = inner.setdefault(key, {})
        inner[last] = value
    return filled


def validated(
    kind: str, named: Named | None, document: Mapping[str, Any], columns: Columns, places: Places
) -> tuple[BaseModel | None, Findings]:
    """Options of a document. After findings: without the keys at fault if that is valid, so that checking goes on."""
    if named is None:
        return None, []
    raw: Findings = []
    own = {key: value for key, value in document.items() if key not in _EXTRA[kind]}
    options = option_models.validate(named.plugin.options, own, "", raw, _EXTRA[kind])
    if raw:
        wrong = {diagnostic.place.split("/")[1] for diagnostic in raw if diagnostic.place}
        rest = {key: value for key, value in own.items() if key not in wrong}
        options = option_models.validate(named.plugin.options, rest, "", [], _EXTRA[kind])
    found = []
    for diagnostic in raw:
        path = kind + diagnostic.place.replace("/", ".")
        while path not in columns and "." in path.partition(".")[2]:
            path = path.rpartition(".")[0]
        at = places.of(path) if path in columns else places.key(kind) + diagnostic.place
        found.append(Diagnostic(place=at, message=diagnostic.message, hint=diagnostic.hint))
    return options, found


def quietly(named: Named, document: Mapping[str, Any]) -> BaseModel | None:
    """Options of a problem document, or None where they are not valid."""
    own = {key: value for key, value in document.items() if key not in _EXTRA["problem"]}
    return option_models.validate(named.plugin.options, own, "", [], _EXTRA["problem"])


def extremes(axes: Axes, columns: Columns, rows: np.ndarray, row: int) -> list[dict[str, float]]:
    """Smallest and largest values of the varying options of a group, where they differ."""
    paths = [p for p in axes.varying if p.startswith(("problem.", "engine.")) and columns[p].is_present(row)]
    lows = {p: columns[p].data[rows].min().item() for p in paths}
    highs = {p: columns[p].data[rows].max().item() for p in paths}
    return [lows, highs] if lows != highs else []


def at_base(full: Mapping[str, Any], kind: str, base: Mapping[str, Any], named: Named, axes: Axes) -> dict[str, Any]:
    """The document with varying axes at their base value: of the stage's document, else the option's default."""
    document = dict(full)
    for path in axes.options(kind):
        name = path.partition(".")[2]
        if path in axes.varying or path in axes.varying_coded:
            field = named.plugin.options.model_fields.get(name)
            if name in base:
                document[name] = base[name]
            elif field is not None and not field.is_required():
                document[name] = field.get_default(call_default_factory=True)
    return document
