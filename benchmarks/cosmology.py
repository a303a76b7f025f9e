"""Likelihood evaluations and fits per second: campaign against astropy + scipy on the same data and equations.

The load: flat ΛCDM (H0, Om0, Obh2 free) on Planck distance priors (3 numbers) and DESI DR2 BAO (13 numbers), float64,
radiation as astropy has it (`constants: exact`), z* PLANCK18, z_d AAN21. The peer is `FlatLambdaCDM` for distances, a
32-point Gauss–Legendre rule over its `efunc` for the sound horizon, and `scipy.optimize.least_squares` (trf,
x_scale="jac", two-point differences), alone and with joblib on all cores. Both have the same starts, and must find the
same optimum: within 1e-3 sigma and 1e-4 of chi2, or nothing is reported.

Two more parts: fits to data of one's own against fits to the built-in table that they are, and w0waCDM with supernovae
(five parameters, Union3 beside the others, `Flatw0waCDM` for the peer).

    python benchmarks/cosmology.py [--fits 4096] [--peer-fits 64] [--repeats 5] [--parts lcdm own dark] [--out FILE]

Every figure is the least of the repeats, wall time. Start-up stands apart: the wall time of a fresh interpreter that
imports and does one thing, for campaign with an empty compilation cache and with the one that this has left. On a busy
machine the ratios of processor time (all threads of the process), given as well, are the ones to trust; joblib's
workers are other processes, so theirs is not known. `campaign.fits` is what a user calls: it also records the trace of
every fit and makes 20 derived quantities. It is one process; XLA may use more than one core of it, `cpu_s` says so.
"Batched" against the peer's single evaluations is what a user gains who has many; the peer has no batches.
"""

from __future__ import annotations

import argparse
import contextlib
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

    low, high = [20, 0.01, 0.005], [150, 0.99, 0.1]

    def __init__(self) -> None:
        from campaign_cosmology.data.tables import table

        self.cmb, self.bao = table("cmb"), table("bao_ani")
        self.roots = [np.linalg.inv(np.linalg.cholesky(t.covariance)) for t in (self.cmb, self.bao)]
        self.z, self.inverse = np.unique(self.bao.z, return_inverse=True)

    def cosmology(self, theta: np.ndarray) -> Any:
        from astropy.cosmology import FlatLambdaCDM

        return FlatLambdaCDM(H0=theta[0], Om0=theta[1], Tcmb0=2.7255, Neff=3.046, m_nu=0.0)

    def residuals(self, theta: np.ndarray) -> np.ndarray:
        return self.distances(theta, self.cosmology(theta))

    def distances(self, theta: np.ndarray, cosmology: Any) -> np.ndarray:
        """Whitened residuals of CMB and BAO."""
        H0, Om0, Obh2 = theta[:3]
        wm = Om0 * (H0 / 100) ** 2
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

        found = least_squares(self.residuals, start, x_scale="jac", bounds=(self.low, self.high))
        return np.array([*found.x, 2 * found.cost, found.nfev + len(start) * found.njev])


class DarkPeer(Peer):
    """The same with w0, wa and Union3, whose offset is eliminated."""

    low, high = [*Peer.low, -3.0, -3.0], [*Peer.high, 1.0, 2.0]

    def __init__(self) -> None:
        from campaign_cosmology.data.tables import table

        super().__init__()
        self.sn = table("sn")
        self.sn_root = np.linalg.inv(np.linalg.cholesky(self.sn.covariance))
        self.unit = self.sn_root @ np.ones(len(self.sn))
        self.unit /= np.linalg.norm(self.unit)

    def cosmology(self, theta: np.ndarray) -> Any:
        from astropy.cosmology import Flatw0waCDM

        H0, Om0, _, w0, wa = theta
        return Flatw0waCDM(H0=H0, Om0=Om0, w0=w0, wa=wa, Tcmb0=2.7255, Neff=3.046, m_nu=0.0)

    def residuals(self, theta: np.ndarray) -> np.ndarray:
        cosmology = self.cosmology(theta)
        distance = (1 + self.sn.z_helio) * cosmology.comoving_distance(self.sn.z).value
        r = self.sn_root @ (5 * np.log10(distance) + 25 - self.sn.value)
        return np.concatenate([self.distances(theta, cosmology), r - self.unit * (self.unit @ r)])


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


DARK = {"model": "w0wacdm", "data": ["cmb", "bao_ani", "sn"], "constants": "exact"}
DARK_NAMES = (*NAMES, "w0", "wa")
DARK_CENTRE, DARK_WIDTH = np.array([67.0, 0.32, 0.0224, -0.75, -0.8]), np.array([3.0, 0.03, 0.0008, 0.15, 0.4])


