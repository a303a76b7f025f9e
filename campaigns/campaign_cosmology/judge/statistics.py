"""Numbers that judge a fit. No JAX."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TypedDict

import numpy as np

from campaign.science import InvalidValue, UnknownName
from campaign_cosmology.data.data_table import is_symmetric
from campaign_cosmology.model.warning import CosmologyWarning


class NotFinite(InvalidValue):
    """A prediction that is NaN or infinite: the model has no value there. A fit turns away from such places."""


class MetricsDict(TypedDict):
    """Statistics of a fit. `p_value`, `reduced_chi2` and `aicc` are None where dof ≤ 0 (or AICc has no meaning)."""

    total_chi2: float
    aic: float
    bic: float
    dof: int
    p_value: float | None
    reduced_chi2: float | None
    chi2: float  # the same as total_chi2
    chi2_reduced: float | None  # the same as reduced_chi2
    aicc: float | None
    n_data: int
    n_parameters: int


def chi2_generic(
    predictions: Mapping[str, float] | Sequence[float] | np.ndarray,
    observations: Mapping[str, float] | Sequence[float] | np.ndarray,
    covariance: np.ndarray,
) -> float:
    """chi2 = r' C⁻¹ r, r = prediction − observation, by Cholesky.

    Rows are matched by label; the order is that of `observations`, which is the covariance's (never sorted names).
    Observations without labels (a vector) are matched by place, with a vector or a dictionary in that order.

    Raises:
        KeyError (UnknownName): a label of the observations has no prediction.
        ValueError (InvalidValue): shapes disagree, an observation or the covariance is not finite, or the covariance
            is not symmetric or not positive definite. NotFinite (a ValueError too): a prediction is not finite.
    """
    covariance = _checked_covariance(covariance)
    if not isinstance(observations, Mapping):
        values = list(predictions.values()) if isinstance(predictions, Mapping) else predictions
        one, other = np.asarray(values, float), np.asarray(observations, float)
        if one.shape != other.shape:
            raise InvalidValue(f"{one.shape} predictions for {other.shape} observations", hint="one for each")
        return chi2_of(_differences(one, other, range(len(other))), covariance)
    if not isinstance(predictions, Mapping):
        raise InvalidValue("predictions have no labels, observations have", hint="give a dictionary: label → value")
    missing = [label for label in observations if label not in predictions]
    if missing:
        raise UnknownName(
            f"no prediction for {', '.join(missing)}", hint=f"predictions are: {', '.join(map(str, predictions))}"
        )
    one, other = (np.array([rows[label] for label in observations], float) for rows in (predictions, observations))
    return chi2_of(_differences(one, other, list(observations)), covariance)


def _differences(predicted: np.ndarray, observed: np.ndarray, labels: Sequence) -> np.ndarray:
    for kind, what, values in ((InvalidValue, "observation", observed), (NotFinite, "prediction", predicted)):
        bad = np.flatnonzero(~np.isfinite(values.ravel()))
        if len(bad):
            raise kind(f"the {what} `{labels[bad[0]]}` is {values.ravel()[bad[0]]}", hint="a finite number")
    return predicted - observed


def _checked_covariance(covariance: np.ndarray) -> np.ndarray:
    """Finite, and symmetric to 1e-10 of the errors: only one of its triangles is ever read."""
    matrix = np.asarray(covariance, float)
    if not np.isfinite(matrix).all():
        raise InvalidValue("the covariance has entries that are not finite")
    if matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1] and not is_symmetric(matrix):
        i, j = np.unravel_index(np.argmax(np.abs(matrix - matrix.T)), matrix.shape)
        raise InvalidValue(
            f"the covariance is not symmetric: [{i}, {j}] is {matrix[i, j]:g}, [{j}, {i}] is {matrix[j, i]:g}",
            hint="if they differ by rounding, give (C + C.T) / 2",
        )
    return matrix


def chi2_of(r: np.ndarray, covariance: np.ndarray) -> float:
    """r' C⁻¹ r by Cholesky. Errors as `chi2_generic`."""
    if covariance.shape != (len(r), len(r)):
        raise InvalidValue(f"covariance has shape {covariance.shape}; {len(r)} observations need ({len(r)}, {len(r)})")
    try:
        w = np.linalg.solve(np.linalg.cholesky(covariance), r)
    except np.linalg.LinAlgError:
        smallest = float(np.linalg.eigvalsh(covariance)[0])
        raise InvalidValue(f"covariance is not positive definite: smallest eigenvalue {smallest:.3g}") from None
    return float(w @ w)


def checked_dof(n_data: int, n_params: int) -> int:
    """`n_data` − `n_params`, with a `CosmologyWarning` where it is not positive."""
    dof = n_data - n_params
    if dof <= 0:
        consequence = (
            "the fit goes through every point and says nothing about the model"
            if dof == 0
            else "many parameter sets fit equally well, and the best fit is one of them"
        )
        warnings.warn(
            f"{n_params} parameters, {n_data} data: dof = {dof}; {consequence}", CosmologyWarning, stacklevel=3
        )
    return dof


def metrics_of(chi2: float, n_params: int, n_data: int) -> MetricsDict:
    """AIC = chi2 + 2k; AICc = AIC + 2k(k+1)/(N−k−1); BIC = chi2 + k ln N; dof = N − k; p = Q(chi2; dof).

    `p_value` and `reduced_chi2` are None where dof ≤ 0, `aicc` where N − k − 1 ≤ 0.

    Raises:
        ValueError (InvalidValue): chi2 negative or not finite, k negative.
    """
    from scipy.special import chdtrc

    if not (np.isfinite(chi2) and chi2 >= 0):
        raise InvalidValue(f"chi2 = {chi2} is not a chi2", hint="the model was evaluated outside of its domain")
    if isinstance(n_params, bool) or not isinstance(n_params, (int, np.integer)) or n_params < 0:
        raise InvalidValue(f"the number of parameters is {n_params!r}", hint="a whole number, 0 or more")
    dof = checked_dof(n_data, n_params)
    aic = chi2 + 2.0 * n_params
    room = n_data - n_params - 1
    p_value = float(chdtrc(dof, chi2)) if dof > 0 else None
    reduced = chi2 / dof if dof > 0 else None
    return MetricsDict(
        total_chi2=float(chi2),
        aic=aic,
        bic=chi2 + n_params * float(np.log(n_data)),
        dof=dof,
        p_value=p_value,
        reduced_chi2=reduced,
        chi2=float(chi2),
        chi2_reduced=reduced,
        aicc=aic + 2.0 * n_params * (n_params + 1) / room if room > 0 else None,
        n_data=n_data,
        n_parameters=n_params,
    )


def delta_aic(aic1: float, aic2: float) -> float:
    """AIC₁ − AIC₂: negative favours model 1."""
    return aic1 - aic2
