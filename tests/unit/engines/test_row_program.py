"""Fits by passes over row blocks: the same as fits in one compiled program, whoever makes the passes."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from campaign.engines.batch import Batch, Work
from campaign.engines.compiled import compile_program
from campaign.engines.loop import run_lanes
from campaign.engines.outcome import Outcome
from campaign.engines.passes import Pass
from campaign.engines.programs import program_for
from campaign.engines.row_program import RowProgram
from campaign.engines.trf import Trf
from campaign.engines.varpro import Varpro
from driving import Notes, at_start
from row_problem import RowsInMemory, space_of
from separable import by_rows, made

N, ROWS = 2_500, 400
TRUE = np.array([1.0, -2.0, 0.5])


def batch(engine, *, tilt=1.0, n_runs=2):
    """Runs of the same data from different starts; columns of the design differ by `tilt` at most."""
    rng = np.random.default_rng(3)
    design = rng.standard_normal((N, 3))
    design[:, 2] = design[:, 1] + tilt * design[:, 2]
    noise = rng.standard_t(3, (N, 1))
    values = np.concatenate([design, design @ TRUE[:, None] + noise], axis=1)
    target = at_start(RowsInMemory(space_of(3), jnp.asarray(values)))
    starts = np.linspace(-1.0, 1.0, n_runs)[:, None] * np.ones(3)
    own = jax.tree.map(lambda _: False, Work(engine, target))
    is_batched = own._replace(target=eqx.tree_at(lambda t: t.base, own.target, True))
    work = jax.tree.map(np.asarray, Work(engine, eqx.tree_at(lambda t: t.base, target, starts)))
    words = np.arange(4 * n_runs, dtype=np.uint32).reshape(n_runs, 4)
    return Batch(work, is_batched, words, 1), values


def run(program, runs):
    notes = Notes()
    finished = run_lanes(program, runs, np.ones(len(runs.words), bool), notes)
    assert set(finished.outcome.tolist()) == {Outcome.CONVERGED}
    return finished, [fields for _, fields in notes.chunks]


CASES = {
    "linear": (Trf(chunk=ROWS, chunk_steps=2), 1.0),
    "robust": (Trf(chunk=ROWS, chunk_steps=2, loss="huber"), 1.0),
    "ill-conditioned": (Trf(chunk=ROWS, chunk_steps=32), 1e-6),
}


@pytest.mark.parametrize("case", CASES)
def test_passes_give_what_one_program_gives(case):
    engine, tilt = CASES[case]
    runs, values = batch(engine, tilt=tilt)
    program = program_for(runs, lanes=1)
    assert isinstance(program, RowProgram)
    whole = compile_program(runs, lanes=1)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), program.shapes) == jax.tree.map(
        lambda x: (x.shape, x.dtype), whole.shapes
    )
    (found, chunks), (expected, expected_chunks) = run(program, runs), run(whole, runs)
    loose = 1e-6 if tilt < 1e-3 else 1e-10
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=loose, atol=loose), found.result, expected.result)
    np.testing.assert_array_equal(found.n_steps, expected.n_steps)
    for a, b in zip(chunks, expected_chunks, strict=True):
        np.testing.assert_allclose(a["theta"], b["theta"], rtol=loose, atol=loose)
        np.testing.assert_array_equal(a["accepted"], b["accepted"])
    assert ("after TRIANGLE" in program.calls) == (tilt < 1e-3)
    chi2 = np.sum((values[:, :-1] @ found.result.theta[0] - values[:, -1]) ** 2)
    np.testing.assert_allclose(found.result.metrics["chi2"], chi2, rtol=1e-12)


def test_separable_fits_by_passes_are_those_of_one_program():
    problem = by_rows(made([0.7, 2.5], np.full((3, 3), 1.2), start=[0.3, 1.5], n=50))
    target = at_start(problem)
    engine = Varpro(trf=Trf(chunk=64), chunk_steps=4)
    own = jax.tree.map(lambda _: False, Work(engine, target))
    is_batched = own._replace(target=eqx.tree_at(lambda t: t.base, own.target, True))
    starts = np.asarray(target.base)[None, :] * np.array([[1.0], [1.1]])
    work = jax.tree.map(np.asarray, Work(engine, eqx.tree_at(lambda t: t.base, target, starts)))
    runs = Batch(work, is_batched, np.arange(8, dtype=np.uint32).reshape(2, 4), 1)
    program, whole = program_for(runs, lanes=1), compile_program(runs, lanes=1)
    assert isinstance(program, RowProgram)
    (found, chunks), (expected, expected_chunks) = run(program, runs), run(whole, runs)
    np.testing.assert_array_equal(found.n_steps, expected.n_steps)
    np.testing.assert_allclose(found.result.theta, expected.result.theta, rtol=1e-9)
    np.testing.assert_allclose(found.result.stderr, expected.result.stderr, rtol=1e-9)
    np.testing.assert_allclose(found.result.theta[0], found.result.theta[1], rtol=1e-6)
    for a, b in zip(chunks, expected_chunks, strict=True):
        np.testing.assert_allclose(a["theta"], b["theta"], rtol=1e-6, equal_nan=True)


class Backwards:
    """A crew that computes the last row block first, and notes what it was asked."""

    def __init__(self):
        self.asked, self.size = [], 1

    def parts(self, ask, blocks, own):
        self.asked.append((ask.kind, ask.run))
        return np.stack([own(k) for k in reversed(blocks)][::-1])


@pytest.mark.parametrize("case", CASES)
def test_bits_do_not_depend_on_who_computes_which_block(case):
    engine, tilt = CASES[case]
    runs, _ = batch(engine, tilt=tilt)
    program = program_for(runs, lanes=1)
    crew = Backwards()
    other = RowProgram(
        calls=program.calls,
        parts=program.parts,
        is_batched=program.is_batched,
        shapes=program.shapes,
        compile_s=0.0,
        crew=crew,
    )
    (one, _), (two, _) = run(program, runs), run(other, runs)
    jax.tree.map(np.testing.assert_array_equal, one.lanes, two.lanes)
    jax.tree.map(np.testing.assert_array_equal, one.result, two.result)
    kinds = {kind for kind, _ in crew.asked}
    assert (Pass.PLAIN in kinds) == (case == "robust")
    assert (Pass.TRIANGLE in kinds) == (case == "ill-conditioned")
    assert {run for _, run in crew.asked} == {words.tobytes() for words in runs.words}
