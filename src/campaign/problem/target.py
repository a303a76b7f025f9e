"""A problem as an engine sees it: a function of the free parameters, in u."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from campaign.problem.base import Problem
from campaign.space import ThetaSpace
from campaign.space.transform import log_jacobian, to_theta, to_u, u_bounds


class Target(eqx.Module):
    """A problem restricted to its free parameters.

    Attributes:
        problem: the problem; an array leaf of it may carry the run axis outside of `vmap`.
        base: the whole theta at the start; fixed parameters keep these values.
        scale: typical size of a change of each free parameter, in theta units.
        free_names: the parameters that move; None keeps the problem's own choice. Static.
    """

    problem: Problem
    base: Float[Array, " d_all"]
    scale: Float[Array, " d"]
    free_names: tuple[str, ...] | None = eqx.field(static=True, default=None)

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
        return to_u(self.space, self.start_theta())

    def theta(self, u: Float[Array, " d"]) -> Float[Array, " d"]:
        """Free theta at u."""
        return to_theta(self.space, u)

    def u(self, theta: Float[Array, " d"]) -> Float[Array, " d"]:
        """u at free theta."""
        return to_u(self.space, theta)

    def bounds(self) -> tuple[Float[Array, " d"], Float[Array, " d"]]:
        """Bounds of u."""
        return u_bounds(self.space, self.base.dtype)

    def residuals(self, u: Float[Array, " d"]) -> Float[Array, " N"]:
        return self.problem.residuals(self.full(self.theta(u)))

    def log_likelihood(self, u: Float[Array, " d"]) -> Float[Array, ""]:
        return self.problem.log_likelihood(self.full(self.theta(u)))

    def log_prior(self, u: Float[Array, " d"]) -> Float[Array, ""]:
        """Sum of log prior densities in theta; flat inside the bounds where a parameter has no prior; −inf outside."""
        theta = self.theta(u)
        space = self.space
        lower, upper = jnp.array(space.lower, theta.dtype), jnp.array(space.upper, theta.dtype)
        total = jnp.where(jnp.all((theta >= lower) & (theta <= upper)), 0.0, -jnp.inf)
        for i, parameter in enumerate(space.parameters):
            if parameter.prior is not None:
                total = total + parameter.prior.log_density(theta[i])
        return total.astype(theta.dtype)

    def log_posterior(self, u: Float[Array, " d"]) -> Float[Array, ""]:
        """ln L + ln prior, a density in theta. −inf where either is not a number."""
        prior = self.log_prior(u)
        inside = jnp.isfinite(prior)
        safe = jnp.where(inside, u, self.start())
        value = self.log_likelihood(safe) + prior
        return jnp.where(inside & ~jnp.isnan(value), value, -jnp.inf)

    def log_posterior_u(self, u: Float[Array, " d"]) -> Float[Array, ""]:
        """The same posterior as a density in u: `log_posterior` plus the log Jacobian of u → theta."""
        return self.log_posterior(u) + log_jacobian(self.space, u)

    def predict(self, u: Float[Array, " d"]) -> dict[str, Array]:
        return self.problem.predict(self.full(self.theta(u)))

    def derived(self, u: Float[Array, " d"]) -> dict[str, Array]:
        return self.problem.derived(self.full(self.theta(u)))
