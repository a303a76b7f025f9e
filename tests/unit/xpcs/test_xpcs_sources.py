"""One fit from three sources: rows in memory, row blocks of an .npy file, row blocks of HDF5. One algorithm.

Every block lacks an angle or two, the last one is ragged; χ² is that of the golden numbers.
"""

from __future__ import annotations

import dataclasses

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xpcs_sets
from campaign.science import InvalidValue, fit
from campaign_xpcs.data.maps import two_time_maps
from campaign_xpcs.data.stored_maps import stored_maps
from campaign_xpcs.model.problem import two_time_problem

SIZE = (3, 100)  # 4950 rows an angle
BLOCK = 4000  # the last of four begins inside the third angle, and is ragged
GIVEN = {"shear_model": "homodyne-compat", "values": xpcs_sets.NEAR}


@pytest.fixture(scope="module")
def made():
    return xpcs_sets.make(*SIZE)


@pytest.fixture(scope="module")
def stored(made, tmp_path_factory):
    """The maps as .npy, and as upper halves in HDF5."""
    folder = tmp_path_factory.mktemp("stored")
    about = {name: value for name, value in made.items() if name != "c2"}
    np.save(folder / "maps.npy", made["c2"])
    with h5py.File(folder / "maps.h5", "w") as file:
        for k, c2 in enumerate(made["c2"]):
            file[f"c2_{k}"] = np.triu(c2)
    keys = [f"c2_{k}" for k in range(SIZE[0])]
    return stored_maps(folder / "maps.npy", **about), stored_maps(folder / "maps.h5", keys=keys, **about)


@pytest.fixture(scope="module")
def resident(made):
    return fit(two_time_problem(two_time_maps(**made), **GIVEN), "varpro")


@pytest.mark.parametrize(("source", "block"), [(0, BLOCK), pytest.param(1, 1234, marks=pytest.mark.long)])
def test_three_sources_give_one_fit(stored, resident, source, block):
    problem = two_time_problem(stored[source], **GIVEN)
    assert not [leaf for leaf in jax.tree.leaves(problem) if leaf.size >= problem.n_residuals // 3]
    found = fit(problem, "varpro", engine_options={"chunk": block})
    golden = xpcs_sets.CHI2[SIZE] / 2.0
    np.testing.assert_allclose([found.metric["chi2"], resident.metric["chi2"]], golden, rtol=1e-8)
    assert set(found.unidentified) == set(resident.unidentified)
    for name, error in resident.stderr.items():
        if name not in resident.unidentified:
            assert abs(found.theta[name] - resident.theta[name]) < 1e-4 * error, name
            assert found.stderr[name] == pytest.approx(error, rel=1e-5), name


def test_masked_points_of_a_file_are_no_data(made, stored, tmp_path):
    c2 = made["c2"].copy()
    c2[1, 3, 40] = c2[1, 40, 3] = np.nan
    about = {name: value for name, value in made.items() if name != "c2"}
    np.save(tmp_path / "masked.npy", c2)
    problem = two_time_problem(stored_maps(tmp_path / "masked.npy", **about), **GIVEN)
    whole = two_time_problem(two_time_maps(c2, **about), **GIVEN)
    assert float(problem.n_masked) == float(whole.n_masked) == 1.0
    theta = jnp.asarray(whole.space.initial)
    expected = np.asarray(jax.jit(lambda own, at: own.residuals(at))(whole, theta))
    np.testing.assert_allclose(jax.jit(lambda own, at: own.residuals(at))(problem, theta), expected, rtol=1e-12)
    rows = jax.jit(lambda own, at, start: own.residual_rows(at, start, 1500))(problem, theta, 7000)
    np.testing.assert_allclose(rows, expected[7000:8500], rtol=1e-9, atol=1e-9)
    assert np.count_nonzero(expected == 0.0) == 1


def test_a_part_of_the_points_of_a_file_is_refused(stored):
    with pytest.raises(InvalidValue, match="a part of the points of maps in a file"):
        two_time_problem(stored[0], **GIVEN, rows=np.arange(10))


def test_the_start_is_that_of_every_frame(stored, made):
    """100 frames are coarse enough: contrasts and offsets begin where those of the whole maps do."""
    own, whole = two_time_problem(stored[0], **GIVEN), two_time_problem(two_time_maps(**made), **GIVEN)
    np.testing.assert_array_equal(own.space.initial, whole.space.initial)
    fewer = dataclasses.replace(stored[0]).coarse
    assert fewer.n_times == SIZE[1]
