"""signals.npz: the signals of a run, complete: what is drawn from the file alone is the same picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from campaign.errors import Damage
from campaign.report.signals import Signal, SignalSet
from campaign.store.layout import RunFolder
from campaign.store.records import dumps, loads
from campaign.store.run_files import Pieces, read_arrays

SCHEMA = "campaign-signals/0"
META, STEPS, SECONDS = "__meta__", "__steps__", "__seconds__"
_SAID = ("label", "unit", "parts", "kind", "truth")


def arrays_of(found: SignalSet) -> dict[str, Pieces]:
    """The arrays of the file: values by the name of each signal, what they run over, and the rest as JSON."""
    said = {name: {key: getattr(one, key) for key in _SAID} for name, one in found.signals.items()}
    about = {"schema": SCHEMA, "signals": said}
    values: dict[str, Any] = {name: one.values for name, one in found.signals.items()}
    values |= {STEPS: found.steps, SECONDS: found.seconds, META: np.array(dumps(about).decode())}
    return {name: Pieces.of(array) for name, array in values.items()}


def load_signals(folder: str | Path) -> SignalSet:
    """The signals of a run's folder.

    Raises:
        UnknownName: there is no signals.npz.
        Damage: it cannot be read, or is of another schema.
    """
    path = RunFolder(Path(folder)).arrays("signals")
    arrays = read_arrays(path)
    try:
        about = loads(str(arrays[META]))
        if about["schema"] != SCHEMA:
            raise ValueError(f"its schema is {about['schema']!r}")
        signals = {
            name: Signal(name=name, values=arrays[name], **said | {"parts": tuple(said["parts"])})
            for name, said in about["signals"].items()
        }
        return SignalSet(signals=signals, steps=arrays[STEPS], seconds=arrays[SECONDS])
    except (KeyError, TypeError, ValueError) as error:
        raise Damage(f"{path} holds no signals of `{SCHEMA}`: {error}", hint="export the run again") from error
