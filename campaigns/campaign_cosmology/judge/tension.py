"""Do two data sets agree? Three answers to one question, each with its formula and what it assumes. NumPy and SciPy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from campaign.science import Blind, InvalidValue
from campaign.science import reweight as reweight


@dataclass(frozen=True, slots=True, kw_only=True)
class Tension:
    """How far apart two data sets are.

    Attributes:
        chi2, dof: what is distributed as chi2 if they agree.
        p_value: probability of at least as much.
        sigmas: of a Gaussian with that two-sided probability.
        method: which answer this is, in words.
    """

    chi2: float
    dof: float
    p_value: float
    sigmas: float
    method: str


def _tension(chi2: float, dof: float, method: str) -> Tension:
    p = float(stats.chi2.sf(max(chi2, 0.0), dof))
    log_p = float(stats.chi2.logsf(max(chi2, 0.0), dof))
    sigmas = float(stats.norm.isf(p / 2.0)) if p > 1e-300 else math.sqrt(-2.0 * log_p)
    return Tension(chi2=chi2, dof=dof, p_value=p, sigmas=max(sigmas, 0.0), method=method)


def parameter_difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> Tension:
    """Δᵀ (C₁ + C₂)⁻¹ Δ over the parameters that both fits constrain: Gaussian posteriors, independent data.

    Args:
        one, other: results of `run_fit` with parameters optimised.

    Raises:
        ValueError (InvalidValue): a fit without errors, no common parameter, the same data twice, or parameters that
            are not blinded alike.
    """
    optima = [result["optimization"] for result in (one, other) if "optimization" in result]
    if len(optima) < 2:
        raise InvalidValue("a result has no optimised parameters", hint="run_fit(…, optimization_params=[…])")
    shared = set(one["provenance"]["data_sha256"].values()) & set(other["provenance"]["data_sha256"].values())
    if shared:
        raise InvalidValue("the two fits share a data set, so their difference is not one of independent numbers")
    known = [optimum["metadata"]["covariance"]["parameters"] for optimum in optima]
    names = [name for name in known[0] if name in known[1]]
    if not names:
        raise InvalidValue("the two fits constrain no parameter in common")
    _require_same_shifts(optima, names)
    covariance, values = np.zeros((len(names), len(names))), []
    for optimum, own in zip(optima, known, strict=True):
        rows = [own.index(name) for name in names]
        covariance += np.array(optimum["metadata"]["covariance"]["matrix"])[np.ix_(rows, rows)]
        values.append([optimum["optimized_params"][name] for name in names])
    off = np.subtract(*values)
    return _tension(float(off @ np.linalg.solve(covariance, off)), len(names), f"difference of {', '.join(names)}")


def _require_same_shifts(optima: Sequence[Mapping[str, Any]], names: Sequence[str]) -> None:
    """Raises `InvalidValue` where a parameter is shifted in one of the fits only, or by something else."""
    blinds = [optimum["metadata"].get("blind") for optimum in optima]
    shifts = [{} if blind is None else Blind.model_validate(blind).shifts() for blind in blinds]
    for name in names:
        if shifts[0].get(name, 0.0) != shifts[1].get(name, 0.0):
            raise InvalidValue(
                f"`{name}` is not blinded alike in the two fits", hint="fit both with the same `blind`, or without"
            )


def worse_together(one: Mapping[str, Any], other: Mapping[str, Any], joint: Mapping[str, Any]) -> Tension:
    """χ²(joint) − χ²(one) − χ²(other) at the best fits; dof = k₁ + k₂ − k₁₂ of constrained parameters.

    Source: Raveri & Hu 2019, arXiv:1806.04649, sec. IV (Q_DMAP), with flat priors that do not constrain.

    Raises:
        ValueError (InvalidValue): the joint fit is not of just the data of the two.
    """
    hashes = [set(result["provenance"]["data_sha256"].values()) for result in (one, other, joint)]
    if hashes[0] & hashes[1] or hashes[0] | hashes[1] != hashes[2]:
        raise InvalidValue("the joint fit is not of the data of the two others", hint="fit A, B, and A with B")
    chi2 = [result["metrics"]["total_chi2"] for result in (one, other, joint)]
    k = [result["optimization"]["metadata"]["n_effective_parameters"] for result in (one, other, joint)]
    dof = k[0] + k[1] - k[2]
    if dof <= 0:
        raise InvalidValue(f"{k[0]} and {k[1]} constrained parameters are {k[2]} together: nothing is in common")
    return _tension(chi2[2] - chi2[0] - chi2[1], dof, "worse fit of both together")


def suspiciousness(
    log_evidence: tuple[float, float, float], information: tuple[float, float, float], dof: float
) -> Tension:
    """ln S = ln R − ln I, of evidences and informations (Kullback–Leibler divergences) of one, other and joint fits.

    ln R = ln Z₁₂ − ln Z₁ − ln Z₂, ln I = D₁ + D₂ − D₁₂; d − 2 ln S is distributed as χ² with d degrees of
    freedom; d counts the parameters that both constrain. Priors drop out, as long as they do not constrain.

    Source: Handley & Lemos 2019, arXiv:1902.04029, eq. 12-13.
    """
    log_r = log_evidence[2] - log_evidence[0] - log_evidence[1]
    log_i = information[0] + information[1] - information[2]
    return _tension(dof - 2.0 * (log_r - log_i), dof, "suspiciousness")
