"""``campaign optics simulate-night``: a night of frames, and a manifest that fits them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from campaign.science import UsageError
from campaign_optics.model.options import BinaryFrameOptions

_FRAME = "problem.frame"


@click.group("optics")
def group() -> None:
    """Astrometry of binary stars."""


@group.command("simulate-night")
@click.argument("manifest", type=click.Path(path_type=Path))
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--frames", type=click.IntRange(min=1), default=None, help="Number of frames; default: the manifest's.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of drift and noise.")
def simulate_night(manifest: Path, folder: Path, frames: int | None, seed: int) -> None:
    """Simulate the frames that MANIFEST fits, and write them to FOLDER with a manifest for their number.

    \b
    campaign optics simulate-night manifests/optics/night.json night --frames 360
    campaign submit night/night.json -d results/night

    FOLDER gets the frames, (frames, n, n) electrons in single precision, under the name that the manifest's first stage
    has in `data`; `truth.npz` with `names` and `theta`, (frames, d), behind them; and the manifest with its frame
    numbers cut. Stars have unknown but constant places; pointing, plate scale, flux, wavefront and background drift.
    """
    document = _read(manifest)
    problem = document["stages"][0]["problem"]
    options = BinaryFrameOptions.model_validate({k: v for k, v in problem.items() if k not in ("name", "data")})
    n = frames or max(grid["range"][1] for grid in _grids(document))
    for grid in _grids(document):
        grid["range"][1] = n
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / problem["data"], options, n, seed)
    (folder / manifest.name).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    click.echo(
        f"wrote {n:,} frames to {folder / problem['data']}; next: campaign submit {folder / manifest.name}", err=True
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text("utf-8"))
        name, data = (document["stages"][0]["problem"].get(key) for key in ("name", "data"))
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise UsageError(f"`{path}` is no manifest with a stage that has a problem: {error}") from error
    if name != "binary-frame" or not str(data).endswith(".npy") or Path(str(data)).name != data:
        raise UsageError(
            f"the first stage of `{path}` fits `{name}` to `{data}`",
            hint='a problem "binary-frame" with "data": "night.npy", a file beside the manifest',
        )
    if not _grids(document):
        raise UsageError(f"no stage of `{path}` runs over `{_FRAME}`", hint=f'"grid": {{"{_FRAME}": {{"range": …}}}}')
    return document


def _grids(document: dict[str, Any]) -> list[dict[str, Any]]:
    grids = [stage.get("expand", {}).get("grid", {}).get(_FRAME) for stage in document["stages"]]
    return [grid for grid in grids if isinstance(grid, dict) and "range" in grid]


def _write(path: Path, options: BinaryFrameOptions, n: int, seed: int) -> None:
    import numpy as np

    from campaign_optics.model.night import drift, night

    names, thetas = drift(options, n, seed)
    shape = (n, options.pixels, options.pixels)
    stack = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    at = 0
    with click.progressbar(length=n, label="simulating", file=sys.stderr) as bar:
        for batch in night(options, thetas, seed):
            stack[at : at + len(batch)] = batch
            at += len(batch)
            bar.update(len(batch))
    stack.flush()
    np.savez(path.parent / "truth.npz", names=np.array(names), theta=thetas)
