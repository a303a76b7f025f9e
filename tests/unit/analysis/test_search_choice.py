"""The rule by flags, all combinations; and the rule by what a few starts found."""

import itertools

import pytest

from campaign.analysis.basins import Basin, Basins
from campaign.analysis.search_choice import choose_by_starts, choose_search, scale_ratio
from campaign.errors import InvalidValue

TABLE = {  # (cmaes enabled, multi-start enabled, ratio above 1000, auto_select, available)
    **{(True, m, True, a, True): "cmaes" for m in (True, False) for a in (True, False)},
    **{(True, m, False, False, True): "cmaes" for m in (True, False)},
    **{(True, m, False, True, True): "multistart" for m in (True, False)},
    **{(True, True, r, a, False): "multistart" for r in (True, False) for a in (True, False)},
    **{(True, False, r, a, False): "local" for r in (True, False) for a in (True, False)},
    **{(False, True, *rest): "multistart" for rest in itertools.product((True, False), repeat=3)},
    **{(False, False, *rest): "local" for rest in itertools.product((True, False), repeat=3)},
}


@pytest.mark.parametrize("flags", list(itertools.product((True, False), repeat=5)))
def test_every_combination_of_flags(flags):
    cmaes, many, is_wide, auto, available = flags
    found = choose_search(
        enable_cmaes=cmaes,
        enable_multi_start=many,
        scale_ratio=1000.5 if is_wide else 1000.0,
        auto_select=auto,
        has_cmaes=available,
    )
    assert found.search == TABLE[flags]
    assert found.scale_ratio == (1000.5 if is_wide else 1000.0)
    assert ("not available" in found.reason) == (cmaes and not available)
    assert ("although multi-start is not enabled" in found.reason) == (flags == (True, False, False, True, True))
    assert ("scale ratio 1e+03" in found.reason) == (cmaes and available and auto)


def test_the_ratio_is_that_of_the_widest_and_the_narrowest_range():
    bounds = {"D0": (100.0, 50_000.0), "gamma": (1e-6, 0.01), "alpha": (-2.0, 2.0)}
    assert scale_ratio(bounds) == pytest.approx(49_900.0 / (0.01 - 1e-6), rel=1e-15)
    assert scale_ratio([(0.0, 1.0), (3.0, 4.0)]) == 1.0
    for wrong in ({"a": (0.0, 1.0), "b": (0.0, float("inf"))}, {"b": (1.0, 1.0)}, {"b": (float("nan"), 1.0)}):
        with pytest.raises(InvalidValue, match="`b`"):
            scale_ratio(wrong)
    with pytest.raises(InvalidValue, match="no bounds"):
        scale_ratio([])
    with pytest.raises(InvalidValue, match=r"is 0\.5"):
        choose_search(enable_cmaes=True, enable_multi_start=True, scale_ratio=0.5)


def basins(*found, unsettled=()):
    """(members, Δχ²) of each."""
    made, k = [], 0
    for n, delta in found:
        made.append(
            Basin(theta={}, stderr={}, chi2=10 + delta, delta_chi2=delta, members=tuple(map(str, range(k, k + n))))
        )
        k += n
    rivals = [i for i, (_, delta) in enumerate(found) if delta <= 6.0]
    return Basins(found=tuple(made), rivals=tuple(rivals) if len(rivals) > 1 else (), unsettled=unsettled)


@pytest.mark.parametrize(
    ("found", "search", "word"),
    [
        (basins((6, 0.0)), "local", "all 6"),
        (basins((4, 0.0), (2, 50.0)), "multistart", "4 of 6"),
        (basins((2, 0.0), (4, 50.0)), "cmaes", "disagree: 2"),
        (basins((2, 0.0), (4, 5.0)), "multistart", "2 minima that fit equally well"),
        (basins((5, 0.0), unsettled=("x",)), "multistart", "5 of 6"),
        (basins(unsettled=tuple("abcdef")), "cmaes", "none of 6"),
    ],
)
def test_starts_that_disagree_ask_for_more(found, search, word):
    chosen = choose_by_starts(found, 6)
    assert (chosen.search, chosen.scale_ratio) == (search, None)
    assert word in chosen.reason


def test_two_starts_say_nothing():
    with pytest.raises(InvalidValue, match="2 starts"):
        choose_by_starts(basins((2, 0.0)), 2)
