"""Dark energy by name: a⁴ ρ(a)/ρ(1), finite at a → 0.

    cosmological constant   a⁴
    wcdm                    a^(1 − 3 w0)
    w0wacdm                 a^(1 − 3 (w0 + wa)) exp(−3 wa (1 − a)),   w(a) = w0 + wa (1 − a)

Where dark energy would not fade into the past (w ≥ 0 at a → 0) distances to last scattering make no sense: NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Scalar = Float[Array, ""]
Law = Callable[[Array | np.ndarray, Mapping[str, Scalar]], Array]
"""(a, parameters by name) → a⁴ ρ(a)/ρ(1), of the shape of a."""


def cosmological_constant(a: Array | np.ndarray, theta: Mapping[str, Scalar]) -> Array:
    """ρ is constant."""
    return jnp.asarray(a**4)


def constant_w(a: Array | np.ndarray, theta: Mapping[str, Scalar]) -> Array:
    """w = w0 at all times."""
    return _power(a, theta["w0"])


def evolving_w(a: Array | np.ndarray, theta: Mapping[str, Scalar]) -> Array:
    """w(a) = w0 + wa (1 − a).

    Source: Chevallier & Polarski 2001, gr-qc/0009008; Linder 2003, astro-ph/0208512.
    Checked: tests/oracle/test_cosmology_dark_energy.py, against astropy.cosmology.
    """
    wa = theta["wa"]
    return _power(a, theta["w0"] + wa) * jnp.exp(-3.0 * wa * (1.0 - a))


def _power(a: Array | np.ndarray, early_w: Scalar) -> Array:
    """a^(1 − 3w), NaN for a w that does not fade."""
    log_a = np.log(a) if isinstance(a, np.ndarray) else jnp.log(a)
    return jnp.exp((1.0 - 3.0 * jnp.where(early_w < 0.0, early_w, jnp.nan)) * log_a)


LAWS: dict[str, Law] = {"lcdm": cosmological_constant, "wcdm": constant_w, "w0wacdm": evolving_w}
