"""Likelihood evaluations and fits per second: campaign against astropy + scipy on the same data and equations.

The load: flat ΛCDM (H0, Om0, Obh2 free) on Planck distance priors (3 numbers) and DESI DR2 BAO (13 numbers), float64,
radiation as astropy has it (`constants: exact`), z* PLANCK18, z_d AAN21. The peer is `FlatLambdaCDM` for distances, a
32-point Gauss–Legendre rule over its `efunc` for the sound horizon, and `scipy.optimize.least_squares` (trf,
x_scale="jac", two-point differences), alone and with joblib on all cores. Both have the same starts, and must find the
same optimum: within 1e-3 sigma and 1e-4 of chi2, or nothing is reported.

    python benchmarks/cosmology.py [--fits 4096] [--peer-fits 64] [--repeats 5] [--out FILE]

Every figure is the least of the repeats, wall time. Start-up stands apart: the wall time of a fresh interpreter that
imports and does one thing, for campaign with an empty compilation cache and with the one that this has left. On a busy
machine the ratios of processor time (all threads of the process), given as well, are the ones to trust; joblib's
workers are other processes, so theirs is not known. `campaign.fits` is what a user calls: it also records the trace of
every fit and makes 20 derived quantities. It is one process; XLA may use more than one core of it, `cpu_s` says so.
"Batched" against the peer's single evaluations is what a user gains who has many; the peer has no batches.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

PACKAGES = ("campaign", "jax", "jaxlib", "numpy", "scipy", "astropy", "joblib")
SIGMA = np.array([0.31, 0.0038, 0.00012])  # of the fit
NAMES = ("H0", "Om0", "Obh2")
CENTRE, WIDTH = np.array([68.0, 0.31, 0.0224]), np.array([4.0, 0.04, 0.001])  # of the starts, and of the evaluations
OPTIONS = {"model": "lcdm", "data": ["cmb", "bao_ani"], "constants": "exact"}
C_KM_S = 299792.458
X, W = (0.5 * (v + s) for v, s in zip(np.polynomial.legendre.leggauss(32), (1.0, 0.0), strict=True))


def points(n: int) -> np.ndarray:
    return CENTRE + WIDTH * np.random.default_rng(1).uniform(-1, 1, (n, 3))


def starts_at(x: np.ndarray) -> list[dict[str, float]]:
    return [dict(zip(NAMES, row.tolist(), strict=True)) for row in x]


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
        from campaign_cosmology.data.tables import table

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
        return np.array([*found.x, 2 * found.cost, found.nfev + 3 * found.njev])


def measure_campaign(n_fits: int, repeats: int) -> dict[str, Any]:
    import jax
    import jax.numpy as jnp

    import campaign
    from campaign.registry import PROBLEMS, load
    from campaign.runtime import start_jax

    start_jax()
    plugin = load(PROBLEMS, "cosmology")
    from campaign_cosmology.model.problem import build

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
    starts = starts_at(x)
    common = {"options": OPTIONS, "free": NAMES}
    campaign.fits("cosmology", "trf", starts[:1], **common)
    fits = campaign.fits("cosmology", "trf", starts, **common)
    few = x[:256]
    rows = np.array([[fit.theta[name] for name in NAMES] + [fit.metric["chi2"]] for fit in fits])
    return {
        "device": str(jax.devices()[0]),
        "evaluate_single": per(256, least(repeats, lambda: [one(row).block_until_ready() for row in few])),
        "evaluate_batched": per(n_fits, least(repeats, lambda: many(x).block_until_ready())),
        "fit_single": per(1, least(repeats, lambda: campaign.fits("cosmology", "trf", starts[:1], **common))),
        "fit_batched": per(n_fits, least(repeats, lambda: campaign.fits("cosmology", "trf", starts, **common))),
        "converged": float(np.mean([fit.outcome == "converged" for fit in fits])),
        "evaluations_a_fit": float(np.mean([fit.n_evaluations for fit in fits])),
        "best": np.median(rows, axis=0).tolist(),
        "spread_of_best": np.ptp(rows, axis=0).tolist(),
    }


def measure_peer(n_fits: int, repeats: int) -> dict[str, Any]:
    from joblib import Parallel, delayed

    peer = Peer()
    x = points(max(n_fits, 256))
    few, many = x[:16], x[:n_fits]
    found = np.array([peer.fit(row) for row in many[:8]])
    rows = found[:, :4]

    def all_cores() -> None:
        Parallel(n_jobs=-1)(delayed(peer.fit)(row) for row in many)

    all_cores()
    return {
        "evaluate": per(256, least(repeats, lambda: [peer.residuals(row) for row in x[:256]])),
        "fit": per(16, least(repeats, lambda: [peer.fit(row) for row in few])),
        "fit_joblib": per(n_fits, {"wall_s": least(repeats, all_cores)["wall_s"]}),
        "evaluations_a_fit": float(found[:, 4].mean()),
        "best": np.median(rows, axis=0).tolist(),
        "spread_of_best": np.ptp(rows, axis=0).tolist(),
    }


STARTS = {
    "campaign evaluate": "from campaign_cosmology import build_params, load_dataset\n"
    "from campaign_cosmology import likelihood_bao_ani, likelihood_cmb\n"
    "params = build_params('lcdm', {'constants': 'exact'})\n"
    "likelihood_cmb(params, load_dataset('cmb')), likelihood_bao_ani(params, load_dataset('bao_ani'))",
    "campaign fit": f"import campaign\ncampaign.fit('cosmology', 'trf', options={OPTIONS!r}, free={NAMES!r})",
    "campaign batch of fits": "import campaign\n"
    "from cosmology import points, starts_at\n"
    f"campaign.fits('cosmology', 'trf', starts_at(points(4096)), options={OPTIONS!r}, free={NAMES!r})",
    "peer evaluate": "from cosmology import CENTRE, Peer\nPeer().residuals(CENTRE)",
    "peer fit": "from cosmology import CENTRE, Peer\nPeer().fit(CENTRE)",
}


def measure_starts() -> dict[str, float]:
    """Wall seconds of fresh interpreters, imports and compilation with them. The batch has 4,096 fits."""
    out = {}
    with tempfile.TemporaryDirectory() as cache:
        for name, code in STARTS.items():
            env = {**os.environ, "CAMPAIGN_CACHE": str(Path(cache) / name.replace(" ", "-"))}
            for kind in ("", ", compiled before") if name.startswith("campaign") else ("",):
                started = time.perf_counter()
                subprocess.run([sys.executable, "-c", code], check=True, env=env, cwd=Path(__file__).parent)
                out[f"{name}{kind}"] = time.perf_counter() - started
    return out


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


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
            "processor": processor(),
            "python": platform.python_version(),
            "load_before": os.getloadavg(),
        },
        "versions": {name: version(name) for name in PACKAGES},
        "numbers": {"fits": arguments.fits, "peer_fits": arguments.peer_fits, "repeats": arguments.repeats},
        "start_s": measure_starts(),
    }
    own = report["campaign"] = measure_campaign(arguments.fits, arguments.repeats)
    peer = report["peer"] = measure_peer(arguments.peer_fits, arguments.repeats)
    report["ratios"] = ratios(own, peer)
    report["machine"]["load_after"] = os.getloadavg()
    report["difference_of_best"] = np.abs(np.subtract(own["best"], peer["best"])).tolist()
    *apart, apart_chi2 = report["difference_of_best"]
    if apart_chi2 > 1e-4 or (np.array(apart) > 1e-3 * SIGMA).any():
        raise SystemExit(f"the two find different optima: {own['best']} and {peer['best']}")
    for name, seconds in report["start_s"].items():
        print(f"start-up  {name:36} {seconds:8.2f} s")
    for side in ("campaign", "peer"):
        for name, value in report[side].items():
            if isinstance(value, dict) and "per_second" in value:
                print(f"{side:9} {name:18} {value['per_second']:14,.1f} /s")
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
