"""The campaigns of manifests/cosmology, reduced, against golden fits (tests/oracle/data/cosmology_fits.json: scipy)."""

import json
from pathlib import Path

import numpy as np
import pandas
import pytest
from scipy.interpolate import CubicSpline
from scipy.optimize import minimize

import campaign
from campaign.cli.main import run
from campaign.manifest.load import load
from campaign.schedule.planning import plan_stage
from campaign_cosmology import OptimizedParameterStore
from distance_likelihood import chi2 as chi2_of
from distance_likelihood import moments

pytestmark = pytest.mark.long

ROOT = Path(__file__).resolve().parents[2]
MANIFESTS = ROOT / "manifests" / "cosmology"
GOLDEN = json.loads((ROOT / "tests" / "oracle" / "data" / "cosmology_fits.json").read_text())
BAO, SN, BOSS = ["cmb", "bao_ani"], ["cmb", "bao_ani", "sn"], ["cmb", "bao_ani:boss-dr12"]


def nodes(document):
    """Every object in a JSON document, outermost first."""
    if isinstance(document, dict):
        yield document
    for child in document.values() if isinstance(document, dict) else document if isinstance(document, list) else ():
        yield from nodes(child)


def submitted(folder, document):
    """Run a manifest in this process; the table."""
    folder.mkdir(exist_ok=True)
    path = folder / "manifest.json"
    path.write_text(json.dumps(document))
    assert run(["submit", str(path), "-d", str(folder / "r"), "--executor", "inline", "--quiet"]) == 0
    return pandas.read_parquet(folder / "r" / "tables" / "summary.parquet")


def chosen(table, **options):
    """The rows whose problem has these options."""
    for name, value in options.items():
        text = json.dumps(value, separators=(",", ":")) if isinstance(value, list) else value
        table = table[table[f"problem.{name}"] == text]
    assert len(table) > 0
    return table


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """models.json with fewer data sets, starts and scales; other conventions for ΛCDM only."""
    document = json.loads((MANIFESTS / "models.json").read_text())
    for node in nodes(document):
        if "design" in node:
            node["n"] = 4
        grid = node.get("grid", {})
        if "problem.data" in grid:
            grid["problem.data"] = [BAO, SN]
        if "problem.cov_scale" in grid:
            grid["problem.cov_scale"] = [1.0, 4.0]
    document["exclude"] = [
        'problem.model == "pbuf" and problem.zstar != "PLANCK18"',
        'problem.zdrag != "AAN21" or problem.constants == "exact" or problem.zstar == "HS96C"',
        {"problem.model": "pbuf", "problem.data": SN},
    ]
    return submitted(tmp_path_factory.mktemp("cosmology") / "models", document)


@pytest.fixture(scope="module")
def profile(tmp_path_factory):
    """profile_k_sat.json on CMB and BAO only, every fifth value."""
    document = json.loads((MANIFESTS / "profile_k_sat.json").read_text())
    grid = document["stages"][0]["expand"]["grid"]
    grid["problem.data"] = [BAO]
    grid["start.k_sat"] = {"linspace": [0.1, 2.0, 20]}
    return submitted(tmp_path_factory.mktemp("cosmology") / "profile", document)


@pytest.mark.parametrize("name", sorted(path.stem for path in MANIFESTS.glob("*.json")))
def test_what_the_manifests_plan(name):
    manifest = load(MANIFESTS / f"{name}.json")
    part = plan_stage(manifest, manifest.stages[0])
    n_runs, n_programs = {
        "models": (6144, 24),
        "posterior": (32, 2),
        "profile_k_sat": (288, 3),
        "bootstrap": (5001, 1),
        "dark-energy": (70, 70),
    }[name]
    assert part.header["n_runs"] == n_runs
    assert len(part.header["programs"]) == n_programs


