"""A run without finite numbers is no good run, whatever its engine says of it."""

from __future__ import annotations

import numpy as np
import pytest

from campaign.engines.outcome import Outcome
from campaign.work.records import _ran_away

CODES = [Outcome.CONVERGED, Outcome.BUDGET, Outcome.STALLED, Outcome.ERROR]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_good_end_without_finite_numbers_is_a_divergence(bad):
    outcome = np.array([int(code) for code in CODES])
    numbers = {"loss": np.array([1.0, bad, 1.0, bad]), "theta": {"a": np.array([bad, 0.0, 2.0, 0.0])}}
    found = [Outcome(code) for code in _ran_away(outcome, numbers).tolist()]
    assert found == [Outcome.DIVERGED, Outcome.DIVERGED, Outcome.STALLED, Outcome.ERROR]
