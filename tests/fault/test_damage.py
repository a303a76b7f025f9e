"""Every kind of file on disk, harmed in every way: found, and then repaired, or refused with what is lost.

One campaign is made; for each case its directory is put back as it was, one file is harmed, and `verify`, `repair` and
`resume` have their way. Afterwards the table is that of the undamaged campaign, bit by bit.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest
from damage_campaign import DATA, HARMS, empty, flipped, garbage, kind_of, missing, truncated, write

from campaign.analysis.status import status
from campaign.analysis.verify import verify
from campaign.drive.doors import resume, submit
from campaign.drive.repairing import repair
from campaign.errors import CampaignError, Damage, Unavailable
from campaign.reduce.reducer import reduce
from campaign.store.checksum import FIELD
from campaign.store.layout import BlockTask, Layout
from campaign.store.owner import this_process
from campaign.work.control import Control
from campaign.work.run_block import run_block
from running import assert_same, here, table, write_manifest

NOBODY = 65534  # an ordinary user, who may read everything here and owns the copies; root may write what is read-only

# what is harmed and not found, because nothing rests on it: kind, harm → why
HARMLESS = {
    ("events/*.jsonl", "missing"): "journals decide nothing",
    ("events/*.jsonl", "truncated"): "the last line of a writer that was killed is torn",
    ("events/*.jsonl", "empty"): "journals decide nothing",
    ("states/fit/*.npz", "missing"): "a kept state may be deleted at any time",
    ("states/fit/*.npz", "garbage"): "what stands behind the end of an archive is not read",
    ("tables/summary.parquet", "missing"): "the table is made when it is asked for",
    **{("tables/parts/fit/*.arrow", harm.__name__): "a cache with checksums of its own" for harm in HARMS},
}
KINDS = (  # one of each; the traces of a stage that fits and of one that predicts have everything that there is
    *("campaign.json", "manifest.json", "history/*.json"),
    *("inputs/*.json", "inputs/*/line.py", "inputs/*/obs.csv", "inputs/*/members.parquet"),
    *("plan/fit/*.json", "plan/fit/*.parquet", "plan/sample/*.json", "plan/sample/*.parquet", "programs/fit/*.json"),
    *("runs/*/meta.json", "runs/*/summary.json", "summaries/fit/*.jsonl", "states/fit/*.npz", "events/*.jsonl"),
    *("tables/summary.parquet", "tables/parts/fit/*.arrow"),
    *("traces.zarr/zarr.json", "traces.zarr/fit/zarr.json", "traces.zarr/fit/*/zarr.json"),
    *("traces.zarr/fit/*/loss/zarr.json", "traces.zarr/fit/*/loss/c/*", "traces.zarr/fit/*/damping/c/*"),
    *("traces.zarr/curve/*/curve/c/*", "traces.zarr/curve/*/time/c/*", "traces.zarr/curve/*/run_id/c/*"),
)


@dataclass(frozen=True)
class Sound:
    """An undamaged campaign.

    Attributes:
        root: where it lies, and is put back to.
        copy: as it was.
        rows: its table.
        files: kind → one file of it.
    """

    root: Path
    copy: Path
    rows: pa.Table
    files: dict[str, str]

    def put_back(self) -> Layout:
        """Only what has changed: most cases change one file."""
        wanted = {p.relative_to(self.copy): p.stat() for p in self.copy.rglob("*") if p.is_file()}
        for path in [p for p in self.root.rglob("*") if p.is_file()]:
            known, seen = wanted.get(path.relative_to(self.root)), path.stat()
            if known is not None and (known.st_size, known.st_mtime_ns) == (seen.st_size, seen.st_mtime_ns):
                del wanted[path.relative_to(self.root)]
            else:
                path.unlink()
        for name in wanted:
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(self.copy / name, self.root / name)
        return Layout(self.root)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Not pytest's own: other users may not enter that."""
    path = Path(tempfile.mkdtemp(prefix="damage-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def sound(folder: Path) -> Sound:
    assert submit(write(folder), folder / "c").state == "done"
    root = (folder / "c").resolve()
    (journal,) = (root / "events").iterdir()
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    host = this_process().writer.rsplit("-", 2)[0]
    journal.rename(journal.with_name(f"{host}-{process.pid}-1.jsonl"))  # the driver that wrote it has ended
    files: dict[str, str] = {}
    for path in sorted(p for p in root.rglob("*") if p.is_file()):
        relative = path.relative_to(root).as_posix()
        files.setdefault(kind_of(relative), relative)
    shutil.copytree(root, folder / "copy")
    return Sound(root, folder / "copy", table(root), files)


def contents(root: Path) -> dict[str, bytes]:
    """Every file, but for locks, what was put aside, and what is made by looking."""
    skipped = ("damaged", "lock", "tables")
    files = (p for p in sorted(root.rglob("*")) if p.is_file() and p.relative_to(root).parts[0] not in skipped)
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in files}


def as_made(path: Path) -> object:
    """What must be the same in a file that was made again: its bytes; of a plan's header all but when it was made."""
    if "/plan/" in path.as_posix() and path.suffix == ".json":
        return json.loads(path.read_bytes()) | {"created_at": None, FIELD: None}
    return path.read_bytes()


def test_the_kinds_are_all_that_there_are(sound: Sound) -> None:
    """A file that is written tomorrow must find its way into the table above."""
    others = {
        kind.split("/")[0] if not kind.startswith("traces.zarr") else kind.rpartition("/")[2]
        for kind in sound.files.keys() - set(KINDS)
    }
    assert set(KINDS) <= sound.files.keys()
    assert others <= {kind.split("/")[0] for kind in KINDS} | {"zarr.json", "*"}


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_harmed_has_a_way_back(sound: Sound, kind: str, harm) -> None:
    layout, name = sound.put_back(), sound.files[kind]
    harm(layout.root / name)
    found = verify(layout)
    with contextlib.suppress(Damage):  # in its own words, or not at all
        status(layout)
    if (kind, harm.__name__) in HARMLESS:
        assert found == []
    else:
        assert name in {finding.place.partition(",")[0] for finding in found}
    done = repair(layout, found)
    if done.rebuilt:
        assert kind == "events/*.jsonl" or as_made(layout.root / name) == as_made(sound.copy / name)
    if done.moved or done.left:
        assert resume(layout.root, executor="inline", check=False).state == "done"
        assert verify(layout) == []
    else:
        assert reduce(layout).damaged == ()
    assert_same(table(layout.root), sound.rows)


@pytest.mark.parametrize("harm", HARMS)
def test_a_damaged_checkpoint_costs_time_only(sound: Sound, harm) -> None:
    layout = sound.put_back()
    layout.summaries("fit", 0, 1).unlink()
    control = Control()
    control.drain.set()
    assert run_block(layout.root, BlockTask("fit", 0, 1), control).state == "interrupted"
    checkpoint = layout.checkpoint("fit", 0, 1)
    harm(checkpoint)
    name = checkpoint.relative_to(layout.root).as_posix()
    found = [finding for finding in verify(layout) if finding.place == name]
    assert [f.repair for f in found] == ([] if harm in (missing, garbage) else ["remove"])  # behind an archive: unread
    assert resume(layout.root, executor="inline").state == "done"
    assert_same(table(layout.root), sound.rows)
    assert verify(layout) == []


def test_a_lost_array_description_puts_no_summary_aside(sound: Sound) -> None:
    """A purge of old files on scratch takes exactly such files."""
    layout = sound.put_back()
    before = contents(layout.root)
    for path in layout.traces.rglob("zarr.json"):
        path.unlink()
    done = repair(layout, verify(layout))
    assert done.moved == ()
    assert contents(layout.root) == before


@pytest.mark.parametrize("kind", ["campaign.json", "manifest.json", "plan/fit/*.json", "plan/sample/*.parquet"])
def test_resume_repairs_by_itself(sound: Sound, kind: str) -> None:
    layout = sound.put_back()
    truncated(layout.root / sound.files[kind])
    assert resume(layout.root, executor="inline").state == "done"
    assert_same(table(layout.root), sound.rows)


def harm_both(layout: Layout, sound: Sound, harm, *kinds: str) -> None:
    for kind in kinds:
        harm(layout.root / sound.files[kind])


@pytest.mark.parametrize(
    ("kinds", "words"),
    [
        (("manifest.json", "history/*.json"), "manifest.json: not JSON"),
        (("campaign.json", "events/*.jsonl"), "no journal has a copy of it"),
    ],
)
def test_two_damaged_copies_are_refused_and_nothing_is_changed(sound: Sound, kinds, words: str) -> None:
    layout = sound.put_back()
    harm_both(layout, sound, truncated if kinds[0] == "manifest.json" else empty, *kinds)
    before = contents(layout.root)
    with pytest.raises(Damage) as refused:
        resume(layout.root, executor="inline")
    assert words in str(refused.value)
    assert "campaign submit MANIFEST -d" in str(refused.value)
    assert contents(layout.root) == before


def test_submitting_again_writes_another_identity(sound: Sound, folder: Path) -> None:
    layout = sound.put_back()
    harm_both(layout, sound, missing, "campaign.json", "events/*.jsonl")
    assert submit(folder / "manifest.json", layout.root).state == "done"
    assert_same(table(layout.root), sound.rows)
    assert verify(layout) == []


@contextlib.contextmanager
def other_data(folder: Path, text: str | None) -> Iterator[None]:
    """Beside the manifest the data are something else, or gone."""
    try:
        (folder / "obs.csv").unlink()
        if text is not None:
            (folder / "obs.csv").write_text(text)
        yield
    finally:
        (folder / "obs.csv").write_text(DATA)


OTHERS = [None, DATA + "5,11.1\n"]


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("kind", ["inputs/*.json", "inputs/*/line.py"])
def test_submitting_again_replaces_damaged_copies(sound: Sound, folder: Path, kind: str, harm) -> None:
    layout = sound.put_back()
    harm(layout.root / sound.files[kind])
    with pytest.raises(Damage, match=Path(sound.files[kind]).name):
        resume(layout.root, executor="inline")
    assert submit(folder / "manifest.json", layout.root).state == "done"
    assert as_made(layout.root / sound.files[kind]) == as_made(sound.copy / sound.files[kind])
    assert verify(layout) == []
    assert_same(table(layout.root), sound.rows)


@pytest.mark.parametrize("text", OTHERS)
def test_copies_are_all_that_a_repair_needs(sound: Sound, folder: Path, text: str | None) -> None:
    """The data next to the manifest have changed since, or are gone: plans and blocks follow from the copies."""
    layout = sound.put_back()
    missing(layout.root / sound.files["plan/fit/*.parquet"])
    truncated(layout.root / sound.files["inputs/*.json"])
    flipped(layout.root / sound.files["traces.zarr/fit/*/loss/c/*"])
    with other_data(folder, text):
        assert repair(layout, verify(layout)).left == ()
        assert resume(layout.root, executor="inline").state == "done"
        assert verify(layout) == []
    for kind in ("plan/fit/*.parquet", "inputs/*.json", "traces.zarr/fit/*/loss/c/*"):
        assert as_made(layout.root / sound.files[kind]) == as_made(sound.copy / sound.files[kind])
    assert_same(table(layout.root), sound.rows)


@pytest.mark.parametrize("text", OTHERS)
def test_what_cannot_be_computed_again_is_not_put_aside(sound: Sound, folder: Path, text: str | None) -> None:
    """The data are gone, copy and original: a block whose trace is damaged keeps its records, and the plan is lost."""
    layout = sound.put_back()
    flipped(layout.root / sound.files["traces.zarr/fit/*/loss/c/*"])
    flipped(layout.root / sound.files["inputs/*/obs.csv"])
    missing(layout.root / sound.files["plan/curve/*.parquet"])
    before = contents(layout.root)
    with other_data(folder, text):
        done = repair(layout, verify(layout))
        assert (done.moved, done.rebuilt) == ((), ())
        assert contents(layout.root) == before
        (refused,) = [f for f in done.left if f.kind == "trace"]
        assert "it cannot be computed again: " in refused.message
        assert "obs.csv" in refused.message
        (refused,) = [f for f in done.left if f.kind == "plan"]
        assert "so it is lost which runs its blocks hold" in refused.message
        with pytest.raises(Damage, match=r"obs\.csv has been changed"):
            resume(layout.root, executor="inline")
        assert contents(layout.root) == before
    assert repair(layout, verify(layout)).left == ()
    assert resume(layout.root, executor="inline").state == "done"
    assert_same(table(layout.root), sound.rows)


@pytest.mark.parametrize("harm", HARMS)
def test_what_is_known_of_hangs_costs_time_only(sound: Sound, harm) -> None:
    """A worker that was killed leaves rows without a stack, or half a line; nobody has failed by that."""
    layout = sound.put_back()
    hung = layout.hung("fit", 0, 1)
    hung.parent.mkdir(parents=True, exist_ok=True)
    hung.write_text('{"rows":[0],"phase":"it ran","crc32":"00000000"}\n  File "line.py", line 1 in residuals\n')
    assert [(f.place, f.repair) for f in verify(layout)] == [(hung.relative_to(layout.root).as_posix(), "remove")]
    layout.summaries("fit", 0, 1).unlink()
    harm(hung)
    assert not [f for f in verify(layout) if f.kind != "events"]
    assert resume(layout.root, executor="inline").state == "done"
    assert_same(table(layout.root), sound.rows)
    assert verify(layout) == []
    assert not hung.exists()


@pytest.mark.parametrize("suffix", ["json", "parquet"])
def test_a_lost_part_of_retries_is_tried_again(folder: Path, suffix: str) -> None:
    """No manifest names its runs: it is put aside, and `retry` in the manifest does what it did before."""
    document = {
        "schema": "campaign/1",
        "name": "retries",
        "problem": {"name": "rosenbrock"},
        "engine": {"name": "trf", "max_steps": 6},
        "retry": {"nonconverged": {"times": 1, "factor": 64}},
        "expand": {"grid": {"start.x0": [-1.5, -0.6], "start.x1": [-0.5, 2.0]}},
    }
    retries = folder / suffix
    retries.mkdir()
    assert submit(write_manifest(retries, document), retries / "c", executor="inline").state == "done"
    before = table(retries / "c")
    layout = Layout((retries / "c").resolve())
    truncated(layout.plan_folder("main") / f"0001.{suffix}")
    assert resume(layout.root, executor="inline").state == "done"
    assert_same(table(layout.root), before)
    assert verify(layout) == []


@pytest.fixture
def ordinary(sound: Sound) -> Iterator[Layout]:
    """The campaign, in the hands of somebody whom a read-only file stops."""
    layout = sound.put_back()
    is_root = os.geteuid() == 0
    if is_root:
        for path in (layout.root, *layout.root.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
        os.seteuid(NOBODY)
    try:
        yield layout
    finally:
        if is_root:
            os.seteuid(0)
        for path in (layout.root, *layout.root.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)


@pytest.mark.parametrize(
    "kind",
    [
        *("campaign.json", "plan/fit/*.json", "runs/*/meta.json", "summaries/fit/*.jsonl", "states/fit/*.npz"),
        *("events/*.jsonl", "tables/summary.parquet", "traces.zarr/fit/*/loss/c/*"),
    ],
)
def test_what_is_read_only_is_no_damage(ordinary: Layout, sound: Sound, kind: str) -> None:
    """Folder and file: the campaign is done all the same, or says what cannot be written; then it is written."""
    path = ordinary.root / sound.files[kind]
    path.chmod(0o444)
    path.parent.chmod(0o555)
    assert verify(ordinary) == []
    refused = None
    try:
        assert resume(ordinary.root, executor="inline").state == "done"
    except Unavailable as error:
        refused = error
    if refused is not None:
        assert "cannot write" in refused.message
        assert str(path.parent) in refused.message
        path.parent.chmod(0o755)
        path.chmod(0o644)
        assert resume(ordinary.root, executor="inline").state == "done"
    assert_same(table(ordinary.root), sound.rows)


def test_the_command_line_says_what_it_did(sound: Sound) -> None:
    layout = sound.put_back()
    garbage(layout.root / sound.files["traces.zarr/fit/*/loss/zarr.json"])
    (layout.root / "summaries" / "fit" / "notes.txt").write_text("mine")
    found = here("verify", layout.root, "--json")
    assert found.returncode == 9
    assert [f["kind"] for f in json.loads(found.stdout)["findings"]] == ["foreign", "trace group"]
    repaired = here("verify", layout.root, "--repair")
    assert repaired.returncode == 9  # a foreign file is left
    assert "made 1 again, removed 0, moved 0" in repaired.stdout
    (layout.root / "summaries" / "fit" / "notes.txt").unlink()
    assert here("verify", layout.root).returncode == 0


def test_a_campaign_without_a_plan_says_so(sound: Sound) -> None:
    layout = sound.put_back()
    shutil.rmtree(layout.root / "plan")
    with pytest.raises(CampaignError, match="part 0 of the plan of stage `curve` is missing"):
        status(layout)
    assert repair(layout, verify(layout)).moved == ()
    reduce(layout)
    assert status(layout).total("n_pending") == 0
