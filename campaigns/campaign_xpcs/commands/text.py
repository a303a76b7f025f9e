"""Results as text and as JSON."""

from __future__ import annotations

import json
import math

from campaign_xpcs.api.cmc_result import CMCResult
from campaign_xpcs.api.result import OptimizationResult
from campaign_xpcs.commands.fitting import Done
from campaign_xpcs.model.parameters import DIFFUSION, SHEAR

_UNITS = {one.name: one.unit for one in (*DIFFUSION, *SHEAR)}


def as_json(done: Done) -> str:
    document = {
        "nlsq": None if done.nlsq is None else done.nlsq.as_json(),
        "cmc": None if done.cmc is None else done.cmc.as_json(),
        "files": [str(path) for path in done.files],
        "notes": list(done.notes),
    }
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)


def as_text(done: Done) -> str:
    parts = []
    if done.nlsq is not None:
        parts.append(_of_nlsq(done.nlsq))
    if done.cmc is not None:
        parts.append(_of_cmc(done.cmc))
    return "\n\n".join(parts)


def _of_nlsq(result: OptimizationResult) -> str:
    default = " (σ is the default 0.01)" if result.sigma_is_default else ""
    info = result.device_info
    lines = [
        f"least squares: {result.convergence_status}, {result.quality_flag}",
        f"  χ² {result.chi_squared:.10g}, {result.dof} degrees of freedom, "
        f"reduced {result.reduced_chi_squared:.4g}{default}",
        f"  {result.maps_info['analysis_mode']}, shear model {result.maps_info['shear_model']}, "
        f"scaling {result.maps_info['scaling']}, {info['strategy']}",
        f"  search: {info['global_search']} ({info['global_search_reason']})",
    ]
    lines += [f"  {reason}" for reason in info["quality_reasons"]]
    errors = result.errors
    for name, value in result.values.items():
        unit = _UNITS.get(name, "")
        error = errors.get(name)
        spelt = "held" if error is None else "no error" if math.isnan(error) else f"± {error:.3g}"
        lines.append(f"  {name:<20} {value:>14.6g} {spelt} {unit}".rstrip())
    return "\n".join(lines)


def _of_cmc(result: CMCResult) -> str:
    kept = sum(one.verdict in ("kept", "one part") for one in result.shards)
    lines = [
        f"posterior: {len(result.draws)} draws, {kept} of {len(result.shards)} parts count, "
        f"{result.divergence_rate:.1%} divergent"
    ]
    if not math.isnan(result.agreement):
        lines.append(f"  the parts are {result.spread:.4g} apart for {result.spread_dof}: p = {result.agreement:.3g}")
    for name, mean in result.mean.items():
        lines.append(f"  {name:<20} {mean:>14.6g} ± {result.sd[name]:.3g} {_UNITS.get(name, '')}".rstrip())
    return "\n".join(lines)
