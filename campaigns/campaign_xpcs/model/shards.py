"""Equal parts of the points, drawn at random: each has every angle, all of them have every point once."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from jaxtyping import Int

from campaign.science import InvalidValue
from campaign_xpcs.physics.pairs import n_pairs


def shard_rows(n_times: int, shard: int, n_shards: int, seed: int = 0) -> Int[np.ndarray, " m"]:
    """Positions in the triangle of one part, increasing; the same for each angle.

    The M pairs are permuted once and dealt out; m = ⌈M / n_shards⌉ for every part, with −1 where the points do not
    suffice.

    Raises:
        InvalidValue: no such part, or more parts than pairs.

    Checked: tests/unit/xpcs/test_xpcs_shards.py.
    """
    total = n_pairs(n_times)
    if not 0 <= shard < n_shards <= total:
        raise InvalidValue(
            f"there is no part {shard} of {n_shards}", hint=f"0 to {n_shards - 1}, at most {total} parts"
        )
    own = np.sort(_permuted(total, seed)[shard::n_shards])
    return np.concatenate([own, np.full(-(-total // n_shards) - len(own), -1)])


@lru_cache(maxsize=4)
def _permuted(total: int, seed: int) -> Int[np.ndarray, " M"]:
    found = np.random.default_rng(seed).permutation(total)
    found.setflags(write=False)
    return found
