"""Descents of tests: quadratics with known answers, and runs of an engine step by step."""

import json
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from campaign.engines.catalogue_descent import GdOptions, OptaxOptions, PgdOptions
from campaign.engines.descent_builders import build_gd, build_pgd
from campaign.engines.optax_chain import build as build_optax
from campaign.problem.base import Problem
from campaign.space import Parameter, ThetaSpace
from driving import at_start
from programs import compiled

DATA = Path(__file__).parent / "oracle" / "data" / "optics"
GOLDEN = json.loads((DATA / "golden.json").read_text())


class Quadratic(Problem):
    """r = A (theta − mean): the Fisher matrix is AᵀA, the minimum 0."""

    space: ThetaSpace = eqx.field(static=True)
    root: jax.Array
    mean: jax.Array

    def residuals(self, theta):
        return self.root @ (theta - self.mean)


class Separate(Problem):
    """r = w ⊙ (theta − mean), whose derivatives are exact where w are powers of two."""

    space: ThetaSpace = eqx.field(static=True)
    width: jax.Array
    mean: jax.Array

    def residuals(self, theta):
        return self.width * (theta - self.mean)


class Bowl(Problem):
    """ln L = −½ thetaᵀ H theta, without residuals."""

    space: ThetaSpace = eqx.field(static=True)
    hessian: jax.Array

    def log_likelihood(self, theta):
        return -0.5 * theta @ (self.hessian @ theta)


def space_of(start, scale=None, **of_each):
    scale = np.ones(len(start)) if scale is None else scale
    return ThetaSpace(
        tuple(
            Parameter(name=f"x{i}", initial=float(x), scale=float(s), **of_each)
            for i, (x, s) in enumerate(zip(start, scale, strict=True))
        )
    )


def separate(width, start, scale=None, mean=0.0, **of_each):
    """A target with the curvatures `width`²."""
    start = np.asarray(start, float)
    problem = Separate(space_of(start, scale, **of_each), jnp.asarray(width, float), jnp.full(len(start), mean))
    return at_start(problem)


def quadratic(fisher, minimum, start, scale=None):
    """A target with this Fisher matrix, whose minimum is 0."""
    size = np.sqrt(np.diag(fisher))
    root = np.linalg.cholesky(fisher / np.outer(size, size)).T * size
    return at_start(Quadratic(space_of(start, scale), jnp.asarray(root), jnp.asarray(minimum)))


def prior_widths(n_zernikes=12):
    """Widths of the priors of the fitted image, from which its start was drawn."""
    return np.array([0.01, 0.5, 0.005, 0.005, 0.05, 0.05, 0.002, *[1.0] * n_zernikes, 1.0])


def surrogate(scale=None):
    """The quadratic around the best fit of the image of mask B, from the same start."""
    fisher = np.load(DATA / "fisher_B.npy")
    golden = GOLDEN["B"]
    scale = prior_widths() if scale is None else scale
    return quadratic(fisher, np.array(golden["theta_map"]), np.array(GOLDEN["theta0"]), scale)


def pgd(**options):
    return build_pgd(PgdOptions(**options))


def gd(**options):
    return build_gd(GdOptions(**options))


def optax_engine(**options):
    return build_optax(OptaxOptions(**options))


def traced(engine, target, n):
    """n steps whatever their outcome: (last state, trace as NumPy arrays, result)."""
    state = compiled(lambda e, t: e.init(t, jax.random.key(0)))(engine, target)
    walk = compiled(lambda e, t, s: jax.lax.scan(lambda at, _: e.step(t, at), s, length=n))
    state, trace = walk(engine, target, state)
    result = compiled(lambda e, t, s: e.finish(t, s))(engine, target, state)
    return state, {k: np.asarray(v) for k, v in trace.items()}, jax.tree.map(np.asarray, result)


def steps_until(engine, target, part, most):
    """Steps after which the loss is first below `part` of that at the start; `most` where it never is."""

    def run(engine, target):
        state, info = engine.step(target, engine.init(target, jax.random.key(0)))
        goal = part * info["loss"]

        def body(carry):
            state, _, n = carry
            state, info = engine.step(target, state)
            return state, info["loss"], n + 1

        def going(carry):
            return (carry[1] >= goal) & (carry[2] < most)

        return jax.lax.while_loop(going, body, (state, info["loss"], 0))[2]

    return int(compiled(run)(engine, target))


def first_below(values, limit):
    """Index of the first value below a limit."""
    return int(np.flatnonzero(values < limit)[0])
