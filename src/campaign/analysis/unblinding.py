"""The truth of blinded parameters, for who knows the phrase. That it was asked for is recorded before it is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas

from campaign.analysis.chain import Chain
from campaign.analysis.handle import Handle
from campaign.blinding import Blind, blind_of, checked, unmarked
from campaign.errors import InvalidValue
from campaign.store import plan
from campaign.store.events import EventLog
from campaign.store.owner import this_process

EVENT = "unblinded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unblinded:
    """A campaign's true values.

    Attributes:
        shifts: stage → program → parameter → what its shown values have more than the truth.
    """

    campaign: Handle
    shifts: Mapping[str, Mapping[str, Mapping[str, float]]]

    def table(self) -> pandas.DataFrame:
        """The summary table with the true values of `theta.*` and `start.*`; nothing else of it was shifted."""
        frame = self.campaign.table()
        units = dict(frame.attrs.get("units", {}))
        for stage, programs in self.shifts.items():
            for program, own in programs.items():
                rows = ((frame["stage"] == stage) & (frame["program"] == program)).to_numpy()
                for name, by in own.items():
                    for column in (f"theta.{name}", f"start.{name}"):
                        if column in frame:
                            frame.loc[rows, column] = frame.loc[rows, column].astype(float) - by
                            units[column] = unmarked(units.get(column, ""))
        frame.attrs["units"] = units
        return frame

    def chain(self, run: str) -> Chain:
        """The true draws of a sampler's run."""
        found = self.campaign.run(run)
        chain, own = self.campaign.chain(found.run_id), self.shifts.get(found.stage, {}).get(found.program, {})
        by = np.array([own.get(name, 0.0) for name in chain.names])
        units = tuple(unmarked(unit) for unit in chain.units)
        return replace(chain, samples=np.asarray(chain.samples, np.float64) - by, units=units)


def unblind(campaign: Handle, phrase: str) -> Unblinded:
    """The true values of a blinded campaign. First the journal says when, by whom and on which machine.

    Raises:
        InvalidValue: nothing is blinded, or this is not the phrase of every blinded stage.
        Unavailable: the directory cannot be written, so that nothing can be recorded; nothing is shown.
    """
    found: dict[str, dict[str, dict[str, float]]] = {}
    for stage, program, blind in _blinds(campaign):
        found.setdefault(stage, {})[program] = checked(blind, phrase)
    if not found:
        raise InvalidValue(f"nothing in {campaign.layout.root} is blinded", hint="`campaign ls` shows its values")
    names = sorted({name for programs in found.values() for own in programs.values() for name in own})
    with EventLog(campaign.layout) as journal:
        journal.append(EVENT, durable=True, parameters=names, host=this_process().host, stages=sorted(found))
    return Unblinded(campaign=campaign, shifts=found)


def _blinds(campaign: Handle) -> list[tuple[str, str, Blind]]:
    """(stage, program, what is blinded) of every planned program that shows no truth."""
    entries = [(name, *item) for name in campaign.stages for item in plan.programs(campaign.layout, name).items()]
    found = [(stage, program, blind_of(entry["problem"])) for stage, program, entry in entries]
    return [(stage, program, blind) for stage, program, blind in found if blind is not None]
