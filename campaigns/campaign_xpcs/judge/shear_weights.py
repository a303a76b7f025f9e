"""Layer 5: angles weighed by their sensitivity to shear. No JAX.

The document's reason is that Σ cos(φ0 − φ) over angles all round is 0. But the correlation depends on cos² alone: the
gradients of all angles have one sign, and nothing cancels. Weights that are not 1/σ² make an estimate worse, never
better; they are off unless asked for, χ² is reported without them, and errors are those of a weighted estimate.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from campaign.science import InvalidValue


def shear_weights(
    phi_deg: Float[np.ndarray, " n_phi"],
    phi0_deg: float,
    *,
    min_weight: float = 0.3,
    alpha: float = 1.0,
    normalize: bool = True,
) -> Float[np.ndarray, " n_phi"]:
    """w_k = w_min + (1 − w_min) |cos(φ0 − φ_k)|^α, over their mean where `normalize`.

    Args:
        phi0_deg: direction of flow, which stays as it is given: weights do not follow a fit.

    Raises:
        InvalidValue: `min_weight` is not in (0, 1], or `alpha` not above 0.

    Checked: tests/unit/xpcs/judge/test_xpcs_shear_weights.py.
    """
    if not 0 < min_weight <= 1 or not alpha > 0:
        raise InvalidValue(f"min_weight {min_weight}, alpha {alpha}", hint="0 < min_weight ≤ 1, alpha > 0")
    cosine = np.abs(np.cos(np.deg2rad(phi0_deg - np.asarray(phi_deg, np.float64))))
    weights = min_weight + (1.0 - min_weight) * cosine**alpha
    return weights / weights.mean() if normalize else weights


def sandwich(
    hessians: Float[np.ndarray, "n_phi p p"], weights: Float[np.ndarray, " n_phi"]
) -> Float[np.ndarray, "p p"]:
    """Covariance of an estimate with weights: H⁻¹ (Σ w_k² H_k) H⁻¹ with H = Σ w_k H_k.

    Args:
        hessians: JᵀJ of each angle, without weights, in units of its errors.

    Source: White 1980, Econometrica 48, 817, with known errors.
    Checked: tests/unit/xpcs/judge/test_xpcs_shear_weights.py against the spread of estimates of a linear model.
    """
    total = np.einsum("k,kij->ij", weights, hessians)
    middle = np.einsum("k,kij->ij", np.square(weights), hessians)
    scale = 1.0 / np.sqrt(np.diag(total))
    inverse = np.linalg.inv(total * np.outer(scale, scale)) * np.outer(scale, scale)
    return inverse @ middle @ inverse
