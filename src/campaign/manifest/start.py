"""The key `start` of a stage: values, or which results of an earlier stage its runs start from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from campaign.errors import Diagnostic, nearest
from campaign.manifest.context import Context
from campaign.manifest.diagnose import pointer, shown
from campaign.manifest.model import Stage, Start

DEFAULTS = "defaults"
SOURCE_TAG = "tag.source"  # id of the run that a run starts from
RANK_TAG = "tag.rank"  # 1 for the best run of a group, 2 for the second, …
COUNT_TAG = "tag.n_members"  # how many runs a run reads
_KEYS = ("from", "pick", "by")
_PICKS = ("best", "all", "nearest", "group")
_VALID = 'valid: "best", {"best": n}, "all", "nearest", "group", {"run": id}'


def parse_start(document: Mapping[str, Any], place: str, context: Context) -> Start:
    """The key `start`; what is wrong with it is reported and left out."""
    source = document.get("from")
    values = numbers({k: v for k, v in document.items() if k not in _KEYS}, place, context)
    if "from" in document and not isinstance(source, str):
        context.report(pointer(place, "from"), f"{shown(source)} is not the name of a stage", "or write `defaults`")
        source = None
    if source is None and "from" not in document:
        for key in ("pick", "by"):
            if key in document:
                context.report(pointer(place, key), f"`{key}` needs `from`", "name the stage to start from")
    pick, run, n = _pick(document.get("pick", "best"), pointer(place, "pick"), context)
    if source == DEFAULTS and (n is not None or pick in ("nearest", "group")):
        context.report(pointer(place, "pick"), "stored defaults are one start", "leave `pick` out, or name a stage")
    by, scales = _by(document.get("by", []), pick, place, context)
    return Start(values=values, source=source, pick=pick, run=run, n=n, by=by, scales=scales)


def _pick(pick: Any, place: str, context: Context) -> tuple[str, str | None, int | None]:
    """(kind, beginning of a run id, how many of the best)."""
    match pick:
        case {"run": str(run)} if run and len(pick) == 1:
            return "run", run, None
        case {"best": int(n)} if n >= 1 and not isinstance(n, bool) and len(pick) == 1:
            return "best", None, n
        case str(name) if name in _PICKS:
            return name, None, None
    context.report(place, f"{shown(pick)} is not valid here", _VALID)
    return "best", None, None


def _by(by: Any, pick: str, place: str, context: Context) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Axes, and for "nearest" what each is divided by."""
    where = pointer(place, "by")
    if pick != "nearest":
        if not isinstance(by, list) or not all(isinstance(path, str) for path in by):
            context.report(where, f"`by` takes a list of axes, not {shown(by)}")
            by = []
        return tuple(dict.fromkeys(by)), ()
    match by:
        case str():
            return (by,), (1.0,)
        case list() if by and all(isinstance(path, str) for path in by):
            axes = tuple(dict.fromkeys(by))
            return axes, (1.0,) * len(axes)
        case dict() if by and all(_is_scale(scale) for scale in by.values()):
            return tuple(by), tuple(float(scale) for scale in by.values())
    hint = 'for example "by": "tag.time", or {"tag.time": 10, "problem.mass": 0.5} with a scale each'
    if by == []:
        context.report(pointer(place, "pick"), "`nearest` needs `by`", hint)
    else:
        context.report(where, f"`by` takes axes, or a positive scale for each, not {shown(by)}", hint)
    return (), ()


def _is_scale(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < math.inf


def numbers(values: Mapping[str, Any], place: str, context: Context) -> dict[str, float]:
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            hint = "an axis of start values belongs in `expand`" if isinstance(value, (list, dict)) else None
            context.report(pointer(place, name), f"{shown(value)} is not a number", hint)
    return {k: v for k, v in values.items() if isinstance(v, (int, float)) and not isinstance(v, bool)}


def own_axes(stage: Stage) -> dict[str, str]:
    """The axes that a stage sets itself, with their places."""
    own = {**stage.node.axes, **(stage.include.axes if stage.include else {})}
    own.update({path: where for path, _, where in stage.derive})
    return own


def stage_axes(stage: Stage, stages: Mapping[str, Stage]) -> tuple[str, ...]:
    """The axes of a stage's points, with those that it takes over from the stage that it starts from."""
    inherited: tuple[str, ...] = ()
    source, start = stages.get(stage.start.source or ""), stage.start
    if source:
        marks = {"group": (COUNT_TAG,), "best": (SOURCE_TAG, RANK_TAG) if start.n else (SOURCE_TAG,)}
        inherited = (*(() if start.pick == "nearest" else start.by), *marks.get(start.pick, (SOURCE_TAG,)))
        if stage.problem is None:
            inherited = (*inherited, *(p for p in stage_axes(source, stages) if p.startswith("problem.")))
    return tuple(dict.fromkeys((*inherited, *own_axes(stage))))


def check_by(stage: Stage, stages: Mapping[str, Stage], found: list[Diagnostic]) -> None:
    """`by` names axes of the source; those that "nearest" compares are axes of the stage too, all others are not."""
    source = stages[stage.start.source or ""]
    valid, own = stage_axes(source, stages), own_axes(stage)
    for i, path in enumerate(stage.start.by):
        where = pointer(stage.place, "start", "by", *((i,) if stage.start.pick != "nearest" else ()))
        if path not in valid and path != "replicate":
            message = f"`{path}` is not an axis of the stage `{source.name}`"
            found.append(Diagnostic(place=where, message=message, hint=nearest(path, valid)))
        if stage.start.pick == "nearest":
            if path not in own and path != "replicate":
                message = f"`{path}` is not an axis of the stage `{stage.name}` itself"
                found.append(Diagnostic(place=where, message=message, hint="set it in `expand` or `derive`"))
        elif path in own and not path.startswith(("start.", "scale.")):
            message = f"the axis `{path}` comes from `{source.name}` and is set at {own[path]} too"
            found.append(Diagnostic(place=where, message=message, hint="leave it out of one of them"))
