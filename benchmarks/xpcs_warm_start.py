"""Do chains diverge less when they start at the least-squares fit? Ten data sets, sampled from a cold and a warm start.

    python benchmarks/xpcs_warm_start.py [--seeds 10] [--json FILE]

Each seed is another noise and another chain. All seven parameters of the physics are free, priors are flat between
the bounds, contrasts and offsets are integrated out. "cold" starts where the table of parameters says, with unit
masses, as ``campaign xpcs fit --method cmc --no-nlsq-warmstart`` does; "warm" at the least-squares fit, with the mass
matrix of its Fisher information. "no chart" is warm without the coordinates about the rates at t_ref. Counted are
draws after warm-up.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from pathlib import Path

import numpy as np

from campaign.science import fit
from campaign_xpcs import marginal_problem, simulated_maps, two_time_problem
from campaign_xpcs.model import parameters

MODE = "laminar_flow"
TRUTH = {"D0": 3000.0, "alpha": -0.6, "D_offset": 500.0, "gamma_dot_t0": 1.2e-3, "beta": 0.5}
TRUTH |= {"gamma_dot_t_offset": 4e-4, "phi0": -5.0}
ANGLES = np.linspace(-180.0, 180.0, 4, endpoint=False) + 10.0
CHAINS, WARMUP, DRAWS = 2, 200, 300


def sampled(seed: int) -> dict[str, dict[str, float]]:
    """What three chains of one data set report."""
    scales = {"contrast": 0.3, "offset": 1.0}
    maps = simulated_maps(
        {**scales, **TRUTH}, phi_deg=ANGLES, n_times=24, dt_s=0.1, q=0.0054, gap=2e6, sigma=0.003, seed=seed
    )
    inner = two_time_problem(maps)
    problem = marginal_problem(inner, space=parameters.space(parameters.physical(MODE)))
    plain = dataclasses.replace(problem, inner=dataclasses.replace(inner, has_chart=False))
    best = fit(inner, "varpro", TRUTH).theta
    start = {name: float(best[name]) for name in problem.space.names}
    own = {"chains": CHAINS, "steps": WARMUP + DRAWS, "warmup": WARMUP, "mass": "dense", "target_accept": 0.85}
    found = {}
    for name, target, at, metric in (
        ("cold", problem, {}, "scale"),
        ("warm", problem, start, "fisher"),
        ("no chart", plain, start, "fisher"),
    ):
        begun = time.process_time()
        one = fit(target, "nuts", at, seed=seed, engine_options={**own, "metric": metric})
        wanted = ("divergences", "ess_bulk_min", "rhat_max", "saturated")
        found[name] = {key: float(one.metric[key]) for key in wanted}
        found[name] |= {"gradients": float(one.n_evaluations), "cpu_s": time.process_time() - begun}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--json", type=Path, default=None)
    asked = parser.parse_args()
    rows = []
    for seed in range(asked.seeds):
        rows.append(sampled(seed))
        print(
            seed, json.dumps({k: {m: round(v, 3) for m, v in one.items()} for k, one in rows[-1].items()}), flush=True
        )
    for name in rows[0]:
        rate = sum(row[name]["divergences"] for row in rows) / (len(rows) * CHAINS * DRAWS)
        ess, rhat = (np.median([row[name][key] for row in rows]) for key in ("ess_bulk_min", "rhat_max"))
        print(f"{name:<9} divergent {rate:.2%}  median ESS {ess:.0f}  median R-hat {rhat:.3f}")
    if asked.json is not None:
        asked.json.write_text(json.dumps({"draws": CHAINS * DRAWS, "seeds": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
