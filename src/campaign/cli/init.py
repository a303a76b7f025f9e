"""`campaign init`: a runnable folder to start from."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import click

from campaign.cli.output import command as new_command
from campaign.cli.output import json_option, table, write, write_json

TEMPLATES = {
    "decay": "exponential decays, each with its own noise; needs no data",
    "nist": "NIST reference regressions from both starting points",
    "cosmology": "ΛCDM on the CMB and DESI, then its posterior",
    "file": "your own problem in JAX, in a file next to the manifest",
    "python": "your own Python or NumPy function, with `if`, SciPy or anything else",
    "program": "your own program, in any language",
    "umbridge": "a model behind a UM-Bridge server",
}


@new_command("init")
@click.argument("template", required=False)
@click.argument("folder", required=False, type=click.Path(file_okay=False))
@json_option
def command(template: str | None, folder: str | None, as_json: bool) -> None:
    """Write a runnable folder to start from.

    Without TEMPLATE, lists the templates. FOLDER defaults to the name of the template. Existing files are never
    overwritten.

    \b
    Example:
      campaign init decay first
      campaign submit first/manifest.json -d first/results
    """
    if template is None:
        if as_json:
            write_json("init", {"templates": TEMPLATES})
        else:
            write(table(("template", "what"), TEMPLATES.items()))
        return
    written = _write(template, Path(folder or template))
    if as_json:
        write_json("init", {"template": template, "files": [str(path) for path in written]})
        return
    for path in written:
        write(str(path))
    manifest = Path(folder or template, "manifest.json")
    write()
    write(f"next: campaign plan {manifest}")
    write(f"      campaign submit {manifest} -d {manifest.parent / 'results'}")


def _write(template: str, folder: Path) -> list[Path]:
    from campaign.errors import UnknownName, UsageError, nearest
    from campaign.store.atomic import publish_bytes

    if template not in TEMPLATES:
        raise UnknownName(f"unknown template `{template}`", hint=nearest(template, TEMPLATES))
    sources: list[Any] = [
        entry for entry in (files("campaign.cli") / "templates" / template).iterdir() if entry.is_file()
    ]
    targets = {folder / source.name: source for source in sorted(sources, key=lambda source: source.name)}
    present = [path for path in targets if path.exists()]
    if present:
        raise UsageError(f"{present[0]} exists", hint=f"name another folder: `campaign init {template} FOLDER`")
    for path, source in targets.items():
        publish_bytes(path, source.read_bytes())
    return list(targets)
