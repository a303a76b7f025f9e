"""Quality flags: the table of the document with AND in the place of OR, and what keeps a fit from being good."""

import math

import pytest

from campaign_xpcs.judge.flags import STATUSES, Evidence, judge_quality


@pytest.mark.parametrize(
    ("outcome", "chi2", "flag", "status", "success"),
    [
        ("converged", 1.0, "good", "converged", True),
        ("converged", 1.9999, "good", "converged", True),
        ("converged", 2.0, "marginal", "converged", True),
        ("converged", 4.9999, "marginal", "converged", True),
        ("converged", 5.0, "poor", "converged", True),
        ("budget", 1.0, "marginal", "partial", False),
        ("stalled", 4.0, "marginal", "partial", False),
        ("stalled", 4e6, "poor", "partial", False),  # the document: marginal
        ("degenerate", 1.0, "marginal", "partial", False),
        ("nonfinite", 1.0, "poor", "failed", False),
        ("diverged", 1.0, "poor", "failed", False),
        ("error", math.nan, "poor", "failed", False),
        ("timeout", 1.0, "poor", "failed", False),
        ("aborted", 1.0, "poor", "failed", False),
        ("converged", math.nan, "poor", "converged", True),
        ("something new", 1.0, "poor", "failed", False),
    ],
)
def test_flags(outcome, chi2, flag, status, success):
    found = judge_quality(Evidence(outcome=outcome, reduced_chi_squared=chi2))
    assert (found.flag, found.status, found.success) == (flag, status, success)


@pytest.mark.parametrize(
    ("against", "flag", "said"),
    [
        ({"at_bounds": ("alpha",)}, "marginal", "at a bound: alpha"),
        ({"at_bounds": ("alpha", "beta", "phi0")}, "poor", "at a bound"),
        ({"outcome": "degenerate"}, "marginal", "floored at some times"),
        ({"unidentified": ("phi0",)}, "marginal", "not identified by the data: phi0"),
        ({"decrement": 9.9}, "marginal", "the minimum is 9.9 errors away"),
        ({"decrement": 0.01}, "good", None),
        ({"gradient": 0.01}, "marginal", "projected gradient is 0.01"),
        ({"lacking": 1}, "marginal", "leave 1 directions"),
        ({"sigma_is_default": True}, "good", "the default 0.01"),
    ],
)
def test_what_keeps_a_fit_from_being_good(against, flag, said):
    found = judge_quality(Evidence(**{"outcome": "converged", "reduced_chi_squared": 1.0} | against))
    assert found.flag == flag
    assert (said is None and found.reasons == ()) or any(said in reason for reason in found.reasons)


def test_a_reduced_chi_squared_that_is_too_small_is_said():
    found = judge_quality(Evidence(outcome="converged", reduced_chi_squared=0.2))
    assert "below 0.5" in found.reasons[0]


def test_the_dead_fit_of_the_peer_is_never_good():
    """Homodyne on D(3,100): "converged", "good", reduced χ² 0.983, with D(t) floored at every time."""
    found = judge_quality(Evidence(outcome="degenerate", reduced_chi_squared=29196.8 / 29694))
    assert found.flag != "good"
    assert not found.success


def test_every_outcome_of_a_run_has_a_status():
    from campaign.engines.outcome import Outcome

    assert {o.label for o in Outcome} - {"running"} <= set(STATUSES)
