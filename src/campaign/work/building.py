"""From plan rows to the arrays of a block: problems and engines are built, stacked, and failures kept apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from campaign.own_code import Told, told
from campaign.work.group import Group
from campaign.work.recipe import Columns, Recipe
from campaign.work.stacking import group_of
from campaign.work.variants import build_variants
from campaign.work.watchdog import Watchdog


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A block ready to run, and the rows that could not be built, each with its reason."""

    groups: tuple[Group, ...]
    failures: Mapping[int, Told]


def build_block(
    recipe: Recipe,
    columns: Columns,
    run_ids: Sequence[str],
    *,
    strict: bool = False,
    watchdog: Watchdog = Watchdog(Path(), None),  # noqa: B008
) -> Built:
    """Build all runs of a block.

    Args:
        recipe: what the runs share.
        columns: what differs: axis path → one value a run, None where the base value holds.
        run_ids: one a run.
        strict: let a plug-in's exception through instead of noting it.
        watchdog: over plug-ins that do not come back.
    """
    n = len(run_ids)
    failures = {i: Told(str(r), "") for i, r in enumerate(columns.get("blocked", ())) if r}
    build = partial(build_variants, recipe, columns=columns, n=n, failures=failures, strict=strict, watchdog=watchdog)
    problems, engines = build("problem"), build("engine")
    good = [i for i in range(n) if i not in failures]
    kinds = np.stack([problems.kinds(), engines.kinds()], axis=1)[good]
    groups = []
    for kind in np.unique(kinds, axis=0):
        rows = np.array(good)[(kinds == kind).all(axis=1)]
        try:
            groups.append(group_of(recipe, problems, engines, rows, columns, run_ids))
        except (Exception, SystemExit) as error:
            if strict:
                raise
            failures.update(dict.fromkeys(rows.tolist(), told(error)))
    return Built(groups=tuple(groups), failures=failures)
