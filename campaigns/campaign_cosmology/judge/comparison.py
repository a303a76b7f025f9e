"""Two fits of the same data: ΔAIC, ΔBIC, and when not to trust them. No JAX."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from campaign.science import InvalidValue
from campaign_cosmology.judge.statistics import delta_aic


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """First minus second: negative favours the first.

    Attributes:
        delta_aic_effective: the same with only identified parameters counted.
        caveats: why the differences may not mean what they seem to.
    """

    delta_chi2: float
    delta_aic: float
    delta_bic: float
    delta_aic_effective: float
    caveats: list[str]


def compare(first: Mapping[str, Any], second: Mapping[str, Any]) -> Comparison:
    """ΔAIC and ΔBIC of two results of `run_fit` (each a `ResultsDict`).

    Raises:
        ValueError (InvalidValue): they were fitted to different data, with different covariance scales, or one by one
            (mode "individual").
    """
    if any(result["provenance"].get("mode") == "individual" for result in (first, second)):
        raise InvalidValue("a fit of mode `individual` is several fits", hint="compare the entries of its `results`")
    for key in ("data_sha256", "covariance_scaling"):
        if first["provenance"][key] != second["provenance"][key]:
            raise InvalidValue(f"the two fits differ in {key}", hint="information criteria compare fits of equal data")
    one, other = first["metrics"], second["metrics"]
    caveats = []
    effective = []
    for result in (first, second):
        model = result["params"]["model_class"]
        optimum = result.get("optimization", {})
        if model == "pbuf" and optimum and "k_sat" not in optimum["optimized_params"]:
            caveats.append(f"pbuf: k_sat = {result['params']['k_sat']:g} is held, as if it were known; it did not move")
        for name, side in optimum.get("bound_sides", {}).items():
            caveats.append(f"{model}: {name} is at its {side} bound; AIC and BIC assume an optimum inside")
        if optimum.get("unidentified"):
            caveats.append(f"{model}: {', '.join(optimum['unidentified'])} not constrained, yet counted as parameters")
        if "objective" in optimum.get("metadata", {}):
            caveats.append(f"{model}: `{optimum['metadata']['objective']['name']}` was minimised, not chi2")
        if result["metrics"]["dof"] <= 0:
            caveats.append(f"{model}: dof = {result['metrics']['dof']}: the data cannot test it")
        k = optimum.get("metadata", {}).get("n_effective_parameters", result["metrics"]["n_parameters"])
        effective.append(result["metrics"]["total_chi2"] + 2.0 * k)
    if first["provenance"]["conventions"] != second["provenance"]["conventions"]:
        caveats.append("the fits use different conventions")
    return Comparison(
        delta_chi2=one["total_chi2"] - other["total_chi2"],
        delta_aic=delta_aic(one["aic"], other["aic"]),
        delta_bic=one["bic"] - other["bic"],
        delta_aic_effective=effective[0] - effective[1],
        caveats=caveats,
    )
