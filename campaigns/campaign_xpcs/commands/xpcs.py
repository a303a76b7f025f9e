"""``campaign xpcs fit | config | simulate | plot | wavevectors``. stdout is the result; stderr is talk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

_FILE = click.Path(path_type=Path)
_SETTINGS = {"max_content_width": 110}
_MODES = ["laminar_flow", "static_isotropic"]


@click.group("xpcs")
def group() -> None:
    """Diffusion and shear from two-time X-ray photon correlation maps."""


@group.command("fit", context_settings=_SETTINGS)
@click.option(
    "--method", type=click.Choice(["nlsq", "cmc", "both"]), default=None, help="Default: the file's, or nlsq."
)
@click.option("--config", "config_path", type=_FILE, required=True, help="Configuration (YAML).")
@click.option("--nlsq-result", type=_FILE, default=None, help="Start the sampler from this result.")
@click.option("--no-nlsq-warmstart", is_flag=True, help="Start the sampler from the configuration.")
@click.option("--output-dir", type=_FILE, default=None, help="Default: the file's `output.directory`, or results.")
@click.option("--data-file", type=_FILE, default=None, help="Maps, in the place of the file's.")
@click.option("--plots/--no-plots", default=True, show_default=True, help="Draw the fit.")
@click.option("--strict", is_flag=True, help="A key that nobody knows is an error.")
@click.option("--json", "as_json_", is_flag=True, help="Print JSON.")
def fit_(method: str | None, config_path: Path, **given: Any) -> None:
    """Fit the maps that a configuration names.

    \b
    nlsq  least squares; writes OUTPUT-DIR/nlsq
    cmc   a posterior; runs least squares first and starts there; writes OUTPUT-DIR/cmc too
    both  the same
    """
    from campaign_xpcs.commands.fitting import Order, carry_out
    from campaign_xpcs.commands.text import as_json, as_text

    order = Order(config_path=config_path, method=method, say=lambda line: click.echo(line, err=True), **_order(given))
    done = carry_out(order)
    click.echo(as_json(done) if given["as_json_"] else as_text(done))
    for path in done.files:
        click.echo(f"wrote {path}", err=True)


def _order(given: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if name != "as_json_"}


@group.command("config", context_settings=_SETTINGS)
@click.argument("path", type=_FILE, required=False)
@click.option("--mode", type=click.Choice(_MODES), default="laminar_flow")
@click.option("--validate", is_flag=True, help="Check the file PATH instead of writing it.")
@click.option("--force", is_flag=True, help="Write over what is there.")
@click.option("--json", "as_json_", is_flag=True, help="Print JSON.")
def config_(path: Path | None, mode: str, validate: bool, force: bool, as_json_: bool) -> None:
    """Write a configuration to PATH, or to stdout; or check one.

    A check says what is wrong, what is not used and why, and which keys nobody knows. Exit code 3 where something is
    wrong or unknown.
    """
    from campaign_xpcs.commands.template import check, write

    if validate:
        text, code = check(path, as_json_)
        click.echo(text)
        raise SystemExit(code)
    written = write(path, mode, force)
    click.echo(written if path is None else f"wrote {path}", err=path is not None)


@group.command("simulate", context_settings=_SETTINGS)
@click.argument("path", type=_FILE)
@click.option("--config", "config_path", type=_FILE, default=None, help="Geometry and true parameters (YAML).")
@click.option(
    "--mode",
    type=click.Choice(["laminar_flow", "static_isotropic"]),
    default=None,
    help="Default: the file's, or laminar.",
)
@click.option("--q", "qs", type=float, multiple=True, help="Wavevector [1/Å]; several in an .h5 file.")
@click.option("--true", "true", metavar="NAME=VALUE", multiple=True, help="True value of a parameter.")
@click.option("--angles", type=click.IntRange(min=1), default=10, show_default=True, help="Around the circle.")
@click.option("--frames", type=click.IntRange(min=3), default=100, show_default=True)
@click.option("--contrast", type=float, default=0.3, show_default=True)
@click.option("--offset", type=float, default=1.0, show_default=True)
@click.option("--sigma", type=click.FloatRange(min=0, min_open=True), default=0.01, show_default=True, help="Noise.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--plot", type=_FILE, default=None, help="Draw the first map to this file.")
def simulate_(path: Path, **given: Any) -> None:
    """Simulate maps and write them to PATH.

    An .npz file holds one q; an .h5 file, in the layout of APS-U, holds several, and neither σ nor the gap.
    """
    from campaign_xpcs.commands.simulating import simulate

    for written in simulate(path, **given):
        click.echo(f"wrote {written}", err=True)


@group.command("wavevectors", context_settings=_SETTINGS)
@click.argument("directory", type=_FILE)
@click.option("--parameter", default="D0", show_default=True, help="What is tabulated over q.")
@click.option("--stage", default=None, help="Default: the only one.")
@click.option("--plot", type=_FILE, default=None, help="Draw it to this file: .png, .pdf or .svg.")
@click.option("--json", "as_json_", is_flag=True, help="Print JSON.")
def wavevectors_(directory: Path, parameter: str, stage: str | None, plot: Path | None, as_json_: bool) -> None:
    """Tabulate a parameter over q.

    DIRECTORY is a campaign over files, wavevectors, windows and modes. A series is one file, window and mode. Runs
    that have not converged, or have no error, are listed below.
    """
    from campaign_xpcs.commands.wavevectors import tabulate

    click.echo(tabulate(directory, parameter, stage, plot, as_json_))
    if plot is not None:
        click.echo(f"wrote {plot}", err=True)


@group.command("plot", context_settings=_SETTINGS)
@click.argument("folder", type=_FILE)
@click.option("--output-dir", type=_FILE, default=None, help="Default: FOLDER.")
@click.option("--format", "format_", type=click.Choice(["png", "pdf", "svg"]), default="png", show_default=True)
def plot_(folder: Path, output_dir: Path | None, format_: str) -> None:
    """Draw a fit again from the files of FOLDER (results/nlsq)."""
    from campaign_xpcs.commands.drawing import draw_folder

    for written in draw_folder(folder, output_dir or folder, format_):
        click.echo(f"wrote {written}", err=True)
