"""Whether a model with fewer parameters describes the data as well: an F-test. No JAX."""

from __future__ import annotations

from dataclasses import dataclass

from campaign.science import InvalidValue

REJECTED_BELOW = 1e-3  # p-value


@dataclass(frozen=True, slots=True, kw_only=True)
class NestedTest:
    """F = ((χ²_r − χ²_f)/(p_f − p_r)) / (χ²_f/dof_f), and the chance of one as large where the smaller model is true.

    Attributes:
        is_rejected: the smaller model does not describe the data.
    """

    f: float
    p_value: float
    extra_parameters: int
    dof: int

    @property
    def is_rejected(self) -> bool:
        return self.p_value < REJECTED_BELOW


def nested_test(chi2_small: float, p_small: int, chi2_large: float, p_large: int, n_data: int) -> NestedTest:
    """Compare nested models. It needs no scale of the errors: χ² of the larger model is one.

    Raises:
        InvalidValue: the larger model does not have more parameters, or there are no data left.

    Source: Bevington & Robinson 2003, Data Reduction and Error Analysis, sec. 11.4.
    Checked: tests/unit/xpcs/judge/test_xpcs_nested.py: p-values of true models are uniform.
    """
    from scipy.stats import f as distribution

    extra, dof = p_large - p_small, n_data - p_large
    if extra < 1 or dof < 1:
        raise InvalidValue(f"{p_small} and {p_large} parameters for {n_data} data", hint="small < large < data")
    value = max(chi2_small - chi2_large, 0.0) / extra / (chi2_large / dof)
    return NestedTest(f=value, p_value=float(distribution.sf(value, extra, dof)), extra_parameters=extra, dof=dof)
