"""XPCS: CPU seconds, peak memory and χ² of one fit of two-time maps, against scipy, and against nlsq and homodyne.

    python benchmarks/xpcs.py [--angles 10] [--frames 100] [--repeats 5] [--peer PYTHON] [--out FILE.json]

All fit the same simulated maps (convention of homodyne, σ = 0.01) from the same start inside the same bounds:

    varpro     `campaign.fit`: contrast and offset eliminated
    scipy      `scipy.optimize.least_squares`, trf, with the compiled residuals and Jacobian of the same model
    nlsq       `nlsq.curve_fit`, homodyne `fit_nlsq_jax`: with `--peer`, a Python ≥ 3.12 that has them

Homodyne 2.23.3 fits with `stratification.enabled` false. By default, from 100,000 to below a million points, it
computes each point alone: the stratified branch of `NLSQWrapper._create_residual_function` (nlsq/wrapper.py) hands one
t1 and one t2 to `compute_g2_scaled` (core/physics_nlsq.py), which makes a 1 × 1 mesh of them and integrates the rates
along its rows, from t1 to t1. The model is then offset + contrast whatever the times and the physics, the derivatives
by the physics are 0, and the start of the physics comes back as "converged", "good".

Each runs in a process of its own on one thread. "Cold" is the CPU time of the whole process: imports, compilation, one
fit. "Warm" is the least CPU time of the further fits in it. Peak memory is that of the process, less that of importing
alone. χ² counts each pair of frames once; a fit that stops elsewhere is shown with what it has. Bars of the
specification: warm at least 10 times, cold at least 3 times less CPU than each peer at 100,000 points; 3.68 million
points (23 × 400) in at most 5 CPU seconds, warm.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

ONE_THREAD = {
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "JAX_ENABLE_X64": "1",
}
COMMON = """
import json, resource, sys, time
import numpy as np

def seconds():
    return time.process_time()

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0

data = dict(np.load(sys.argv[1]))
repeats = int(sys.argv[2])
NAMES = ("D0", "alpha", "D_offset", "gamma_dot_t0", "beta", "gamma_dot_t_offset", "phi0")
START = (2600.0, -0.2, 50.0, 1.5e-3, -0.1, 0.0, 0.0)
LOWER = (100.0, -2.0, -1e5, 1e-6, -2.0, -0.1, -10.0)
UPPER = (1e5, 2.0, 1e5, 0.5, 2.0, 0.1, 10.0)
c2, phi, times, q, gap, dt, sigma = (data[k] for k in ("c2", "phi", "times", "q", "gap", "dt", "sigma"))
n_phi, n = c2.shape[:2]
i, j = np.triu_indices(n, 1)

def chi2_of(theta, model):
    return float(np.sum(((model(theta) - c2[:, i, j]) / float(sigma)) ** 2))

def report(fit, base):
    results = []
    for _ in range(1 + repeats):
        begun = seconds()
        chi2, n_evaluations = fit()
        results.append(seconds() - begun)
    print(json.dumps({
        "cold_cpu_s": begun_total(results), "warm_cpu_s": min(results[1:]) if repeats else None, "chi2": chi2,
        "evaluations": int(n_evaluations), "peak_mb": peak() - base,
    }))

def begun_total(results):
    return time.process_time() - sum(results[1:])
"""
VARPRO = """
import campaign
from campaign.science import fit
from campaign_xpcs.data.maps import two_time_maps
from campaign_xpcs.model.problem import two_time_problem
maps = two_time_maps(c2, phi_deg=phi, q=float(q), gap=float(gap), dt_s=float(dt), sigma=float(sigma))
base = peak()

def one():
    problem = two_time_problem(maps, shear_model="homodyne-compat", values=dict(zip(NAMES, START)))
    found = fit(problem, "varpro")
    return 2.0 * found.loss, found.n_evaluations

