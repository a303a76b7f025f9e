"""Every engine of the catalogue through the shipped contract."""

from __future__ import annotations

import equinox as eqx
import jax
import pytest

from campaign.engines import (
    cmaes,
    descent_builders,
    ensemble,
    evaluate,
    hamiltonian,
    jacobian,
    lbfgs,
    optax_chain,
    scan,
    trf,
)
from campaign.engines.catalogue import (
    EnsembleOptions,
    EvaluateOptions,
    JacobianOptions,
    LbfgsOptions,
    Linspace,
    NutsOptions,
    ScanOptions,
    TrfOptions,
)
from campaign.engines.catalogue_cmaes import CmaesOptions
from campaign.engines.catalogue_descent import GdOptions, OptaxOptions, PgdOptions
from campaign.engines.trf import Trf
from campaign.problem.reference import decay, gaussian
from campaign.problem.reference.catalogue import DecayOptions, GaussianOptions
from campaign.registry import load, load_reference
from campaign.testing.engine import EngineContract, target_of

ENGINES = {
    "trf": {},
    "lm": {},
    "gauss-newton": {},
    "gd": {},
    "run_simple_gd": {},
    "pgd": {},
    "preconditioned_gd": {},
    "optax": {},
    "ensemble": {"walkers": 8, "steps": 20},
    "evaluate": {},
    "jacobian": {},
    "cmaes": {"reach": 5.0},
    "scan": {"grid": {"rate": [0.5, 1.0]}},
}
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")


class TestTrf(EngineContract):
    def engine(self):
        return Trf()

    def target(self):
        return target_of(decay.build(DecayOptions(data_seed=1)))


class TestTrfRobust(EngineContract):
    def engine(self):
        return Trf(loss="cauchy", f_scale=2.0)

    def target(self):
        return target_of(decay.build(DecayOptions(data_seed=1)))


class TestTrfManyParameters(EngineContract):
    """More than the unrolled algebra takes."""

    def engine(self):
        return Trf()

    def target(self):
        return target_of(gaussian.build(GaussianOptions(d=11)))


class OnDecay(EngineContract):
    """On the decay problem."""

    def target(self):
        return target_of(decay.build(DecayOptions(data_seed=1)))


class TestGd(OnDecay):
    def engine(self):
        return descent_builders.build_gd(GdOptions())


class TestPgd(OnDecay):
    def engine(self):
        return descent_builders.build_pgd(PgdOptions(refresh_every=2, blocks={"shape": ["rate"]}))


class TestOptax(OnDecay):
    def engine(self):
        return optax_chain.build(OptaxOptions(chain=[{"transform": "clip_by_global_norm", "max_norm": 1.0}, "adam"]))


class TestLbfgs(OnDecay):
    def engine(self):
        return lbfgs.build(LbfgsOptions(scaling="gn_diag"))


class TestCmaes(OnDecay):
    def engine(self):
        return cmaes.build(CmaesOptions(reach=5.0, generations=5, max_restarts=1, max_steps=20, refine="trf"))


class TestPgdInModes(OnDecay):
    """As many coordinates as parameters, or fewer."""

    def engine(self):
        return descent_builders.build_pgd(PgdOptions(theta_map={"truncate": 3}))


class TestTrfInModes(OnDecay):
    def engine(self):
        return trf.build(TrfOptions(theta_map={"truncate": 3}))


class TestEnsembleInModes(OnDecay):
    def engine(self):
        return ensemble.build(EnsembleOptions(walkers=8, steps=20, theta_map={"truncate": 2}))


class TestNutsInModes(OnDecay):
    def engine(self):
        return hamiltonian.build_nuts(NutsOptions(chains=2, steps=20, warmup=10, theta_map={}))


class TestEnsemble(OnDecay):
    def engine(self):
        return ensemble.build(EnsembleOptions(walkers=8, steps=20, thin=2))


class TestEvaluate(OnDecay):
    n_steps = 1

    def engine(self):
        return evaluate.build(EvaluateOptions())


class TestJacobian(OnDecay):
    n_steps = 1

    def engine(self):
        return jacobian.build(JacobianOptions())


class TestScan(OnDecay):
    def engine(self):
        return scan.build(ScanOptions(grid={"rate": Linspace(linspace=(0.5, 1.5, 9)), "offset": [0.0, 0.5]}, chunk=4))


@pytest.mark.parametrize("name", ENGINES)
def test_the_catalogue_says_what_steps_record(name):
    plugin = load("campaign.engines", name)
    engine = load_reference(plugin.build)(plugin.options(**ENGINES[name]))
    target = target_of(decay.build(DecayOptions(data_seed=1)))
    _, info = eqx.filter_eval_shape(lambda t: engine.step(t, engine.init(t, jax.random.key(0))), target)
    assert set(info) == set(plugin.records) - {"z"}  # that is of a map of theta
