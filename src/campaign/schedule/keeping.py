"""Which files a campaign keeps: everything that its stages were planned from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from campaign import data
from campaign.errors import CampaignError
from campaign.schedule.resolve import Resolved
from campaign.store.kept import Kept, KeptCode, KeptFile
from campaign.store.layout import Layout
from campaign.store.plan import PlanPart


def kept_files(document: Mapping[str, Any], folder: Path, groups: Iterable[Resolved]) -> Kept:
    """The files of a manifest.

    Args:
        document: the manifest, for the tables of its axes.
        folder: of the manifest.
        groups: of all stages.
    """
    groups = list(groups)
    files: dict[str, KeptFile] = {}
    code: dict[str, KeptCode] = {}
    for name in dict.fromkeys(_tables(document)):
        try:
            path = data.find(name, folder)
        except CampaignError:  # a key that only looks like a table
            continue
        files[_plain(name)] = KeptFile(source=path, sha256=data.sha256(path))
    for group in groups:
        for name in group.kept:
            entry = group.inputs[name]
            files[_plain(name)] = KeptFile(source=Path(entry["path"]), sha256=entry["sha256"])
    for module in {group.module.name: group.module for group in groups if group.module is not None}.values():
        files |= module.code.files
        code[module.code.problem] = module.code.code
    return Kept(files=files, code=code)


def _plain(name: str) -> str:
    """``./data.csv`` is ``data.csv``."""
    return str(PurePosixPath(name))


def _tables(value: Any) -> Iterator[str]:
    """Names of the files that `file` nodes of an expansion read."""
    if isinstance(value, Mapping):
        node = value.get("file")
        if isinstance(node, Mapping) and isinstance(node.get("path"), str):
            yield node["path"]
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, Sequence) else ()
    for one in inner if not isinstance(value, str) else ():
        yield from _tables(one)


def placed(part: PlanPart, layout: Layout, kept: Kept | None) -> PlanPart:
    """A plan part whose files are the copies, by their places in the campaign.

    Args:
        part: as planned, from the originals or from the copies.
        layout: of the campaign.
        kept: its files; None where it keeps none.
    """
    if kept is None or kept.tree is None:
        return part
    folder = layout.kept(kept.tree)
    tree = folder.relative_to(layout.root).as_posix()
    places = {str(path): name for name, file in kept.files.items() for path in (file.source, folder / name)}

    def place(path: str) -> str:
        return f"{tree}/{places[path]}" if path in places else path

    def entry(one: Mapping[str, Any]) -> dict[str, Any]:
        given = {name: {**known, "path": place(known["path"])} for name, known in (one.get("inputs") or {}).items()}
        module = one.get("module")
        if module is not None and module["file"] in places:
            module = {**module, "file": place(module["file"]), "folder": tree}
        return {**one, "inputs": given, "module": module}

    programs = {name: entry(one) for name, one in part.header["programs"].items()}
    return replace(part, header={**part.header, "programs": programs})
