"""Prints the results of a campaign: per stage, the best run of each group."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from campaign.analysis.results import METRICS, Estimate, StageResult, stage_results
from campaign.cli.numbers import count, counted, measurement
from campaign.cli.output import pairs, strong, table, write


def print_results(directory: str | Path) -> None:
    """Print `stage_results` on stdout."""
    for result in stage_results(directory):
        write(f"{strong(result.stage)}: {counted(result.n_runs, 'run')} of {result.engine}, {_outcomes(result)}")
        if result.ensemble:
            _print_ensemble(result)
        elif result.best:
            if len(result.best) == 1 and not result.best[0].group:
                _print_one(result)
            else:
                _print_groups(result)
        write()


def _outcomes(result: StageResult) -> str:
    return ", ".join(f"{count(n)} {name}" for name, n in sorted(result.outcomes.items(), key=lambda item: -item[1]))


def _print_one(result: StageResult) -> None:
    best = result.best[0]
    lines = [(e.name, _value(e, e.unit)) for e in (*best.estimates, *best.derived)]
    lines += [(name, f"{value:.6g}") for name, value in best.metrics.items()]
    write(pairs([*lines, ("run", best.run_id[:12])]))


def _print_ensemble(result: StageResult) -> None:
    rows = [(_titled(s.name, s.unit), *(f"{v:.6g}" for v in (s.median, s.low, s.high))) for s in result.ensemble]
    write(table(("over all runs", "median", "5 %", "95 %"), rows, right=(1, 2, 3)))


def _print_groups(result: StageResult) -> None:
    names = list(dict.fromkeys(e.name for best in result.best for e in best.estimates))
    units = {e.name: e.unit for best in result.best for e in best.estimates}
    metrics = [name for name in METRICS if any(name in best.metrics for best in result.best)]
    axes = list(result.best[0].group)
    header = [*axes, *(_titled(n, units[n]) for n in names), *metrics, "run"]
    rows = []
    for best in result.best:
        own = {e.name: _value(e) for e in best.estimates}
        numbers = [f"{best.metrics[name]:.6g}" if name in best.metrics else "" for name in metrics]
        rows.append(
            [*(_cell(v) for v in best.group.values()), *(own.get(n) for n in names), *numbers, best.run_id[:12]]
        )
    held = ", ".join(f"{path} = {_cell(value)}" for path, value in result.held.items())
    if held:
        write(f"lowest loss where {held} ({count(len(result.best))} of {counted(result.n_groups, 'group')})")
    else:
        write(f"lowest loss of each of {count(len(result.best))} groups")
    write(table(header, rows, right=range(len(axes), len(axes))))


def _value(estimate: Estimate, unit: str = "") -> str:
    """A number with its error; in words, where it ended on a bound or nothing determines it."""
    text = measurement(estimate.value, estimate.error, unit)
    return f"{text} ({estimate.note})" if estimate.note else text


def _titled(name: str, unit: str) -> str:
    return f"{name} [{unit}]" if unit else name


def _cell(value: Any) -> str:
    return "" if value is None else (f"{value:.6g}" if isinstance(value, float) else str(value))
