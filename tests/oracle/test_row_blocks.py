"""Normal equations by row blocks: against numpy, against all rows at once, and of data that stay on disk."""

from __future__ import annotations

import subprocess
import sys
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from campaign.engines.base import Outcome
from campaign.engines.normal import Robust, combine, n_chunks, normal_equations, partial, triangle
from campaign.engines.trf import Trf
from campaign.errors import InvalidValue
from campaign.problem.base import Problem
from campaign.problem.rows import MappedRows
from campaign.space import ThetaSpace
from driving import at_start
from row_problem import RowsInMemory, RowsOnDisk, linear_residuals, space_of

N, D, ROWS = 10_007, 4, 1_000
LINEAR = Robust("linear", jnp.ones(()))
SPACE = space_of(D, 0.5)
BEND = 0.01  # of the model: Gauss–Newton needs more than one step


def table(n=N, d=D):
    rng = np.random.default_rng(8)
    design = rng.standard_normal((n, d))
    return np.concatenate([design, design @ np.arange(1.0, d + 1)[:, None] + 0.1 * rng.standard_normal((n, 1))], axis=1)


class Resident(Problem):
    """The same without row blocks."""

    space: ThetaSpace = eqx.field(static=True)
    table: jax.Array
    absolute_sigma: ClassVar[bool] = False

    def residuals(self, theta):
        return linear_residuals(self.table, theta, BEND)


class ByRows(RowsInMemory):
    bend: ClassVar[float] = BEND


class OnDisk(RowsOnDisk):
    bend: ClassVar[float] = BEND


def fit(problem, engine):
    goal = at_start(problem)

    @jax.jit
    def run():
        state = engine.init(goal, jax.random.key(0))
        state = jax.lax.while_loop(lambda s: engine.outcome(s) == 0, lambda s: engine.step(goal, s)[0], state)
        return engine.finish(goal, state), engine.outcome(state)

    result, outcome = run()
    assert int(outcome) == Outcome.CONVERGED
    return jax.tree.map(np.asarray, result)


def expected(u):
    values = table()
    jacobian = values[:, :-1] + 0.01 * np.cos(u[0]) * np.eye(D)[0]
    residuals = values[:, :-1] @ u + 0.01 * np.sin(u[0]) - values[:, -1]
    return jacobian, residuals


def test_blocks_are_the_normal_equations_of_all_rows():
    u = jnp.asarray([0.3, 1.0, -2.0, 0.1])
    jacobian, residuals = expected(np.asarray(u))
    for problem in (Resident(SPACE, jnp.asarray(table())), ByRows(SPACE, jnp.asarray(table()))):
        found = jax.jit(lambda u, p=problem: normal_equations(at_start(p), u, LINEAR, ROWS))(u)
        np.testing.assert_allclose(found.loss, 0.5 * residuals @ residuals, rtol=1e-14)
        np.testing.assert_allclose(found.gradient, jacobian.T @ residuals, rtol=1e-12)
        np.testing.assert_allclose(found.hessian, jacobian.T @ jacobian, rtol=1e-12, atol=1e-11)
        factor = np.asarray(jax.jit(lambda u, p=problem: triangle(at_start(p), u, LINEAR, ROWS))(u))
        whole = np.column_stack([jacobian, residuals])
        np.testing.assert_allclose(factor.T @ factor, whole.T @ whole, rtol=1e-11, atol=1e-10)


@pytest.mark.parametrize("members", [1, 2, 3])
def test_the_blocks_of_one_fit_may_be_spread_over_any_number_of_members(members):
    goal = at_start(ByRows(SPACE, jnp.asarray(table())))
    u = jnp.asarray([0.3, 1.0, -2.0, 0.1])
    one = jax.jit(lambda chunk: partial(goal, u, chunk, LINEAR, ROWS))
    chunks = range(n_chunks(goal, ROWS))
    parts = {k: one(k) for member in range(members) for k in chunks if k % members == member}
    together = combine([parts[k] for k in chunks])
    alone = combine([one(k) for k in chunks])
    for a, b in zip(together, alone, strict=True):
        np.testing.assert_array_equal(a, b)
    scanned = jax.jit(lambda: normal_equations(goal, u, LINEAR, ROWS))()
    for a, b in zip(together, scanned, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-10)


@pytest.mark.parametrize("kind", ["npy", "zarr"])
def test_a_fit_of_rows_on_disk_is_that_of_rows_in_memory(tmp_path, kind):
    path = tmp_path / f"table.{kind}"
    if kind == "npy":
        np.save(path, table())
    else:
        import zarr

        zarr.save_array(str(path), table())
    engine = Trf(chunk=ROWS)
    whole = fit(Resident(SPACE, jnp.asarray(table())), engine)
    blocks = fit(ByRows(SPACE, jnp.asarray(table())), engine)
    disk = fit(OnDisk(SPACE, MappedRows(str(path))), engine)
    np.testing.assert_array_equal(disk.theta, blocks.theta)
    np.testing.assert_array_equal(disk.metrics["chi2"], blocks.metrics["chi2"])
    for found in (blocks, disk):
        np.testing.assert_allclose(found.metrics["chi2"], whole.metrics["chi2"], rtol=1e-13)
        np.testing.assert_allclose(found.theta, whole.theta, rtol=1e-10)
        np.testing.assert_allclose(found.stderr, whole.stderr, rtol=1e-9)
    jacobian, _ = expected(whole.theta)
    stderr = np.sqrt(np.diag(np.linalg.inv(jacobian.T @ jacobian)) * whole.metrics["chi2"] / (N - D))
    np.testing.assert_allclose(whole.stderr, stderr, rtol=1e-9)


def test_what_is_no_table_is_refused(tmp_path):
    np.save(tmp_path / "line.npy", np.zeros(3))
    with pytest.raises(InvalidValue, match=r"shape \(3,\), not numbers in rows and columns"):
        _ = MappedRows(str(tmp_path / "line.npy")).shape
    with pytest.raises(InvalidValue, match="cannot be read"):
        _ = MappedRows(str(tmp_path / "nothing.npy")).shape


MEMORY = """
import resource, sys
import jax, jax.numpy as jnp, numpy as np
sys.path[:0] = sys.argv[2].split(":")
from row_problem import space_of
from test_row_blocks import OnDisk, fit
from campaign.engines.trf import Trf
from campaign.problem.rows import MappedRows

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # MB

small, large = (MappedRows(p) for p in sys.argv[1].split(":"))
d = small.shape[1] - 1
fit(OnDisk(space_of(d, 0.5), small), Trf(chunk=8192))
before = peak()
result = fit(OnDisk(space_of(d, 0.5), large), Trf(chunk=8192))
print(peak() - before, *result.theta)
"""


def test_memory_does_not_grow_with_the_rows(tmp_path):
    """400,000 rows × 20 parameters are 67 MB on disk and 64 MB of Jacobian; a block of rows takes 1.4 MB of each."""
    values = table(400_000, 20)
    np.save(tmp_path / "large.npy", values)
    np.save(tmp_path / "small.npy", values[:8192])
    found = subprocess.run(
        [sys.executable, "-c", MEMORY, f"{tmp_path}/small.npy:{tmp_path}/large.npy", ":".join(sys.path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    ).stdout.split()
    assert float(found[0]) < 40.0
    np.testing.assert_allclose(np.array(found[1:], float), np.arange(1.0, 21.0), atol=0.01)
