"""XPCS: how many of 96 starts, and of 20 searches by CMA-ES, find the best fit of a set whose fits have several minima.

    python benchmarks/xpcs_search.py [--angles 10] [--frames 60] [--starts 96] [--steps 60] [--searches 20] [--out FILE]

All begin on one set of simulated maps (convention of homodyne, σ = 0.01), and "found" is χ² ≤ χ²* (1 + 10⁻⁵) for the
χ²* that a fit from near the truth reaches:

    uniform       `multistart`, a Latin hypercube, uniform in the usual bounds
    log           D0 and gamma_dot_t0 by their logarithm, in the same bounds
    log, narrow   the same, with offsets of rates within ±1000 Å²/s and ±10⁻³ 1/s
    reference     amplitudes by their logarithm at t_ref, offsets as shares of them: `campaign_xpcs.model.starts`
    cmaes         over the seven parameters of physics, from uniform random starts, refined by `varpro`

All fits from starts have the same step budget. Nothing is screened and nothing refined afterwards. CPU seconds are
those of the whole comparison, compilation included.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from campaign.science import Fit, fit, fits, multistart
from campaign.space.start_design import start_design
from campaign_xpcs.data.maps import TwoTimeMaps
from campaign_xpcs.model.problem import two_time_problem
from campaign_xpcs.model.simulated import simulated_maps
from campaign_xpcs.model.starts import drawn_starts

TRUTH = {
    "D0": 2000.0,
    "alpha": -0.3,
    "D_offset": 100.0,
    "gamma_dot_t0": 2e-3,
    "beta": -0.2,
    "gamma_dot_t_offset": 1e-4,
    "phi0": -5.0,
}
NARROW = {"D_offset": (-1000.0, 1000.0), "gamma_dot_t_offset": (-1e-3, 1e-3)}
MODEL = "homodyne-compat"
FOUND = 1e-5  # part of χ²


def simulated(n_phi: int, n: int, seed: int) -> TwoTimeMaps:
    phi = np.linspace(-180.0, 180.0, n_phi, endpoint=False)
    truth = dict(TRUTH)
    for k, angle in enumerate(np.deg2rad(phi)):
        truth |= {f"contrast[{k}]": 0.3 * (1 + 0.1 * np.sin(2 * angle + 0.3)), f"offset[{k}]": 1 + 0.02 * np.cos(angle)}
    return simulated_maps(
        truth, phi_deg=phi, n_times=n, dt_s=0.1, q=0.0054, gap=2e6, sigma=0.01, seed=seed, shear_model=MODEL
    )


def from_starts(maps: TwoTimeMaps, n: int, steps: int, seed: int) -> dict[str, tuple[list[Fit], float]]:
    """Kind of start → fits, CPU seconds."""
    problem = two_time_problem(maps, shear_model=MODEL, values=TRUTH)
    options = {"max_steps": steps}
    common: dict[str, Any] = {"screen": 1.0, "refine": 0, "seed": seed, "engine_options": options}

    def spread(**own: Any) -> list[Fit]:
        return list(multistart(problem, "varpro", n, **common, **own).fits)

    kinds = {
        "uniform": lambda: spread(scale="linear"),
        "log": lambda: spread(scale="auto"),
        "log, narrow": lambda: spread(scale="auto", ranges=NARROW),
        "reference": lambda: fits(
            problem, "varpro", drawn_starts(maps, n, shear_model=MODEL, seed=seed), engine_options=options
        ),
    }
    found = {}
    for name, make in kinds.items():
        begun = time.process_time()
        found[name] = (make(), time.process_time() - begun)
    return found


def by_cmaes(maps: TwoTimeMaps, n: int, seed: int, options: dict[str, Any]) -> tuple[list[Fit], float]:
    """Searches from random places in the usual bounds, and their CPU seconds."""
    problem = two_time_problem(maps, shear_model=MODEL, values=TRUTH)
    own = [p for p in problem.space.parameters if "[" not in p.name]
    places = start_design(own, n, sampler="random", scale="linear", seed=seed).points
    begun = time.process_time()
    found = [
        fit(problem, "cmaes", place, seed=k, engine_options={"refine": "varpro", **options})
        for k, place in enumerate(places)
    ]
    return found, time.process_time() - begun


def row(found: list[Fit], seconds: float, best: float) -> dict[str, Any]:
    n = sum(one.loss <= best * (1.0 + FOUND) for one in found)
    outcomes = {name: sum(one.outcome == name for one in found) for name in sorted({one.outcome for one in found})}
    steps, evaluations = (sum(getattr(one, name) for one in found) for name in ("n_steps", "n_evaluations"))
    return {
        "of": len(found),
        "found": n,
        "steps": steps,
        "evaluations": evaluations,
        "outcomes": outcomes,
        "cpu_s": round(seconds, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--angles", type=int, default=10)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--starts", type=int, default=96)
    parser.add_argument("--steps", type=int, default=60, help="most steps of a fit, of every kind of start")
    parser.add_argument("--searches", type=int, default=20, help="by CMA-ES")
    parser.add_argument("--cmaes", type=json.loads, default={"preset": "thorough"}, help="options of the engine, JSON")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    maps = simulated(options.angles, options.frames, options.seed)
    best = fit(two_time_problem(maps, shear_model=MODEL, values=TRUTH), "varpro").loss
    rows = {}
    if options.starts:
        made = from_starts(maps, options.starts, options.steps, options.seed)
        rows = {name: row(found, seconds, best) for name, (found, seconds) in made.items()}
    if options.searches:
        rows["cmaes"] = row(*by_cmaes(maps, options.searches, options.seed, options.cmaes), best)
    print(f"{'':12} {'found':>9} {'steps':>8} {'CPU-s':>7}  outcomes")
    for name, own in rows.items():
        share = f"{own['found']}/{own['of']}"
        print(f"{name:12} {share:>9} {own['steps']:8d} {own['cpu_s']:7.1f}  {own['outcomes']}")
    if options.out:
        document = {"chi2": 2.0 * best, "step_budget": options.steps, "cmaes": options.cmaes, "results": rows}
        options.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
