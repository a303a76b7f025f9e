"""Columns of a design in a space of priors and choices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from campaign.errors import CampaignError, Diagnostic
from campaign.identity import digest
from campaign.manifest.columns import Column, Columns, column_of
from campaign.manifest.diagnose import pointer, shown
from campaign.space import priors
from campaign.space.designs import draw, unit_design

MAX_POINTS = 2**24


def default_seed(root: int, paths: Mapping[str, Any]) -> int:
    """Seed of a design that has none of its own: from the campaign's seed and the paths that it samples.

    Two designs over different axes are independent; the order of keys does not matter.
    """
    return int(digest([root, sorted(paths)])[:12], 16)


def sample_columns(document: Mapping[str, Any], place: str, root_seed: int, found: list[Diagnostic]) -> Columns | None:
    """Columns of ``{"design": …, "n": …, "space": {path: prior or list}, "seed": …, "scramble": …}``.

    The keys of `document` are checked by the caller. Dimensions go to axes in the order of their sorted paths, so the
    order of keys changes nothing. What is wrong goes to `found`, and None comes back.
    """
    space: dict[str, priors.Prior | Column] = {}
    for path, entry in sorted(document["space"].items()):
        marginal = _marginal(entry, pointer(place, "space", path), found)
        if marginal is not None:
            space[path] = marginal
    if len(space) < len(document["space"]):
        return None
    seed = document.get("seed")
    seed = default_seed(root_seed, space) if seed is None else seed
    unit = unit_design(document["design"], document["n"], len(space), seed, scramble=document.get("scramble", True))
    columns: Columns = {}
    for k, (path, marginal) in enumerate(space.items()):
        if isinstance(marginal, Column):
            n = len(marginal)
            columns[path] = marginal.take(np.minimum((unit[:, k] * n).astype(np.intp), n - 1))
        else:
            columns[path] = Column("float", draw(unit[:, k], marginal))
    return columns


def _marginal(entry: Any, place: str, found: list[Diagnostic]) -> priors.Prior | Column | None:
    if isinstance(entry, list):
        if entry:
            try:
                return column_of(entry)
            except CampaignError as error:
                found.append(Diagnostic.of(place, error))
                return None
        found.append(Diagnostic(place=place, message="a choice without values", hint="give at least one value"))
        return None
    try:
        return priors.parse(entry)
    except CampaignError as error:
        found.append(Diagnostic(place=place, message=f"{error.message} (seen: {shown(entry)})", hint=error.hint))
        return None
