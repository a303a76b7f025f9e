"""The cosmological problem: parameters, data blocks and the model, as `campaign` runs them."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from campaign.science import Prior, Problem, ThetaSpace
from campaign_cosmology.data.data_table import Table
from campaign_cosmology.data.noise import whitened_noise
from campaign_cosmology.data.tables import resolve, table
from campaign_cosmology.model import options as option_models
from campaign_cosmology.model.blocks import (
    Block,
    Geometry,
    make_block,
    numbers,
    predict,
    whitened,
)
from campaign_cosmology.model.own import own_table
from campaign_cosmology.model.prior import parsed_priors, prior_table
from campaign_cosmology.model.warning import CosmologyWarning
from campaign_cosmology.physics.background import (
    Background,
    Expansion,
    a4_e2,
    background,
    distance_beyond,
    distances,
    transverse,
)
from campaign_cosmology.physics.constants import C_KM_S, Z_REFERENCE
from campaign_cosmology.physics.quadrature import DistanceGrid, distance_grid
from campaign_cosmology.physics.recombination import R_DRAG, Z_DRAG, Z_STAR
from campaign_cosmology.physics.sound_horizon import sound_horizon, sound_horizon_between


@dataclass(frozen=True, eq=False)
class Setup:
    """What is compiled in: blocks, redshifts, quadrature and conventions. One object per distinct choice.

    Attributes:
        shifts: of blinded parameters, in order of their names: theta has the truth plus these.
    """

    blocks: tuple[Block, ...]
    redshifts: np.ndarray
    grid: DistanceGrid
    expansion: Expansion
    zstar: str
    zdrag: str
    shifts: tuple[tuple[str, float], ...] = ()

    @property
    def n_data(self) -> int:
        return sum(len(block.table) for block in self.blocks)

    @property
    def labelled(self) -> tuple[tuple[str, Block], ...]:
        """The blocks with a name each: the kind where there is one of it, else the data set's, as an identifier."""
        kinds = [block.kind for block in self.blocks]
        names = [b.kind if kinds.count(b.kind) == 1 else re.sub(r"\W", "_", b.table.name) for b in self.blocks]
        return tuple(zip(names, self.blocks, strict=True))


class Evaluation(NamedTuple):
    """The model at one theta."""

    bg: Background
    geometry: Geometry
    theta: dict[str, Array]


def make_setup(tables: tuple[Table, ...], expansion: Expansion, zstar: str, zdrag: str) -> Setup:
    """Whitened blocks and one distance grid for the redshifts of all of them."""
    measured = [t.z for t in tables if t.kind not in ("cmb", "prior")]
    redshifts = np.unique(np.concatenate(measured)) if measured else np.zeros(0)
    blocks = tuple(make_block(t, redshifts) for t in tables)
    return Setup(blocks, redshifts, distance_grid(redshifts, Z_REFERENCE), expansion, zstar, zdrag)


_MADE: dict[tuple[object, ...], Setup] = {}
_MOST_MADE = 64


def setup_of(
    tables: tuple[Table, ...], expansion: Expansion, zstar: str, zdrag: str, shifts: tuple[tuple[str, float], ...] = ()
) -> Setup:
    """One object for tables of the same numbers and names: they compile once; see `make_setup`."""
    key = (tuple((t.name, t.sha256) for t in tables), expansion, zstar, zdrag, shifts)
    if key not in _MADE:
        if len(_MADE) >= _MOST_MADE:
            _MADE.clear()
        _MADE[key] = replace(make_setup(tables, expansion, zstar, zdrag), shifts=shifts)
    return _MADE[key]


@lru_cache(maxsize=256)
def _known_setup(
    names: tuple[str, ...],
    own: tuple[tuple[str, int, int], ...],
    priors: tuple[tuple[str, Prior], ...],
    expansion: Expansion,
    zstar: str,
    zdrag: str,
    shifts: tuple[tuple[str, float], ...],
) -> Setup:
    """One object for equal choices: they compile once. `own`: files with size and time of change, in pairs."""
    pairs = zip(own[::2], own[1::2], strict=True)
    tables = [*(table(name) for name in names), *(own_table(one[0], other[0]) for one, other in pairs)]
    given = prior_table(dict(priors))
    made = make_setup((*tables, *([] if given is None else [given])), expansion, zstar, zdrag)
    return replace(made, shifts=shifts)


