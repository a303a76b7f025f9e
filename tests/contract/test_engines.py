"""Every engine of the catalogue through the shipped contract."""

from __future__ import annotations

import jax

from campaign.engines.trf import Trf
from campaign.problem.reference import decay, gaussian
from campaign.problem.reference.catalogue import DecayOptions, GaussianOptions
from campaign.testing.engine import EngineContract, target_of

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
