"""Panels: one drawing of a run or of a stage, found through the entry-point group ``campaign.panels``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from campaign import registry
from campaign.errors import CampaignError, UnknownName, UsageError, nearest
from campaign.report.source import RunSource, StageSource

if TYPE_CHECKING:
    from matplotlib.figure import Figure, FigureBase


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One drawing.

    Attributes:
        name: as ``campaign report --panel`` takes it.
        title: one line for people.
        of: what it draws: "run" or "stage".
        needs: what there must be, all of it:
            ``"stderr.*"``: a column of the table with a value; * matches anything;
            ``"trace.theta[step,parameter]"``: a recorded array with exactly these dimensions after `run`;
            ``"trace.loss"``: one with any;
            ``"engine.name=trf"``, ``"problem.data=bao*"``: an option of the engine or problem is or contains that;
            ``"axis:any"`` (stages): an axis of the problem, the engine or a tag differs; ``"axis:number"``: in numbers.
        draw: ``(source, figure)``: a `RunSource` or `StageSource`, and an empty figure or subfigure to draw on. What
            makes its own figure gives that back.
        size: width and height [inches]; where it depends on the source, a function of it.
    """

    name: str
    title: str
    of: Literal["run", "stage"]
    needs: tuple[str, ...]
    draw: Callable[[Any, FigureBase], Figure | None]
    size: tuple[float, float] | Callable[[Any], tuple[float, float]] = (6.4, 4.0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Drawing:
    """What became of a panel.

    Attributes:
        run_id: of the run that is drawn; None for a stage.
        figure, png: what was drawn, and as a PNG file; None where nothing was.
        reason: why not: what is missing, or how drawing failed.
        has_failed: drawing raised an error.
    """

    panel: Panel
    stage: str
    run_id: str | None
    figure: Figure | None = None
    png: bytes | None = None
    reason: str = ""
    has_failed: bool = False

    @property
    def is_skipped(self) -> bool:
        """Whether the panel does not apply here."""
        return self.png is None and not self.has_failed


def draw(panel: Panel, source: RunSource | StageSource) -> Drawing:
    """Draw a panel. Whatever is wrong with it is in the answer; a drawing that fails never fails anything else."""
    from matplotlib.figure import Figure

    from campaign.report.canvas import new_figure, png

    stage, run_id = (source.stage, None) if isinstance(source, StageSource) else (source.run.stage, source.run.run_id)
    drawing = Drawing(panel=panel, stage=stage, run_id=run_id)
    try:
        if missing := source.missing(panel.needs):
            return replace(drawing, reason=f"there is no {', '.join(missing)}")
        figure = new_figure(panel.size(source) if callable(panel.size) else panel.size)
        own = panel.draw(source, figure)
        figure = own if isinstance(own, Figure) else figure
        return replace(drawing, figure=figure, png=png(figure))
    except Exception as error:  # a panel is anybody's code
        return replace(drawing, reason=f"{type(error).__name__}: {error}", has_failed=True)


def installed() -> tuple[tuple[Panel, ...], tuple[str, ...]]:
    """The panels of all installed packages, by name, and what is wrong with those that cannot be had.

    An entry point gives a `Panel` or several of them.
    """
    found: dict[str, Panel] = {}
    wrong = []
    for entry in registry.names(registry.PANELS):
        try:
            given = registry.load(registry.PANELS, entry)
        except CampaignError as error:
            wrong.append(str(error))
            continue
        for panel in [given] if isinstance(given, Panel) else given:
            if panel.name in found:
                wrong.append(f"the panel `{panel.name}` of `{entry}` has the name of another one and is left out")
            else:
                found[panel.name] = panel
    return tuple(found[name] for name in sorted(found)), tuple(wrong)


def chosen(panels: Iterable[Panel], names: Iterable[str]) -> tuple[Panel, ...]:
    """The panels with some names; all when there are none.

    Raises:
        UnknownName: no such panel.
        UsageError: nothing is installed that draws.
    """
    known = {panel.name: panel for panel in panels}
    if not known:
        raise UsageError("there are no panels", hint="packages register them under `campaign.panels`")
    for name in names:
        if name not in known:
            raise UnknownName(f"unknown panel `{name}`", hint=nearest(name, known))
    return tuple(known[name] for name in names) or tuple(known.values())
