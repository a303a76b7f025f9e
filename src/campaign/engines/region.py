"""Steps of least squares inside a trust region: min ‖J p + r‖ with ‖D p‖ ≤ Δ, from JᵀJ or from a triangle of J."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from campaign.engines.factors import singular_values
from campaign.engines.linear import solve_spd

CLOSE = 0.1  # a step is as long as the radius when it is so within this part
SEARCH = 40  # most Newton steps for λ


class Step(NamedTuple):
    """p, and ‖J p‖² where it is a Gauss–Newton step."""

    p: Float[Array, " d"]
    square: Float[Array, ""]


class System(Protocol):
    """(H + λ D²) p = −g for the parameters that move."""

    def step(self, pull: Float[Array, " d"], damping: Float[Array, ""]) -> Step:
        """p for a given λ, 0 where fixed, when the fixed parameters move by `pull`. λ = 0: over the directions that
        the residuals depend on.
        """
        ...

    def damping(self, radius: Float[Array, ""]) -> Float[Array, ""]:
        """λ > 0 that makes ‖D p‖ = Δ, for a Gauss–Newton step that is longer."""
        ...


class Solver(Protocol):
    """The quadratic model of the loss around a point."""

    def system(self, fixed: Bool[Array, " d"], metric: Float[Array, " d"]) -> System:
        """The equations of the parameters that are not `fixed`; D² is the `metric`."""
        ...

    def gain(self, p: Float[Array, " d"]) -> Float[Array, ""]:
        """−gᵀp − ½ pᵀHp: the decrease of the loss that p promises."""
        ...


class FromGram(NamedTuple):
    """By Cholesky of H: quick, with a relative error of about eps·condition²."""

    gradient: Float[Array, " d"]
    hessian: Float[Array, "d d"]

    def system(self, fixed, metric):
        return _GramSystem(self, fixed, metric)

    def gain(self, p):
        return -jnp.sum(p * (self.gradient + 0.5 * product(self.hessian, p)))


class _GramSystem(NamedTuple):
    of: FromGram
    fixed: Bool[Array, " d"]
    metric: Float[Array, " d"]

    def step(self, pull, damping):
        rhs = jnp.where(self.fixed, 0.0, -self.of.gradient - product(self.of.hessian, pull))
        p = solve_spd(self._matrix(damping), rhs)
        return Step(p, -jnp.sum(p * self.of.gradient))

    def damping(self, radius):
        rhs = jnp.where(self.fixed, 0.0, -self.of.gradient)

        def norms(damping):
            matrix = self._matrix(damping)
            p = solve_spd(matrix, rhs)
            pushed = jnp.where(self.fixed, 0.0, self.metric * p)
            return jnp.sum(self.metric * p * p), jnp.sum(pushed * solve_spd(matrix, pushed))

        return _search(norms, radius)

    def _matrix(self, damping):
        unit = jnp.diag(jnp.ones_like(self.metric))
        damped = self.of.hessian + unit * (damping * self.metric)[:, None]
        return jnp.where(self.fixed[:, None] | self.fixed[None, :], unit, damped)


class FromTriangle(NamedTuple):
    """By singular values of the triangle R of [J r]: a relative error of about eps·condition, and the rank is seen.

    Attributes:
        triangle: R, (d + 1, d + 1).
        tolerance: singular values of J with unit columns that are at most this part of the largest are rounding.
    """

    triangle: Float[Array, "e e"]
    tolerance: float

    def system(self, fixed, metric):
        shrink = jnp.where(metric > 0, 1.0 / jnp.sqrt(jnp.where(metric > 0, metric, 1.0)), 0.0)
        unit = self.triangle[:-1, :-1] * jnp.where(fixed, 0.0, shrink)[None, :]
        return _TriangleSystem(self, shrink, *singular_values(jnp.where(jnp.isfinite(unit), unit, 0.0)))

    def gain(self, p):
        moved = self.triangle[:-1, :-1] @ p
        return -jnp.sum(moved * (self.triangle[:-1, -1] + 0.5 * moved))


class _TriangleSystem(NamedTuple):
    of: FromTriangle
    shrink: Float[Array, " d"]
    left: Float[Array, "d d"]
    s: Float[Array, " d"]
    right: Float[Array, "d d"]

    def step(self, pull, damping):
        share = self.left.T @ (self.of.triangle[:-1, -1] + self.of.triangle[:-1, :-1] @ pull)
        is_seen = self.s > jnp.where(damping == 0, self.of.tolerance * jnp.max(self.s), 0.0)
        weight = jnp.where(is_seen, self.s / jnp.where(is_seen, self.s * self.s + damping, 1.0), 0.0)
        p = -(self.right.T @ (weight * share)) * self.shrink
        return Step(p, jnp.sum(jnp.where(is_seen, share * share, 0.0)))

    def damping(self, radius):
        is_seen = self.s > 1e-30 * jnp.max(self.s)  # smaller ones would overflow
        share = jnp.where(is_seen, self.s * (self.left.T @ self.of.triangle[:-1, -1]), 0.0)
        squares = jnp.where(is_seen, self.s * self.s, 1.0)

        def norms(damping):
            p = share / (squares + damping)
            return jnp.sum(p * p), jnp.sum(p * p / (squares + damping))

        return _search(norms, radius)


def _search(norms: Callable[[Array], tuple[Array, Array]], radius: Float[Array, ""]) -> Float[Array, ""]:
    """λ with ‖D p‖ = Δ: Newton on 1/Δ − 1/‖D p‖ from λ = 0, which approaches the root from below (Moré 1978, sec. 5).

    Args:
        norms: λ → ‖D p‖² and −½ of its derivative.
    """

    def following(carry):
        damping, k = carry
        square, slope = norms(damping)
        length = jnp.sqrt(square)
        is_close = length <= (1.0 + CLOSE) * radius
        change = jnp.where(is_close, 0.0, square / slope * (length - radius) / radius)
        return damping + change, jnp.where(is_close, SEARCH, k + 1)

    start = (jnp.zeros_like(radius), 0)
    return jax.lax.while_loop(lambda carry: carry[1] < SEARCH, following, start)[0]


def product(matrix: Float[Array, "d d"], vector: Float[Array, " d"]) -> Float[Array, " d"]:
    return jnp.sum(matrix * vector[None, :], axis=1)
