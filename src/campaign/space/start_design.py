"""Where the starts of a multi-start lie: a design over the free parameters, logarithmic where that makes sense."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from campaign.errors import InvalidValue, UnknownName, nearest
from campaign.space.designs import DESIGNS, draw, unit_design
from campaign.space.priors import Prior, bounded
from campaign.space.theta import Parameter

Scale = Literal["auto", "log", "linear", "prior"]
SCALES = ("auto", "log", "linear", "prior")
DECADE = 10.0  # "auto": bounds that are further apart than this factor are sampled logarithmically


@dataclass(frozen=True, slots=True, kw_only=True)
class StartDesign:
    """Starts by name, and how each parameter was sampled.

    Attributes:
        points: one mapping a start.
        scales: parameter → "log", "linear" or "prior".
    """

    points: tuple[dict[str, float], ...]
    scales: dict[str, str]


def start_design(
    parameters: Sequence[Parameter],
    n: int,
    *,
    sampler: str = "lhs",
    scale: str | Mapping[str, str] = "auto",
    ranges: Mapping[str, tuple[float, float]] | None = None,
    seed: int = 0,
) -> StartDesign:
    """n starts between the bounds of these parameters.

    Args:
        sampler: "lhs", "sobol", "halton" or "random".
        scale: of all parameters, or of each by name: "log" (uniform in ln θ; a parameter that may be zero or negative
            is sampled linearly, and `StartDesign.scales` says so; named by itself it is an error), "linear", "prior"
            (drawn from the prior inside the bounds), "auto" (logarithmic where the bounds are positive and more than
            a factor of 10 apart).
        ranges: narrower or missing ranges, by name.

    Raises:
        InvalidValue: a parameter without a finite range, a range that its bounds do not hold, or without a prior.
        UnknownName: a sampler, scale or parameter that does not exist.

    Checked: tests/unit/space/test_start_design.py.
    """
    known = [p.name for p in parameters]
    _known(sampler, DESIGNS, "sampler")
    own = dict(scale) if isinstance(scale, Mapping) else {}
    for name in (*own, *(ranges or {})):
        _known(name, known, "free parameter")
    kinds, priors = {}, []
    for parameter in parameters:
        asked = own.get(parameter.name, "auto" if isinstance(scale, Mapping) else scale)
        _known(asked, SCALES, "scale")
        given = (ranges or {}).get(parameter.name)
        prior = _prior(parameter, asked, given, is_named=parameter.name in own)
        priors.append(prior)
        kinds[parameter.name] = {"uniform": "linear", "log_uniform": "log"}.get(prior.kind, "prior")
    unit = unit_design(sampler, n, len(priors), seed) if priors else np.empty((n, 0))
    columns = [np.clip(draw(unit[:, k], prior), *_ends(p)) for k, (p, prior) in enumerate(zip(parameters, priors))]
    points = tuple({p.name: float(column[i]) for p, column in zip(parameters, columns, strict=True)} for i in range(n))
    return StartDesign(points=points, scales=kinds)


def _known(name: str, valid: Sequence[str], what: str) -> None:
    if name not in valid:
        raise UnknownName(f"unknown {what} `{name}`", hint=nearest(name, valid))


def _ends(parameter: Parameter) -> tuple[float, float]:
    """Where a run may start at most: beside a bound that a transform cannot leave."""
    low, high = parameter.lower, parameter.upper
    if not parameter.allows(low):
        low = np.nextafter(low, math.inf)
    if not parameter.allows(high):
        high = np.nextafter(high, -math.inf)
    return low, high


def _prior(parameter: Parameter, asked: str, given: tuple[float, float] | None, *, is_named: bool) -> Prior:
    low, high = (parameter.lower, parameter.upper) if given is None else (float(given[0]), float(given[1]))
    if not (parameter.lower <= low < high <= parameter.upper):
        raise InvalidValue(
            f"the range {low:g} to {high:g} of `{parameter.name}` is not inside its bounds",
            hint=f"valid: {parameter.lower:g} to {parameter.upper:g} {parameter.unit}".rstrip(),
        )
    if asked == "prior":
        if parameter.prior is None:
            raise InvalidValue(f"`{parameter.name}` has no prior to draw starts from", hint='use "auto" or "log"')
        return bounded(parameter.prior, low, high)
    if not math.isfinite(low) or not math.isfinite(high):
        raise InvalidValue(
            f"`{parameter.name}` has no finite range to draw starts from",
            hint='give it bounds, name a range in `ranges`, or use `scale: "prior"` where it has a prior',
        )
    if asked == "log" and low <= 0 and is_named:
        raise InvalidValue(
            f"`{parameter.name}` may be {low:g}, which has no logarithm", hint="name a positive range in `ranges`"
        )
    is_wide = low > 0 and high / low > DECADE
    is_log = low > 0 and (asked == "log" or (asked == "auto" and is_wide))
    return Prior("log_uniform" if is_log else "uniform", (low, high))
