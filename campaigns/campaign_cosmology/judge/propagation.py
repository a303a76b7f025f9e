"""Errors of what follows from the parameters: σ² = gᵀ C g, also where single parameters have no error. NumPy only.

BAO alone does not know H0, but it knows H0 r_d: the direction in which both stay free does not move the product.
"""

from __future__ import annotations

import numpy as np

from campaign.science import Parameter
from campaign_cosmology.judge.identifiability import TAKES_PART, UNCONSTRAINED, bounds_reached, half_ranges


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
    reached = bounds_reached(parameters, x)
    inside = [i for i, p in enumerate(parameters) if p.name not in reached]
    if not np.isfinite(gradient).all() or not np.isfinite(jacobian).all():
        return None
    change, slopes = gradient * half_ranges(parameters, x), jacobian * half_ranges(parameters, x)
    g = change[inside]
    _, s, vt = np.linalg.svd(slopes[:, inside], full_matrices=True)
    s = np.concatenate([s, np.zeros(len(inside) - len(s))])
    weak = s < UNCONSTRAINED
    error = float(np.linalg.norm((vt[~weak] @ g) / s[~weak]))
    dead = [i for i, p in enumerate(parameters) if p.name in reached and np.linalg.norm(slopes[:, i]) < UNCONSTRAINED]
    if (np.abs(vt[weak] @ g) > TAKES_PART * error).any() or (np.abs(change[dead]) > TAKES_PART * error).any():
        return None
    return error
