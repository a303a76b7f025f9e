"""A sampler in this process: it tells how far it is, keeps its chain in a file, and goes on from there."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from campaign.analysis.chain import Chain
from campaign.errors import InvalidValue
from campaign.fitting import planned
from campaign.identity import digest
from campaign.registry import ENGINES, EnginePlugin, load, load_reference
from campaign.sampling.chain_file import ChainFile
from campaign.sampling.configuration import configuration, require_same
from campaign.sampling.progress import Progress, Watch

if TYPE_CHECKING:
    from campaign.problem.base import Problem

_CALLS = 100  # of `progress` in a run
_RECORDED = ("theta", "log_prob", "accepted")
_SAME = 1e-9  # how far ln posterior may be from the one in a file, relative


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sampling:
    """A sampler of one problem, before it runs.

    A chain is the same whether it runs at once or in parts, and whatever is stored of it.

    Attributes:
        problem: a `Problem`, or the name of one.
        engine: name of a sampler.
        options: of the engine, without `steps` and `thin`.
        start, scale: values and typical sizes by parameter; those of the problem where they are not given.
        seed: all random numbers follow from it.

    Checked: tests/unit/test_sampling.py: parts against one run, kill −9, another problem.
    """

    problem: str | Problem
    engine: str = "ensemble"
    options: Mapping[str, Any] = field(default_factory=dict)
    start: Mapping[str, float] = field(default_factory=dict)
    scale: Mapping[str, float] | None = None
    seed: int = 0

    def run(
        self,
        steps: int,
        thin: int = 1,
        *,
        progress: Progress | None = None,
        path: str | os.PathLike[str] | None = None,
        every: int | None = None,
    ) -> Chain:
        """Run so many steps of every walker and keep each thin-th.

        Args:
            progress: called some hundred times.
            path: a file that the chain is kept in, replaced where it is there. Beside it, path + ".state" is what
                `resume` needs. An exception or Ctrl-C leaves both as they were after the last step.
            every: steps between two writes of the file; None: at the end and where `progress` is called.

        Raises:
            InvalidValue: no walker has a density at its start.
        """
        about = {"steps": steps, "thin": thin, "seed": self.seed}
        kept = None if path is None else ChainFile.new(path, about)
        return self._go(steps, thin, progress, kept, every, None)

    def resume(
        self,
        path: str | os.PathLike[str],
        more: int,
        *,
        progress: Progress | None = None,
        every: int | None = None,
    ) -> Chain:
        """Go on from a file that `run` wrote, for so many more steps; the file grows.

        Returns:
            Old and new rows.

        Raises:
            DataFileError: the file, or the state beside it, is not there or damaged.
            InvalidValue: it is a chain of another problem or sampler.
        """
        kept, leaves = ChainFile.old(path)
        return self._go(kept.about["steps_done"] + more, kept.about["thin"], progress, kept, every, leaves)

    def _go(
        self,
        steps: int,
        thin: int,
        progress: Progress | None,
        kept: ChainFile | None,
        every: int | None,
        leaves: list[np.ndarray] | None,
    ) -> Chain:
        import jax

        from campaign.engines.outcome import Outcome
        from campaign.work.building import build_block
        from campaign.work.compiling import compiled_for
        from campaign.work.model_failures import close

        if every is not None and every < 1:
            raise InvalidValue(f"`every` is {every}", hint="a number of steps, at least 1")
        options = {**self.options, "steps": steps, "thin": thin}
        named = load(ENGINES, self.engine)
        plugin = _in_chunks(named, thin, every, progress is not None or kept is not None)
        block = planned(self.problem, plugin, [self.start], seed=self.seed, scale=self.scale, engine_options=options)
        group = build_block(block.recipe, block.columns, block.run_ids, strict=True).groups[0]
        batch, names = group.batch, group.free_names
        units = tuple(group.space[name].unit for name in names)
        program, _ = compiled_for(group)
        own = configuration(named, options, group, self.seed)
        try:
            work = jax.device_put(batch.work)
            lanes = program.init(work, batch.words, np.uint32(batch.seed), np.arange(len(batch.words)) < 1)
            if kept is not None and leaves is not None:
                lanes = _filled(lanes, leaves, kept)
                _require_same_density(batch, kept)
                require_same(own, kept.about["configuration"], str(kept.storage.path))
            elif int(lanes.outcome[0]) == Outcome.NONFINITE:
                raise InvalidValue(
                    "a walker has no finite posterior density, and neither has the start that it was moved to",
                    hint=f"start where model and prior of {', '.join(names)} are finite",
                )
            elif kept is not None:
                kept.about |= {"configuration": own, "hash": digest(own)}
            rows = _Rows(names, units, thin, kept, int(getattr(batch.work.engine, "warmup", 0)))
            watch = Watch(steps, thin, progress, rows.acceptance(), int(lanes.n_steps[0]) * thin)
            try:
                while int(lanes.outcome[0]) == Outcome.RUNNING:
                    n_before = int(lanes.n_steps[0])
                    lanes, trace = program.advance(work, lanes)
                    first = n_before % batch.work.engine.chunk_steps
                    last = first + int(lanes.n_steps[0]) - n_before
                    new = {k: np.asarray(trace[k])[0, first:last] for k in _RECORDED}
                    rows.take(new, lanes)
                    watch.tell(new, lanes.state)
                    if every is None or rows.steps_waiting >= every:
                        rows.write()
            finally:
                rows.write()
            return rows.chain(lanes.state, steps)
        finally:
            close(batch.work.target.problem, 1)


def _in_chunks(plugin: EnginePlugin, thin: int, every: int | None, is_watched: bool) -> EnginePlugin:
    """A sampler that stops after so many steps: at every write of its file, and some hundred times where watched."""
    build = plugin.build

    def built(options: Any) -> Any:
        engine = load_reference(build)(options)
        most = engine.chunk_steps
        if every is not None:
            most = min(most, max(1, every // thin))
        if is_watched:
            most = min(most, max(1, -(-engine.max_steps // _CALLS)))
        return replace(engine, chunk_steps=most)

    return replace(plugin, build=built)


class _Rows:
    """Rows of a chain on their way: into memory, or into a file. Each chunk comes with the lanes after it."""

    def __init__(
        self, names: tuple[str, ...], units: tuple[str, ...], thin: int, kept: ChainFile | None, burn_in: int
    ) -> None:
        self.own = {"names": names, "units": units, "thin": thin, "burn_in": burn_in}
        self.thin, self.kept = thin, kept
        self.waiting: list[tuple[dict[str, np.ndarray], Any]] = []

    @property
    def steps_waiting(self) -> int:
        """Sampler steps whose rows are in memory."""
        return self.thin * sum(len(new["theta"]) for new, _ in self.waiting)

    def acceptance(self) -> tuple[float, int]:
        """Sum of the accepted fractions of the rows in the file, and how many there are."""
        if self.kept is None or not self.kept.n_rows:
            return 0.0, 0
        accepted = self.kept.storage.load().accepted
        return float(np.sum(np.asarray(accepted))), self.kept.n_rows

    def take(self, new: dict[str, np.ndarray], lanes: Any) -> None:
        self.waiting.append((new, lanes))

    def write(self) -> None:
        """Put what is waiting into the file, if there is one."""
        import jax

        if self.kept is not None and self.waiting:
            lanes = self.waiting[-1][1]
            leaves = [np.asarray(leaf)[:1] for leaf in jax.tree.leaves(lanes)]
            self.kept.write(self._joined(), leaves, int(lanes.n_steps[0]) * self.thin)
            self.waiting = []

    def chain(self, state: Any, steps: int) -> Chain:
        """All rows, and what the state counts: failures by reason, acceptance by walker."""
        from campaign.engines.sampling import REASONS

        whole = self._joined() if self.kept is None else self.kept.storage.load()
        if not hasattr(state, "failures"):
            return replace(whole, n_steps=steps)
        failures = dict(zip(REASONS, np.asarray(state.failures)[0].tolist(), strict=True))
        by_walker = np.asarray(state.accepted)[0] / max(int(state.updates[0]), 1)
        return replace(whole, n_steps=steps, failures=failures, by_walker=by_walker)

    def _joined(self) -> Chain:
        theta, log_prob, accepted = (np.concatenate([new[k] for new, _ in self.waiting]) for k in _RECORDED)
        return Chain(samples=theta, log_probs=log_prob, accepted=accepted, **self.own)


def _filled(lanes: Any, leaves: list[np.ndarray], kept: ChainFile) -> Any:
    """Lanes that stand where a file says, and run again.

    Raises:
        InvalidValue: the file is of a sampler of another kind or size.
    """
    import jax
    import jax.numpy as jnp

    from campaign.engines.outcome import Outcome

    own = jax.tree.leaves(lanes)
    if [(x.shape[1:], x.dtype) for x in own] != [(x.shape[1:], x.dtype) for x in leaves]:
        raise InvalidValue(
            f"{kept.storage.path} is a chain of another sampler, or of another number of walkers or parameters",
            hint="resume with the sampler that wrote it",
        )
    leaves = [*leaves[:-1], np.full_like(leaves[-1], int(Outcome.RUNNING))]
    filled = [jnp.asarray(np.concatenate([new[:1], np.asarray(old)[1:]])) for old, new in zip(own, leaves, strict=True)]
    return jax.tree.unflatten(jax.tree.structure(lanes), filled)


def _require_same_density(batch: Any, kept: ChainFile) -> None:
    """Whether the last row of a file has the ln posterior that this problem gives there.

    Raises:
        InvalidValue: it has another.
    """
    import jax
    import jax.numpy as jnp

    from campaign.engines.batch import take_lanes

    chain = kept.storage.load()
    theta, known = np.asarray(chain.samples[-1:], np.float64)[0], np.asarray(chain.log_probs[-1:], np.float64)[0]
    target = jax.tree.map(jnp.asarray, take_lanes(batch.work, batch.is_batched, 0).target)
    if chain.names != target.space.names:
        raise InvalidValue(
            f"{kept.storage.path} has the parameters {', '.join(chain.names)}, not {', '.join(target.space.names)}",
            hint="resume with the parameters that it was begun with",
        )
    found = np.asarray(jax.jit(jax.vmap(lambda x: target.log_posterior(target.u(x))))(jnp.asarray(theta)))
    if not np.allclose(found, known, rtol=_SAME, atol=_SAME):
        i = int(np.argmax(np.abs(found - known)))
        raise InvalidValue(
            f"{kept.storage.path} has ln posterior {known[i]:.9g} at its last row, and this problem {found[i]:.9g}",
            hint="resume with the priors, data, model and likelihood that it was begun with",
        )
