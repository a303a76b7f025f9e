"""What the operators of an expansion share: where files are, the findings so far, and which axes there can be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from campaign.errors import Diagnostic, nearest
from campaign.manifest.diagnose import kind_of

MAX_RUNS = 20_000_000  # of one stage: its plan is held in memory, about 150 bytes a run
ROOTS = ("problem", "engine", "start", "scale", "tag")
BARE = ("label", "replicate")


@dataclass(frozen=True, slots=True)
class Context:
    """What parsing needs besides the tree.

    Attributes:
        folder: of the manifest.
        seed: the campaign's root seed.
        found: the findings so far; parsing appends to it.
    """

    folder: Path
    seed: int
    found: list[Diagnostic]

    def report(self, place: str, message: str, hint: str | None = None) -> None:
        self.found.append(Diagnostic(place=place, message=message, hint=hint))


def check_path(path: Any, place: str, context: Context) -> bool:
    """Whether `path` can be an axis; a finding if not."""
    root, _, rest = str(path).partition(".")
    if path in BARE or (root in ROOTS and rest and all(rest.split("."))):
        return True
    if root in ROOTS:
        context.report(place, f"the axis `{path}` names nothing in `{root}`", f"for example `{root}.name`")
    else:
        hint = nearest(root, (*ROOTS, *BARE))
        context.report(place, f"unknown axis `{path}`", f"{hint} An axis is written `problem.x`, `start.x`, `tag.x` …")
    return False


def is_mapping(body: Any, place: str, context: Context, what: str) -> bool:
    if isinstance(body, dict) and body:
        return True
    context.report(place, f"{what}, not {kind_of(body)}" + (" without keys" if isinstance(body, dict) else ""))
    return False


def clash(already: Mapping[str, str], axes: Mapping[str, str], context: Context) -> bool:
    """Report the axes that are set twice."""
    both = [path for path in axes if path in already]
    for path in both:
        message = f"the axis `{path}` is set twice in one product, here and at {already[path]}"
        context.report(axes[path], message, "set it in one place, or make the nodes children of a `union`")
    return bool(both)
