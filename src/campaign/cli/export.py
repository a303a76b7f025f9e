"""`campaign export`: one run as plain files, whatever the layout."""

from __future__ import annotations

import contextlib
import filecmp
import zipfile
from pathlib import Path
from typing import Any

import click

from campaign.cli.output import campaign_argument, guarded_stdout, json_option, write, write_json
from campaign.cli.output import command as new_command


@new_command("export")
@campaign_argument
@click.argument("run")
@click.option("-o", "--output", type=click.Path(file_okay=False), help="Output folder; default: runs/<run id>.")
@click.option("--force", is_flag=True, help="Replace existing files with other content.")
@json_option
def command(directory: str, run: str, output: str | None, force: bool, as_json: bool) -> None:
    """Write one run as plain files.

    Writes summary.json, meta.json (what is needed to repeat the run) and trace.npz (its arrays, for NumPy; a chain may
    be larger than memory). RUN is the beginning of a run id, or `last`.

    \b
    Example:
      campaign export results/first 3f2a -o best
    """
    from campaign.analysis.handle import open_campaign
    from campaign.analysis.select import find, read_record
    from campaign.errors import UnknownName, UsageError
    from campaign.store.atomic import publish_many, publishing
    from campaign.store.records import dumps_pretty

    layout = open_campaign(directory).layout
    found = find(layout, run)
    record = read_record(layout, found)
    if record is None:
        raise UnknownName(f"run {found.run_id} is not finished", hint=f"campaign status {directory}")
    folder = Path(output) if output else layout.run_folder(found.run_id)
    files = [
        (folder / "summary.json", dumps_pretty(record)),
        (folder / "meta.json", dumps_pretty(_meta(layout, found))),
    ]
    names = [str(path) for path, _ in files]
    others = [str(path) for path, data in files if path.exists() and path.read_bytes() != data]
    with contextlib.ExitStack() as stack:
        if layout.trace_group(found.stage, found.program).is_dir():
            path = folder / "trace.npz"
            new = stack.enter_context(publishing(path))
            _write_trace(new, layout, found)
            names.append(str(path))
            others += [str(path)] if path.exists() and not filecmp.cmp(path, new, shallow=False) else []
        if others and not force:
            raise UsageError(
                f"{others[0]} exists with other content" + (f", and {len(others) - 1} more" if others[1:] else ""),
                hint="write to another folder with -o, or replace it with --force",
            )
        publish_many(files)
    if as_json:
        write_json("export", {"run_id": found.run_id, "files": names})
    else:
        for name in names:
            write(name)


def _meta(layout: Any, run: Any) -> dict[str, Any]:
    """The run's meta.json: as its worker wrote it, or rebuilt from the plan."""
    from campaign.store.checksum import seal
    from campaign.store.claim import read_identity
    from campaign.store.layout import BlockTask
    from campaign.store.records import read_json

    if layout.meta(run.run_id).exists():
        return read_json(layout.meta(run.run_id))
    from campaign.work.planned_block import load_block  # imports JAX
    from campaign.work.starts import start_of

    versions = read_json(layout.program(run.stage, run.program)).get("versions", {})
    with guarded_stdout():
        block = load_block(layout, BlockTask(run.stage, run.part, run.block), read_identity(layout).id)
        start = start_of(block, run.run_id)
    return seal(block.only(run.run_id).metas(versions, {0: start})[0])


def _write_trace(path: Path, layout: Any, run: Any) -> None:
    """Write the run's arrays and coordinates as an .npz file, with one piece of one array in memory at a time."""
    import numpy as np

    from campaign.analysis.traces import chunks, read_trace

    dataset = read_trace(layout, run)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(str(name) for name in dataset.variables):
            array = dataset[name]
            if array.dtype.kind in "OT":  # texts: names of parameters
                array = array.astype(object).astype(str)
            member = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))  # the same arrays, the same bytes
            member.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(member, "w", force_zip64=True) as file:
                header = {
                    "shape": array.shape,
                    "fortran_order": False,
                    "descr": np.lib.format.dtype_to_descr(array.dtype),
                }
                np.lib.format.write_array_header_1_0(file, header)
                for piece in chunks(array):
                    file.write(np.ascontiguousarray(piece.values).tobytes())
