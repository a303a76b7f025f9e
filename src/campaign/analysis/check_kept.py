"""Copies of the files that submissions were made from, against the indices of their trees."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from campaign import data
from campaign.analysis.finding import REBUILD, Finding
from campaign.errors import CampaignError, Damage, DataFileError
from campaign.store import plan
from campaign.store.claim import read_identity
from campaign.store.kept import index_of, kept_in
from campaign.store.layout import Layout


def check_kept(layout: Layout) -> Iterator[Finding]:
    """Damaged copies in the trees that the identity or a plan names."""
    for tree in sorted(named_trees(layout)):
        yield from check_tree(layout, tree)


def named_trees(layout: Layout) -> set[str]:
    """The trees that the identity or a plan names."""
    found: set[str] = set()
    with contextlib.suppress(CampaignError):  # told by `check_foundation`
        found.update(read_identity(layout).inputs.values())
    for folder in layout.plan_folder("x").parent.glob("*"):
        for part in plan.parts(layout, folder.name):
            try:
                found |= trees_of(plan.read_header(layout, folder.name, part))
            except Damage:
                continue  # told by `check_plan`
    return found


def trees_of(header: Mapping[str, Any]) -> set[str]:
    """The trees from which the runs of a part read their code and their data."""
    modules = [entry["module"] for entry in header["programs"].values() if entry.get("module")]
    found = {tree_of(module["folder"]) for module in modules if module.get("folder")}
    given = [known["path"] for entry in header["programs"].values() for known in (entry.get("inputs") or {}).values()]
    found |= {tree_of(path) for path in given}
    return {tree for tree in found if tree is not None}


def tree_of(path: str) -> str | None:
    """The tree in which a path of a plan header lies, ``inputs/<tree>/…``; None of a file elsewhere."""
    parts = Path(path).parts
    return parts[1] if len(parts) > 1 and parts[0] == "inputs" else None


def check_tree(layout: Layout, tree: str) -> Iterator[Finding]:
    """Its index, and its files against the hashes that the index says."""
    for path, message in _faults(layout.kept(tree)):
        place = path.relative_to(layout.root).as_posix()
        yield Finding(kind="input", place=place, message=message, repair=REBUILD)


def _faults(folder: Path) -> Iterator[tuple[Path, str]]:
    try:
        kept = kept_in(folder)
    except Damage as error:
        yield index_of(folder), error.message.removeprefix(f"{index_of(folder)} ")
        return
    for file in kept.files.values():
        try:
            seen = data.sha256(file.source)
        except DataFileError as error:
            yield file.source, error.message.rpartition("` ")[2]
            continue
        if seen != file.sha256:
            yield file.source, f"has hash {seen[:16]}…, and was submitted with {file.sha256[:16]}…"
