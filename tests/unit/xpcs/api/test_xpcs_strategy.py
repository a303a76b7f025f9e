"""Which way a fit goes over its points: the truth table of each rule."""

import json
from pathlib import Path

import pytest

from campaign.science import InvalidValue
from campaign_xpcs.api.memory import GB, GIB
from campaign_xpcs.api.strategy import MEASURED, POINT_BYTES, NLSQStrategy, select_nlsq_strategy
from campaign_xpcs.data.held import predicted

S, O, H = NLSQStrategy.STANDARD, NLSQStrategy.OUT_OF_CORE, NLSQStrategy.HYBRID_STREAMING  # noqa: E741
P = 53
FRACTION = 0.75


def chosen(rule, n, threshold_gb):
    return select_nlsq_strategy(n, P, rule=rule, fraction=FRACTION, memory_gb=threshold_gb / FRACTION).strategy


@pytest.mark.parametrize(
    ("n", "peak", "index", "expected"),
    [
        (999_999, True, True, {"document-2.20": S, "homodyne-2.23": S, "measured": S}),
        (1_000_000, True, True, {"document-2.20": O, "homodyne-2.23": S, "measured": S}),
        (999_999, False, True, {"document-2.20": O, "homodyne-2.23": O, "measured": O}),
        (1_000_000, False, True, {"document-2.20": O, "homodyne-2.23": O, "measured": O}),
        (999_999, False, False, {"document-2.20": H, "homodyne-2.23": H, "measured": H}),
        (1_000_000, False, False, {"document-2.20": H, "homodyne-2.23": H, "measured": H}),
    ],
)
def test_truth_tables(n, peak, index, expected):
    for rule, strategy in expected.items():
        unit = GIB if rule == "homodyne-2.23" else GB
        if rule == "measured":
            peak_gb, index_gb = MEASURED.gb(n, P), n * POINT_BYTES / GB
        else:
            peak_gb, index_gb = n * P * 8 * 6.5 / unit, n * 8 / unit
        threshold = peak_gb if peak else index_gb if index else 0.9 * index_gb
        assert chosen(rule, n, 1.001 * threshold) is strategy, rule


def test_an_exact_fit_fits():
    n = 1000
    peak = n * P * 8 * 6.5 / GB
    found = select_nlsq_strategy(n, P, rule="document-2.20", fraction=0.5, memory_gb=2 * peak)
    assert found.threshold_gb == found.peak_memory_gb
    assert found.strategy is S


def test_the_reason_says_what_was_compared():
    found = select_nlsq_strategy(23_000_000, P, rule="document-2.20", memory_gb=64, fraction=0.75)
    assert found.strategy is O
    assert found.threshold_gb == 48.0
    assert "63.4 GB" in found.reason
    assert "threshold 48 GB = 0.75 (given) of 64 GB (given)" in found.reason


def test_names_are_those_of_the_document():
    assert {s.value: s.executor for s in NLSQStrategy} == {
        "standard": "StandardExecutor",
        "out_of_core": "LargeDatasetExecutor",
        "hybrid": "StreamingExecutor",
    }


@pytest.mark.parametrize(("n", "p", "rule"), [(0, 5, "measured"), (5, 0, "measured"), (5, 5, "document")])
def test_nonsense_is_refused(n, p, rule):
    with pytest.raises(InvalidValue):
        select_nlsq_strategy(n, p, rule=rule)


def test_the_memory_of_this_machine_is_asked_where_none_is_given():
    found = select_nlsq_strategy(1000, 9)
    assert found.rule == "measured"
    assert found.threshold_gb > 0
    assert "(psutil)" in found.reason or "(cgroup)" in found.reason


@pytest.mark.parametrize("n", [997_395, 3_996_365, 15_999_030, 23_009_315])
def test_the_measured_peak_is_predicted_within_a_factor_of_two(n):
    """Peaks of benchmarks/results/xpcs_memory.json; 53 parameters need as many columns at once as 9 do."""
    fits = json.loads((Path(__file__).parents[4] / "benchmarks" / "results" / "xpcs_memory.json").read_text())["fits"]
    (peak,) = (one["peak_mb"] for one in fits if one["source"] == "resident" and one["points"] == n)
    assert 0.5 < 1e3 * MEASURED.gb(n, P) / peak < 2.0
    assert MEASURED.gb(n, P) == MEASURED.gb(n, 9)
    streams = [one["peak_mb"] for one in fits if one["source"] != "resident" and one["points"] == n]
    assert all(0.5 < predicted("file", n) / 1e6 / own < 2.0 for own in streams)
    assert max(streams) < 1000.0
