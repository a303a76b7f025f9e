"""campaign xpcs: a simulated map is fitted, its files are whole, pictures are drawn, wrong calls say what is wrong."""

import json

import numpy as np
import pytest
import xarray
import yaml
from click.testing import CliRunner

from campaign.science import CampaignError
from campaign_xpcs.commands.xpcs import group
from campaign_xpcs.data.writing import read_npz

HELD = {"D_offset": 100.0, "gamma_dot_t_offset": 1e-4}


def called(*arguments, code=0):
    done = CliRunner().invoke(group, [str(a) for a in arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == code, done.output
    return done


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    here = tmp_path_factory.mktemp("xpcs")
    called("simulate", here / "maps.npz", "--angles", 3, "--frames", 30, "--sigma", 0.002, "--plot", here / "map.png")
    called("config", here / "config.yaml")
    document = yaml.safe_load((here / "config.yaml").read_text())
    document["initial_parameters"] = {
        "values": {"D0": 1500.0, "alpha": -0.2, "gamma_dot_t0": 1.8e-3, "beta": -0.1, "phi0": 0.0},
        "fixed_parameters": HELD,
    }
    document["optimization"]["cmc"] = {
        "num_shards": 1, "per_shard_mcmc": {"num_warmup": 100, "num_samples": 100, "num_chains": 2},
    }  # fmt: skip
    (here / "config.yaml").write_text(yaml.safe_dump(document))
    return here


@pytest.fixture(scope="module")
def fitted(folder):
    return called("fit", "--config", folder / "config.yaml", "--output-dir", folder / "out", "--json")


def test_simulated_maps_are_symmetric_and_drawn(folder):
    maps = read_npz(folder / "maps.npz")
    assert maps.c2.shape == (3, 30, 30)
    np.testing.assert_allclose(maps.c2, np.swapaxes(maps.c2, 1, 2), rtol=1e-12)
    assert (folder / "map.png").read_bytes().startswith(b"\x89PNG")


def test_a_fit_finds_what_stands_behind_the_maps(folder, fitted):
    document = json.loads(fitted.stdout)["nlsq"]
    assert document["convergence_status"] == "converged"
    truth = {"D0": 2000.0, "alpha": -0.3, "gamma_dot_t0": 2e-3, "beta": -0.2, "phi0": -5.0}
    for name, value in truth.items():
        assert abs(document["parameters"][name] - value) < 4 * document["uncertainties"][name]
    assert document["data"]["shear_model"] == "physical"


def test_the_files_of_a_fit(folder, fitted):
    out = folder / "out" / "nlsq"
    document = json.loads(fitted.stdout)["nlsq"]
    whole = json.loads((out / "analysis_results_nlsq.json").read_text())
    assert {k: v for k, v in whole.items() if k != "schema"} == document
    parameters = json.loads((out / "parameters.json").read_text())["parameters"]
    assert parameters["D0"]["value"] == document["parameters"]["D0"]
    assert parameters["D_offset"] == {"value": 100.0, "uncertainty": None}
    metrics = json.loads((out / "convergence_metrics.json").read_text())
    assert metrics["degrees_of_freedom"] == document["n_data"] - 11
    with np.load(out / "fitted_data.npz", allow_pickle=False) as arrays:
        upper = np.triu(np.ones((30, 30), bool), 1)
        residual = arrays["residual_over_sigma"]
        assert np.sum(residual[:, upper] ** 2) == pytest.approx(document["chi_squared"], rel=1e-10)
        np.testing.assert_allclose(arrays["chi2_of_angle"].sum(), document["chi_squared"], rtol=1e-12)
        np.testing.assert_allclose((arrays["c2_exp"] - arrays["c2_fit"])[:, upper] / 0.002, residual[:, upper])
        assert np.isnan(residual[:, np.arange(30), np.arange(30)]).all()
        assert (arrays["D_error"] > 0).all()
    assert not [path.name for path in out.iterdir() if path.name.startswith(".")]


def test_the_pictures_of_a_fit_and_once_more_from_its_files(folder, fitted):
    names = {"rates", "angles", "residuals"} | {f"c2_heatmaps_phi_{a:.1f}deg" for a in (-170.0, -50.0, 70.0)}
    out = folder / "out" / "nlsq"
    assert names == {path.stem for path in out.glob("*.png")}
    called("plot", out, "--output-dir", folder / "again", "--format", "svg")
    assert names == {path.stem for path in (folder / "again").glob("*.svg")}


@pytest.mark.long
def test_a_posterior_starts_at_the_least_squares_result(folder, fitted):
    out = folder / "out"
    done = called(
        "fit", "--method", "cmc", "--config", folder / "config.yaml", "--output-dir", out,
        "--nlsq-result", out / "nlsq" / "analysis_results_nlsq.json", "--json",
    )  # fmt: skip
    document = json.loads(done.stdout)
    assert document["cmc"]["device_info"]["warm_start"] is True
    assert document["cmc"]["device_info"]["mode_from"] == "nlsq_result"
    best = json.loads(fitted.stdout)["nlsq"]
    for name, mean in document["cmc"]["mean"].items():
        assert abs(mean - best["parameters"][name]) < best["uncertainties"][name]
    with xarray.open_dataset(out / "cmc" / "posterior.nc", engine="scipy") as draws:
        assert draws["D0"].dims == ("chain", "draw")
        assert float(draws["D0"].mean()) == pytest.approx(document["cmc"]["mean"]["D0"], rel=1e-12)
    assert (out / "cmc" / "posterior.png").exists()
    assert json.loads((out / "cmc" / "shard_diagnostics.json").read_text())["shards"][0]["verdict"] == "one part"


def test_a_configuration_is_checked(folder, tmp_path):
    path = tmp_path / "config.yaml"
    called("config", path, "--mode", "static_isotropic")
    assert "valid" in called("config", path, "--validate").output
    path.write_text(path.read_text().replace("dt: 0.1", "dt: -1\n  dtt: 3") + "\nplotting: {dpi: 3}\n")
    told = called("config", path, "--validate", code=3).output
    assert "analyzer_parameters.dt: the value is -1; valid: a number above 0" in told
    path.write_text(path.read_text().replace("dt: -1", "dt: 1"))
    told = json.loads(called("config", path, "--validate", "--json", code=3).stdout)
    assert told["unknown"] == ["analyzer_parameters.dtt"]
    assert any(note.startswith("plotting.* is not used") for note in told["notes"])
    with pytest.raises(CampaignError, match="exists"):
        called("config", path)


def test_notes_go_to_stderr_and_not_into_json(folder, tmp_path):
    document = yaml.safe_load((folder / "config.yaml").read_text())
    document |= {"logging": {"level": "INFO"}, "experimental_data": {"file_path": str(folder / "maps.npz")}}
    path = tmp_path / "other.yaml"
    path.write_text(yaml.safe_dump(document))
    done = called("fit", "--config", path, "--output-dir", tmp_path / "out", "--no-plots", "--json")
    json.loads(done.stdout)
    assert "note: logging.* is not used" in done.stderr
    assert not list((tmp_path / "out").rglob("*.png"))


def test_wrong_calls_say_what_is_wrong(folder, tmp_path):
    config = folder / "config.yaml"
    with pytest.raises(CampaignError, match="contradict"):
        called("fit", "--config", config, "--nlsq-result", config, "--no-nlsq-warmstart")
    with pytest.raises(CampaignError, match="no result of a least-squares fit"):
        called("fit", "--config", config, "--method", "cmc", "--nlsq-result", config)
    with pytest.raises(CampaignError, match="has no fit to draw"):
        called("plot", tmp_path)
    for arguments, said in (
        (("maps.tif",), r"no \.npz and no \.h5 file"),
        (("maps.npz", "--q", 0.01, "--q", 0.02), r"an \.npz file holds one q, and 2 are given"),
        (("maps.npz", "--q", 54), "q is 54 1/Å; valid: 1e-05 to 1"),
        (("maps.npz", "--true", "D1=3"), "`D1` is no parameter of simulated maps; valid: `D0`"),
        (("maps.npz", "--plot", "map.xyz"), r"map\.xyz is no picture that can be drawn; valid: \.png"),
        (("maps.npz", "--true", "D0"), "--true D0 is no parameter with a finite number"),
    ):
        with pytest.raises(CampaignError, match=said):
            called("simulate", tmp_path / arguments[0], *arguments[1:])
    with pytest.raises(CampaignError, match=r"d0\.bmp is no picture that can be drawn; valid: \.png"):
        called("wavevectors", tmp_path, "--plot", "d0.bmp")
    with pytest.raises(CampaignError, match="cannot be read"):
        called("fit", "--config", tmp_path / "absent.yaml")