@pytest.mark.parametrize(
    ("model", "data", "golden"),
    [
        ("lcdm", ["cmb"], "lcdm_CMB3"),
        ("lcdm", BAO, "lcdm_CMB3_DESIDR2"),
        ("lcdm", SN, "lcdm_CMB3_DESIDR2_U3"),
        ("pbuf", BAO, "pbuf_bounded_CMB3_DESIDR2"),
        ("pbuf", ["cmb"], "pbuf_CMB3_ksat_only"),
    ],
)
def test_every_start_finds_the_golden_fit(models, model, data, golden):
    golden = GOLDEN[golden]
    runs = chosen(models, model=model, data=data, zstar="PLANCK18")
    assert len(runs) == 8
    assert (runs["outcome"] == "converged").all()
    for name, value in golden["params"].items():
        column = f"derived.{'M_sn' if name.startswith('M_') else name}" if name[:2] == "M_" else f"theta.{name}"
        np.testing.assert_allclose(runs[column], value, rtol=1e-5)
    published = runs[runs["problem.cov_scale"] == 1.0]
    np.testing.assert_allclose(published["metric.chi2"], golden["chi2"], atol=1e-6)
    assert (published["metric.n_data"] == golden["N"]).all()
    assert (published["metric.dof"] == golden["N"] - golden["k"]).all()
    np.testing.assert_allclose(published["metric.aic"], golden["AIC"], atol=1e-6)
    np.testing.assert_allclose(published["metric.bic"], golden["BIC"], atol=1e-6)


def test_errors_are_those_of_the_golden_fit_and_grow_with_the_covariance(models):
    runs = chosen(models, model="lcdm", data=BAO, zstar="PLANCK18")
    one, four = runs[runs["problem.cov_scale"] == 1.0], runs[runs["problem.cov_scale"] == 4.0]
    for name, sigma in GOLDEN["lcdm_CMB3_DESIDR2"]["sigma_gauss_newton"].items():
        np.testing.assert_allclose(one[f"stderr.{name}"], sigma, rtol=1e-4)
        np.testing.assert_allclose(four[f"stderr.{name}"], 2 * sigma, rtol=1e-4)
    np.testing.assert_allclose(four["metric.chi2"], 14.731138579 / 4, atol=1e-6)


def test_k_sat_ends_at_its_bound_without_an_error(models):
    runs = chosen(models, model="pbuf", data=BAO)
    assert all(list(reached) == ["k_sat:lower"] for reached in runs["bounds_reached"])
    assert runs["stderr.k_sat"].isna().all()
    np.testing.assert_allclose(runs["theta.k_sat"], 0.1, atol=1e-8)
    assert (runs["stderr.H0"] > 0).all()
    one = (
        chosen(models, data=BAO, zstar="PLANCK18", cov_scale=1.0)
        .groupby("problem.model")[["metric.aic", "metric.bic"]]
        .min()
    )
    assert one.loc["pbuf", "metric.aic"] - one.loc["lcdm", "metric.aic"] == pytest.approx(-1.81917, abs=1e-5)
    assert one.loc["pbuf", "metric.bic"] - one.loc["lcdm", "metric.bic"] == pytest.approx(-1.04658, abs=1e-5)


def test_k_sat_alone_on_the_cmb(models):
    runs = chosen(models, model="pbuf", data=["cmb"], cov_scale=1.0)
    np.testing.assert_allclose(runs["theta.k_sat"], 0.972750096, rtol=1e-5)
    np.testing.assert_allclose(runs["stderr.k_sat"], 0.005615454, rtol=1e-4)
    np.testing.assert_allclose(runs["theta.H0"], 67.4)  # does not move


def test_other_conventions_move_the_fit(models):
    hs96 = chosen(models, model="lcdm", data=BAO, zstar="HS96", zdrag="AAN21", cov_scale=1.0)
    np.testing.assert_allclose(hs96["theta.H0"], 68.699669315, rtol=1e-5)
    np.testing.assert_allclose(hs96["theta.Om0"], 0.302258225, rtol=1e-5)
    np.testing.assert_allclose(hs96["metric.chi2"], 13.996724849, atol=1e-6)


