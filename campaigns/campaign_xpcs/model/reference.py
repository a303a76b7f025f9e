"""The physics in coordinates that a global search can find its way in: rates at a reference time, offsets as shares."""

from __future__ import annotations

import math
from collections.abc import Mapping

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from campaign.science import Parameter, Problem, ThetaSpace
from campaign_xpcs.model import parameters
from campaign_xpcs.model.starts import DAMPING, PHASE
from campaign_xpcs.model.two_time import TwoTimeProblem
from campaign_xpcs.physics.correlation import SHEAR_MODELS

SHARE = (-1.0, 3.0)  # offset over amplitude at t_ref: below −1 the rate is negative there
_RATES = (("D_ref", "D0", "alpha", "D_offset"), ("gamma_ref", "gamma_dot_t0", "beta", "gamma_dot_t_offset"))


class ReferenceProblem(Problem):
    """A two-time problem as a function of D_ref = D0 t_ref^α, α, D_offset/D_ref, and the same of the shear rate.

    t_ref = √(dt t_max). D0 and α alone are hardly told apart, and the usual bounds of D_offset are a hundred times what
    a map can show; here every coordinate has a range that maps decide. Contrasts and offsets stay as they are.

    Attributes:
        inner: the problem; space: in these coordinates, static.

    Checked: tests/unit/xpcs/test_xpcs_reference.py.
    """

    inner: TwoTimeProblem
    space: ThetaSpace = eqx.field(static=True)

    @property
    def absolute_sigma(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.inner.absolute_sigma

    @property
    def n_masked(self) -> Array:
        return self.inner.n_masked

    @property
    def n_residuals(self) -> int:
        return self.inner.n_residuals

    @property
    def n_stretches(self) -> int:
        return self.inner.n_stretches

    def linear(self) -> tuple[tuple[str, ...], ...]:
        return self.inner.linear()

    def inner_theta(self, theta: Float[Array, " d"]) -> Float[Array, " d"]:
        """The parameters of the inner problem, inside their bounds."""
        n, t_ref = self.inner.n_linear, jnp.sqrt(self.inner.dt * self.inner.times[-1])
        own, found = theta[n:], []
        for k in range(len(own) // 3):
            rate, exponent, share = own[3 * k], own[3 * k + 1], own[3 * k + 2]
            found += [rate * t_ref**-exponent, exponent, share * rate]
        physics = jnp.concatenate([jnp.stack(found), own[len(found) :]])
        space = self.inner.space
        return jnp.concatenate([theta[:n], jnp.clip(physics, space.lower[n:], space.upper[n:])])

    def residuals(self, theta: Float[Array, " d"]) -> Float[Array, " rows"]:
        return self.inner.residuals(self.inner_theta(theta))

    def residual_rows(self, theta: Float[Array, " d"], start: Array, size: int) -> Float[Array, " size"]:
        return self.inner.residual_rows(self.inner_theta(theta), start, size)

    def linear_columns(
        self, theta: Float[Array, " d"], start: Array, size: int
    ) -> tuple[Float[Array, "n_phi b size"], Float[Array, "n_phi size"]]:
        return self.inner.linear_columns(self.inner_theta(theta), start, size)

    @property
    def given_names(self) -> tuple[str, ...]:
        """The physics of the inner problem."""
        return self.inner.space.names[self.inner.n_linear :]

    def given(self, theta: Mapping[str, float]) -> dict[str, float]:
        """The physics by the names of the inner problem."""
        whole = self.inner_theta(jnp.asarray([theta[name] for name in self.space.names]))
        return dict(zip(self.given_names, whole[self.inner.n_linear :].tolist(), strict=True))


def can_refer(problem: Problem) -> bool:
    """Whether a problem can be searched so: all of its physics is free."""
    if not isinstance(problem, TwoTimeProblem):
        return False
    return {own.name for own in parameters.physical(problem.mode)} <= set(problem.space.free_names)


def reference_problem(problem: TwoTimeProblem, start: Mapping[str, float]) -> tuple[ReferenceProblem, dict[str, float]]:
    """The problem in these coordinates, and a start in them, moved to the edge of their ranges where it is beyond.

    D_ref is searched where q² D_ref t_max is 0.03 to 30, γ̇_ref where the phase along the flow is 0.3 to 30.
    """
    t_max, dt, q = (float(own) for own in (problem.times[-1], problem.dt, problem.q))
    t_ref = math.sqrt(dt * t_max)
    unit = [1.0 / (q**2 * t_max)]
    if not parameters.is_static(problem.mode):
        unit.append(1.0 / (SHEAR_MODELS[problem.shear_model].factor * q * float(problem.gap) * t_max))
    found: list[Parameter] = list(problem.space.parameters[: problem.n_linear])
    begin: dict[str, float] = {}
    for scale, wide, (name, amplitude, exponent, offset) in zip(unit, (DAMPING, PHASE), _RATES, strict=False):
        values = {k: start.get(k, problem.space[k].initial) for k in (amplitude, exponent, offset)}
        rate = values[amplitude] * t_ref ** values[exponent]
        begin |= {name: rate, exponent: values[exponent], f"{name}_share": values[offset] / rate}
        low, high = (edge * scale for edge in wide)
        middle = math.sqrt(low * high)
        found += [
            Parameter(name=name, initial=middle, scale=0.1 * middle, lower=low, upper=high, transform="log"),
            problem.space[exponent],
            Parameter(name=f"{name}_share", initial=0.0, scale=0.1, lower=SHARE[0], upper=SHARE[1]),
        ]
    if not parameters.is_static(problem.mode):
        found.append(problem.space["phi0"])
        begin["phi0"] = start.get("phi0", problem.space["phi0"].initial)
    other = ReferenceProblem(inner=problem, space=ThetaSpace(tuple(found)))
    ends = ((name, other.space[name]) for name in begin)
    return other, {name: min(max(begin[name], own.lower), own.upper) for name, own in ends}
