"""How the runs of a program are built: plug-ins, and what their options and starts have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from campaign.registry import EnginePlugin, ProblemPlugin
from campaign.work.gathering import Reader

Columns = Mapping[str, Sequence[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How to build the runs of a program.

    Attributes:
        problem, engine: plug-ins.
        problem_options, engine_options: the program's resolved options, without `name`, without the varying ones.
        start, scale: values that all runs share.
        free: names of the parameters that move; None is the problem's choice.
        seed: root seed.
        capacity: lanes of a compiled block.
        precision: "float64" or "float32": of every floating-point number of problem and engine.
        every: each so many steps are recorded; chunks of steps are made a multiple of it.
        files: names of data files that stand in options → absolute paths.
        gather: key of the runs that a run reads → what its problem gathers of them; None where it reads none.
        memory: what was built once for all blocks of the program (a recipe lives as long as its process).
    """

    problem: ProblemPlugin
    engine: EnginePlugin
    problem_options: Mapping[str, Any]
    engine_options: Mapping[str, Any]
    start: Mapping[str, float]
    scale: Mapping[str, float]
    free: tuple[str, ...] | None
    seed: int
    capacity: int
    precision: str = "float64"
    every: int = 1
    files: Mapping[str, str] = field(default_factory=dict)
    gather: Reader | None = field(default=None, compare=False, repr=False)
    memory: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)