def measure_dark(n_fits: int, n_peer: int, repeats: int) -> dict[str, Any]:
    """w0waCDM on CMB, BAO and supernovae: batched fits against those of the peer, from the same kind of starts."""
    import campaign

    x = DARK_CENTRE + DARK_WIDTH * np.random.default_rng(2).uniform(-1, 1, (n_fits, 5))
    starts = [dict(zip(DARK_NAMES, row.tolist(), strict=True)) for row in x]
    common = {"options": DARK, "free": DARK_NAMES}
    started = time.perf_counter()
    fits = campaign.fits("cosmology", "trf", starts, **common)
    first = time.perf_counter() - started
    batched = per(n_fits, least(repeats, lambda: campaign.fits("cosmology", "trf", starts, **common)))
    peer = DarkPeer()
    used, begun = time.process_time(), time.perf_counter()
    found = np.array([peer.fit(row) for row in x[:n_peer]])
    own = per(n_peer, {"wall_s": time.perf_counter() - begun, "cpu_s": time.process_time() - used})
    rows = np.array([[fit.theta[name] for name in DARK_NAMES] + [fit.metric["chi2"]] for fit in fits])
    best, theirs = np.median(rows, axis=0), found[np.argmin(found[:, 5])][:6]
    sigma = np.array([fits[0].stderr[name] for name in DARK_NAMES])
    if abs(best[5] - theirs[5]) > 1e-4 or (np.abs(best - theirs)[:5] > 5e-3 * sigma).any():
        raise SystemExit(f"the two find different optima: {best} and {theirs}")
    return {
        "first_batch_with_compilation_s": first,
        "fit_batched": batched,
        "peer_fit": own,
        "ratio": own["wall_s"] / n_peer / (batched["wall_s"] / n_fits),
        "ratio_cpu": own["cpu_s"] / n_peer / (batched["cpu_s"] / n_fits),
        "converged": float(np.mean([fit.outcome == "converged" for fit in fits])),
        "at_best": float(np.mean(np.abs(rows[:, 5] - best[5]) < 1e-6)),
        "peer_at_best": float(np.mean(found[:, 5] - theirs[5] < 1e-4)),
        "best": best.tolist(),
        "difference_of_best": np.abs(best - theirs).tolist(),
    }


def measure_own(n_fits: int, repeats: int) -> dict[str, Any]:
    """Data of one's own against the built-in table that they are, but for 1e-6 of the numbers; batched fits in turn."""
    import campaign

    starts = starts_at(points(n_fits))
    seconds: dict[str, list[dict[str, float]]] = {"built_in": [], "own": []}
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        kinds = {"built_in": OPTIONS, "own": {**OPTIONS, "data": ["cmb"], "own": written(Path(folder))}}
        for options in kinds.values():
            campaign.fits("cosmology", "trf", starts, options=options, free=NAMES)
        for _ in range(repeats):
            for name, options in kinds.items():

                def work(options: dict[str, Any] = options) -> Any:
                    return campaign.fits("cosmology", "trf", starts, options=options, free=NAMES)

                seconds[name].append(least(1, work))
    lowest = {name: {key: min(one[key] for one in all_) for key in all_[0]} for name, all_ in seconds.items()}
    return {
        **{name: per(n_fits, one) for name, one in lowest.items()},
        "ratio_cpu": lowest["own"]["cpu_s"] / lowest["built_in"]["cpu_s"],
        "ratio": lowest["own"]["wall_s"] / lowest["built_in"]["wall_s"],
    }


def written(folder: Path) -> list[str]:
    """DESI DR2 as a release writes it, each number larger by 1e-6 of it: two files."""
    from campaign_cosmology.data.tables import table

    bao = table("bao_ani")
    names = [q.replace("_rd", "_rs") for q in bao.quantity]
    rows = zip(bao.z.tolist(), (bao.value * (1 + 1e-6)).tolist(), names, strict=True)
    (folder / "mean.txt").write_text("".join(f"{z!r} {v!r} {q}\n" for z, v, q in rows))
    np.savetxt(folder / "cov.txt", bao.covariance, fmt="%.18g")
    return ["mean.txt", "cov.txt"]


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
    parser.add_argument("--parts", nargs="*", choices=("lcdm", "own", "dark"), default=("lcdm", "own", "dark"))
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
    }
    if "own" in arguments.parts:
        report["own_data"] = measure_own(arguments.fits, arguments.repeats)
        print(f"own data against built-in  {report['own_data']['ratio_cpu']:10.3f} times the processor time")
    if "dark" in arguments.parts:
        dark = report["dark"] = measure_dark(arguments.fits, arguments.peer_fits // 4, arguments.repeats)
        print(f"w0waCDM fits, batched      {dark['ratio_cpu']:10,.1f} times the peer's (processor time)")
    if "lcdm" in arguments.parts:
        compare_lcdm(report, arguments)
    report["machine"]["load_after"] = os.getloadavg()
    before, after = report["machine"]["load_before"][0], report["machine"]["load_after"][0]
    print(f"load {before:.1f} to {after:.1f}", file=sys.stderr)
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")


def compare_lcdm(report: dict[str, Any], arguments: argparse.Namespace) -> None:
    """ΛCDM, one at a time and batched; start-up."""
    report["start_s"] = measure_starts()
    own = report["campaign"] = measure_campaign(arguments.fits, arguments.repeats)
    peer = report["peer"] = measure_peer(arguments.peer_fits, arguments.repeats)
    report["ratios"] = ratios(own, peer)
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


if __name__ == "__main__":
    main()
