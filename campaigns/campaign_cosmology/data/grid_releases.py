"""The releases of published grids: which file, what its columns are, and the table that is made of it. No JAX."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from campaign.science import DataFileError, find_data
from campaign_cosmology.data.data_table import Table
from campaign_cosmology.data.grid import read_grid, shape_of

CITATION = "eBOSS: Alam et al. 2021, arXiv:2007.08991"


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A published grid: its file, what its columns are, and the redshift."""

    file: str
    sha256: str
    quantity: tuple[str, ...]
    z: float
    title: str


RELEASES = {
    "bao_grid:eboss-elg": Release(
        file="sdss_DR16_ELG_BAO_DVtable.txt",
        sha256="ebbd6b7a2946cf1903bac9e699702e6aa57a631799bb70421c8e7a55cb3d2c1f",
        quantity=("DV_over_rd",),
        z=0.845,
        title="eBOSS DR16 emission-line galaxies, z = 0.845: 399 values of a likelihood",
    ),
    "bao_grid:eboss-lya": Release(
        file="sdss_DR16_LYAUTO_BAO_DMDHgrid.txt",
        sha256="40cee3a1c9dc58616ba7151ab9d020b0014238249409cd1ace71af14674e37e0",
        quantity=("DM_over_rd", "DH_over_rd"),
        z=2.334,
        title="eBOSS DR16 Lyman-alpha forest, z = 2.334: 50 x 50 values of a likelihood",
    ),
    "bao_grid:eboss-lya-qso": Release(
        file="sdss_DR16_LYxQSO_BAO_DMDHgrid.txt",
        sha256="653e2cea43a742d12090e9b7eacaf74dc7af7d7f6153a1a4c696d6303a7fb952",
        quantity=("DM_over_rd", "DH_over_rd"),
        z=2.334,
        title="eBOSS DR16 Lyman-alpha forest times quasars, z = 2.334: 50 x 50 values of a likelihood",
    ),
}


@lru_cache(maxsize=8)
def load_grid(name: str) -> Table:
    """A published grid by name, from the release's file in a data folder.

    Raises:
        DataFileError: the file is missing, changed or malformed.
    """
    release = RELEASES[name]
    path = find_data(release.file)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != release.sha256:
        raise DataFileError(
            f"data file `{release.file}` has SHA-256 {digest[:16]}…, the release's has {release.sha256[:16]}…",
            hint="copy the file of the release again",
        )
    axes, chi2 = read_grid(path, len(release.quantity))
    peak, covariance, grid = shape_of(axes, chi2)
    k = len(peak)
    return Table(
        name=name,
        kind="bao_grid",
        quantity=release.quantity,
        z=np.full(k, release.z),
        z_helio=np.full(k, release.z),
        value=peak,
        covariance=covariance,
        anchor=np.full(k, np.nan),
        title=release.title,
        citation=CITATION,
        note="values and covariance are those of the peak; chi2 is −2 ln L of the published grid",
        sha256=digest,
        grid=grid,
    )
