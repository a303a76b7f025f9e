"""Coordinates for samplers in which amplitude, exponent and offset of a rate are not one curved valley."""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from campaign.science import ThetaSpace, Unbounded
from campaign_xpcs.physics.transport import floored

_RATES = (("D0", "alpha", "D_offset"), ("gamma_dot_t0", "beta", "gamma_dot_t_offset"))
_BEND = 0.05  # κ/R: how near the offset may come to the whole rate before the coordinate bends; about the floor's share
_MOST = 40.0  # asinh of an offset without a bound, in κ
_EDGE = 20.0  # |v| beyond which the guess of an amplitude does not go: e⁻²⁰ of the way between its bounds


class Anchored(NamedTuple):
    """What the coordinates of one rate hang on: R, κ, and the range of y between the bounds of the offset."""

    rate: Float[Array, ""]
    bend: Float[Array, ""]
    low: Float[Array, ""]
    high: Float[Array, ""]


class ReferenceTime(eqx.Module):
    """One-to-one coordinates v of a rate P t^a + c about its value R at t_ref = √(dt t_max), where data know it best.

    Data say the rate R' and its slope there, s = a (R' − c)/R'. What is left is how R' divides into power and offset;
    along that, a and P follow from s and R'. So

        c = R − κ sinh y,  y between the bounds by a logistic function of v_c;  κ = 0.05 R
        L(a) = L(0) + v_a h,  h = R/√(κ² + (R − c)²)
        L(P) = L(P°) + v_P h L′(P°),  P° = ½ κ e^y t_ref^−a

    with L the unbounded coordinate that the parameter has by itself (log, logit between its bounds), R the rate at the
    start of the chain, κ e^y/2 a positive R − c, and L′ = dL/d ln P. Each of the three lines shifts and scales a
    coordinate by what the ones above have set, so ln |dθ/dv| is that of the parameters one by one, plus 2 ln h + ln L′,
    plus ln |dc/dv_c|. Bounds hold, the density in theta does not change, and with it no prior. A parameter that is
    fixed has no line.

    Attributes:
        rest: each parameter by itself; static space without offsets.
        values: the whole theta at the start, of the parameters that are fixed.
        t_ref, dt: [s].
        unit: v of one u, so that u changes by about 1 where theta changes by its `scale`.
        space: the free parameters; static. whole: all names of theta; static.

    Checked: tests/unit/xpcs/test_xpcs_reference_time.py: there and back, the Jacobian by automatic derivatives,
        posteriors of a chain with and without, effective draws.
    """

    rest: Unbounded
    values: Float[Array, " d_all"]
    t_ref: Float[Array, ""]
    dt: Float[Array, ""]
    unit: Float[Array, " d"]
    space: ThetaSpace = eqx.field(static=True)
    whole: tuple[str, ...] = eqx.field(static=True)

    @property
    def size(self) -> int:
        return len(self.space)

    @property
    def is_identity(self) -> bool:
        return False

    @property
    def is_elementwise(self) -> bool:
        return False

    def to_theta(self, u: Float[Array, " d"]) -> Float[Array, " d"]:
        return self._there(u * self.unit)[0]

    def log_jacobian(self, u: Float[Array, " d"]) -> Float[Array, ""]:
        return self._there(u * self.unit)[1] + jnp.sum(jnp.log(self.unit))

    def to_u(self, theta: Float[Array, " d"]) -> Float[Array, " d"]:
        at = {name: i for i, name in enumerate(self.space.names)}
        order = [at[name] for name in self.rest.inner.space.names]
        own = self.rest.to_u(theta[jnp.array(order, int)])
        u = theta.at[jnp.array(order, int)].set(own)
        for amplitude, exponent, offset in self._rates:
            anchor = self._anchor(amplitude, exponent, offset)
            c = theta[at[offset]] if offset in at else self._start(offset)
            y = jnp.arcsinh((anchor.rate - c) / anchor.bend)
            h = anchor.rate / (anchor.bend * jnp.cosh(y))
            a = theta[at[exponent]] if exponent in at else self._start(exponent)
            if offset in at:
                x = (y - anchor.low) / (anchor.high - anchor.low)
                u = u.at[at[offset]].set(jnp.log(x) - jnp.log1p(-x))
            if exponent in at:
                u = u.at[at[exponent]].set((u[at[exponent]] - self._zero(exponent)) / h)
            if amplitude in at:
                guess, steep = self._guess(amplitude, anchor, y, a)
                u = u.at[at[amplitude]].set((u[at[amplitude]] - guess) / (h * steep))
        return u / self.unit

    def bounds(self, dtype=jnp.float64) -> tuple[Float[Array, " d"], Float[Array, " d"]]:
        infinite = jnp.full(len(self.space), jnp.inf, dtype)
        return -infinite, infinite

    # -- how ----------------------------------------------------------------------------------------------------------

    @property
    def _rates(self) -> list[tuple[str, str, str]]:
        return [names for names in _RATES if names[0] in self.whole]

    def _there(self, u: Float[Array, " d"]) -> tuple[Float[Array, " d"], Float[Array, ""]]:
        """theta, and ln |dθ/du|."""
        at = {name: i for i, name in enumerate(self.space.names)}
        order = jnp.array([at[name] for name in self.rest.inner.space.names], int)
        v, offsets, log_jacobian = u, {}, jnp.zeros((), u.dtype)
        for amplitude, exponent, offset in self._rates:
            anchor = self._anchor(amplitude, exponent, offset)
            if offset in at:
                w, width = u[at[offset]], anchor.high - anchor.low
                y = anchor.low + width * jax.nn.sigmoid(w)
                offsets[at[offset]] = anchor.rate - anchor.bend * jnp.sinh(y)
                log_jacobian += jnp.log(anchor.bend * jnp.cosh(y) * width) - jax.nn.softplus(w) - jax.nn.softplus(-w)
            else:
                y = jnp.arcsinh((anchor.rate - self._start(offset)) / anchor.bend)
            h = anchor.rate / (anchor.bend * jnp.cosh(y))
            a = self._start(exponent)
            if exponent in at:
                v = v.at[at[exponent]].set(self._zero(exponent) + u[at[exponent]] * h)
                a = self._alone(exponent, v[at[exponent]])
                log_jacobian += jnp.log(h)
            if amplitude in at:
                guess, steep = self._guess(amplitude, anchor, y, a)
                v = v.at[at[amplitude]].set(guess + u[at[amplitude]] * h * steep)
                log_jacobian += jnp.log(h * steep)
        theta = v.at[order].set(self.rest.to_theta(v[order]))
        for i, c in offsets.items():
            theta = theta.at[i].set(c)
        return theta, log_jacobian + self.rest.log_jacobian(v[order])

    def _anchor(self, amplitude: str, exponent: str, offset: str) -> Anchored:
        power = self._start(amplitude) * self.t_ref ** self._start(exponent)
        rate = floored(power, self._start(offset))
        bend = _BEND * rate
        low, high = -_MOST, _MOST
        if offset in self.space.names:
            least, most = self.space[offset].support
            low = jnp.arcsinh((rate - most) / bend) if math.isfinite(most) else low
            high = jnp.arcsinh((rate - least) / bend) if math.isfinite(least) else high
        return Anchored(rate, bend, jnp.asarray(low, rate.dtype), jnp.asarray(high, rate.dtype))

    def _start(self, name: str) -> Float[Array, ""]:
        return self.values[self.whole.index(name)]

    def _zero(self, exponent: str) -> Float[Array, ""] | float:
        """L(0); 0 where no exponent may be 0, and so nothing is degenerate there."""
        least, most = self.space[exponent].support
        return self._coordinate(exponent, jnp.zeros_like(self.t_ref)) if least < 0 < most else 0.0

    def _guess(self, amplitude: str, anchor: Anchored, y: Array, a: Array) -> tuple[Array, Array]:
        """L of the amplitude whose power law at t_ref is what the offset leaves, inside its bounds; and L′ there."""
        guess = jnp.exp(jnp.log(0.5 * anchor.bend) + y - a * jnp.log(self.t_ref))
        ends = [self._alone(amplitude, jnp.full_like(y, end)) for end in (-_EDGE, _EDGE)]
        bounded = any(math.isfinite(end) for end in self.space[amplitude].support)
        at = self._coordinate(amplitude, jnp.clip(guess, *ends) if bounded else guess)
        value, slope = jax.jvp(lambda v: self._alone(amplitude, v), (at,), (jnp.ones_like(at),))
        return at, value / slope

    def _coordinate(self, name: str, value: Array) -> Array:
        i = self.rest.inner.space.index(name)
        return self.rest.to_u(self._middle().at[i].set(value))[i]

    def _alone(self, name: str, coordinate: Array) -> Array:
        i = self.rest.inner.space.index(name)
        return self.rest.to_theta(jnp.zeros(self.rest.size, coordinate.dtype).at[i].set(coordinate))[i]

    def _middle(self) -> Array:
        return self.rest.to_theta(jnp.zeros(self.rest.size, self.values.dtype))


