"""The space of theta of a group of rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
from pydantic import BaseModel

from campaign.errors import CampaignError, Diagnostic
from campaign.identity import canonical
from campaign.manifest import options as option_models
from campaign.manifest.columns import Columns
from campaign.schedule.axes import Axes
from campaign.schedule.documents import document, quietly
from campaign.schedule.inputs import Inputs
from campaign.schedule.places import Findings, Places
from campaign.schedule.plugins import Built, Named, built_once

TRIALS = 16  # further runs of a group that are built when its first one cannot be


def space_key(named: Named, options: BaseModel, free: Any) -> bytes:
    """What the space of a group follows from: equal keys have equal spaces."""
    varying = option_models.varying_options(named.plugin.options)
    fixed = {k: v for k, v in option_models.resolved(options).items() if k not in varying}
    return canonical([named.plugin.name, fixed, free])


def described(
    named: Named,
    options: BaseModel,
    others: Iterable[BaseModel],
    inputs: Inputs,
    free: Any,
    places: Places,
    timeout_s: float | None = None,
) -> tuple[Built | None, Findings]:
    """The space of a group's problem with `free` applied, and what the problem reads.

    Args:
        named: the problem.
        options: of the group's first run; `others` are asked when that one cannot be built.
        inputs: the files that the runs read.
        free: the parameters that move, or None.
        places: for findings.
        timeout_s: how long a run may take.
    """
    files = {name: entry["path"] for name, entry in inputs.items()}
    try:
        trials = (option_models.with_files(one, files) for one in chain([options], others))
        built = built_once(named, trials, inputs, _content_key(named, options, inputs), timeout_s)
    except CampaignError as error:
        found = Diagnostic.of(places.key("problem"), error)
        if named.module is not None and named.module.name not in found.message:
            found = replace(found, message=f"`{named.module.name}`: {found.message}")
        return None, [found]
    try:
        return built._replace(space=built.space.with_free(free)), []
    except CampaignError as error:
        return None, [Diagnostic.of(places.of("problem.free"), error)]


def read_beside(named: Named, options: BaseModel, inputs: Inputs) -> dict[str, str]:
    """Files that a problem reads beside its code while it is built: name → SHA-256. Empty for problems of packages."""
    if named.module is None:
        return {}
    files = {name: entry["path"] for name, entry in inputs.items()}
    trials = [option_models.with_files(options, files)]
    built = built_once(named, trials, inputs, _content_key(named, options, inputs))
    return {name: h for name, h in built.beside.items() if name not in named.module.code.files}


def _content_key(named: Named, options: BaseModel, inputs: Inputs) -> bytes:
    """Equal where a problem's code and everything that it is given are equal."""
    code = (named.module.sha256, named.module.name, named.module.attribute) if named.module else ()
    files = {name: entry["sha256"] for name, entry in inputs.items()}
    return canonical([named.plugin.name, *code, option_models.resolved(options), files])


def other_options(
    named: Named, base: Mapping[str, Any], axes: Axes, columns: Columns, rows: np.ndarray
) -> Iterator[BaseModel]:
    """Options of further runs of a group, for when the first one cannot be built."""
    varying = [path for path in axes.varying if path.startswith("problem.")]
    for row in rows[np.linspace(0, len(rows) - 1, TRIALS, dtype=int)] if varying else ():
        options = quietly(named, document("problem", base, axes, columns, int(row), {}))
        if options is not None:
            yield options
