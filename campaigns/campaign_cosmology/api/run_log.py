"""Results for people: one-line log records, and the table."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from campaign_cosmology.api.parameters import parameter_table
from campaign_cosmology.api.results import ParameterDict, ResultsDict
from campaign_cosmology.api.theory import conventions, derived
from campaign_cosmology.judge.statistics import MetricsDict

LOG = logging.getLogger("campaign.cosmology")


def log_run(model: str, mode: str, results: Mapping[str, Any], metrics: Mapping[str, Any]) -> None:
    """``[RUN] model=… mode=… datasets=… chi2=…`` and ``[METRICS] aic=… bic=… dof=… p=…`` at level INFO."""
    blocks = results.get("results", results)
    parts = " ".join(f"{name}={block['chi2']:.6g}" for name, block in blocks.items())
    LOG.info(
        "[RUN] model=%s mode=%s datasets=%s chi2=%.6g %s", model, mode, ",".join(blocks), metrics["total_chi2"], parts
    )
    LOG.info(
        "[METRICS] aic=%.6g bic=%.6g dof=%d p=%s reduced_chi2=%s",
        metrics["aic"],
        metrics["bic"],
        metrics["dof"],
        _number(metrics["p_value"]),
        _number(metrics["reduced_chi2"]),
    )
    for name, side in results.get("optimization", {}).get("bound_sides", {}).items():
        LOG.warning("[BOUNDS] %s:%s", name, side)


def log_diagnostics(params: ParameterDict, predictions: Mapping[str, Any]) -> None:
    """``[DIAGNOSTICS] z*=… z_d=… r_d=… …`` and the predictions, at level INFO. What a dictionary does not have is
    computed from its parameters; a model that names no convention has the usual ones."""
    chosen = conventions(params)
    found = {**derived(params), **params}
    LOG.info(
        "[DIAGNOSTICS] z_recomb=%.4f (%s) z_drag=%.4f (%s) r_s_drag=%.4f Mpc Omh2=%.6g",
        found.get("z_recomb", found["z_star"]),
        chosen["zstar"],
        found["z_drag"],
        chosen["zdrag"],
        found.get("r_s_drag", found["r_d"]),
        found["Omh2"],
    )
    LOG.info("[PREDICTIONS] %s", " ".join(f"{name}={_shown(value)}" for name, value in predictions.items()))


def _shown(value: Any) -> str:
    try:
        return f"{float(value):.6g}"
    except (TypeError, ValueError):
        return str(value)


def _number(value: float | None, form: str = ".4g") -> str:
    return "none" if value is None else format(value, form)


def format_results_table(results: ResultsDict) -> str:
    """The result as text: parameters (start, value, error; optimised, fixed, at a bound, not constrained), chi2 of
    every data set, statistics, conventions and notes. In mode "individual": one such text a data set."""
    if results["provenance"].get("mode") == "individual":
        parts: list[Any] = [{**block, "results": {name: block}} for name, block in results["results"].items()]
        return "\n\n\n".join(map(format_results_table, parts))
    params, optimum = results["params"], results.get("optimization")
    lines = [_title(results), "", *_parameter_lines(params, optimum), *_derived_lines(results), "", "data sets"]
    for name, block in results["results"].items():
        points = f"{len(block['pulls']):>5} points" if block["pulls"] else ""
        worst = max(block["pulls"], key=lambda label: abs(block["pulls"][label]), default=None)
        pull = f"largest pull {block['pulls'][worst]:+.2f} ({worst})" if worst else ""
        lines.append(f"  {name:<21} chi2 = {block['chi2']:<12.6g} {points}   {pull}".rstrip())
    lines += ["", *_metric_lines(results["metrics"], optimum), ""]
    provenance = results["provenance"]
    chosen = {k: v for k, v in provenance["conventions"].items() if k != "form" or params["model_class"] == "pbuf"}
    lines.append("conventions: " + ", ".join(f"{k} {v}" for k, v in chosen.items()))
    lines += [f"prior: {name} {_prior(document)}" for name, document in provenance.get("priors", {}).items()]
    lines += [f"note: {note}" for note in provenance["notes"]]
    lines += [f"plug-in: {name}, SHA-256 {digest[:16]}…" for name, digest in provenance.get("plugins", {}).items()]
    lines.append(provenance["defaults"])
    diagnostics = results["diagnostics"]
    if shifted := results.get("blinded"):
        lines.append(f"blinded, shown shifted: {', '.join(shifted)}; what follows from them is withheld")
        return "\n".join(lines)
    ratios = diagnostics["h_ratios"]
    lines.append(
        f"checks: z* {'within' if diagnostics['recomb_check'] else 'not within'} 1 of 1089.80, "
        f"covariance {diagnostics['covariance_status']}, "
        f"H/H_ΛCDM {min(ratios):.9f} to {max(ratios):.9f} at z = 0.1 to 2"
    )
    return "\n".join(lines)


def _prior(document: Mapping[str, Any]) -> str:
    """A prior that has bounds, in words; its normal part is a data set as well."""
    ((kind, numbers),) = document.items()
    between = f"between {numbers[-2]:g} and {numbers[-1]:g}"
    return f"uniform {between}" if kind == "uniform" else f"{numbers[0]:g} ± {numbers[1]:g} {between}"


def _title(results: ResultsDict) -> str:
    optimum = results.get("optimization")
    data = " + ".join(results["provenance"]["datasets"])
    done = f"fit by {optimum['optimizer_info']['method']}, {optimum['convergence_status']}" if optimum else "evaluated"
    return f"{results['params']['model_class']} on {data}: {done}"


def _parameter_lines(params: ParameterDict, optimum: Mapping[str, Any] | None) -> list[str]:
    moved = optimum["optimized_params"] if optimum else {}
    held = optimum["bound_sides"] if optimum else {}
    lost = set(optimum["unidentified"]) if optimum else set()
    lines = [f"  {'parameter':<10}{'start':>14}{'value':>16}{'error':>12}  unit"]
    shifted = params.get("blinded", ())
    for name, parameter in parameter_table(params["model_class"], params).items():
        value = params[name]
        if name not in moved:
            lines.append(f"  {name:<10}{'':>14}{value:>16.8g}{'fixed':>12}  {parameter.unit}".rstrip())
            continue
        error = optimum["stderr"].get(name) if optimum else None
        remark = ["blinded"] if name in shifted else []
        if name in held:
            remark.append(f"at its {held[name]} bound: no Gaussian error")
        if optimum and name in lost:
            remark.append(f"{why_lost(optimum, name)}: no error")
        if optimum and not optimum["stderr"]:
            why = "chi2 was not what was minimised" if "objective" in optimum["metadata"] else "registered likelihood"
            remark.append(f"{why}, no curvature: no error")
        shown = f"{error:.3g}" if error is not None else "–"
        start = optimum["starting_params"][name] if optimum else value
        lines.append(
            f"  {name:<10}{start:>14.7g}{value:>16.8g}{shown:>12}  {parameter.unit}  {'; '.join(remark)}".rstrip()
        )
    for name, unit in () if shifted else (("z_recomb", ""), ("z_drag", ""), ("r_s_drag", "Mpc"), ("Omh2", "")):
        lines.append(f"  {name:<10}{'':>14}{params[name]:>16.8g}{'derived':>12}  {unit}".rstrip())
    return lines


def _derived_lines(results: ResultsDict) -> list[str]:
    """h r_d and the supernovae's offsets, with errors; r_d itself is among the parameters."""
    lines = []
    for name, found in results.get("derived", {}).items():
        if name != "r_d":
            error = "derived" if found["stderr"] is None else f"{found['stderr']:.3g}"
            lines.append(f"  {name:<24}{found['value']:>16.8g}{error:>12}  {found['unit']}")
    return lines


