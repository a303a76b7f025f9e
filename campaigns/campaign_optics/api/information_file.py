"""A file of a Fisher matrix and the mass matrices that follow from it, for samplers anywhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from campaign.science import DataFileError
from campaign_optics.judge.information import Information, mass_matrix

_ARRAYS = ("at", "fisher", "prior", "typical")


def save_information(path: str | Path, found: Information, *, with_prior: bool = True) -> None:
    """Write an NPZ file: names, at, fisher, prior, typical; inverse_mass_dense (d, d), inverse_mass_diagonal (d,).

    `inverse_mass_…` are what NumPyro and BlackJAX take as `inverse_mass_matrix`, in the coordinates of theta.
    """
    dense = mass_matrix(found, "dense", with_prior=with_prior)
    np.savez(
        path,
        names=np.array(found.names),
        **{name: getattr(found, name) for name in _ARRAYS},
        inverse_mass_dense=dense,
        inverse_mass_diagonal=np.diag(dense),
    )


def load_information(path: str | Path) -> Information:
    """Read what `save_information` wrote.

    Raises:
        DataFileError: it cannot be read, or lacks an array.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            names = tuple(str(name) for name in archive["names"])
            return Information(names=names, **{name: archive[name] for name in _ARRAYS})
    except (OSError, ValueError, KeyError) as error:
        raise DataFileError(f"the file `{path}` holds no information matrix: {error}") from error
