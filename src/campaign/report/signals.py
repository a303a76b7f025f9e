"""Signals: named numbers over steps, derived from what was recorded by recipes that are data, not code.

A recipe is a JSON object::

    {"name": "separation", "of": ["theta.x", "theta.y"], "how": "norm", "unit": "mas", "label": "separation"}
    {"name": "x error", "of": ["theta.x", "truth.x"], "how": "difference"}
    {"name": "all parameters", "of": ["theta.*"], "how": "stack", "mode": "hybrid"}

`of` names recorded arrays (``loss``, ``grad_norm``), components over steps (``theta.x``, ``grad.x``,
``block_grad_norm.photometry``), and columns of the table, which are constant (``truth.x``, ``problem.x``).
What is not there is NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from campaign.errors import InvalidValue
from campaign.report.signal_source import SignalSource, of_run
from campaign.report.source import RunSource
from campaign.report.units import to_unit

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """A quantity over steps.

    Attributes:
        values: (T,) or (T, k).
        unit: of the values.
        parts: names of the k components; empty for (T,).
        kind: "value", "residual" (zero is the goal), "ppm" (a residual in parts in a million).
        truth: value that a "value" should reach, or None.
    """

    name: str
    label: str
    values: np.ndarray
    unit: str = ""
    parts: tuple[str, ...] = ()
    kind: Literal["value", "residual", "ppm"] = "value"
    truth: float | None = None


@dataclass(frozen=True, slots=True)
class _How:
    """A way to combine: from arrays (n inputs, T) to (T,) or (n, T)."""

    combine: Callable[[np.ndarray], np.ndarray]
    n_inputs: int | None
    kind: Literal["value", "residual", "ppm"] = "value"
    unit: str | None = None  # None: that of the inputs


def _ppm(x: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return 1e6 * (x[0] / x[1] - 1.0)


def _ratio(x: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return x[0] / x[1]


HOW: Mapping[str, _How] = {
    "value": _How(lambda x: x[0], 1),
    "stack": _How(lambda x: x, None),
    "sum": _How(lambda x: x.sum(axis=0), None),
    "mean": _How(lambda x: x.mean(axis=0), None),
    "norm": _How(lambda x: np.sqrt((x**2).sum(axis=0)), None),
    "rms": _How(lambda x: np.sqrt((x**2).mean(axis=0)), None),
    "difference": _How(lambda x: x[0] - x[1], 2, "residual"),
    "ratio": _How(_ratio, 2, "value", ""),
    "ppm": _How(_ppm, 2, "ppm", "ppm"),
}


class Recipe(BaseModel):
    """How a signal is made, as JSON writes it."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: str = Field(min_length=1)
    of: list[str] = Field(min_length=1)
    how: Literal["value", "stack", "sum", "mean", "norm", "rms", "difference", "ratio", "ppm"] = "value"
    unit: str | None = None
    label: str | None = None
    truth: str | None = None
    mode: Literal["components", "summary", "hybrid"] = "components"

    @model_validator(mode="after")
    def _inputs(self) -> Recipe:
        n = HOW[self.how].n_inputs
        if n is not None and len(self.of) != n:
            raise ValueError(f"`{self.how}` takes {n} of `of`, not {len(self.of)}")
        return self


def recipes(document: Any) -> tuple[Recipe, ...]:
    """Recipes from a JSON document: one object or a list of them.

    Raises:
        InvalidValue: with the place and the message of each one that is not valid.
    """
    hint = f"`how` is one of {', '.join(HOW)}; keys: {', '.join(Recipe.model_fields)}"
    return validated(Recipe, document, "recipes of signals", hint)


def validated(model: type[M], document: Any, what: str, hint: str) -> tuple[M, ...]:
    """Models from a JSON document: one object or a list of them.

    Raises:
        InvalidValue: with the place and the message of each one that is not valid.
    """
    found, wrong = [], []
    for i, entry in enumerate(document if isinstance(document, list) else [document]):
        try:
            found.append(model.model_validate(entry))
        except ValidationError as error:
            for e in error.errors(include_url=False):
                wrong.append(
                    "/".join(["", str(i), *map(str, e["loc"])]) + f": {e['msg'].removeprefix('Value error, ')}"
                )
    if wrong:
        raise InvalidValue(f"{what} are not valid: {'; '.join(wrong)}", hint=hint)
    return tuple(found)


def signal(recipe: Recipe, run: RunSource | SignalSource) -> Signal:
    """The signal of a run. A missing input is NaN at every step.

    Raises:
        InvalidValue: the wanted unit is none of what the inputs have.
    """
    source = of_run(run) if isinstance(run, RunSource) else run
    names = [name for pattern in recipe.of for name in source.expanded(pattern)]
    how = HOW[recipe.how]
    values = how.combine(np.stack([source.over_steps(name) for name in names]))
    unit = source.unit(names[0]) if how.unit is None else how.unit
    truth = None
    if recipe.truth is not None:
        found = source.over_steps(recipe.truth)
        truth = float(found[-1]) if len(found) else None
    if recipe.unit is not None and recipe.unit != unit:
        factor = to_unit(unit, recipe.unit)
        if factor is None:
            raise InvalidValue(
                f"the signal `{recipe.name}` is in `{unit}`, not in `{recipe.unit}`", hint="leave `unit` out"
            )
        values, unit = values * factor, recipe.unit
        truth = None if truth is None else truth * factor
    parts = tuple(name.partition(".")[2] or name for name in names) if values.ndim == 2 else ()
    return Signal(
        name=recipe.name,
        label=recipe.label or recipe.name,
        values=values.T,
        unit=unit,
        parts=parts,
        kind=how.kind,
        truth=truth if truth is not None and np.isfinite(truth) else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalSet:
    """The signals of one run by name, in order, over the same steps.

    Attributes:
        steps: numbers of the steps (T,).
        seconds: from the start of the run to the end of each step; NaN where they are not known.
    """

    signals: Mapping[str, Signal]
    steps: np.ndarray
    seconds: np.ndarray

    def x(self, axis: str) -> np.ndarray:
        """What is drawn along: "step" or "time" [s]."""
        return self.seconds if axis == "time" else self.steps


def signals(recipes: Sequence[Recipe], run: RunSource | SignalSource) -> SignalSet:
    """The signals of some recipes.

    Raises:
        InvalidValue: two have one name, or a unit is not that of what a recipe makes.
    """
    source = of_run(run) if isinstance(run, RunSource) else run
    found: dict[str, Signal] = {}
    for recipe in recipes:
        if recipe.name in found:
            raise InvalidValue(f"two signals are named `{recipe.name}`", hint="give every signal a name of its own")
        found[recipe.name] = signal(recipe, source)
    return SignalSet(signals=found, steps=source.steps, seconds=source.seconds)
