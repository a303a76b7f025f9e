"""Whether one contrast and offset, or a Fourier series of them, is enough: F tests of nested fits."""

from __future__ import annotations

from dataclasses import dataclass

from scipy.stats import f as f_distribution

from campaign.science import Fit, InvalidValue

REJECTED = 1e-6  # p below which the restricted scaling is wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A restricted model against a full one that contains it.

    Attributes:
        statistic: F = (Δχ²/Δp) / (χ²_full/dof_full).
        p_value: of an F as large, were the restricted model true.
        is_rejected: p below 1e-6: parameters of the restricted fit are biased by more than their errors say.
    """

    statistic: float
    n_restrictions: int
    dof: int
    p_value: float
    is_rejected: bool


def f_test(restricted: Fit, full: Fit) -> Comparison:
    """Averaged, fixed or Fourier scaling against individual scaling, of the same data.

    F needs no σ: only that errors of points are equal in both fits.

    Raises:
        InvalidValue: fits of other data, or without more parameters in the full one.

    Source: Seber and Wild 2003, Nonlinear Regression, sec. 5.3.
    Checked: tests/unit/xpcs/test_xpcs_comparing.py: contrasts that vary are seen, contrasts of the family are not.
    """
    data = {int(own.metric["n_data"]) for own in (restricted, full)}
    more = int(restricted.metric["dof"] - full.metric["dof"])
    if len(data) != 1 or more <= 0:
        raise InvalidValue(
            f"fits of {sorted(data)} points with {more} more parameters", hint="the same data, the larger model second"
        )
    dof = int(full.metric["dof"])
    gain = max(restricted.metric["chi2"] - full.metric["chi2"], 0.0)
    statistic = gain / more / (full.metric["chi2"] / dof)
    p = float(f_distribution.sf(statistic, more, dof))
    return Comparison(statistic=statistic, n_restrictions=more, dof=dof, p_value=p, is_rejected=p < REJECTED)


def absorbed(found: Fit) -> float:
    """Largest share of the information on a direction of the physics that contrasts and offsets take away, 0 to 1.

    1 − the smallest eigenvalue of H^(−1/2) S H^(−1/2), H of the physics alone and S with scaling fitted; near 1
    something of the physics is known through the scaling's prior or not at all.

    Raises:
        InvalidValue: the engine does not say; `varpro` does.
    """
    if "information_left" not in found.metric:
        raise InvalidValue("the fit does not say how much information is left", hint='engine "varpro"')
    return 1.0 - float(found.metric["information_left"])
