"""Stage + points → what every group of rows is: plug-ins, options, space, files. All findings at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

from campaign.blinding import OPTION
from campaign.errors import CampaignError, Diagnostic, ManifestError, nearest
from campaign.manifest import options as option_models
from campaign.manifest.columns import Columns
from campaign.manifest.diagnose import pointer
from campaign.manifest.model import Manifest, Stage
from campaign.manifest.stage import check_free
from campaign.schedule.axes import Axes, classify
from campaign.schedule.combinations import Combinations, combinations
from campaign.schedule.documents import Documents, Plugins, at_base, document, extremes, named, named_plugins, validated
from campaign.schedule.inputs import Given, inputs
from campaign.schedule.members import MEMBERS
from campaign.schedule.places import Findings, Places, places_of
from campaign.schedule.plugins import Built, Module, Named
from campaign.schedule.spaces import described, other_options, space_key
from campaign.schedule.start_values import LoadDefaults, check_values, start_values
from campaign.space import ThetaSpace

MAX_COMBINATIONS = 200_000  # distinct structures of one stage; each is a program to compile


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Resolved:
    """What the rows of one group have in common.

    Attributes:
        problem, engine: name and every option, defaults filled in; varying options hold their base value.
        identity: the problem and engine documents as they enter the run id (varying options: of the first row).
        free: the parameters that move, or None for the problem's own choice.
        start, scale: the entries that the stage's documents give.
        versions: of the plug-ins.
        inputs: the files that the runs read: name → {"path", "sha256"}.
        kept: names of the inputs that a campaign keeps.
        module: the problem's file, if it is one.
        space: of theta, with `free` applied.
        max_block: the most runs of one block.
        gather: the fields of other runs that the problem reads.
        members: key of the runs that it reads; None where it reads none, or they are not known yet.
        warnings: what a person should know of it.
    """

    problem: Mapping[str, Any]
    engine: Mapping[str, Any]
    identity: Mapping[str, Mapping[str, Any]]
    free: tuple[str, ...] | None
    start: Mapping[str, float]
    scale: Mapping[str, float]
    versions: Mapping[str, str]
    inputs: Mapping[str, Mapping[str, str]]
    kept: frozenset[str]
    module: Module | None
    space: ThetaSpace
    max_block: int
    gather: tuple[str, ...] = ()
    members: str | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ResolvedStage:
    """A stage whose every row is known to be valid."""

    axes: Axes
    groups: Combinations
    resolved: tuple[Resolved, ...]


def resolve(
    manifest: Manifest,
    stage: Stage,
    n: int,
    columns: Columns,
    *,
    problem: Mapping[str, Any],
    inherited: Mapping[str, str] | None = None,
    load_defaults: LoadDefaults | None = None,
) -> ResolvedStage:
    """Resolve all rows of a stage.

    Args:
        manifest, stage: what is planned.
        n, columns: its points.
        problem: the problem document (of the source stage, where the stage has none).
        inherited: axes that come from the stage that this one starts from, with their place.
        load_defaults: model → stored best parameters, for ``start.from: "defaults"``.

    Raises:
        ManifestError: with every finding.
    """
    inherited = inherited or {}
    bases = {"problem": problem, "engine": stage.engine}
    places = places_of(stage, inherited)
    plugins, found = named_plugins(bases, columns, places, manifest.folder, stage.timeout_s)
    found.extend(check_trace(stage, plugins["engine"].values()))
    found.extend(check_precision(stage, plugins["engine"].values()))
    axes = classify(stage, columns, plugins, inherited, found)
    groups = combinations(n, columns, axes.by_value, axes.varying)
    if len(groups) > MAX_COMBINATIONS:
        message = f"{len(groups):,} different programs; the most is {MAX_COMBINATIONS:,}"
        hint = f"structural axes: {', '.join(axes.by_value)}"
        raise ManifestError([Diagnostic(place=places.key("expand"), message=message, hint=hint)])
    setting = _Setting(manifest, stage, columns, bases, inherited, places, plugins, axes, load_defaults)
    spaces: dict[bytes, Built | None] = {}
    resolved = []
    for k in range(len(groups)):
        one, wrong = _group(setting, groups, k, spaces)
        resolved.append(one)
        found.extend(wrong)
    if found:
        unique = {(d.place, d.message): d for d in found}
        raise ManifestError(unique.values(), source=manifest.source)
    return ResolvedStage(axes=axes, groups=groups, resolved=tuple(r for r in resolved if r is not None))


@dataclass(frozen=True, slots=True, eq=False)
class _Setting:
    """What all groups of a stage have in common; `bases` are the stage's own documents."""

    manifest: Manifest
    stage: Stage
    columns: Columns
    bases: Documents
    inherited: Mapping[str, str]
    places: Places
    plugins: Plugins
    axes: Axes
    load_defaults: LoadDefaults | None


