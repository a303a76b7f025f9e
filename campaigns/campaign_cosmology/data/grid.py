"""Likelihoods that are published as tables of their values: eBOSS's ELG and Lyman-α. No JAX.

Such a likelihood is not Gaussian, yet least squares, errors, profiles and resampling need residuals. With x̂ the peak,
W = C^−½ of the covariance C there, w = W (x − x̂) and

    r = w √s(x),   s(x) = −2 ln(L(x)/L(x̂)) / (w·w),

so that r·r = −2 ln L exactly, and r is smooth: s → 1 at the peak. √s is interpolated on the grid by cubic splines;
beyond the grid it keeps the value at the edge, so that χ² goes on rising as a parabola.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from scipy.interpolate import RectBivariateSpline, make_interp_spline
from scipy.ndimage import spline_filter
from scipy.optimize import minimize

from campaign.science import DataFileError

NEAR = 0.05  # of a standard deviation: s is 1 there, to what the spline of ln L resolves


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Grid:
    """√s over a uniform grid, as coefficients of cardinal cubic B-splines.

    Attributes:
        first, step: of each axis, (k,).
        coefficients: one node beyond each end of each axis.
    """

    first: Float[np.ndarray, " k"]
    step: Float[np.ndarray, " k"]
    coefficients: np.ndarray


def read_grid(path: Path, k: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Axes, and −2 ln L over them, of rows x₁ … x_k L, the last axis fastest.

    Raises:
        DataFileError: no numbers, no full uniform grid, or a likelihood that is not above 0.
    """
    try:
        rows = np.loadtxt(path)
    except ValueError as error:
        raise DataFileError(f"`{path.name}` is no table of numbers: {error}") from None
    if rows.ndim != 2 or rows.shape[1] != k + 1:
        raise DataFileError(f"`{path.name}` has rows of {rows.shape[-1]} numbers, not {k + 1}")
    axes = [np.unique(rows[:, i]) for i in range(k)]
    nodes = np.stack([m.ravel() for m in np.meshgrid(*axes, indexing="ij")], axis=1)
    steps = [np.diff(axis) for axis in axes]
    if nodes.shape != rows[:, :k].shape or not np.array_equal(nodes, rows[:, :k]):
        raise DataFileError(f"`{path.name}` is no full grid in order")
    if any(len(s) < 4 or np.ptp(s) > 1e-6 * s.mean() for s in steps):
        raise DataFileError(f"`{path.name}` is no uniform grid of five or more nodes an axis")
    if not (rows[:, k] > 0).all():
        raise DataFileError(f"`{path.name}` has a likelihood that is not above 0")
    return axes, -2.0 * np.log(rows[:, k]).reshape([len(axis) for axis in axes])


def shape_of(axes: list[np.ndarray], chi2: np.ndarray) -> tuple[np.ndarray, np.ndarray, Grid]:
    """Peak, covariance there, and √s over the grid."""
    first, step = np.array([a[0] for a in axes]), np.array([(a[-1] - a[0]) / (len(a) - 1) for a in axes])
    value, hessian = _smooth(axes, chi2)
    start = np.array([a[i] for a, i in zip(axes, np.unravel_index(np.argmin(chi2), chi2.shape), strict=True)])
    found = minimize(lambda t: value(start + t * step), np.zeros(len(axes)), method="Nelder-Mead", tol=1e-10)
    peak = start + found.x * step
    covariance = np.linalg.inv(0.5 * hessian(peak))
    whitening = np.linalg.inv(np.linalg.cholesky(covariance))
    nodes = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    squares = np.sum(((nodes - peak) @ whitening.T) ** 2, axis=-1)
    rises = np.maximum(chi2 - float(found.fun), 0.0)
    stretch = np.sqrt(np.where(squares > NEAR**2, rises / np.maximum(squares, NEAR**2), 1.0))
    coefficients = np.pad(spline_filter(stretch, order=3, mode="mirror"), 1, mode="reflect")
    return peak, covariance, Grid(first=first, step=step, coefficients=coefficients)


def _smooth(axes: list[np.ndarray], chi2: np.ndarray) -> tuple[Callable[..., float], Callable[..., np.ndarray]]:
    """χ² between the nodes, and its Hessian, by cubic splines."""
    if len(axes) == 1:
        spline = make_interp_spline(axes[0], chi2, k=3)
        return (lambda x: float(spline(x[0]))), (lambda x: np.array([[float(spline(x[0], 2))]]))
    surface = RectBivariateSpline(axes[0], axes[1], chi2, kx=3, ky=3, s=0)

    def hessian(x):
        xx, xy, yy = (float(surface(x[0], x[1], dx=i, dy=j)[0, 0]) for i, j in ((2, 0), (1, 1), (0, 2)))
        return np.array([[xx, xy], [xy, yy]])

    return (lambda x: float(surface(x[0], x[1])[0, 0])), hessian
