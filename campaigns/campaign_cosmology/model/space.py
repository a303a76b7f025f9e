"""The parameters of the models: one table of units, defaults and bounds, used by every face of the package. No JAX."""

from __future__ import annotations

from collections.abc import Iterable

from campaign.science import Parameter, ThetaSpace, UnknownName, nearest

LCDM = (
    Parameter(name="H0", initial=67.4, unit="km/s/Mpc", lower=20.0, upper=150.0, scale=0.5, description="Hubble rate"),
    Parameter(name="Om0", initial=0.315, lower=0.01, upper=0.99, scale=0.01, description="matter density today"),
    Parameter(name="Obh2", initial=0.02237, lower=0.005, upper=0.1, scale=2e-4, description="physical baryon density"),
    Parameter(name="ns", initial=0.9649, lower=0.8, upper=1.2, scale=5e-3, description="scalar spectral index"),
)
PBUF = (
    Parameter(
        name="alpha", initial=5e-4, lower=1e-6, upper=1e-2, transform="log", scale=1e-3, description="elasticity"
    ),
    Parameter(
        name="Rmax", initial=1e9, lower=1e6, upper=1e12, transform="log", scale=1e9, description="saturation scale"
    ),
    Parameter(name="eps0", initial=0.7, lower=0.0, upper=2.0, description="elasticity bias, multiplies alpha"),
    Parameter(name="n_eps", initial=0.0, lower=-2.0, upper=2.0, description="evolution exponent"),
    Parameter(
        name="k_sat", initial=0.9762, lower=0.1, upper=2.0, scale=0.02, description="saturation: scales radiation"
    ),
)
BACKDROP = (
    Parameter(name="Neff", initial=3.046, lower=1.0, upper=10.0, scale=0.1, description="massless neutrino species"),
    Parameter(name="Tcmb", initial=2.7255, unit="K", lower=2.0, upper=3.0, scale=1e-3, description="CMB temperature"),
    Parameter(name="Ok0", initial=0.0, lower=-0.3, upper=0.3, scale=1e-2, description="curvature density today"),
)
W0 = Parameter(
    name="w0", initial=-1.0, lower=-3.0, upper=1.0, scale=0.05, description="equation of state of dark energy today"
)
WA = Parameter(name="wa", initial=0.0, lower=-3.0, upper=2.0, scale=0.2, description="its change: w = w0 + wa (1 − a)")
MNU = Parameter(
    name="mnu", initial=0.06, unit="eV", lower=0.0, upper=5.0, scale=0.05, free=False, description="neutrino mass"
)
RD = Parameter(
    name="r_d", initial=147.1, unit="Mpc", lower=10.0, upper=1000.0, scale=1.0, description="sound horizon at drag"
)
MODELS: dict[str, tuple[Parameter, ...]] = {
    "lcdm": LCDM + BACKDROP,
    "pbuf": LCDM + PBUF + BACKDROP,
    "wcdm": (*LCDM, W0, *BACKDROP),
    "w0wacdm": (*LCDM, W0, WA, *BACKDROP),
}
PARAMETERS: dict[str, Parameter] = {p.name: p for p in (*LCDM, W0, WA, *PBUF, *BACKDROP, MNU, RD)}
SETTINGS = ("Neff", "Tcmb")  # the CMB priors were derived with these two held: beside them they need a prior to move
SHARED = ("H0", "Om0", "Obh2", "ns")  # what the models have in common and defaults should agree on


def model_parameters(model: str) -> tuple[Parameter, ...]:
    """The parameters of a model.

    Raises:
        UnknownName: with the nearest model.
    """
    if model not in MODELS:
        raise UnknownName(f"unknown model `{model}`", hint=nearest(model, MODELS))
    return MODELS[model]


def whole(model: str, *, neutrinos: str = "massless", has_rd: bool = False) -> tuple[Parameter, ...]:
    """The parameters of a model, with a massive neutrino and a free sound horizon where they are asked for."""
    return (*model_parameters(model), *((MNU,) if neutrinos == "one-massive" else ()), *((RD,) if has_rd else ()))


def default_free(model: str, names: Iterable[str], *, has_rd: bool = False) -> tuple[str, ...]:
    """Which parameters are fitted by default: those that the named data sets ("cmb:cmb3", "sn:union3") constrain.

    CMB priors fix H0, Om0, Obh2 (and ns where it is measured, k_sat in PBUF). BAO alone sees only H0·r_d, so Obh2
    stays unless a prior measures it; with r_d free H0 stays. Supernovae alone know neither. Dark energy moves wherever
    distances are measured. PBUF's alpha, Rmax, eps0 and n_eps change H(z) by less than 1e-5 anywhere inside their
    bounds: no data constrain them, and they stay unless they are named.
    """
    names = set(names)
    kinds = {name.partition(":")[0] for name in names}
    dark = [name for name in ("w0", "wa") if any(p.name == name for p in model_parameters(model))]
    sound = ["r_d"] if has_rd else []
    if "cmb" in kinds:
        free = ["H0", "Om0", "Obh2"] + (["ns"] if "cmb:cmb4" in names else []) + (["k_sat"] if model == "pbuf" else [])
        return (*free, *dark, *sound)
    has_rate = bool(names & {"prior:sh0es", "sn:pantheon-plus-sh0es"})
    if kinds & {"bao", "bao_ani"}:
        rate = ["H0"] if has_rate or not has_rd else []
        baryons = ["Obh2"] if "prior:bbn" in names and not has_rd else []
        return (*rate, "Om0", *baryons, *dark, *sound)
    return (*(["H0"] if has_rate else []), "Om0", *dark)


def model_space(model: str, names: Iterable[str], *, neutrinos: str = "massless", has_rd: bool = False) -> ThetaSpace:
    """The space of a model for the named data sets; with a massive neutrino and a free r_d where they are asked for."""
    parameters = whole(model, neutrinos=neutrinos, has_rd=has_rd)
    return ThetaSpace(parameters).with_free(default_free(model, names, has_rd=has_rd))
