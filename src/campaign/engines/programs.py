"""Which program an engine needs: compiled steps, passes over rows, or functions around an algorithm on the host."""

from __future__ import annotations

from collections.abc import Callable

from campaign.engines.batch import Batch
from campaign.engines.compiled import compile_program, shapes_of
from campaign.engines.host import HostEngine
from campaign.engines.host_program import host_program, host_shapes
from campaign.engines.lanes import ClosingLanes
from campaign.engines.passes import goes_by_passes
from campaign.engines.program import Program, Shapes
from campaign.engines.row_program import row_program


def program_for(batch: Batch, *, lanes: int, meanwhile: Callable[[], None] = lambda: None) -> Program:
    """The program for blocks shaped like `batch`. See `compile_program`."""
    if isinstance(batch.work.engine, HostEngine):
        return host_program(batch, meanwhile=meanwhile)
    if lanes == 1 and goes_by_passes(batch.work):
        return row_program(batch, meanwhile=meanwhile)
    compiled = compile_program(batch, lanes=lanes, meanwhile=meanwhile)
    return ClosingLanes(compiled, batch) if lanes > 1 else compiled


def shapes_for(batch: Batch) -> Shapes:
    """What a block of that program gives, without compiling it."""
    return host_shapes(batch) if isinstance(batch.work.engine, HostEngine) else shapes_of(batch)
