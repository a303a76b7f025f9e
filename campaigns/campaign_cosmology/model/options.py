"""What a manifest may say about a cosmological problem. No JAX."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from campaign.science import Blind, DataFile, InvalidValue, Options, ThetaSpace, UnknownName, Varying, nearest
from campaign_cosmology.data.tables import GRIDS, resolve
from campaign_cosmology.model.prior import inside, parsed_priors
from campaign_cosmology.model.space import SETTINGS, model_space


class CosmologyOptions(Options):
    """Model, data and conventions of a fit. Every result records all of them."""

    model: Literal["lcdm", "wcdm", "w0wacdm", "pbuf"] = Field(
        "lcdm", description="ΛCDM; dark energy with w0, or with w0 and wa; PBUF"
    )
    data: list[str] = Field(
        ["cmb"], description="data sets: cmb, bao, bao_ani, sn, or kind:variant; prior:sh0es, prior:bbn"
    )
    own: list[Annotated[str, DataFile()]] = Field(
        [], description="data of one's own: a file of numbers and a file of their covariance, two and two"
    )
    priors: dict[str, Any] = Field(
        {}, description="parameter: normal, truncated_normal (counted in N) or uniform (bounds)"
    )
    neutrinos: Literal["massless", "one-massive"] = Field(
        "massless", description="one-massive: one of three has the mass mnu, 0.06 eV unless it is set or free"
    )
    form: Literal["normalised", "legacy", "manuscript"] = Field("normalised", description="equations of PBUF")
    constants: Literal["compat", "exact", "chw19"] = Field("compat", description="radiation convention")
    zstar: Literal["PLANCK18", "HS96", "HS96C", "FIXED", "EH98"] = Field("PLANCK18", description="last scattering")
    zdrag: Literal["AAN21", "EH98", "PBUF1345", "AUB15", "BGV23", "FREE"] = Field(
        "AAN21", description="drag redshift; AUB15 and BGV23 are closed forms of r_d; FREE: r_d is a parameter"
    )
    cov_scale: float = Field(1.0, gt=0.0, description="every covariance is multiplied by this")
    bootstrap: Annotated[int, Varying()] = Field(
        0, ge=0, description="0: the data as published; b ≥ 1: data with noise number b of the covariance added"
    )

    blind: Blind | None = Field(
        None, description="free parameters that are shown shifted: {key, scale} as `campaign blind` prints it"
    )

    @field_validator("data")
    @classmethod
    def _known_and_disjoint(cls, names: list[str]) -> list[str]:
        if names:
            resolve(names)
        return names

    @model_validator(mode="after")
    def _consistent(self) -> CosmologyOptions:
        if not self.data and not self.own:
            resolve([])
        if len(self.own) % 2:
            raise InvalidValue(
                f"`own` names {len(self.own)} files", hint="numbers and covariance of each data set: an even number"
            )
        if self.neutrinos == "one-massive" and self.constants == "chw19":
            raise InvalidValue(
                "`constants` = chw19 takes radiation from equality, where no neutrino has a mass",
                hint='"constants": "exact" or "compat"',
            )
        known = {p.name for p in space(self).parameters}
        _check_blind(self, known)
        for name in parsed_priors(self.priors):
            if name not in known:
                raise InvalidValue(f"a prior on `{name}`, which `{self.model}` does not have here")
        return self


def _check_blind(options: CosmologyOptions, known: set[str]) -> None:
    """A shifted parameter is one of the model, and its bounds tell nothing.

    Raises:
        UnknownName, InvalidValue: none of the model; a prior that would cut it at a shifted place.
    """
    for name in () if options.blind is None else options.blind.scale:
        if name not in known:
            raise UnknownName(
                f"`blind` names `{name}`, which `{options.model}` does not have", hint=nearest(name, known)
            )
        prior = parsed_priors(options.priors).get(name)
        if prior is not None and prior.kind != "normal":
            raise InvalidValue(
                f"`{name}` is blinded, and its {prior.kind} prior would cut it at shifted bounds",
                hint="a normal prior, or do not blind it",
            )


def space(options: CosmologyOptions) -> ThetaSpace:
    """The parameters of the problem, without JAX; a uniform prior narrows bounds, a prior on a parameter frees it. A
    blinded one says so in its unit, which stands wherever its values do."""
    priors = parsed_priors(options.priors)
    names = resolve(options.data) if options.data else ()
    whole = model_space(options.model, names, neutrinos=options.neutrinos, has_rd=options.zdrag == "FREE")
    blind = options.blind
    found = []
    for parameter in whole.parameters:
        own = replace(inside(parameter, priors.get(parameter.name)), free=parameter.free or parameter.name in priors)
        found.append(own if blind is None else replace(own, unit=blind.unit(own.name, own.unit)))
    return ThetaSpace(tuple(found))


def inputs(options: CosmologyOptions) -> tuple[str, ...]:
    """Files that the problem reads besides the package's own tables and `own`."""
    names = resolve(options.data) if options.data else ()
    found: list[str] = []
    if any(name.startswith("sn:pantheon-plus") for name in names):
        from campaign_cosmology.data.pantheon_plus import COVARIANCE_FILE, TABLE_FILE

        found += [TABLE_FILE, COVARIANCE_FILE]
    if set(names) & set(GRIDS):
        from campaign_cosmology.data.grid_releases import RELEASES

        found += [RELEASES[name].file for name in names if name in RELEASES]
    return tuple(found)


def check(options: CosmologyOptions, free: ThetaSpace) -> str | None:
    """A setting that moves needs a prior where CMB priors take part, which were derived with it held.

    Raises:
        InvalidValue: Neff or Tcmb is free beside CMB priors, and nothing is known of it; a blinded parameter is held.
    """
    for name in () if options.blind is None else options.blind.scale:
        if name not in free.free_names:
            raise InvalidValue(f"`{name}` is blinded and held: its value would be off by the shift", hint="let it move")
    names = resolve(options.data) if options.data else ()
    for name in SETTINGS:
        if name in free.free_names and name not in options.priors and any(n.startswith("cmb") for n in names):
            raise InvalidValue(
                f"`{name}` is free beside CMB distance priors, which were derived with it held: nothing constrains it",
                hint=f'give what is known of it: "priors": {{"{name}": {{"normal": [mean, sd]}}}}, or keep it fixed',
            )
    kinds = {n.partition(":")[0] for n in names}
    pair = {"H0", "Obh2"}
    is_bao_alone = kinds <= {"bao", "bao_ani", "bao_grid"} and not options.own and options.zdrag != "FREE"
    if is_bao_alone and pair <= set(free.free_names) and not pair & set(options.priors):
        return "BAO alone know Ω_m and H0·r_d: H0 and Obh2 are one direction, and neither is measured"
    if "Neff" in free.free_names and any(n.startswith("cmb") for n in names):
        return "the CMB distance priors were derived with Neff = 3.046; with Neff free they are an approximation"
    return None