def why_lost(optimum: Mapping[str, Any], name: str) -> str:
    """Why a parameter has no error: no data see it, or they see it only together with others."""
    directions = [d for d in optimum["metadata"]["unconstrained_directions"] if name in d]
    others = [n for n in optimum["optimized_params"] if n != name and any(n in d for d in directions)]
    return f"degenerate with {', '.join(others)}" if others else "not constrained by the data"


def _metric_lines(metrics: MetricsDict, optimum: Mapping[str, Any] | None) -> list[str]:
    lines = [
        f"chi2 = {metrics['total_chi2']:.9g}   N = {metrics['n_data']}   k = {metrics['n_parameters']}   "
        f"dof = {metrics['dof']}   chi2/dof = {_number(metrics['reduced_chi2'])}   p = {_number(metrics['p_value'])}",
        f"AIC = {metrics['aic']:.7g}   AICc = {_number(metrics['aicc'], '.7g')}   BIC = {metrics['bic']:.7g}",
    ]
    if metrics["dof"] <= 0:
        lines.append(f"dof = {metrics['dof']}: as many parameters as data or more; chi2 says nothing about the model")
    if optimum:
        lines.append(
            f"improvement over the start: {optimum['chi2_improvement']:.6g} "
            f"({optimum['n_function_evaluations']} evaluations, {optimum['optimization_time']:.2f} s)"
        )
        effective = optimum["metadata"]["n_effective_parameters"]
        if effective != metrics["n_parameters"]:
            lines.append(f"effective number of parameters (identified ones): {effective}")
        starts = optimum["metadata"]["starts"]
        if len(starts) > 1:
            lines.append(f"starts: {len(starts)}")
            for i, entry in enumerate(starts):
                where = ", ".join(f"{k} {v:.6g}" for k, v in entry["end"].items())
                lines.append(f"  {i:>3}  chi2 = {entry['chi2']:<14.9g} {entry['status']:<9} {where}")
    return lines
