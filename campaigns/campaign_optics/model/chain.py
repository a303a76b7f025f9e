"""Consecutive frames of one run: each is fitted from where the one before ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from campaign.science import Problem, ThetaSpace
from campaign_optics.model.frame import BinaryFrame

_MOST_STEPS = 40  # a frame that needs more is flagged
_NEAR = 1e-10  # ½ gᵀF⁻¹g below which a frame is at its optimum: 1.4e-5 of a standard error
_LEAST_DAMPING, _MOST_DAMPING = 1e-10, 1e10  # of the scaled normal equations


class BinaryChain(Problem):
    """k frames in their order. `predict` fits them all; there is nothing for another engine than `evaluate` to do.

    Attributes:
        frames: the k problems of one frame, stacked: arrays have a leading axis k.
        space: of one frame; static.
    """

    frames: BinaryFrame
    space: ThetaSpace = eqx.field(static=True)

    def predict(self, theta: Float[Array, " d"]) -> dict[str, Array]:
        """Fits by Levenberg and Marquardt, the first from theta, each other from the last optimum before it.

        Returns:
            estimate (k, f) and error (k, f) of the f free parameters, in the order of the space; losses (k,), ½ r·r;
            steps (k,); is_optimum (k,), 0 for frames where none was found: their estimate is the best point that was.
        """
        own, shared = eqx.partition(self.frames, eqx.is_array)

        def one(start: Float[Array, " d"], arrays: BinaryFrame) -> tuple[Array, dict[str, Array]]:
            frame = eqx.combine(arrays, shared)
            found = _fitted(frame, start)
            return jnp.where(found.is_optimum, found.theta, start), {
                "estimate": found.theta[_free(self.space)],
                "error": _errors(found.normal) * _sizes(self.space),
                "losses": found.loss,
                "steps": found.steps.astype(theta.dtype),
                "is_optimum": found.is_optimum.astype(theta.dtype),
            }

        return jax.lax.scan(one, theta, own)[1]

    def coordinates(self) -> dict[str, dict[str, Array]]:
        k = self.frames.electrons.shape[0]
        along = {"frame": jnp.arange(k)}
        both = along | {"estimated": jnp.arange(len(_free(self.space)))}
        return {name: dict(both) for name in ("estimate", "error")} | {
            name: dict(along) for name in ("losses", "steps", "is_optimum")
        }

    def block(self, name: str) -> str:
        return self.frames.block(name)


def chain(frames: Sequence[BinaryFrame]) -> BinaryChain:
    """The problem of consecutive frames of one telescope."""
    stacked = jax.tree.map(lambda *arrays: jnp.stack(arrays), *frames)
    return BinaryChain(frames=stacked, space=frames[0].space)


class _Fit(NamedTuple):
    """Where a fit stands: point, its loss, ½ r·r, gradient and normal matrix in units of the parameters' sizes."""

    theta: Float[Array, " d"]
    loss: Float[Array, ""]
    slope: Float[Array, " f"]
    normal: Float[Array, "f f"]
    damping: Float[Array, ""]
    steps: Int[Array, ""]
    is_optimum: Bool[Array, ""]


def _fitted(frame: BinaryFrame, start: Float[Array, " d"]) -> _Fit:
    """Levenberg-Marquardt with Marquardt's scaling; a point outside of the bounds is moved onto them."""
    free, sizes = _free(frame.space), _sizes(frame.space)
    lower, upper = (np.array([getattr(p, end) for p in frame.space.parameters]) for end in ("lower", "upper"))

    def seen(theta: Float[Array, " d"], damping: Array, steps: Array) -> _Fit:
        r, tangent = jax.linearize(lambda x: frame.residuals(theta.at[free].add(x * sizes)), jnp.zeros(len(free)))
        columns = jax.vmap(tangent)(jnp.eye(len(free)))
        slope, normal = columns @ r, columns @ columns.T
        gain = 0.5 * slope @ _solved(normal, slope, 0.0)
        return _Fit(theta, 0.5 * r @ r, slope, normal, damping, steps, (gain >= 0) & (gain < _NEAR))

    def step(now: _Fit) -> _Fit:
        move = -_solved(now.normal, now.slope, now.damping) * sizes
        to = jnp.clip(now.theta.at[free].add(move), lower, upper)
        new = seen(to, jnp.maximum(0.1 * now.damping, _LEAST_DAMPING), now.steps + 1)
        stay = now._replace(damping=10.0 * now.damping, steps=now.steps + 1)
        return jax.tree.map(lambda a, b: jnp.where(new.loss <= now.loss, a, b), new, stay)

    def goes_on(now: _Fit) -> Bool[Array, ""]:
        return ~now.is_optimum & (now.steps < _MOST_STEPS) & (now.damping < _MOST_DAMPING)

    return jax.lax.while_loop(goes_on, step, seen(start, jnp.asarray(1e-3), jnp.asarray(1)))


def _solved(normal: Float[Array, "f f"], slope: Float[Array, " f"], damping: Array | float) -> Float[Array, " f"]:
    """(A + λ diag A)⁻¹ g, by way of a unit diagonal."""
    scale = 1.0 / jnp.sqrt(jnp.diag(normal))
    scaled = normal * scale[:, None] * scale[None, :] + damping * jnp.eye(len(slope))
    return jax.scipy.linalg.solve(scaled, slope * scale, assume_a="pos") * scale


def _errors(normal: Float[Array, "f f"]) -> Float[Array, " f"]:
    """√ of the diagonal of A⁻¹."""
    scale = 1.0 / jnp.sqrt(jnp.diag(normal))
    return jnp.sqrt(jnp.diag(jnp.linalg.inv(normal * scale[:, None] * scale[None, :]))) * scale


def _free(space: ThetaSpace) -> np.ndarray:
    return np.array([i for i, p in enumerate(space.parameters) if p.free])


def _sizes(space: ThetaSpace) -> np.ndarray:
    return np.array([p.typical for p in space.parameters if p.free])
