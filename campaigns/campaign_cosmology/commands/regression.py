"""``campaign cosmology regression``: optimisations made again, of a file or of the store."""

from __future__ import annotations

import json
from pathlib import Path

from campaign.science import UnknownName, UsageError
from campaign_cosmology.api.parameter_store import OptimizedParameterStore
from campaign_cosmology.api.reproduction import Reproduction, stored_optimization, verify_reproducibility


def repeat_all(path: Path | None, *, quick: bool, tolerance: float) -> list[Reproduction]:
    """Repeat the optimisation in a file, or the last stored one of every model.

    Raises:
        UsageError: no such file, or none that `fit-… --json` printed. UnknownName: nothing is stored.
    """
    if path is None:
        latest = OptimizedParameterStore().latest()
        if not latest:
            raise UnknownName("no optimisation is stored", hint="`fit-cmb --optimize H0,Om0` stores one")
        records = [stored_optimization(entry, model) for model, entry in latest.items()]
    else:
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            records = [document["optimization"]]
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror}") from error
        except (ValueError, KeyError, TypeError):
            hint = "what `fit-… --optimize … --json` printed"
            raise UsageError(f"{path} holds no optimisation", hint=hint) from None
    return [verify_reproducibility(record, quick=quick, tolerance=tolerance) for record in records]


def as_lines(found: list[Reproduction], *, as_json: bool) -> str:
    """One line for each, or JSON."""
    if as_json:
        return json.dumps([one.to_dict() for one in found], indent=2)
    lines = []
    for one in found:
        worst = max(one.differences, key=lambda name: one.differences[name])
        text = f"{one.model} on {' + '.join(one.datasets)}: largest difference {one.differences[worst]:.2g} ({worst})"
        changed = f"; other numbers now: {', '.join(one.changed)}" if one.changed else ""
        lines.append(f"{'ok  ' if one.passed else 'FAIL'} {text}, tolerance {one.tolerance:g}{changed}")
    return "\n".join(lines)
