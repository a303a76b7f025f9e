"""The pictures of docs/cosmology-campaigns.md: run what is not done of manifests/cosmology, and draw.

python docs/images/cosmology/make.py [--results results/cosmology] [--only NAME ...]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas

import campaign
from campaign_cosmology.figures import (
    bao_residuals,
    bayes_factors,
    best_fits,
    bootstrap_scatter,
    hubble_residuals,
    parameters,
    posterior_contours,
    profile,
)

HERE = Path(__file__).resolve().parent
MANIFESTS = HERE.parents[2] / "manifests" / "cosmology"
MODELS = {"lcdm": "ΛCDM", "pbuf": "PBUF"}
DATA = {
    '["cmb"]': "CMB",
    '["cmb","bao_ani"]': "CMB + DESI DR2",
    '["cmb","bao_ani:desi-dr1"]': "CMB + DESI DR1",
    '["cmb","bao_ani:boss-dr12"]': "CMB + BOSS DR12",
    '["cmb","bao_ani:eboss-dr16"]': "CMB + eBOSS DR16",
    '["cmb","bao_ani","sn"]': "CMB + DESI DR2 + Union3",
    '["cmb","bao_ani","sn:pantheon-binned"]': "CMB + DESI DR2 + Pantheon",
}
CONVENTIONS = {
    ("HS96", "AAN21", "compat"): r"$z_*$ HS96",
    ("HS96C", "AAN21", "compat"): r"$z_*$ HS96C",
    ("HS96", "EH98", "compat"): r"$z_*$ HS96, $z_d$ EH98",
    ("PLANCK18", "AUB15", "compat"): r"$r_d$ AUB15",
    ("PLANCK18", "AAN21", "exact"): "exact constants",
}
NAMES = ("H0", "Om0", "Obh2")


def best(table: pandas.DataFrame, **options: str) -> pandas.Series:
    """The row of the lowest loss with these options and the covariance as published."""
    chosen = table[table["problem.cov_scale"] == 1.0]
    for name, value in options.items():
        chosen = chosen[chosen[f"problem.{name}"] == value]
    return chosen.loc[chosen["loss"].idxmin()]


def from_models(handle: campaign.Handle):
    table = handle.table()
    published = {"zstar": "PLANCK18", "zdrag": "AAN21", "constants": "compat"}
    for name, draw, data in (
        ("bao", bao_residuals, '["cmb","bao_ani"]'),
        ("hubble", hubble_residuals, '["cmb","bao_ani","sn"]'),
    ):
        yield name, draw({MODELS[m]: parameters(best(table, model=m, data=data, **published)) for m in MODELS})
    rows = {
        label: {MODELS[m]: best(table, model=m, data=data, **published) for m in MODELS}
        for data, label in DATA.items()
        if data != '["cmb"]'
    }
    for (zstar, zdrag, constants), label in CONVENTIONS.items():
        convention = {"zstar": zstar, "zdrag": zdrag, "constants": constants, "data": '["cmb","bao_ani"]'}
        rows[f"CMB + DESI DR2, {label}"] = {MODELS[m]: best(table, model=m, **convention) for m in MODELS}
    yield "best_fits", best_fits(rows)


def from_posterior(handle: campaign.Handle):
    chains = {}
    for _, row in handle.runs(where='stage == "posterior"').iterrows():
        theta = handle.trace(row["run_id"])["theta"]
        kept = theta.isel(step=slice(theta.sizes["step"] // 10, None))
        samples = {str(p): kept.sel(parameter=p).values.ravel() for p in kept["parameter"].values}
        chains[MODELS[row["problem.model"]]] = samples
    yield "posterior", posterior_contours(chains, ("H0", "Om0", "Obh2", "k_sat"))


def from_profile(handle: campaign.Handle):
    runs = handle.runs(where='stage == "profile"')
    curves = {
        DATA[data]: (group["start.k_sat"].to_numpy(), group["metric.chi2"].to_numpy())
        for data, group in runs.groupby("problem.data", sort=False)
    }
    yield "profile", profile(curves, mark={"ΛCDM": 1.0})
    alone = handle.runs(where='stage == "slice"')
    curve = (alone["start.k_sat"].to_numpy(), alone["derived.chi2_cmb"].to_numpy())
    yield "slice", profile({"CMB priors alone, everything else at its default": curve})


def from_bootstrap(handle: campaign.Handle):
    table = handle.table()
    published = table[table["problem.bootstrap"] == 0].iloc[0]
    others = table[table["problem.bootstrap"] > 0]
    covariance = handle.trace(published["run_id"])["covariance"].values
    yield (
        "bootstrap",
        bootstrap_scatter(
            {n: others[f"theta.{n}"].to_numpy() for n in NAMES},
            {n: published[f"theta.{n}"] for n in NAMES},
            np.asarray(covariance)[:3, :3],
            NAMES,
        ),
    )


def from_dark_energy(handle: campaign.Handle):
    table = handle.table()
    rows = table[(table["stage"] == "posterior") & (table["tag.model"] == "w0waCDM")].set_index("tag.data")
    chains = {}
    for data in ("CMB + DESI DR2 + Union3", "CMB + DESI DR2 + Pantheon", "CMB + DESI DR2"):
        run = rows[rows["tag.left_out"] == "none"].loc[data, "run_id"]
        chain = handle.chain(run)
        frame = chain.to_dataframe()
        chains[data] = {name: frame[name].to_numpy() for name in ("H0", "Om0", "w0", "wa")}
    yield "w0wa", posterior_contours(chains, ("H0", "Om0", "w0", "wa"))
    runs = table.set_index("run_id")
    choices = {}
    for one in handle.evidence("evidence"):
        data, left_out, model = runs.loc[one.run_id, ["tag.data", "tag.left_out", "tag.model"]]
        label = data if left_out == "none" else f"{data}, without {left_out}"
        choices.setdefault(label, {})[model] = one.evidence
    yield (
        "evidences",
        bayes_factors(dict(sorted(choices.items(), key=lambda item: ("without" in item[0], item[0]))), "LCDM"),
    )


CAMPAIGNS = {
    "models": from_models,
    "posterior": from_posterior,
    "profile_k_sat": from_profile,
    "bootstrap": from_bootstrap,
    "dark-energy": from_dark_energy,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("results/cosmology"), help="folder of the campaigns")
    parser.add_argument("--only", nargs="+", choices=CAMPAIGNS, default=list(CAMPAIGNS))
    arguments = parser.parse_args()
    for name in arguments.only:
        directory = arguments.results / name
        command = [sys.executable, "-m", "campaign", "submit", str(MANIFESTS / f"{name}.json"), "-d", str(directory)]
        subprocess.run(command, check=True)
        for picture, figure in CAMPAIGNS[name](campaign.open(directory)):
            target = HERE / f"{picture}.png"
            figure.savefig(target, metadata={"Software": None})
            print(target)


if __name__ == "__main__":
    main()
