"""A campaign directory's identity: whose it is, and how its records are laid out."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from campaign.errors import Damage, UsageError
from campaign.store.atomic import publish_bytes, storage_error
from campaign.store.layout import Layout
from campaign.store.records import publish_json, read_json
from campaign.store.summaries import DIRECTORIES, PACKED
from campaign.store.waiting import not_begun

SCHEMA = "campaign.identity/1"
DIRECTORIES_UP_TO = 10_000  # runs; beyond, a folder a run costs more than it helps


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Content of campaign.json.

    Attributes:
        name: of the campaign.
        id: unique to the directory.
        created_at: ISO-8601 UTC.
        folder: absolute folder of the manifest: its relative file names are looked up there.
        layout: "directories" or "packed".
        checkpoint_s: seconds between checkpoints of a block.
        inputs: hash of each manifest that was submitted → tree of the files that it was last submitted with.
        ranks_per_block: processes that share the row blocks of a fit.
    """

    name: str
    id: str
    created_at: str
    folder: str
    layout: str
    checkpoint_s: float
    ranks_per_block: int = 1
    inputs: Mapping[str, str] = field(default_factory=dict)


def read_identity(layout: Layout) -> Identity:
    """Identity of an existing campaign directory.

    Raises:
        UsageError: this is not a campaign directory.
        Incomplete: it is that of a driver that waits in the queue.
        Damage: the file is there and cannot be what it was.
    """
    try:
        document = read_json(layout.identity)
    except FileNotFoundError:
        raise not_begun(layout) or UsageError(
            f"{layout.root} is not a campaign directory (it has no {layout.identity.name})",
            hint="give the directory that was passed to `campaign submit` with -d",
        ) from None
    identity = identity_in(document)
    if identity is None:
        raise Damage(f"{layout.identity} is not the identity of a campaign", hint="run `campaign verify --repair`")
    return identity


def identity_in(document: Any) -> Identity | None:
    """The identity that a document says; None where it says less. Earlier versions had fewer fields."""
    known = Identity.__dataclass_fields__
    needed = {name for name, one in known.items() if one.default is MISSING and one.default_factory is MISSING}
    if not isinstance(document, dict) or not needed <= document.keys():
        return None
    return Identity(**{name: document[name] for name in known if name in document})


def check_directory(root: Path, name: str) -> Identity | None:
    """The identity of a directory that a campaign may use; None when it is new or empty. Changes nothing.

    Raises:
        UsageError: it belongs to another campaign, or holds something else.
    """
    layout = Layout(root)
    if layout.identity.exists():
        identity = read_identity(layout)
        if identity.name != name:
            raise UsageError(
                f"{root} belongs to the campaign `{identity.name}`, not to `{name}`",
                hint="choose another directory with -d, or set the manifest's name back",
            )
        return identity
    if root.exists() and not root.is_dir():
        raise UsageError(f"{root} is a file", hint="choose a directory with -d")
    if _name_in(layout) == name:  # campaign.json alone is lost
        return None
    held = ["inputs"] if any(layout.submission("x").parent.glob(layout.submission("*").name)) else []
    others = [entry for entry in os.listdir(root) if entry not in ("lock", "logs", *held)] if root.is_dir() else []
    if others:
        raise UsageError(
            f"{root} is not empty and is not a campaign directory (it holds `{sorted(others)[0]}`)",
            hint="choose an empty or new directory with -d",
        )
    return None


def _name_in(layout: Layout) -> str | None:
    """The name in the directory's manifest; None where there is none that can be read."""
    try:
        return str(read_json(layout.manifest)["name"])
    except (OSError, Damage, KeyError, TypeError):
        return None


def claim(
    layout: Layout,
    name: str,
    *,
    folder: Path,
    mode: str,
    checkpoint_s: float | None,
    inputs: Mapping[str, str] | None = None,
) -> Identity:
    """Write or refresh campaign.json. The record layout of an existing campaign stays as it is.

    Args:
        inputs: added to those that are known: of a manifest that is recorded next.
    """
    known = check_directory(layout.root, name)
    before, added = known.inputs if known else {}, dict(inputs or {})
    identity = Identity(
        name=name,
        id=known.id if known else secrets.token_hex(8),
        created_at=known.created_at if known else datetime.now(UTC).isoformat(timespec="seconds"),
        folder=str(folder),
        layout=known.layout if known else DIRECTORIES if layout.runs.is_dir() else mode,
        checkpoint_s=checkpoint_s or (known.checkpoint_s if known else 30.0),
        ranks_per_block=known.ranks_per_block if known else 1,
        inputs={sha: tree for sha, tree in before.items() if sha not in added} | added,  # the newest stands last
    )
    if identity != known:
        write_identity(layout, identity)
    return identity


def set_ranks(layout: Layout, ranks_per_block: int) -> None:
    """Tell the workers of a campaign how many processes share a fit from now on."""
    known = read_identity(layout)
    if known.ranks_per_block != ranks_per_block:
        write_identity(layout, replace(known, ranks_per_block=ranks_per_block))


def write_identity(layout: Layout, identity: Identity) -> None:
    publish_json(layout.identity, {"schema": SCHEMA, **asdict(identity)})


def root_of(directory: str | Path | None, name: str) -> Path:
    """The directory of a campaign: the one that was named, else ``results/<name>``."""
    return Path(directory) if directory is not None else Path("results") / name


def layout_mode(wanted: str, n_runs: int) -> str:
    """ "directories" or "packed": what the manifest wants, else by the number of runs."""
    if wanted != "auto":
        return wanted
    return DIRECTORIES if n_runs <= DIRECTORIES_UP_TO else PACKED


def make_root(root: Path) -> None:
    """Create the campaign's folder.

    Raises:
        Unavailable: the place is read-only or full.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        if not os.access(root, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(root))
    except OSError as error:
        raise storage_error(error) from error


def record_manifest(layout: Layout, text: bytes) -> None:
    """Keep the manifest as submitted: the latest under its name, each distinct version under history/."""
    if layout.manifest.exists() and layout.manifest.read_bytes() == text:
        return
    layout.history.mkdir(parents=True, exist_ok=True)
    number = max((int(p.stem) + 1 for p in layout.history.glob("*.json") if p.stem.isdigit()), default=0)
    publish_bytes(layout.history / f"{number:04d}.json", text)
    publish_bytes(layout.manifest, text)
