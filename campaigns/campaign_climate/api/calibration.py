"""Parameters, a target, a runner and a likelihood as one problem that any engine fits."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from campaign.science import InvalidValue, Parameter, Prior, Problem, PythonModel, ThetaSpace
from campaign_climate.api.outputs import read_outputs, read_scalars
from campaign_climate.api.runner import ModelRunner
from campaign_climate.data.ranges import SplitNormal
from campaign_climate.model.compared import Compared, positions, require_outputs
from campaign_climate.model.likelihood import GaussianLikelihood, total
from campaign_climate.model.target import Target


class ClimateWarning(UserWarning):
    """Something about a fit that a reader of its numbers must know."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """What turns a model's output into ln L; the same on the host and under JAX.

    Attributes:
        target: as it was when the fit was made. likelihood: of its data.
        compared: variables with the errors of a Gaussian likelihood; None for a likelihood of the user's own.
    """

    target: Target
    likelihood: Any
    compared: tuple[Compared, ...] | None

    @classmethod
    def of(cls, target: Target, likelihood: Any) -> Comparison:
        """Raises:
        InvalidValue: an empty target, a likelihood without `ln_likelihood`, errors that are missing.
        """
        if not len(target):
            raise InvalidValue("the target is empty", hint="target.add_variable(name, times, values, uncertainties)")
        if not callable(getattr(likelihood, "ln_likelihood", None)):
            raise InvalidValue(
                f"a likelihood of type {type(likelihood).__name__}", hint="it needs ln_likelihood(output, target)"
            )
        own = likelihood.compared(target) if isinstance(likelihood, GaussianLikelihood) else None
        return cls(target.copy(), likelihood, own)

    def observed(self, runner: ModelRunner, values: Any) -> dict[str, Any]:
        """Model values at the observed times by variable, and derived numbers by name."""
        made = runner.made(values)
        variables = self.target.variables
        found = read_outputs(made, variables, runner.times) if variables else {}
        out = {
            own.variable: found[own.variable][1][positions(own, found[own.variable][0])]
            for own in self.target.observations
        }
        if self.target.scalars:
            own_scalars = read_scalars(made)
            require_outputs(tuple(self.target.scalars), own_scalars, "derived number")
            out |= {name: own_scalars[name] for name in self.target.scalars}
        return out

    def log_likelihood(self, observed: Mapping[str, Any]) -> Any:
        """ln L of model values at the observed times."""
        if self.compared is not None:
            return total(observed, self.compared, self.target.scalars, self.likelihood.normalize)
        anomalies = {own.variable: own.relative(observed[own.variable]) for own in self.target.observations}
        return self.likelihood.ln_likelihood({**observed, **anomalies}, self.target)

    @property
    def is_least_squares(self) -> bool:
        """Whether ln L is −½ of a sum of squares, so that least-squares engines fit it."""
        ranges = self.target.scalars.values()
        return self.compared is not None and all(isinstance(one, SplitNormal) for one in ranges)


class CompiledFit(Problem):
    """A model that JAX traces, against a target, for engines that need ln L."""

    space: ThetaSpace = eqx.field(static=True)
    runner: ModelRunner = eqx.field(static=True)
    comparison: Comparison = eqx.field(static=True)

    def observed(self, theta: Float[Array, " d"]) -> dict[str, Array]:
        """Model values at the observed times."""
        values = {name: theta[i] for i, name in enumerate(self.space.names)}
        return self.comparison.observed(self.runner, values)

    def log_likelihood(self, theta: Float[Array, " d"]) -> Float[Array, ""]:
        return jnp.asarray(self.comparison.log_likelihood(self.observed(theta)))


class LeastSquaresFit(CompiledFit):
    """The same where ln L is a sum of squares: least-squares engines fit it too."""

    def residuals(self, theta: Float[Array, " d"]) -> Float[Array, " N"]:
        """In units of their errors and without correlation, then one for each assessed range."""
        values = self.observed(theta)
        parts = [one.residuals(values[one.variable]) for one in self.comparison.compared or ()]
        ranges = self.comparison.target.scalars.items()
        return jnp.concatenate([*parts, *(own.residual(values[name])[None] for name, own in ranges)])


class WithPrior(Problem):
    """A problem whose ln L has the ln prior in it, for engines that know no priors."""

    space: ThetaSpace = eqx.field(static=True)
    problem: Problem

    def log_likelihood(self, theta: Float[Array, " d"]) -> Float[Array, ""]:
        known = [(i, p.prior) for i, p in enumerate(self.space.parameters) if p.free and p.prior is not None]
        prior = sum((own.log_density(theta[i]) for i, own in known), jnp.zeros((), theta.dtype))
        return self.problem.log_likelihood(theta) + prior


def log_prior(space: ThetaSpace, theta: np.ndarray) -> np.ndarray:
    """ln prior of free parameters at theta (n, d), (n,)."""
    known = [(i, space[name].prior) for i, name in enumerate(space.free_names)]
    return sum((np.asarray(own.ln_pdf(theta[:, i])) for i, own in known if own is not None), np.zeros(len(theta)))


@dataclass(frozen=True)
class HostLikelihood:
    """ln L of a plain Python model, computed in its process."""

    runner: ModelRunner
    comparison: Comparison

    def __call__(self, values: dict[str, float]) -> float:
        observed = self.comparison.observed(self.runner, values)
        value = float(self.comparison.log_likelihood({name: np.asarray(own) for name, own in observed.items()}))
        return -np.inf if np.isnan(value) else value


def space_of(parameters: Any) -> ThetaSpace:
    """The space of a `ParameterSet`, of a `ThetaSpace`, or of a mapping name → prior.

    A parameter starts at the median of its prior.

    Raises:
        InvalidValue: it is none of these, or empty.
    """
    if isinstance(parameters, ThetaSpace):
        found = parameters
    elif callable(getattr(parameters, "space", None)):
        found = parameters.space()
    elif isinstance(parameters, Mapping):
        found = ThetaSpace(tuple(_parameter(name, prior) for name, prior in parameters.items()))
    else:
        raise InvalidValue(f"parameters of type {type(parameters).__name__}", hint='ParameterSet({"name": prior})')
    if not len(found):
        raise InvalidValue("there are no parameters", hint='ParameterSet({"name": prior})')
    return found


def _parameter(name: str, prior: Prior) -> Parameter:
    if not isinstance(prior, Prior):
        raise InvalidValue(f"the prior of `{name}` is {type(prior).__name__}", hint="for example Uniform(0, 1)")
    low, high = prior.support
    below, median, above = prior.ppf(np.array([0.1587, 0.5, 0.8413]))
    width = 0.005 * float(above - below)
    return Parameter(name=name, initial=float(median), lower=low, upper=high, scale=width, prior=prior)


def calibration(parameters: Any, target: Target, runner: ModelRunner, likelihood: Any) -> Problem:
    """The problem of fitting a model to a target.

    A model that JAX traces is compiled into the fit. Plain Python and NumPy run in a process of their own, where an
    evaluation that raises, hangs beyond `timeout_s` or gives NaN has ln L = −inf.

    Raises:
        InvalidValue: pieces that do not belong together; a model that fails in plain Python at the start.

    Warns:
        ClimateWarning: the model does not read a parameter: its posterior is its prior.
    """
    space = space_of(parameters)
    runner = runner.with_names(space.names)
    comparison = Comparison.of(target, likelihood)
    runner = replace(runner, output_variables=tuple(dict.fromkeys((*runner.output_variables, *target.variables))))
    start = space.initial
    is_compiled = runner.is_compiled(start)
    for name in runner.unread(start):
        warnings.warn(f"the model does not read `{name}`: its posterior is its prior", ClimateWarning, stacklevel=3)
    for own in comparison.target.observations:
        positions(own, runner.own_times[own.variable])
    if is_compiled:
        kind = LeastSquaresFit if comparison.is_least_squares else CompiledFit
        return kind(space=space, runner=runner, comparison=comparison)
    advice = runner.timing(start).advice
    if advice is not None:
        warnings.warn(advice, ClimateWarning, stacklevel=3)
    return PythonModel(
        HostLikelihood(replace(runner, _memory={}), comparison),
        space,
        gives="log_likelihood",
        timeout_s=runner.timeout_s,
        failures="reject",
    )


def pieces(given: tuple[Any, ...]) -> tuple[Target, ModelRunner, Any]:
    """Target, runner and likelihood, in whatever order they are given.

    Raises:
        InvalidValue: one of them is missing.
    """
    found: dict[str, Any] = {}
    for one in given:
        kind = "target" if isinstance(one, Target) else "runner" if isinstance(one, ModelRunner) else "likelihood"
        if one is not None:
            found[kind] = one
    for kind in ("target", "runner", "likelihood"):
        if kind not in found:
            raise InvalidValue(f"there is no {kind}", hint="give parameters, target, runner and likelihood")
    return found["target"], found["runner"], found["likelihood"]
