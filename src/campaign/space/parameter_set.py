"""Parameters by name with their priors, in order: what is sampled, weighed and handed to engines as a space."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from campaign.errors import InvalidValue, UnknownName, nearest
from campaign.space import priors
from campaign.space.designs import DESIGNS, draw, unit_design
from campaign.space.priors import Prior
from campaign.space.theta import TRANSFORMS, Parameter, ThetaSpace

AUTO = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterDefinition:
    """One parameter of a set.

    Attributes:
        prior: its distribution.
        transform: how engines see it: one of `TRANSFORMS`, "auto" (what its support asks for), or None (identity).
        value: where it is held; None where it is sampled.
    """

    name: str
    prior: Prior
    transform: str | None = None
    value: float | None = None

    def parameter(self) -> Parameter:
        """For a space: bounds are the prior's support, it starts at the median, and 1 % of a typical width is small."""
        low, high = self.prior.support
        below, median, above = self.prior.ppf(np.array([0.1587, 0.5, 0.8413]))
        return Parameter(
            name=self.name,
            initial=float(median) if self.value is None else self.value,
            lower=low,
            upper=high,
            scale=0.005 * float(above - below),
            prior=self.prior,
            transform=self._transform(low, high),
            free=self.value is None,
        )

    def _transform(self, low: float, high: float) -> str:
        if self.transform != AUTO:
            return self.transform or "identity"
        if math.isfinite(low) and math.isfinite(high):
            return "logit"
        return "log" if low == 0 else "identity"


