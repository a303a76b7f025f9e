"""``campaign xpcs wavevectors``: a parameter over q, as a table and as a picture."""

from __future__ import annotations

import json
import math
from pathlib import Path

from campaign.science import UsageError
from campaign_xpcs.api.result import plain
from campaign_xpcs.api.result_files import published
from campaign_xpcs.api.wavevectors import Series, Wavevectors, wavevectors
from campaign_xpcs.figures import draw_wavevectors, new_figure

_FORMS = (".png", ".pdf", ".svg")


def tabulate(directory: Path, parameter: str, stage: str | None, plot: Path | None, as_json: bool) -> str:
    """The table as text or JSON; draws it where a path is given."""
    if plot is not None and plot.suffix not in _FORMS:
        raise UsageError(f"{plot} is no picture that can be drawn", hint=f"valid: {', '.join(_FORMS)}")
    found = wavevectors(directory, parameter, stage)
    if plot is not None:
        names = [own.label for own in found.series]
        figure = new_figure(5.0 + 0.055 * max(map(len, names), default=0), max(3.4, 0.16 * len(names) + 0.6))
        label = f"{parameter} [{found.unit}]" if found.unit else parameter
        draw_wavevectors(figure, [(own.label, own.q, own.value, own.error) for own in found.series], label)
        with published(plot) as temporary:
            figure.savefig(temporary)
    return _json(found) if as_json else _text(found)


def _text(found: Wavevectors) -> str:
    lines = [f"{found.parameter} [{found.unit}] over q [1/Å]" if found.unit else f"{found.parameter} over q [1/Å]"]
    for own in found.series:
        lines += ["", own.label] if own.label else [""]
        lines += [f"  {q:<10.5g} {v:>12.6g} ± {e:.3g}" for q, v, e in zip(own.q, own.value, own.error, strict=True)]
        if not math.isnan(own.p_value):
            lines.append(
                f"  mean       {own.mean[0]:>12.6g} ± {own.mean[1]:.3g}, the same at every q: p = {own.p_value:.2g}"
            )
    if found.left_out:
        lines += ["", f"{len(found.left_out)} runs are left out:"]
    for one in found.left_out:
        options = ", ".join(f"{name} {value}" for name, value in one.items() if name not in ("outcome", "message"))
        lines.append(f"  {options}: {one['outcome']}{': ' if one['message'] else ''}{one['message']}")
    return "\n".join(lines)


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
        "mean": mean,
        "mean_error": error,
        "p_value": own.p_value,
    }
