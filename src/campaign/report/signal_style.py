"""How signals are drawn, and which of them together: what a JSON document says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from campaign.report.signals import Recipe, recipes, validated

N_LARGEST = 3  # components beside the summary

Mode = Literal["components", "summary", "hybrid"]
Summary = Literal["rms", "norm", "mean_abs"]
Scale = Literal["auto", "linear", "log", "symlog"]
Rank = Literal["final", "max", "rms"]


class Style(BaseModel):
    """How signals are drawn, as JSON writes it.

    Attributes:
        mode: of components: "components", a line each; "summary", one number of them; "hybrid", both, of the first
            `n_largest` components by `rank_by`: |final|, the largest |value|, or the root of the mean square.
        summary: "rms" √mean(v²), "norm" √Σv², or "mean_abs" mean|v|.
        unit: to draw in; None: a readable one of the same kind.
        yscale: "auto": symlog for a residual of more than three decades, else linear.
        x: "step", or "time" [s].
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    mode: Mode = "components"
    summary: Summary = "rms"
    rank_by: Rank = "final"
    n_largest: int = Field(default=N_LARGEST, ge=0)
    unit: str | None = None
    yscale: Scale = "auto"
    x: Literal["step", "time"] = "step"


class PanelRecipe(Style):
    """One drawing of one or several signals, as JSON writes it.

    Attributes:
        of_runs: how the first of its signals is drawn of all runs of a stage: "bands", median and quantiles over the
            runs; "lines", one a run, coloured by the axis that differs.
    """

    id: str = Field(min_length=1, pattern=r"^[^/\\]+$")
    signals: list[str] = Field(min_length=1)
    title: str | None = None
    of_runs: Literal["bands", "lines"] = "bands"


def alone(found: Sequence[Recipe]) -> tuple[PanelRecipe, ...]:
    """A drawing for each signal."""
    return tuple(PanelRecipe(id=f"{i}", signals=[one.name], mode=one.mode) for i, one in enumerate(found))


def document(value: Any) -> tuple[tuple[Recipe, ...], tuple[PanelRecipe, ...]]:
    """Recipes of signals and of panels from a JSON document: ``{"signals": [...], "panels": [...]}``, or the first list
    alone; then each signal has a panel.

    Raises:
        InvalidValue: with the place and the message of each entry that is not valid.
    """
    if not isinstance(value, Mapping) or "signals" not in value:
        found = recipes(value)
        return found, alone(found)
    found = recipes(value["signals"])
    keys = ", ".join(PanelRecipe.model_fields)
    panels = validated(PanelRecipe, value.get("panels", []), "panels of signals", f"keys: {keys}")
    return found, panels or alone(found)
