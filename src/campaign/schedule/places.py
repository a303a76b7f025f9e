"""Where axes and values are in the manifest, for findings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from campaign.errors import Diagnostic
from campaign.manifest.diagnose import pointer
from campaign.manifest.model import Stage
from campaign.manifest.points import stage_node

Findings = list[Diagnostic]


@dataclass(frozen=True, slots=True)
class Places:
    """The places of one stage.

    Attributes:
        stage: JSON pointer of the stage.
        axes: axis path → JSON pointer of what sets it.
    """

    stage: str
    axes: Mapping[str, str]

    def of(self, path: str) -> str:
        """Place of an axis, or of the value in the stage's documents that has this path."""
        return self.axes.get(path) or pointer(self.stage, *path.split("."))

    def key(self, *keys: str) -> str:
        """Place of a key of the stage."""
        return pointer(self.stage, *keys)


def places_of(stage: Stage, inherited: Mapping[str, str]) -> Places:
    """The places of a stage; `inherited` axes come from the stage that it starts from."""
    derived = {path: where for path, _, where in stage.derive}
    return Places(stage.place, {**inherited, **stage_node(stage).axes, **derived})
