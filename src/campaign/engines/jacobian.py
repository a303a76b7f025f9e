"""The Jacobian of the residuals at the start, row block by row block, and what it says of the parameters."""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from campaign.engines.base import AbstractEngine, Field, Info, Outcome, Result
from campaign.engines.catalogue import JacobianOptions
from campaign.engines.errors import errors_of
from campaign.engines.linear import covariance
from campaign.errors import InvalidValue
from campaign.problem.target import Target

_NO_LIMIT = 2**31 - 1  # `n_steps` decides


class Rows(NamedTuple):
    """State: what the row blocks so far add up to.

    Attributes:
        done: row blocks done.
        n_blocks: how many there are.
        triangle: R of the QR factorisation of the rows so far: RᵀR = JᵀJ.
        squares: r·r of the rows so far.
        finite: parameters whose columns are finite so far.
    """

    done: Int[Array, ""]
    n_blocks: Int[Array, ""]
    triangle: Float[Array, "d d"]
    squares: Float[Array, ""]
    finite: Bool[Array, " d"]


class Jacobian(AbstractEngine):
    """J_ij = ∂r_i/∂theta_j at the start, in theta (never in u), with the Fisher matrix F = JᵀJ and F⁻¹.

    A problem with `ChunkedResiduals` is taken `chunk` rows a step, so that memory is O(chunk · d) whatever N is; any
    other in one step. Each block is folded into a triangular factor (sequential TSQR), so that the covariance has the
    accuracy of a singular value decomposition of the whole J, not of its square.

    Trace: ``jacobian`` (datum, parameter), row blocks concatenated, ``residuals`` (datum), ``loss`` = ½ r·r so far.
    Result: theta is the start; stderr and covariance from F⁻¹, times r·r/(N − rank − n_profiled) unless errors are
    absolute; NaN for parameters that the data do not identify. ``condition`` is that of J with unit columns.
    `NONFINITE` where a residual or a derivative is; the parameters of such derivatives are named as unidentified.

    Source: Demmel et al. 2012, SIAM J. Sci. Comput. 34, A206, sec. 3 (TSQR by blocks).
    Checked: tests/oracle/test_jacobian.py against closed forms and numpy.linalg, blocks against the whole.
    """

    chunk: int = eqx.field(static=True)
    max_steps: int = eqx.field(static=True)
    chunk_steps: int = eqx.field(static=True)

    def n_steps(self, target: Target) -> int:
        return -(-target.n_residuals // self.chunk) if target.is_chunked else 1

    def init(self, target: Target, key: PRNGKeyArray) -> Rows:
        if not target.has_residuals:
            raise InvalidValue(
                f"engine `jacobian` needs residuals, and `{target.name}` has none",
                hint="give the problem a `residuals` method, or use the engine `scan` or `ensemble`",
            )
        d, dtype = target.scale.shape[0], target.base.dtype
        return Rows(
            done=jnp.zeros((), jnp.int32),
            n_blocks=jnp.asarray(self.n_steps(target), jnp.int32),
            triangle=jnp.zeros((d, d), dtype),
            squares=jnp.zeros((), dtype),
            finite=jnp.ones(d, bool),
        )

    def step(self, target: Target, state: Rows) -> tuple[Rows, Info]:
        residuals, jacobian = self._block(target, state.done)
        padding = self._is_padding(target, state.done)
        rows = jnp.where(padding[:, None], 0.0, jacobian)
        finite = state.finite & jnp.all(jnp.isfinite(rows), axis=0)
        rows = jnp.where(finite[None, :], rows, 0.0)  # a column that is not finite would spoil the others
        triangle = jnp.linalg.qr(jnp.concatenate([state.triangle, rows]), mode="r")
        squares = state.squares + jnp.sum(jnp.where(padding, 0.0, residuals) ** 2)
        state = Rows(done=state.done + 1, n_blocks=state.n_blocks, triangle=triangle, squares=squares, finite=finite)
        return state, {"loss": 0.5 * squares, "jacobian": jacobian, "residuals": residuals}

    def outcome(self, state: Rows) -> Int[Array, ""]:
        finite = jnp.isfinite(state.squares) & jnp.all(jnp.isfinite(state.triangle)) & jnp.all(state.finite)
        done = jnp.where(state.done >= state.n_blocks, Outcome.CONVERGED, Outcome.RUNNING)
        return jnp.where(finite, done, Outcome.NONFINITE)

    def finish(self, target: Target, state: Rows) -> Result:
        d = state.triangle.shape[0]
        n = target.n_residuals
        fit = covariance(jnp.where(state.finite, state.triangle, jnp.nan).T, jnp.zeros(d, bool), n)
        theta = target.start_theta()
        errors = errors_of(target, theta, fit.matrix, fit, state.squares)
        return Result.of(
            theta,
            0.5 * state.squares,
            stderr=errors.stderr,
            n_evaluations=d + 1,
            unidentified=errors.unidentified,
            metrics={
                "chi2": state.squares,
                "n_data": jnp.asarray(target.n_data, jnp.int32),
                "n_free": jnp.asarray(d, jnp.int32),
                "condition": fit.condition,
            },
            arrays={"fisher": state.triangle.T @ state.triangle, "covariance": errors.covariance},
        )

    def fields(self, target: Target) -> dict[str, Field]:
        n = target.n_residuals
        return {
            "loss": Field(),
            "jacobian": Field(("datum", "parameter"), joined=n),
            "residuals": Field(("datum",), joined=n),
            "fisher": Field(("parameter", "parameter_b"), once=True),
            "covariance": Field(("parameter", "parameter_b"), once=True),
        }

    def _size(self, target: Target) -> int:
        """Rows of a block."""
        n = target.n_residuals
        return min(self.chunk, n) if target.is_chunked else n

    def _is_padding(self, target: Target, block: Array) -> Array:
        """Rows of a block that lie beyond the last datum."""
        size = self._size(target)
        return block * size + jnp.arange(size) >= target.n_residuals

    def _block(self, target: Target, block: Array) -> tuple[Float[Array, " size"], Float[Array, "size d"]]:
        """Residuals and Jacobian of a row block; rows beyond the last datum are NaN.

        The problem is never asked for rows beyond its end: the last block asks for the last `size` rows, and those that
        an earlier block has had are turned out of it.
        """
        size = self._size(target)
        first = jnp.minimum(block * size, target.n_residuals - size)

        def residuals(theta: Float[Array, " d"]) -> Float[Array, " size"]:
            return target.residual_rows_at(theta, first, size) if target.is_chunked else target.residuals_at(theta)

        theta = target.start_theta()
        value, tangent = jax.linearize(residuals, theta)
        jacobian = jax.vmap(tangent, out_axes=1)(jnp.eye(theta.shape[0], dtype=theta.dtype))
        had = block * size - first
        padding = self._is_padding(target, block)
        value, jacobian = jnp.roll(value, -had), jnp.roll(jacobian, -had, axis=0)
        return jnp.where(padding, jnp.nan, value), jnp.where(padding[:, None], jnp.nan, jacobian)


def build(options: JacobianOptions) -> Jacobian:
    return Jacobian(chunk=options.chunk, max_steps=_NO_LIMIT, chunk_steps=1)
