"""Regression: an optimisation made again from its own record, and compared number by number."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from campaign.science import InvalidValue, UnknownName
from campaign_cosmology.api.optimisation import optimise
from campaign_cosmology.api.parameters import build_params
from campaign_cosmology.api.record import Record
from campaign_cosmology.api.selection import select
from campaign_cosmology.api.theory import CONVENTION_KEYS

TOLERANCE = 1e-8  # relative difference of a parameter, and of chi2 + 1, that the documents allow


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproduction(Record):
    """What came of repeating an optimisation.

    Attributes:
        passed: every parameter and chi2 agree to `tolerance`, and the data are the same numbers.
        differences: |new − old| / max(|old|, |new|) of each parameter, and |new − old| / (1 + |old|) as ``chi2``.
        changed: data sets whose numbers are others now.
        quick: only the start that had led to the best end was tried.
    """

    model: str
    datasets: list[str]
    passed: bool
    tolerance: float
    differences: dict[str, float]
    changed: list[str]
    quick: bool


def verify_reproducibility(
    optimization: Mapping[str, Any], *, tolerance: float = TOLERANCE, quick: bool = True
) -> Reproduction:
    """Make an optimisation again, from what its record says of it, never from the cache.

    Args:
        optimization: an `OptimizationResult`, the entry ``optimization`` of `run_fit`, or either of these from JSON.
        quick: from the best of its starts alone; else from all of them.

    Raises:
        ValueError (InvalidValue): the record does not say enough: it is of an earlier version, or of a campaign.
        KeyError (UnknownName): it names data, models, optimisers or objectives that are not registered now.
    """
    missing = [key for key in ("model", "optimized_params", "final_chi2", "metadata") if key not in optimization]
    meta = optimization.get("metadata") or {}
    missing += [key for key in ("fixed_params", "datasets", "optimizer_config", "starts") if key not in meta]
    if missing:
        raise InvalidValue(
            f"the record does not say {', '.join(missing)}: it cannot be repeated",
            hint="optimise again; records that are made now say everything",
        )
    model, free = optimization["model"], list(optimization["optimized_params"])
    words = {CONVENTION_KEYS[option]: value for option, value in meta["conventions"].items()}
    begin = dict(optimization["starting_params"])
    config = {**meta["optimizer_config"]}
    if quick and len(meta["starts"]) > 1:
        begin = min(meta["starts"], key=lambda entry: entry["chi2"])["start"]
        config["n_starts"] = 1
    params = build_params(model, {**words, **meta["fixed_params"], **begin})
    bounds = {
        name: (-math.inf if low is None else low, math.inf if high is None else high)  # JSON has no infinity
        for name, (low, high) in meta["bounds_used"].items()
    }
    scale = float(optimization["covariance_scaling"])
    selection = select(
        model, list(meta["datasets"]), free, params, cov_scale=scale, bounds=bounds, blind=meta.get("blind")
    )
    again = optimise(selection, {**config, "bounds": bounds}, scale)
    differences = {
        name: abs(again.optimized_params[name] - old) / (max(abs(again.optimized_params[name]), abs(old)) or 1.0)
        for name, old in optimization["optimized_params"].items()
    }
    differences["chi2"] = abs(again.final_chi2 - optimization["final_chi2"]) / (1.0 + abs(optimization["final_chi2"]))
    hashes = again.metadata["data_sha256"]
    changed = [name for name, known in meta["data_sha256"].items() if hashes.get(name) != known]
    return Reproduction(
        model=model,
        datasets=list(meta["datasets"]),
        passed=not changed and all(d <= tolerance for d in differences.values()),
        tolerance=tolerance,
        differences=differences,
        changed=changed,
        quick=quick,
    )


def stored_optimization(stored: Mapping[str, Any], model: str) -> dict[str, Any]:
    """What `verify_reproducibility` takes, of an entry of `OptimizedParameterStore.latest`.

    Raises:
        KeyError (UnknownName): the entry is of a campaign, or was stored by hand: nothing is known of its fit.
    """
    meta = stored["provenance"]
    if "fixed_params" not in meta:
        raise UnknownName(f"the stored optimum of `{model}` has no record of its fit", hint="optimise again and store")
    values = {name: stored["defaults"][name] for name in stored["optimized_params"]}
    wanted = ("starting_params", "final_chi2", "covariance_scaling")
    return {"model": model, "optimized_params": values, "metadata": meta, **{key: meta[key] for key in wanted}}
