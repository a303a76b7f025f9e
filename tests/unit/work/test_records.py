"""Numbers of a summary that follow from chi2: against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from campaign.work.records import fit_statistics


def test_statistics_of_a_fit() -> None:
    found = fit_statistics(np.array([14.731138579]), np.array([16.0]), np.array([3.0]))
    assert found["dof"][0] == 13
    assert found["aic"][0] == pytest.approx(20.731138579, rel=1e-12)
    assert found["bic"][0] == pytest.approx(14.731138579 + 3 * np.log(16), rel=1e-12)
    assert found["p_value"][0] == pytest.approx(stats.chi2.sf(14.731138579, 13), rel=1e-12)
    assert found["reduced_chi2"][0] == pytest.approx(14.731138579 / 13, rel=1e-12)


@pytest.mark.parametrize("n_data", [3.0, 2.0])
def test_no_degrees_of_freedom_give_no_p_value(n_data: float) -> None:
    found = fit_statistics(np.array([1.0]), np.array([n_data]), np.array([3.0]))
    assert found["dof"][0] == n_data - 3
    assert np.isnan(found["p_value"][0])
    assert np.isnan(found["reduced_chi2"][0])
