"""Eigenmodes of a curvature as coordinates: all of them, or the best constrained ones."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from campaign.space.transform import Elementwise, no_bounds

LEAST = 1e-12  # of the largest eigenvalue: modes below it are rounding, and do not move


class Modes(eqx.Module):
    """Coordinates z with u = reference + matrix · z in front of another map; fewer than parameters, if so wanted.

    u is restricted to the reference and what the columns span: `to_u` projects onto that. Bounds of theta are no bounds
    of z.

    Attributes:
        inner: the map from u to theta.
        reference: u at z = 0.
        matrix: columns S V Λ^−½ (whitened) or S V; 0 for a mode that does not move.
        inverse: rows Λ^½ Vᵀ S⁻¹ or Vᵀ S⁻¹; 0 for a mode that does not move.
        eigenvalues: of S F S, largest first, of the modes in the map.
        is_kept: which modes move.
        is_whitened: static.

    Source: Golub & Van Loan, Matrix Computations, 4th ed., 8.1 (S F S = V Λ Vᵀ).
    Checked: tests/oracle/test_descent.py, the surrogate of a fitted image; tests/unit/space/test_modes.py.
    """

    inner: Elementwise
    reference: Float[Array, " d"]
    matrix: Float[Array, "d k"]
    inverse: Float[Array, "k d"]
    eigenvalues: Float[Array, " k"]
    is_kept: Bool[Array, " k"]
    is_whitened: bool = eqx.field(static=True)

    @classmethod
    def of(
        cls,
        inner: Elementwise,
        reference: Float[Array, " d"],
        curvature: Float[Array, "d d"],
        scale: Float[Array, " d"],
        *,
        whiten: bool = True,
        n_modes: int | None = None,
        least: float | None = None,
    ) -> Modes:
        """From the curvature F in u at the reference.

        Args:
            scale: S, typical changes of u: F is made S F S before it is decomposed.
            n_modes: how many of the largest; None: all.
            least: smallest eigenvalue of a mode that moves.

        The largest |component| of each mode is positive. Outside the domain: nothing moves where F is not finite.
        """
        scaled = curvature * scale[:, None] * scale[None, :]
        is_finite = jnp.all(jnp.isfinite(scaled))
        values, vectors = jnp.linalg.eigh(jnp.where(is_finite, scaled, jnp.eye(len(scale), dtype=scaled.dtype)))
        n = len(scale) if n_modes is None else min(n_modes, len(scale))
        values, vectors = values[::-1][:n], vectors[:, ::-1][:, :n]
        at = jnp.arange(len(scale))[:, None] == jnp.argmax(jnp.abs(vectors), axis=0)[None, :]
        vectors = vectors * jnp.where(jnp.sum(jnp.where(at, vectors, 0.0), axis=0) < 0, -1.0, 1.0)[None, :]
        is_kept = is_finite & (values > 0) & (values >= LEAST * values[0])
        if least is not None:
            is_kept = is_kept & (values >= least)
        length = jnp.sqrt(jnp.where(is_kept & jnp.asarray(whiten), values, 1.0))
        own = jnp.where(is_kept[None, :], vectors, 0.0)
        return cls(
            inner=inner,
            reference=reference,
            matrix=scale[:, None] * own / length[None, :],
            inverse=length[:, None] * own.T / scale[None, :],
            eigenvalues=values,
            is_kept=is_kept,
            is_whitened=whiten,
        )

    @property
    def size(self) -> int:
        return self.matrix.shape[1]

    @property
    def is_identity(self) -> bool:
        return False

    @property
    def is_elementwise(self) -> bool:
        return False

    def to_theta(self, u: Float[Array, " k"]) -> Float[Array, " d"]:
        return self.inner.to_theta(self.reference + self.matrix @ u)

    def to_u(self, theta: Float[Array, " d"]) -> Float[Array, " k"]:
        return self.inverse @ (self.inner.to_u(theta) - self.reference)

    def log_jacobian(self, u: Float[Array, " k"]) -> Float[Array, ""]:
        """Of theta in the span of the modes; up to a constant."""
        return self.inner.log_jacobian(self.reference + self.matrix @ u)

    def bounds(self, dtype=jnp.float64) -> tuple[Float[Array, " k"], Float[Array, " k"]]:
        return no_bounds(self.size, dtype)
