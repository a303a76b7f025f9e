"""A session as one self-contained HTML page: no script, no link, nothing to load."""

from __future__ import annotations

from html import escape
from typing import Any

from campaign_cosmology.parameter_store import OptimizedParameterStore
from campaign_cosmology.parameters import parameter_table
from campaign_cosmology.render import as_text
from campaign_cosmology.session import Session

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a}
table{border-collapse:collapse;margin:.5rem 0 1.5rem}
th,td{padding:.25rem .8rem;border-bottom:1px solid #ddd;text-align:right}
th:first-child,td:first-child{text-align:left}pre{background:#f6f6f6;padding:1rem;overflow:auto}
.bar{fill:#36699c}.neg{fill:#b5532a}.axis{stroke:#888}text{font:11px system-ui,sans-serif}
@media(prefers-color-scheme:dark){body{background:#151515;color:#ddd}pre{background:#222}th,td{border-color:#444}text{fill:#ddd}}
"""


def _table(header: list[str], rows: list[list[str]]) -> str:
    head = "".join(f"<th>{escape(h)}</th>" for h in header)
    body = "".join("<tr>" + "".join(f"<td>{escape(c)}</td>" for c in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _pulls(name: str, pulls: dict[str, float]) -> str:
    """Bars of (model − data)/σ, ±4 wide."""
    height, width, middle = 16 * len(pulls) + 24, 640, 400
    parts = [f'<line class="axis" x1="{middle}" x2="{middle}" y1="0" y2="{height - 20}"/>']
    for i, (label, pull) in enumerate(pulls.items()):
        length = min(abs(pull), 4.0) * 55
        x = middle if pull >= 0 else middle - length
        kind = "bar" if pull >= 0 else "neg"
        parts.append(f'<rect class="{kind}" x="{x:.1f}" y="{16 * i + 3}" width="{length:.1f}" height="10"/>')
        parts.append(f'<text x="0" y="{16 * i + 12}">{escape(label)}</text>')
        parts.append(f'<text x="{width - 4}" y="{16 * i + 12}" text-anchor="end">{pull:+.2f}</text>')
    title = f"pulls of {escape(name)}: (model − data) / σ"
    return (
        f"<h3>{title}</h3>"
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{title}" width="100%">{"".join(parts)}</svg>'
    )


def _profile(parameter: str, values: Any, delta: Any) -> str:
    width, height = 640, 240
    low, high, top = float(values[0]), float(values[-1]), max(float(max(delta)), 1.0)
    points = " ".join(
        f"{40 + (float(v) - low) / (high - low) * (width - 60):.1f},{height - 30 - float(d) / top * (height - 50):.1f}"
        for v, d in zip(values, delta, strict=True)
    )
    one = height - 30 - (height - 50) / top
    return (
        f"<h3>profile of {escape(parameter)}</h3>"
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="profile of {escape(parameter)}" width="100%">'
        f'<line class="axis" x1="40" x2="{width - 20}" y1="{one:.1f}" y2="{one:.1f}" stroke-dasharray="4"/>'
        f'<text x="{width - 20}" y="{one - 4:.1f}" text-anchor="end">Δχ² = 1</text>'
        f'<polyline points="{points}" fill="none" stroke="#36699c" stroke-width="2"/>'
        f'<text x="40" y="{height - 8}">{low:.5g}</text>'
        f'<text x="{width - 20}" y="{height - 8}" text-anchor="end">{high:.5g}</text></svg>'
    )


def as_html(session: Session, store: OptimizedParameterStore | None = None) -> str:
    """Parameters, chi2 per data set, pulls, profiles, the stored optimisations of every model, and the text table."""
    results = session.results
    params, optimum = results["params"], results.get("optimization", {})
    model = params["model_class"]
    rows = []
    for name, parameter in parameter_table(model).items():
        moved = name in optimum.get("optimized_params", {})
        error = optimum["stderr"].get(name) if moved else None
        start = f"{optimum['starting_params'][name]:.7g}" if moved else ""
        shown = (f"± {error:.3g}" if error is not None else "no error") if moved else "fixed"
        rows.append([name, start, f"{params[name]:.8g}", shown, parameter.unit, parameter.description])
    blocks = [[n, f"{b['chi2']:.6g}", str(len(b["pulls"]))] for n, b in results["results"].items()]
    stored = (store or OptimizedParameterStore()).summary()
    summary = [
        [
            m,
            f"{e['chi2']:.6g}" if e["chi2"] is not None else "",
            f"{e['improvement']:.6g}" if e["improvement"] is not None else "",
            str(e["date"])[:19],
            ", ".join(e["optimized_params"]),
        ]
        for m, e in stored.items()
    ]
    metrics = [[k, "none" if v is None else f"{v:.8g}"] for k, v in results["metrics"].items()]
    parts = [
        f"<h1>{escape(model)} on {escape(' + '.join(results['provenance'].get('datasets', results['results'])))}</h1>",
        _table(["parameter", "start", "value", "error", "unit", ""], rows),
        _table(["data set", "chi2", "points"], blocks),
        _table(["statistic", ""], metrics),
        *(_pulls(name, block["pulls"]) for name, block in results["results"].items()),
        *(_profile(p.parameter, p.values, p.delta_chi2) for p in session.profiles),
        "<h2>CMB optimisation summary</h2>",
        _table(["model", "chi2", "improvement", "date", "optimised"], summary)
        if summary
        else "<p>nothing stored yet</p>",
        "<h2>As text</h2>",
        f"<pre>{escape(as_text(session))}</pre>",
    ]
    title = escape(f"{model} fit")
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
        f"</head><body>{''.join(parts)}</body></html>\n"
    )
