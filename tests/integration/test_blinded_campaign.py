"""A blinded campaign of cosmology: no file of it holds the truth; errors and chi2 are the truth's."""

import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zarr
from arviz_stats.base import array_stats

import campaign
from campaign.blinding import key_of, shift
from campaign.cli.main import run
from campaign.drive.doors import submit

PHRASE = "correct horse battery"
SCALE = {"H0": 3.0, "Om0": 0.02}
BLIND = {"key": key_of(PHRASE), "scale": SCALE}
SHIFT = {name: shift(BLIND["key"], name, size) for name, size in SCALE.items()}
TRUTH = {"H0": 68.6352439, "Om0": 0.3010207}  # golden fit of CMB + DESI DR2, and what follows from it
STDERR = {"H0": 0.305, "Om0": 0.0038}
FOLLOWS = {"Omh2": 0.3010207 * 0.686352439**2, "H0_rd": 10100.66, "OL0": 0.6988907}
PROBLEM = {"name": "cosmology", "data": ["cmb", "bao_ani"], "free": ["H0", "Om0", "Obh2"], "blind": BLIND}
NUMBER = re.compile(rb"-?\d+\.\d+(?:[eE][-+]?\d+)?")


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    folder = tmp_path_factory.mktemp("blinded")
    chain = {"name": "ensemble", "walkers": 8, "steps": 60, "burn_in": 0.25}
    stages = [
        {"name": "fit", "problem": PROBLEM, "engine": {"name": "trf"}},
        {"name": "chain", "problem": PROBLEM, "start": {"from": "fit"}, "engine": chain},
    ]
    (folder / "m.json").write_text(json.dumps({"schema": "campaign/1", "name": "b", "seed": 1, "stages": stages}))
    submit(folder / "m.json", folder / "results", executor="inline")
    assert run(["report", str(folder / "results")]) == 0
    return folder / "results"


def numbers_of(directory: Path):
    """Every number in every file: of texts, tables and arrays."""
    for file in sorted(path for path in directory.rglob("*") if path.is_file() and "traces.zarr" not in path.parts):
        if file.suffix in (".parquet", ".arrow"):
            is_table = file.suffix == ".parquet"
            table = (
                pq.read_table(file)
                if is_table
                else pa.ipc.open_stream(file.read_bytes().partition(b"\n")[2]).read_all()
            )
            yield file, table.to_pandas().select_dtypes("number").to_numpy(float).ravel()
        elif file.suffix == ".npz":
            with np.load(file) as archive:
                for name in archive.files:
                    if archive[name].dtype.kind == "f":
                        yield file, archive[name].ravel()
        else:
            yield file, np.array([float(word) for word in NUMBER.findall(file.read_bytes())])
    root = zarr.open_group(directory / "traces.zarr", mode="r")
    for name, array in root.members(max_depth=None):
        if isinstance(array, zarr.Array) and array.dtype.kind == "f":
            yield name, np.asarray(array[...]).ravel()


def test_no_file_holds_the_best_fit_or_what_follows_from_it(directory):
    seen, kinds = 0, set()
    for place, values in numbers_of(directory):
        kinds.add(Path(str(place)).suffix)
        seen += values.size
        for name, value in {**TRUTH, **FOLLOWS}.items():
            assert not np.isclose(values, value, rtol=2e-7, atol=0).any(), f"{place} holds {name}"
    assert seen > 3_000
    assert {".json", ".jsonl", ".parquet", ".html", ""} <= kinds  # "": arrays


def test_the_search_for_the_truth_would_find_what_is_shown(directory):
    """The same search for the shifted value finds it in summaries, table, programs and arrays."""
    shown = campaign.open(directory).table().set_index("stage").loc["fit", "theta.H0"]
    places = {
        Path(str(place)).suffix for place, values in numbers_of(directory) if np.isclose(values, shown, 1e-9).any()
    }
    assert {".jsonl", ".parquet", ""} <= places


def test_values_are_shifted_by_the_hash_and_nothing_else_is(directory):
    row = campaign.open(directory).table().set_index("stage").loc["fit"]
    for name, value in TRUTH.items():
        assert row[f"theta.{name}"] - SHIFT[name] == pytest.approx(value, rel=3e-7)
        assert abs(SHIFT[name]) > 2e-3 * SCALE[name]
        assert row[f"stderr.{name}"] == pytest.approx(STDERR[name], rel=0.01)
    assert row["metric.chi2"] == pytest.approx(14.731138579, abs=1e-7)
    assert row["theta.Obh2"] == pytest.approx(0.0225376, rel=1e-5)
    derived = {name for name in row.index if name.startswith("derived.")}
    assert derived == {"derived.chi2_cmb", "derived.chi2_bao_ani"}
    assert campaign.open(directory).table().attrs["units"]["theta.H0"] == "km/s/Mpc, blinded"


def test_people_are_told_and_no_picture_needs_the_truth(directory, capsys):
    assert run(["show", str(directory), "last"]) == 0
    assert "km/s/Mpc, blinded" in capsys.readouterr().out
    page = (directory / "report.html").read_text()
    assert "km/s/Mpc, blinded" in page
    assert "there is no problem.blind=None" in page


