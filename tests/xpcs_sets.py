"""Synthetic two-time sets with known optima: NumPy alone, an independent statement of the equations.

The sets are those of the golden numbers: convention "homodyne-compat", σ = 0.01, seed 20240 + 1000 n_phi + N.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Q, GAP, DT, SIGMA = 0.0054, 2.0e6, 0.1, 0.01
TRUE = {
    "D0": 2000.0,
    "alpha": -0.3,
    "D_offset": 100.0,
    "gamma_dot_t0": 2.0e-3,
    "beta": -0.2,
    "gamma_dot_t_offset": 1.0e-4,
    "phi0": -5.0,
}
NEAR = {
    "D0": 2600.0,
    "alpha": -0.2,
    "D_offset": 50.0,
    "gamma_dot_t0": 1.5e-3,
    "beta": -0.1,
    "gamma_dot_t_offset": 0.0,
    "phi0": 0.0,
}
SHA256 = {(3, 100): "1f22ebc9", (10, 100): "9e9181e7", (10, 200): "6a814ef1", (23, 200): "c7ab7cbc"}
CHI2 = {(3, 100): 29098.01367376191, (10, 100): 99479.75630870274, (10, 200): 397243.25806681474}  # both triangles


def angles(n: int) -> np.ndarray:
    """[degree]"""
    return np.linspace(-180.0, 180.0, n, endpoint=False) + (0.0 if n > 3 else 10.0)


def scales(phi: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(contrast, offset)"""
    r = np.deg2rad(phi)
    return 0.30 * (1 + 0.10 * np.sin(2 * r + 0.3)), 1.0 + 0.02 * np.cos(r)


def rates(p: dict[str, float], times: np.ndarray, dt: float = DT) -> tuple[np.ndarray, np.ndarray]:
    """(J, γ̇) with homodyne's hard floor."""
    t = np.maximum(times, dt / 2)
    diffusion = np.maximum(p["D0"] * t ** p["alpha"] + p["D_offset"], 1e-10)
    return diffusion, np.maximum(p["gamma_dot_t0"] * t ** p["beta"] + p["gamma_dot_t_offset"], 1e-10)


def model(
    p: dict[str, float],
    phi: np.ndarray,
    n: int,
    contrast: np.ndarray,
    offset: np.ndarray,
    *,
    physical: bool = False,
    dt: float = DT,
) -> np.ndarray:
    """c2, (n_phi, n, n)."""
    curves = (np.concatenate([[0.0], np.cumsum(0.5 * (f[1:] + f[:-1]))]) * dt for f in rates(p, np.arange(n) * dt, dt))
    dK, dG = (np.abs(c[:, None] - c[None, :]) for c in curves)
    factor, power = (0.5, 2) if physical else (0.5 / np.pi, 4)
    x = factor * Q * GAP * np.cos(np.deg2rad(p["phi0"] - phi))[:, None, None] * dG
    S = np.sinc(x / np.pi)
    return offset[:, None, None] + contrast[:, None, None] * np.exp(-Q * Q * dK)[None] * S**power


def make(n_phi: int, n: int, *, physical: bool = False, seed: int = 20240, sigma: float = SIGMA) -> dict[str, Any]:
    """c2 with noise that is symmetric in the two times; arguments of `two_time_maps`."""
    phi = angles(n_phi)
    c2 = model(TRUE, phi, n, *scales(phi), physical=physical)
    e = np.random.default_rng(seed + 1000 * n_phi + n).standard_normal(c2.shape) * sigma
    i, j = np.triu_indices(n)
    noise = np.zeros_like(e)
    noise[:, i, j] = e[:, i, j]
    noise[:, j, i] = e[:, i, j]
    return {"c2": c2 + noise, "phi_deg": phi, "q": Q, "gap": GAP, "dt_s": DT, "sigma": sigma}
