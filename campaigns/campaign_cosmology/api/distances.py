"""Expansion rate and distances of a parameter dictionary, as functions of redshift.

params = build_params("w0wacdm", {"w0": -0.7, "wa": -1.0})
H(0.5, params), D_M([0.5, 1.0], params), mu(0.5, params), r_d(params)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from campaign.science import InvalidValue, start_jax
from campaign_cosmology.api.theory import conventions, derived, hubble_rates, physics_theta
from campaign_cosmology.model.space import whole
from campaign_cosmology.physics.background import Expansion, background, distances, transverse
from campaign_cosmology.physics.constants import C_KM_S
from campaign_cosmology.physics.quadrature import distance_grid


def H(z: ArrayLike, params: Mapping[str, Any]) -> np.ndarray:
    """H(z) [km/s/Mpc], of the shape of z ≥ 0; NaN where E² < 0.

    Raises:
        ValueError (InvalidValue): a redshift below 0, or no number.
    """
    where = _checked(z)
    return hubble_rates(params, np.ravel(where)).reshape(where.shape)


def D_M(z: ArrayLike, params: Mapping[str, Any]) -> np.ndarray:
    """Transverse comoving distance [Mpc], curvature included.

    Source: Hogg 1999, arXiv:astro-ph/9905116, eq. 16. Checked: tests/unit/cosmology/api/test_cosmology_distances.py.
    """
    import jax.numpy as jnp

    where = _checked(z)
    start_jax()
    model, theta = physics_theta(params)
    chosen = conventions(params)
    expansion = Expansion(model, chosen["form"], chosen["constants"], chosen["neutrinos"])
    names = [p.name for p in whole(model, neutrinos=chosen["neutrinos"], has_rd=chosen["zdrag"] == "FREE")]
    bg = background(dict(zip(names, jnp.asarray(theta), strict=True)), expansion)
    unique, place = np.unique(np.ravel(where), return_inverse=True)
    x = distances(bg, distance_grid(unique, float(unique.max(initial=1.0))), expansion)[0]
    return np.asarray(transverse(bg, x))[place].reshape(where.shape)


def D_H(z: ArrayLike, params: Mapping[str, Any]) -> np.ndarray:
    """c/H(z) [Mpc]."""
    return C_KM_S / H(z, params)


def D_A(z: ArrayLike, params: Mapping[str, Any]) -> np.ndarray:
    """Angular diameter distance D_M/(1 + z) [Mpc]."""
    return D_M(z, params) / (1.0 + np.asarray(z, float))


def D_L(z: ArrayLike, params: Mapping[str, Any]) -> np.ndarray:
    """Luminosity distance (1 + z) D_M [Mpc]."""
    return D_M(z, params) * (1.0 + np.asarray(z, float))


def D_V(z: ArrayLike, params: Mapping[str, Any]) -> np.ndarray:
    """(z D_M² D_H)^(1/3) [Mpc]."""
    return np.cbrt(np.asarray(z, float) * D_M(z, params) ** 2 * D_H(z, params))


def mu(z: ArrayLike, params: Mapping[str, Any]) -> np.ndarray:
    """Distance modulus 5 log10(D_L/Mpc) + 25 [mag]; −∞ at z = 0."""
    with np.errstate(divide="ignore"):
        return 5.0 * np.log10(D_L(z, params)) + 25.0


def r_d(params: Mapping[str, Any]) -> float:
    """Sound horizon at the drag epoch [Mpc], by the dictionary's `drag_method`."""
    return derived(params)["r_d"]


def _checked(z: ArrayLike) -> np.ndarray:
    try:
        where = np.asarray(z, float)
    except (TypeError, ValueError):
        raise InvalidValue(f"the redshift is {z!r}", hint="a number, or an array of them") from None
    if not ((where >= 0) & np.isfinite(where)).all():
        bad = where[~((where >= 0) & np.isfinite(where))].ravel()[0]
        raise InvalidValue(f"the redshift {bad:g} has no distance", hint="redshifts of 0 or more")
    return where
