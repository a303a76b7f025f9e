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
    """p, and ‖J p‖² as far as the step is a Gauss–Newton step."""

    p: Float[Array, " d"]
    square: Float[Array, ""]


class Solver(Protocol):
    """Solves (H + λ D²) p = −g on the parameters that are not `fixed`; D² is the `metric`."""

    def gauss_newton(self, fixed: Bool[Array, " d"]) -> Step:
        """λ = 0, over the directions that the residuals depend on."""
        ...

    def damped(
        self, fixed: Bool[Array, " d"], pull: Float[Array, " d"], metric: Float[Array, " d"], damping: Float[Array, ""]
    ) -> Float[Array, " d"]:
        """p for a given λ, when the fixed parameters move by `pull`; 0 where fixed."""
        ...

    def damping(
        self, fixed: Bool[Array, " d"], metric: Float[Array, " d"], radius: Float[Array, ""]
    ) -> Float[Array, ""]:
        """λ > 0 that makes ‖D p‖ = Δ, for a Gauss–Newton step that is longer."""
        ...

    def gain(self, p: Float[Array, " d"]) -> Float[Array, ""]:
        """−gᵀp − ½ pᵀHp: the decrease of the loss that p promises."""
        ...


class FromGram(NamedTuple):
    """By Cholesky of H: quick, with a relative error of about eps·condition²."""

    gradient: Float[Array, " d"]
    hessian: Float[Array, "d d"]

    def gauss_newton(self, fixed):
        p = self.damped(
            fixed, jnp.zeros_like(self.gradient), jnp.ones_like(self.gradient), jnp.zeros((), self.gradient.dtype)
        )
        return Step(p, -jnp.sum(p * self.gradient))

    def damped(self, fixed, pull, metric, damping):
        matrix = self._matrix(fixed, metric, damping)
        return solve_spd(matrix, jnp.where(fixed, 0.0, -self.gradient - product(self.hessian, pull)))

    def damping(self, fixed, metric, radius):
        rhs = jnp.where(fixed, 0.0, -self.gradient)

        def norms(damping):
            matrix = self._matrix(fixed, metric, damping)
            p = solve_spd(matrix, rhs)
            pushed = jnp.where(fixed, 0.0, metric * p)
            return jnp.sum(metric * p * p), jnp.sum(pushed * solve_spd(matrix, pushed))

        return _search(norms, radius)

    def gain(self, p):
        return -jnp.sum(p * (self.gradient + 0.5 * product(self.hessian, p)))

    def _matrix(self, fixed, metric, damping):
        damped = self.hessian + jnp.diag(damping * metric)
        return jnp.where(fixed[:, None] | fixed[None, :], jnp.diag(jnp.ones_like(metric)), damped)


class FromTriangle(NamedTuple):
    """By singular values of the triangle R of [J r]: a relative error of about eps·condition, and the rank is seen.

    Attributes:
        triangle: R, (d + 1, d + 1).
        column: squared column norms of J.
        tolerance: singular values of J with unit columns that are at most this part of the largest are rounding.
    """

    triangle: Float[Array, "e e"]
    column: Float[Array, " d"]
    tolerance: float

    def gauss_newton(self, fixed):
        left, s, right = self._split(fixed, self.column)
        share = left.T @ self.triangle[:-1, -1]
        is_seen = s > self.tolerance * jnp.max(s)
        p = -(right.T @ jnp.where(is_seen, share / jnp.where(is_seen, s, 1.0), 0.0)) * _inverse_root(self.column)
        return Step(p, jnp.sum(jnp.where(is_seen, share * share, 0.0)))

    def damped(self, fixed, pull, metric, damping):
        is_plain = damping == 0
        metric = jnp.where(is_plain, self.column, metric)
        left, s, right = self._split(fixed, metric)
        share = left.T @ (self.triangle[:-1, -1] + self.triangle[:-1, :-1] @ pull)
        is_seen = s > jnp.where(is_plain, self.tolerance * jnp.max(s), 0.0)
        weight = jnp.where(is_seen, s / jnp.where(is_seen, s * s + damping, 1.0), 0.0)
        return -(right.T @ (weight * share)) * _inverse_root(metric)

    def damping(self, fixed, metric, radius):
        left, s, _ = self._split(fixed, metric)
        is_seen = s > 1e-30 * jnp.max(s)  # smaller ones would overflow
        share = jnp.where(is_seen, s * (left.T @ self.triangle[:-1, -1]), 0.0)
        squares = jnp.where(is_seen, s * s, 1.0)

        def norms(damping):
            p = share / (squares + damping)
            return jnp.sum(p * p), jnp.sum(p * p / (squares + damping))

        return _search(norms, radius)

    def gain(self, p):
        moved = self.triangle[:-1, :-1] @ p
        return -jnp.sum(moved * (self.triangle[:-1, -1] + 0.5 * moved))

    def _split(self, fixed, metric):
        unit = self.triangle[:-1, :-1] * jnp.where(fixed, 0.0, _inverse_root(metric))[None, :]
        return singular_values(jnp.where(jnp.isfinite(unit), unit, 0.0))


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


def _inverse_root(square: Float[Array, " d"]) -> Float[Array, " d"]:
    return jnp.where(square > 0, 1.0 / jnp.sqrt(jnp.where(square > 0, square, 1.0)), 0.0)
