"""An engine that records all that gradient descent may, and a simulated problem with a known truth, for tests.

theta ← theta − base_lr · p ⊙ g with p = 1/diag(JᵀJ) at the start; theta and u are the same here.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from campaign import registry
from campaign.engines.base import AbstractEngine, Field, Outcome, Result
from campaign.registry import EnginePlugin, Options

TRUTH = np.array([10.0, 3.0, 1.0, -2.0, 0.5])
DESIGN = np.random.default_rng(5).normal(size=(40, 5)) * np.array([1.0, 2.0, 0.1, 0.1, 0.1])
PROBLEM = """
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from campaign.science import Parameter, Prior, Problem, ThetaSpace

TRUTH = np.array([10.0, 3.0, 1.0, -2.0, 0.5])
DESIGN = np.random.default_rng(5).normal(size=(40, 5)) * np.array([1.0, 2.0, 0.1, 0.1, 0.1])


class Star(Problem):
    space: ThetaSpace = eqx.field(static=True)
    y: jax.Array

    def residuals(self, theta):
        return jnp.asarray(DESIGN) @ theta - self.y

    def truth(self):
        return dict(zip(self.space.names, jnp.asarray(TRUTH)))

    def block(self, name):
        return {"zernike_nm": "wavefront", "contrast": "photometry"}.get(name, "astrometry")


def star(data_seed: int = 0) -> Star:
    names = ("separation_as", "contrast", "zernike_nm[0]", "zernike_nm[1]", "zernike_nm[2]")
    units = ("as", "", "nm", "nm", "nm")
    priors = dict.fromkeys(names) | {"contrast": Prior("normal", (3.0, 100.0))}
    space = ThetaSpace(
        tuple(Parameter(name=n, initial=0.0, unit=u, scale=1.0, prior=priors[n]) for n, u in zip(names, units))
    )
    noise = np.random.default_rng(data_seed).normal(size=40)
    return Star(space, jnp.asarray(DESIGN @ TRUTH + noise))
"""


class SlideOptions(Options):
    base_lr: float = 0.5
    steps: int = 30


class Place(NamedTuple):
    u: jax.Array
    curvature: jax.Array
    first: jax.Array
    loss: jax.Array


class Slide(AbstractEngine):
    base_lr: jax.Array
    max_steps: int = eqx.field(static=True)
    chunk_steps: int = eqx.field(static=True)

    def init(self, target, key):
        u = target.start()
        jacobian = jax.jacfwd(target.residuals)(u)
        loss = -target.log_likelihood(u)
        return Place(u, jnp.sum(jacobian**2, axis=0), loss, loss)

    def step(self, target, state):
        loss, gradient = jax.value_and_grad(lambda u: -target.log_likelihood(u))(state.u)
        lr = self.base_lr / state.curvature
        move = lr * gradient
        blocks = target.index_map.blocks.values()
        info = {
            "loss": loss, "theta": state.u, "grad": gradient, "lr": lr, "base_lr": self.base_lr,
            "grad_norm": jnp.linalg.norm(gradient), "step_norm": jnp.linalg.norm(move), "accepted": jnp.asarray(True),
            "block_grad_norm": jnp.stack([jnp.linalg.norm(gradient[own]) for own in blocks]),
        }  # fmt: skip
        return state._replace(u=state.u - move, loss=loss), info

    def outcome(self, state):
        return jnp.where(jnp.isfinite(state.loss) & (state.loss < 1e12), Outcome.RUNNING, Outcome.DIVERGED)

    def at_budget(self):
        return Outcome.CONVERGED

    def finish(self, target, state):
        ones = jnp.zeros(state.u.shape, bool)
        precond = 1.0 / state.curvature
        return Result.of(
            target.theta(state.u),
            -target.log_likelihood(state.u),
            state.first,
            metrics={"base_lr": self.base_lr, "n_probes": jnp.asarray(7), "n_clipped": jnp.asarray(0)},
            arrays={
                "curvature": state.curvature, "precond": precond, "lr_vec": self.base_lr * precond,
                "lr_scale": precond, "clipped": ones, "floored": ones.at[1].set(True),
            },
        )  # fmt: skip

    def fields(self, target):
        own = Field(("parameter",))
        once = Field(("parameter",), once=True)
        return {
            "loss": Field(), "theta": own, "grad_norm": Field(), "step_norm": Field(), "base_lr": Field(),
            "accepted": Field(), "grad": Field(("parameter",), is_default=False),
            "lr": Field(("parameter",), is_default=False), "block_grad_norm": Field(("block",), is_default=False),
            **dict.fromkeys(("curvature", "precond", "lr_vec", "lr_scale", "clipped", "floored"), once),
        }  # fmt: skip


def build(options: SlideOptions) -> Slide:
    return Slide(base_lr=jnp.asarray(options.base_lr), max_steps=options.steps, chunk_steps=10)


PLUGIN = EnginePlugin(name="slide", version="1", options=SlideOptions, build=build, steps="steps")


def install(monkeypatch) -> None:
    """Make the engine `slide` known to this process."""
    known = registry._entries(registry.ENGINES)
    entry = EntryPoint("slide", "recording_engine:PLUGIN", registry.ENGINES)
    other = registry._entries

    def entries(group):
        return {**known, "slide": entry} if group == registry.ENGINES else other(group)

    monkeypatch.setattr(registry, "_entries", entries)
