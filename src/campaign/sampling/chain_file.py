"""The file that a sampler keeps its chain in, and beside it the state that it goes on from."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from campaign.analysis.chain import Chain
from campaign.analysis.chain_storage import ChainStorage
from campaign.errors import DataFileError
from campaign.store.atomic import publishing

_STATE = ".state"  # what the name of the file beside a chain ends in


@dataclass(slots=True)
class ChainFile:
    """The file of a chain, and the state beside it."""

    storage: ChainStorage
    about: dict[str, Any]
    n_rows: int = 0

    @property
    def state(self) -> Path:
        return Path(f"{self.storage.path}{_STATE}")

    @classmethod
    def new(cls, path: str | os.PathLike[str], about: dict[str, Any]) -> ChainFile:
        found = cls(ChainStorage(path), about)
        for old in (found.state, found.storage.path):
            old.unlink(missing_ok=True)
        return found

    @classmethod
    def old(cls, path: str | os.PathLike[str]) -> tuple[ChainFile, list[np.ndarray]]:
        """With the state that it was left in; rows that were written after the state are dropped."""
        found = cls(ChainStorage(path), {})
        n_stored = len(found.storage.load())
        try:
            with np.load(found.state, allow_pickle=False) as archive:
                about = json.loads(str(archive["about"]))
                leaves = [archive[name] for name in sorted(archive.files) if name.startswith("leaf")]
        except (OSError, ValueError, KeyError) as error:
            raise DataFileError(
                f"the state of the sampler, {found.state}, cannot be read: {error}",
                hint="keep it beside the file of the chain; without it the chain can be read, not continued",
            ) from error
        if n_stored < about["n_rows"]:
            raise DataFileError(
                f"{path} has {n_stored} rows, and its state is that after {about['n_rows']}",
                hint="restore the file from a copy, or run the sampler again",
            )
        found.about, found.n_rows = about, about["n_rows"]
        found.storage.cut(found.n_rows)
        return found, leaves

    def write(self, chain: Chain, leaves: list[np.ndarray], steps_done: int) -> None:
        """Add rows, then replace the state: when the process ends between the two, the rows are dropped."""
        if self.n_rows:
            self.storage.append(chain)
        else:
            self.storage.save(chain, self.about)
        self.n_rows += len(chain)
        self.about |= {"steps_done": steps_done, "n_rows": self.n_rows}
        arrays = {f"leaf{i:04d}": leaf for i, leaf in enumerate(leaves)}
        with publishing(self.state) as temporary, open(temporary, "wb") as file:
            np.savez(file, about=np.array(json.dumps(self.about)), **arrays)  # pyright: ignore[reportArgumentType]
