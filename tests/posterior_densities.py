"""Eight posteriors of posteriordb as densities, restated from the database's models; data: oracle/data/posteriordb."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from campaign.problem.base import Problem
from campaign.space import Parameter, ThetaSpace
from driving import at_start

DATA = Path(__file__).parent / "oracle" / "data" / "posteriordb"
FREE, POSITIVE, UNIT = (-np.inf, np.inf), (0.0, np.inf), (0.0, 1.0)


def data_of(name):
    with zipfile.ZipFile(DATA / f"{name}.json.zip") as archive:
        own = json.loads(archive.read(archive.namelist()[0]))
    return {k: np.asarray(v, np.float64) if isinstance(v, list) else v for k, v in own.items()}


def normal(x, mean, sd):
    return jnp.sum(-0.5 * ((x - mean) / sd) ** 2 - jnp.log(sd) * jnp.ones_like(x))


def half_cauchy(x, scale):
    return -jnp.log1p((x / scale) ** 2)


def ar(d, t):
    alpha, beta, sigma = t[0], t[1:6], t[6]
    y, lags = d["y"], d["K"]
    mean = alpha + sum(beta[k] * y[lags - 1 - k : len(y) - 1 - k] for k in range(lags))
    return normal(t[:6], 0.0, 10.0) + half_cauchy(sigma, 2.5) + normal(y[lags:], mean, sigma)


def eight_schools(d, t):
    raw, mu, tau = t[:8], t[8], t[9]
    return (
        normal(raw, 0.0, 1.0)
        + normal(mu, 0.0, 5.0)
        + half_cauchy(tau, 5.0)
        + normal(d["y"], mu + tau * raw, d["sigma"])
    )


def schools_reported(draws):
    return np.concatenate([draws[..., 8:9] + draws[..., 9:10] * draws[..., :8], draws[..., 8:]], axis=-1)


def garch(d, t):
    """beta1 = share · (1 − alpha1), with its Jacobian."""
    mu, alpha0, alpha1, share = t
    beta1, y = share * (1.0 - alpha1), jnp.asarray(d["y"])

    def next_variance(variance, before):
        new = alpha0 + alpha1 * (before - mu) ** 2 + beta1 * variance
        return new, new

    first = jnp.asarray(d["sigma1"] ** 2, y.dtype)
    _, rest = jax.lax.scan(next_variance, first, y[:-1])
    return normal(y, mu, jnp.sqrt(jnp.concatenate([first[None], rest]))) + jnp.log1p(-alpha1)


def garch_reported(draws):
    return np.concatenate([draws[..., :3], draws[..., 3:] * (1.0 - draws[..., 2:3])], axis=-1)


def gaussian_process(d, t):
    rho, alpha, sigma = t
    x, y = d["x"], d["y"]
    matrix = alpha**2 * jnp.exp(-0.5 * ((x[:, None] - x[None, :]) / rho) ** 2) + sigma * jnp.eye(len(x))
    factor = jnp.linalg.cholesky(matrix)
    white = jax.scipy.linalg.solve_triangular(factor, jnp.asarray(y), lower=True)
    priors = 24.0 * jnp.log(rho) - 4.0 * rho - alpha**2 / 8.0 - sigma**2 / 2.0
    return priors - 0.5 * jnp.sum(white**2) - jnp.sum(jnp.log(jnp.diagonal(factor)))


def kidscore(d, t):
    return half_cauchy(t[2], 2.5) + normal(d["kid_score"], t[0] + t[1] * d["mom_iq"], t[2])


def kilpisjarvi(d, t):
    priors = normal(t[0], d["pmualpha"], d["psalpha"]) + normal(t[1], d["pmubeta"], d["psbeta"])
    return priors + normal(d["y"], t[0] + t[1] * d["x"], t[2])


def mixture(d, t):
    """mu2 = mu1 + gap."""
    mu1, gap, s1, s2, theta = t
    y = d["y"]
    one = jnp.log(theta) - 0.5 * ((y - mu1) / s1) ** 2 - jnp.log(s1)
    two = jnp.log1p(-theta) - 0.5 * ((y - mu1 - gap) / s2) ** 2 - jnp.log(s2)
    priors = normal(t[2:4], 0.0, 2.0) + normal(mu1, 0.0, 2.0) + normal(mu1 + gap, 0.0, 2.0)
    return priors + 4.0 * (jnp.log(theta) + jnp.log1p(-theta)) + jnp.sum(jnp.logaddexp(one, two))


def mixture_reported(draws):
    return np.concatenate([draws[..., :1], draws[..., :1] + draws[..., 1:2], draws[..., 2:]], axis=-1)


def regression(d, t):
    return normal(t[:5], 0.0, 10.0) - 0.5 * (t[5] / 10.0) ** 2 + normal(d["y"], d["X"] @ t[:5], t[5])


class Posterior(NamedTuple):
    """One of them: its data, ln density, coordinates as (start, scale, bounds), and what is reported of the draws."""

    data: str
    density: Callable
    coordinates: list
    reported: Callable = lambda draws: draws
    options: dict = {}  # noqa: RUF012


KILPISJARVI = [(-31.0, 5.0, FREE), (0.01, 0.00125, FREE), (1.2, 0.1, POSITIVE)]
POSTERIORS = {
    "arK-arK": Posterior("arK", ar, [(0.0, 0.05, FREE)] * 6 + [(0.5, 0.05, POSITIVE)]),
    "eight_schools-eight_schools_noncentered": Posterior(
        "eight_schools",
        eight_schools,
        [(0.0, 1.0, FREE)] * 8 + [(0.0, 3.0, FREE), (3.0, 1.0, POSITIVE)],
        schools_reported,
        {"target_accept": 0.95},
    ),
    "garch-garch11": Posterior(
        "garch", garch, [(4.0, 0.2, FREE), (1.0, 0.3, POSITIVE), (0.3, 0.1, UNIT), (0.3, 0.1, UNIT)], garch_reported
    ),
    "gp_pois_regr-gp_regr": Posterior(
        "gp_pois_regr", gaussian_process, [(5.0, 1.0, POSITIVE), (1.0, 0.5, POSITIVE), (1.0, 0.3, POSITIVE)]
    ),
    "kidiq-kidscore_momiq": Posterior(
        "kidiq", kidscore, [(20.0, 2.0, FREE), (0.7, 0.02, FREE), (25.0, 1.0, POSITIVE)], options={"mass": "dense"}
    ),
    "kilpisjarvi_mod-kilpisjarvi": Posterior(
        "kilpisjarvi_mod", kilpisjarvi, KILPISJARVI, options={"mass": "dense", "metric": "fisher"}
    ),
    "low_dim_gauss_mix-low_dim_gauss_mix": Posterior(
        "low_dim_gauss_mix",
        mixture,
        [(-2.0, 0.1, FREE), (4.0, 0.2, POSITIVE), (1.5, 0.1, POSITIVE), (1.5, 0.1, POSITIVE), (0.5, 0.05, UNIT)],
        mixture_reported,
    ),
    "sblrc-blr": Posterior("sblrc", regression, [(0.5, 0.01, FREE)] * 5 + [(2.0, 0.3, POSITIVE)]),
}


class Density(Problem):
    """A posterior by its ln density."""

    space: ThetaSpace = eqx.field(static=True)
    density: Callable = eqx.field(static=True)
    data: dict

    def log_likelihood(self, theta):
        return self.density(self.data, theta)


def target_of(own):
    parameters = [
        Parameter(name=f"x{i}", initial=start, scale=scale, lower=low, upper=high)
        for i, (start, scale, (low, high)) in enumerate(own.coordinates)
    ]
    return at_start(Density(ThetaSpace(tuple(parameters)), own.density, data_of(own.data)))
