"""The chain of a sampler's run, read from the campaign's arrays when it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from campaign.analysis.chain import Chain
from campaign.analysis.select import Run, read_record
from campaign.analysis.traces import read_trace
from campaign.errors import InvalidValue
from campaign.store.layout import Layout
from campaign.store.records import read_json

if TYPE_CHECKING:
    import xarray


def chain_of(layout: Layout, run: Run) -> Chain:
    """The draws of a run; `burn_in` and `thin` are those of its engine, and of what the stage records.

    Of a run of `nested`: its `draws`, which are independent and of equal weight, as one chain.

    Raises:
        UnknownName: the run is not finished, or nothing was recorded for it.
        InvalidValue: it recorded no theta of walkers or chains in each step.
    """
    trace = read_trace(layout, run)
    theta = trace.get("theta")
    if "draws" in trace:
        draws = np.asarray(trace["draws"], np.float64)[:, None, :]
        return Chain(
            samples=draws,
            log_probs=np.broadcast_to(np.nan, draws.shape[:2]),
            names=_words(trace, "parameter"),
            units=_words(trace, "parameter_unit"),
        )
    if theta is None or theta.ndim != 3 or (theta.dims[0], theta.dims[2]) != ("step", "parameter"):
        shown = "no `theta`" if theta is None else f"`theta` over ({', '.join(map(str, theta.dims))})"
        raise InvalidValue(
            f"run {run.run_id} is no chain: it recorded {shown}", hint="samplers record theta(step, walker, parameter)"
        )
    record, engine = read_record(layout, run) or {}, read_json(layout.program(run.stage, run.program))["engine"]
    steps = np.asarray(trace["step"]) if "step" in trace.coords else np.arange(2)
    every, updates = int(steps[1] - steps[0]) if len(steps) > 1 else 1, int(engine.get("thin", 1))
    burn_in = engine.get("burn_in", engine.get("warmup", 0))
    burn_in = int(burn_in * engine.get("steps", 0)) if burn_in < 1 else int(burn_in)
    return Chain(
        samples=theta,
        log_probs=trace.get("log_prob", np.broadcast_to(np.nan, theta.shape[:2])),
        names=_words(trace, "parameter"),
        units=_words(trace, "parameter_unit"),
        thin=updates * every,
        n_steps=updates * int(record.get("n_steps") or 0),
        accepted=trace.get("accepted"),
        burn_in=burn_in // updates * updates,
        by_walker=np.asarray(trace["acceptance"], np.float64) if "acceptance" in trace else None,
    )


def _words(trace: xarray.Dataset, name: str) -> tuple[str, ...]:
    """An array of words; nothing where there is none of that name."""
    return tuple(str(word) for word in np.asarray(trace[name])) if name in trace else ()
