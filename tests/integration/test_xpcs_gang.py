"""One fit of maps in a file, its row blocks spread over processes, each with its own slices: the bits are equal."""

from __future__ import annotations

import json

import numpy as np
import pytest

import xpcs_sets
from campaign.drive.doors import submit
from campaign_xpcs.data.maps import two_time_maps
from campaign_xpcs.data.writing import write_hdf5
from running import assert_same, table

SIZE = (3, 100)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gang")
    write_hdf5(folder / "maps.h5", [two_time_maps(**xpcs_sets.make(*SIZE))])
    return folder


def fitted(folder, name, ranks, executor="inline"):
    document = {
        "schema": "campaign/1",
        "name": "gang",
        "problem": {
            "name": "xpcs",
            "data": "maps.h5",
            "held": "file",
            "n_phi": SIZE[0],
            "gap": xpcs_sets.GAP,
            "sigma": xpcs_sets.SIGMA,
            "shear_model": "homodyne-compat",
            "values": xpcs_sets.NEAR,
        },
        "engine": {"name": "varpro", "chunk": 1300},  # 12 row blocks, the last one ragged; none has all angles
        "trace": False,
        "execution": {"executor": executor, "ranks_per_block": ranks}
        | ({} if executor == "inline" else {"workers": 1}),
    }
    path = folder / f"{name}.json"
    path.write_text(json.dumps(document))
    submit(path, folder / name)
    return table(folder / name)


@pytest.fixture(scope="module")
def alone(folder):
    found = fitted(folder, "alone", 1)
    (row,) = found.to_pylist()
    np.testing.assert_allclose(2.0 * row["metric.chi2"], xpcs_sets.CHI2[SIZE], rtol=1e-8)
    return found


@pytest.mark.long
@pytest.mark.parametrize(
    ("executor", "ranks"), [("inline", 2), ("inline", 4), ("dask", 4), pytest.param("mpi", 2, marks=pytest.mark.mpi)]
)
def test_gangs_give_the_same_bits(folder, alone, executor, ranks, request):
    if executor == "mpi":
        request.getfixturevalue("mpi")
    assert_same(fitted(folder, f"{executor}{ranks}", ranks, executor), alone)
