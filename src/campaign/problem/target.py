"""A problem as an engine sees it: a function of the free parameters, and everything that may be asked about it.

This is the only door: an engine imports nothing else of a problem.
"""

from __future__ import annotations

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from campaign.errors import InvalidValue, nearest
from campaign.problem.base import ChunkedResiduals, LinearColumns, Problem, has_likelihood, has_residuals
from campaign.space.index_map import IndexMap
from campaign.space.theta import ThetaSpace
from campaign.space.transform import Elementwise, Map, Unbounded, on_bounds


class Target(eqx.Module):
    """A problem restricted to its free parameters.

    Functions of u are what optimisers and samplers move in; those whose name ends in `_at` take the free theta.

    Attributes:
        problem: the problem; an array leaf of it may carry the run axis outside of `vmap`.
        base: the whole theta at the start; fixed parameters keep these values.
        scale: typical size of a change of each free parameter, in theta units.
        free_names: the parameters that move; None keeps the problem's own choice. Static.
        coordinates: the map u → theta; None is the one that the parameters ask for.
        n_eliminated: free parameters of a larger target that are eliminated in this one. Static.
    """

    problem: Problem
    base: Float[Array, " d_all"]
    scale: Float[Array, " d"]
    free_names: tuple[str, ...] | None = eqx.field(static=True, default=None)
    coordinates: Map | None = None
    n_eliminated: int = eqx.field(static=True, default=0)

    # -- what it is (static) ----------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The problem's name, for messages."""
        return type(self.problem).__name__

    @property
    def space(self) -> ThetaSpace:
        """The free parameters only."""
        chosen = self.problem.space.with_free(self.free_names)
        return chosen.subset(chosen.free_names)

    @property
    def free(self) -> tuple[int, ...]:
        """Positions of the free parameters in the whole theta."""
        chosen = self.problem.space.with_free(self.free_names)
        return tuple(i for i, p in enumerate(chosen.parameters) if p.free)

    @property
    def index_map(self) -> IndexMap:
        """What each position of the free theta means, in blocks."""
        return IndexMap.of(self.space.parameters, self.problem.block)

    @property
    def map(self) -> Map:
        """Between u and theta."""
        return Elementwise(self.space) if self.coordinates is None else self.coordinates

    @property
    def has_residuals(self) -> bool:
        """Least-squares engines can run it."""
        return has_residuals(self.problem)

    @property
    def has_likelihood(self) -> bool:
        """It has data to compare with: residuals, or a likelihood of its own."""
        return has_likelihood(self.problem)

    @property
    def is_chunked(self) -> bool:
        """It gives its residuals by row blocks."""
        return isinstance(self.problem, ChunkedResiduals)

    @property
    def n_stretches(self) -> int:
        """Stretches of residuals whose linear columns can be had side by side; 0 where there are none."""
        problem = self.problem
        return problem.n_stretches if self.is_chunked and isinstance(problem, LinearColumns) else 0

    @property
    def is_absolute(self) -> bool:
        """Errors of the data are known: covariances need no factor, and χ² means something."""
        return self.problem.absolute_sigma

    @property
    def is_mean(self) -> bool:
        """ln L is a mean over the data, so that its curvature is no information."""
        return self.problem.is_mean

    @property
    def n_coordinates(self) -> int:
        """Length of u: that of theta, or less where only some directions move."""
        return self.map.size

    @property
    def n_residuals(self) -> int:
        """N. Works on shapes: no leaf may have a run axis."""
        if self.is_chunked:
            return self.problem.n_residuals  # pyright: ignore[reportAttributeAccessIssue]
        return eqx.filter_eval_shape(lambda t: t.problem.residuals(t.base), self).shape[0]

    @property
    def n_data(self) -> int | Int[Array, ""]:
        """Rows that are data: N without those that the problem masks."""
        return self.n_residuals - self.problem.n_masked

    @property
    def n_profiled(self) -> int:
        """Parameters that are eliminated inside; they are taken from the data for the degrees of freedom."""
        return self.problem.n_profiled + self.n_eliminated

    @property
    def has_bounds(self) -> bool:
        """Whether u has a finite bound, be it that of rounding."""
        return self.map.is_elementwise and any(
            p.transform != "identity" or p.lower > -jnp.inf or p.upper < jnp.inf for p in self.space.parameters
        )

    # -- theta and u ------------------------------------------------------------------------------------------------

    def full(self, theta: Float[Array, " d"]) -> Float[Array, " d_all"]:
        """Free theta → whole theta."""
        if len(self.free) == len(self.problem.space):
            return theta
        return self.base.at[jnp.array(self.free, int)].set(theta)

    def start_theta(self) -> Float[Array, " d"]:
        """Free theta at the start."""
        return self.base[jnp.array(self.free, int)]

    def start(self) -> Float[Array, " d"]:
        """u at the start."""
        return self.map.to_u(self.start_theta())

    def theta(self, u: Float[Array, " d"]) -> Float[Array, " d"]:
        """Free theta at u."""
        return self.map.to_theta(u)

    def u(self, theta: Float[Array, " d"]) -> Float[Array, " d"]:
        """u at free theta."""
        return self.map.to_u(theta)

    def bounds(self) -> tuple[Float[Array, " d"], Float[Array, " d"]]:
        """Bounds of u."""
        return self.map.bounds(self.base.dtype)

    def at_bound(
        self,
        u: Float[Array, " d"],
        reach: Float[Array, " d"] | float = 0.0,
        within: tuple[Float[Array, " d"], Float[Array, " d"]] | None = None,
    ) -> Int[Array, " d"]:
        """−1 at the lower bound, +1 at the upper, 0 inside: within `reach` of it, or of the rounding of the bound.

        `within` are bounds of u to use in place of `bounds()`. Judged in u, so that neither the range between the
        bounds nor the size of a parameter says what is near.
        """
        lower, upper = self.bounds() if within is None else within
        eps = jnp.finfo(u.dtype).eps

        def at(bound: Float[Array, " d"]) -> Int[Array, " d"]:
            near = jnp.maximum(reach, 4.0 * eps * jnp.abs(bound))
            return (jnp.isfinite(bound) & (jnp.abs(u - bound) <= near)).astype(jnp.int32)

        return at(upper) - at(lower)

    def of_parameters(self, u: Float[Array, " k"], flags: Bool[Array, " k"]) -> Bool[Array, " d"]:
        """Flags of coordinates as flags of the parameters that these move."""
        if self.map.is_elementwise:
            return flags
        slope = jnp.abs(jax.jacfwd(self.theta)(u))
        least = jnp.finfo(u.dtype).eps * jnp.max(slope, axis=1)
        return jnp.any((slope > least[:, None]) & flags[None, :], axis=1)

    def log_jacobian(self, u: Float[Array, " d"]) -> Float[Array, ""]:
        """ln |det d theta / d u|."""
        return self.map.log_jacobian(u)

    def covariance(self, u: Float[Array, " d"], matrix: Float[Array, "d d"]) -> Float[Array, "d d"]:
        """A covariance in u as one in theta, to first order: A C Aᵀ with A = d theta / d u."""
        if self.map.is_identity:
            return matrix
        slope = jax.jacfwd(self.theta)(u)
        if not self.map.is_elementwise:
            return slope @ matrix @ slope.T
        own = jnp.sum(jnp.where(jnp.eye(u.shape[0], dtype=bool), slope, 0.0), axis=1)
        return matrix * own[:, None] * own[None, :]

    def unbounded(self) -> Target:
        """The same target in coordinates u without bounds, for engines that follow gradients: the problem's, if any."""
        if self.coordinates is not None:
            return self
        own = self.problem.chart(self.space, self.base)
        return dataclasses.replace(self, coordinates=Unbounded.of(self.space) if own is None else own)

    # -- the model --------------------------------------------------------------------------------------------------

    def residuals(self, u: Float[Array, " d"]) -> Float[Array, " N"]:
        return self.residuals_at(self.theta(u))

    def residuals_at(self, theta: Float[Array, " d"]) -> Float[Array, " N"]:
        return _precise(self.problem.residuals(self.full(theta)), theta, "residuals")

    def residual_rows_at(self, theta: Float[Array, " d"], start: Array, size: int) -> Float[Array, " size"]:
        """``residuals_at(theta)[start : start + size]``, of a problem that `is_chunked`."""
        rows = self.problem.residual_rows(self.full(theta), start, size)  # pyright: ignore[reportAttributeAccessIssue]
        return _precise(rows, theta, "residual_rows")

    def linear_columns_at(
        self, theta: Float[Array, " d"], start: Array, size: int
    ) -> tuple[Float[Array, "n_stretches m size"], Float[Array, "n_stretches size"]]:
        """Columns of the linear parameters of each stretch, and what does not depend on them; see `LinearColumns`."""
        phi, rest = self.problem.linear_columns(self.full(theta), start, size)  # pyright: ignore[reportAttributeAccessIssue]
        return _precise(phi, theta, "linear_columns"), _precise(rest, theta, "linear_columns")

    def log_likelihood(self, u: Float[Array, " d"]) -> Float[Array, ""]:
        return self.log_likelihood_at(self.theta(u))

    def log_likelihood_at(self, theta: Float[Array, " d"]) -> Float[Array, ""]:
        return _precise(self.problem.log_likelihood(self.full(theta)), theta, "log_likelihood")

    def log_prior(self, u: Float[Array, " d"]) -> Float[Array, ""]:
        """Sum of log prior densities in theta; flat inside the bounds where a parameter has no prior; −inf outside."""
        theta = self.theta(u)
        space = self.space
        lower, upper = jnp.array(space.lower, theta.dtype), jnp.array(space.upper, theta.dtype)
        if not self.map.is_identity:
            theta = theta + jax.lax.stop_gradient(on_bounds(theta, lower, upper) - theta)
        total = jnp.where(jnp.all((theta >= lower) & (theta <= upper)), 0.0, -jnp.inf)
        for i, parameter in enumerate(space.parameters):
            if parameter.prior is not None:
                total = total + parameter.prior.log_density(theta[i])
        return total.astype(theta.dtype)

    def posterior_parts(self, u: Float[Array, " d"]) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """ln prior in theta and ln L; where the prior is zero, ln L of the start: the model is not asked there."""
        prior = self.log_prior(u)
        return prior, self.log_likelihood(jnp.where(jnp.isfinite(prior), u, self.start()))

    def log_posterior(self, u: Float[Array, " d"]) -> Float[Array, ""]:
        """ln L + ln prior, a density in theta. −inf where either is not a number."""
        prior, likelihood = self.posterior_parts(u)
        value = likelihood + prior
        return jnp.where(jnp.isfinite(prior) & ~jnp.isnan(value), value, -jnp.inf)

    def log_posterior_u(self, u: Float[Array, " d"]) -> Float[Array, ""]:
        """The same posterior as a density in u: `log_posterior` plus the log Jacobian of u → theta."""
        return self.log_posterior(u) + self.log_jacobian(u)

    def predict_at(self, theta: Float[Array, " d"]) -> dict[str, Array]:
        """Named model outputs."""
        return self.problem.predict(self.full(theta))

    def derived_at(self, theta: Float[Array, " d"]) -> dict[str, Array]:
        """Named scalars that follow from theta.

        Raises:
            InvalidValue: `degenerate` names one that is not among them.
        """
        found = self.problem.derived(self.full(theta))
        for name in self.problem.degenerate():
            if name not in found:
                raise InvalidValue(
                    f"`degenerate` names `{name}`, which `derived` does not give", hint=nearest(name, list(found))
                )
        return found


def _precise(value: Array, theta: Array, name: str) -> Array:
    """What a model returns, as precise as theta.

    Raises:
        TypeError: half of its digits are lost already.
    """
    value = jnp.asarray(value)
    if value.dtype == theta.dtype:
        return value
    if jnp.issubdtype(value.dtype, jnp.floating) and value.dtype.itemsize < theta.dtype.itemsize:
        raise TypeError(
            f"the model returns `{name}` in {value.dtype}: half of the digits are lost. Take the conversion out of the "
            'model, or ask for `"precision": "float32"`'
        )
    return value.astype(theta.dtype)