def reference_time(
    space: ThetaSpace,
    names: tuple[str, ...],
    values: Float[Array, " d_all"],
    times: Float[Array, " N"],
    dt: Float[Array, ""],
) -> ReferenceTime | None:
    """The coordinates of the free parameters; None where no rate has two that are free.

    Args:
        space: the free parameters. names, values: the whole theta.
        times, dt: of the frames [s].
    """
    free = set(space.names)
    if not any(len(free & set(own)) > 1 for own in _RATES):
        return None
    offsets = {own[2] for own in _RATES}
    rest = Unbounded.of(space.subset(tuple(name for name in space.names if name not in offsets)))
    chart = ReferenceTime(
        rest=rest,
        values=values,
        t_ref=jnp.sqrt(dt * times[-1]),
        dt=dt,
        unit=jnp.ones(len(space), values.dtype),
        space=space,
        whole=tuple(names),
    )
    at = jnp.array([names.index(name) if name in names else -1 for name in space.names], int)
    start = jnp.where(at < 0, jnp.asarray(space.initial, values.dtype), values[at])
    return dataclasses.replace(chart, unit=_units(chart, start))


def _units(chart: ReferenceTime, start: Float[Array, " d"]) -> Float[Array, " d"]:
    """How far v goes until theta has changed by its scale; at most 1, and 1 where a start has no v."""
    scale = jnp.asarray([p.typical for p in chart.space.parameters], start.dtype)
    slopes = jax.jacfwd(chart.to_theta)(chart.to_u(start)) / scale[:, None]
    length = jnp.sqrt(jnp.sum(slopes**2, axis=0))
    return jnp.where(jnp.isfinite(length) & (length > 1.0), 1.0 / length, 1.0)
