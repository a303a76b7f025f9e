"""Runs that read all runs of a group: the key of a set of runs, which enters the id of the run that reads them."""

from __future__ import annotations

import hashlib

import numpy as np

MEMBERS = "members"  # column of the plan: key of the runs that a run reads


def members_of(
    run_id: np.ndarray, attempt: np.ndarray, code: np.ndarray, ok: np.ndarray, n_groups: int
) -> tuple[list[str | None], dict[str, bytes]]:
    """The members of each group, sorted by run id.

    Args:
        run_id, attempt, code, ok: of each run of the source: its id, how often it had been tried before, its group,
            whether it ended ok.
        n_groups: how many groups there are.

    Returns:
        The key of each group, None where no run ended ok; and key → ids of its members, 16 bytes each. A key is the
        first 128 bits of SHA-256 over the ids, and the attempts where a run had been tried before, then a minus sign
        and the number of members.
    """
    rows = np.flatnonzero(ok)
    rows = rows[np.lexsort((run_id[rows], code[rows]))]
    ids = np.frombuffer(bytes.fromhex("".join(run_id[rows].tolist())), dtype=np.uint8).reshape(-1, 16)
    ends = np.searchsorted(code[rows], np.arange(n_groups), side="right")
    keys: list[str | None] = []
    members: dict[str, bytes] = {}
    first = 0
    for end in ends.tolist():
        own, tries = ids[first:end].tobytes(), attempt[rows[first:end]]
        first = end
        if not own:
            keys.append(None)
            continue
        more = tries.astype("<u4").tobytes() if tries.any() else b""
        key = f"{hashlib.sha256(own + more).hexdigest()[:32]}-{len(tries)}"
        keys.append(key)
        members[key] = own
    return keys, members


def n_members(key: str) -> int:
    """How many runs a key is for."""
    return int(key.rpartition("-")[2])
