"""`campaign report`: one page with what ran, the best runs and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from campaign.cli.output import campaign_argument, json_option, talk, write, write_json
from campaign.cli.output import command as new_command

if TYPE_CHECKING:
    from campaign.report.panels import Drawing, Panel
    from campaign.report.signal_style import PanelRecipe
    from campaign.report.signals import Recipe

_FILE, _FOLDER = click.Path(exists=True, dir_okay=False), click.Path(file_okay=False)


@new_command("report")
@campaign_argument
@click.option("--panel", "names", metavar="NAME", multiple=True, help="Draw only this panel; may be repeated.")
@click.option("--run", metavar="RUN", help="Draw this run only: the beginning of its id, or `last`.")
@click.option("--signals", metavar="FILE", type=_FILE, help="Also draw signals by the recipes in a JSON file.")
@click.option("--png", "folder", metavar="FOLDER", type=_FOLDER, help="Also write each picture there.")
@click.option("-o", "--output", metavar="FILE", help="Where to write the page; default: report.html in DIRECTORY.")
@click.option("--open", "opens", is_flag=True, help="Show the page in a browser.")
@json_option
def command(
    directory: str,
    names: tuple[str, ...],
    run: str | None,
    signals: str | None,
    folder: str | None,
    output: str | None,
    opens: bool,
    as_json: bool,
) -> None:
    """Draw a campaign: one page with its results and pictures.

    The page is self-contained. Panels show every stage, and the run with the lowest loss in each stage. Panels that
    cannot be drawn are listed with what is missing.

    \b
    Example:
      campaign report results/first
      campaign report results/first --panel parameters --run 3f2a --png pictures
    """
    from campaign.analysis.handle import open_campaign
    from campaign.report.page import as_html
    from campaign.report.panels import chosen, installed
    from campaign.report.report import make_report
    from campaign.store.atomic import publish_many

    handle = open_campaign(directory)
    panels, wrong = installed()
    if signals is not None:
        panels = (*panels, *_signals(signals))
    stages = make_report(handle, chosen(panels, names), run=run)
    page = Path(output) if output else handle.layout.report
    drawings = [drawing for stage in stages for drawing in stage.drawings]
    pictures = {Path(folder) / _name(d): d.png for d in drawings if d.png is not None} if folder else {}
    publish_many([(page, as_html(handle, stages).encode()), *pictures.items()])
    for message in wrong:
        talk(f"warning: {message}")
    if as_json:
        files = [str(path) for path in pictures]
        write_json("report", {"page": str(page), "files": files, "panels": [_said(d) for d in drawings]})
    else:
        _print(page, list(pictures), drawings, is_asked=bool(names))
    if opens:
        click.launch(page.resolve().as_uri())


def _signals(file: str) -> tuple[Panel, ...]:
    from campaign.report.signal_ensembles import runs_panel
    from campaign.report.signal_panels import signals_panel

    recipes, panels = read_signals(file)
    return signals_panel(recipes, panels=panels), runs_panel(recipes, panels)


def read_signals(file: str) -> tuple[tuple[Recipe, ...], tuple[PanelRecipe, ...]]:
    """The recipes in a JSON file."""
    from campaign.errors import DataFileError
    from campaign.report.signal_style import document
    from campaign.store.records import loads

    try:
        value = loads(Path(file).read_bytes())
    except ValueError as error:
        raise DataFileError(f"{file} is not JSON: {error}", hint="a list of recipes, see docs/report.md") from error
    return document(value)


def _name(drawing: Drawing) -> str:
    run = f"-{drawing.run_id[:12]}" if drawing.run_id else ""
    return f"{drawing.stage}{run}-{drawing.panel.name}.png"


def _said(drawing: Drawing) -> dict[str, Any]:
    state = "failed" if drawing.has_failed else "skipped" if drawing.is_skipped else "drawn"
    said = {"panel": drawing.panel.name, "stage": drawing.stage, "run_id": drawing.run_id, "state": state}
    return said | ({"reason": drawing.reason} if drawing.reason else {})


def _print(page: Path, pictures: list[Path], drawings: list[Drawing], *, is_asked: bool) -> None:
    for drawing in drawings:
        if drawing.has_failed or (drawing.is_skipped and is_asked):
            talk(f"not drawn: {drawing.panel.name} of {drawing.stage}: {drawing.reason}")
    for path in (*pictures, page):
        write(str(path))
