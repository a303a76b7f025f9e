"""A chain in the forms that other libraries read: pandas, xarray for ArviZ, text files for GetDist."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from campaign.blinding import is_marked
from campaign.store.atomic import publish_many

if TYPE_CHECKING:
    import pandas
    import xarray

    from campaign.analysis.chain import Chain

_BLINDED = r"\ \mathrm{(blinded)}"  # in labels, which are LaTeX


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
    shifted = blinded_names(chain.names, chain.units)
    about = {"blinded": ", ".join(shifted)} if shifted else {}
    return xarray.DataTree.from_dict(
        {name: xarray.Dataset(own, coords=where, attrs=about) for name, own in groups.items()}
    )


def write_getdist(chain: Chain, first: int, root: Path) -> list[Path]:
    """Rows from number `first` on as GetDist and CosmoMC read them: ``<root>_<k>.txt`` of each ensemble with
    the columns weight, −ln posterior density and parameters, and ``<root>.paramnames``. See `Chain.to_getdist`.

    Blinded parameters say so in their labels, and in the first line of each file of draws."""
    draws = np.asarray(chain.samples[first:], np.float64)
    log_probs = np.asarray(chain.log_probs[first:], np.float64)
    files = {root.with_name(f"{root.name}.paramnames"): getdist_names(chain.names, chain.units)}
    head = getdist_head(chain.names, chain.units)
    each = chain.n_walkers // chain.n_ensembles
    for k in range(chain.n_ensembles):
        own = slice(k * each, (k + 1) * each)
        rows = np.column_stack([-log_probs[:, own].ravel(), draws[:, own].reshape(-1, len(chain.names))])
        text = head + "".join("1 " + " ".join(map(repr, row)) + "\n" for row in rows.tolist())
        files[root.with_name(f"{root.name}_{k + 1}.txt")] = text
    publish_many([(path, text.encode()) for path, text in files.items()])
    return sorted(files)


def blinded_names(names: Sequence[str], units: Sequence[str]) -> list[str]:
    """The parameters whose values are shifted: their units say so."""
    return [name for name, unit in zip(names, units, strict=False) if is_marked(unit)]


def getdist_names(names: Sequence[str], units: Sequence[str]) -> str:
    """The text of a file .paramnames: name and label (LaTeX), a line each; ``H0 H0\\ \\mathrm{(blinded)}``."""
    shifted = blinded_names(names, units)
    return "".join(f"{name} {name}{_BLINDED if name in shifted else ''}\n" for name in names)


def getdist_head(names: Sequence[str], units: Sequence[str]) -> str:
    """The comment above draws that says which of them are shifted; nothing where none is."""
    shifted = blinded_names(names, units)
    return f"# blinded, shown shifted: {', '.join(shifted)}\n" if shifted else ""


def _steps(chain: Chain, first: int) -> np.ndarray:
    """Sampler steps of the rows from number `first` on."""
    return chain.thin * np.arange(first + 1, len(chain) + 1)
