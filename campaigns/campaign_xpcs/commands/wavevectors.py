"""``campaign xpcs wavevectors``: a parameter over q, as a table and as a picture."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from campaign_xpcs.api.result import plain
from campaign_xpcs.api.result_files import published
from campaign_xpcs.api.wavevectors import Series, Wavevectors, wavevectors
from campaign_xpcs.commands.drawing import check_form
from campaign_xpcs.figures import draw_wavevectors, new_figure

_WRONG = 2.0  # reduced χ² above which a fit is not good, as everywhere here


def tabulate(directory: Path, parameter: str, stage: str | None, plot: Path | None, as_json: bool) -> str:
    """The table as text or JSON; draws it where a path is given."""
    check_form(plot)
    found = wavevectors(directory, parameter, stage)
    if plot is not None:
        hollow = [bool((own.reduced_chi2 > _WRONG).any()) for own in found.series]
        names = [own.label + " (χ² too large)" * bad for own, bad in zip(found.series, hollow, strict=True)]
        figure = new_figure(5.0 + 0.055 * max(map(len, names), default=0), max(3.4, 0.16 * len(names) + 0.6))
        label = f"{parameter} [{found.unit}]" if found.unit else parameter
        rows = [(name, own.q, own.value, own.error) for name, own in zip(names, found.series, strict=True)]
        draw_wavevectors(figure, rows, label, hollow)
        with published(plot) as temporary:
            figure.savefig(temporary)
    return _json(found) if as_json else _text(found)


def _text(found: Wavevectors) -> str:
    lines = [f"{found.parameter} [{found.unit}] over q [1/Å]" if found.unit else f"{found.parameter} over q [1/Å]"]
    for own in found.series:
        lines += ["", own.label] if own.label else [""]
        for q, value, error, chi2 in zip(own.q, own.value, own.error, own.reduced_chi2, strict=True):
            wrong = ": the model does not fit" if chi2 > _WRONG else ""
            lines.append(f"  {q:<10.5g} {value:>12.6g} ± {error:<8.3g} reduced χ² {chi2:.4g}{wrong}")
        if not math.isnan(own.p_value):
            mean, error = own.mean
            lines.append(f"  mean       {mean:>12.6g} ± {error:<8.3g} the same at every q: p = {own.p_value:.2g}")
    return "\n".join(lines + _left_out(found))


def _left_out(found: Wavevectors) -> list[str]:
    """Runs that ended alike are told of once, with the options that they share."""
    together: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for one in found.left_out:
        together.setdefault((one["outcome"], one["message"]), []).append(one)
    lines = []
    for (outcome, message), runs in together.items():
        names = [name for name in runs[0] if name not in ("outcome", "message")]
        shared = [f"{name} {runs[0][name]}" for name in names if len({str(run[name]) for run in runs}) == 1]
        n = f"{len(runs)} runs are" if len(runs) > 1 else "1 run is"
        lines += ["", f"{n} left out ({', '.join(shared)}): {outcome}" + (f": {message}" if message else "")]
    return lines


def _json(found: Wavevectors) -> str:
    document = {
        "parameter": found.parameter,
        "unit": found.unit,
        "series": [_series(own) for own in found.series],
        "left_out": [dict(one) for one in found.left_out],
    }
    return json.dumps(plain(document), indent=2, ensure_ascii=False, allow_nan=False)


def _series(own: Series) -> dict[str, object]:
    mean, error = own.mean
    return {
        "group": dict(own.group),
        "q": own.q.tolist(),
        "value": own.value.tolist(),
        "error": own.error.tolist(),
        "reduced_chi2": own.reduced_chi2.tolist(),
        "mean": mean,
        "mean_error": error,
        "p_value": own.p_value,
    }
