"""The diagonal curvature that a descent goes by: taken at its start, again now and then, or averaged on the way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from campaign.engines.catalogue_descent import GRADIENT_SQUARED
from campaign.engines.derivative import scale_of_u
from campaign.engines.diagonal import Diagonal, diagonal_of, source_of
from campaign.engines.linear import only_if
from campaign.problem.target import Target

HISTORY = 64  # refreshes that are recorded: the first ones


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where curvature is from. Compiled in.

    Attributes:
        names: one or two sources; two are blended.
        scale: "scale", "prior", "gn" or "none".
        refresh_every: steps between two looks; None: never again.
        is_needed: rates depend on it; otherwise it only tells what is left to gain, where that can be known.
        is_running: squared gradients are averaged at each step.
        from_first: their average begins at the first one, not at 0.
        n_probes, seed: of Hutchinson's estimate.
    """

    names: tuple[str, ...] = ("auto",)
    scale: str = "none"
    refresh_every: int | None = None
    is_needed: bool = True
    is_running: bool = False
    from_first: bool = False
    n_probes: int = 64
    seed: int = 0

    @property
    def is_fixed(self) -> bool:
        """The curvature stays as it is at the start."""
        return self.refresh_every is None and not self.is_running


class Weights(NamedTuple):
    """Numbers of the averages, and +∞ known only when the program runs (see `Momentum`).

    Attributes:
        blend: of the first of two sources.
        memory: of the curvature before a refresh.
        beta: of squared gradients.
    """

    blend: Float[Array, ""]
    memory: Float[Array, ""]
    beta: Float[Array, ""]
    unbounded: Float[Array, ""]

    def mean(self, weight: Array, one: Array, other: Array) -> Array:
        """weight·one + (1 − weight)·other, each operation rounded by itself."""
        left, right = (jnp.clip(x, -self.unbounded, self.unbounded) for x in (weight * one, (1.0 - weight) * other))
        return left + right


class Curved(NamedTuple):
    """Curvature at hand.

    Attributes:
        scale: s.
        raw: of each source in u, with its sign, as it was seen last.
        scaled: of each source in units of s, never negative, smoothed over refreshes.
        error: standard error of Hutchinson's estimate.
        average: v of the squared gradients.
        inverse: 1/curvature in u, infinite where there is none: ½ Σ g²/curvature is what is left to gain.
        history, steps: the curvature after each refresh, and its step; NaN and −1 where there was none.
        n_refreshes: so far.
    """

    scale: Float[Array, " d"]
    raw: Float[Array, "n d"]
    scaled: Float[Array, "n d"]
    error: Float[Array, " d"]
    average: Float[Array, " d"]
    inverse: Float[Array, " d"]
    history: Float[Array, "h d"]
    steps: Int[Array, " h"]
    n_refreshes: Int[Array, ""]

    def mixed(self, weights: Weights) -> Float[Array, " d"]:
        """c of the coordinates in units of s: α c₁ + (1 − α) c₂."""
        return self.scaled[0] if len(self.scaled) == 1 else weights.mean(weights.blend, self.scaled[0], self.scaled[1])


