"""ΛCDM on CMB distance priors + DESI DR2: campaign against scipy.optimize.least_squares over astropy, the same fit.

Both take the same tables, formulas (z* PLANCK18, z_d AAN21, exact radiation constants) and starts. The peer gets its
distances from astropy.cosmology, its sound horizons from 400-point Gauss–Legendre over astropy's vectorised inverse
E(z) (quicker than `quad`), and its Jacobian from two-point differences; it runs in one process, and so does campaign.
chi2 at the defaults and at the best fits is compared before anything is timed.

    python benchmarks/cosmology.py [--evaluations 20000] [--fits 4096] [--peer-fits 40] [--out FILE]

start-up: import, build and compile, once a process. steady: what each further evaluation or fit costs.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

OPTIONS = {"model": "lcdm", "data": ["cmb", "bao_ani"], "constants": "exact"}
FREE = ("H0", "Om0", "Obh2")
C_KM_S = 299792.458


class Peer:
    """Whitened residuals with astropy, for scipy's least squares."""

    def __init__(self) -> None:
        from campaign_cosmology.tables import table

        self.cmb, self.bao = table("cmb"), table("bao_ani")
        self.white = [np.linalg.inv(np.linalg.cholesky(t.covariance)) for t in (self.cmb, self.bao)]
        self.nodes, self.weights = np.polynomial.legendre.leggauss(400)

    def residuals(self, x: np.ndarray) -> np.ndarray:
        from astropy.cosmology import LambdaCDM

        H0, Om0, wb = x
        h = H0 / 100.0
        Or0 = 4.183702725713658e-05 / h**2
        cosmology = LambdaCDM(H0=H0, Om0=Om0, Ode0=1.0 - Om0 - Or0, Tcmb0=2.7255, Neff=3.046, m_nu=0.0)
        wm = Om0 * h**2
        z_star = 1089.80 * (wb / 0.02237) ** -0.004 * (wm / 0.1424) ** 0.010
        z_drag = (1 + 428.169 * wb**0.256459 * wm**0.616388 + 925.56 * wm**0.751615) / wm**0.714129
        D_star = cosmology.comoving_distance(z_star).value
        r_star, r_drag = (self.sound_horizon(cosmology, H0, wb, z) for z in (z_star, z_drag))
        z = np.unique(self.bao.z)
        D_M = dict(zip(z, cosmology.comoving_distance(z).value, strict=True))
        D_H = dict(zip(z, C_KM_S / H0 * cosmology.inv_efunc(z), strict=True))
        model = []
        for q, zi in zip(self.bao.quantity, self.bao.z, strict=True):
            distance = {"DM": D_M[zi], "DH": D_H[zi], "DV": np.cbrt(zi * D_M[zi] ** 2 * D_H[zi])}[q[:2]]
            model.append(distance / r_drag)
        prior = np.array([np.sqrt(Om0) * H0 * D_star / C_KM_S, np.pi * D_star / r_star, wb])
        return np.concatenate([self.white[0] @ (prior - self.cmb.value), self.white[1] @ (model - self.bao.value)])

    def sound_horizon(self, cosmology: Any, H0: float, wb: float, z: float) -> float:
        """∫₀^a c_s da / (a² H), in √a so that few nodes do."""
        top = np.sqrt(1.0 / (1.0 + z))
        s = 0.5 * top * (self.nodes + 1.0)
        a = s * s
        speed = C_KM_S / np.sqrt(3.0 * (1.0 + 0.75 * wb / 2.4729753286336536e-5 * a))
        return float(
            0.5 * top * np.sum(self.weights * 2.0 * s * speed * cosmology.inv_efunc(1.0 / a - 1.0) / (H0 * a**2))
        )

    def fit(self, start: np.ndarray) -> Any:
        from scipy.optimize import least_squares

        return least_squares(
            self.residuals, start, x_scale=[0.5, 0.01, 2e-4], bounds=([20, 0.01, 0.005], [150, 0.99, 0.1])
        )


def per_call(function: Callable[[], Any], seconds: float = 2.0) -> float:
    """Seconds a call, the best of three rounds."""
    function()
    best = np.inf
    for _ in range(3):
        n, started = 0, time.perf_counter()
        while time.perf_counter() - started < seconds / 3 or n == 0:
            function()
            n += 1
        best = min(best, (time.perf_counter() - started) / n)
    return best


