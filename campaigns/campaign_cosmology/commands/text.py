"""A session as text and as JSON."""

from __future__ import annotations

import dataclasses

import numpy as np

from campaign_cosmology.api.record import to_json
from campaign_cosmology.api.run_log import format_results_table
from campaign_cosmology.commands.session import Session


def as_json(session: Session) -> str:
    """The whole session as one JSON document; the keys of `run_fit` at the top."""
    document = dict(session.results)
    extra = {
        f.name: getattr(session, f.name) for f in dataclasses.fields(session) if f.name not in ("results", "failure")
    }
    document |= {name: value for name, value in extra.items() if value}
    return to_json(document)


def as_text(session: Session) -> str:
    """The results table, then what was added."""
    lines = [format_results_table(session.results)]
    if session.errors:
        lines += ["", "profile errors (Δchi2 = 1)"]
        for e in session.errors:
            low = f"−{e.best - e.lower:.4g}" if e.lower is not None else "no lower limit inside the bounds"
            high = f"+{e.upper - e.best:.4g}" if e.upper is not None else "no upper limit inside the bounds"
            lines.append(f"  {e.parameter:<10}{e.best:>16.8g}  {high}  {low}")
    for p in session.profiles:
        lines += ["", f"profile of {p.parameter}"]
        rises = np.round(p.delta_chi2, 9) + 0.0  # no −0
        lines += [f"  {v:>14.7g}  Δchi2 = {d:.6g}" for v, d in zip(p.values, rises, strict=True)]
    for r in session.resamplings:
        what = "" if r.method == "bootstrap" else "; how much single bins matter, no error estimate; CMB priors stay"
        lines += ["", f"{r.method}, {r.n} fits{what}"]
        lines += [f"  {name:<10}{r.mean[name]:>16.8g}  ± {r.stderr[name]:.3g}" for name in r.names]
    for title, fits in session.refits.items():
        lines += ["", title]
        for fit in fits:
            shown = ", ".join(
                f"{n} {v:.6g}" + (f" ({fit.shifts[n]:+.2f} σ)" if fit.shifts[n] is not None else " (no σ)")
                for n, v in fit.params.items()
            )
            reached = ", ".join(f"{name} (its {side} one)" for name, side in fit.bounds_reached.items())
            ends = f"   at a bound: {reached}" if reached else ""
            lines.append(f"  without {fit.label:<32} N = {fit.n_data:<4} chi2 = {fit.chi2:<9.5g} {shown}{ends}")
    if session.comparison is not None and session.other is not None:
        c = session.comparison
        one, two = session.results["params"]["model_class"], session.other["params"]["model_class"]
        moved = session.other.get("optimization", {}).get("optimized_params", {})
        where = ", ".join(f"{name} {value:.6g}" for name, value in moved.items()) or "nothing moved"
        lines += [
            "",
            f"{two} on the same data: {where}; chi2 = {session.other['metrics']['total_chi2']:.9g}, "
            f"k = {session.other['metrics']['n_parameters']}",
            f"{one} − {two} (negative favours {one}): Δchi2 = {c.delta_chi2:.6g}   ΔAIC = {c.delta_aic:.6g}   "
            f"ΔBIC = {c.delta_bic:.6g}",
        ]
        if abs(c.delta_aic_effective - c.delta_aic) > 1e-9:
            lines.append(f"  with identified parameters counted only: ΔAIC = {c.delta_aic_effective:.6g}")
        lines += [f"  caution: {caveat}" for caveat in c.caveats]
    return "\n".join(lines)
