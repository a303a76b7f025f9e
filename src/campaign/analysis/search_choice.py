"""Which search a fit needs: from its start, from many, or a global one. By rule, or by what a few starts find."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from campaign.analysis.basins import CHOICE, Basins
from campaign.errors import InvalidValue

Search = Literal["local", "multistart", "cmaes"]
THRESHOLD = 1000.0  # scale ratio above which the rule takes the global search
FEWEST = 3  # starts that can disagree in a way that means something
ALONE = 0.5  # part of the starts that must find the best minimum, for the search to stay local


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchChoice:
    """What to do, and why, in words.

    Attributes:
        search: "local", "multistart" or "cmaes".
        reason: what decided.
        scale_ratio: what the rule saw; None where it was not asked.
    """

    search: Search
    reason: str
    scale_ratio: float | None = None


def scale_ratio(bounds: Sequence[tuple[float, float]] | Mapping[str, tuple[float, float]]) -> float:
    """max(upper − lower) / min(upper − lower) of some parameters.

    It depends on their units and on nothing that the data say: `choose_by_starts` looks at the data.

    Raises:
        InvalidValue: no bounds, one that is not finite, or an upper one that is not above its lower one.

    Checked: tests/unit/analysis/test_search_choice.py.
    """
    named = bounds.items() if isinstance(bounds, Mapping) else enumerate(bounds)
    widths = {name: float(high) - float(low) for name, (low, high) in named}
    wrong = [name for name, width in widths.items() if not (0 < width < np.inf)]
    if wrong or not widths:
        what = (
            f"the bounds of {', '.join(f'`{name}`' for name in wrong)} have no finite width" if wrong else "no bounds"
        )
        raise InvalidValue(f"a scale ratio needs bounds: {what}", hint="valid: lower < upper, both finite")
    return max(widths.values()) / min(widths.values())


def choose_search(
    *,
    enable_cmaes: bool,
    enable_multi_start: bool,
    scale_ratio: float,
    threshold: float = THRESHOLD,
    auto_select: bool = True,
    has_cmaes: bool = True,
) -> SearchChoice:
    """The rule by flags.

    | `enable_cmaes` | ratio > threshold | `enable_multi_start` | search |
    |---|---|---|---|
    | yes | yes, or no `auto_select` | any | cmaes |
    | yes | no | any | multistart |
    | no | any | yes | multistart |
    | no | any | no | local |

    Where the global search is asked for and cannot be had (`has_cmaes`) the third column decides.

    Raises:
        InvalidValue: a ratio below 1, or a threshold that is not positive.

    Checked: tests/unit/analysis/test_search_choice.py, all combinations.
    """
    if not scale_ratio >= 1:
        raise InvalidValue(f"the scale ratio is {scale_ratio}", hint="valid: 1 or more, see `scale_ratio`")
    if not threshold > 0:
        raise InvalidValue(f"the threshold of the scale ratio is {threshold}", hint="valid: above 0")
    ratio, limit = f"{scale_ratio:.3g}", f"{threshold:.3g}"

    def chosen(search: Search, reason: str) -> SearchChoice:
        return SearchChoice(search=search, reason=reason, scale_ratio=float(scale_ratio))

    lacking = "the global search is enabled and not available; " if enable_cmaes and not has_cmaes else ""
    if enable_cmaes and has_cmaes:
        if not auto_select:
            return chosen(
                "cmaes", "the global search is enabled, and `auto_select` is off: the scale ratio is not asked"
            )
        if scale_ratio > threshold:
            return chosen("cmaes", f"the global search is enabled, and the scale ratio {ratio} is above {limit}")
        also = "" if enable_multi_start else ", although multi-start is not enabled"
        return chosen(
            "multistart",
            f"the global search is enabled, but the scale ratio {ratio} is not above {limit}: many starts{also}",
        )
    if enable_multi_start:
        return chosen("multistart", f"{lacking}multi-start is enabled")
    return chosen("local", f"{lacking}neither a global search nor multi-start is enabled")


def choose_by_starts(basins: Basins, n_starts: int, *, choice: float = CHOICE, part: float = ALONE) -> SearchChoice:
    """The rule by evidence: what a handful of cheap fits from scattered starts found (`multistart` gives both).

    * no fit has converged: global;
    * minima that fit equally well (Δχ² ≤ `choice`): many starts, since all of them are wanted, not the best alone;
    * fewer than `part` of the starts in the best minimum: global;
    * several minima, the best one found by most: many starts;
    * one minimum, of all: local.

    Args:
        n_starts: fits that were made, also those that failed.

    Raises:
        InvalidValue: fewer than 3 starts, which say nothing.
    """
    if n_starts < FEWEST:
        raise InvalidValue(f"{n_starts} starts cannot disagree", hint=f"valid: {FEWEST} or more")
    if not basins.found:
        return SearchChoice(search="cmaes", reason=f"none of {n_starts} starts has converged")
    best, n_found = len(basins.found[0].members), len(basins.found)
    rivals = [k for k, basin in enumerate(basins.found) if basin.delta_chi2 <= choice]
    if best < part * n_starts and len(rivals) < 2:
        return SearchChoice(
            search="cmaes", reason=f"{n_starts} starts disagree: {best} of them found the best of {n_found} minima"
        )
    if len(rivals) > 1:
        return SearchChoice(
            search="multistart",
            reason=f"{n_starts} starts found {len(rivals)} minima that fit equally well: all of them are wanted",
        )
    if n_found > 1 or best < n_starts:
        return SearchChoice(
            search="multistart", reason=f"{best} of {n_starts} starts found the best minimum, the others not"
        )
    return SearchChoice(search="local", reason=f"all {n_starts} starts found one minimum")
