"""Simulated maps: the model, and noise of a known σ that is the same at (i, j) and (j, i)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import jax
import numpy as np
from jaxtyping import Float

from campaign_xpcs.data.maps import TwoTimeMaps, two_time_maps
from campaign_xpcs.model.parameters import expanded, fields
from campaign_xpcs.model.problem import two_time_problem
from campaign_xpcs.physics import pairs


def simulated_maps(
    truth: Mapping[str, float],
    *,
    phi_deg: Float[np.ndarray, " n_phi"],
    n_times: int,
    dt_s: float,
    q: float,
    gap: float | None = None,
    sigma: float = 0.01,
    seed: int | None = 0,
    mode: str = "laminar_flow",
    shear_model: str = "physical",
    integration: str = "trapezoid",
) -> TwoTimeMaps:
    """Maps behind which the truth stands.

    Args:
        truth: every parameter of the physics, and ``contrast`` and ``offset``, or ``contrast[k]`` … of each angle.
        seed: of the noise; None leaves it out.

    Raises:
        UnknownName, InvalidValue: a name or value that does not fit.
    """
    key = tuple(sorted(truth.items()))
    mean = _expected(key, tuple(phi_deg.tolist()), n_times, dt_s, q, gap, mode, shear_model, integration)
    c2 = mean
    if seed is not None:
        noise = sigma * np.random.default_rng(seed).standard_normal((len(phi_deg), pairs.n_pairs(n_times)))
        c2 = mean + pairs.full(noise, n_times, 0.0)
    given = {"phi_deg": phi_deg, "q": q, "gap": gap, "dt_s": dt_s, "sigma": sigma}
    return two_time_maps(c2, **given, notes=("simulated",))


def full_truth(truth: Mapping[str, float], mode: str, n_phi: int) -> dict[str, float]:
    """The truth by the names of scaling "individual", and by the short names that are given."""
    names = [field.name for field in fields(mode, "individual", n_phi)]
    own = {name: value for name, value in truth.items() if name in names or name in ("contrast", "offset")}
    return {name: own[key] for key, several in expanded(own, names).items() for name in several}


@lru_cache(maxsize=64)
def _expected(
    truth: tuple[tuple[str, float], ...],
    phi_deg: tuple[float, ...],
    n_times: int,
    dt_s: float,
    q: float,
    gap: float | None,
    mode: str,
    shear_model: str,
    integration: str,
) -> Float[np.ndarray, "n_phi N N"]:
    """Maps without noise. Read-only: they are kept for the next noise."""
    n = len(phi_deg)
    empty = two_time_maps(np.ones((n, n_times, n_times)), phi_deg=phi_deg, q=q, gap=gap, dt_s=dt_s, sigma=1.0)
    problem = two_time_problem(
        empty,
        mode=mode,
        shear_model=shear_model,
        integration=integration,
        values=full_truth(dict(truth), mode, n),
    )
    found = np.array(jax.jit(lambda own, theta: own.maps(theta))(problem, problem.space.initial))
    found.setflags(write=False)
    return found