def starts(n: int) -> np.ndarray:
    """n starts, the same for both."""
    u = np.random.default_rng(1).random((n, 3))
    return np.array([60.0, 0.25, 0.020]) + u * np.array([15.0, 0.12, 0.005])


def measure(n_evaluations: int, n_fits: int, n_peer: int) -> dict[str, Any]:
    begun = time.perf_counter()
    import jax
    import jax.numpy as jnp

    from campaign_cosmology.options import CosmologyOptions
    from campaign_cosmology.problem import build

    problem = build(CosmologyOptions.model_validate(OPTIONS))
    base = jnp.asarray(problem.space.initial)
    index = np.array([problem.space.index(name) for name in FREE])

    def both(x):
        def twice(y):
            r = problem.residuals(base.at[index].set(y))
            return r, r

        jacobian, r = jax.jacfwd(twice, has_aux=True)(x)
        return r, jacobian

    single = jax.jit(lambda x: problem.residuals(base.at[index].set(x)))
    single_both = jax.jit(both)
    many = jax.jit(lambda x: jax.lax.map(lambda y: problem.residuals(base.at[index].set(y)), x, batch_size=64))
    many_both = jax.jit(lambda x: jax.lax.map(both, x, batch_size=64))
    points = jnp.asarray(starts(n_evaluations))
    for compiled, argument in ((single, points[0]), (single_both, points[0]), (many, points), (many_both, points)):
        jax.block_until_ready(compiled(argument))
    start_up = time.perf_counter() - begun

    peer = Peer()
    x0 = np.array([67.4, 0.315, 0.02237])
    ours, theirs = np.asarray(single(jnp.asarray(x0))), peer.residuals(x0)
    result: dict[str, Any] = {
        "chi2_at_defaults": {"campaign": float(ours @ ours), "peer": float(theirs @ theirs)},
        "campaign": {
            "start_up_s": start_up,
            "residuals_single_s": per_call(lambda: jax.block_until_ready(single(points[0]))),
            "residuals_and_jacobian_single_s": per_call(lambda: jax.block_until_ready(single_both(points[0]))),
            "residuals_batched_s": per_call(lambda: jax.block_until_ready(many(points))) / n_evaluations,
            "residuals_and_jacobian_batched_s": per_call(lambda: jax.block_until_ready(many_both(points)))
            / n_evaluations,
        },
        "peer": {"residuals_s": per_call(lambda: peer.residuals(x0))},
    }
    result["peer"] |= _peer_fits(peer, starts(n_fits)[:n_peer])
    result["campaign"] |= _campaign_fits(n_fits)
    return result


def _peer_fits(peer: Peer, points: np.ndarray) -> dict[str, Any]:
    started = time.perf_counter()
    fits = [peer.fit(x) for x in points]
    seconds = (time.perf_counter() - started) / len(points)
    return {"fit_s": seconds, "best_chi2": min(2 * f.cost for f in fits), "n_fits": len(points)}


def _campaign_fits(n: int) -> dict[str, Any]:
    """Fits of n starts through the loop: a first call compiles, a second one of the same size does not."""
    from campaign.fitting import fits

    values = [dict(zip(FREE, x.tolist(), strict=True)) for x in starts(n)]
    times, found = [], []
    for _ in range(2):
        started = time.perf_counter()
        found = fits("cosmology", "trf", values, options=OPTIONS, free=FREE)
        times.append(time.perf_counter() - started)
    chi2 = np.array([2.0 * f.loss for f in found])
    return {
        "fit_s": times[1] / n,
        "fits_first_call_s": times[0],
        "best_chi2": float(chi2.min()),
        "n_at_the_best": int(np.sum(chi2 < chi2.min() + 1e-6)),
        "n_fits": n,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--evaluations", type=int, default=20_000)
    parser.add_argument("--fits", type=int, default=4096)
    parser.add_argument("--peer-fits", type=int, default=40)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/cosmology.json"))
    arguments = parser.parse_args()
    result = measure(arguments.evaluations, arguments.fits, arguments.peer_fits)
    ours, theirs = result["campaign"], result["peer"]
    result["ratios"] = {
        "likelihood, single": theirs["residuals_s"] / ours["residuals_single_s"],
        "likelihood, batched": theirs["residuals_s"] / ours["residuals_batched_s"],
        "fit, batched": theirs["fit_s"] / ours["fit_s"],
    }
    names = ("campaign", "jax", "numpy", "scipy", "astropy")
    result["machine"] = {"platform": platform.platform(), "versions": {name: version(name) for name in names}}
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
