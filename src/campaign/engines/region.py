"""Steps of least squares inside a trust region: min ‖J p + r‖ with ‖D p‖ ≤ Δ, from JᵀJ or from a triangle of J."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from campaign.engines.factors import singular_values
from campaign.engines.linear import Factor, factor_of

CLOSE = 0.1  # a step is as long as the radius when it is so within this part
SEARCH = 40  # most Newton steps for λ


class Step(NamedTuple):
    """A step inside the region.

    Attributes:
        p: the step; 0 where fixed.
        damping: its λ.
        square: ‖J p‖² of the Gauss–Newton step, the one without damping.
    """

    p: Float[Array, " d"]
    damping: Float[Array, ""]
    square: Float[Array, ""]


class Solver(Protocol):
    """The quadratic model of the loss around a point: (H + λ D²) p = −g for the parameters that are not fixed."""

    def inside(self, fixed: Bool[Array, " d"] | None, metric: Float[Array, " d"], radius: Array, least: Array) -> Step:
        """The Gauss–Newton step, over the directions that the residuals depend on, where ‖D p‖ ≤ Δ and `least` is 0;
        else the step with the λ > 0 that makes ‖D p‖ = Δ, or with `least` if that is more.
        """
        ...

    def step(
        self, fixed: Bool[Array, " d"], metric: Float[Array, " d"], pull: Float[Array, " d"], damping: Array
    ) -> Float[Array, " d"]:
        """p for a given λ, 0 where fixed, when the fixed parameters move by `pull`."""
        ...

    def gain(self, p: Float[Array, " d"]) -> Float[Array, ""]:
        """−gᵀp − ½ pᵀHp: the decrease of the loss that p promises."""
        ...


class FromGram(NamedTuple):
    """By Cholesky of H: quick, with a relative error of about eps·condition².

    Attributes:
        factor: of H.
    """

    gradient: Float[Array, " d"]
    hessian: Float[Array, "d d"]
    factor: Factor

    def inside(self, fixed, metric, radius, least):
        rhs = -self.gradient if fixed is None else jnp.where(fixed, 0.0, -self.gradient)

        def tried(factor: Factor) -> _Tried:
            p = factor.solve(rhs)
            pushed = metric * p
            half = factor.forward(pushed)
            return _Tried(p, jnp.sum(pushed * p), jnp.sum(half * half))

        def damped(damping: Array) -> _Tried:
            return tried(factor_of(self._matrix(fixed, metric, damping)))

        whole = tried(self.factor) if fixed is None else damped(jnp.zeros_like(least))
        damping, found = _search(damped, whole, radius, least)
        return Step(found.p, damping, -jnp.sum(whole.p * self.gradient))

    def step(self, fixed, metric, pull, damping):
        rhs = jnp.where(fixed, 0.0, -self.gradient - product(self.hessian, pull))
        return factor_of(self._matrix(fixed, metric, damping)).solve(rhs)

    def gain(self, p):
        return -jnp.sum(p * (self.gradient + 0.5 * product(self.hessian, p)))

    def _matrix(self, fixed, metric, damping):
        unit = jnp.diag(jnp.ones_like(metric))
        damped = self.hessian + unit * (damping * metric)[:, None]
        return damped if fixed is None else jnp.where(fixed[:, None] | fixed[None, :], unit, damped)


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

    def inside(self, fixed, metric, radius, least):
        zero = jnp.zeros_like(least)

        def one_pass(carry: tuple[Array, Array, Step]) -> tuple[Array, Array, Step]:
            _, is_first, before = carry
            values = self._values(fixed, jnp.where(is_first, self.column, metric))
            damping, p = values.damped(radius, least)
            whole, square = values.whole(jnp.zeros_like(metric))
            is_open = is_first & ((jnp.sqrt(jnp.sum(metric * whole * whole)) > (1.0 + CLOSE) * radius) | (least > 0))
            return (
                is_open,
                jnp.asarray(False),
                Step(
                    jnp.where(is_first, whole, p),
                    jnp.where(is_first, 0.0, damping),
                    jnp.where(is_first, square, before.square),
                ),
            )

        yes = jnp.asarray(True)
        start = (yes, yes, Step(jnp.zeros_like(metric), zero, zero))
        return jax.lax.while_loop(lambda carry: carry[0], one_pass, start)[2]

    def step(self, fixed, metric, pull, damping):
        values = self._values(fixed, jnp.where(damping > 0, metric, self.column))
        return jnp.where(damping > 0, values.at(pull, damping), values.whole(pull)[0])

    def gain(self, p):
        moved = self.triangle[:-1, :-1] @ p
        return -jnp.sum(moved * (self.triangle[:-1, -1] + 0.5 * moved))

    def _values(self, fixed, metric):
        shrink = jnp.where(metric > 0, 1.0 / jnp.sqrt(jnp.where(metric > 0, metric, 1.0)), 0.0)
        unit = self.triangle[:-1, :-1] * (shrink if fixed is None else jnp.where(fixed, 0.0, shrink))[None, :]
        return _Values(self, shrink, *singular_values(jnp.where(jnp.isfinite(unit), unit, 0.0)))


class _Values(NamedTuple):
    """Singular values of R D⁻¹."""

    of: FromTriangle
    shrink: Float[Array, " d"]
    left: Float[Array, "d d"]
    s: Float[Array, " d"]
    right: Float[Array, "d d"]

    def _share(self, pull):
        return self.left.T @ (self.of.triangle[:-1, -1] + self.of.triangle[:-1, :-1] @ pull)

    def _step(self, share, is_seen, damping):
        weight = jnp.where(is_seen, self.s / jnp.where(is_seen, self.s * self.s + damping, 1.0), 0.0)
        return -(self.right.T @ (weight * share)) * self.shrink

    def whole(self, pull):
        """Gauss–Newton step over the directions that are seen, and its ‖J p‖²."""
        share = self._share(pull)
        is_seen = self.s > self.of.tolerance * jnp.max(self.s)
        return self._step(share, is_seen, 0.0), jnp.sum(jnp.where(is_seen, share * share, 0.0))

    def at(self, pull, damping):
        return self._step(self._share(pull), self.s > 0, damping)

    def damped(self, radius, least):
        """λ and p with ‖D p‖ = Δ."""
        is_seen = self.s > 1e-30 * jnp.max(self.s)  # smaller ones would overflow
        share = self._share(jnp.zeros_like(self.s))
        product = jnp.where(is_seen, self.s * share, 0.0)
        squares = jnp.where(is_seen, self.s * self.s, 1.0)

        def tried(damping: Array) -> _Tried:
            p = product / (squares + damping)
            return _Tried(p, jnp.sum(p * p), jnp.sum(p * p / (squares + damping)))

        damping, _ = _search(tried, tried(jnp.zeros_like(least)), radius, least)
        return damping, self.at(jnp.zeros_like(self.s), damping)


class _Tried(NamedTuple):
    """A step for some λ: p, ‖D p‖², and −½ of its derivative."""

    p: Float[Array, " d"]
    square: Float[Array, ""]
    slope: Float[Array, ""]


def _search(
    tried: Callable[[Array], _Tried], whole: _Tried, radius: Float[Array, ""], least: Float[Array, ""]
) -> tuple[Float[Array, ""], _Tried]:
    """λ ≥ `least` with ‖D p‖ ≤ Δ: Newton on 1/Δ − 1/‖D p‖ from λ = 0, which approaches the root from below.

    Args:
        tried: λ → the step.
        whole: the step for λ = 0.

    Source: Moré 1978, LNM 630, sec. 5.
    """
    limit = (1.0 + CLOSE) * radius

    def following(carry):
        damping, now, k = carry
        length = jnp.sqrt(now.square)
        change = jnp.where(length > limit, now.square / now.slope * (length - radius) / radius, 0.0)
        damping = jnp.maximum(least, damping + change)
        return damping, tried(damping), k + 1

    def is_open(carry):
        damping, now, k = carry
        return ((jnp.sqrt(now.square) > limit) | (damping < least)) & (k < SEARCH)

    return jax.lax.while_loop(is_open, following, (jnp.zeros_like(radius), whole, 0))[:2]


def product(matrix: Float[Array, "d d"], vector: Float[Array, " d"]) -> Float[Array, " d"]:
    return jnp.sum(matrix * vector[None, :], axis=1)
