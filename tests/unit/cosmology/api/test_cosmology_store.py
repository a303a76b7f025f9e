"""The parameter store's cosmological face."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from campaign.science import defaults
from campaign_cosmology import CosmologyWarning, OptimizedParameterStore, get_defaults, propagate_optimized_parameters

META = {"source_dataset": "cmb", "chi2_improvement": 0.3, "convergence_status": "success", "final_chi2": 0.02}


@pytest.fixture
def store():
    return OptimizedParameterStore()


def test_propagation_roundtrip(store):
    values = {"k_sat": 0.972750095997163, "alpha": 5.0000000001e-4}
    before = store.get_model_defaults("pbuf")
    store.update_model_defaults("pbuf", values, META)
    after = store.get_model_defaults("pbuf")
    for name, value in values.items():
        assert after[name] == pytest.approx(value, rel=1e-12)
    assert after["H0"] == before["H0"]
    assert after["optimization_metadata"]["source_dataset"] == "cmb"
    assert "optimization_metadata" not in before
    assert store.get_model_defaults("lcdm")["H0"] == get_defaults("lcdm")["H0"]


def test_dry_run_stores_nothing(store, defaults_folder):
    store.update_model_defaults("pbuf", {"k_sat": 0.9}, META, dry_run=True)
    assert store.get_model_defaults("pbuf")["k_sat"] == 0.9762
    assert not defaults_folder.exists()


def test_history_and_what_is_optimised(store):
    store.update_model_defaults("pbuf", {"k_sat": 0.97}, META)
    store.update_model_defaults("pbuf", {"H0": 68.0}, {**META, "source_dataset": "cmb,bao_ani"})
    store.update_model_defaults("pbuf", {"H0": 69.0}, {**META, "source_dataset": "sn", "convergence_status": "failed"})
    records = store.get_optimization_history("pbuf")
    assert [r.dataset for r in records] == ["cmb", "cmb,bao_ani", "sn"]
    assert records[0].final_values == {"k_sat": 0.97}
    assert records[1].chi2_improvement == 0.3
    assert store.is_optimized("pbuf", "cmb")
    assert store.is_optimized("pbuf", "bao_ani:desi-dr2,cmb:cmb3")
    assert not store.is_optimized("pbuf", "bao_ani:desi-dr1,cmb")
    assert not store.is_optimized("pbuf", "sn")
    assert not store.is_optimized("lcdm", "cmb")


def test_warm_start_is_recent_and_successful(store, monkeypatch):
    assert store.get_warm_start_params("pbuf") is None
    store.update_model_defaults("pbuf", {"k_sat": 0.97}, META)
    store.update_model_defaults("pbuf", {"k_sat": 0.5}, {**META, "convergence_status": "failed"})
    assert store.get_warm_start_params("pbuf")["k_sat"] == 0.97
    assert store.get_warm_start_params("pbuf", max_age=timedelta(0)) is None

    class Tomorrow(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + timedelta(hours=25)

    monkeypatch.setattr("campaign_cosmology.api.parameter_store.datetime", Tomorrow)
    assert store.get_warm_start_params("pbuf") is None


def test_warm_start_goes_by_the_records_time(store):
    """Stored later is not made later: the documents' own example is of October 2025, whenever it is stored."""
    now = datetime.now(UTC)

    def put(k_sat, when):
        store.update_model_defaults("pbuf", {"k_sat": k_sat}, {**META, "timestamp": when})

    put(0.90, "2025-10-22T14:42:00Z")
    assert store.get_warm_start_params("pbuf") is None
    put(0.92, (now - timedelta(hours=1)).isoformat())
    put(0.93, (now - timedelta(hours=3)).isoformat())
    put(0.94, (now - timedelta(hours=25)).isoformat())
    put(0.95, (now + timedelta(hours=2)).isoformat())  # a clock that is wrong
    assert store.get_warm_start_params("pbuf")["k_sat"] == 0.92
    assert store.get_warm_start_params("pbuf", max_age=timedelta(minutes=30)) is None
    put(0.96, (now - timedelta(minutes=20)).replace(tzinfo=None).isoformat())  # without a zone: UTC
    assert store.get_warm_start_params("pbuf")["k_sat"] == 0.96
    put(0.97, "yesterday")  # no time: that of storing
    assert store.get_warm_start_params("pbuf")["k_sat"] == 0.97


