"""One tolerance for every optimiser: the largest gradient of chi2, per typical change of the parameters, at the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from campaign.science import InvalidValue
from campaign_cosmology.model.optimizers import ACCEPTS, BUILTIN_OPTIMIZERS, OPTIMIZERS

LEAST, LARGEST = 1e-12, 1e-2  # below it chi2 is rounding; above it the end is no optimum
LEAST_FTOL = 1e-15  # relative change of chi2 below which it is rounding
TRF = 1e-10  # where the engine ends by itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """What became of a tolerance: the one that was asked for, the one that is used, and why they differ."""

    asked: float
    used: float
    options: dict[str, Any]
    note: str | None


def checked_tolerance(value: Any) -> float:
    """A positive number.

    Raises:
        ValueError (InvalidValue): another value.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0 or value == float("inf"):
        raise InvalidValue(f"the tolerance is {value!r}", hint="a positive number, for example 1e-6")
    return float(value)


def tolerance_for(method: str, options: Mapping[str, Any] | None, asked: float) -> Tolerance:
    """The options of an optimiser with the tolerance in its own terms; options that are given stay.

    `minimize`: gtol, and ftol = tolerance², which is what is left of chi2 where the gradient is that small.
    `differential_evolution`: tol and atol of the population, before it is finished by `minimize`. `trf` ends by
    tolerances of its own, of 1e-10, and takes tighter ones. One that was registered takes none.
    """
    used = min(max(asked, LEAST), LARGEST)
    reason = "below it chi2 is rounding" if asked < LEAST else "with a larger one the end is no optimum"
    note = f"convergence_tolerance {asked:g} is clipped to {used:g}: {reason}" if used != asked else None
    if OPTIMIZERS.get(method) is not BUILTIN_OPTIMIZERS.get(method):
        own: dict[str, float] = {}
        note = f"convergence_tolerance does not reach `{method}`, which was registered; the end is judged by it"
    elif method == "differential_evolution":
        own = {"tol": used, "atol": used}
    elif method == "trf":
        own = {"gtol": min(used, TRF)}
        if used > TRF:
            note = f"convergence_tolerance {asked:g} is clipped to {TRF:g}: `trf` ends there by itself"
    else:
        kind = str((options or {}).get("method", "L-BFGS-B"))
        own = {"gtol": used, "ftol": max(used**2, LEAST_FTOL), "xtol": used}
        own = {key: value for key, value in own.items() if key in ACCEPTS.get(kind, own)}
        if not own:
            note = f"convergence_tolerance does not reach {kind}, which has none; the end is judged by it"
    return Tolerance(asked=asked, used=used, options={**own, **(options or {})}, note=note)
