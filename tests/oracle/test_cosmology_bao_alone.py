"""BAO alone measure Ω_m and H0·r_d: H0 and Ω_b h² are unconstrained together, wherever a fit starts and is held.

The valley in H0 and Ω_b h² is where H0·r_d = 10155 km/s (golden fit of DESI DR2); chi2 is 10.28 along it.
"""

import numpy as np
import pytest
from scipy.optimize import least_squares

from campaign_cosmology import CosmologyWarning, build_params, run_fit, select
from campaign_cosmology.api.selection import bounded_space
from campaign_cosmology.judge.identifiability import curvature

FREE = ("H0", "Om0", "Obh2")
WHOLE = {"H0": (20.0, 150.0), "Om0": (0.01, 0.99), "Obh2": (0.005, 0.1)}
VALLEY = [(60.0, 0.0119), (70.0, 0.02386), (80.0, 0.03648), (100.0, 0.06153), (120.0, 0.08501)]  # (H0, Obh2)
GOLDEN = {"Om0": 0.297136755, "stderr": 0.0086, "chi2": 10.284001963}


def random_bounds(rng):
    """Bounds around a piece of the valley, sometimes narrow, sometimes the whole range on a side."""
    H0, Obh2 = VALLEY[rng.integers(len(VALLEY))]
    found = {}
    for name, centre in (("H0", H0), ("Om0", 0.297), ("Obh2", Obh2)):
        low, high = WHOLE[name]
        found[name] = (
            low if rng.random() < 0.3 else centre - rng.uniform(0.1, 1.0) * (centre - low),
            high if rng.random() < 0.3 else centre + rng.uniform(0.1, 1.0) * (high - centre),
        )
    return found


def test_200_starts_and_bounds_have_one_verdict():
    rng = np.random.default_rng(1)
    objective = select("lcdm", ["bao_ani"], FREE, build_params("lcdm")).objective
    verdicts, n_at_bound, H0 = set(), 0, []
    for _ in range(200):
        bounds = random_bounds(rng)
        low, high = np.array([bounds[name] for name in FREE]).T
        found = least_squares(
            lambda x: objective.linearised(x)[0],
            rng.uniform(low, high),
            jac=lambda x: objective.linearised(x)[1],
            bounds=(low, high),
            x_scale=[1.0, 0.01, 1e-3],
        )
        space = bounded_space("lcdm", FREE, bounds)
        x = np.where(np.abs(found.x - low) < 1e-7 * (high - low), low, found.x)
        x = np.where(np.abs(found.x - high) < 1e-7 * (high - low), high, x)
        report = curvature(space.subset(FREE).parameters, x, objective.linearised(x)[1])
        assert 2 * found.cost == pytest.approx(GOLDEN["chi2"], abs=0.02)
        assert found.x[1] == pytest.approx(GOLDEN["Om0"], abs=0.001)
        assert report.stderr["Om0"] == pytest.approx(GOLDEN["stderr"], rel=0.02)
        assert [set(direction) >= {"H0", "Obh2"} for direction in report.directions] == [True]
        verdicts.add((tuple(report.unidentified), tuple(report.constrained), report.n_effective))
        n_at_bound += bool(list(report.bounds_reached))
        H0.append(found.x[0])
    assert verdicts == {(("H0", "Obh2"), ("Om0",), 2)}
    assert np.ptp(H0) > 30.0  # they end all along the valley
    assert n_at_bound > 5  # also at bounds


@pytest.mark.parametrize(
    ("H0", "bounds"), [(67.4, None), (130.0, None), (45.0, {"H0": (40.0, 62.0)}), (80.0, {"Obh2": (0.02, 0.03)})]
)
def test_a_fit_names_them_and_gives_no_error(H0, bounds):
    with pytest.warns(CosmologyWarning, match="not constrained by the data: H0, Obh2"):
        found = run_fit(
            "lcdm",
            ["bao_ani"],
            overrides={"H0": H0, "Obh2": 0.0224},
            optimizer_config={"bounds": bounds or {}},
            optimization_params=FREE,
        )["optimization"]
    assert found["stderr"]["H0"] is None
    assert found["stderr"]["Obh2"] is None
    assert found["stderr"]["Om0"] == pytest.approx(GOLDEN["stderr"], rel=0.02)
    assert set(found["unidentified"]) == {"H0", "Obh2"}
    assert found["final_chi2"] == pytest.approx(GOLDEN["chi2"], abs=0.02)
