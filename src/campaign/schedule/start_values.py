"""The start and scale entries that a stage gives itself, and whether all of a group's lie in the space of theta."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from typing import Any

import numpy as np
from pydantic import BaseModel

from campaign.errors import CampaignError, Diagnostic
from campaign.manifest.columns import Columns
from campaign.manifest.model import Stage
from campaign.manifest.start import DEFAULTS
from campaign.schedule.axes import Axes
from campaign.schedule.bounds import check_value
from campaign.schedule.places import Findings, Places
from campaign.space import ThetaSpace

LoadDefaults = Callable[[str], Mapping[str, float]]


def start_values(
    stage: Stage,
    space: ThetaSpace,
    problem: Mapping[str, Any],
    options: BaseModel,
    load_defaults: LoadDefaults | None,
    places: Places,
) -> tuple[dict[str, float], Findings]:
    """The start entries that the stage gives, over those of the stored defaults where it starts from them."""
    stored: Mapping[str, float] = {}
    found: Findings = []
    if stage.start.source == DEFAULTS and load_defaults is not None:
        model = getattr(options, "model", None)
        try:
            stored = load_defaults(model if isinstance(model, str) else problem["name"])
        except CampaignError as error:
            found.append(Diagnostic.of(places.key("start", "from"), error))
    known = {name: value for name, value in stored.items() if name in space.names}
    return {**known, **stage.start.values}, found


def check_values(
    space: ThetaSpace,
    given: Mapping[str, Mapping[str, float]],
    axes: Axes,
    columns: Columns,
    rows: np.ndarray,
    inherited: Container[str],
    places: Places,
) -> Findings:
    """Findings in the start and scale values of a group, of its documents and of its axes.

    Args:
        space: of theta.
        given: "start" and "scale": the entries of the stage's documents.
        axes, columns, rows: the group.
        inherited: axes that come from the stage that this one starts from.
        places: for findings.
    """
    found: Findings = []
    for kind, values in given.items():
        for name, value in values.items():
            found.extend(check_value(space, kind, name, value, value, places.of))
    for path in axes.varying:
        kind, _, name = path.partition(".")
        column = columns[path]
        if kind not in given or not column.is_present(int(rows[0])):
            continue
        if path in inherited and name not in space.names:
            continue  # a parameter that only the earlier stage's problem has
        values = column.data[rows]
        found.extend(check_value(space, kind, name, values.min().item(), values.max().item(), places.of))
    return found
