"""A chain in the forms that other libraries read: a data frame of pandas, a tree of xarray for ArviZ."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas
    import xarray

    from campaign.analysis.chain import Chain


def frame_of(chain: Chain, first: int, *, with_indices: bool) -> pandas.DataFrame:
    """Rows from number `first` on: a row a draw, a column a parameter. See `Chain.to_dataframe`."""
    import pandas

    draws = np.asarray(chain.samples[first:], np.float64)
    frame = pandas.DataFrame(draws.reshape(-1, len(chain.names)), columns=list(chain.names))
    if with_indices:
        frame.insert(0, "step", np.repeat(_steps(chain, first), chain.n_walkers))
        frame.insert(1, "walker", np.tile(np.arange(chain.n_walkers), len(draws)))
        frame["log_prob"] = np.asarray(chain.log_probs[first:], np.float64).ravel()
    frame.attrs["units"] = {name: unit for name, unit in zip(chain.names, chain.units, strict=False) if unit}
    return frame


def tree_of(chain: Chain, first: int) -> xarray.DataTree:
    """Rows from number `first` on, as ArviZ has it: groups with arrays (chain, draw). See `Chain.to_inference_data`."""
    import xarray

    draws = np.asarray(chain.samples[first:], np.float64)
    units = dict(zip(chain.names, chain.units, strict=False))
    posterior = {
        name: (("chain", "draw"), draws[:, :, i].T, {"units": units[name]} if units.get(name) else {})
        for i, name in enumerate(chain.names)
    }
    stats = {"lp": (("chain", "draw"), np.asarray(chain.log_probs[first:], np.float64).T)}
    where = {"chain": np.arange(chain.n_walkers), "draw": _steps(chain, first)}
    groups = {"posterior": posterior, "sample_stats": stats}
    return xarray.DataTree.from_dict({name: xarray.Dataset(own, coords=where) for name, own in groups.items()})


def _steps(chain: Chain, first: int) -> np.ndarray:
    """Sampler steps of the rows from number `first` on."""
    return chain.thin * np.arange(first + 1, len(chain) + 1)
