"""Settings of an optimiser for one kind of fit, chosen by trying them: tolerance and bounds.

The documents name "automated hyper-parameter tuning: convergence tolerances and bounds" as a later phase. This is the
part of it that can be shown to be right: every setting that is proposed has found the same optimum as the tightest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from campaign_cosmology.api.optimizer import ParameterOptimizer
from campaign_cosmology.api.record import Record

TOLERANCES = (1e-10, 1e-8, 1e-6, 1e-4, 1e-2)
SAME_CHI2 = 1e-6  # two ends are one optimum below this
WIDTH = 10.0  # standard errors to either side of the optimum that proposed bounds reach


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning(Record):
    """What was found by trying.

    Attributes:
        optimizer_config: for `run_fit`: method, tolerance, and bounds of the parameters that have an error.
        trials: method, tolerance, chi2, evaluations, and whether the optimum is that of the tightest setting.
    """

    optimizer_config: dict[str, Any]
    trials: list[dict[str, Any]]


def tune_optimizer(
    model: str,
    datasets: Sequence[str],
    optimize_params: Sequence[str],
    starting_values: Mapping[str, float] | None = None,
    *,
    methods: Sequence[str] = ("minimize", "trf"),
    tolerances: Sequence[float] = TOLERANCES,
) -> Tuning:
    """The optimiser and tolerance that need the fewest evaluations of those that end in the lowest chi2 to 1e-6.

    Bounds reach 10 standard errors to either side of the optimum and never beyond the physical ones; parameters at a
    bound or without an error keep theirs. Nothing is stored or read from the cache.

    Raises:
        ValueError, KeyError, TypeError: as `ParameterOptimizer.optimize_parameters`.
    """
    optimizer, trials, results = ParameterOptimizer(), [], []
    for method in methods:
        for tolerance in sorted(tolerances):
            config = {"method": method, "tolerance": tolerance}
            result = optimizer.optimize_parameters(
                model, datasets, optimize_params, starting_values, optimizer_config=config
            )
            results.append(result)
            trials.append({**config, "chi2": result.final_chi2, "n_evaluations": result.n_function_evaluations})
    lowest = min(result.final_chi2 for result in results)
    for trial, result in zip(trials, results, strict=True):
        trial["same_optimum"] = result.convergence_status == "success" and result.final_chi2 <= lowest + SAME_CHI2
    good = [i for i, trial in enumerate(trials) if trial["same_optimum"]]
    if not good:
        return Tuning(optimizer_config={}, trials=trials)
    best = min(good, key=lambda i: (trials[i]["n_evaluations"], trials[i]["tolerance"]))
    result, bounds = results[best], {}
    for name, error in result.stderr.items():
        if error is not None:
            low, high = result.metadata["bounds_used"][name]
            here = result.optimized_params[name]
            bounds[name] = (max(low, here - WIDTH * error), min(high, here + WIDTH * error))
    return Tuning(
        optimizer_config={key: trials[best][key] for key in ("method", "tolerance")} | {"bounds": bounds},
        trials=trials,
    )
