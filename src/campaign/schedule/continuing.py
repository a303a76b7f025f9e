"""Which new runs go on from runs that are done: the same chain with fewer steps, whose state is kept.

The first digits of a run id say which chain it is (`identity.CHAIN_LENGTH`), so an earlier part of a run is found by
its id; it must have been thinned alike. A program of the plan goes on from one earlier program; its entry says so under
``continues``, and the column `OLD_ROW` of the rows says where in that program's arrays each run stood.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from campaign.identity import CHAIN_LENGTH
from campaign.manifest.model import Stage
from campaign.manifest.retry import step_option
from campaign.registry import ENGINES, load
from campaign.schedule.resolve import ResolvedStage
from campaign.store.plan import NO_ROW
from campaign.store.previous import Previous

Entry = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Earlier:
    """What new runs go on from.

    Attributes:
        source: for each run the index of its earlier program in `programs`, −1 where it begins.
        old_row: its row there, −1 where it begins.
        programs: what the entry of a new program says under ``continues``, by earlier program.
        n_lost: runs that have an earlier part and begin nevertheless.
        reason: why.
    """

    source: np.ndarray
    old_row: np.ndarray
    programs: Sequence[Entry]
    n_lost: int = 0
    reason: str = ""

    def warnings(self) -> list[str]:
        return [f"{self.n_lost:,} runs are computed from their start: {self.reason}"] if self.n_lost else []


def earlier_parts(
    run_ids: pa.Array, is_new: np.ndarray, stage: Stage, resolved: ResolvedStage, code: np.ndarray, old: Previous | None
) -> Earlier:
    """For each new run its longest earlier part of which the state is kept.

    Args:
        run_ids, is_new: of all runs of the plan part.
        stage, resolved: what is planned.
        code: group of each run.
        old: what was planned before.
    """
    n = len(run_ids)
    source, old_row = np.full(n, -1), np.full(n, NO_ROW)
    steps = np.array([_steps(group.engine) for group in resolved.resolved])[code]
    if old is None or not old.programs or not (is_new & (steps > 0)).any():
        return Earlier(source=source, old_row=old_row, programs=())
    places = old.places
    encoded = pc.dictionary_encode(places.column("program")).combine_chunks()  # pyright: ignore[reportAttributeAccessIssue]
    names = encoded.dictionary.to_pylist()
    done = np.array([_steps(old.programs[name]["engine"]) if name in old.programs else -1 for name in names])
    program = encoded.indices.to_numpy(zero_copy_only=False)
    done = done[program]
    part, block, row = (places.column(name).to_numpy().astype(np.int64) for name in ("part", "block", "row"))
    is_kept = np.isin(part << 32 | block, [p << 32 | b for p, b in old.kept])
    thinned = np.array([_thin(old.programs[name]["engine"]) if name in old.programs else -1 for name in names])
    chains = _chains(places.column("run_id").combine_chunks(), thinned[program])
    wanted = _chains(run_ids, np.array([_thin(group.engine) for group in resolved.resolved])[code])
    n_lost = 0
    for most in np.unique(steps[is_new & (steps > 0)]).tolist():
        here = np.flatnonzero(is_new & (steps == most))
        shorter = np.flatnonzero((done > 0) & (done < most))
        shorter = shorter[np.lexsort((-done[shorter], ~is_kept[shorter]))]  # kept ones first, of these the longest
        found = pc.index_in(wanted.take(pa.array(here)), value_set=chains.take(pa.array(shorter)))
        known = pc.is_valid(found).to_numpy(zero_copy_only=False)
        at = shorter[found.drop_null().to_numpy().astype(np.int64)]
        kept = is_kept[at]
        n_lost += int((~kept).sum())
        here, at = here[known][kept], at[kept]
        source[here], old_row[here] = program[at], row[at]
    reason = "the state of the earlier ones was not kept"
    if not _is_traced(stage, resolved) and (source >= 0).any():
        n_lost, reason = (
            n_lost + int((source >= 0).sum()),
            "`trace` omits steps or fields that are needed to continue",
        )
        source[:], old_row[:] = -1, NO_ROW
    used = np.unique(source[source >= 0]).tolist()
    entries = [continues(names[k], old.programs[names[k]], int(part[program == k][0])) for k in used]
    index = np.full(len(names) + 1, -1)
    index[used] = np.arange(len(used))
    return Earlier(source=index[source], old_row=old_row, programs=entries, n_lost=n_lost, reason=reason)


def continues(name: str, entry: Entry, part: int) -> dict[str, Any]:
    """What a program's entry says of the one that it goes on from: where its blocks are and how many steps they did."""
    place = {key: entry[key] for key in ("first_block", "block_size")}
    return {"program": name, "part": part, "steps": _steps(entry["engine"]), **place}


def has_more_steps(entry: Entry, before: Entry) -> bool:
    """Whether a program is the one before with more steps."""
    engine, earlier = entry["engine"], before["engine"]
    return _steps(engine) > _steps(earlier) > 0 and _thin(engine) == _thin(earlier)


def _steps(engine: Entry) -> int:
    option = step_option(engine)
    return -1 if option is None else engine[option]


def _thin(engine: Entry) -> int:
    option = load(ENGINES, engine["name"]).thin
    return 1 if option is None else engine[option]


def _chains(run_ids: pa.Array, thin: np.ndarray) -> pa.Array:
    """The chain of each run with how it is thinned."""
    chains = pc.utf8_slice_codeunits(run_ids.cast(pa.string()), 0, CHAIN_LENGTH)
    return pc.binary_join_element_wise(chains, pa.array(thin).cast(pa.string()), ":")


def _is_traced(stage: Stage, resolved: ResolvedStage) -> bool:
    """Whether the steps that were done can be taken over from the trace, as far as the manifest says."""
    trace = stage.trace
    samples = any(load(ENGINES, group.engine["name"]).samples for group in resolved.resolved)
    if trace.is_nothing:
        return not samples
    return trace.every == 1 and trace.runs == "all"
