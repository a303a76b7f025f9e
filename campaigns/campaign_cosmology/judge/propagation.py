"""Errors of what follows from the parameters: σ² = gᵀ C g, also where single parameters have no error. NumPy only.

BAO alone does not know H0, but it knows H0 r_d: the direction in which both stay free does not move the product.
"""

from __future__ import annotations

import numpy as np

from campaign.science import Parameter
from campaign_cosmology.judge.identifiability import TAKES_PART, UNCONSTRAINED, curvature, half_ranges


def propagated(
    parameters: tuple[Parameter, ...], x: np.ndarray, jacobian: np.ndarray, gradient: np.ndarray
) -> float | None:
    """The standard error of a function of the parameters; None where the data do not fix it.

    Parameters at a bound are held, as for the errors of the others, unless no data have brought them there. Along a
    direction that the data leave free over its whole allowed range the function may change by a tenth of its error,
    not more.

    Args:
        x: the optimum (d,). jacobian: of the whitened residuals (N, d). gradient: of the function (d,).

    Checked: tests/unit/cosmology/judge/test_cosmology_propagation.py, against closed forms and fits.
    """
    if not np.isfinite(gradient).all() or not np.isfinite(jacobian).all():
        return None
    report = curvature(parameters, x, jacobian)
    held = set(report.bounds_reached) - set(report.unidentified)
    inside = [i for i, p in enumerate(parameters) if p.name not in held]
    unit = half_ranges(parameters, x)[inside]
    change = gradient[inside] * unit
    _, s, vt = np.linalg.svd(jacobian[:, inside] * unit, full_matrices=True)
    s = np.concatenate([s, np.zeros(len(inside) - len(s))])
    weak = s < UNCONSTRAINED
    error = float(np.linalg.norm((vt[~weak] @ change) / s[~weak]))
    return None if (np.abs(vt[weak] @ change) > TAKES_PART * error).any() else error