def test_the_phrase_gives_the_truth_and_that_is_recorded(directory, tmp_path, capsys):
    assert run(["unblind", str(directory), "--phrase", "another phrase"]) == 3
    assert "not the phrase" in capsys.readouterr().err
    assert not any("unblinded" in file.read_text() for file in (directory / "events").iterdir())
    output = tmp_path / "true.parquet"
    assert run(["unblind", str(directory), "--phrase", PHRASE, "-o", str(output), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    fit = next(one for one in document["runs"] if one["stage"] == "fit")
    assert fit["theta.H0"] == pytest.approx(TRUTH["H0"], rel=3e-8)
    frame = pq.read_table(output).to_pandas().set_index("stage")
    assert frame.loc["fit", "theta.Om0"] == pytest.approx(TRUTH["Om0"], rel=3e-7)
    assert run(["logs", str(directory)]) == 0
    assert "for the truth of H0, Om0" in capsys.readouterr().out
    assert run(["unblind", str(directory), "--phrase", PHRASE]) == 0
    assert "68.64 ± 0.31" in capsys.readouterr().out
    test_no_file_holds_the_best_fit_or_what_follows_from_it(directory)


def test_true_draws_of_a_chain(directory, tmp_path):
    results = campaign.open(directory)
    run_id = results.table().set_index("stage").loc["chain", "run_id"]
    assert run(["unblind", str(directory), run_id[:12], "--phrase", PHRASE, "-o", str(tmp_path / "true")]) == 0
    shown, true = results.chain(run_id).flat_samples(), np.loadtxt(tmp_path / "true_1.txt")[:, 2:]
    assert shown - true == pytest.approx(np.broadcast_to([SHIFT["H0"], SHIFT["Om0"], 0.0], true.shape), abs=1e-9)


def test_whatever_is_exported_says_what_is_shifted(directory, tmp_path, capsys):
    results = campaign.open(directory)
    chain = results.chain(results.table().set_index("stage").loc["chain", "run_id"])
    chain.to_getdist(tmp_path / "shown")
    blinded = r"\ \mathrm{(blinded)}"
    expected = f"H0 H0{blinded}\nOm0 Om0{blinded}\nObh2 Obh2\n"
    assert (tmp_path / "shown.paramnames").read_text() == expected
    tree = chain.to_inference_data()
    assert tree["posterior"].attrs["blinded"] == "H0, Om0"
    assert tree["posterior"]["H0"].attrs["units"] == "km/s/Mpc, blinded"
    new = str(tmp_path / "new")
    assert run(["reweight", str(directory), "last", "--prior", "Obh2=0.0225,0.0002", "--least", "1", "-o", new]) == 0
    assert (tmp_path / "new.paramnames").read_text() == expected
    assert (tmp_path / "new.txt").read_text().startswith("# blinded, shown shifted: H0, Om0\n")
    assert run(["export", str(directory), "last", "-o", str(tmp_path / "run")]) == 0
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["blinded"] == ["H0", "Om0"]
    assert json.loads((tmp_path / "run" / "meta.json").read_text())["units"]["theta.Om0"] == "blinded"
    capsys.readouterr()
    assert run(["query", str(directory), 'select "theta.H0", "theta.Obh2", loss from summary', "--csv"]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines()[0] == '"theta.H0 (blinded)","theta.Obh2","loss"'
    assert "blinded: theta.H0" in said.err


def test_arviz_opens_a_chain_of_cosmology(directory):
    arviz_base = pytest.importorskip("arviz_base", reason="ArviZ's functions of trees need arviz-base")
    results = campaign.open(directory)
    chain = results.chain(results.table().set_index("stage").loc["chain", "run_id"])
    found = arviz_base.extract(chain.to_inference_data(), group="posterior", combined=False)
    assert set(found.data_vars) == {"H0", "Om0", "Obh2"}
    draws, r_hat = chain.judged_draws()[0], chain.r_hat()
    for i, name in enumerate(chain.names):
        own = found[name].transpose("draw", "chain").to_numpy()
        np.testing.assert_array_equal(own, draws[:, :, i])
        assert float(array_stats.rhat(own, chain_axis=1, draw_axis=0)) == pytest.approx(r_hat[name], rel=1e-10)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"free": ["Om0", "Obh2"]}, "`H0` is blinded and held"),
        ({"priors": {"H0": {"uniform": [60, 80]}}}, "would cut it at shifted bounds"),
        ({"blind": {"key": "0" * 64, "scale": {"w0": 1.0}}}, "`blind` names `w0`"),
        ({"blind": {"key": "phrase", "scale": {"H0": 1.0}}}, "key"),
    ],
)
def test_what_cannot_be_blinded_is_no_plan(changes, said, tmp_path, capsys):
    document = {"schema": "campaign/1", "name": "b", "problem": PROBLEM | changes, "engine": {"name": "trf"}}
    (tmp_path / "m.json").write_text(json.dumps(document))
    assert run(["validate", str(tmp_path / "m.json")]) == 3
    assert said in capsys.readouterr().err


def test_shifted_values_do_not_become_defaults_and_weights_do_not_unblind(directory, tmp_path, capsys):
    document = {"schema": "campaign/1", "name": "b", "problem": PROBLEM, "engine": {"name": "trf"}}
    (tmp_path / "m.json").write_text(json.dumps(document | {"publish": "defaults"}))
    assert run(["validate", str(tmp_path / "m.json")]) == 3
    assert "do not become defaults" in capsys.readouterr().err
    assert run(["reweight", str(directory), "last", "--set", "blind=null"]) == 3
    assert "is not changed by weights" in capsys.readouterr().err


def test_the_command_makes_what_a_manifest_takes(capsys):
    assert run(["blind", "--phrase", PHRASE, "--scale", "H0=3", "--scale", "Om0=0.02", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["blind"] == BLIND
