"""Maps of a file: in memory or read by slices, as asked for or as memory allows; runs say which, and why."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest

import xpcs_sets
from campaign import memory
from campaign.science import InvalidValue, fit
from campaign_xpcs.data.maps import two_time_maps
from campaign_xpcs.data.writing import write_hdf5
from campaign_xpcs.model.building import build
from campaign_xpcs.model.options import XpcsOptions
from campaign_xpcs.model.stored_rows import StoredRows

N_ROWS = 3 * 20 * 19 // 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("held")
    write_hdf5(folder / "maps.h5", [two_time_maps(**xpcs_sets.make(3, 20))])
    return folder


@pytest.fixture
def data(folder):
    return {"data": str(folder / "maps.h5"), "gap": xpcs_sets.GAP, "sigma": 0.01, "shear_model": "homodyne-compat"}


def short_of_memory(monkeypatch, left: float):
    monkeypatch.setattr(memory, "free_memory", lambda: memory.FreeMemory(left, "its cgroup"))


def test_the_free_memory_decides(data, monkeypatch):
    assert isinstance(build(XpcsOptions(**data)).data, jax.Array)
    short_of_memory(monkeypatch, 5e6)
    problem = build(XpcsOptions(**data))
    assert isinstance(problem.data, StoredRows)
    assert problem.row_plan.strategy == "row blocks"
    assert problem.row_plan.reason.endswith("more than 0.75 of the 0.005 GB that its cgroup has free")
    assert problem.row_plan == dataclasses.replace(problem.row_plan, reason="other numbers", predicted=0.0)


def test_runs_record_strategy_and_reason(data, monkeypatch, folder):
    """The same fit either way; what it found is not what it says of memory."""
    monkeypatch.chdir(folder)
    held = data | {"values": xpcs_sets.TRUE, "fixed": ["D_offset", "gamma_dot_t_offset"], "data": "maps.h5"}
    whole = fit("xpcs", "varpro", options=held)
    assert whole.rows_held.startswith(f"rows in memory: {N_ROWS} rows and 9 parameters need about 0.")
    short_of_memory(monkeypatch, 5e6)
    blocks = fit("xpcs", "varpro", options=held, engine_options={"chunk": 100})
    assert blocks.rows_held.startswith(f"row blocks: {N_ROWS} rows and 9 parameters need about 0.")
    np.testing.assert_allclose(blocks.metric["chi2"], whole.metric["chi2"], rtol=1e-8)
    for name, error in whole.stderr.items():
        assert abs(blocks.theta[name] - whole.theta[name]) < 1e-4 * error
    assert blocks.metric["n_data"] == N_ROWS


def test_what_is_asked_for_is_done_and_said(data):
    problem = build(XpcsOptions(**data, held="file"))
    assert isinstance(problem.data, StoredRows)
    assert problem.row_plan.reason.startswith("asked for; ")
    problem = build(XpcsOptions(**data, held="memory"))
    assert isinstance(problem.data, jax.Array)
    assert problem.row_plan is None


@pytest.mark.parametrize(
    ("options", "who"),
    [
        ({"diagonal_width": 2}, "`diagonal_width`"),
        ({"block_average": 2}, "`block_average`"),
        ({"n_shards": 2}, "`n_shards`"),
        ({"marginal": True}, "`marginal`"),
        ({"sigma": "far-lags"}, "`sigma`"),
        ({"phi_ranges": [[-10.0, 10.0]]}, "`phi_ranges`"),
        ({"data": "maps.npz"}, "`data` that is no HDF5 file"),
    ],
)
def test_what_needs_the_maps_in_memory_is_named(data, options, who):
    with pytest.raises(InvalidValue, match=f'`held` is "file", and {who} needs the maps in memory'):
        build(XpcsOptions(**{**data, **options, "held": "file"}))
