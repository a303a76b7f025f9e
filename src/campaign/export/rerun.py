"""A run once more, from its meta.json alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from campaign.analysis.artifacts import load_meta
from campaign.errors import InvalidValue
from campaign.fitting import Fit, planned, run_planned
from campaign.store.trace_policy import EVERYTHING


def rerun(meta: str | Path | Mapping[str, Any]) -> Fit:
    """Run what a meta.json describes, in this process, with every array recorded.

    The run id gives the random key, so on the same kind of machine and versions the numbers are the same bits. Problem
    files and data are looked up from the working directory, as `campaign.fit` does.

    Args:
        meta: the document, or the folder that holds it.

    Raises:
        InvalidValue: the document does not name its problem and engine, or the run reads other runs of its campaign.
        UnknownName: the problem or the engine is not installed here.
    """
    document = meta if isinstance(meta, Mapping) else load_meta(meta)
    problem, engine = document.get("problem"), document.get("engine")
    if not problem or not engine:
        raise InvalidValue("this meta.json does not say problem and engine", hint="export the run again")
    if "members" in (document.get("axes") or {}):
        raise InvalidValue(
            f"run {document['run_id']} reads other runs of its campaign",
            hint="`campaign.replay` runs it in its directory",
        )
    block = planned(
        problem["name"],
        engine["name"],
        [document.get("start") or {}],
        seed=document.get("seed") or 0,
        free=document.get("free"),
        scale=document.get("scale"),
        options={name: value for name, value in problem.items() if name not in ("name", "free")},
        engine_options={name: value for name, value in engine.items() if name != "name"},
        precision=document.get("precision") or "float64",
    )
    return run_planned(replace(block, run_ids=[document["run_id"]], trace=EVERYTHING))[0]
