"""A run without finite numbers is no good run, whatever its engine says of it."""

from __future__ import annotations

import numpy as np

from campaign.engines.outcome import Outcome
from campaign.work.records import _ran_away

CODES = [Outcome.CONVERGED, Outcome.BUDGET, Outcome.STALLED, Outcome.ERROR]


def test_a_good_end_without_a_finite_theta_is_a_divergence():
    codes = [Outcome.CONVERGED, Outcome.BUDGET, Outcome.STALLED, Outcome.ERROR]
    theta = np.array([[np.nan, 1.0], [0.0, -1e200], [2.0, 1e100], [np.nan, np.nan]])
    found = [Outcome(code) for code in _ran_away(np.array([int(code) for code in codes]), theta).tolist()]
    assert found == [Outcome.DIVERGED, Outcome.DIVERGED, Outcome.STALLED, Outcome.ERROR]