def test_profile_of_k_sat(profile):
    curve = profile[profile["stage"] == "profile"].sort_values("start.k_sat")
    k, chi2 = curve["start.k_sat"].to_numpy(), curve["metric.chi2"].to_numpy()
    np.testing.assert_array_equal(curve["theta.k_sat"], k)  # it does not move
    assert (np.diff(chi2) > 0).all()  # the best is at the lower bound …
    assert chi2[0] == pytest.approx(GOLDEN["pbuf_bounded_CMB3_DESIDR2"]["chi2"], abs=1e-6)
    np.testing.assert_allclose(curve["theta.H0"].iloc[0], 61.981905763, rtol=1e-5)
    # … and k_sat = 1 is ΛCDM, up to sigma of PBUF (1e-8 of H)
    at_one = curve[np.isclose(k, 1.0)].iloc[0]
    assert at_one["metric.chi2"] == pytest.approx(GOLDEN["lcdm_CMB3_DESIDR2"]["chi2"], abs=1e-5)
    np.testing.assert_allclose(at_one["theta.H0"], GOLDEN["lcdm_CMB3_DESIDR2"]["params"]["H0"], rtol=1e-5)
    # and elsewhere what scipy finds on a likelihood of the tests' own
    for i in (3, 15):
        best, least, _ = conditional_fit(k[i])
        assert chi2[i] == pytest.approx(least, abs=1e-6)
        np.testing.assert_allclose(curve[["theta.H0", "theta.Om0", "theta.Obh2"]].iloc[i], best, rtol=1e-5)


def test_slice_of_k_sat_on_the_cmb(profile):
    """Its minimum and the interval of Δχ² = 1: the golden fit of k_sat alone, 0.97275 ± 0.0056 with chi2 0.0202797."""
    slice_ = profile[profile["stage"] == "slice"]
    k, chi2 = slice_["start.k_sat"].to_numpy(), slice_["derived.chi2_cmb"].to_numpy()
    np.testing.assert_allclose(2 * slice_["loss"], chi2, rtol=1e-10)  # two sums of the same squares, in two programs
    near = np.abs(k - 0.97275) < 0.006
    a, b, c = np.polyfit(k[near] - 0.97275, chi2[near], 2)
    assert 0.97275 - b / (2 * a) == pytest.approx(0.972750096, abs=2e-5)
    assert c - b * b / (4 * a) == pytest.approx(0.020279685, abs=1e-4)
    low, high = (np.interp(1.020279685, *side) for side in _sides(k, chi2))
    assert (high - low) / 2 == pytest.approx(0.005615454, rel=5e-3)


def _sides(k, chi2):
    """(chi2, k) left and right of the minimum, chi2 growing."""
    i = int(np.argmin(chi2))
    return (chi2[: i + 1][::-1], k[: i + 1][::-1]), (chi2[i:], k[i:])


def test_posterior_of_pbuf_from_the_bound_on(tmp_path):
    """k_sat against its marginal posterior by Laplace's method: ∝ exp(−chi2/2) √det(covariance of the other three)."""
    document = json.loads((MANIFESTS / "posterior.json").read_text())
    document["stages"][0]["exclude"] = [{"problem.model": "lcdm"}]
    for node in nodes(document):
        if "design" in node:
            node["n"] = 4
    table = submitted(tmp_path / "posterior", document)
    best = chosen(table[table["stage"] == "fit"], model="pbuf")
    np.testing.assert_allclose(best["theta.k_sat"], 0.1, atol=1e-8)
    row = table[table["stage"] == "posterior"].iloc[0]
    chain = campaign.open(tmp_path / "posterior" / "r").trace(row["run_id"])["theta"].values[200:]  # 40,000 / 20 / 10
    assert chain.shape == (1800, 32, 4)
    assert chain[..., 3].min() > 0.1

    grid = np.linspace(0.1, 2.0, 20)
    fits = [conditional_fit(k) for k in grid]
    log_density = CubicSpline(grid, [-0.5 * least - 0.5 * np.linalg.slogdet(hessian)[1] for _, least, hessian in fits])
    H0 = CubicSpline(grid, [best[0] for best, _, _ in fits])
    fine = np.linspace(0.1, 2.0, 4001)
    weight = np.exp(log_density(fine) - log_density(fine).max())
    mean, sd, mean_error, sd_error = moments(chain)
    k_mean, H0_mean = (np.average(x, weights=weight) for x in (fine, H0(fine)))
    k_sd = np.sqrt(np.average((fine - k_mean) ** 2, weights=weight))
    assert abs(mean[3] - k_mean) < 4 * mean_error[3] < 0.1 * k_sd
    assert abs(mean[0] - H0_mean) < 4 * mean_error[0]
    assert abs(sd[3] - k_sd) < 4 * sd_error[3] < 0.1 * k_sd


