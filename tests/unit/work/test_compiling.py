"""Compiled programs of a process: the ones used last, and no more than it can map."""

from __future__ import annotations

import numpy as np
import pytest

from campaign.fitting import fit
from campaign.work import compiling


def test_only_the_last_programs_are_kept(monkeypatch):
    monkeypatch.setattr(compiling, "KEEP", 2)
    compiling.forget_programs()
    results = [fit("decay", engine_options={"chunk_steps": steps}).theta for steps in (8, 16, 24, 8)]
    assert 1 <= len(compiling._programs) <= 2
    np.testing.assert_array_equal(list(results[0].values()), list(results[-1].values()))


@pytest.mark.skipif(compiling.n_mappings() == 0, reason="nothing tells a process's mappings here")
def test_all_are_forgotten_before_a_process_has_too_many_mappings(monkeypatch):
    compiling.forget_programs()
    fit("decay", engine_options={"chunk_steps": 8})
    monkeypatch.setattr(compiling, "_MOST_MAPPINGS", 1)
    compiling.make_room()
    assert not compiling._programs
