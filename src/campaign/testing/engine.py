"""What every engine promises, as a pytest class: subclass it, give `engine` and `target`, and the tests run.

::

    class TestMyEngine(EngineContract):
        def engine(self):
            return MyEngine(max_steps=50)

        def target(self):
            return target_of(my_problem)
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from campaign.engines.base import AbstractEngine, Outcome, Result
from campaign.problem.base import Problem
from campaign.problem.target import Target


def target_of(problem: Problem) -> Target:
    """The problem at its own start."""
    return Target(problem, jnp.asarray(problem.space.initial), jnp.asarray(problem.space.typical))


def leaves(tree: Any) -> list[np.ndarray]:
    """Leaves as NumPy arrays; random keys as their data."""

    def plain(leaf: Any) -> np.ndarray:
        is_key = hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        return np.asarray(jax.random.key_data(leaf) if is_key else leaf)

    return [plain(leaf) for leaf in jax.tree.leaves(tree)]


def assert_same(left: Any, right: Any, rtol: float = 0.0) -> None:
    """Two trees of equal structure and values; NaN equals NaN."""
    assert jax.tree.structure(left) == jax.tree.structure(right)
    for a, b in zip(leaves(left), leaves(right), strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=0.0 if rtol == 0.0 else 1e-12)


class EngineContract:
    """The promises of `AbstractEngine`."""

    n_steps = 3  # steps that the tests take

    def engine(self) -> AbstractEngine:
        raise NotImplementedError

    def target(self) -> Target:
        raise NotImplementedError

    def started(self, key: int = 0) -> tuple[AbstractEngine, Target, Any]:
        engine, target = self.engine(), self.target()
        return engine, target, eqx.filter_jit(engine.init)(target, jax.random.key(key))

    def stepped(self, n: int) -> tuple[AbstractEngine, Target, Any]:
        engine, target, state = self.started()
        step = eqx.filter_jit(engine.step)
        for _ in range(n):
            state, _ = step(target, state)
        return engine, target, state

    def test_state_is_arrays_of_fixed_shape(self):
        engine, target, state = self.started()
        assert all(eqx.is_array(leaf) for leaf in jax.tree.leaves(state))
        following, _ = eqx.filter_jit(engine.step)(target, state)
        assert jax.tree.structure(following) == jax.tree.structure(state)
        for before, after in zip(jax.tree.leaves(state), jax.tree.leaves(following), strict=True):
            assert (before.shape, before.dtype) == (after.shape, after.dtype)

    def test_outcome_is_a_code_with_a_message(self):
        engine, _, state = self.stepped(self.n_steps)
        outcome = engine.outcome(state)
        assert outcome.shape == ()
        assert jnp.issubdtype(outcome.dtype, jnp.integer)
        assert Outcome(int(outcome)).message
        assert Outcome(engine.at_budget()) is not Outcome.RUNNING

    def test_info_names_its_dimensions(self):
        engine, target, state = self.started()
        _, info = eqx.filter_jit(engine.step)(target, state)
        fields = engine.fields(target)
        for name, value in info.items():
            assert eqx.is_array(value), name
            named = fields[name].dims
            assert not fields[name].once, name
            assert value.ndim == len(named), f"`{name}` has shape {value.shape} and dimensions {named}"
        if "theta" in info and fields["theta"].dims == ("parameter",):
            assert info["theta"].shape == (len(target.space),)

    def test_init_and_step_are_pure(self):
        engine, target, state = self.started()
        _, _, again = self.started()
        assert_same(state, again)
        step = eqx.filter_jit(engine.step)
        assert_same(step(target, state), step(target, state))

    def test_a_run_resumes_from_the_arrays_of_its_state(self):
        engine, target, state = self.stepped(self.n_steps)
        step = eqx.filter_jit(engine.step)
        is_key = [jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) for leaf in jax.tree.leaves(state)]
        stored = [
            jax.random.wrap_key_data(jnp.asarray(array)) if key else jnp.asarray(array)
            for array, key in zip(leaves(state), is_key, strict=True)
        ]
        restored = jax.tree.unflatten(jax.tree.structure(state), stored)
        assert_same(step(target, restored), step(target, state))

    def test_runs_go_together_as_lanes(self):
        """`vmap` over starts gives what the runs give one by one, up to rounding."""
        engine, target = self.engine(), self.target()
        shift = 0.1 * target.scale[None, :] * jnp.arange(3.0)[:, None]
        free = jnp.array(target.free, int)
        bases = jnp.stack([target.base.at[free].add(row) for row in shift])
        keys = jax.random.split(jax.random.key(1), 3)

        def two_steps(base: Any, key: Any) -> Any:
            goal = eqx.tree_at(lambda t: t.base, target, base)
            state, _ = engine.step(goal, engine.init(goal, key))
            return engine.step(goal, state)[1]

        together = jax.jit(jax.vmap(two_steps))(bases, keys)
        one_by_one = jax.jit(lambda b, k: jax.lax.map(lambda x: two_steps(*x), (b, k)))(bases, keys)
        assert_same(together, one_by_one, rtol=1e-6)

    def test_finish_gives_a_result_in_theta(self):
        engine, target, state = self.stepped(self.n_steps)
        result = eqx.filter_jit(engine.finish)(target, state)
        d = len(target.space)
        assert isinstance(result, Result)
        assert result.theta.shape == (d,)
        assert result.stderr is None or result.stderr.shape == (d,)
        assert result.at_bound.shape == result.unidentified.shape == (d,)
        assert set(np.unique(result.at_bound)) <= {-1, 0, 1}
        assert result.loss.shape == result.loss_initial.shape == result.n_evaluations.shape == ()
        assert all(value.shape == () for value in result.metrics.values())
        dims = {name: field.dims for name, field in engine.fields(target).items() if field.once}
        for name, value in result.arrays.items():  # what a problem names (predictions) has dimensions by number
            assert value.ndim == len(dims.get(name, value.shape)), (
                f"`{name}` has shape {value.shape} and dimensions {dims[name]}"
            )

    def test_finish_works_at_the_start(self):
        """A run may be stopped before its first step."""
        engine, target, state = self.started()
        result = eqx.filter_jit(engine.finish)(target, state)
        assert bool(jnp.all(jnp.isfinite(result.theta)))

    def test_a_model_that_is_not_a_number_is_an_outcome_or_a_value(self):
        """Nothing raises inside a compiled program, whatever the data are."""
        engine, target = self.engine(), self.target()
        arrays, rest = eqx.partition(target.problem, eqx.is_inexact_array)
        broken = eqx.combine(jax.tree.map(lambda x: jnp.full_like(x, jnp.nan), arrays), rest)
        goal = eqx.tree_at(lambda t: t.problem, target, broken)
        state = eqx.filter_jit(engine.init)(goal, jax.random.key(0))
        if int(engine.outcome(state)) == Outcome.RUNNING:
            state, _ = eqx.filter_jit(engine.step)(goal, state)
        eqx.filter_jit(engine.finish)(goal, state)