def _stamped(path: str) -> tuple[str, int, int]:
    """A file with its size and time of change; zeros where there is none, which reading it says better."""
    try:
        found = os.stat(path)
    except OSError:
        return path, 0, 0
    return path, found.st_size, found.st_mtime_ns


class CosmologyProblem(Problem):
    """A model of the expansion against CMB priors, BAO, supernovae, priors and data of one's own.

    For dark energy of one's own, subclass it and override `dark_energy` (docs/cosmology.md has an example).

    Residuals are the whitened residuals of the blocks, one after the other; their squares sum to chi2. Each supernova
    block has its magnitude offset eliminated, so it has one degree of freedom less than rows: see `n_profiled`.

    Attributes:
        noise: bootstrap noise in whitened units (N,), zeros for the data as published.
        cov_scale: factor on every covariance, ().
        setup: blocks and conventions; static.
    """

    noise: Float[Array, " N"]
    cov_scale: Float[Array, ""]
    space: ThetaSpace = eqx.field(static=True)
    setup: Setup = eqx.field(static=True)

    @property
    def n_profiled(self) -> int:
        """Nuisance parameters that residuals eliminate: one magnitude offset a supernova block. Counted in dof."""
        return sum(block.n_profiled for block in self.setup.blocks)

    def dark_energy(self, a: Array | np.ndarray, theta: Mapping[str, Array]) -> Array:
        """a⁴ ρ(a)/ρ(1) of dark energy, finite at a → 0, of the shape of a; `theta` has the parameters by name.

        The model's own law. Not asked for with PBUF, whose equations are its own.
        """
        return self.setup.expansion.dark_energy(a, theta)

    def evaluate(self, theta: Float[Array, " d"]) -> Evaluation:
        """Densities, distances and horizons at theta. NaN where E² < 0."""
        setup = self.setup
        expansion = setup.expansion._replace(dark=self.dark_energy)
        shifts = dict(setup.shifts)
        values = {name: theta[i] - shifts.get(name, 0.0) for i, name in enumerate(self.space.names)}
        bg = background(values, expansion)
        wb, wm = values["Obh2"], (bg.Om0 - bg.Onu0) * bg.h**2
        z_star = Z_STAR[setup.zstar](wb, wm)
        z_drag = Z_DRAG.get(setup.zdrag, Z_DRAG["AAN21"])(wb, wm)
        x, x_reach = distances(bg, setup.grid, expansion)
        x_star = x_reach + distance_beyond(bg, setup.grid.z_reach, z_star, expansion)
        a = 1.0 / (1.0 + setup.redshifts)
        D_H = C_KM_S / bg.H0 * a**2 / jnp.sqrt(a4_e2(bg, a, expansion))
        r_s_star = sound_horizon(bg, z_star, expansion)
        if setup.zdrag == "FREE":
            r_drag = values["r_d"]
        elif setup.zdrag in R_DRAG:
            r_drag = R_DRAG[setup.zdrag](wb, wm, values["Neff"])
        else:
            r_drag = r_s_star + sound_horizon_between(bg, z_star, z_drag, expansion)
        geometry = Geometry(transverse(bg, x), D_H, z_star, z_drag, r_s_star, r_drag, transverse(bg, x_star))
        return Evaluation(bg, geometry, values)

    def _whitened(self, at: Evaluation) -> list[tuple[Array, Array]]:
        result, start = [], 0
        for block in self.setup.blocks:
            stop = start + len(block.table)
            model = predict(block, at.bg, at.geometry, at.theta)
            result.append(whitened(block, model, self.cov_scale, self.noise[start:stop]))
            start = stop
        return result

    def residuals(self, theta: Float[Array, " d"]) -> Float[Array, " N"]:
        """Whitened residuals of all blocks in the order of `data`, shape (N,)."""
        return jnp.concatenate([w for w, _ in self._whitened(self.evaluate(theta))])

    def predict(self, theta: Float[Array, " d"]) -> dict[str, Array]:
        """The model's values for every block, under the block's kind; supernovae without their offset.

        Nothing where a parameter is blinded: they follow from its truth.
        """
        if self.setup.shifts:
            return {}
        at = self.evaluate(theta)
        return {name: predict(block, at.bg, at.geometry, at.theta) for name, block in self.setup.labelled}

    def derived(self, theta: Float[Array, " d"]) -> dict[str, Array]:
        """Densities, horizons, CMB observables, chi2 of every block (``chi2_<kind>``) and magnitude offsets.

        Only chi2 where a parameter is blinded.
        """
        at = self.evaluate(theta)
        if self.setup.shifts:
            pairs = zip(self.setup.labelled, self._whitened(at), strict=True)
            return {f"chi2_{name}": w @ w for (name, _), (w, _) in pairs}
        g = at.geometry
        found = numbers(at.bg, g)
        out = {
            "Omh2": found["Omh2"],
            "Orh2": at.bg.Or0 * at.bg.h**2,
            "Ob0": at.theta["Obh2"] / at.bg.h**2,
            "OL0": at.bg.OL0,
            "z_star": g.z_star,
            "z_drag": g.z_drag,
            "r_s_star": g.r_s_star,
            "r_d": g.r_drag,
            "D_M_star": g.D_M_star,
            "l_A": found["l_A"],
            "R": found["R"],
            "theta_star_100": 100.0 * g.r_s_star / g.D_M_star,
            "H0_rd": found["H0_rd"],
        }
        if self.setup.expansion.neutrinos != "massless":
            out["Onuh2"] = at.bg.Onu0 * at.bg.h**2
        for (name, block), (w, offset) in zip(self.setup.labelled, self._whitened(at), strict=True):
            out[f"chi2_{name}"] = w @ w
            if block.n_profiled:
                out[f"M_{name}"] = offset
        return out

    def units(self) -> dict[str, str]:
        return {"r_s_star": "Mpc", "r_d": "Mpc", "D_M_star": "Mpc", "H0_rd": "km/s", "M_sn": "mag", "sn": "mag"}


