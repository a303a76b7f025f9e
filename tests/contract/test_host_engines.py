"""Every engine on the host through the shipped contract."""

from __future__ import annotations

import jax

from campaign.engines import differential_evolution, lbfgsb, nelder_mead, scipy_trf
from campaign.engines.catalogue import (
    DifferentialEvolutionOptions,
    LbfgsbOptions,
    NelderMeadOptions,
    ScipyTrfOptions,
)
from campaign.problem.reference import decay
from campaign.problem.reference.catalogue import DecayOptions
from campaign.testing.engine import target_of
from campaign.testing.host_engine import HostEngineContract

jax.config.update("jax_enable_x64", True)


class OnDecay(HostEngineContract):
    """On the decay problem."""

    def target(self):
        return target_of(decay.build(DecayOptions(data_seed=1)))


class TestLbfgsb(OnDecay):
    def engine(self):
        return lbfgsb.build(LbfgsbOptions(chunk_steps=4))


class TestLbfgsbByDifferences(OnDecay):
    def engine(self):
        return lbfgsb.build(LbfgsbOptions(chunk_steps=4, derivatives="finite"))


class TestNelderMead(OnDecay):
    def engine(self):
        return nelder_mead.build(NelderMeadOptions(chunk_steps=32))


class TestDifferentialEvolution(OnDecay):
    def engine(self):
        return differential_evolution.build(DifferentialEvolutionOptions(chunk_steps=32, population=5, reach=30.0))


class TestScipyTrf(OnDecay):
    def engine(self):
        return scipy_trf.build(ScipyTrfOptions(chunk_steps=3))


class TestScipyTrfRobust(OnDecay):
    def engine(self):
        return scipy_trf.build(ScipyTrfOptions(chunk_steps=3, loss="cauchy", f_scale=2.0))
