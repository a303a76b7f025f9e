"""Layer 3: contrasts, and offsets, of different angles are pulled together.

relative: χ² (1 + λ Σ CV²) with CV = std/|mean| of a group: the document's λ · CV² · MSE · n, whose MSE · n is χ².
absolute: χ² + λ Σ var of a group, the document's older form.

It is a wish, not knowledge: real differences of contrast are pulled together too, and the covariance is that of the
sum. With λ → 0 it is the fit without it, with λ → ∞ the one with averaged scaling. Off unless asked for.
"""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from campaign.science import Problem, ThetaSpace


def tuned_lambda(target_contribution: float, target_cv: float) -> float:
    """λ with which a group at its target CV adds its target share to the loss: share / CV²."""
    return target_contribution / target_cv**2


class Alike(Problem):
    """A problem with residuals that are 0 where the members of each group are equal.

    Attributes:
        base: the problem without.
        groups: positions of the members of each group in theta, (g, m).
        strength: λ.
        mode: "relative" or "absolute".

    Checked: tests/unit/xpcs/judge/test_xpcs_likeness.py: the formula, gradients by differences, both limits.
    """

    space: ThetaSpace = eqx.field(static=True)
    base: Problem
    groups: Int[Array, "g m"]
    strength: Float[Array, ""]
    mode: str = eqx.field(static=True, default="relative")

    @classmethod
    def of(cls, base: Problem, groups: Int[Array, "g m"], strength: float, mode: str = "relative") -> Alike:
        """The problem with its term."""
        return cls(base.space, base, jnp.asarray(groups), jnp.asarray(strength, float), mode)

    @property
    def absolute_sigma(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.base.absolute_sigma

    @property
    def n_profiled(self) -> int:
        return self.base.n_profiled

    def residuals(self, theta: Float[Array, " d"]) -> Float[Array, " N"]:
        own = self.base.residuals(theta)
        members = theta[self.groups]
        mean = jnp.mean(members, axis=1, keepdims=True)
        off = (members - mean) / jnp.sqrt(float(members.shape[1]))
        if self.mode == "relative":
            off = off / jnp.abs(mean) * jnp.linalg.norm(own)
        return jnp.concatenate([own, jnp.sqrt(self.strength) * off.reshape(-1)])

    def predict(self, theta: Float[Array, " d"]) -> dict[str, Array]:
        return self.base.predict(theta)

    def derived(self, theta: Float[Array, " d"]) -> dict[str, Array]:
        return self.base.derived(theta)

    def degenerate(self) -> dict[str, str]:
        return self.base.degenerate()


def coefficient_of_variation(members: Float[Array, "g m"]) -> Float[Array, " g"]:
    """std/|mean| of each group, the std with 1/m."""
    return jnp.std(members, axis=1) / jnp.abs(jnp.mean(members, axis=1))
