"""Which search comes before a fit: every combination of the flags, with its reason."""

import itertools

import numpy as np
import pytest

from campaign.science import InvalidValue
from campaign_xpcs.api.search import chosen_search, compute_scale_ratio
from campaign_xpcs.data.cmaes_config import CMAESWrapperConfig
from campaign_xpcs.data.nlsq_config import NLSQConfig

LARGE = {"D0": (100.0, 50000.0), "gamma_dot_t0": (1e-6, 0.01)}
SMALL = {"alpha": (-2.0, 2.0), "phi0": (-10.0, 10.0)}


@pytest.mark.parametrize(("cmaes", "several", "large", "auto"), list(itertools.product([True, False], repeat=4)))
def test_all_combinations(cmaes, several, large, auto):
    config = NLSQConfig(enable_cmaes=cmaes, enable_multi_start=several, cmaes=CMAESWrapperConfig(auto_select=auto))
    found = chosen_search(config, LARGE if large else SMALL)
    if cmaes:
        expected = "cmaes" if large or not auto else "multistart"
    else:
        expected = "multistart" if several else "local"
    assert found.search == expected
    assert found.reason


def test_the_example_of_the_document():
    ratio = compute_scale_ratio((np.array([100.0, 1e-6]), np.array([50000.0, 0.01])))
    assert ratio == pytest.approx(49900 / 0.009999, rel=1e-12)
    assert ratio == pytest.approx(5e6, rel=0.01)


def test_parameters_that_do_not_move_are_left_out():
    assert compute_scale_ratio((np.zeros(3), np.array([2.0, 0.0, 1.0]))) == 2.0
    assert compute_scale_ratio((np.zeros(1), np.array([2.0]))) == 1.0
    for wrong in (([0.0], [np.inf]), ([1.0, 0.0], [0.0, 1.0]), ([], [])):
        with pytest.raises(InvalidValue):
            compute_scale_ratio(wrong)
