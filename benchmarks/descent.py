"""Descent engines: seconds on one core to equal excess loss, against scipy and a Python loop of optax.

    python benchmarks/descent.py [--side 64] [--repeats 5] [--out FILE.json] [--quick] [--store]

The model is a blurred star on a grid of side², with seven parameters of very different influence; noise and start are
fixed. Everyone gets the same compiled model: `scipy.optimize.least_squares` its residuals and Jacobian, the loop of
optax its loss and gradient, one jitted step a turn. Compilation does not count. "Reached" is an excess of the loss over
the minimum below 1e-3, for everyone; seconds are those of the steps up to there, the least of the repeats. Bars: twice
`least_squares`, twenty times the loop.

`--store` measures what runs leave on disk instead: files and bytes of 1,000 runs of 20 parameters and 200 steps of
`pgd` with default outputs, beside what `xz` makes of the same numbers; and the seconds in which the summaries of 10,000
runs become a table (bar: 15).
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import lzma
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy.optimize import least_squares

import campaign
from campaign.cli.main import run as campaign_command
from campaign.engines.base import AbstractEngine
from campaign.engines.catalogue import TrfOptions
from campaign.engines.catalogue_descent import OptaxOptions, PgdOptions
from campaign.engines.descent_builders import build_pgd
from campaign.engines.optax_chain import build as build_optax
from campaign.engines.trf import build as build_trf
from campaign.problem.base import Problem
from campaign.problem.target import Target
from campaign.runtime import start_jax
from campaign.space import Parameter, ThetaSpace

START = "from campaign.runtime import start_jax; start_jax()"
TRUTH = {"x": 0.4, "y": -0.2, "log_flux": 6.0, "width": 2.5, "ellipticity": 0.1, "angle": 0.7, "background": 20.0}
SCALE = {"x": 0.1, "y": 0.1, "log_flux": 0.02, "width": 0.1, "ellipticity": 0.05, "angle": 0.3, "background": 1.0}
EXCESS = 1e-3
MOST = 3000  # steps of an engine, or of a peer


class Star(Problem):
    """An elliptical Gaussian with a background on a grid."""

    space: ThetaSpace = eqx.field(static=True)
    grid: jax.Array
    data: jax.Array
    weight: jax.Array

    def residuals(self, theta):
        return self.weight * (image(theta, self.grid) - self.data).ravel()


def image(theta: Any, grid: Any) -> Any:
    x, y, log_flux, width, ellipticity, angle, background = theta
    a, b = grid[:, None] - y, grid[None, :] - x
    along, across = a * jnp.cos(angle) + b * jnp.sin(angle), b * jnp.cos(angle) - a * jnp.sin(angle)
    square = along**2 * (1.0 + ellipticity) + across**2 * (1.0 - ellipticity)
    return 10.0**log_flux * jnp.exp(-0.5 * square / width**2) / (2.0 * jnp.pi * width**2) + background


def target_of(side: int) -> Target:
    rng = np.random.default_rng(20251213)
    grid = jnp.arange(side) - 0.5 * (side - 1)
    truth = jnp.asarray(list(TRUTH.values()))
    mean = np.asarray(image(truth, grid))
    data = rng.poisson(mean) + 5.0 * rng.standard_normal(mean.shape)
    scale = np.array(list(SCALE.values()))
    start = np.asarray(truth) + scale * rng.standard_normal(len(scale))
    space = ThetaSpace(
        tuple(Parameter(name=n, initial=float(v), scale=SCALE[n]) for n, v in zip(TRUTH, start, strict=True))
    )
    problem = Star(space, grid, jnp.asarray(data), jnp.asarray(1.0 / np.sqrt(mean + 25.0)).ravel())
    return Target(problem, jnp.asarray(start), jnp.asarray(scale))


def of_engine(engine: AbstractEngine, target: Target, goal: float, repeats: int) -> dict[str, float]:
    """Steps and seconds until the loss is below the goal, all steps in one compiled call."""

    def run(target: Target) -> tuple[Any, Any]:
        def going(carry):
            return ((carry[1] >= goal) | jnp.isnan(carry[1])) & (carry[2] < MOST)

        def body(carry):
            state, info = engine.step(target, carry[0])
            return state, info["loss"], carry[2] + 1

        first = (engine.init(target, jax.random.key(0)), jnp.asarray(jnp.inf), 0)
        _, loss, n = jax.lax.while_loop(going, body, first)
        return loss, n

    call = jax.jit(run)
    return _timed(lambda: call(target), repeats, goal)


def of_scipy(target: Target, goal: float, repeats: int) -> dict[str, float]:
    residuals = jax.jit(lambda theta: target.residuals(theta))
    jacobian = jax.jit(jax.jacfwd(lambda theta: target.residuals(theta)))
    losses: list[float] = []

    class Reached(Exception):
        pass

    def own(theta):
        r = np.asarray(residuals(theta))
        losses.append(0.5 * float(r @ r))
        if losses[-1] < goal:
            raise Reached
        return r

    def run():
        losses.clear()
        with contextlib.suppress(Reached):
            least_squares(own, np.asarray(target.base), jac=lambda t: np.asarray(jacobian(t)), x_scale="jac")
        return losses[-1], len(losses)

    return _timed(run, repeats, goal)


def of_loop(target: Target, goal: float, repeats: int, rate: float) -> dict[str, float]:
    """Adam in units of the scales, one jitted step a turn, as people write it."""
    transform = optax.adam(rate)
    scale, start = target.scale, target.base

    def loss(z):
        return -target.log_likelihood(start + scale * z)

    @jax.jit
    def step(z, state):
        value, slope = jax.value_and_grad(loss)(z)
        update, state = transform.update(slope, state, z)
        return optax.apply_updates(z, update), state, value

    def run():
        z = jnp.zeros_like(start)
        state, value, n = transform.init(z), np.inf, 0
        while not value < goal and n < MOST:
            z, state, found = step(z, state)
            value, n = float(found), n + 1
        return value, n

    return _timed(run, repeats, goal)


def _timed(run: Callable[[], tuple[Any, Any]], repeats: int, goal: float) -> dict[str, float]:
    begun = time.perf_counter()
    jax.block_until_ready(run())
    seconds, first = [], time.perf_counter() - begun
    for _ in range(repeats):
        begun = time.perf_counter()
        loss, n = jax.block_until_ready(run())
        seconds.append(time.perf_counter() - begun)
    return {
        "steps": int(n), "milliseconds": 1e3 * min(seconds), "first_call_s": first, "reached": bool(float(loss) < goal),
    }  # fmt: skip


def of_steps(side: int, repeats: int, rate: float) -> dict[str, Any]:
    """Everyone's way to the minimum, and how many times longer the peers take."""
    target = target_of(side)
    best = least_squares(
        lambda t: np.asarray(target.residuals(jnp.asarray(t))),
        np.asarray(target.base),
        jac=lambda t: np.asarray(jax.jacfwd(target.residuals)(jnp.asarray(t))),
        x_scale="jac", xtol=1e-15, ftol=1e-15, gtol=1e-15,
    )  # fmt: skip
    goal = float(best.cost) + EXCESS
    found = {
        "lm": of_engine(build_trf(TrfOptions()), target, goal, repeats),
        "pgd": of_engine(build_pgd(PgdOptions(objective="likelihood")), target, goal, repeats),
        "optax": of_engine(build_optax(OptaxOptions(objective="likelihood", base_lr=rate)), target, goal, repeats),
        "scipy least_squares": of_scipy(target, goal, repeats),
        "loop of optax.adam": of_loop(target, goal, repeats, rate),
    }
    for name, row in found.items():
        end = "" if row["reached"] else "NOT REACHED"
        cost = f"{row['milliseconds']:9.2f} ms  first call {row['first_call_s']:5.2f} s"
        print(f"{name:20} {row['steps']:5} steps  {cost}  {end}")
    times = {}
    for peer, bar in (("scipy least_squares", 2), ("loop of optax.adam", 20)):
        for own in ("lm", "pgd"):
            times[f"{peer} / {own}"] = found[peer]["milliseconds"] / found[own]["milliseconds"]
            print(f"{peer} / {own}: {times[f'{peer} / {own}']:.1f} (bar {bar})")
    return {"side": side, "excess": EXCESS, **found, "times": times}


