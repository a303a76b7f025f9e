"""More steps for a finished stage: the manifest changed, or why that cannot be."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from campaign.errors import Incomplete, InvalidValue, UsageError
from campaign.manifest.load import loads
from campaign.manifest.retry import step_option
from campaign.manifest.start import stage_axes
from campaign.registry import ENGINES, load
from campaign.schedule.pending import pending
from campaign.store import plan as plans
from campaign.store.layout import Layout
from campaign.store.states import kept_blocks

if TYPE_CHECKING:
    from campaign.manifest.model import Manifest, Stage


def extended(layout: Layout, manifest: Manifest, steps: int, stage: str | None) -> Manifest:
    """The manifest with the steps of one stage raised.

    Raises:
        UsageError: the stage has no number of steps, or no state of its runs is kept.
        InvalidValue: they have as many already.
        Incomplete: it is not finished.
    """
    chosen = _chosen(manifest, stage)
    option = step_option(chosen.engine)
    if option is None:
        raise UsageError(
            f"the engine `{chosen.engine['name']}` of stage `{chosen.name}` has no number of steps",
            hint="`campaign engines` lists the engines and their options",
        )
    part = plans.latest_part(layout, chosen.name)
    if part is None or pending(layout, chosen.name):
        raise Incomplete(f"stage `{chosen.name}` is not finished; `campaign resume {layout.root}` continues it")
    before = load(ENGINES, chosen.engine["name"]).options(**_without_name(chosen.engine)).model_dump()[option]
    if steps <= before:
        raise InvalidValue(
            f"stage `{chosen.name}` has {before:,} steps already, and {steps:,} were asked for",
            hint="`--steps` takes the number of all steps, those that are done included",
        )
    if not kept_blocks(layout, chosen.name):
        raise UsageError(
            f"the state of the runs of stage `{chosen.name}` was not kept: there is nothing to continue from",
            hint=f'raise `engine.{option}` in the manifest and submit it: that computes them from their start; `"keep_'
            'state": true` keeps states from then on',
        )
    document: dict[str, Any] = copy.deepcopy(dict(manifest.document))
    own = next((one for one in document.get("stages", []) if one.get("name") == chosen.name), document)
    own["engine"][option] = steps
    return replace(loads(json.dumps(document), folder=manifest.folder, source=manifest.source), kept=manifest.kept)


def _without_name(engine: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in engine.items() if key != "name"}


def _chosen(manifest: Manifest, stage: str | None) -> Stage:
    if stage is not None:
        chosen = manifest.stage(stage)
    else:
        found = [one for one in manifest.stages if "name" in one.engine and step_option(one.engine) is not None]
        if len(found) > 1:
            names = ", ".join(f"`{one.name}`" for one in found)
            raise UsageError(f"the stages {names} have a number of steps", hint="name one with `--stage`")
        chosen = found[0] if found else manifest.stages[0]
    for path in _step_axes(manifest, chosen):
        raise UsageError(
            f"`{path}` differs between the runs of stage `{chosen.name}`",
            hint="change it in the manifest, and submit that: what is done is continued all the same",
        )
    return chosen


def _step_axes(manifest: Manifest, stage: Stage) -> list[str]:
    """The axes of a stage that make its number of steps differ from run to run."""
    axes = stage_axes(stage, {one.name: one for one in manifest.stages})
    option = step_option(stage.engine) if "name" in stage.engine else None
    return [path for path in axes if path in ("engine.name", f"engine.{option}")]
