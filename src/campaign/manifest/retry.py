"""`retry`: how often runs are tried again by themselves, by how they ended, and how much more each time gives them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from campaign.errors import nearest
from campaign.manifest.context import Context
from campaign.manifest.diagnose import pointer, shown
from campaign.registry import ENGINES, EnginePlugin, load

TIMEOUT, OOM, NONCONVERGED = "timeout", "oom", "nonconverged"
FAILURES: Mapping[str, str] = MappingProxyType(
    {
        "error": "the run raised an exception",
        OOM: "out of memory, although the block had been split down to this run: once more in its own block",
        TIMEOUT: "it ran longer than `timeout_s`: once more with `factor` times as much",
        "lost": "its worker died each time, even when the run was alone",
        "nonfinite": "the model gave NaN or infinity",
        "diverged": "the parameters or the loss ran away",
    }
)
KINDS: Mapping[str, str] = MappingProxyType(
    {**FAILURES, NONCONVERGED: "the step budget was used up (outcome `budget`): `factor` times the engine's steps"}
)
GROWING = frozenset({TIMEOUT, NONCONVERGED})  # kinds that take a `factor`
MAX_STEPS = 2**31 - 1  # the counters of compiled loops are int32
MAX_TIMES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryRule:
    """How often one kind is tried again, and what time or steps are multiplied with each time."""

    times: int = 1
    factor: float = 2.0


def step_option(engine: Mapping[str, Any]) -> str | None:
    """The option of an engine that `nonconverged` raises; None where it has none."""
    return load(ENGINES, engine["name"]).steps


def keeps_state(engine: Mapping[str, Any], asked: bool | None, rules: Mapping[str, RetryRule]) -> bool:
    """Whether the state of an engine's runs is kept after their end: `keep_state` of the stage, or what it implies."""
    plugin: EnginePlugin = load(ENGINES, engine["name"])
    return plugin.steps is not None and (asked if asked is not None else plugin.samples or NONCONVERGED in rules)


def raised_steps(engine: Mapping[str, Any], factor: float) -> dict[str, Any]:
    """The engine's document with its number of steps multiplied, rounded up."""
    plugin = load(ENGINES, engine["name"])
    if plugin.steps is None:
        return dict(engine)
    return {**engine, plugin.steps: min(math.ceil(engine[plugin.steps] * factor), MAX_STEPS)}


def parse_retry(value: Any, place: str, context: Context) -> dict[str, RetryRule]:
    """`retry` of a stage: a number for all failures, or an object kind → number or {"times", "factor"}."""
    if _is_count(value):
        return dict.fromkeys(FAILURES, RetryRule(times=value)) if value else {}
    if not isinstance(value, dict):
        hint = f"a number up to {MAX_TIMES}, or an object with " + ", ".join(f"`{kind}`" for kind in KINDS)
        context.report(place, f"{shown(value)} is not valid here", hint)
        return {}
    rules = {}
    for kind, given in value.items():
        where = pointer(place, kind)
        if kind not in KINDS:
            context.report(where, f"unknown kind of ending `{kind}`", nearest(kind, KINDS))
            continue
        rule = _rule(kind, given, where, context)
        if rule is not None and rule.times:
            rules[kind] = rule
    return rules


def _rule(kind: str, value: Any, place: str, context: Context) -> RetryRule | None:
    if _is_count(value):
        return RetryRule(times=value)
    allowed = ("times", "factor") if kind in GROWING else ("times",)
    if not isinstance(value, dict) or not value:
        hint = f"a number up to {MAX_TIMES}, or an object with " + " and ".join(f"`{key}`" for key in allowed)
        context.report(place, f"{shown(value)} is not valid here", hint)
        return None
    times, factor = value.get("times", 1), value.get("factor", 2.0)
    n_before = len(context.found)
    for key in value:
        if key not in allowed:
            context.report(pointer(place, key), f"unknown key `{key}`", nearest(key, allowed))
    if not _is_count(times):
        context.report(pointer(place, "times"), f"{shown(times)} is not a number of tries", f"valid: 0 to {MAX_TIMES}")
    is_number = isinstance(factor, (int, float)) and not isinstance(factor, bool) and math.isfinite(factor)
    if not is_number or not 1 <= factor <= 1000:
        context.report(pointer(place, "factor"), f"{shown(factor)} is not a factor", "valid: 1 to 1000")
    return RetryRule(times=times, factor=float(factor)) if len(context.found) == n_before else None


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_TIMES


def retry_schema() -> dict[str, Any]:
    """JSON Schema of `retry`."""
    count = {"type": "integer", "minimum": 0, "maximum": MAX_TIMES}
    factor = {"type": "number", "minimum": 1, "maximum": 1000, "default": 2}

    def rule(kind: str) -> dict[str, Any]:
        properties = {"times": {**count, "default": 1}} | ({"factor": factor} if kind in GROWING else {})
        whole = {"type": "object", "properties": properties, "additionalProperties": False, "minProperties": 1}
        return {"anyOf": [count, whole], "description": KINDS[kind]}

    kinds = {"type": "object", "properties": {kind: rule(kind) for kind in KINDS}, "additionalProperties": False}
    return {"anyOf": [count, kinds]}
