"""Where to start a fit of which nothing is known: many short searches on few times and angles, all at once.

Amplitudes are drawn by their logarithm at the reference time t_ref = √(dt t_max), where they are well known, offsets as
shares of them. A start with β = 0 and a free γ̇_offset, or α = 0 and a free D_offset, is singular; none is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.stats import qmc

from campaign.science import ThetaSpace, start_jax
from campaign_xpcs.data import choosing
from campaign_xpcs.data.maps import TwoTimeMaps
from campaign_xpcs.model import parameters
from campaign_xpcs.model.marginal import MarginalProblem, marginal_problem
from campaign_xpcs.model.problem import two_time_problem
from campaign_xpcs.physics.correlation import SHEAR_MODELS

N_TIMES, N_ANGLES, N_STEPS = 24, 5, 30
DAMPING = (0.03, 30.0)  # q² D_ref t_max of the draws
PHASE = (0.3, 30.0)  # x of the strain γ̇_ref t_max, along the flow
EXPONENT = (0.1, 1.0)  # |α|, |β|
SHARE = (-0.3, 1.0)  # offset over amplitude, at t_ref
SAME = 10.0  # χ² by which ends of one basin differ at most


@dataclass(frozen=True, slots=True, kw_only=True)
class Starts:
    """Ends of the short searches, best first; of those that agree with the lowest χ², the ones without a floor first.

    Attributes:
        names: of the physics; theta: (n, d).
        chi2: (n,), of the coarse maps.
        n_agree: ends whose χ² is within 10 of the best: where few do, the problem has several minima or too little
            data, and a global search is worth its price.
    """

    names: tuple[str, ...]
    theta: Float[np.ndarray, "n d"]
    chi2: Float[np.ndarray, " n"]
    n_agree: int

    @property
    def best(self) -> dict[str, float]:
        """The start to take."""
        return dict(zip(self.names, self.theta[0].tolist(), strict=True))


def coarse(maps: TwoTimeMaps) -> TwoTimeMaps:
    """About 24 times and at most 5 angles, by block averages."""
    return choosing.block_averaged(choosing.every_angle(maps, N_ANGLES), max(maps.n_times // N_TIMES, 1))


def find_starts(
    maps: TwoTimeMaps,
    *,
    mode: str = "laminar_flow",
    shear_model: str = "physical",
    integration: str = "trapezoid",
    n: int = 16,
    seed: int = 0,
    values: Mapping[str, float] | None = None,
    bounds: Mapping[str, tuple[float, float]] | None = None,
    fixed: tuple[str, ...] = (),
) -> Starts:
    """n searches from log-sampled draws: Levenberg–Marquardt with contrasts and offsets solved for, side by side.

    Args:
        values, bounds, fixed: of the physics, as in `two_time_problem`; fixed parameters keep their values.

    Checked: tests/unit/xpcs/test_xpcs_fits.py: the best one leads to the golden χ²; it has no floor where one does.
    """
    start_jax()
    space = _space(mode, values, bounds, fixed)
    small = coarse(maps)
    inner = two_time_problem(
        small, mode=mode, shear_model=shear_model, integration=integration, scaling="individual", bounds=None
    )
    problem = marginal_problem(inner, space=space)
    draws = _draws(small, space, mode, shear_model, n, seed)
    free = jnp.asarray([float(p.free) for p in space.parameters])
    theta, chi2, is_floored = _search(
        problem, jnp.asarray(draws), free, jnp.asarray(space.lower), jnp.asarray(space.upper)
    )
    theta = np.clip(theta, space.lower, space.upper)  # the exponential of the logarithm of a bound may lie beyond it
    chi2 = np.where(np.isfinite(chi2), chi2, np.inf)
    is_other = chi2 > np.min(chi2) + SAME
    order = np.lexsort((chi2, np.asarray(is_floored) & ~is_other, is_other))
    agree = int(np.count_nonzero(~is_other))
    return Starts(names=space.names, theta=theta[order], chi2=chi2[order], n_agree=agree)


def drawn_starts(
    maps: TwoTimeMaps,
    n: int,
    *,
    mode: str = "laminar_flow",
    shear_model: str = "physical",
    seed: int = 0,
    values: Mapping[str, float] | None = None,
    bounds: Mapping[str, tuple[float, float]] | None = None,
    fixed: tuple[str, ...] = (),
) -> list[dict[str, float]]:
    """Where the searches of `find_starts` begin: a Latin hypercube, clipped to the bounds."""
    space = _space(mode, values, bounds, fixed)
    return [
        dict(zip(space.names, own.tolist(), strict=True)) for own in _draws(maps, space, mode, shear_model, n, seed)
    ]


def _space(
    mode: str,
    values: Mapping[str, float] | None,
    bounds: Mapping[str, tuple[float, float]] | None,
    fixed: tuple[str, ...],
) -> ThetaSpace:
    """The physics alone."""
    physics = parameters.physical(mode)
    names = [own.name for own in physics]
    return parameters.space(
        physics,
        values={name: value for name, value in (values or {}).items() if name in names},
        bounds={name: ends for name, ends in (bounds or {}).items() if name in names},
        fixed=[name for name in fixed if name in names],
    )


def _draws(
    maps: TwoTimeMaps, space: ThetaSpace, mode: str, shear_model: str, n: int, seed: int
) -> Float[np.ndarray, "n d"]:
    t_max = float(maps.times_s[-1])
    log_ref = 0.5 * math.log(maps.dt_s * t_max)
    unit = qmc.LatinHypercube(len(space), rng=np.random.default_rng(seed)).random(n)

    def part(own: np.ndarray, low: float, high: float) -> list[np.ndarray]:
        amplitude = np.exp(np.log(low) + own[:, 0] * np.log(high / low))
        side = np.where(own[:, 1] < 0.5, -1.0, 1.0)
        size = EXPONENT[0] + np.abs(2.0 * own[:, 1] - 1.0) * (EXPONENT[1] - EXPONENT[0])
        share = SHARE[0] + own[:, 2] * (SHARE[1] - SHARE[0])
        return [amplitude * np.exp(-side * size * log_ref), side * size, share * amplitude]

    scale = 1.0 / (maps.q**2 * t_max)
    columns = part(unit[:, :3], DAMPING[0] * scale, DAMPING[1] * scale)
    if not parameters.is_static(mode):
        scale = 1.0 / (SHEAR_MODELS[shear_model].factor * maps.q * float(maps.gap or 1.0) * t_max)
        columns += part(unit[:, 3:6], PHASE[0] * scale, PHASE[1] * scale)
        low, high = space.lower[-1], space.upper[-1]
        columns.append(low + unit[:, 6] * (high - low))
    drawn = np.stack(columns, axis=1)
    still = np.array([not p.free for p in space.parameters])
    drawn[:, still] = space.initial[still]
    return np.clip(drawn, space.lower, space.upper)


@jax.jit
def _search(
    problem: MarginalProblem, draws: Array, free: Array, lower: Array, upper: Array
) -> tuple[Array, Array, Array]:
    """Levenberg–Marquardt in ln D0 and ln γ̇0, N_STEPS steps, clipped to the bounds; a lane a draw.

    Returns:
        theta, χ², and whether a rate is floored.
    """
    is_log = jnp.asarray([p.transform == "log" for p in problem.space.parameters])

    def to_theta(u: Array) -> Array:
        return jnp.where(is_log, jnp.exp(jnp.where(is_log, u, 0.0)), u)

    def to_u(theta: Array) -> Array:
        return jnp.where(is_log, jnp.log(jnp.where(is_log, theta, 1.0)), theta)

    low, high = to_u(lower), to_u(upper)

    def residuals(u: Array) -> Array:
        return problem.residuals(to_theta(u))

    def step(_, state):
        u, cost, damping = state
        r, jacobian = residuals(u), jax.jacfwd(residuals)(u) * free[None, :]
        slope = jacobian.T @ r
        held = ((u <= low) & (slope > 0)) | ((u >= high) & (slope < 0)) | (free == 0)
        curved = jnp.where(held[:, None] | held[None, :], 0.0, jacobian.T @ jacobian)
        size = jnp.sqrt(jnp.where(held, 1.0, jnp.maximum(jnp.diagonal(curved), 1e-300)))
        scaled = curved / (size[:, None] * size[None, :]) + jnp.diag(jnp.where(held, 1.0, damping))
        move = -jnp.linalg.solve(scaled, jnp.where(held, 0.0, slope) / size) / size
        trial = jnp.clip(u + move, low, high)
        new = jnp.sum(residuals(trial) ** 2)
        better = new < cost
        return (
            jnp.where(better, trial, u),
            jnp.where(better, new, cost),
            jnp.clip(jnp.where(better, 0.2 * damping, 5.0 * damping), 1e-9, 1e6),
        )

    def one(theta: Array) -> tuple[Array, Array, Array]:
        u = to_u(theta)
        u, cost, _ = jax.lax.fori_loop(0, N_STEPS, step, (u, jnp.sum(residuals(u) ** 2), jnp.asarray(1.0)))
        found = to_theta(u)
        derived = problem.derived(found)
        return found, cost, sum((derived[name] for name in problem.degenerate()), jnp.asarray(0.0)) > 0

    return jax.vmap(one)(draws)