def of_store(n_runs: int, n_steps: int, n_summaries: int) -> dict[str, Any]:
    """Files and bytes of a campaign with default outputs, and the seconds of reducing another one."""
    folder = Path(tempfile.mkdtemp(prefix="descent-"))
    try:
        engine = {"name": "pgd", "max_steps": n_steps, "tol": 0.0, "ftol": 0.0, "patience": n_steps + 1}
        starts = {"grid": {"start.x0": np.linspace(-3.0, 3.0, n_runs).tolist()}}
        own = _submitted(folder, "runs", {"name": "gaussian", "d": 20}, engine, starts)
        files = [path for path in own.rglob("*") if path.is_file() and path.parts[-2] != "events"]
        dataset = campaign.open(own).trace("last")
        raw = {str(name): np.asarray(dataset[name]) for name in dataset.variables}
        entropy = len(lzma.compress(b"".join(values.tobytes() for values in raw.values() if values.dtype.kind != "O")))
        seeds = {"grid": {"problem.data_seed": list(range(n_summaries))}}
        many = _submitted(folder, "many", {"name": "decay"}, {"name": "evaluate"}, seeds)
        shutil.rmtree(many / "tables")
        begun = time.perf_counter()
        n_rows = campaign.open(many).arrow().num_rows
        found = {
            "runs": n_runs,
            "blocks": len(list((own / "summaries").rglob("*.jsonl"))),
            "files": len(files),
            "bytes_a_run": sum(path.stat().st_size for path in files) / n_runs,
            "numbers_a_run_bytes": sum(values.nbytes for values in raw.values()),
            "xz_a_run_bytes": entropy,
            "summaries": n_rows,
            "reduce_s": time.perf_counter() - begun,
        }
    finally:
        shutil.rmtree(folder)
    for name, value in found.items():
        print(f"{name:20} {value:,.2f}" if isinstance(value, float) else f"{name:20} {value:,}")
    return found


