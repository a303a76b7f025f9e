"""What each block of data predicts, and its whitened residuals.

A block is static: constants of the compiled program. Only noise and covariance scale differ between runs.

    r = W (model(theta) − data) / √s − ε,      W = L⁻¹,  C = L Lᵀ,  s = cov_scale,  ε = bootstrap noise

A bootstrap data vector is y + √s L ε, which in whitened units is just ε.
Supernovae know their magnitudes up to a common offset M, which is eliminated exactly: with w the residual without M
and e = W 1, r = w − e (e·w)/(e·e), so that r·r = A − B²/C of the usual formula and M = −(e·w)/(e·e).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from campaign_cosmology.data.data_table import Table
from campaign_cosmology.data.grid import Grid
from campaign_cosmology.physics.background import Background
from campaign_cosmology.physics.constants import C_KM_S

Scalar = Float[Array, ""]


class Geometry(NamedTuple):
    """Everything that the blocks compare with data.

    Attributes:
        D_M: transverse comoving distance [Mpc] at the redshifts of all blocks, (n,).
        D_H: c/H(z) [Mpc], (n,).
        z_star, z_drag [-]; r_s_star, r_drag [Mpc]; D_M_star [Mpc].
    """

    D_M: Float[Array, " n"]
    D_H: Float[Array, " n"]
    z_star: Scalar
    z_drag: Scalar
    r_s_star: Scalar
    r_drag: Scalar
    D_M_star: Scalar


@dataclass(frozen=True, eq=False)
class Block:
    """One data set, whitened, with the places of its rows among all redshifts."""

    table: Table
    whitening: np.ndarray
    rows: np.ndarray

    @property
    def kind(self) -> str:
        return self.table.kind

    @property
    def has_redshifts(self) -> bool:
        """Whether its rows are distances; else they are parameters and numbers that follow from them."""
        return self.kind not in ("cmb", "prior")

    @property
    def n_profiled(self) -> int:
        """Nuisance parameters eliminated inside: the magnitude offset of supernovae."""
        return int(self.kind == "sn")


def make_block(table: Table, redshifts: np.ndarray) -> Block:
    """Whiten a table; `redshifts` are the sorted unique redshifts of all blocks."""
    factor = np.linalg.cholesky(table.covariance)
    whitening = np.linalg.solve(factor, np.eye(len(table)))
    rows = np.zeros(len(table), int) if table.kind in ("cmb", "prior") else np.searchsorted(redshifts, table.z)
    return Block(table, np.tril(whitening), rows)


def shift_parameter(bg: Background, geometry: Geometry) -> Scalar:
    """R = √Ω_m H0 D_M(z*) / c."""
    return jnp.sqrt(bg.Om0) * bg.H0 * geometry.D_M_star / C_KM_S


def acoustic_scale(geometry: Geometry) -> Scalar:
    """l_A = π D_M(z*) / r_s(z*)."""
    return jnp.pi * geometry.D_M_star / geometry.r_s_star


def numbers(bg: Background, geometry: Geometry) -> dict[str, Scalar]:
    """What follows from the parameters and may be measured without a redshift."""
    l_A = acoustic_scale(geometry)
    return {
        "R": shift_parameter(bg, geometry),
        "l_A": l_A,
        "theta_star_100": 100.0 * jnp.pi / l_A,
        "Omh2": bg.Om0 * bg.h**2,
        "Obch2": (bg.Om0 - bg.Onu0) * bg.h**2,
        "r_d": geometry.r_drag,
        "H0_rd": bg.H0 * geometry.r_drag,
    }


def predict(block: Block, bg: Background, geometry: Geometry, theta: dict[str, Scalar]) -> Float[Array, " N"]:
    """The model's values for the rows of a block, in their order.

    CMB and priors: parameters, R, l_A, 100 θ*, Ω_m h², (Ω_m − Ω_ν) h², r_d, H0 r_d. BAO: D_M/r_d, D_H/r_d, D_V/r_d with
    D_V = (z D_M² D_H)^(1/3), and r_d/D_V.
    Supernovae: μ = 5 log10((1+z_helio) D_M(z)/Mpc) + 25, the Cepheid distance where a host has one.
    """
    quantity = block.table.quantity
    if not block.has_redshifts:
        values = {**theta, **numbers(bg, geometry)}
        return jnp.stack([values[name] for name in quantity])
    D_M = geometry.D_M[block.rows]
    if block.kind == "sn":
        mu = 5.0 * jnp.log10((1.0 + block.table.z_helio) * D_M) + 25.0
        anchor = block.table.anchor
        return jnp.where(np.isfinite(anchor), np.nan_to_num(anchor), mu)
    D_H = geometry.D_H[block.rows]
    names = np.array(quantity)
    inverse = names == "rd_over_DV"
    isotropic = (names == "DV_over_rd") | inverse
    distance = jnp.where(names == "DM_over_rd", D_M, D_H)
    if isotropic.any():
        distance = jnp.where(isotropic, jnp.cbrt(block.table.z * D_M * D_M * D_H), distance)
    ratio = distance / geometry.r_drag
    return jnp.where(inverse, 1.0 / ratio, ratio) if inverse.any() else ratio


def interpolated(grid: Grid, x: Float[Array, " k"]) -> Scalar:
    """The spline of a grid at x; beyond an end, its value at that end."""
    values = jnp.asarray(grid.coefficients)
    for axis in range(len(grid.first)):  # the first axis of what is left is summed each time
        n = values.shape[0] - 2
        t = jnp.clip((x[axis] - grid.first[axis]) / grid.step[axis], 0.0, n - 1.0)
        i = jnp.minimum(t.astype(jnp.int32), n - 2)
        f = t - i
        weights = jnp.stack([(1 - f) ** 3, 3 * f**3 - 6 * f**2 + 4, -3 * f**3 + 3 * f**2 + 3 * f + 1, f**3])
        values = jnp.tensordot(weights / 6.0, jax.lax.dynamic_slice_in_dim(values, i, 4), 1)
    return values


def whitened(
    block: Block, prediction: Float[Array, " N"], cov_scale: Scalar, noise: Float[Array, " N"]
) -> tuple[Float[Array, " N"], Scalar]:
    """Whitened residuals (N,), and the offset M that fits best (NaN for a block without one)."""
    w = jnp.asarray(block.whitening) @ (prediction - block.table.value)
    if block.table.grid is not None:
        w = w * interpolated(block.table.grid, prediction)
    w = w / jnp.sqrt(cov_scale) - noise
    if block.kind != "sn":
        return w, jnp.full((), jnp.nan)
    e = block.whitening @ np.ones(len(block.table))
    unit = jnp.asarray(e / np.sqrt(e @ e))
    along = unit @ w
    return w - unit * along, -along * jnp.sqrt(cov_scale) / np.sqrt(e @ e)
