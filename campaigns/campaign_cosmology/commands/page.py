"""A session as one self-contained HTML page: no script, no link, nothing to load."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from campaign_cosmology.api.parameter_store import OptimizedParameterStore
from campaign_cosmology.api.parameters import parameter_table
from campaign_cosmology.api.results import ResultsDict
from campaign_cosmology.api.run_log import why_lost
from campaign_cosmology.commands.session import Session
from campaign_cosmology.commands.text import as_text
from campaign_cosmology.figures.drawings import profile_drawing, pulls_drawing
from campaign_cosmology.judge.statistics import MetricsDict

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a;background:#fff}
table{border-collapse:collapse;margin:.5rem 0 1.5rem}
th,td{padding:.25rem .8rem;border-bottom:1px solid #ddd;text-align:right;white-space:nowrap}
th:first-child,td:first-child,.words{text-align:left}.words{white-space:normal}pre{background:#f6f6f6;padding:1rem;overflow:auto}
svg{max-width:44rem}.more{fill:#0072b2}.less{fill:#d55e00}.axis{stroke:#888}.grid{stroke:#ddd}
.curve{fill:none;stroke:#0072b2;stroke-width:2}text{font:12px system-ui,sans-serif}
@media(prefers-color-scheme:dark){body{background:#151515;color:#ddd}pre{background:#222}
th,td{border-color:#444}text{fill:#ddd}.grid{stroke:#333}.more,.curve{fill:#56b4e9}.curve{fill:none;stroke:#56b4e9}}
"""
_MEANING = {"h_rd": "h times the sound horizon at drag"}
_STATISTICS = {
    "total_chi2": "χ²",
    "n_data": "data points N",
    "n_parameters": "fitted parameters k",
    "dof": "degrees of freedom N − k",
    "reduced_chi2": "χ² / dof",
    "p_value": "p-value",
    "aic": "AIC",
    "aicc": "AICc",
    "bic": "BIC",
}


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], words: Sequence[int] = ()) -> str:
    """A table; the columns in `words` hold text and are aligned left."""

    def row(cells: Sequence[str], tag: str) -> str:
        classes = [' class="words"' if i in words else "" for i in range(len(cells))]
        shown = [f"<{tag}{name}>{escape(cell)}</{tag}>" for name, cell in zip(classes, cells, strict=True)]
        return f"<tr>{''.join(shown)}</tr>"

    body = "".join(row(cells, "td") for cells in rows)
    return f"<table><thead>{row(header, 'th')}</thead><tbody>{body}</tbody></table>"


def _parameters(results: ResultsDict) -> str:
    """The table of the documents: start, final value, error; optimised, fixed, at a bound, not constrained."""
    params, optimum = results["params"], results.get("optimization", {})
    moved = optimum.get("optimized_params", {})
    held = {name: f"at its {side} bound" for name, side in optimum.get("bound_sides", {}).items()}
    rows, shifted = [], results.get("blinded", [])
    for name, parameter in parameter_table(params["model_class"], params).items():
        error = optimum["stderr"].get(name) if name in moved else None
        status = "optimised" if name in moved else "fixed"
        if name in shifted:
            status += ", blinded: shown shifted"
        if name in held:
            status += f", {held[name]}: no Gaussian error"
        if name in optimum.get("unidentified", []):
            status += f", {why_lost(optimum, name)}"
        start = f"{optimum['starting_params'][name]:.7g}" if name in moved else ""
        shown = f"± {error:.3g}" if error is not None else ""
        rows.append([name, start, f"{params[name]:.8g}", shown, parameter.unit, status, parameter.description])
    for name, unit in () if shifted else (("z_recomb", ""), ("z_drag", ""), ("r_s_drag", "Mpc"), ("Omh2", "")):
        rows.append([name, "", f"{params[name]:.8g}", "", unit, "derived", ""])
    for name, found in results.get("derived", {}).items():
        if name != "r_d":
            error = f"± {found['stderr']:.3g}" if found["stderr"] is not None else ""
            rows.append(
                [name, "", f"{found['value']:.8g}", error, found["unit"], "derived", _MEANING.get(name, "offset M")]
            )
    return _table(["parameter", "start", "value", "error", "unit", "status", "meaning"], rows, (4, 5, 6))


def _statistics(metrics: MetricsDict) -> str:
    values = {key: metrics.get(key) for key in _STATISTICS}
    rows = [[_STATISTICS[key], "none" if v is None else f"{v:.8g}"] for key, v in values.items()]
    return _table(["statistic", "value"], rows)


def _stored(store: OptimizedParameterStore) -> str:
    rows = [
        [
            model,
            f"{entry['chi2']:.6g}" if entry["chi2"] is not None else "",
            f"{entry['improvement']:.6g}" if entry["improvement"] is not None else "",
            f"{str(entry['date'])[:19].replace('T', ' ')} UTC",
            str(entry["provenance"].get("source_dataset", "unknown")),
            ", ".join(entry["optimized_params"]),
        ]
        for model, entry in store.latest().items()
    ]
    if not rows:
        return "<p>nothing stored yet</p>"
    return _table(["model", "χ²", "improvement", "date", "data", "optimised"], rows, (3, 4, 5))


def _comparison(session: Session) -> list[str]:
    c, other = session.comparison, session.other
    if c is None or other is None:
        return []
    one, two = session.results["params"]["model_class"], other["params"]["model_class"]
    numbers = [[name, f"{v:.6g}"] for name, v in (("Δχ²", c.delta_chi2), ("ΔAIC", c.delta_aic), ("ΔBIC", c.delta_bic))]
    return [
        f"<h2>{escape(one)} − {escape(two)}</h2><p>Negative favours {escape(one)}.</p>",
        _table(["difference", "value"], numbers),
        *(f"<p>Caution: {escape(caveat)}.</p>" for caveat in c.caveats),
    ]


def as_html(session: Session, store: OptimizedParameterStore | None = None) -> str:
    """Parameters, chi2 per data set, pulls, profiles, comparison, the stored optimisations of every model, and the
    result as text."""
    results = session.results
    model = escape(results["params"]["model_class"])
    blocks = [[n, f"{b['chi2']:.6g}", str(len(b["pulls"]) or "")] for n, b in results["results"].items()]
    data = " + ".join(results["provenance"]["datasets"])
    parts = [
        f"<h1>{model} on {escape(data)}</h1>",
        _parameters(results),
        _table(["data set", "χ²", "points"], blocks),
        _statistics(results["metrics"]),
        *(pulls_drawing(name, block["pulls"]) for name, block in results["results"].items() if block["pulls"]),
        *(profile_drawing(p.parameter, p.values, p.delta_chi2) for p in session.profiles),
        *_comparison(session),
        "<h2>Stored optimisations, the last of each model</h2>",
        _stored(store or OptimizedParameterStore()),
        "<h2>As text</h2>",
        f"<pre>{escape(as_text(session))}</pre>",
    ]
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{model} fit</title><style>{_STYLE}</style>'
        f"</head><body>{''.join(parts)}</body></html>\n"
    )
