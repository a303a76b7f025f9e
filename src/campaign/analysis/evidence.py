"""Evidences from what a fit or a chain gives, and Bayes factors between them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from campaign.diagnostics import ess_mean
from campaign.errors import InvalidValue, UnknownName, nearest
from campaign.space.priors import Prior, parse

if TYPE_CHECKING:
    from campaign.analysis.chain import Chain

NEAR = 3.0  # standard errors: a bound closer than this cuts the Gaussian of a fit
_LEAST = 20.0  # effective draws that must lie around a point before a density there is believed
_STEP = 0.02  # standard errors: step of the derivatives of a prior


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """ln Z of one model, or why there is none.

    Attributes:
        name: of the model or run.
        method: "nested", "laplace", …
        log_evidence: ln Z; None where the method gives none.
        stderr: its standard error; None where the method has no estimate of it.
        log_bayes_factor, bayes_stderr: ln B against the best of a comparison: see `compare_evidence`.
        note: what a person should know.
    """

    name: str
    method: str
    log_evidence: float | None
    stderr: float | None = None
    log_bayes_factor: float | None = None
    bayes_stderr: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BayesFactor:
    """ln B01 of a model with a parameter held, against that with it free.

    Attributes:
        log_bayes_factor: above 0 for the simpler model; None where the draws do not reach the value.
        stderr: Monte Carlo error of the density that it is from; None with it.
        note: what a person should know.
    """

    log_bayes_factor: float | None
    stderr: float | None
    note: str = ""


def savage_dickey(
    draws: Chain | np.ndarray, parameter: str | int | None, value: float, prior: Prior | Mapping[str, Any]
) -> BayesFactor:
    """ln B01 = ln p(value | data, model 1) − ln π(value | model 1): the parameter held at `value`, against free.

    Holds where the priors of the other parameters are the same in both models and do not depend on this one. The
    density is that of Gaussian kernels on draws pulled towards their mean, so that it has the draws' variance and is
    exact for a Gaussian posterior; next to a bound of the prior, of kernels that are mirrored there. Its error counts
    the effective number of independent draws.

    Args:
        draws: of the posterior, of equal weight: a chain, or an array (n, d) or (n,).
        parameter: which: a name of the chain's, or a column; None where there is one only.
        prior: the parameter's normalised prior, as a value or as manifests write it.

    Raises:
        UnknownName: no such parameter.
        InvalidValue: the prior has no density at the value, or there are too few draws.

    Source: Dickey 1971, Ann. Math. Stat. 42, 204; kernels: West 1993, J. R. Stat. Soc. B 55, 409.
    Checked: tests/oracle/test_evidence.py against closed forms.
    """
    prior = prior if isinstance(prior, Prior) else parse(prior)
    own = _column(draws, parameter)
    density = float(prior.ln_pdf(value))
    if not math.isfinite(density):
        raise InvalidValue(f"the prior {prior} has no density at {value}", hint="hold the parameter where it has one")
    if own.size < 4 * _LEAST or not own.std() > 0:
        raise InvalidValue(f"{own.size} draws, of which not all may be equal, are too few", hint="give 80 or more")
    kernels = _kernels(own, value, prior.support)
    mean, n = float(kernels.mean()), _effective(kernels)
    if not n >= _LEAST:
        return BayesFactor(
            log_bayes_factor=None,
            stderr=None,
            note=f"{n:.0f} effective draws around {value:g}: ln B is far below 0; take the evidences of both models",
        )
    error = float(kernels.std(ddof=1)) / math.sqrt(_independent(kernels)) / mean
    return BayesFactor(log_bayes_factor=math.log(mean) - density, stderr=error)


def laplace_evidence(
    *,
    loss: float,
    theta: Mapping[str, float],
    covariance: np.ndarray,
    priors: Mapping[str, Prior | Mapping[str, Any]],
    bounds_reached: Sequence[str] = (),
    unidentified: Sequence[str] = (),
    is_posterior: bool = False,
    name: str = "",
) -> Evidence:
    """ln Z of a fit, as if its posterior were Gaussian: Laplace's approximation.

    ln Z = −loss + ln π(θ̂) + ½ gᵀA⁻¹g + d/2 ln 2π − ½ ln |A|. Where the covariance is that of the likelihood, A is its
    inverse less the second derivatives of ln π and g the gradient of ln π: exact for a Gaussian likelihood with normal
    priors, or with flat ones that are wide. Where it is that of the posterior (at its maximum) A is its inverse, g = 0.

    Nothing tells how far a posterior is from Gaussian, so there is no error. A bound of a prior within three standard
    errors of θ̂ is named in the note: the Gaussian reaches beyond it and ln Z is too high, by ln 2 at the bound.

    Args:
        loss: −ln L at θ̂.
        theta, priors: by name, in the order of `covariance`; each prior normalised between its bounds.
        bounds_reached, unidentified: as in a summary. One of them, and there is no evidence.
        is_posterior: the covariance holds the priors' curvature already.

    Checked: tests/oracle/test_evidence.py against closed forms and quadrature.
    """
    names = tuple(theta)
    matrix = np.asarray(covariance, np.float64)
    found = {key: one if isinstance(one, Prior) else parse(one) for key, one in priors.items()}
    if matrix.shape != (len(names), len(names)) or set(found) != set(names):
        raise InvalidValue(
            f"{len(names)} parameters, a covariance of shape {matrix.shape} and priors of {', '.join(found) or 'none'}",
            hint="give one prior and one row for each free parameter",
        )
    nothing = Evidence(name=name, method="laplace", log_evidence=None)
    for what, who in (("ended on a bound", bounds_reached), ("is not determined by the data", unidentified)):
        if who:
            return replace(nothing, note=f"`{who[0]}` {what}: a Gaussian does not describe the posterior")
    if not (math.isfinite(loss) and np.isfinite(matrix).all() and np.linalg.eigvalsh(matrix)[0] > 0):
        return replace(nothing, note="the fit has no loss, or no covariance of all its parameters")
    errors = np.sqrt(np.diag(matrix))
    best, tables = np.array(list(theta.values())), [found[key] for key in names]
    height, slope, curvature = _prior_at(tables, best, errors)
    if not math.isfinite(height):
        return replace(nothing, note="the best fit has no prior density")
    precision = np.linalg.inv(matrix) - (0.0 if is_posterior else np.diag(curvature))
    slope = np.zeros_like(slope) if is_posterior else slope
    if not (np.isfinite(precision).all() and np.linalg.eigvalsh(precision)[0] > 0):
        return replace(nothing, note="the prior bends the posterior the other way: it has no Gaussian peak there")
    value = height - loss + 0.5 * float(slope @ np.linalg.solve(precision, slope))
    value += 0.5 * (len(names) * math.log(2.0 * math.pi) - float(np.linalg.slogdet(precision)[1]))
    return replace(nothing, log_evidence=value, note=_cut_by(names, best, errors, tables))


def compare_evidence(table: Sequence[Evidence]) -> list[Evidence]:
    """The same evidences with ln B = ln Z − ln Z_best and its error, best first; those without a value last.

    The errors of both are added in quadrature; None where one of them has no error. Models compare only where they
    are of the same data with the same constants in their likelihoods.
    """
    known = sorted((one for one in table if one.log_evidence is not None), key=lambda one: -(one.log_evidence or 0.0))
    rest = [one for one in table if one.log_evidence is None]
    if not known:
        return rest
    best = known[0]
    compared = []
    for one in known:
        has_errors = one.stderr is not None and best.stderr is not None
        error = 0.0 if one is best else math.hypot(one.stderr or 0.0, best.stderr or 0.0) if has_errors else None
        factor = (one.log_evidence or 0.0) - (best.log_evidence or 0.0)
        compared.append(replace(one, log_bayes_factor=factor, bayes_stderr=error))
    return compared + rest


def _column(draws: Chain | np.ndarray, parameter: str | int | None) -> np.ndarray:
    """Draws of one parameter in the order in which they were made: (n,) or (n, walkers)."""
    names = getattr(draws, "names", None)
    if names is not None:
        if parameter not in names:
            raise UnknownName(f"the chain has no parameter `{parameter}`", hint=nearest(str(parameter), names))
        rows = draws.samples[draws.first_row() :]  # pyright: ignore[reportAttributeAccessIssue]
        return np.asarray(rows[:, :, names.index(parameter)], np.float64)
    values = np.asarray(draws, np.float64)
    if values.ndim == 1 and parameter is None:
        return values
    if values.ndim != 2 or not isinstance(parameter, int) or not -values.shape[1] <= parameter < values.shape[1]:
        raise UnknownName(
            f"draws of shape {values.shape} have no column {parameter!r}", hint="give its number, or a chain and a name"
        )
    return values[:, parameter]


def _kernels(own: np.ndarray, value: float, support: tuple[float, float]) -> np.ndarray:
    """A density at `value` for each draw; their mean is the estimate."""
    n = _independent(own)
    mean, sd = float(own.mean()), float(own.std(ddof=1))
    width = min(1.06 * n**-0.2, 0.9)  # Silverman's rule, in standard deviations
    low, high = support
    is_near = min(own.min() - low, high - own.max(), value - low, high - value) < 3.0 * width * sd
    if not is_near:
        centres = mean + math.sqrt(1.0 - width * width) * (own - mean)
        return _normal(value, centres, width * sd)
    width *= 0.5  # nothing makes up for the width here
    total = _normal(value, own, width * sd)
    for end in (low, high):
        if math.isfinite(end):
            total = total + _normal(2.0 * end - value, own, width * sd)
    return total


def _normal(x: float, centres: np.ndarray, sd: float) -> np.ndarray:
    return np.exp(-0.5 * ((x - centres) / sd) ** 2) / (sd * math.sqrt(2.0 * math.pi))


def _effective(kernels: np.ndarray) -> float:
    """How many draws make up the estimate: (ΣK)²/ΣK², of the independent ones."""
    squares = float((kernels**2).sum())
    if not squares > 0:
        return 0.0
    return float(kernels.sum()) ** 2 / squares * _independent(kernels) / kernels.size


def _independent(values: np.ndarray) -> float:
    """Effective number of independent draws: at most the different ones."""
    found, different = ess_mean(values.reshape(len(values), -1)), float(np.unique(values).size)
    return min(found, different) if found > 0 else different


def _prior_at(priors: Sequence[Prior], theta: np.ndarray, errors: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """ln π with its first and second derivatives, each by central differences, one-sided next to a bound."""
    height, slope, curvature = 0.0, np.zeros(len(theta)), np.zeros(len(theta))
    for i, (prior, x, error) in enumerate(zip(priors, theta.tolist(), errors.tolist(), strict=True)):
        height += float(prior.ln_pdf(x))
        low, high = prior.support
        step = _STEP * error
        middle = min(max(x, low + 1.01 * step), high - 1.01 * step)
        below, at, above = (float(prior.ln_pdf(middle + k * step)) for k in (-1, 0, 1))
        slope[i], curvature[i] = (above - below) / (2 * step), (above - 2 * at + below) / step**2
    return height, slope, curvature


def _cut_by(names: Sequence[str], best: np.ndarray, errors: np.ndarray, priors: Sequence[Prior]) -> str:
    """Which bounds of the priors are near, in standard errors."""
    said = []
    for name, x, error, prior in zip(names, best.tolist(), errors.tolist(), priors, strict=True):
        distance = min(x - prior.support[0], prior.support[1] - x) / error
        if distance < NEAR:
            said.append(f"a bound of `{name}` is {distance:.1f} standard errors away: ln Z is too high")
    return "; ".join(said)