def conditional_fit(k_sat):
    """scipy on the likelihood of tests/: best (H0, Om0, Obh2), chi2, and its Hessian in units of `scale`."""
    scale = np.array([0.3, 4e-3, 1.2e-4])
    start = np.array([61.98 + 7.4 * (k_sat - 0.1), 0.302, 0.02245])

    def chi2(x):
        return float(chi2_of(np.append(start + scale * x, k_sat)[None])[0])

    options = {"xatol": 1e-7, "fatol": 1e-9, "maxfev": 4000}
    found = minimize(chi2, np.zeros(3), method="Nelder-Mead", options=options)
    e = 0.3 * np.eye(3)
    hessian = np.array(
        [
            [chi2(found.x + a + b) - chi2(found.x + a - b) - chi2(found.x - a + b) + chi2(found.x - a - b) for a in e]
            for b in e
        ]
    )
    return start + scale * found.x, found.fun, hessian / 0.36


def test_what_a_campaign_publishes_is_an_optimum_like_any_other(tmp_path, monkeypatch):
    """k_sat = 0.97275, chi2 = 0.02028 from 0.39762 (golden): stored, named, and a start to be warm from."""
    monkeypatch.setenv("CAMPAIGN_DEFAULTS", str(tmp_path / "defaults"))
    problem = {"name": "cosmology", "model": "pbuf", "data": ["cmb"], "free": ["k_sat"]}
    stage = {"name": "fit", "problem": problem, "engine": {"name": "trf"}, "publish": "defaults"}
    submitted(tmp_path / "c", {"schema": "campaign/1", "name": "publishing", "stages": [stage]})
    store = OptimizedParameterStore()
    assert "k_sat = 0.97275 (from cmb by campaign `publishing`, " in store.describe("pbuf")
    assert store.is_optimized("pbuf", "cmb")
    (record,) = store.get_optimization_history("pbuf")
    assert record.chi2_improvement == pytest.approx(0.39762209352 - 0.02027968503, abs=1e-8)
    summary = store.summary()["pbuf"]
    assert summary["chi2"] == pytest.approx(0.02027968503, abs=1e-9)
    assert summary["provenance"]["conventions"]["zdrag"] == "AAN21"
    assert store.get_warm_start_params("pbuf")["k_sat"] == pytest.approx(0.97275010, abs=1e-6)


def test_the_winner_of_an_extended_campaign_may_be_a_run_of_before(tmp_path, monkeypatch):
    """Its program stands in the first plan; the second one holds only what is new."""
    monkeypatch.setenv("CAMPAIGN_DEFAULTS", str(tmp_path / "defaults"))
    problem = {"name": "cosmology", "model": "pbuf", "data": ["cmb"], "free": ["k_sat"]}
    stage = {"name": "fit", "problem": problem, "engine": {"name": "trf"}, "publish": "defaults"}
    for steps in ([200], [200, 1]):
        document = stage | {"expand": {"grid": {"engine.max_steps": steps}}}
        submitted(tmp_path / "c", {"schema": "campaign/1", "name": "extended", "stages": [document]})
    store = OptimizedParameterStore()
    assert [record.model for record in store.get_optimization_history("pbuf")] == ["pbuf"] * 2
    assert store.describe("pbuf").startswith("defaults of pbuf: k_sat = 0.97275 (from cmb by campaign `extended`, ")