@dataclass(frozen=True, slots=True)
class Look:
    """How curvature is looked at; `user` is the user's own."""

    sources: Sources
    objective: str
    user: Float[Array, " d"] | None
    weights: Weights

    def at_start(self, target: Target, u: Float[Array, " d"]) -> Curved:
        scale = scale_for(target, u, self.sources.scale, self.objective)
        raw, error = self._seen(target, u, scale)
        scaled = self._usable(target, raw) * (scale * scale)[None, :]
        squared = self._squared(raw) if self.sources.from_first else jnp.zeros_like(u)
        n = 0 if self.sources.refresh_every is None else HISTORY
        curved = Curved(
            scale=scale,
            raw=raw,
            scaled=scaled,
            error=error,
            average=squared,
            inverse=jnp.zeros_like(u),
            history=jnp.full((n, u.shape[0]), jnp.nan, u.dtype),
            steps=jnp.full(n, -1, jnp.int32),
            n_refreshes=jnp.zeros((), jnp.int32),
        )
        own = curved.mixed(self.weights) / (scale * scale)
        if not self._is_hessian:
            own = self._one(target, u, "auto", scale).value
        return curved._replace(inverse=1.0 / jnp.abs(own))

    def after(self, target: Target, u: Float[Array, " d"], slope: Array, step: Array, before: Curved) -> Curved:
        """Curvature before the step from u, by the gradient there and, when it is time, by another look."""
        curved = self._averaged(slope, step, before) if self.sources.is_running else before
        every = self.sources.refresh_every
        if every is None:
            return curved
        is_due = (step > 0) & (step % every == 0)
        return only_if(is_due, lambda: self._refreshed(target, u, step, curved), curved)

    def _averaged(self, slope: Array, step: Array, before: Curved) -> Curved:
        squared = slope * slope
        average = self.weights.mean(self.weights.beta, before.average, squared)
        own = average
        if not self.sources.from_first:
            own = average / (1.0 - self.weights.beta ** (step + 1))
        k = self.sources.names.index(GRADIENT_SQUARED)
        scaled = before.scaled.at[k].set(own * (before.scale * before.scale))
        return before._replace(average=average, raw=before.raw.at[k].set(own), scaled=scaled)

    def _refreshed(self, target: Target, u: Array, step: Array, before: Curved) -> Curved:
        raw, error = self._seen(target, u, before.scale)
        new = self._usable(target, raw) * (before.scale * before.scale)[None, :]
        smooth = self.weights.mean(self.weights.memory, before.scaled, new)
        if self.sources.is_running:  # squared gradients have an average of their own
            k = self.sources.names.index(GRADIENT_SQUARED)
            smooth, raw = smooth.at[k].set(before.scaled[k]), raw.at[k].set(before.raw[k])
        at = jnp.arange(HISTORY) == before.n_refreshes
        after = before._replace(raw=raw, scaled=smooth, error=error, n_refreshes=before.n_refreshes + 1)
        mixed = after.mixed(self.weights)
        if self._is_hessian:
            after = after._replace(inverse=before.scale * before.scale / mixed)
        return after._replace(
            history=jnp.where(at[:, None], mixed[None, :], before.history),
            steps=jnp.where(at, step, before.steps),
        )

    def _seen(self, target: Target, u: Array, scale: Array) -> tuple[Array, Array]:
        found = [self._one(target, u, name, scale) for name in self.sources.names]
        return jnp.stack([one.value for one in found]), jnp.sum(jnp.stack([one.error for one in found]), axis=0)

    def _one(self, target: Target, u: Array, name: str, scale: Array) -> Diagonal:
        if name == "user" and self.user is not None:
            return Diagonal(self.user.astype(u.dtype), jnp.zeros_like(u))
        own = self.sources
        if target.is_mean and not own.is_needed:
            return Diagonal(jnp.zeros_like(u), jnp.zeros_like(u))
        return diagonal_of(target, u, name, self.objective, scale=scale, n_probes=own.n_probes, seed=own.seed)

    def _usable(self, target: Target, raw: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """Sizes of exact curvatures; of estimates what is positive, for a negative one is noise."""
        own = [
            jnp.maximum(row, 0.0) if is_estimate(target, name, self.sources.n_probes) else jnp.abs(row)
            for name, row in zip(self.sources.names, raw, strict=True)
        ]
        return jnp.stack(own)

    def _squared(self, raw: Float[Array, "n d"]) -> Float[Array, " d"]:
        return raw[self.sources.names.index(GRADIENT_SQUARED)]

    def n_evaluations(self, target: Target) -> int:
        """What a look counts as: a Jacobian d, a Hessian-vector product and a gradient 1. Static."""
        d = target.n_coordinates
        cost = {"ema_grad2": 1, "user": 0}
        own = sum(
            self.sources.n_probes if is_estimate(target, name, self.sources.n_probes) else cost.get(name, d)
            for name in self.sources.names
        )
        return own if self._is_hessian else own + d

    @property
    def _is_hessian(self) -> bool:
        return not {GRADIENT_SQUARED, "user"} & set(self.sources.names)


def is_estimate(target: Target, name: str, n_probes: int) -> bool:
    """Whether a source is Hutchinson's estimate. Static."""
    if name == "user" or target.is_mean:
        return False
    return not source_of(target, name, n_probes)[1]


def is_negative(curved: Curved) -> Bool[Array, " d"]:
    return jnp.any(curved.raw < 0, axis=0)


def scale_for(target: Target, u: Float[Array, " d"], kind: str, objective: str) -> Float[Array, " d"]:
    """s: the parameters' `scale`, widths of normal priors, 1/√ of the Gauss–Newton diagonal at u, or 1."""
    if kind == "none":
        return jnp.ones_like(u)
    own = scale_of_u(target)
    if kind == "prior" and target.map.is_elementwise:
        widths = [p.prior.numbers[1] if p.prior and p.prior.kind == "normal" else 0.0 for p in target.space.parameters]
        slope = jnp.abs(jax.jvp(target.theta, (target.start(),), (jnp.ones_like(u),))[1])
        width = jnp.asarray(widths, u.dtype)
        return jnp.where(width > 0, width / slope, own)
    if kind == "gn":
        seen = diagonal_of(target, u, "auto", objective, scale=own).value
        return jnp.where(seen > 0, 1.0 / jnp.sqrt(jnp.where(seen > 0, seen, 1.0)), own)
    return own
