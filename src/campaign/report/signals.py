"""Signals: named numbers over steps, derived from what was recorded by recipes that are data, not code.

A recipe is a JSON object::

    {"name": "separation", "of": ["theta.x", "theta.y"], "how": "norm", "unit": "mas", "label": "separation"}
    {"name": "x error", "of": ["theta.x", "truth.x"], "how": "difference"}
    {"name": "all parameters", "of": ["theta.*"], "how": "stack", "mode": "hybrid"}

`of` names recorded arrays (``loss``, ``grad_norm``), parameters over steps (``theta.x``), and columns of the table,
which are constant (``truth.x``, ``problem.x``, ``stderr.x``). What is not there is NaN.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from campaign.errors import InvalidValue
from campaign.report.source import RunSource
from campaign.report.units import to_unit


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
    found, wrong = [], []
    for i, entry in enumerate(document if isinstance(document, list) else [document]):
        try:
            found.append(Recipe.model_validate(entry))
        except ValidationError as error:
            for e in error.errors(include_url=False):
                wrong.append(
                    "/".join(["", str(i), *map(str, e["loc"])]) + f": {e['msg'].removeprefix('Value error, ')}"
                )
    if wrong:
        hint = f"`how` is one of {', '.join(HOW)}; keys: {', '.join(Recipe.model_fields)}"
        raise InvalidValue(f"recipes of signals are not valid: {'; '.join(wrong)}", hint=hint)
    return tuple(found)


def signal(recipe: Recipe, run: RunSource) -> Signal:
    """The signal of a run, from files alone. A missing input is NaN at every step.

    Raises:
        InvalidValue: the wanted unit is none of what the inputs have.
    """
    names = [name for pattern in recipe.of for name in _expanded(pattern, run)]
    how = HOW[recipe.how]
    values = how.combine(np.stack([_over_steps(name, run) for name in names]))
    unit = _unit(names[0], run) if how.unit is None else how.unit
    truth = None
    if recipe.truth is not None:
        truth = float(_over_steps(recipe.truth, run)[-1])
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
        truth=truth,
    )


def _expanded(pattern: str, run: RunSource) -> Sequence[str]:
    if "*" not in pattern:
        return [pattern]
    names = [f"theta.{p.name}" for p in run.program.free] if pattern.startswith("theta.") else list(run.row)
    return fnmatch.filter(names, pattern) or [pattern]


def _over_steps(name: str, run: RunSource) -> np.ndarray:
    """One input at every recorded step, (T,): a parameter's path (mean of the walkers), an array, or a constant."""
    n_steps = len(run.steps)
    kind, _, parameter = name.partition(".")
    arrays = run.program.arrays
    if kind == "theta" and arrays.get("theta", ())[:1] == ("step",):
        path = np.asarray(run.trace["theta"].sel(parameter=parameter)) if _moves(parameter, run) else None
        if path is not None:
            return path.reshape(n_steps, -1).mean(axis=1)
    if arrays.get(name) == ("step",):
        return np.asarray(run.trace[name], np.float64)
    value = run.row.get(name, run.options(kind).get(parameter) if kind in ("problem", "engine") else None)
    is_number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    return np.full(n_steps, float(value) if is_number else np.nan)  # pyright: ignore[reportArgumentType]


def _moves(parameter: str, run: RunSource) -> bool:
    return any(p.name == parameter for p in run.program.free)


def _unit(name: str, run: RunSource) -> str:
    kind, _, rest = name.partition(".")
    if kind in ("theta", "truth", "start", "stderr", "derived"):
        return run.program.unit(rest)
    if name in run.program.arrays:
        return str(run.trace[name].attrs.get("units", ""))
    return run.units.get(name, "")