report(one, base)
"""
SCIPY = """
from campaign.runtime import start_jax
start_jax()
import equinox as eqx, jax, jax.numpy as jnp
from scipy.optimize import least_squares
from campaign_xpcs.data.maps import two_time_maps
from campaign_xpcs.model.problem import two_time_problem
maps = two_time_maps(c2, phi_deg=phi, q=float(q), gap=float(gap), dt_s=float(dt), sigma=float(sigma))
problem = two_time_problem(maps, shear_model="homodyne-compat", values=dict(zip(NAMES, START)))
base = peak()
compiled = eqx.filter_jit(lambda p, t: p.residuals(t)), eqx.filter_jit(lambda p, t: jax.jacfwd(p.residuals)(t))
residuals, jacobian = (lambda t, f=f: f(problem, jnp.asarray(t)) for f in compiled)
space = problem.space
start = np.array(space.initial)

def one():
    found = least_squares(lambda t: np.asarray(residuals(t)), start, jac=lambda t: np.asarray(jacobian(t)),
                          bounds=(space.lower, space.upper), x_scale="jac")
    return 2.0 * found.cost, found.nfev

report(one, base)
"""
MODEL = """
import jax, jax.numpy as jnp
jax.config.update("jax_enable_x64", True)
t = jnp.maximum(jnp.asarray(times), dt / 2)
I, J = jnp.asarray(i), jnp.asarray(j)

def integral(rate):
    return jnp.concatenate([jnp.zeros(1), jnp.cumsum(0.5 * (rate[1:] + rate[:-1]))]) * dt

def model(theta):
    contrast, offset, p = theta[:n_phi], theta[n_phi:2 * n_phi], theta[2 * n_phi:]
    K = integral(jnp.maximum(p[0] * t ** p[1] + p[2], 1e-10))
    G = integral(jnp.maximum(p[3] * t ** p[4] + p[5], 1e-10))
    x = (0.5 / jnp.pi) * q * gap * jnp.cos(jnp.deg2rad(p[6] - phi))[:, None] * (G[J] - G[I])[None]
    small = jnp.abs(x) < 1e-4
    safe = jnp.where(small, 1.0, x)
    sinc = jnp.where(small, 1.0 - x * x / 6.0, jnp.sin(safe) / safe)
    return offset[:, None] + contrast[:, None] * jnp.exp(-q * q * (K[J] - K[I]))[None] * sinc ** 4
"""
NLSQ = (
    MODEL
    + """
from nlsq import curve_fit
base = peak()
y = c2[:, i, j].ravel()
scale = np.array([c2.max() - np.percentile(c2, 5)] * n_phi + [np.percentile(c2, 5)] * n_phi)
start = np.concatenate([scale, START])
lower = np.concatenate([[0.0] * n_phi, [0.5] * n_phi, LOWER])
upper = np.concatenate([[1.0] * n_phi, [1.5] * n_phi, UPPER])
start = np.clip(start, lower + 1e-9, upper - 1e-9)

def f(x, *theta):
    return model(jnp.stack(theta)).ravel()

def one():
    found = curve_fit(f, np.arange(len(y), dtype=float), y, p0=start, sigma=np.full(len(y), float(sigma)),
                      bounds=(lower, upper))
    theta = found[0] if isinstance(found, tuple) else found.popt
    return chi2_of(jnp.asarray(theta), lambda v: np.asarray(model(v))), 0

report(one, base)
"""
)
HOMODYNE = (
    MODEL
    + """
from homodyne.config.manager import ConfigManager
from homodyne.optimization.nlsq import fit_nlsq_jax
base = peak()
corrected = c2.copy()
k = np.arange(n)
near = np.empty((n_phi, n))
near[:, 0], near[:, -1] = c2[:, 0, 1], c2[:, -1, -2]
near[:, 1:-1] = 0.5 * (c2[:, k[1:-1], k[:-2]] + c2[:, k[1:-1], k[2:]])
corrected[:, k, k] = near
t1, t2 = np.meshgrid(times, times, indexing="ij")
given = dict(phi_angles_list=phi, c2_exp=corrected, wavevector_q_list=np.array([float(q)]), t1=t1, t2=t2,
             sigma=np.full(c2.shape, float(sigma)), dt=float(dt), L=float(gap), q=float(q))
