"""Likelihood evaluations and fits per second: campaign against astropy + scipy on the same data and equations.

The load: flat ΛCDM (H0, Om0, Obh2 free) on Planck distance priors (3 numbers) and DESI DR2 BAO (13 numbers), float64,
radiation as astropy has it (`constants: exact`), z* PLANCK18, z_d AAN21. The peer is `FlatLambdaCDM` for distances, a
32-point Gauss–Legendre rule over its `efunc` for the sound horizon, and `scipy.optimize.least_squares` (trf,
x_scale="jac"), alone and with joblib on all cores. Both have the same starts, and must find the same optimum.

    python benchmarks/cosmology.py [--fits 4096] [--peer-fits 64] [--repeats 5] [--out FILE]

Every figure is the least of the repeats, wall time; start-up (imports, building, compilation) stands apart. On a busy
machine the ratios of processor time, given as well, are the ones to trust. `campaign.fits` is what a user calls: it
also records the trace of every fit and makes 20 derived quantities. The kernel of a batch is one process.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

NAMES = ("H0", "Om0", "Obh2")
CENTRE, WIDTH = np.array([68.0, 0.31, 0.0224]), np.array([4.0, 0.04, 0.001])  # of the starts, and of the evaluations
OPTIONS = {"model": "lcdm", "data": ["cmb", "bao_ani"], "constants": "exact"}
C_KM_S = 299792.458
X, W = (0.5 * (v + s) for v, s in zip(np.polynomial.legendre.leggauss(32), (1.0, 0.0), strict=True))


def points(n: int) -> np.ndarray:
    return CENTRE + WIDTH * np.random.default_rng(1).uniform(-1, 1, (n, 3))


def least(repeats: int, work: Callable[[], Any]) -> dict[str, float]:
    """Least wall and processor seconds (all threads of this process) of some repeats."""
    wall, processor = [], []
    for _ in range(repeats):
        started, used = time.perf_counter(), time.process_time()
        work()
        wall.append(time.perf_counter() - started)
        processor.append(time.process_time() - used)
    return {"wall_s": min(wall), "cpu_s": min(processor)}


class Peer:
    """Whitened residuals by astropy. The tables are those of the package; nothing else of it is used."""

    def __init__(self) -> None:
        from campaign_cosmology.tables import table

        self.cmb, self.bao = table("cmb"), table("bao_ani")
        self.roots = [np.linalg.inv(np.linalg.cholesky(t.covariance)) for t in (self.cmb, self.bao)]
        self.z, self.inverse = np.unique(self.bao.z, return_inverse=True)

    def residuals(self, theta: np.ndarray) -> np.ndarray:
        from astropy.cosmology import FlatLambdaCDM

        H0, Om0, Obh2 = theta
        wm = Om0 * (H0 / 100) ** 2
        cosmology = FlatLambdaCDM(H0=H0, Om0=Om0, Tcmb0=2.7255, Neff=3.046, m_nu=0.0)
        z_star = 1089.80 * (Obh2 / 0.02237) ** -0.004 * (wm / 0.1424) ** 0.010
        z_drag = (1 + 428.169 * Obh2**0.256459 * wm**0.616388 + 925.56 * wm**0.751615) / wm**0.714129
        distance = cosmology.comoving_distance(np.append(self.z, z_star)).value
        ratio = 0.75 * Obh2 / (cosmology.Ogamma0 * (H0 / 100) ** 2)
        r_star, r_drag = (self.sound_horizon(cosmology, ratio, z) for z in (z_star, z_drag))
        D_M, D_star = distance[:-1], distance[-1]
        D_H = C_KM_S / H0 / cosmology.efunc(self.z)
        by_name = {"DM_over_rd": D_M, "DH_over_rd": D_H, "DV_over_rd": np.cbrt(self.z * D_M**2 * D_H)}
        bao = np.array([by_name[q][i] for q, i in zip(self.bao.quantity, self.inverse, strict=True)]) / r_drag
        cmb = np.array([np.sqrt(Om0) * H0 * D_star / C_KM_S, np.pi * D_star / r_star, Obh2])
        return np.concatenate([self.roots[0] @ (cmb - self.cmb.value), self.roots[1] @ (bao - self.bao.value)])

    @staticmethod
    def sound_horizon(cosmology: Any, ratio: float, z: float) -> float:
        """∫ c_s da / (a² H) with a = x²/(1+z), where the integrand is smooth."""
        a = X**2 / (1 + z)
        rate = cosmology.H0.value * cosmology.efunc(1 / a - 1)
        return float(W @ (C_KM_S / np.sqrt(3 * (1 + ratio * a)) / (a**2 * rate) * 2 * X / (1 + z)))

    def fit(self, start: np.ndarray) -> np.ndarray:
        from scipy.optimize import least_squares

        found = least_squares(self.residuals, start, x_scale="jac", bounds=([20, 0.01, 0.005], [150, 0.99, 0.1]))
        return np.append(found.x, 2 * found.cost)


def measure_campaign(n_fits: int, repeats: int) -> dict[str, Any]:
    started = time.perf_counter()
    import jax
    import jax.numpy as jnp

    import campaign
    from campaign.registry import PROBLEMS, load

    imported = time.perf_counter()
    plugin = load(PROBLEMS, "cosmology")
    from campaign_cosmology.problem import build

    problem = build(plugin.options(**OPTIONS))
    base = jnp.asarray(problem.space.initial)
    index = jnp.asarray([problem.space.index(name) for name in NAMES])

    def chi2(x: jax.Array) -> jax.Array:
        r = problem.residuals(base.at[index].set(x))
        return r @ r

    one = jax.jit(chi2)
    many = jax.jit(lambda x: jax.lax.map(chi2, x, batch_size=64))  # 64 at once stay in the cache
    x = points(n_fits)
    one(x[0]).block_until_ready()
    many(x).block_until_ready()
    compiled = time.perf_counter()
    starts = [dict(zip(NAMES, row.tolist(), strict=True)) for row in x]
    common = {"options": OPTIONS, "free": NAMES}
    campaign.fits("cosmology", "trf", starts[:1], **common)
    fits = campaign.fits("cosmology", "trf", starts, **common)
    ready = time.perf_counter()
    few = x[:256]
    rows = np.array([[fit.theta[name] for name in NAMES] + [fit.metric["chi2"]] for fit in fits])
    return {
        "import_s": imported - started,
        "compile_likelihood_s": compiled - imported,
        "compile_fits_s": ready - compiled,
        "evaluate_single": per(256, least(repeats, lambda: [one(row).block_until_ready() for row in few])),
        "evaluate_batched": per(n_fits, least(repeats, lambda: many(x).block_until_ready())),
        "fit_single": per(1, least(repeats, lambda: campaign.fits("cosmology", "trf", starts[:1], **common))),
        "fit_batched": per(n_fits, least(repeats, lambda: campaign.fits("cosmology", "trf", starts, **common))),
        "converged": float(np.mean([fit.outcome == "converged" for fit in fits])),
        "best": np.median(rows, axis=0).tolist(),
        "spread_of_best": np.ptp(rows, axis=0).tolist(),
    }


def measure_peer(n_fits: int, repeats: int) -> dict[str, Any]:
    started = time.perf_counter()
    from joblib import Parallel, delayed

    peer = Peer()
    x = points(max(n_fits, 256))
    peer.residuals(x[0])
    ready = time.perf_counter()
    few, many = x[:16], x[:n_fits]
    rows = np.array([peer.fit(row) for row in many[:8]])

    def all_cores() -> None:
        Parallel(n_jobs=-1)(delayed(peer.fit)(row) for row in many)

    all_cores()
    return {
        "start_s": ready - started,
        "evaluate": per(256, least(repeats, lambda: [peer.residuals(row) for row in x[:256]])),
        "fit": per(16, least(repeats, lambda: [peer.fit(row) for row in few])),
        "fit_joblib": per(n_fits, {"wall_s": least(repeats, all_cores)["wall_s"]}),
        "best": np.median(rows, axis=0).tolist(),
        "spread_of_best": np.ptp(rows, axis=0).tolist(),
    }


def per(n: int, seconds: dict[str, float]) -> dict[str, float]:
    return {"n": n, **seconds, "per_second": n / seconds["wall_s"]}


def ratios(own: dict[str, Any], peer: dict[str, Any]) -> dict[str, float]:
    """How many times as many a second as the peer, in wall time and (…_cpu) in processor time."""
    pairs = {
        "evaluate_single": ("evaluate_single", "evaluate"),
        "evaluate_batched": ("evaluate_batched", "evaluate"),
        "fit_single": ("fit_single", "fit"),
        "fit_batched": ("fit_batched", "fit"),
        "fit_batched_over_joblib": ("fit_batched", "fit_joblib"),
    }
    out = {}
    for name, (a, b) in pairs.items():
        for suffix, key in (("", "wall_s"), ("_cpu", "cpu_s")):
            if key in own[a] and key in peer[b]:
                out[name + suffix] = (peer[b][key] / peer[b]["n"]) / (own[a][key] / own[a]["n"])
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fits", type=int, default=4096, help="fits, and evaluations, of a batch")
    parser.add_argument("--peer-fits", type=int, default=64, help="fits of the peer on all cores")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    report: dict[str, Any] = {
        "machine": {
            "cores": os.cpu_count(),
            "processor": platform.processor() or platform.machine(),
            "python": platform.python_version(),
            "load_before": os.getloadavg(),
        },
        "versions": {name: version(name) for name in ("jax", "numpy", "scipy", "astropy", "joblib")},
    }
    own = report["campaign"] = measure_campaign(arguments.fits, arguments.repeats)
    peer = report["peer"] = measure_peer(arguments.peer_fits, arguments.repeats)
    report["ratios"] = ratios(own, peer)
    report["machine"]["load_after"] = os.getloadavg()
    report["difference_of_best"] = np.abs(np.subtract(own["best"], peer["best"])).tolist()
    if report["difference_of_best"][3] > 1e-4:
        raise SystemExit(f"the two find different optima: {own['best']} and {peer['best']}")
    for side in ("campaign", "peer"):
        for name, value in report[side].items():
            if isinstance(value, dict):
                print(f"{side:9} {name:18} {value['per_second']:14,.1f} /s")
            elif name.endswith("_s"):
                print(f"{side:9} {name:22} {value:8.2f} s")
    for name, ratio in report["ratios"].items():
        print(f"ratio     {name:28} {ratio:10,.1f}")
    print(
        f"load {report['machine']['load_before'][0]:.1f} to {report['machine']['load_after'][0]:.1f}", file=sys.stderr
    )
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
