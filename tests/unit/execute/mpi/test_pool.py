"""The MPI world: what is said when it cannot start."""

from __future__ import annotations

from pathlib import Path

import pytest

from campaign.errors import Unavailable
from campaign.execute.base import Control
from campaign.execute.mpi.pool import MpiExecutor
from campaign.store.layout import BlockTask


def test_an_allocation_that_is_too_small_for_the_ranks_is_not_the_fault_of_a_library(tmp_path: Path) -> None:
    said = "srun: error: Unable to create step for job 7: More processors requested than permitted"
    launcher = ["sh", "-c", f"echo '{said}' >&2; exit 1", "{n}"]
    with MpiExecutor(workers=2, device="cpu", launcher=launcher) as running, pytest.raises(Unavailable) as caught:
        list(running.run(tmp_path, iter([BlockTask("fit", 0, 0)]), Control()))
    assert "More processors requested" in caught.value.message
    assert "too small for 3 ranks" in caught.value.hint