def problem_from_setup(setup: Setup, space: ThetaSpace, cov_scale: float = 1.0, bootstrap: int = 0) -> CosmologyProblem:
    """A problem over given tables (those of a jackknife, a test, or a user)."""
    noise = np.concatenate(
        [np.zeros(0), *(whitened_noise(b.table.name, len(b.table), bootstrap) for b in setup.blocks)]
    )
    return CosmologyProblem(noise=jnp.asarray(noise), cov_scale=jnp.asarray(float(cov_scale)), space=space, setup=setup)


def _setup(options: option_models.CosmologyOptions) -> Setup:
    expansion = Expansion(options.model, options.form, options.constants, options.neutrinos)
    names = resolve(options.data) if options.data else ()
    own = tuple(_stamped(path) for path in options.own)
    priors = tuple(sorted(parsed_priors(options.priors).items()))
    shifts = tuple(options.blind.shifts().items()) if options.blind else ()
    return _known_setup(names, own, priors, expansion, options.zstar, options.zdrag, shifts)


def _warn(options: option_models.CosmologyOptions) -> None:
    has_bao = any(name.startswith("bao") for name in options.data)
    if options.zdrag == "EH98" and has_bao:
        message = "the drag redshift of EH98 makes r_d 2.5 % too large for BAO; AAN21 agrees with Boltzmann codes"
        warnings.warn(message, CosmologyWarning, stacklevel=3)
    if options.zstar == "EH98" and any(name.startswith("cmb") for name in options.data):
        warnings.warn("z* from EH98 is 2.6 % low: it reproduces old numbers only", CosmologyWarning, stacklevel=3)


def build(options: option_models.CosmologyOptions) -> CosmologyProblem:
    """The problem of one run. Raises UnknownName, InvalidValue, DataFileError: unknown, overlapping or damaged data."""
    _warn(options)
    return problem_from_setup(_setup(options), option_models.space(options), options.cov_scale, options.bootstrap)


def build_many(options: option_models.CosmologyOptions, columns: Mapping[str, np.ndarray]) -> CosmologyProblem:
    """The problems of many runs as one: `noise` (n, N) and `cov_scale` (n,) vary, the rest is compiled in."""
    _warn(options)
    n = len(next(iter(columns.values())))
    setup = _setup(options)
    cov_scale = np.broadcast_to(np.asarray(columns.get("cov_scale", options.cov_scale), np.float64), (n,))
    numbers, rows = np.unique(np.asarray(columns.get("bootstrap", options.bootstrap)), return_inverse=True)
    table_of_noise = np.stack(
        [np.concatenate([whitened_noise(b.table.name, len(b.table), int(k)) for b in setup.blocks]) for k in numbers]
    )
    noise = table_of_noise[np.broadcast_to(rows, (n,))]
    return CosmologyProblem(
        noise=jnp.asarray(noise), cov_scale=jnp.asarray(cov_scale), space=option_models.space(options), setup=setup
    )
