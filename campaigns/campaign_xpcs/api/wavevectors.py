"""A parameter over q: the runs of a campaign over files, wavevectors, windows and modes, as one table. No JAX."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from campaign.science import InvalidValue, UnknownName, nearest, open_campaign

if TYPE_CHECKING:
    pass

_NO_GROUP = ("problem.q", "problem.q_index", "problem.init_seed")  # axes along which q changes, or nothing does


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Series:
    """A parameter over q, of one file, window and mode.

    Attributes:
        group: what else differs between the runs of the campaign: name of the option → value.
        q: [1/Å], increasing; value, error: of the converged runs that have an error.
        reduced_chi2: χ² per degree of freedom of each: far above 1, the model is wrong, and so is its error.
    """

    group: Mapping[str, Any]
    q: Float[np.ndarray, " n"]
    value: Float[np.ndarray, " n"]
    error: Float[np.ndarray, " n"]
    reduced_chi2: Float[np.ndarray, " n"]

    @property
    def label(self) -> str:
        """Words as they are, numbers with what they are of."""
        named = {name: Path(v).name if name == "data" else v for name, v in self.group.items()}
        return ", ".join(v if isinstance(v, str) else f"{name} {v}" for name, v in named.items())

    @property
    def mean(self) -> tuple[float, float]:
        """Weighted by 1/error², and its error; NaN of nothing."""
        weight = self.error**-2.0
        if not len(weight):
            return float("nan"), float("nan")
        return float(np.average(self.value, weights=weight)), float(weight.sum() ** -0.5)

    @property
    def p_value(self) -> float:
        """Chance of values as far apart, where the parameter does not depend on q; NaN of fewer than two."""
        from scipy.stats import chi2

        if len(self.q) < 2:
            return float("nan")
        spread = np.sum(((self.value - self.mean[0]) / self.error) ** 2)
        return float(chi2.sf(spread, len(self.q) - 1))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Wavevectors:
    """A parameter over q.

    Attributes:
        parameter, unit: of what.
        series: one a file, window and mode, in the order of the runs.
        left_out: the runs that are in no series: their options, how they ended, and what is said of them.
    """

    parameter: str
    unit: str
    series: tuple[Series, ...]
    left_out: tuple[Mapping[str, Any], ...]


def wavevectors(directory: str | Path, parameter: str = "D0", stage: str | None = None) -> Wavevectors:
    """The table of a campaign whose runs differ in q, and maybe in file, window and mode.

    Args:
        directory: of the campaign.
        parameter: a free parameter of the problem.
        stage: None is the only one with runs of this problem.

    Raises:
        UsageError: no campaign. InvalidValue: no run has found the parameter. UnknownName: no such stage or parameter.

    Checked: tests/integration/test_xpcs_campaigns.py: truth of simulated files, one of which is broken.
    """
    rows: Any = open_campaign(directory).table()
    rows = rows[rows["status"].notna()]
    stages = rows["stage"].drop_duplicates().tolist()
    if stage is not None and stage not in stages:
        raise UnknownName(f"the campaign has no stage `{stage}`", hint=nearest(stage, stages))
    if stage is None and len(stages) > 1:
        raise InvalidValue(f"the campaign has {len(stages)} stages", hint=f"name one: {', '.join(stages)}")
    rows = rows if stage is None else rows[rows["stage"] == stage]
    if "derived.q" not in rows or not rows["derived.q"].notna().any():
        raise InvalidValue("no run of the campaign has a q", hint="runs of the problem `xpcs` have, once they end ok")
    known = [name.removeprefix("theta.") for name in rows.columns if name.startswith("theta.")]
    if f"theta.{parameter}" not in rows:
        raise UnknownName(f"the campaign has no parameter `{parameter}`", hint=nearest(parameter, known))
    return _made(rows, parameter)


def _made(rows: Any, parameter: str) -> Wavevectors:
    value, error = f"theta.{parameter}", f"stderr.{parameter}"
    if error not in rows or not (rows[error] > 0).any():
        raise InvalidValue(
            f"no run has an error of `{parameter}`", hint="is it fixed, or at a bound? See `bounds_reached` of the runs"
        )
    axes = [name for name in rows.columns if name.startswith("problem.") and rows[name].astype(str).nunique() > 1]
    axes = _telling(rows, [name for name in axes if name not in _NO_GROUP])
    is_good = (rows["outcome"] == "converged") & rows[value].notna() & (rows[error] > 0)
    good = rows[is_good].sort_values("derived.q", kind="stable")
    groups = good.groupby(axes, sort=False, dropna=False) if axes else [((), good)]
    series = [
        Series(
            group={axis.removeprefix("problem."): one.iloc[0][axis] for axis in axes},
            q=one["derived.q"].to_numpy(float),
            value=one[value].to_numpy(float),
            error=one[error].to_numpy(float),
            reduced_chi2=one["metric.reduced_chi2"].to_numpy(float),
        )
        for _, one in groups
    ]
    series.sort(key=lambda own: [str(v) for v in own.group.values()])
    left = [*axes, *(name for name in _NO_GROUP if name in rows and rows[name].nunique() > 1)]
    return Wavevectors(
        parameter=parameter,
        unit=rows.attrs.get("units", {}).get(value, ""),
        series=tuple(series),
        left_out=tuple(
            {
                **{axis.removeprefix("problem."): row[axis] for axis in left},
                "outcome": row["outcome"],
                "message": row.get("message") or "",
            }
            for row in rows[~is_good].to_dict("records")
        ),
    )


def _telling(rows: Any, axes: list[str]) -> list[str]:
    """The axes without those that follow from the ones before: a mode with its own starts is a mode."""
    kept: list[str] = []
    text = rows[axes].astype(str)
    for axis in axes:
        if not kept or len(text[[*kept, axis]].drop_duplicates()) > len(text[kept].drop_duplicates()):
            kept.append(axis)
    return kept
