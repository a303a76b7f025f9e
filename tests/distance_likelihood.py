"""chi2 of ΛCDM and PBUF on Planck distance priors and DESI DR2, in NumPy, from the published formulas.

What tests compare campaigns with. Only data tables are shared with the package under test; none of its code computes
anything here.
"""

import json
from pathlib import Path

import emcee
import numpy as np

TABLES = Path(__file__).resolve().parents[1] / "campaigns" / "campaign_cosmology" / "data"
NAMES = ("H0", "Om0", "Obh2", "k_sat")
LOWER, UPPER = np.array([20.0, 0.01, 0.005, 0.1]), np.array([150.0, 0.99, 0.1, 2.0])  # [km/s/Mpc, -, -, -]

C = 299792.458  # km/s
OMEGA_GAMMA, F_NU, N_EFF = 2.469e-5, 0.2271, 3.046  # T = 2.7255 K; massless neutrinos
OMEGA_R = OMEGA_GAMMA * (1 + F_NU * N_EFF)
X, W = (0.5 * (v + s) for v, s in zip(np.polynomial.legendre.leggauss(40), (1.0, 0.0)))


def a4_e2(a, H0, Om0, k_sat):
    """a⁴ E²: Ω_r [1 + (k_sat − 1) 1000a/(1000a + 1)] + Ω_m a + Ω_Λ a⁴, E(0) = 1. PBUF's sigma (1e-11) is left out."""
    Or0 = OMEGA_R / (H0 / 100) ** 2
    radiation = Or0 * (1 + (k_sat - 1) * 1000 * a / (1000 * a + 1))
    return radiation + Om0 * a + (1 - Om0 - Or0 * (1 + (k_sat - 1) / 1.001)) * a**4


def comoving_distance(z, H0, Om0, k_sat):
    """D_C = c ∫ dz/H [Mpc] by Gauss–Legendre in ln(1+z), for z (W, n) and parameters (W, 1)."""
    u = np.log1p(z)
    a = np.exp(-u[..., None] * X)
    E = np.sqrt(a4_e2(a, H0[..., None], Om0[..., None], k_sat[..., None])) / a**2
    return C / H0 * u * ((1 / (a * E)) @ W)


def sound_horizon(z, H0, Om0, Obh2, k_sat):
    """r_s = ∫ c_s da / (a² H) [Mpc] from a = 0 (Eisenstein & Hu 1998, eq. 6), for z (W, 1) and parameters (W, 1)."""
    a = X**2 / (1 + z)  # a = a_z x²: the square root of the integrand at a → 0 is gone
    R_b = 0.75 * Obh2 / OMEGA_GAMMA * a
    speed = 2 * X / (1 + z) / np.sqrt(3 * (1 + R_b) * a4_e2(a, H0, Om0, k_sat))
    return C / H0 * (speed @ W)[:, None]


def read(name):
    """(what each row is, redshifts, values, inverse covariance) of a shipped data table."""
    document = json.loads((TABLES / name).read_text())
    if "covariance" in document:
        inverse = np.linalg.inv(np.array(document["covariance"]))
    else:
        inverse = np.array(document["inverse_covariance"])
    return document["quantity"], np.array(document.get("z", [])), np.array(document["value"]), inverse


CMB, BAO = read("cmb_cmb3.json"), read("bao_ani_desi-dr2.json")


def chi2(theta):
    """For theta (W, 3): H0, Om0, Obh2 (ΛCDM), or (W, 4): and k_sat (PBUF). z* PLANCK18, z_d AAN21, compat radiation."""
    columns = [theta[:, i : i + 1] for i in range(theta.shape[1])]
    H0, Om0, Obh2, k_sat = columns if len(columns) == 4 else [*columns, np.ones((len(theta), 1))]
    wm = Om0 * (H0 / 100) ** 2
    z_star = 1089.80 * (Obh2 / 0.02237) ** -0.004 * (wm / 0.1424) ** 0.010
    z_drag = (1 + 428.169 * Obh2**0.256459 * wm**0.616388 + 925.56 * wm**0.751615) / wm**0.714129
    D_star = comoving_distance(z_star, H0, Om0, k_sat)
    r_star, r_drag = (sound_horizon(z, H0, Om0, Obh2, k_sat) for z in (z_star, z_drag))
    by_name = {"R": np.sqrt(Om0) * H0 * D_star / C, "l_A": np.pi * D_star / r_star, "Obh2": Obh2}
    quantity, _, value, inverse = CMB
    r = np.concatenate([by_name[q] for q in quantity], axis=1) - value
    total = np.einsum("wi,ij,wj->w", r, inverse, r)
    quantity, z, value, inverse = BAO
    D_M = comoving_distance(np.broadcast_to(z, (len(theta), len(z))), H0, Om0, k_sat)
    D_H = C / H0 / np.sqrt(a4_e2(1 / (1 + z), H0, Om0, k_sat) * (1 + z) ** 4)
    by_name = {"DM_over_rd": D_M, "DH_over_rd": D_H, "DV_over_rd": np.cbrt(z * D_M**2 * D_H)}
    r = np.stack([by_name[q][:, i] for i, q in enumerate(quantity)], axis=1) / r_drag - value
    return total + np.einsum("wi,ij,wj->w", r, inverse, r)


def log_posterior(theta):
    """Flat priors between the bounds."""
    d = theta.shape[1]
    inside = ((theta > LOWER[:d]) & (theta < UPPER[:d])).all(axis=1)
    out = np.full(len(theta), -np.inf)
    if inside.any():
        out[inside] = -0.5 * chi2(theta[inside])
    return out


def emcee_chain(start, steps, discard, seed):
    """A chain (steps, walkers, d) of emcee on this file's posterior, from the walkers `start` (walkers, d)."""
    sampler = emcee.EnsembleSampler(*start.shape, log_posterior, vectorize=True)
    sampler.random_state = np.random.RandomState(seed).get_state()
    sampler.run_mcmc(start, steps)
    return sampler.get_chain(discard=discard)


def moments(chain):
    """Mean, standard deviation and their Monte-Carlo errors of a chain (steps, walkers, d), by integrated tau."""
    mean, sd = chain.mean(axis=(0, 1)), chain.std(axis=(0, 1))
    n = chain.shape[0] * chain.shape[1]
    square = (chain - mean) ** 2
    tau, tau_of_square = (emcee.autocorr.integrated_time(x, tol=30) for x in (chain, square))
    return mean, sd, sd * np.sqrt(tau / n), square.std(axis=(0, 1)) * np.sqrt(tau_of_square / n) / (2 * sd)