config = ConfigManager(config_override={
    "analysis_mode": "laminar_flow",
    "analyzer_parameters": {"dt": float(dt), "geometry": {"stator_rotor_gap": float(gap)},
                            "scattering": {"wavevector_q": float(q)}},
    "initial_parameters": {"parameter_names": list(NAMES), "values": list(START)},
    "parameter_space": {"bounds": [{"name": m, "min": a, "max": b} for m, a, b in zip(NAMES, LOWER, UPPER)]},
    "optimization": {"stratification": {"enabled": False},
                     "nlsq": {"loss": "linear", "anti_degeneracy": {"per_angle_mode": "individual"}}},
})

def one():
    found = fit_nlsq_jax(given, config, per_angle_scaling=True)
    theta = jnp.asarray(np.asarray(found.parameters))
    return chi2_of(theta, lambda v: np.asarray(model(v))), 0

report(one, base)
"""
)


def simulated(n_phi: int, n: int, path: Path) -> None:
    """Maps like those of the golden numbers, written for every peer."""
    import numpy as np

    from campaign_xpcs.model.simulated import simulated_maps

    phi = np.linspace(-180.0, 180.0, n_phi, endpoint=False)
    truth = {"D0": 2000.0, "alpha": -0.3, "D_offset": 100.0, "gamma_dot_t0": 2e-3, "beta": -0.2}
    truth |= {"gamma_dot_t_offset": 1e-4, "phi0": -5.0}
    for k, angle in enumerate(np.deg2rad(phi)):
        truth |= {f"contrast[{k}]": 0.3 * (1 + 0.1 * np.sin(2 * angle + 0.3)), f"offset[{k}]": 1 + 0.02 * np.cos(angle)}
    maps = simulated_maps(
        truth, phi_deg=phi, n_times=n, dt_s=0.1, q=0.0054, gap=2e6, sigma=0.01, seed=7, shear_model="homodyne-compat"
    )
    np.savez(path, c2=maps.c2, phi=phi, times=maps.times_s, q=0.0054, gap=2e6, dt=0.1, sigma=0.01)


def measured(python: str, body: str, data: Path, repeats: int, limit_s: float) -> dict:
    """One peer in a process of its own, or what it said instead of a result."""
    command = [python, "-c", COMMON + body, str(data), str(repeats)]
    try:
        done = subprocess.run(
            command, env={**os.environ, **ONE_THREAD}, capture_output=True, text=True, timeout=limit_s, check=False
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"not done after {limit_s:g} s"}
    lines = [line for line in done.stdout.splitlines() if line.startswith('{"cold_cpu_s"')]
    return json.loads(lines[-1]) if lines else {"failed": (done.stderr.strip().splitlines() or ["no output"])[-1][:200]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--angles", type=int, default=10)
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--limit", type=float, default=900.0, help="seconds after which a peer is given up")
    parser.add_argument("--only", default=None, help="varpro, scipy, nlsq or homodyne")
    parser.add_argument("--peer", default=None, help="a Python with nlsq and homodyne")
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    runs = {"varpro": (sys.executable, VARPRO), "scipy": (sys.executable, SCIPY)}
    if options.peer:
        runs |= {"nlsq": (options.peer, NLSQ), "homodyne": (options.peer, HOMODYNE)}
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "maps.npz"
        simulated(options.angles, options.frames, data)
        found = {
            name: measured(python, body, data, options.repeats, options.limit)
            for name, (python, body) in runs.items()
            if options.only in (None, name)
        }
    points = options.angles * options.frames**2
    print(f"{options.angles} angles x {options.frames} frames: {points:,} points, {2 * options.angles + 7} parameters")
    print(f"{'':10} {'cold CPU-s':>10} {'warm CPU-s':>10} {'peak MB':>8} {'evaluations':>11}  chi2")
    for name, row in found.items():
        if "failed" in row:
            print(f"{name:10} {row['failed']}")
            continue
        warm = f"{row['warm_cpu_s']:10.2f}" if row["warm_cpu_s"] is not None else f"{'–':>10}"
        rest = f"{row['peak_mb']:8.0f} {row['evaluations']:11d}  {row['chi2']:.4f}"
        print(f"{name:10} {row['cold_cpu_s']:10.2f} {warm} {rest}")
    if options.out:
        document = {"points": points, "python": platform.python_version(), "results": found}
        options.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
