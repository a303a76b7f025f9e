"""Posteriors of BAO with a prior on H0, in two and three dimensions, and their evidences by quadrature; for tests and
benchmarks."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

SH0ES = {"normal": [73.04, 1.04]}  # of H0: a datum, so that the uniform priors below are all that is a prior
OPTIONS: dict[int, dict[str, Any]] = {
    2: {"model": "lcdm", "data": ["bao_ani", "prior:sh0es"]},
    3: {"model": "lcdm", "data": ["bao_ani", "prior:sh0es", "prior:bbn"]},
}
BOX = {"H0": (62.0, 84.0), "Om0": (0.22, 0.40), "Obh2": (0.018, 0.036)}  # uniform priors


def free(d: int) -> tuple[str, ...]:
    return tuple(BOX)[:d]


def options(d: int) -> dict[str, Any]:
    """Of problem `cosmology`, with uniform priors that are the box."""
    return {**OPTIONS[d], "priors": {name: {"uniform": list(BOX[name])} for name in free(d)}}


def quadrature(d: int, n: int) -> float:
    """ln of the mean of exp(−χ²/2) over the box, by n Gauss–Legendre nodes a parameter."""
    import jax
    import jax.numpy as jnp

    from campaign.runtime import start_jax

    start_jax()
    from campaign_cosmology.model.options import CosmologyOptions
    from campaign_cosmology.model.problem import build

    problem = build(CosmologyOptions(**options(d)))
    base, places = jnp.asarray(problem.space.initial), jnp.array([problem.space.index(name) for name in free(d)])
    x, w = np.polynomial.legendre.leggauss(n)
    axes = [0.5 * (low + high) + 0.5 * (high - low) * x for low, high in (BOX[name] for name in free(d))]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, d)
    weights = np.ones(())
    for _ in range(d):
        weights = np.multiply.outer(weights, 0.5 * w)
    evaluate = jax.jit(
        lambda t: jax.lax.map(lambda p: problem.log_likelihood(base.at[places].set(p)), t, batch_size=64)
    )
    values = np.asarray(evaluate(jnp.asarray(points)))
    top = values.max()
    return float(top + math.log(np.sum(weights.ravel() * np.exp(values - top))))


def evidences(folder: Path, d: int, n_seeds: int, n_live: int) -> tuple[np.ndarray, np.ndarray]:
    """(ln Z, stated errors) of nested sampling, one number a seed; all of them are the lanes of one block."""
    import campaign
    from campaign.drive.doors import submit

    document = {
        "schema": "campaign/1",
        "name": "evidence",
        "problem": {"name": "cosmology", "free": list(free(d)), **options(d)},
        "engine": {"name": "nested", "n_live": n_live},
        "replicates": n_seeds,
        "block": n_seeds,
        "trace": False,
    }
    (folder / "evidence.json").write_text(json.dumps(document))
    submit(folder / "evidence.json", folder / "results", executor="inline")
    table = campaign.open(folder / "results").table()
    if not (table["outcome"] == "converged").all():
        raise RuntimeError(f"not all runs converged: {table['outcome'].value_counts().to_dict()}")
    return table["metric.log_evidence"].to_numpy(), table["metric.log_evidence_stderr"].to_numpy()
