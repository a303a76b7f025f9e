"""How many steps optimisers take to one optimum, from the traces of a campaign."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas

    from campaign.analysis.handle import Handle

GOALS = ("excess < 1", "excess < 1e-3", "error < 0.1 σ")


def steps_to_optimum(results: Handle, reference: str = "lm", key: str = "problem.seed") -> pandas.DataFrame:
    """Moves after which the loss and every parameter of a run are near the optimum and stay there, one row a run.

    The optimum and its standard errors are those of the reference's run of the same data.

    Args:
        results: a campaign whose traces have `loss` and `theta` of every step.
        reference: the stage that reaches the optimum.
        key: column that tells the data apart.

    Returns:
        stage, the key, and for each of `GOALS` a number of moves, NaN where the run never stays there: loss less than 1
        or 1e-3 above the optimum, every parameter within a tenth of its standard error.
    """
    import pandas

    rows = results.table()
    best = rows[rows["stage"] == reference].set_index(key)
    found = []
    for _, row in rows[rows["n_steps"] > 0].iterrows():
        trace, own = results.trace(str(row["run_id"])), best.loc[row[key]]
        names = [str(name) for name in trace["parameter"].values]
        optimum, sigma = (own[[f"{kind}.{name}" for name in names]].to_numpy(float) for kind in ("theta", "stderr"))
        excess = trace["loss"].values - own["loss"]
        error = np.max(np.abs(trace["theta"].values - optimum) / sigma, axis=1)
        steps = (_settled(excess, 1.0), _settled(excess, 1e-3), _settled(error, 0.1))
        found.append({"stage": row["stage"], key: row[key], **dict(zip(GOALS, steps, strict=True))})
    return pandas.DataFrame(found)


def _settled(values: np.ndarray, limit: float) -> float:
    """Index from which all values are below the limit; NaN where the last is not."""
    above = np.flatnonzero(~(values < limit))
    if not len(above):
        return 0.0
    return float(above[-1] + 1) if above[-1] + 1 < len(values) else np.nan
