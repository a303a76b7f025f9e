"""One stage of a manifest: its document → a `Stage`, and the links between stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from campaign.errors import CampaignError, Diagnostic, InvalidValue, nearest
from campaign.expression import Expression
from campaign.manifest.context import MAX_RUNS, Context, check_path
from campaign.manifest.diagnose import pointer, shown
from campaign.manifest.expand import parse_node, point_list
from campaign.manifest.model import Rule, Stage, StageDocument, Start
from campaign.manifest.nodes import ONE_POINT, Leaf, Node
from campaign.manifest.retry import TIMEOUT, parse_retry
from campaign.manifest.start import DEFAULTS, check_by, numbers, parse_start
from campaign.space.designs import EXTENSIBLE
from campaign.store.trace_policy import KEYS, TracePolicy, trace_policy


def parse_stage(document: StageDocument, place: str, folder: Path, seed: int, found: list[Diagnostic]) -> Stage:
    """A stage. After findings it is marked as broken, and what could not be parsed of it is left out."""
    before = len(found)
    context = Context(folder, seed, found)
    node: Node | None = ONE_POINT
    if document.expand is not None:
        node = parse_node(document.expand, pointer(place, "expand"), context)
    include: Leaf | None = None
    if document.include:
        include = point_list(document.include, pointer(place, "include"), context)
    axes = {**(node.axes if node else {}), **(include.axes if include else {})}
    derive = _derive(document.derive or {}, axes, place, context)
    exclude = _exclude(document.exclude or [], place, context)
    start = parse_start(document.start, pointer(place, "start"), context)
    scale = numbers(document.scale, pointer(place, "scale"), context)
    _names(document, start, axes, place, context)
    trace = _trace(document.trace, pointer(place, "trace"), context)
    retry = parse_retry(document.retry, pointer(place, "retry"), context)
    if isinstance(document.retry, dict) and TIMEOUT in retry and document.timeout_s is None:
        context.report(pointer(place, "retry", TIMEOUT), "`timeout` needs `timeout_s`", "for example `timeout_s`: 60")
    if document.replicates > 1 and "replicate" in axes:
        context.report(axes["replicate"], "`replicate` is an axis, and `replicates` is given too", "leave one out")
    if node is not None and node.n * document.replicates > MAX_RUNS:
        context.report(pointer(place, "replicates"), f"{node.n * document.replicates:,} runs; the most is {MAX_RUNS:,}")
    return Stage(
        name=document.name,
        place=place,
        problem=document.problem,
        engine=document.engine or {},
        start=start,
        scale=scale,
        node=node or ONE_POINT,
        include=include,
        derive=derive,
        exclude=exclude,
        replicates=document.replicates,
        trace=trace,
        block=document.block,
        layout=document.layout,
        publish=document.publish,
        timeout_s=document.timeout_s,
        precision=document.precision,
        keep_state=document.keep_state,
        retry=retry,
        warnings=tuple(_warnings(document.expand, pointer(place, "expand"))),
        is_broken=len(found) > before,
    )


def _names(document: StageDocument, start: Start, axes: Mapping, place: str, context: Context) -> None:
    """Problem and engine are there and have names."""
    inherits = start.source not in (None, DEFAULTS)
    for key, value, needed in (("problem", document.problem, not inherits), ("engine", document.engine, True)):
        if value is None and needed:
            context.report(place, f"the key `{key}` is missing", f'for example "{key}": {{"name": …}}')
        if value is not None and not isinstance(value.get("name"), str) and f"{key}.name" not in axes:
            context.report(pointer(place, key), "the key `name` is missing", f"See `campaign {key}s`.")
    context.found.extend(check_free((document.problem or {}).get("free"), pointer(place, "problem", "free")))


def check_free(free: Any, place: str) -> list[Diagnostic]:
    """`problem.free` is a list of distinct names, or not there."""
    is_list = isinstance(free, list) and free and all(isinstance(v, str) for v in free) and len(set(free)) == len(free)
    if free is None or is_list:
        return []
    return [Diagnostic(place=place, message=f"`free` takes a list of parameters, not {shown(free)}")]


def _derive(
    document: Mapping[str, str], axes: Mapping[str, str], place: str, context: Context
) -> tuple[tuple[str, Expression, str], ...]:
    derived = []
    for path, text in document.items():
        where = pointer(place, "derive", path)
        if not check_path(path, where, context):
            continue
        if path in axes:
            context.report(where, f"the axis `{path}` is set at {axes[path]} already", "derive another axis")
        try:
            derived.append((path, Expression.parse(text), where))
        except CampaignError as error:
            context.report(where, error.message, error.hint)
    return tuple(derived)


def _exclude(document: Sequence[Any], place: str, context: Context) -> tuple[Rule, ...]:
    rules = []
    for i, entry in enumerate(document):
        where = pointer(place, "exclude", i)
        if isinstance(entry, dict) and entry:
            before = len(context.found)
            for path in entry:
                check_path(path, pointer(where, path), context)
            if len(context.found) == before:
                rules.append(Rule(place=where, match=entry))
        elif isinstance(entry, str):
            try:
                rules.append(Rule(place=where, condition=Expression.parse(entry)))
            except CampaignError as error:
                context.report(where, error.message, error.hint)
        else:
            context.report(where, f"{shown(entry)} is neither {{axis: value}} nor an expression")
    return tuple(rules)


def _trace(value: Any, place: str, context: Context) -> TracePolicy:
    for key in set(value) - set(KEYS) if isinstance(value, dict) else ():
        context.report(pointer(place, key), f"unknown key `{key}`", nearest(key, KEYS))
        return TracePolicy()
    try:
        return trace_policy(value)
    except InvalidValue as error:
        context.report(place, error.message.replace(repr(value), shown(value)), error.hint)
        return TracePolicy()


def _warnings(document: Any, place: str) -> list[str]:
    """Notes on designs that do not extend."""
    notes = []
    if isinstance(document, dict):
        for key, value in document.items():
            design = value.get("design") if key == "sample" and isinstance(value, dict) else None
            if design is not None and design not in EXTENSIBLE:
                notes.append(
                    f"{pointer(place, key)}: raising n of a `{design}` design changes every point; sobol extends"
                )
            notes.extend(_warnings(value, pointer(place, key)))
    elif isinstance(document, list):
        for i, value in enumerate(document):
            notes.extend(_warnings(value, pointer(place, i)))
    return notes


def check_links(
    documents: Sequence[StageDocument], places: Mapping[str, str], stages: Sequence[Stage], found: list[Diagnostic]
) -> None:
    """Stage names are unique; `start.from` names an earlier stage; `by` names axes of it."""
    earlier: dict[str, StageDocument] = {}
    names = [document.name for document in documents]
    parsed = {stage.name: stage for stage in stages}
    for i, document in enumerate(documents):
        place = places.get(document.name, "")
        if document.name in earlier:
            place = pointer("/stages", i)
            message = f"the stage `{document.name}` appears twice"
            found.append(Diagnostic(place=pointer(place, "name"), message=message, hint="rename one of them"))
        source = document.start.get("from")
        if isinstance(source, str) and source != DEFAULTS:
            where = pointer(place, "start", "from")
            if source not in names:
                hint = nearest(source, (*names, DEFAULTS))
                found.append(Diagnostic(place=where, message=f"unknown stage `{source}`", hint=hint))
            elif source not in earlier:
                message = f"the stage `{document.name}` starts from `{source}`, which does not come before it"
                found.append(
                    Diagnostic(place=where, message=message, hint="stages start from earlier ones only: no cycles")
                )
            elif document.name in parsed and source in parsed:
                check_by(parsed[document.name], parsed, found)
        earlier[document.name] = document