def _submitted(folder: Path, name: str, problem: Any, engine: Any, expand: Any) -> Path:
    manifest = {"schema": "campaign/1", "name": name, "problem": problem, "engine": engine, "expand": expand}
    manifest["execution"] = {"executor": "inline", "layout": "packed", "max_failures": "unlimited"}
    (folder / f"{name}.json").write_text(json.dumps(manifest))
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        code = campaign_command(["submit", str(folder / f"{name}.json"), "-d", str(folder / name), "-q"])
    if code not in (0, 4):  # 4: runs that used all their steps
        raise SystemExit(code)
    return folder / name


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--rate", type=float, default=0.1, help="of Adam, in units of the scales")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--quick", action="store_true", help="a small image, once; few runs")
    parser.add_argument("--store", action="store_true", help="what runs leave on disk")
    given = parser.parse_args()
    versions = {name: version(name) for name in ("campaign", "jax", "jaxlib", "numpy", "scipy", "optax")}
    about = {"python": platform.python_version(), **versions, "cores": os.cpu_count(), "load": os.getloadavg()[0]}
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", START], check=True)
    about["start_up_s"] = time.perf_counter() - begun
    start_jax()
    for name, value in about.items():
        print(f"{name:20} {value:.2f}" if isinstance(value, float) else f"{name:20} {value}")
    if given.store:
        found = of_store(*((32, 20, 100) if given.quick else (1000, 200, 10_000)))
    else:
        side, repeats = (16, 1) if given.quick else (given.side, given.repeats)
        found = of_steps(side, repeats, given.rate)
    if given.out is not None:
        given.out.write_text(json.dumps({"about": about, **found}, indent=1))


if __name__ == "__main__":
    main()
