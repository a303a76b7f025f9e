"""Samplers: campaign against emcee and blackjax on the same posterior, in one process.

The posterior is P3: synthetic annual temperatures of the two-layer model with IGCC forcing from 1750 to 2024, three
parameters. The model is classic Runge–Kutta of ten steps a year in float64; one likelihood function in JAX serves all.

    python benchmarks/samplers.py [--steps 2000] [--repeats 3] [--out benchmarks/results/samplers.json]

model: the jitted, vectorised likelihood alone, called for half the walkers at a time.
campaign: `Sampling(…).run`, engine `ensemble`, every step kept in memory.
emcee: `EnsembleSampler(vectorize=True)` around the same compiled function; emcee on NumPy: the same steps in NumPy,
vectorised over walkers; emcee in a pool: the same NumPy model, a walker a call, in a process a core.
nuts: `Sampling(engine="nuts")` against blackjax's window adaptation and kernel, jitted whole, on the same density in
the same unbounded coordinates, of P3 and two posteriors of posteriordb; both with four chains and a dense mass matrix.

cold: the first call of the process, with compilation; warm: the least of the repeats after it; start: imports [s].
Figures are model evaluations a second, and for NUTS the smallest effective sample size a second.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path

STARTED = time.perf_counter()
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import blackjax  # noqa: E402
import emcee  # noqa: E402
import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

import p3_posterior  # noqa: E402
import posterior_densities  # noqa: E402
from campaign.diagnostics import ess_bulk  # noqa: E402
from campaign.engines.sampling import density  # noqa: E402
from campaign.problem.target import Target  # noqa: E402
from campaign.science import Sampling, start_jax  # noqa: E402
from campaign_climate.data.forcing import forcing  # noqa: E402
from campaign_climate.model.options import TwoLayerOptions  # noqa: E402
from campaign_climate.model.problem import build  # noqa: E402

start_jax()
IMPORT_S = time.perf_counter() - STARTED


def problem_of(solver):
    own = {"observation_files": [str(p3_posterior.DATA)], "solver": solver, "steps_per_year": 10}
    return build(TwoLayerOptions.model_validate(p3_posterior.OPTIONS | own))


def target_of(problem):
    base = jnp.asarray(problem.space.theta(p3_posterior.FIXED))
    free = [i for i, p in enumerate(problem.space.parameters) if p.free]
    return Target(problem=problem, base=base, scale=jnp.asarray(problem.space.typical[free]))


def timed(call, repeats):
    """Seconds of the first call, and the least of the following."""
    seconds = []
    for _ in range(repeats + 1):
        begin = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - begin)
    return seconds[0], min(seconds[1:])


def rates(n_evaluations, call, repeats):
    cold, warm = timed(call, repeats)
    return {"cold_s": cold, "warm_s": warm, "evaluations_per_s": n_evaluations / warm}


def numpy_posterior(problem):
    """The same posterior in NumPy, vectorised over rows of theta."""
    own = forcing()
    series = np.asarray(own.total)
    compared = problem.compared[0]
    places = np.asarray(problem.places[0])
    names = [p.name for p in problem.space.parameters if p.free]
    inside = np.asarray(compared.reference)

    def slopes(surface, deep, force, lam, eta, capacity):
        exchange = eta * (surface - deep)
        return (force - lam * surface - 1.3 * exchange) / capacity, exchange / 100.0

    def log_posterior(rows):
        lam, eta, capacity = (rows[:, names.index(n)] for n in ("lambda0", "eta", "heat_capacity_surface"))
        surface, deep, h = np.zeros(len(rows)), np.zeros(len(rows)), 0.1
        means = np.empty((len(series), len(rows)))
        for year, force in enumerate(series):
            total = np.zeros(len(rows))
            for _ in range(10):
                a1, b1 = slopes(surface, deep, force, lam, eta, capacity)
                a2, b2 = slopes(surface + 0.5 * h * a1, deep + 0.5 * h * b1, force, lam, eta, capacity)
                a3, b3 = slopes(surface + 0.5 * h * a2, deep + 0.5 * h * b2, force, lam, eta, capacity)
                a4, b4 = slopes(surface + h * a3, deep + h * b3, force, lam, eta, capacity)
                total += surface * h + h * h / 6.0 * (a1 + a2 + a3)
                surface = surface + h / 6.0 * (a1 + 2 * a2 + 2 * a3 + a4)
                deep = deep + h / 6.0 * (b1 + 2 * b2 + 2 * b3 + b4)
            means[year] = total
        model = means[places].T
        model = model - (model @ inside)[:, None]
        r = (model - np.asarray(compared.values)) / np.asarray(compared.sigma)
        prior = sum(problem.space[n].prior.ln_pdf(rows[:, i]) for i, n in enumerate(names))
        value = -0.5 * (r**2).sum(axis=1) + prior
        return np.where(np.isfinite(value), value, -np.inf)

    return log_posterior


def stretch(problem, walkers, steps, repeats):
    """Model alone, campaign, emcee around the same compiled function."""
    target = target_of(problem)
    log_posterior = jax.jit(jax.vmap(density(target)))
    start = _scattered(problem, walkers)
    half, n = jnp.asarray(start[: walkers // 2]), walkers * steps
    found = {
        "model": rates(n, lambda: [log_posterior(half) for _ in range(2 * steps)][-1].block_until_ready(), repeats)
    }
    options = {"walkers": walkers, "burn_in": 0.0, "init": "explicit", "positions": start.tolist()}
    own = Sampling(problem=problem, options=options, start=p3_posterior.FIXED)
    found["campaign"] = rates(n, lambda: own.run(steps), repeats)
    found["emcee, same function"] = rates(n, lambda: _emcee(log_posterior, start, steps), repeats)
    return found


def emcee_on_numpy(problem, walkers, steps):
    log_posterior = numpy_posterior(problem)
    target = target_of(problem)
    start = _scattered(problem, walkers)
    exact = np.asarray(jax.vmap(density(target))(jnp.asarray(start)))
    np.testing.assert_allclose(log_posterior(start), exact, atol=1e-3)
    begin = time.perf_counter()
    _emcee(log_posterior, start, steps)
    return {"evaluations_per_s": walkers * steps / (time.perf_counter() - begin)}


def _scattered(problem, walkers):
    """Walkers around a plausible place, in the order of the free parameters."""
    names = [p.name for p in problem.space.parameters if p.free]
    order = [("lambda0", "eta", "heat_capacity_surface").index(name) for name in names]
    return np.random.default_rng(0).normal([1.2, 0.7, 8.0], [0.05, 0.05, 0.3], (walkers, 3))[:, order]


def _emcee(log_posterior, start, steps):
    sampler = emcee.EnsembleSampler(*start.shape, lambda rows: np.asarray(log_posterior(rows)), vectorize=True)
    sampler.run_mcmc(start, steps)


def row_posterior(row):
    """The NumPy posterior of one row, for the processes that `emcee_in_a_pool` forks."""
    return float(_POOLED[0](row[None])[0])


def emcee_in_a_pool(problem, walkers, steps):
    """emcee as most people parallelise it: one call of the NumPy model a walker, in a process a core."""
    _POOLED[:] = [numpy_posterior(problem)]
    start = _scattered(problem, walkers)
    with multiprocessing.get_context("fork").Pool(len(os.sched_getaffinity(0))) as pool:
        pool.map(row_posterior, start[:4])
        begin = time.perf_counter()
        emcee.EnsembleSampler(*start.shape, row_posterior, pool=pool).run_mcmc(start, steps)
        return {"evaluations_per_s": walkers * steps / (time.perf_counter() - begin)}


_POOLED = []


def gradients(problem, target, start, repeats):
    """NUTS: the smallest ESS a second, campaign against blackjax's own warm-up and kernel."""
    target = target.unbounded()
    draws, warmup, chains = 1000, 1000, 4
    options = {"chains": chains, "warmup": warmup, "mass": "dense"}

    def ours():
        return Sampling(problem=problem, engine="nuts", options=options, start=start).run(warmup + draws)

    def one(key):
        adaptation = blackjax.window_adaptation(blackjax.nuts, target.log_posterior_u, is_mass_matrix_diagonal=False)
        (state, parameters), _ = adaptation.run(key, target.start(), warmup)
        kernel = blackjax.nuts(target.log_posterior_u, **parameters)

        def step(state, key):
            state, _ = kernel.step(key, state)
            return state, target.theta(state.position)

        return jax.lax.scan(step, state, jax.random.split(jax.random.fold_in(key, 1), draws))[1]

    theirs = jax.jit(jax.vmap(one))
    keys = jax.random.split(jax.random.key(0), chains)
    chain = np.asarray(ours().samples)[warmup:]
    peer = np.swapaxes(np.asarray(theirs(keys)), 0, 1)
    found = {}
    for name, call, own in (
        ("campaign", ours, chain),
        ("blackjax", lambda: theirs(keys).block_until_ready(), peer),
    ):
        smallest = min(ess_bulk(np.ascontiguousarray(own[:, :, i])) for i in range(own.shape[2]))
        _, warm = timed(call, repeats)
        found[name] = {"warm_s": warm, "ess_min": smallest, "ess_min_per_s": smallest / warm}
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=2000, help="steps of 32 walkers; 1,024 walkers do a tenth")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    names = ("campaign", "jax", "emcee", "blackjax", "numpy")
    found = {
        "machine": {"cores": len(os.sched_getaffinity(0)), "processor": platform.processor() or platform.machine()},
        "versions": {"python": platform.python_version(), **{name: version(name) for name in names}},
        "load_at_start": os.getloadavg(),
        "start_s": IMPORT_S,
    }
    runge_kutta, exact = problem_of("rk4"), problem_of("exact")
    steps, few = arguments.steps, max(10, arguments.steps // 10)
    found["rk4, 32 walkers"] = stretch(runge_kutta, 32, steps, arguments.repeats)
    found["rk4, 1024 walkers"] = stretch(runge_kutta, 1024, few, arguments.repeats)
    found["exact, 32 walkers"] = stretch(exact, 32, steps, arguments.repeats)
    found["exact, 1024 walkers"] = stretch(exact, 1024, few, arguments.repeats)
    found["emcee on numpy, rk4, 1024 walkers"] = emcee_on_numpy(runge_kutta, 1024, 4)
    found["emcee on numpy in a pool, rk4, 32 walkers"] = emcee_in_a_pool(runge_kutta, 32, 20)
    found["nuts, P3"] = gradients(exact, target_of(exact), p3_posterior.FIXED, arguments.repeats)
    for name in ("kidiq-kidscore_momiq", "sblrc-blr"):
        target = posterior_densities.target_of(posterior_densities.POSTERIORS[name])
        found[f"nuts, {name}"] = gradients(target.problem, target, {}, arguments.repeats)
    found["load_at_end"] = os.getloadavg()
    text = json.dumps(found, indent=1)
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
