"""``campaign cosmology reweight``: the draws of a posterior with data or priors added, by importance weights."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from campaign.science import InvalidValue, UsageError, nearest
from campaign_cosmology.api.parameters import build_params, parameter_table
from campaign_cosmology.api.selection import select
from campaign_cosmology.judge.reweighting import Reweighted, reweight
from campaign_cosmology.model.objective import ProblemObjective
from campaign_cosmology.model.space import SETTINGS

AT_ONCE = 4096  # draws that are evaluated together


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """Draws before and after: their names, the draws (n, d), and the weights of what was added."""

    names: tuple[str, ...]
    draws: np.ndarray
    datasets: tuple[str, ...]
    weights: Reweighted


def read_draws(path: Path) -> dict[str, np.ndarray]:
    """The columns of a CSV file of draws, as `Chain.to_dataframe().to_csv(path)` writes it.

    Raises:
        UsageError: no file, no header, ragged rows, or a cell that is no number.
    """
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            header, *rows = list(csv.reader(stream)) or [[]]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"the draws {path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if len(rows) < 2 or len(set(header)) != len(header):
        raise UsageError(f"{path} holds {len(rows)} draws under {header}", hint="a header of names, and a row a draw")
    found = np.empty((len(rows), len(header)))
    for i, row in enumerate(rows):
        try:
            found[i] = [float(cell) for cell in row]
        except ValueError:
            raise UsageError(
                f"{path}, line {i + 2} is no row of {len(header)} numbers", hint=",".join(row)[:80]
            ) from None
    return dict(zip(header, found.T, strict=True))


def added(path: Path, model: str, datasets: Sequence[str], overrides: Mapping[str, Any]) -> Added:
    """Weigh the draws of a file by what is added to their posterior. Columns that are no parameters are left alone.

    Raises:
        UsageError, InvalidValue: no draws, no parameter of the model among their columns, draws out of bounds, or two
            posteriors that hardly overlap.
    """
    columns, table = read_draws(path), parameter_table(model, overrides)
    names = tuple(name for name in table if name in columns)
    moving = [name for name in names if name not in SETTINGS]
    if not moving:
        raise InvalidValue(f"{path} has no parameter of `{model}`", hint=nearest(str(next(iter(columns))), table))
    draws = np.stack([columns[name] for name in names], axis=1)
    for name, values in zip(names, draws.T, strict=True):
        p = table[name]
        if not ((values >= p.lower) & (values <= p.upper)).all():
            raise InvalidValue(
                f"{path}: `{name}` leaves its bounds", hint=f"valid: {p.lower:g} to {p.upper:g} {p.unit}"
            )
        if name in SETTINGS and np.ptp(values) > 0:
            raise InvalidValue(f"{path}: `{name}` moves, and data are added with it held", hint="sample anew")
    held = {name: float(values[0]) for name, values in zip(names, draws.T, strict=True) if name in SETTINGS}
    params = build_params(model, {**overrides, **held})
    selection = select(model, datasets, moving, params)
    if not isinstance(selection.objective, ProblemObjective):
        raise InvalidValue(
            "reweighting needs the package's own likelihoods", hint="what was added has a registered one"
        )
    order = [names.index(name) for name in selection.free]
    x = draws[:, order]
    chi2 = [selection.objective.many(x[i : i + AT_ONCE]) for i in range(0, len(x), AT_ONCE)]
    weights = reweight(-0.5 * np.concatenate(chi2))
    return Added(names=names, draws=draws, datasets=tuple(selection.names), weights=weights)


def as_lines(found: Added, *, as_json: bool) -> str:
    """Means and standard deviations before and after; effective draws; ln of the ratio of evidences."""
    mean, sd = found.draws.mean(axis=0), found.draws.std(axis=0, ddof=1)
    w = found.weights
    after, spread = w.mean(found.draws), np.sqrt(np.diag(w.covariance(found.draws)))
    if as_json:
        rows = zip(found.names, mean, sd, after, spread, strict=True)
        parameters = {n: {"mean": a, "sd": b, "mean_before": m, "sd_before": s} for n, m, s, a, b in rows}
        document = {"added": list(found.datasets), "n": len(found.draws), "n_effective": w.n_effective}
        return json.dumps({**document, "log_evidence_ratio": w.log_ratio, "parameters": parameters}, indent=2)
    lines = [f"{len(found.draws)} draws, with {' + '.join(found.datasets)} added", ""]
    lines += [f"  {'parameter':<10}{'before':>16}{'':>12}{'after':>16}"]
    for n, m, s, a, b in zip(found.names, mean, sd, after, spread, strict=True):
        lines.append(f"  {n:<10}{m:>16.7g} ± {s:<10.3g}{a:>15.7g} ± {b:.3g}")
    lines += ["", f"effective draws: {w.n_effective:.0f}; ln (Z with / Z without) = {w.log_ratio:.6g}"]
    return "\n".join([*lines, "what the draws already hold must not be added again: a file of draws does not say"])


def write_weights(path: Path, weights: np.ndarray) -> None:
    """One weight a draw, in the order of the draws."""
    try:
        path.write_text("weight\n" + "\n".join(map(repr, weights.tolist())) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"the weights {path} cannot be written: {error.strerror}") from error
