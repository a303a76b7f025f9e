"""What calls in this process are given: a problem or an engine, by name or as an object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from campaign import data
from campaign.manifest.options import data_files, with_files
from campaign.problem.file import is_file_problem, own_code, split_name
from campaign.registry import PROBLEMS, Options, ProblemPlugin, load, load_reference
from campaign.schedule.plugins import Named, named_in

if TYPE_CHECKING:
    from campaign.problem.base import Problem


def built(problem: str | Problem, options: Mapping[str, Any] | None = None) -> Problem:
    """A problem by its name, with its options; a problem itself as it is."""
    if not isinstance(problem, str):
        return problem
    plugin: ProblemPlugin = named_problem(problem).plugin  # pyright: ignore[reportAssignmentType]
    own = plugin.options(**dict(options or {}))
    files = {name: str(data.find(name, Path.cwd())) for name in (*data_files(own), *inputs_of(plugin, own))}
    return load_reference(plugin.build)(with_files(own, files))


def named_problem(problem: str | Problem) -> Named:
    """The plug-in of a problem, with the file that it comes from."""
    if not isinstance(problem, str):
        return Named(around(ProblemPlugin, problem))
    if not is_file_problem(problem):
        return Named(load(PROBLEMS, problem))
    file, attribute = split_name(problem)
    folder = Path.cwd() if Path(file).resolve().is_relative_to(Path.cwd()) else None
    named = named_in(own_code(file, folder), file, attribute)
    return replace(named, plugin=replace(named.plugin, name=problem))


def inputs_of(plugin: ProblemPlugin, options: Any) -> tuple[str, ...]:
    """Data files that a problem reads besides those in its options."""
    return () if plugin.inputs is None else plugin.inputs(options)


def around(kind: Any, value: Any) -> Any:
    """A plug-in made around an object."""
    return kind(name=type(value).__name__, version="0", options=Options, build=lambda _: value)
