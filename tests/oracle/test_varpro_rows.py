"""`varpro` by row blocks of any size: against all rows at once, in one program and pass by pass."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from campaign.engines.base import Outcome
from campaign.engines.passes import NOTHING, Pass
from campaign.engines.trf import Trf
from campaign.engines.varpro import Varpro
from driving import at_start
from programs import compiled, whole_run
from separable import ByRows, by_columns, by_rows, made

AMPLITUDES = np.random.default_rng(0).uniform(0.5, 2.0, (5, 3))
N = 70  # rows of a group


@compiled
def run(engine, goal):
    state, _ = whole_run(engine, goal)
    return engine.finish(goal, state), engine.outcome(state)


def fit(problem, **options):
    result, outcome = run(Varpro(trf=Trf(**options)), at_start(problem))
    assert int(outcome) == Outcome.CONVERGED
    return jax.tree.map(np.asarray, result)


def pass_by_pass(problem, order=lambda n: range(n), **options):
    """The fit as `RowProgram` makes it; parts are computed in any order."""
    engine, goal = Varpro(trf=Trf(**options)), at_start(problem)
    n = engine.n_parts(goal)
    parts = {kind: compiled(lambda u, k, kind=kind: engine.part(kind, goal, u, k)) for kind in Pass}
    after = {kind: compiled(lambda q, p, kind=kind: engine.after_pass(kind, goal, q, p)) for kind in Pass}

    def answered(asked):
        while int(asked.kind) != NOTHING:
            kind = Pass(int(asked.kind))
            own = {k: np.asarray(parts[kind](asked.u, np.int32(k))) for k in order(n)}
            asked = after[kind](asked, np.stack([own[k] for k in range(n)]))
        return asked.found

    first, last = (compiled(lambda s, f=f: f(goal, s)) for f in (engine.first_pass, engine.last_pass))
    step, finish = (compiled(lambda s, g, f=f: f(goal, s, g)) for f in (engine.step, engine.finish))
    state = compiled(lambda: engine.init(goal, jax.random.key(0)))()
    while not int(engine.outcome(state)):
        state, _ = step(state, answered(first(state)))
    assert int(engine.outcome(state)) == Outcome.CONVERGED
    return jax.tree.map(np.asarray, finish(state, answered(last(state))))


def assert_same(found, whole):
    np.testing.assert_allclose(found.metrics["chi2"], whole.metrics["chi2"], rtol=1e-9)
    np.testing.assert_allclose((found.theta - whole.theta) / whole.stderr, 0.0, atol=1e-4)
    np.testing.assert_allclose(found.stderr, whole.stderr, rtol=1e-6)
    scale = np.outer(whole.stderr, whole.stderr)
    np.testing.assert_allclose(found.arrays["covariance"] / scale, whole.arrays["covariance"] / scale, atol=1e-6)


@pytest.fixture(scope="module")
def problem():
    return made([0.7, 2.5], AMPLITUDES, start=[0.3, 1.5], n=N)


@pytest.fixture(scope="module")
def whole(problem):
    return fit(problem)


LONG = (32, 70, 250, 1000)


@pytest.mark.parametrize("chunk", [101, *(pytest.param(chunk, marks=pytest.mark.long) for chunk in LONG)])
def test_blocks_of_any_size_are_all_rows(problem, whole, chunk):
    """Blocks within a group, of one, over a border, over several groups, ragged at the end, and all rows in one."""
    assert_same(fit(by_rows(problem), chunk=chunk), whole)


@pytest.mark.parametrize(
    ("chunk", "parts"),
    [(101, 1), *(pytest.param(*own, marks=pytest.mark.long) for own in ((4, 1), (32768, 1), (60, 2), (32768, 7)))],
)
def test_columns_are_all_rows(problem, whole, chunk, parts):
    """Ragged blocks of all curves, one position at a time, everything in one block, and curves in several stretches."""
    assert_same(fit(by_columns(problem, parts), chunk=chunk), whole)


def test_columns_with_some_linear_parameters_held():
    """Their share goes into the residuals."""
    problem = made([0.7, 2.5], AMPLITUDES, start=[0.3, 1.5], n=N, start_of_linear=1.0)
    free = [n for n in problem.space.names if not n.endswith("[2]")]

    def held(own):
        goal = at_start(own)
        where = np.array([own.space.index(name) for name in free])
        return type(goal)(goal.problem, goal.base, goal.scale[where], tuple(free))

    expected, found = (run(Varpro(trf=Trf(chunk=101)), held(own))[0] for own in (problem, by_columns(problem)))
    np.testing.assert_allclose(found.theta, expected.theta, rtol=1e-7)
    np.testing.assert_allclose(found.loss, expected.loss, rtol=1e-10)


@pytest.mark.long
def test_robust_losses_by_columns(problem):
    found, expected = (fit(own, loss="soft_l1", chunk=101) for own in (by_columns(problem), problem))
    assert_same(found, expected)


@pytest.mark.long
def test_pass_by_pass_the_bits_do_not_depend_on_who_computes(problem, whole):
    found = pass_by_pass(by_rows(problem), chunk=101)
    again = pass_by_pass(by_rows(problem), lambda n: reversed(range(n)), chunk=101)
    assert_same(found, whole)
    jax.tree.map(np.testing.assert_array_equal, found, again)
    found = pass_by_pass(by_columns(problem), chunk=101)
    again = pass_by_pass(by_columns(problem), lambda n: reversed(range(n)), chunk=101)
    assert_same(found, whole)
    jax.tree.map(np.testing.assert_array_equal, found, again)


@pytest.mark.long
def test_robust_losses_and_bounds_by_blocks():
    base = made(
        [0.7, 2.5],
        AMPLITUDES,
        start=[0.3, 1.5],
        n=N,
        outliers=5,
        lower=-1.0,
        upper=np.where(AMPLITUDES > 1.8, 1.5, 9.0),
    )
    expected = fit(base, loss="soft_l1")
    held = expected.at_bound != 0
    assert held.sum() >= 2
    for found in (
        pass_by_pass(by_rows(base), loss="soft_l1", chunk=101),
        fit(by_rows(base), loss="soft_l1", chunk=101),
    ):
        np.testing.assert_array_equal(found.at_bound, expected.at_bound)
        np.testing.assert_allclose(found.loss, expected.loss, rtol=1e-9)
        np.testing.assert_allclose(((found.theta - expected.theta) / expected.stderr)[~held], 0.0, atol=1e-4)
        np.testing.assert_allclose(found.stderr, expected.stderr, rtol=1e-6)


class Shared(ByRows):
    """Two columns are the same."""

    def residual_rows(self, theta, start, size):
        rows = start + jnp.arange(size)
        group, at = rows // self.t.shape[0], rows % self.t.shape[0]
        own = jnp.sum(theta[1:].reshape(-1, 2), axis=1)[group] * jnp.exp(-theta[0] * self.t[at])
        return (own - jax.lax.dynamic_slice_in_dim(self.y.ravel(), start, size)) / self.sigma


@pytest.mark.long
def test_what_cannot_be_told_apart_by_blocks():
    base = made([0.7], np.full((3, 2), [2.0, 0.0]), start=[0.3], n=N)
    shared = Shared(base.space, base.t, base.y, base.sigma, 1, 2)
    found = pass_by_pass(shared, chunk=101)
    np.testing.assert_array_equal(found.unidentified, [False] + 6 * [True])
    one = fit(made([0.7], np.full((3, 1), 2.0), start=[0.3], n=N))
    np.testing.assert_allclose(found.metrics["chi2"], one.metrics["chi2"], rtol=0.2)
    assert np.isfinite(found.stderr[0])
