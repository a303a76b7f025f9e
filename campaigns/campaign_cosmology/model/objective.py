"""chi2 as a function of the free parameters, with exact derivatives, for optimisers on the host."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from campaign.science import Parameter, ThetaSpace
from campaign_cosmology.model.problem import CosmologyProblem


class Objective(Protocol):
    """chi2 of the free parameters, in their own units and in the order of `names`."""

    @property
    def parameters(self) -> tuple[Parameter, ...]: ...

    @property
    def start(self) -> np.ndarray: ...

    def __call__(self, x: np.ndarray) -> float: ...

    def gradient(self, x: np.ndarray) -> np.ndarray: ...

    def many(self, x: np.ndarray) -> np.ndarray: ...


def _free(space: ThetaSpace) -> np.ndarray:
    return np.array([space.index(name) for name in space.free_names], int)


def _theta(problem: CosmologyProblem, base: jax.Array, x: jax.Array) -> jax.Array:
    return base.at[_free(problem.space)].set(x)


@eqx.filter_jit
def _residuals(problem: CosmologyProblem, base: jax.Array, x: jax.Array) -> jax.Array:
    return problem.residuals(_theta(problem, base, x))


@eqx.filter_jit
def _both(problem: CosmologyProblem, base: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    def twice(y):
        r = problem.residuals(_theta(problem, base, y))
        return r, r

    jacobian, residuals = jax.jacfwd(twice, has_aux=True)(x)
    return residuals, jacobian


@eqx.filter_jit
def _many(problem: CosmologyProblem, base: jax.Array, x: jax.Array) -> jax.Array:
    def one(y):
        r = problem.residuals(_theta(problem, base, y))
        return r @ r

    return jax.vmap(one)(x)


@dataclass(frozen=True)
class ProblemObjective:
    """chi2 of a `CosmologyProblem`. NaN becomes +inf, so that optimisers turn away from it.

    Attributes:
        problem: its space says which parameters are free, and their bounds.
        base: the whole theta; fixed parameters keep these values.
    """

    problem: CosmologyProblem
    base: np.ndarray

    @cached_property
    def program(self) -> CosmologyProblem:
        """The problem without bounds and initial values, which chi2 does not ask for: they do not compile it anew."""
        own = self.problem.space.parameters
        named = ThetaSpace(tuple(Parameter(name=p.name, initial=0.0, free=p.free) for p in own))
        return replace(self.problem, space=named)

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        space = self.problem.space
        return space.subset(space.free_names).parameters

    @property
    def start(self) -> np.ndarray:
        return self.base[_free(self.problem.space)]

    def residuals(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(_residuals(self.program, jnp.asarray(self.base), jnp.asarray(x)))

    def linearised(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Whitened residuals (N,) and their Jacobian (N, d)."""
        r, jacobian = _both(self.program, jnp.asarray(self.base), jnp.asarray(x))
        return np.asarray(r), np.asarray(jacobian)

    def __call__(self, x: np.ndarray) -> float:
        r = self.residuals(x)
        value = float(r @ r)
        return value if np.isfinite(value) else np.inf

    def gradient(self, x: np.ndarray) -> np.ndarray:
        r, jacobian = self.linearised(x)
        return 2.0 * jacobian.T @ r

    def many(self, x: np.ndarray) -> np.ndarray:
        """chi2 at many points (n, d) → (n,)."""
        values = np.asarray(_many(self.program, jnp.asarray(self.base), jnp.asarray(x)))
        return np.where(np.isfinite(values), values, np.inf)

    def theta(self, x: np.ndarray) -> np.ndarray:
        """The whole parameter vector."""
        full = self.base.copy()
        full[_free(self.problem.space)] = x
        return full

    def holding(self, name: str, x: np.ndarray) -> ProblemObjective:
        """chi2 of the other parameters, with one held at its value in x."""
        space = self.problem.space
        others = space.with_free(n for n in space.free_names if n != name)
        return ProblemObjective(replace(self.problem, space=others), self.theta(x))

    def with_problem(self, problem: CosmologyProblem) -> ProblemObjective:
        return replace(self, problem=problem)


@dataclass(frozen=True)
class Part:
    """One data set of a registered fit: its data, chi2 of (parameters, data), and how its data are drawn again.

    `resample(data, b)` gives data with noise number b; None where the likelihood does not say how.
    """

    name: str
    data: Mapping[str, Any]
    chi2: Callable[[dict[str, float], Mapping[str, Any]], float]
    resample: Callable[[Mapping[str, Any], int], Mapping[str, Any]] | None = None


@dataclass(frozen=True)
class FunctionObjective:
    """chi2 as a Python function, for models and data sets that were registered: gradients by central differences.

    Attributes:
        parts: the data sets whose chi2 it is the sum of, where it is that.
    """

    function: Callable[[dict[str, float]], float]
    parameters: tuple[Parameter, ...]
    start: np.ndarray
    parts: tuple[Part, ...] = ()

    @classmethod
    def of(cls, parts: Sequence[Part], parameters: tuple[Parameter, ...], start: np.ndarray) -> FunctionObjective:
        """The sum over data sets."""

        def chi2(values: dict[str, float]) -> float:
            return sum(part.chi2(values, part.data) for part in parts)

        return cls(chi2, parameters, start, tuple(parts))

    def holding(self, name: str, x: np.ndarray) -> FunctionObjective:
        """chi2 of the other parameters, with one held at its value in x."""
        i = [p.name for p in self.parameters].index(name)
        held = {name: float(x[i])}
        others = (*self.parameters[:i], *self.parameters[i + 1 :])
        return FunctionObjective(lambda values: self.function({**values, **held}), others, np.delete(x, i))

    def __call__(self, x: np.ndarray) -> float:
        value = float(self.function({p.name: float(v) for p, v in zip(self.parameters, x, strict=True)}))
        return value if np.isfinite(value) else np.inf

    def gradient(self, x: np.ndarray) -> np.ndarray:
        steps = 1e-4 * np.array([p.typical for p in self.parameters])
        high, low = x + np.diag(steps), x - np.diag(steps)
        return np.array([(self(h) - self(b)) / (2 * s) for h, b, s in zip(high, low, steps, strict=True)])

    def many(self, x: np.ndarray) -> np.ndarray:
        return np.array([self(row) for row in x])
