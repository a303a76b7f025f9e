"""Between theta (physical) and u (what engines move in): identity, log, logit, one a parameter; or any affine map of u.

A map is a value with four functions, so that an engine needs to know nothing about it.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from campaign.space.theta import ThetaSpace


class Map(Protocol):
    """A one-to-one map u ↔ theta of the free parameters."""

    @property
    def size(self) -> int:
        """Static: length of u."""
        ...

    @property
    def is_identity(self) -> bool:
        """Static: u is theta."""
        ...

    @property
    def is_elementwise(self) -> bool:
        """Static: theta_i depends on u_i alone, increasing: bounds of theta are bounds of u."""
        ...

    def to_theta(self, u: Float[Array, " d"]) -> Float[Array, " d"]: ...

    def to_u(self, theta: Float[Array, " d"]) -> Float[Array, " d"]: ...

    def log_jacobian(self, u: Float[Array, " d"]) -> Float[Array, ""]:
        """ln |det d theta / d u|: what a density in theta gains when it is sampled in u."""
        ...

    def bounds(self, dtype=jnp.float64) -> tuple[Float[Array, " d"], Float[Array, " d"]]:
        """Bounds of u; ±inf where there are none."""
        ...


def no_bounds(size: int, dtype: Any = jnp.float64) -> tuple[Float[Array, " d"], Float[Array, " d"]]:
    """−∞ and ∞ for each coordinate: the bounds of a map whose u has none."""
    infinite = jnp.full(size, jnp.inf, dtype)
    return -infinite, infinite


def on_bounds(theta: Any, lower: Any, upper: Any, xp: Any = jnp) -> Any:
    """theta; a bound where it is no more than a rounding error beyond: e^(ln bound) is not always the bound."""
    error = 4.0 * float(np.finfo(theta.dtype).eps)
    low, high = (xp.where(xp.isfinite(ends), error * xp.abs(ends), 0.0) for ends in (lower, upper))
    is_low, is_high = (theta < lower) & (theta >= lower - low), (theta > upper) & (theta <= upper + high)
    return xp.where(is_low, lower, xp.where(is_high, upper, theta))


def logit(x: Array) -> Array:
    """ln(x/(1 − x)), exact near both ends."""
    return jnp.log(x) - jnp.log1p(-x)


class Elementwise(eqx.Module):
    """The transforms that the parameters themselves ask for.

    u = theta, ln theta, or ln(x/(1−x)) with x = (theta−lower)/(upper−lower).

    Attributes:
        space: the free parameters. Static.
    """

    space: ThetaSpace = eqx.field(static=True)

    @property
    def size(self) -> int:
        return len(self.space)

    @property
    def is_identity(self) -> bool:
        return all(p.transform == "identity" for p in self.space.parameters)

    @property
    def is_elementwise(self) -> bool:
        return True

    def to_u(self, theta: Float[Array, " d"]) -> Float[Array, " d"]:
        """NaN outside the domain."""
        if self.is_identity:
            return theta
        is_log, is_logit = self._masks()
        low, width = self._interval(theta.dtype)
        x = jnp.where(is_logit, (theta - low) / width, 0.5)
        logarithm = jnp.log(jnp.where(is_log, theta, 1.0))
        return jnp.where(is_log, logarithm, jnp.where(is_logit, logit(x), theta))

    def to_theta(self, u: Float[Array, " d"]) -> Float[Array, " d"]:
        if self.is_identity:
            return u
        is_log, is_logit = self._masks()
        low, width = self._interval(u.dtype)
        exponential = jnp.exp(jnp.where(is_log, u, 0.0))
        sigmoid = low + width * jax.nn.sigmoid(jnp.where(is_logit, u, 0.0))
        return jnp.where(is_log, exponential, jnp.where(is_logit, sigmoid, u))

    def log_jacobian(self, u: Float[Array, " d"]) -> Float[Array, ""]:
        if self.is_identity:
            return jnp.zeros((), u.dtype)
        is_log, is_logit = self._masks()
        _, width = self._interval(u.dtype)
        s = jnp.where(is_logit, u, 0.0)
        between = jnp.log(width) - jax.nn.softplus(-s) - jax.nn.softplus(s)
        return jnp.sum(jnp.where(is_log, u, jnp.where(is_logit, between, 0.0)))

    def bounds(self, dtype=jnp.float64) -> tuple[Float[Array, " d"], Float[Array, " d"]]:
        """Those of a log or logit parameter are finite: u ends where theta has reached its bound in rounding.

        A logit parameter ends where theta is eps/2 of its range away from a bound, a log parameter without a positive
        lower bound at theta = 10⁻¹⁵⁰, whose square is still a number.
        """
        lower, upper = (np.asarray(ends, dtype) for ends in (self.space.lower, self.space.upper))
        if not self.is_identity:  # in NumPy: JAX would compile each of these operations once a process
            is_log, is_logit = (
                np.array([p.transform == kind for p in self.space.parameters]) for kind in ("log", "logit")
            )
            info = np.finfo(dtype)
            smallest = np.asarray(0.5 * np.log(float(info.tiny)) + 9.0, dtype)  # −345.2 in float64: 10⁻¹⁵⁰
            end = np.asarray(-np.log(0.5 * float(info.eps)), dtype)
            log_lower = np.where(lower > 0, np.log(np.where(lower > 0, lower, 1.0)), smallest)
            log_upper = np.log(np.where(is_log, upper, 1.0))
            lower = np.where(is_log, log_lower, np.where(is_logit, -end, lower)).astype(dtype)
            upper = np.where(is_log, log_upper, np.where(is_logit, end, upper)).astype(dtype)
        with jax.ensure_compile_time_eval():
            return jax.device_put(lower), jax.device_put(upper)

    def _masks(self) -> tuple[Array, Array]:
        is_log = jnp.array([p.transform == "log" for p in self.space.parameters])
        is_logit = jnp.array([p.transform == "logit" for p in self.space.parameters])
        return is_log, is_logit

    def _interval(self, dtype) -> tuple[Array, Array]:
        parameters = self.space.parameters
        low = jnp.array([p.lower if p.transform == "logit" else 0.0 for p in parameters], dtype)
        width = jnp.array([p.upper - p.lower if p.transform == "logit" else 1.0 for p in parameters], dtype)
        return low, width


class Unbounded(eqx.Module):
    """Coordinates v without bounds in front of another map: for engines that follow gradients.

    With two bounds u = low + (high − low)/(1 + e⁻ᵛ), with one u = low + eᵛ or high − e⁻ᵛ, else u = v.

    Attributes:
        inner: the map from u to theta.
        low, high: bounds of u that count, ±inf where there are none. Static.
    """

    inner: Elementwise
    low: tuple[float, ...] = eqx.field(static=True)
    high: tuple[float, ...] = eqx.field(static=True)

    @classmethod
    def of(cls, space: ThetaSpace) -> Unbounded:
        """With the bounds of theta, narrowed to where its priors have a density. A logit has none left."""
        low, high = [], []
        for p in space.parameters:
            least, most = p.support
            if p.transform == "log":
                least, most = (math.log(least) if least > 0 else -math.inf), math.log(most)
            if p.transform == "logit" and (least, most) == (p.lower, p.upper):
                least, most = -math.inf, math.inf
            elif p.transform == "logit":
                least, most = (_logit((x - p.lower) / (p.upper - p.lower)) for x in (least, most))
            low.append(least)
            high.append(most)
        return cls(Elementwise(space), tuple(low), tuple(high))

    @property
    def size(self) -> int:
        return len(self.low)

    @property
    def is_identity(self) -> bool:
        return self.inner.is_identity and not any(self.is_bent)

    @property
    def is_elementwise(self) -> bool:
        return True

    @property
    def is_bent(self) -> tuple[bool, ...]:
        """Which coordinates are not u itself."""
        return tuple(math.isfinite(a) or math.isfinite(b) for a, b in zip(self.low, self.high, strict=True))

    def to_theta(self, u: Float[Array, " d"]) -> Float[Array, " d"]:
        return self.inner.to_theta(self._inwards(u))

    def to_u(self, theta: Float[Array, " d"]) -> Float[Array, " d"]:
        """NaN outside the domain, of which a rounding error beyond a bound is no part: ln of a bound has one."""
        u = self.inner.to_u(theta)
        low, high, is_low, is_high = self._ends(u.dtype)
        u = on_bounds(u, jnp.where(is_low, low, -jnp.inf), jnp.where(is_high, high, jnp.inf))
        x = jnp.where(is_low & is_high, (u - low) / (high - low), 0.5)
        distance = jnp.log(jnp.where(is_low ^ is_high, jnp.where(is_low, u - low, high - u), 1.0))
        one_sided = jnp.where(is_low, distance, -distance)
        return jnp.where(is_low & is_high, logit(x), jnp.where(is_low ^ is_high, one_sided, u))

    def log_jacobian(self, u: Float[Array, " d"]) -> Float[Array, ""]:
        low, high, is_low, is_high = self._ends(u.dtype)
        both = jnp.log(high - low) - jax.nn.softplus(u) - jax.nn.softplus(-u)
        own = jnp.where(is_low & is_high, both, jnp.where(is_low, u, jnp.where(is_high, -u, 0.0)))
        return jnp.sum(own) + self.inner.log_jacobian(self._inwards(u))

    def bounds(self, dtype=jnp.float64) -> tuple[Float[Array, " d"], Float[Array, " d"]]:
        return no_bounds(self.size, dtype)

    def _inwards(self, v: Array) -> Array:
        low, high, is_low, is_high = self._ends(v.dtype)
        grown = jnp.exp(jnp.where(is_low ^ is_high, jnp.where(is_low, v, -v), 0.0))
        one_sided = jnp.where(is_low, low + grown, high - grown)
        between = low + (high - low) * jax.nn.sigmoid(v)
        return jnp.where(is_low & is_high, between, jnp.where(is_low ^ is_high, one_sided, v))

    def _ends(self, dtype) -> tuple[Array, Array, Array, Array]:
        """Bounds of u, finite everywhere, and which of them there are."""
        low, high = np.array(self.low), np.array(self.high)
        is_low, is_high = np.isfinite(low), np.isfinite(high)
        return (
            jnp.asarray(np.where(is_low, low, 0.0), dtype),
            jnp.asarray(np.where(is_high, high, np.where(is_low, low, 0.0) + 1.0), dtype),
            jnp.asarray(is_low),
            jnp.asarray(is_high),
        )


def _logit(x: float) -> float:
    return math.log(x) - math.log1p(-x) if 0 < x < 1 else math.copysign(math.inf, x - 0.5)


class Affine(eqx.Module):
    """Coordinates v with u = centre + matrix · v in front of another map: rotated, scaled, whitened.

    Bounds of theta are not bounds of v, so `bounds` are infinite: a model outside its domain must say so itself.

    Attributes:
        inner: the map from u to theta.
        centre: u at v = 0.
        matrix: the columns are the directions of v, in u; invertible.
    """

    inner: Elementwise
    centre: Float[Array, " d"]
    matrix: Float[Array, "d d"]

    @property
    def size(self) -> int:
        return len(self.inner.space)

    @property
    def is_identity(self) -> bool:
        return False

    @property
    def is_elementwise(self) -> bool:
        return False

    def to_theta(self, u: Float[Array, " d"]) -> Float[Array, " d"]:
        return self.inner.to_theta(self.centre + self.matrix @ u)

    def to_u(self, theta: Float[Array, " d"]) -> Float[Array, " d"]:
        return jnp.linalg.solve(self.matrix, self.inner.to_u(theta) - self.centre)

    def log_jacobian(self, u: Float[Array, " d"]) -> Float[Array, ""]:
        inner = self.inner.log_jacobian(self.centre + self.matrix @ u)
        return inner + jnp.linalg.slogdet(self.matrix)[1]

    def bounds(self, dtype=jnp.float64) -> tuple[Float[Array, " d"], Float[Array, " d"]]:
        return no_bounds(self.size, dtype)
