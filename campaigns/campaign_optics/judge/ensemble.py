"""Bias and scatter of the estimates of many images, from the table of a campaign."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas


def bias_and_scatter(rows: pandas.DataFrame) -> pandas.DataFrame:
    """Signed bias, scatter and their errors of each parameter that has a truth, one row a parameter.

    Args:
        rows: of a summary table; those that ended ok are counted.

    Returns:
        n; bias (mean of estimate − truth) with its error bias_se; scatter (standard deviation) with its error
        scatter_se of normal errors; stderr, the root mean square of the stated errors; pull_mean and pull_sd of
        (estimate − truth)/stderr; is_biased: the bias is beyond three of its errors.

    Checked: tests/unit/optics/judge/test_optics_ensemble.py against numbers drawn with a known bias.
    """
    import pandas

    good = rows[rows["status"] == "ok"] if "status" in rows else rows
    found = {}
    for column in good.columns:
        name = str(column).removeprefix("final_delta.")
        if name == column or f"stderr.{name}" not in good:
            continue
        delta = good[column].to_numpy(np.float64)
        stderr = good[f"stderr.{name}"].to_numpy(np.float64)
        used = np.isfinite(delta) & np.isfinite(stderr) & (stderr > 0)
        n = int(used.sum())
        if n < 2:
            continue
        delta, stderr = delta[used], stderr[used]
        scatter, pulls = float(delta.std(ddof=1)), delta / stderr
        found[name] = {
            "n": n,
            "bias": float(delta.mean()),
            "bias_se": scatter / np.sqrt(n),
            "scatter": scatter,
            "scatter_se": scatter / np.sqrt(2.0 * (n - 1)),
            "stderr": float(np.sqrt(np.mean(stderr**2))),
            "pull_mean": float(pulls.mean()),
            "pull_sd": float(pulls.std(ddof=1)),
            "is_biased": bool(abs(delta.mean()) > 3.0 * scatter / np.sqrt(n)),
        }
    return pandas.DataFrame.from_dict(found, orient="index").rename_axis("parameter")
