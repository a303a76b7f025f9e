"""Physical constants and the radiation conventions, pinned by name. No JAX.

Every number that turns Planck units into densities is here, since a silent change of one moves chi2: the rounded
photon density of "compat" shifts l_A by 0.075, which is 0.84 sigma of the CMB prior.
"""

from __future__ import annotations

from dataclasses import dataclass

C_KM_S = 299792.458  # speed of light [km/s], exact (SI)
Z_REFERENCE = 1090.0  # redshift where the fixed distance grid ends; the rest of the way to z* is a short panel
TCMB_REFERENCE = 2.7255  # K, Fixsen 2009, arXiv:0911.1955


@dataclass(frozen=True, slots=True, kw_only=True)
class RadiationConvention:
    """How radiation follows from T_cmb and N_eff.

    ω_γ = omega_gamma (T/2.7255 K)⁴,  Ω_r h² = ω_γ (1 + f_nu N_eff),  R_b(a) = 3 Ω_b h² a / (4 ω_γ).

    With `equality` the convention of Chen, Huang & Wang 2019 (arXiv:1808.05724) takes their place:
    Ω_r = Ω_m / (1 + z_eq), z_eq = 2.5e4 Ω_m h² (T/2.7 K)⁻⁴, R_b(a) = 31500 Ω_b h² (T/2.7 K)⁻⁴ a.

    Attributes:
        name: as options and results spell it.
        omega_gamma: Ω_γ h² at 2.7255 K [-].
        f_nu: energy of one massless neutrino species relative to the photons [-].
        equality: whether Ω_r comes from the redshift of equality instead.
    """

    name: str
    omega_gamma: float
    f_nu: float
    equality: bool = False


CONVENTIONS: dict[str, RadiationConvention] = {
    # the rounded values of the reference pipeline (T = 2.725 K era)
    "compat": RadiationConvention(name="compat", omega_gamma=2.469e-5, f_nu=0.2271),
    # G = 6.67430e-11, sigma_SB = 5.670374419e-8 (CODATA 2018), Mpc = 3.0856775814913673e22 m; f_nu = 7/8 (4/11)^(4/3)
    "exact": RadiationConvention(name="exact", omega_gamma=2.4729753286336536e-5, f_nu=0.22710731766023898),
    # the priors' own paper: for comparing with its Table II
    "chw19": RadiationConvention(name="chw19", omega_gamma=2.469e-5, f_nu=0.2271, equality=True),
}

SIGMA_CLIP_LEGACY = 1.054571817e-34**0.5  # sqrt(hbar in SI): the dimensionless clip of the legacy PBUF code
