"""One run of an engine in a plain scan: what the loop does, without traces on disk. And targets with known answers."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from campaign.problem.base import Problem
from campaign.problem.target import Target
from campaign.space import Parameter, ThetaSpace
from programs import compiled

jax.config.update("jax_enable_x64", True)


def steps(engine, target, state, n):
    """n more steps: state, trace."""

    def body(carry, _):
        return engine.step(target, carry)

    return compiled(lambda s: jax.lax.scan(body, s, length=n))(state)


def drive(engine, target, key):
    """A whole run: state, trace as NumPy arrays, result."""
    state = compiled(lambda k: engine.init(target, k))(key)
    state, trace = steps(engine, target, state, engine.n_steps(target))
    monitor = engine.monitor(1)
    if monitor is not None:
        n = engine.n_steps(target)
        monitor.take({name: np.asarray(value)[None] for name, value in trace.items()}, 0, n)
        found = monitor.estimates(np.array([n]))
        state = state._replace(**{name: jnp.asarray(value[0]) for name, value in found.items()}) if found else state
    result = compiled(lambda s: engine.finish(target, s))(state)
    return state, {name: np.asarray(value) for name, value in trace.items()}, result


class Gaussian(Problem):
    """ln L = −½ |W (theta − mean)|²: covariance (WᵀW)⁻¹."""

    space: ThetaSpace = eqx.field(static=True)
    whiten: jax.Array
    mean: jax.Array

    def residuals(self, theta):
        return self.whiten @ (theta - self.mean)


def equicorrelated(d, rho=0.5):
    """Target with mean 0, unit variances and one correlation for all pairs."""
    covariance = np.full((d, d), rho) + (1.0 - rho) * np.eye(d)
    space = ThetaSpace(tuple(Parameter(name=f"x{i}", initial=0.0, scale=1.0) for i in range(d)))
    problem = Gaussian(space, jnp.asarray(np.linalg.inv(np.linalg.cholesky(covariance))), jnp.zeros(d))
    return at_start(problem), covariance


def at_start(problem, scale=None, start=None):
    """The target of a problem at its initial theta."""
    space = problem.space
    free = list(Target(problem, None, None).free)
    base = space.initial if start is None else np.asarray(start, np.float64)
    scale = space.typical[free] if scale is None else np.asarray(scale, np.float64)
    return Target(problem, jnp.asarray(base), jnp.asarray(scale))


class Notes:
    """A sink that keeps what the loop hands over, and says what a test wants.

    Attributes:
        stop_at: the next chunk before which it stops; None never does.
        late: what `is_late` says.
        leaves: the state at the stop.
    """

    def __init__(self, *, stop_at=None, late=False, chunks=()):
        self.stop_at, self.late, self.chunks, self.leaves = stop_at, late, list(chunks), None

    def trace(self, chunk, fields):
        self.chunks.append((chunk, fields))

    def between(self, next_chunk, leaves):
        if next_chunk != self.stop_at:
            return False
        self.leaves = leaves()
        return True

    def is_late(self):
        return self.late