def test_the_cmb_summary_is_of_the_cmb(store):
    store.update_model_defaults("lcdm", {"H0": 68.0}, {**META, "timestamp": "2025-10-22T14:42:00Z"})
    store.update_model_defaults("lcdm", {"H0": 69.0}, {**META, "source_dataset": "cmb,bao_ani", "final_chi2": 14.7})
    store.update_model_defaults("pbuf", {"H0": 70.0}, {**META, "source_dataset": "sn"})
    store.update_model_defaults("lcdm", {"H0": 71.0}, {**META, "convergence_status": "failed"})
    summary = store.summaries()
    assert set(summary["cmb_optimization_summary"]) == {"lcdm"}
    entry = summary["cmb_optimization_summary"]["lcdm"]
    assert (entry["chi2"], entry["defaults"], entry["n_optimizations"]) == (0.02, {"H0": 68.0}, 1)
    assert entry["date"] == "2025-10-22T14:42:00+00:00"
    assert store.get_model_defaults("lcdm")["optimization_metadata"]["cmb_optimized"] == entry["date"]
    assert "cmb_optimized" not in store.get_model_defaults("pbuf")["optimization_metadata"]
    assert {m: e["defaults"]["H0"] for m, e in summary["latest_optimizations"].items()} == {"lcdm": 71.0, "pbuf": 70.0}


def test_models_are_compared(store):
    assert store.validate_cross_model_consistency() == {"H0": 0.0, "Om0": 0.0, "Obh2": 0.0, "ns": 0.0}
    store.update_model_defaults("lcdm", {"H0": 68.0}, META)
    with pytest.warns(CosmologyWarning, match=r"differ: H0 by 0\.0088"):
        divergence = store.validate_cross_model_consistency()
    assert divergence["H0"] == pytest.approx(0.6 / 68.0)
    propagate_optimized_parameters("pbuf", {"H0": 68.0})
    assert store.validate_cross_model_consistency()["H0"] == 0.0


def test_summary_is_exported(store, tmp_path):
    store.update_model_defaults("lcdm", {"H0": 68.0}, META)
    path = tmp_path / "reports" / "optimization_summary.json"
    store.export_optimization_summary(str(path))
    entry = json.loads(path.read_text())["cmb_optimization_summary"]["lcdm"]
    assert entry["chi2"] == 0.02
    assert entry["improvement"] == 0.3
    assert entry["optimized_params"] == ["H0"]
    assert entry["date"][:10] == datetime.now(UTC).isoformat()[:10]


@pytest.mark.parametrize(
    ("model", "values", "error"),
    [("cdmw", {"H0": 70.0}, ValueError), ("lcdm", {"k_sat": 1.0}, ValueError), ("lcdm", {"H0": 7.0}, ValueError)],
)
def test_what_cannot_be_stored(store, model, values, error):
    with pytest.raises(error):
        store.update_model_defaults(model, values)
    assert store.get_optimization_history("lcdm") == []


def test_a_stored_value_out_of_bounds_is_left_out(store):
    defaults.update_defaults("lcdm", {"H0": 7.0, "Om0": 0.3, "foreign": 1.0})
    with pytest.warns(CosmologyWarning, match="ignored"):
        params = store.get_model_defaults("lcdm")
    assert params["H0"] == 67.4
    assert params["Om0"] == 0.3


def test_a_damaged_store_is_rebuilt_and_said(store, defaults_folder):
    store.update_model_defaults("pbuf", {"k_sat": 0.97}, META)
    (defaults_folder / "pbuf.json").write_text("{ torn")
    with pytest.warns(defaults.DamagedDefaults, match="kept as pbuf.damaged-1"):
        assert store.get_model_defaults("pbuf")["k_sat"] == 0.97
