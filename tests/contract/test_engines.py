"""Every engine of the catalogue through the shipped contract."""

from __future__ import annotations

from dataclasses import replace

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
    nested,
    optax_chain,
    scan,
    trf,
    varpro,
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
    VarproOptions,
)
from campaign.engines.catalogue_cmaes import CmaesOptions
from campaign.engines.catalogue_descent import GdOptions, OptaxOptions, PgdOptions
from campaign.engines.catalogue_evidence import NestedOptions
from campaign.engines.trf import Trf
from campaign.problem.reference import decay, gaussian
from campaign.problem.reference.catalogue import DecayOptions, GaussianOptions
from campaign.registry import load, load_reference
from campaign.space import ThetaSpace
from campaign.testing.engine import EngineContract, target_of


def in_a_box():
    """The decay problem with bounds: a prior with a volume."""
    problem = decay.build(DecayOptions(data_seed=1))
    near = [replace(p, lower=p.initial - 3.0, upper=p.initial + 3.0) for p in problem.space.parameters]
    return target_of(replace(problem, space=ThetaSpace(tuple(near))))


ENGINES = {
    "trf": {},
    "lm": {},
    "gauss-newton": {},
    "varpro": {},
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
    "nested": {"n_live": 24},
}
jax.config.update("jax_enable_x64", True)


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


class TestVarpro(OnDecay):
    def engine(self):
        return varpro.build(VarproOptions())


class TestVarproRobust(OnDecay):
    def engine(self):
        return varpro.build(VarproOptions(loss="soft_l1", f_scale=2.0))


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


class TestNested(EngineContract):
    def engine(self):
        return nested.build(NestedOptions(n_live=24, draws=10))

    def target(self):
        return in_a_box()


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
    target = in_a_box()
    _, info = eqx.filter_eval_shape(lambda t: engine.step(t, engine.init(t, jax.random.key(0))), target)
    assert set(info) == set(plugin.records) - {"z"}  # that is of a map of theta
