"""Designs: points in the unit cube (Latin hypercube, Sobol, Halton, random), and where they lie under a prior."""

from __future__ import annotations

import warnings

import numpy as np

from campaign.space.priors import Prior

DESIGNS = ("lhs", "sobol", "halton", "random")
EXTENSIBLE = ("sobol", "halton", "random")  # a larger n keeps the earlier points
_EDGE = 2.0**-31  # half a cell of the 30-bit Sobol lattice: stands in for 0 and 1 where a prior is infinite there


def unit_design(design: str, n: int, d: int, seed: int, *, scramble: bool = True) -> np.ndarray:
    """n points in the unit cube, shape (n, d), from `scipy.stats.qmc` (or a PCG64 stream for "random").

    Source: scrambled Sobol (Joe & Kuo 2008 directions, LMS + shift), scrambled Halton (Owen 2017), Latin hypercube
    (McKay et al. 1979). For `EXTENSIBLE` designs the first points do not depend on n.
    """
    from scipy.stats import qmc

    generator = np.random.default_rng(seed)
    match design:
        case "random":
            return generator.random((n, d))
        case "lhs":
            return qmc.LatinHypercube(d, scramble=scramble, rng=generator).random(n)
        case "halton":
            return qmc.Halton(d, scramble=scramble, rng=generator).random(n)
        case _:
            with warnings.catch_warnings():
                # scipy recommends a power of two; a design that may grow has any n
                warnings.filterwarnings("ignore", message="The balance properties", category=UserWarning)
                return qmc.Sobol(d, scramble=scramble, rng=generator).random(n)


def draw(unit: np.ndarray, prior: Prior) -> np.ndarray:
    """Unit points → points of a prior, by its inverse cumulative distribution. Finite also at 0 and 1."""
    values = np.asarray(prior.ppf(unit), dtype=np.float64)
    infinite = ~np.isfinite(values)
    if infinite.any():
        values[infinite] = prior.ppf(np.clip(unit[infinite], _EDGE, 1 - _EDGE))
    return values + 0.0
