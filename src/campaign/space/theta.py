"""The space of theta: which parameters a problem has, their units, bounds, priors and transforms. No JAX."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from campaign.errors import InvalidValue, UnknownName, nearest
from campaign.space.priors import Prior

TRANSFORMS = ("identity", "log", "logit")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter of a problem.

    Two parameters that differ only in `initial` or `description` are equal: they compile to the same program.

    Attributes:
        name: identifier, unique in its space.
        initial: where a run starts when the manifest does not say.
        unit: as a person writes it; "" for a pure number.
        lower, upper: physical bounds, ±inf where there are none.
        scale: a typical size of a change of it; 1 % of |initial| or of the range when None.
        prior: for samplers; None is flat between the bounds.
        transform: how engines see it: "identity", "log" (positive), "logit" (between its bounds).
        free: whether engines move it when the manifest's `problem.free` does not say.
        description: one line.
    """

    name: str
    initial: float = field(compare=False)
    unit: str = ""
    lower: float = -math.inf
    upper: float = math.inf
    scale: float | None = None
    prior: Prior | None = None
    transform: str = "identity"
    free: bool = True
    description: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        if not self.lower < self.upper:
            raise InvalidValue(f"parameter `{self.name}`: lower {self.lower} is not below upper {self.upper}")
        if self.transform not in TRANSFORMS:
            raise UnknownName(
                f"parameter `{self.name}`: unknown transform `{self.transform}`",
                hint=nearest(self.transform, TRANSFORMS),
            )
        if self.transform == "log" and self.lower < 0:
            raise InvalidValue(f"parameter `{self.name}`: transform `log` needs lower ≥ 0, not {self.lower}")
        if self.transform == "logit" and not (math.isfinite(self.lower) and math.isfinite(self.upper)):
            raise InvalidValue(f"parameter `{self.name}`: transform `logit` needs two finite bounds")
        if self.scale is not None and not 0 < self.scale < math.inf:
            raise InvalidValue(f"parameter `{self.name}`: the scale {self.scale} is not a positive number")
        if not math.isfinite(self.initial):
            raise InvalidValue(f"parameter `{self.name}`: initial {self.initial} is not a finite number")
        if not self.allows(self.initial):
            raise InvalidValue(
                f"parameter `{self.name}`: initial {self.initial} is {self.where_not}", hint=f"valid: {self.valid}"
            )

    def allows(self, value: float) -> bool:
        """Whether a run may start there: a number inside the bounds, where u is finite."""
        if not math.isfinite(value):
            return False
        if self.transform == "identity" or (self.transform == "log" and self.lower > 0):
            return self.lower <= value <= self.upper
        if self.transform == "log":
            return 0 < value <= self.upper
        return self.lower < value < self.upper

    @property
    def support(self) -> tuple[float, float]:
        """The bounds, narrowed to where the prior has a density."""
        low, high = (-math.inf, math.inf) if self.prior is None else self.prior.support
        return max(low, self.lower), min(high, self.upper)

    @property
    def where_not(self) -> str:
        """What is wrong with a start that is not allowed, in words."""
        if self.transform == "identity":
            return "out of bounds"
        return f"out of bounds, or on a bound that its transform `{self.transform}` cannot leave"

    @property
    def valid(self) -> str:
        """Where a run may start, in words."""
        is_open = self.transform == "logit" or (self.transform == "log" and self.lower == 0)
        ends = " without the bounds" if self.transform == "logit" else " without 0" if is_open else ""
        return f"{self.lower:g} to {self.upper:g} {self.unit}".rstrip() + ends

    @property
    def typical(self) -> float:
        """A typical size of a change: `scale`, else 1 % of the finite range, else 1 % of |initial|, else 0.01."""
        if self.scale is not None:
            return self.scale
        width = self.upper - self.lower
        if math.isfinite(width):
            return 0.01 * width
        return 0.01 * abs(self.initial) or 0.01


@dataclass(frozen=True, slots=True)
class ThetaSpace:
    """The ordered parameters of a problem. Frozen and hashable: part of what gets compiled."""

    parameters: tuple[Parameter, ...]

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for parameter in self.parameters:
            if parameter.name in seen:
                raise InvalidValue(f"parameter `{parameter.name}` appears twice in the space")
            seen.add(parameter.name)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(p.name for p in self.parameters)

    @property
    def units(self) -> tuple[str, ...]:
        return tuple(p.unit for p in self.parameters)

    @property
    def initial(self) -> np.ndarray:
        return np.array([p.initial for p in self.parameters], dtype=np.float64)

    @property
    def lower(self) -> np.ndarray:
        return np.array([p.lower for p in self.parameters], dtype=np.float64)

    @property
    def upper(self) -> np.ndarray:
        return np.array([p.upper for p in self.parameters], dtype=np.float64)

    @property
    def typical(self) -> np.ndarray:
        return np.array([p.typical for p in self.parameters], dtype=np.float64)

    @property
    def free_names(self) -> tuple[str, ...]:
        return tuple(p.name for p in self.parameters if p.free)

    def __len__(self) -> int:
        return len(self.parameters)

    def __getitem__(self, name: str) -> Parameter:
        return self.parameters[self.index(name)]

    def index(self, name: str) -> int:
        """Position of a parameter.

        Raises:
            UnknownName: with the nearest name.
        """
        try:
            return self.names.index(name)
        except ValueError:
            raise UnknownName(f"unknown parameter `{name}`", hint=nearest(name, self.names)) from None

    def subset(self, names: Iterable[str]) -> ThetaSpace:
        """The named parameters, in the order of this space."""
        wanted = {self.index(name) for name in names}
        return ThetaSpace(tuple(p for i, p in enumerate(self.parameters) if i in wanted))

    def with_free(self, names: Iterable[str] | None) -> ThetaSpace:
        """The same space with exactly `names` free; None keeps the problem's own choice."""
        if names is None:
            return self
        wanted = {self.index(name) for name in names}
        return ThetaSpace(tuple(replace(p, free=i in wanted) for i, p in enumerate(self.parameters)))

    def theta(self, values: Mapping[str, float]) -> np.ndarray:
        """Initial values with `values` put in.

        Raises:
            UnknownName: a name that is no parameter.
            InvalidValue: a value outside the bounds, not finite, or on a bound where a log or logit parameter has no u.
        """
        theta = self.initial
        for name, value in values.items():
            i = self.index(name)
            parameter = self.parameters[i]
            if not parameter.allows(value):
                raise InvalidValue(
                    f"start `{name}` = {value} is {parameter.where_not}", hint=f"valid: {parameter.valid}"
                )
            theta[i] = value
        return theta
