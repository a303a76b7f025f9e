"""What each axis of a stage is: an option that makes programs, a number that varies inside one, or a mere label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from campaign.errors import Diagnostic, nearest
from campaign.manifest.columns import Column, Columns
from campaign.manifest.diagnose import pointer
from campaign.manifest.model import Stage
from campaign.manifest.options import varying_options
from campaign.schedule.members import MEMBERS
from campaign.schedule.places import places_of
from campaign.schedule.plugins import Named
from campaign.schedule.starts import BLOCKED

_OURS = {"problem": ("name", "free"), "engine": ("name",)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Axes:
    """The axes of a stage by what they do.

    Attributes:
        structural: options of which each combination is a program.
        varying: numbers that differ inside a program: start, scale, float options, replicate.
        varying_coded: strings that differ inside a program: options marked `Varying`, `members`.
        labels: tags, label, and inherited axes that set nothing here.
        blocked: (``"blocked"``,) where some rows cannot start.
    """

    structural: tuple[str, ...]
    varying: tuple[str, ...]
    varying_coded: tuple[str, ...]
    labels: tuple[str, ...]
    blocked: tuple[str, ...]

    @property
    def by_value(self) -> tuple[str, ...]:
        """Axes whose values make groups."""
        return (*self.structural, *self.varying_coded, *self.blocked)

    def options(self, kind: str) -> tuple[str, ...]:
        """The axes that set options of the problem or the engine."""
        return tuple(
            path for path in (*self.structural, *self.varying, *self.varying_coded) if path.startswith(f"{kind}.")
        )

    def is_varying(self, path: str) -> bool:
        return path in self.varying or path in self.varying_coded


def classify(
    stage: Stage,
    columns: Columns,
    plugins: Mapping[str, Mapping[str, Named]],
    inherited: Mapping[str, str],
    found: list[Diagnostic],
) -> Axes:
    """Sort the axes of a stage; what is wrong with one goes to `found`.

    An option is varying when every plug-in that has it says so. `inherited` axes that are no option here are labels.
    Where a plug-in could not be loaded, `found` says so already, and an unknown option may be one of its own.
    """
    unknown: list[Diagnostic] = [] if found else found
    own = places_of(stage, {}).axes
    places = {**inherited, **own}
    sorted_axes: dict[str, list[str]] = {"structural": [], "varying": [], "varying_coded": [], "labels": []}
    for path, column in columns.items():
        if path == BLOCKED:
            continue
        if path == MEMBERS:
            sorted_axes["varying_coded"].append(path)
            continue
        kind = path.partition(".")[0]
        only_inherited = path in inherited and path not in own
        place = places.get(path, pointer(stage.place, "expand"))
        if kind in ("tag", "label"):
            sorted_axes["labels"].append(path)
        elif kind in ("start", "scale", "replicate"):
            sorted_axes["varying" if _check_numbers(path, column, place, found) else "labels"].append(path)
        else:
            where = _option_class(path, column, plugins[kind], only_inherited, place, unknown)
            sorted_axes[where].append(path)
    blocked = (BLOCKED,) if BLOCKED in columns else ()
    return Axes(**{name: tuple(paths) for name, paths in sorted_axes.items()}, blocked=blocked)


def _option_class(
    path: str,
    column: Column,
    plugins: Mapping[str, Named],
    only_inherited: bool,
    place: str,
    found: list[Diagnostic],
) -> str:
    kind, _, rest = path.partition(".")
    name = rest.partition(".")[0]
    if only_inherited and kind == "engine":
        return "labels"  # a later stage has its own engine
    if rest in _OURS[kind]:
        return "structural"
    owners = [named.plugin.options for named in plugins.values() if name in named.plugin.options.model_fields]
    if not owners:
        if not only_inherited:
            valid = {field for named in plugins.values() for field in named.plugin.options.model_fields}
            hint = nearest(name, (*valid, *_OURS[kind]))
            found.append(Diagnostic(place=place, message=f"unknown key `{name}` in `{path}`", hint=hint))
        return "labels"
    if rest != name or not all(name in varying_options(model) for model in owners):
        return "structural"
    if column.is_coded:
        return "varying_coded"
    return "varying" if _check_numbers(path, column, place, found) else "labels"


def _check_numbers(path: str, column: Column, place: str, found: list[Diagnostic]) -> bool:
    """Whether an axis of numbers holds finite numbers; a finding if not."""
    if column.is_coded or column.kind == "bool":
        found.append(Diagnostic(place=place, message=f"the axis `{path}` takes numbers, not {column.kind} values"))
        return False
    bad = ~np.isfinite(column.data) & column.where_present() if column.kind == "float" else np.zeros(1, bool)
    if bad.any():
        message = f"{int(bad.sum()):,} of {len(column):,} values of `{path}` are not finite numbers"
        found.append(Diagnostic(place=place, message=message, hint="exclude those points, or change the expression"))
    return not bad.any()
