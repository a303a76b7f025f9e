"""Compiled programs of this process, kept by structure: a worker compiles each once."""

from __future__ import annotations

import os
from collections import OrderedDict
from importlib import import_module
from typing import Any

import jax

from campaign.engines.loop import Program
from campaign.engines.programs import program_for
from campaign.work.building import Group
from campaign.work.jax_runtime import on_cpu

_KEEP = 64
_programs: OrderedDict[Any, Program] = OrderedDict()


FORCED = "CAMPAIGN_LANES"  # environment: "all" puts all runs of a block side by side on a CPU too, for tests


def lanes_of(group: Group) -> int:
    """Runs that the device advances together: one on a CPU, the whole block on an accelerator."""
    return 1 if on_cpu() and os.environ.get(FORCED) != "all" else len(group.batch.words)


def compiled_for(group: Group) -> tuple[Program, float]:
    """The compiled calls for a group, and the seconds that compiling took now (0.0 when it was here already)."""
    leaves, structure = jax.tree.flatten(group.batch.work)
    shapes = tuple((leaf.shape, str(leaf.dtype)) for leaf in leaves)
    batched = tuple(jax.tree.leaves(group.batch.is_batched))
    key = (structure, shapes, batched, len(group.batch.words), lanes_of(group))
    found = _programs.get(key)
    if found is not None:
        _programs.move_to_end(key)
        return found, 0.0
    program = program_for(group.batch, lanes=lanes_of(group), meanwhile=_import_what_follows)
    _programs[key] = program
    if len(_programs) > _KEEP:
        _programs.popitem(last=False)
    return program, program.compile_s


def _import_what_follows() -> None:
    """What recording and reducing need. XLA, which compiles in other threads, leaves the interpreter free for it."""
    for name in ("scipy.special", "numcodecs.blosc", "pyarrow.json"):
        import_module(name)
