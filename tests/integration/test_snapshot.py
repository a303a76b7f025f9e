"""What ran is what is kept: originals may be edited, moved and deleted, and another process goes on from the copies."""

import json
import shutil
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest

from campaign.analysis.verify import verify
from campaign.drive.doors import resume, retry, submit
from campaign.errors import Damage, InvalidValue, ManifestError
from campaign.fitting import fit, replay
from campaign.store.claim import read_identity
from campaign.store.layout import Layout
from mean_problem import mean_problem
from running import campaign, here


def write(folder, *, imports="", values="np.ones(3) * k", axis=(1, 2), **files):
    """A project: problem, manifest, further files by name (`_` is a slash, `__` a dot)."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "p.py").write_text(mean_problem(values, imports))
    document = {
        "schema": "campaign/1",
        "name": "kept",
        "problem": {"name": "p.py:mean"},
        "engine": {"name": "trf"},
        "execution": {"executor": "inline"},
        "expand": {"grid": {"problem.k": list(axis)}},
    }
    (folder / "manifest.json").write_text(json.dumps(document))
    for name, text in files.items():
        path = folder / name.replace("__", ".").replace("_", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder / "manifest.json"


def means(root):
    """k → a, which is the mean of the data."""
    rows = pq.read_table(root / "tables" / "summary.parquet").to_pylist()
    return {row["problem.k"]: round(row["theta.a"], 9) for row in rows}


def undone(root):
    """As if nothing had run yet."""
    for name in ("summaries", "tables", "traces.zarr", "runs", "programs", "states"):
        shutil.rmtree(root / name, ignore_errors=True)


def names(root):
    layout = Layout(root)
    (tree,) = read_identity(layout).inputs.values()
    folder = layout.kept(tree)
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_everything_beside_the_problem_file_is_kept_and_the_originals_may_go(tmp_path, monkeypatch):
    """A helper, a package with relative imports, a late import, data read at import and at build; then all is gone."""
    outside = tmp_path / "lib"
    (outside / "far").mkdir(parents=True)
    (outside / "far" / "__init__.py").write_text("from pathlib import Path\nfrom . import near\n")
    text = "from pathlib import Path\nN = float((Path(__file__).parent / 'n.txt').read_text())\n"
    (outside / "far" / "near.py").write_text(text)
    (outside / "far" / "n.txt").write_text("5")
    monkeypatch.syspath_prepend(str(outside))
    late = "def more():\n    import late_one\n    return late_one.ONE\n"
    manifest = write(
        tmp_path / "project",
        imports="import helper\nfrom pack.inner import TWO\nimport far.near\nfrom far import near as same",
        values="np.loadtxt(Path(__file__).parent / 'data' / f'{k}.txt') + helper.more() + TWO + far.near.N",
        helper__py=late,
        pack___init____py="",
    )
    folder = manifest.parent
    (folder / "pack").mkdir(exist_ok=True)
    (folder / "late_one.py").write_text("ONE = 1.0\n")
    (folder / "pack" / "__init__.py").write_text("from .inner import TWO\n")
    (folder / "pack" / "inner.py").write_text("TWO = 2.0\n")
    (folder / "data").mkdir()
    for k in (1, 2):
        (folder / "data" / f"{k}.txt").write_text(f"{100 * k}\n{100 * k}\n")
    root = tmp_path / "r"
    assert submit(manifest, root).state == "done"
    assert means(root) == {1: 108.0, 2: 208.0}
    assert names(root) == [
        "data/1.txt",
        "data/2.txt",
        "helper.py",
        "late_one.py",
        "p.py",
        "pack/__init__.py",
        "pack/inner.py",
        "path-0/far/__init__.py",
        "path-0/far/n.txt",
        "path-0/far/near.py",
    ]
    assert not [name for name in sys.modules if name.partition(".")[0] in ("helper", "pack", "late_one", "far")]
    shutil.rmtree(folder)
    shutil.rmtree(outside)
    undone(root)
    done = campaign("resume", root, "-q", "-e", "dask", "-w", 1, PYTHONPATH="")
    assert done.returncode == 0, done.stderr
    assert means(root) == {1: 108.0, 2: 208.0}
    assert "since the last submission" not in done.stderr
    assert verify(Layout(root)) == []
    one = pq.read_table(root / "tables" / "summary.parquet").to_pylist()[0]
    assert replay(root, one["run_id"]).loss == one["loss"]


def test_resume_runs_what_was_submitted_and_submit_says_what_changed(tmp_path):
    manifest = write(tmp_path / "project", imports="from helper import TEN", values="np.ones(3) * k + TEN")
    helper = manifest.parent / "helper.py"
    helper.write_text("TEN = 10.0\n")
    root = tmp_path / "r"
    assert submit(manifest, root).warnings == ()
    helper.write_text("TEN = 20.0\n")
    undone(root)
    assert resume(root).warnings == ()
    assert means(root) == {1: 11.0, 2: 12.0}
    report = submit(manifest, root)
    assert report.stages[0].n_new == 2
    (said,) = report.warnings
    assert said.startswith("`helper.py` has changed since the last submission")
    assert means(root) == {1: 21.0, 2: 22.0}
    helper.write_text("TEN = 10.0\n")
    assert submit(manifest, root).stages[0].n_ok == 2
    assert means(root) == {1: 11.0, 2: 12.0}  # these runs were done before
    assert verify(Layout(root)) == []


def test_data_beside_that_were_edited_make_new_runs_only_where_they_are_read(tmp_path):
    manifest = write(tmp_path / "project", values="np.loadtxt(Path(__file__).parent / f'{k}.txt')")
    for k in (1, 2):
        (manifest.parent / f"{k}.txt").write_text(f"{k}\n{k}\n")
    root = tmp_path / "r"
    submit(manifest, root)
    (manifest.parent / "2.txt").write_text("7\n7\n")
    report = submit(manifest, root)
    assert (report.stages[0].n_new, report.stages[0].n_removed) == (1, 1)
    assert report.warnings[0].startswith("`2.txt` has changed")
    assert means(root) == {1: 1.0, 2: 7.0}


def test_a_file_alone_has_the_run_id_of_before(tmp_path):
    """The hash of a problem file without helpers enters ids as it did before there were copies of helpers."""
    from campaign.data import sha256
    from campaign.schedule.check import open_manifest
    from campaign.schedule.resolve import resolve
    from campaign.schedule.stage_points import expected, problem_document

    manifest = open_manifest(write(tmp_path / "project"))
    stage = manifest.stages[0]
    begun = expected(manifest, stage, None)
    groups = resolve(manifest, stage, 2, begun.columns, problem=problem_document(manifest, stage)).resolved
    assert {group.module.sha256 for group in groups} == {sha256(tmp_path / "project" / "p.py")}
    assert [group.inputs for group in groups] == [{}, {}]


def test_damaged_copies_are_refused_by_name_and_replaced_by_a_submission(tmp_path):
    manifest = write(tmp_path / "project", imports="from helper import TEN", values="np.ones(3) * k + TEN")
    (manifest.parent / "helper.py").write_text("TEN = 10.0\n")
    root = tmp_path / "r"
    submit(manifest, root)
    (copy,) = (root / "inputs").rglob("helper.py")
    copy.write_text("TEN = 99.0\n")
    undone(root)
    with pytest.raises(Damage, match=r"helper\.py has been changed") as caught:
        resume(root)
    assert "submit the manifest again" in caught.value.hint
    assert [found.place.rpartition("/")[2] for found in verify(Layout(root)) if found.kind == "input"] == ["helper.py"]
    assert submit(manifest, root).state == "done"
    assert copy.read_text() == "TEN = 10.0\n"
    assert means(root) == {1: 11.0, 2: 12.0}


def test_declared_files_and_tables_of_axes_are_kept(tmp_path):
    folder = tmp_path / "project"
    manifest = write(folder)
    text = (folder / "p.py").read_text()
    text = text.replace("def mean(k: int = 1)", "def mean(k: int = 1, file: Annotated[str, DataFile()] = 'a.txt')")
    text = text.replace("np.ones(3) * k", "np.loadtxt(file) * k")
    (folder / "p.py").write_text("from typing import Annotated\nfrom campaign.science import DataFile\n" + text)
    (folder / "a.txt").write_text("3\n3\n")
    (folder / "points.csv").write_text("problem.k\n1\n2\n")
    document = json.loads(manifest.read_text()) | {"expand": {"file": {"path": "points.csv"}}}
    manifest.write_text(json.dumps(document))
    root = tmp_path / "r"
    submit(manifest, root)
    assert means(root) == {1: 3.0, 2: 6.0}
    assert names(root) == ["a.txt", "p.py", "points.csv"]
    shutil.rmtree(folder)
    undone(root)
    assert resume(root).state == "done"
    assert means(root) == {1: 3.0, 2: 6.0}


def test_what_is_read_elsewhere_is_named(tmp_path, monkeypatch):
    far = tmp_path / "far.txt"
    far.write_text("1\n")
    folder, lib = tmp_path / "project", tmp_path / "lib"
    lib.mkdir()
    (lib / "by_name_only.py").write_text("ONE = 1.0\n")
    monkeypatch.syspath_prepend(str(lib))
    imports = "import importlib\nimportlib.import_module('by_name_only')"
    write(folder, imports=imports, values=f"np.loadtxt({str(far)!r}) + np.loadtxt('near.txt') * k * np.ones(3)")
    (folder / "near.txt").write_text("1\n")
    monkeypatch.chdir(folder)
    (stage,) = submit(folder / "manifest.json", tmp_path / "r").stages
    wanted = (f"reads {far}, which is not kept", "`near.txt` relative to the folder", "by_name_only.py by `importlib`")
    for part in wanted:
        assert [part in text for text in stage.warnings].count(True) == 1


def test_links_out_of_the_folder_are_copied_as_content(tmp_path):
    folder = tmp_path / "project"
    manifest = write(folder, imports="from helper import TEN", values="np.ones(3) * k + TEN")
    (tmp_path / "real.py").write_text("TEN = 10.0\n")
    (folder / "helper.py").symlink_to(tmp_path / "real.py")
    root = tmp_path / "r"
    submit(manifest, root)
    (copy,) = (root / "inputs").rglob("helper.py")
    assert not copy.is_symlink()
    assert copy.read_text() == "TEN = 10.0\n"


def test_two_campaigns_in_one_process_do_not_mix(tmp_path):
    for n in (1, 2):
        manifest = write(tmp_path / f"project-{n}", imports="from helper import N", values="np.ones(3) * k + N")
        (manifest.parent / "helper.py").write_text(f"N = {n}0.0\n")
        submit(manifest, tmp_path / f"r-{n}")
    for n in (1, 2):
        undone(tmp_path / f"r-{n}")
        resume(tmp_path / f"r-{n}")
        assert means(tmp_path / f"r-{n}") == {1: 10.0 * n + 1, 2: 10.0 * n + 2}


def test_a_module_that_was_never_imported_is_not_taken_from_elsewhere(tmp_path, monkeypatch):
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "hidden_one.py").write_text("ONE = 1.0\n")
    monkeypatch.syspath_prepend(str(tmp_path / "lib"))
    manifest = write(tmp_path / "project", imports="if '/inputs/' in __file__:\n    import hidden_one")
    with pytest.raises(InvalidValue, match="`hidden_one` is not kept with the campaign"):
        submit(manifest, tmp_path / "r")
    assert not (tmp_path / "r" / "summaries").exists()


def test_large_files_are_linked_and_told(tmp_path, monkeypatch):
    monkeypatch.setattr("campaign.store.copies.COPIED_UP_TO", 1000)
    folder = tmp_path / "project"
    manifest = write(folder, values="np.load(Path(__file__).parent / 'big.npy')[:3] * k")
    np.save(folder / "big.npy", np.ones(1000))
    (said,) = submit(manifest, tmp_path / "r").warnings
    assert said.startswith("`big.npy` (8.1e-06 GB) is kept as a hard link")
    (copy,) = (tmp_path / "r" / "inputs").rglob("big.npy")
    assert copy.samefile(folder / "big.npy")


def test_retry_uses_the_copies(tmp_path):
    manifest = write(tmp_path / "project", imports="from helper import check", values="check(k) * np.ones(3) * k")
    (manifest.parent / "helper.py").write_text("def check(k):\n    return 1.0 if k == 1 else 1 / 0\n")
    root = tmp_path / "r"
    with pytest.raises(ManifestError, match="ZeroDivisionError"):
        submit(manifest, root)
    assert not (root / "inputs").exists()
    (manifest.parent / "helper.py").write_text("def check(k):\n    return 1.0 if k == 1 else float('nan')\n")
    assert submit(manifest, root).state == "failed"
    shutil.rmtree(manifest.parent)
    assert retry(root, []) == 1
    assert resume(root).state == "failed"
    assert means(root)[1] == 1.0


def test_what_is_printed_is_kept_and_shown_and_each_problem_is_built_once(tmp_path):
    """The planner builds the first run of a program, a worker each run; stdout of `--json` is one object."""
    manifest = write(tmp_path / "project", imports="print('imported')", values="np.ones(3) / (s - 3)")
    text = (manifest.parent / "p.py").read_text()
    (manifest.parent / "p.py").write_text(text.replace("k: int = 1", "s: float = 0.7").replace(", k)", ", s)"))
    grid = {"problem.s": [1, 2, 3, 4, 5, 6, 7, 8]}
    document = json.loads(manifest.read_text()) | {"expand": {"grid": grid}, "start": {"a": 0.25}}
    manifest.write_text(json.dumps(document))
    root = tmp_path / "r"
    done = campaign("submit", manifest, "-d", root, "--json")
    assert json.loads(done.stdout)["stages"][0]["n_failed"] == 1
    assert done.stderr.count("building") == 1 + 8
    rows = pq.read_table(root / "tables" / "summary.parquet").to_pylist()
    (bad,) = [row for row in rows if row["status"] == "failed"]
    for command in ("show", "logs"):
        shown = here(command, root, bad["run_id"]).stdout
        assert "building 3.0" in shown
    for row in rows:
        meta = json.loads(Layout(root).meta(row["run_id"]).read_text())
        assert meta["problem"]["s"] == row["problem.s"]
        assert meta["start"] == {"a": 0.25}


def test_a_fit_has_the_id_of_the_same_run_in_a_campaign(tmp_path, monkeypatch):
    values = "np.loadtxt(Path(__file__).parent / 'd.txt') * k + TEN"
    manifest = write(tmp_path / "project", imports="from helper import TEN", values=values, axis=(2,))
    (manifest.parent / "helper.py").write_text("TEN = 10.0\n")
    (manifest.parent / "d.txt").write_text("1\n1\n")
    submit(manifest, tmp_path / "r")
    monkeypatch.chdir(manifest.parent)
    (row,) = pq.read_table(tmp_path / "r" / "tables" / "summary.parquet").to_pylist()
    one = fit("p.py:mean", options={"k": 2})
    assert (one.run_id, one.theta) == (row["run_id"], {"a": row["theta.a"]})
