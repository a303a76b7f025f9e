"""Predictions and derived quantities for a parameter dictionary: the problem's equations, by name."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from campaign.science import InvalidValue, ThetaSpace, UnknownName, start_jax
from campaign_cosmology.data.data_table import Table
from campaign_cosmology.model.problem import make_setup, problem_from_setup
from campaign_cosmology.model.space import MODELS, whole
from campaign_cosmology.physics.background import Expansion, background, hubble

CONVENTION_KEYS = {
    "form": "pbuf_form",
    "constants": "constants",
    "zstar": "recomb_method",
    "zdrag": "drag_method",
    "neutrinos": "neutrinos",
}  # option of the problem → key of a ParameterDict
CONVENTION_DEFAULTS = {"form": "normalised", "constants": "compat", "zstar": "PLANCK18", "zdrag": "AAN21"} | {
    "neutrinos": "massless"
}


def conventions(params: Mapping[str, Any]) -> dict[str, str]:
    """form, constants, zstar, zdrag, neutrinos of a parameter dictionary."""
    return {option: params.get(key, CONVENTION_DEFAULTS[option]) for option, key in CONVENTION_KEYS.items()}


def physics(model: str, params: Mapping[str, Any]) -> str:
    """Which equations a model uses: its own, or those of its `model_class`; ΛCDM for a class that has none."""
    for candidate in (model, params.get("model_class")):
        if candidate in MODELS:
            return str(candidate)
    return "lcdm"


def physics_theta(params: Mapping[str, Any]) -> tuple[str, np.ndarray]:
    """The equations' name and their parameter vector.

    A registered model has the built-in values of what it does not know; Ok0 is zero where it is not given.

    Raises:
        KeyError (UnknownName): a parameter of "lcdm" or "pbuf" is missing.
    """
    if not isinstance(params, Mapping):
        raise InvalidValue(f"the parameters are a {type(params).__name__}", hint="build_params('lcdm')")
    if params.get("blinded"):
        raise InvalidValue(
            f"{', '.join(params['blinded'])}: these parameters are blinded, and nothing follows from shifted values",
            hint="fit without `blind` for what follows from the truth",
        )
    name = physics(str(params.get("model_class", "lcdm")), params)
    chosen = conventions(params)
    parameters = whole(name, neutrinos=chosen["neutrinos"], has_rd=chosen["zdrag"] == "FREE")
    missing = [p.name for p in parameters if p.name not in params and p.name != "Ok0"]
    if missing and params.get("model_class", name) in MODELS:
        raise UnknownName(
            f"parameters are missing: {', '.join(missing)}", hint=f"build_params({name!r}) gives them all"
        )
    return name, np.array([float(params.get(p.name, p.initial)) for p in parameters])


@lru_cache(maxsize=128)
def _compiled(model: str, form: str, constants: str, zstar: str, zdrag: str, neutrinos: str, shape: tuple | None):
    """(theta → derived, theta → prediction) for a table of that shape, compiled once."""
    start_jax()
    expansion = Expansion(model, form, constants, neutrinos)
    space = ThetaSpace(whole(model, neutrinos=neutrinos, has_rd=zdrag == "FREE"))
    tables: tuple[Table, ...] = ()
    if shape is not None:
        kind, quantity, z, z_helio, anchor = shape
        n = len(quantity)
        tables = (
            Table(
                name=kind,
                kind=kind,
                quantity=quantity,
                z=np.array(z),
                z_helio=np.array(z_helio),
                value=np.zeros(n),
                covariance=np.eye(n),
                anchor=np.array(anchor),
                title="",
                citation="",
                note="",
                sha256="",
            ),
        )
    problem = problem_from_setup(make_setup(tables, expansion, zstar, zdrag), space)
    return jax.jit(lambda theta: problem.derived(theta)), jax.jit(lambda theta: problem.predict(theta))


def derived(params: Mapping[str, Any]) -> dict[str, float]:
    """Omh2, Orh2, z_star, z_drag, r_s_star, r_d, D_M_star, l_A, R, theta_star_100, OL0 … of a parameter dictionary."""
    model, theta = physics_theta(params)
    compute, _ = _compiled(model, *conventions(params).values(), None)
    return {name: float(value) for name, value in compute(jnp.asarray(theta)).items()}


def predictions(params: Mapping[str, Any], table: Table) -> np.ndarray:
    """The model's values for the rows of a table, (N,). Supernovae: distance moduli, without the offset M."""
    model, theta = physics_theta(params)
    numbers = [tuple(np.asarray(a, float).tolist()) for a in (table.z, table.z_helio, table.anchor)]
    numbers[2] = tuple(np.nan if np.isnan(a) else a for a in numbers[2])  # one NaN object: equal as a key
    if table.kind in ("cmb", "prior"):
        numbers[0] = numbers[1] = (0.0,) * len(table)
    shape = (table.kind, table.quantity, *numbers)
    _, compute = _compiled(model, *conventions(params).values(), shape)
    return np.asarray(compute(jnp.asarray(theta))[table.kind])


def hubble_rates(params: Mapping[str, Any], redshifts: np.ndarray) -> np.ndarray:
    """H(z) [km/s/Mpc] of a parameter dictionary."""
    model, theta = physics_theta(params)
    chosen = conventions(params)
    rates = _rates(Expansion(model, chosen["form"], chosen["constants"], chosen["neutrinos"]))
    return np.asarray(rates(jnp.asarray(theta), jnp.asarray(redshifts, float)))


@lru_cache(maxsize=16)
def _rates(expansion: Expansion):
    """(theta, z) → H, compiled once for each set of equations."""
    start_jax()

    def rates(theta, z):
        values = {p.name: theta[i] for i, p in enumerate(whole(expansion.model, neutrinos=expansion.neutrinos))}
        return hubble(background(values, expansion), z, expansion)

    return jax.jit(rates)