def _group(
    setting: _Setting, groups: Combinations, k: int, spaces: dict[bytes, Built | None]
) -> tuple[Resolved | None, Findings]:
    """Group k, or None after findings. `spaces` remembers what was asked for equal structures."""
    stage, axes, columns, places = setting.stage, setting.axes, setting.columns, setting.places
    rows, row = groups.rows(k), int(groups.first[k])
    found: Findings = []

    def checked(kind: str, varying: Mapping[str, Any]) -> tuple[Any, Any, Any]:
        filled = document(kind, setting.bases[kind], axes, columns, row, varying)
        plugin = named(setting.plugins[kind], filled)
        options, wrong = validated(kind, plugin, filled, columns, places)
        found.extend(wrong)
        return filled, plugin, options

    problem, plugin, options = checked("problem", {})
    engine, engine_plugin, engine_options = checked("engine", {})
    for values in extremes(axes, columns, rows, row):
        checked("problem", values)
        checked("engine", values)
    if options is None or plugin is None:
        return None, found
    given, wrong = inputs(plugin, options, setting.manifest.folder, places)
    own: Given | None = Given({}, frozenset())
    if engine_plugin is not None and engine_options is not None:
        own, bad = inputs(engine_plugin, engine_options, setting.manifest.folder, places, "engine")
        found.extend(bad)
    free = problem.get("free")
    if given is None or (wrong := check_free(free, places.of("problem.free"))):
        return None, found + wrong
    key = space_key(plugin, options, free)
    if key not in spaces:
        others = other_options(plugin, setting.bases["problem"], axes, columns, rows)
        spaces[key], wrong = described(plugin, options, others, given.inputs, free, places, stage.timeout_s)
        found.extend(wrong)
    built = spaces[key]
    if built is None:
        return None, found
    theta, beside = built.space, _read(plugin, built.beside)
    start, wrong = start_values(stage, theta, problem, options, setting.load_defaults, places)
    values = {"start": start, "scale": stage.scale}
    found.extend(wrong + check_values(theta, values, axes, columns, rows, setting.inherited, places))
    advice = built.warnings
    for kind, named_, own_options in (("problem", plugin, options), ("engine", engine_plugin, engine_options)):
        if named_ is not None and own_options is not None:
            wrong, said = own_check(kind, named_, own_options, theta, places)
            found.extend(wrong)
            advice += said
    if stage.publish and getattr(options, OPTION, None) is not None:
        message = "blinded parameters do not become defaults of anybody"
        found.append(Diagnostic(place=pointer(stage.place, "publish"), message=message, hint="leave it out"))
    if found or engine_plugin is None or engine_options is None or own is None:
        return None, found
    full = {"name": problem["name"], **option_models.resolved(options)}
    full_engine = {"name": engine["name"], **option_models.resolved(engine_options)}
    return Resolved(
        problem=at_base(full, "problem", setting.bases["problem"], plugin, axes),
        engine=at_base(full_engine, "engine", stage.engine, engine_plugin, axes),
        identity={"problem": full | ({"free": sorted(free)} if free else {}), "engine": full_engine},
        free=tuple(free) if free else None,
        start=start,
        scale=stage.scale,
        versions={"problem": plugin.plugin.version, "engine": engine_plugin.plugin.version},
        inputs=beside | given.inputs | own.inputs,
        kept=given.named | own.named | beside.keys(),
        module=plugin.module,
        space=theta,
        max_block=engine_plugin.plugin.max_block,
        gather=plugin.plugin.gather,
        members=columns[MEMBERS].value(row) if MEMBERS in columns else None,
        warnings=advice,
    ), []


def _read(named: Named, beside: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Files that a problem reads beside its code, as inputs; what is part of the code already is none."""
    code = named.module and named.module.code
    return {
        name: {"path": str(code.place(name)), "sha256": sha256}
        for name, sha256 in beside.items()
        if code and name not in code.files
    }


def own_check(
    kind: str, plugin: Named, options: Any, space: ThetaSpace, places: Places
) -> tuple[Findings, tuple[str, ...]]:
    """What a plug-in itself finds wrong with its options for a space of theta, and what it warns of."""
    check = plugin.plugin.check
    try:
        said = None if check is None else check(options, space)
    except CampaignError as error:
        return [Diagnostic.of(places.key(kind), error)], ()
    return [], (f"{places.key(kind)}: {said}",) if said else ()


def check_trace(stage: Stage, engines: Iterable[Named]) -> Findings:
    """Every field that `trace` names is recorded by one of the stage's engines."""
    known = [engine.plugin.records for engine in engines]  # pyright: ignore[reportAttributeAccessIssue]
    if not known or not all(known):
        return []  # unknown engine, or one that does not say
    valid = sorted(set(chain(*known)))
    place = pointer(stage.place, "trace", "fields")
    return [
        Diagnostic(place=place, message=f"no engine of this stage records `{name}`", hint=nearest(name, valid))
        for name in sorted((stage.trace.fields or frozenset()) - set(valid))
    ]


def check_precision(stage: Stage, engines: Iterable[Named]) -> Findings:
    """Every engine of the stage can compute in its precision."""
    found: Findings = []
    for engine in engines:
        try:
            engine.plugin.check_precision(stage.precision)  # pyright: ignore[reportAttributeAccessIssue]
        except CampaignError as error:
            found.append(Diagnostic.of(pointer(stage.place, "precision"), error))
    return found
