"""The word for a fit: a table of cases, and none of them is good for one criterion alone."""

from __future__ import annotations

import pytest

from campaign_xpcs.judge.quality import judged


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({}, "good"),
        ({"outcome": "budget"}, "marginal"),
        ({"outcome": "stalled"}, "marginal"),
        ({"outcome": "nonfinite"}, "poor"),
        ({"reduced_chi2": 2.5}, "marginal"),
        ({"reduced_chi2": 5.5}, "poor"),
        ({"reduced_chi2": 4e6, "outcome": "budget"}, "poor"),  # homodyne: "marginal", for it joins by OR
        ({"reduced_chi2": float("nan")}, "poor"),
        ({"reduced_chi2": 0.3}, "marginal"),
        ({"n_at_bounds": 2}, "marginal"),
        ({"n_at_bounds": 3}, "poor"),
        ({"unidentified": ("beta",)}, "marginal"),
        ({"newton_decrement": 0.1}, "marginal"),
        ({"newton_decrement": 49.0}, "poor"),  # Δχ² = 98: what homodyne calls "converged, good"
        ({"outcome": "degenerate"}, "degenerate"),
        ({"sigma_is_default": True}, "good"),
    ],
)
def test_words(given, word):
    found = judged(**{"outcome": "converged", "reduced_chi2": 1.0} | given)
    assert found.word == word
    assert bool(found.reasons) == bool(given)


def test_states():
    states = {
        name: judged(outcome=name, reduced_chi2=1.0).state for name in ("converged", "budget", "degenerate", "diverged")
    }
    assert states == {"converged": "converged", "budget": "partial", "degenerate": "partial", "diverged": "failed"}
