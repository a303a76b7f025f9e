"""Designs: points in a space of priors and choices (Latin hypercube, Sobol, Halton, random)."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from campaign.errors import CampaignError, Diagnostic
from campaign.identity import digest
from campaign.manifest.columns import Column, Columns, column_of
from campaign.manifest.diagnose import pointer, shown
from campaign.space import priors

DESIGNS = ("lhs", "sobol", "halton", "random")
EXTENSIBLE = ("sobol", "halton", "random")  # a larger n keeps the earlier points
MAX_POINTS = 2**24
_EDGE = 2.0**-31  # half a cell of the 30-bit Sobol lattice: used instead of 0 and 1 where a prior is infinite there


def default_seed(root: int, paths: Mapping[str, Any]) -> int:
    """Seed of a design that has none of its own: from the campaign's seed and the paths that it samples.

    Two designs over different axes are independent; the order of keys does not matter.
    """
    return int(digest([root, sorted(paths)])[:12], 16)


def unit_design(design: str, n: int, d: int, seed: int, *, scramble: bool = True) -> np.ndarray:
    """n points in the unit cube, shape (n, d), from `scipy.stats.qmc` (or a PCG64 stream for "random").

    Source: scrambled Sobol (Joe & Kuo 2008 directions, LMS + shift), scrambled Halton (Owen 2017), Latin hypercube
    (McKay et al. 1979). For `EXTENSIBLE` designs the first points do not depend on n.
    """
    from scipy.stats import qmc

    generator = np.random.default_rng(seed)
    match design:
        case "random":
            return generator.random((n, d))
        case "lhs":
            return qmc.LatinHypercube(d, scramble=scramble, rng=generator).random(n)
        case "halton":
            return qmc.Halton(d, scramble=scramble, rng=generator).random(n)
        case _:
            with warnings.catch_warnings():
                # scipy recommends a power of two; a design that may grow has any n
                warnings.filterwarnings("ignore", message="The balance properties", category=UserWarning)
                return qmc.Sobol(d, scramble=scramble, rng=generator).random(n)


def draw(unit: np.ndarray, prior: priors.Prior) -> np.ndarray:
    """Unit points → points of a prior, by its inverse cumulative distribution. Finite also at 0 and 1."""
    values = np.asarray(prior.ppf(unit), dtype=np.float64)
    infinite = ~np.isfinite(values)
    if infinite.any():
        values[infinite] = prior.ppf(np.clip(unit[infinite], _EDGE, 1 - _EDGE))
    return values + 0.0


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
                found.append(Diagnostic(place=place, message=error.message, hint=error.hint))
                return None
        found.append(Diagnostic(place=place, message="a choice without values", hint="give at least one value"))
        return None
    try:
        return priors.parse(entry)
    except CampaignError as error:
        found.append(Diagnostic(place=place, message=f"{error.message} (seen: {shown(entry)})", hint=error.hint))
        return None
