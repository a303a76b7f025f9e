"""Eight posteriors of posteriordb, sampled here, against the moments of its reference draws (Stan, 10,000 each)."""

import csv
from collections import defaultdict

import jax
import numpy as np
import pytest

from campaign.diagnostics import mcse_mean, rhat
from campaign.engines.catalogue import EnsembleOptions, NutsOptions
from campaign.engines.ensemble import build
from campaign.engines.hamiltonian import build_nuts
from driving import drive
from posterior_densities import DATA, POSTERIORS, target_of

pytestmark = pytest.mark.long


def reference(name):
    rows = defaultdict(list)
    with open(DATA / "reference_summary.csv", newline="") as file:
        for row in csv.DictReader(file):
            if row["posterior"] == name:
                for key in ("mean", "sd", "mcse_between_chains"):
                    rows[key].append(float(row[key]))
    return tuple(np.array(rows[key]) for key in ("mean", "sd", "mcse_between_chains"))


def require_moments(draws, name):
    """Means within four combined Monte Carlo errors, standard deviations within 5 %."""
    mean, sd, error = reference(name)
    assert draws.shape[2] == len(mean)
    columns = [np.ascontiguousarray(draws[:, :, i]) for i in range(len(mean))]
    away = (draws.mean(axis=(0, 1)) - mean) / np.hypot([mcse_mean(x) for x in columns], error)
    assert np.abs(away).max() < 4.0, away
    np.testing.assert_allclose(draws.std(axis=(0, 1)), sd, rtol=0.05)
    return columns


def remark_of(engine, trace, result):
    """What the engine says of one run."""
    n = len(trace["theta"])
    monitor = engine.monitor(1)
    monitor.take({"theta": trace["theta"][None]}, 0, n)
    metrics = {**monitor.metrics(np.array([n])), **{k: np.array([float(v)]) for k, v in result.metrics.items()}}
    return engine.remarks(metrics)[0]


@pytest.mark.parametrize("name", POSTERIORS)
def test_nuts(name):
    own = POSTERIORS[name]
    engine = build_nuts(NutsOptions(steps=3500, warmup=1000, **own.options))
    _, trace, result = drive(engine, target_of(own), jax.random.key(11))
    columns = require_moments(own.reported(trace["theta"][1000:]), name)
    assert max(rhat(x) for x in columns) < 1.01
    n_divergent = int(trace["divergent"][1000:].sum())
    assert int(result.metrics["divergences"]) >= n_divergent
    assert ("divergent" in remark_of(engine, trace, result)) == (int(result.metrics["divergences"]) > 0)


@pytest.mark.parametrize("name", [name for name in POSTERIORS if "kilpisjarvi" not in name])
def test_ensemble(name):
    own = POSTERIORS[name]
    engine = build(EnsembleOptions(walkers=40, steps=12000, burn_in=2000, thin=4, init="ball"))
    _, trace, _ = drive(engine, target_of(own), jax.random.key(12))
    require_moments(own.reported(trace["theta"][500:]), name)


def test_an_ensemble_on_collinear_parameters_is_right_or_says_that_it_has_not_mixed():
    """alpha and beta of kilpisjarvi are correlated by −0.99999; the stretch move is affine-invariant."""
    name = "kilpisjarvi_mod-kilpisjarvi"
    engine = build(EnsembleOptions(walkers=40, steps=8000, burn_in=2000, thin=4))
    _, trace, result = drive(engine, target_of(POSTERIORS[name]), jax.random.key(13))
    if not remark_of(engine, trace, result):
        require_moments(trace["theta"][500:], name)