class ParameterSet:
    """Named parameters with priors; theta is the vector of those that are not held, in the order of their addition.

    Args:
        priors: name → prior.

    Example:
        >>> from campaign.priors import Normal, ParameterSet, Uniform
        >>> ParameterSet({"rate": Uniform(0.5, 2.0)}).add("offset", Normal(0, 1)).names
        ('rate', 'offset')
    """

    def __init__(self, priors: Mapping[str, Prior] | None = None) -> None:
        self._definitions: dict[str, ParameterDefinition] = {}
        for name, prior in (priors or {}).items():
            self.add(name, prior)

    def add(self, name: str, prior: Prior, transform: str | None = None) -> ParameterSet:
        """Append a parameter, and give back the set.

        Raises:
            InvalidValue: the name is there already, or `prior` is none.
            UnknownName: no such transform.
        """
        if name in self._definitions:
            raise InvalidValue(
                f"parameter `{name}` is in the set already", hint="give every parameter a name of its own"
            )
        if not isinstance(prior, Prior):
            raise InvalidValue(f"parameter `{name}`: {prior!r} is no prior", hint="for example `Uniform(0, 1)`")
        if transform not in (None, AUTO, *TRANSFORMS):
            raise UnknownName(
                f"parameter `{name}`: unknown transform `{transform}`",
                hint=nearest(str(transform), [*TRANSFORMS, AUTO]),
            )
        definition = ParameterDefinition(name=name, prior=prior, transform=transform)
        definition.parameter()  # whether transform and support fit
        self._definitions[name] = definition
        return self

    def fix(self, **values: float) -> ParameterSet:
        """Hold parameters at values: they leave theta. Gives back the set.

        Raises:
            UnknownName: no such parameter.
            InvalidValue: a value outside the prior's support.
        """
        for name, value in values.items():
            own = self[name]
            held = ParameterDefinition(name=name, prior=own.prior, transform=own.transform, value=float(value))
            held.parameter()  # whether it may be there
            self._definitions[name] = held
        return self

    def __getitem__(self, name: str) -> ParameterDefinition:
        try:
            return self._definitions[name]
        except KeyError:
            raise UnknownName(f"unknown parameter `{name}`", hint=nearest(name, self._definitions)) from None

    def __len__(self) -> int:
        return len(self._free)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ParameterSet) and self.document() == other.document()

    __hash__ = None  # pyright: ignore[reportAssignmentType]  # it can grow; `space()` is hashable

    def __repr__(self) -> str:
        shown = ", ".join(f"{d.name}: {d.prior if d.value is None else d.value}" for d in self._definitions.values())
        return f"ParameterSet({shown})"

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(d.name for d in self._free)

    @property
    def priors(self) -> tuple[Prior, ...]:
        return tuple(d.prior for d in self._free)

    @property
    def fixed(self) -> dict[str, float]:
        """Those that are held, and where."""
        return {d.name: d.value for d in self._definitions.values() if d.value is not None}

    @property
    def bounds(self) -> list[tuple[float | None, float | None]]:
        """The ends of each prior's support; None where it is open."""
        return [prior.bounds() for prior in self.priors]

    def values(self, theta: Any) -> dict[str, float]:
        """name → value of all parameters, those that are held among them."""
        free = dict(zip(self.names, self._checked(theta, dims=1).tolist(), strict=True))
        return {name: free.get(name, d.value) for name, d in self._definitions.items()}  # pyright: ignore[reportReturnType]

    def ln_prior(self, theta: Any) -> Any:
        """Sum of the normalised log prior densities of theta (d,) or of each of (n, d); −inf outside.

        Raises:
            InvalidValue: theta has another length.
        """
        theta = self._checked(theta)
        total = sum((prior.ln_pdf(theta[..., i]) for i, prior in enumerate(self.priors)), np.zeros(theta.shape[:-1]))
        return np.where(np.isnan(total), -np.inf, total)[()]

    def sample(self, n: int, rng: Any) -> np.ndarray:
        """n independent draws (n, d); `rng` is a seed, a `numpy.random.Generator` or a JAX key."""
        return self.from_unit(_generator(rng).random((n, len(self))))

    def design(self, design: str, n: int, seed: int) -> np.ndarray:
        """n points (n, d) of a design in the unit cube: "lhs", "sobol", "halton" or "random".

        Raises:
            UnknownName: no such design.
        """
        if design not in DESIGNS:
            raise UnknownName(f"unknown design `{design}`", hint=nearest(design, DESIGNS))
        return self.from_unit(unit_design(design, n, len(self), seed))

    def from_unit(self, unit: Any) -> np.ndarray:
        """Points of the unit cube (…, d) → theta, by the inverse cumulative distributions."""
        unit = self._checked(unit)
        columns = [draw(unit[..., i], prior) for i, prior in enumerate(self.priors)]
        return np.stack(columns, axis=-1) if columns else unit

    def space(self) -> ThetaSpace:
        """The same as the space of a problem; what is held is not free in it."""
        return ThetaSpace(tuple(d.parameter() for d in self._definitions.values()))

    def document(self) -> list[dict[str, Any]]:
        """JSON: a list, so that the order is kept whatever is done to objects."""
        return [
            {"name": d.name, "prior": priors.document(d.prior)}
            | ({} if d.transform is None else {"transform": d.transform})
            | ({} if d.value is None else {"value": d.value})
            for d in self._definitions.values()
        ]

    @classmethod
    def parse(cls, document: Iterable[Mapping[str, Any]]) -> ParameterSet:
        """From what `document` gave.

        Raises:
            InvalidValue, UnknownName: an entry is not valid.
        """
        found = cls()
        for entry in document:
            if not {"name", "prior"} <= set(entry) <= {"name", "prior", "transform", "value"}:
                raise InvalidValue(f"{dict(entry)!r} is no parameter", hint="valid: name, prior, transform, value")
            found.add(entry["name"], priors.parse(entry["prior"]), entry.get("transform"))
            if "value" in entry:
                found.fix(**{entry["name"]: entry["value"]})
        return found

    @property
    def _free(self) -> list[ParameterDefinition]:
        return [d for d in self._definitions.values() if d.value is None]

    def _checked(self, theta: Any, dims: int | None = None) -> np.ndarray:
        array = np.asarray(theta, np.float64)
        if array.ndim == 0 or array.shape[-1] != len(self) or dims not in (None, array.ndim):
            raise InvalidValue(
                f"theta has shape {array.shape}, not {len(self)} numbers",
                hint=f"in this order: {', '.join(self.names)}",
            )
        return array


def _generator(rng: Any) -> np.random.Generator:
    """A generator from a seed, a generator or a JAX key, whose words are a seed."""
    if isinstance(rng, int | np.integer | np.random.Generator):
        return np.random.default_rng(rng)  # pyright: ignore[reportArgumentType]
    import jax

    is_typed = jax.dtypes.issubdtype(rng.dtype, jax.dtypes.prng_key)
    return np.random.default_rng(np.asarray(jax.random.key_data(rng) if is_typed else rng).ravel().tolist())
