"""The options that all fitters share, and their help: parameters with bounds and units, data sets. No JAX."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from campaign_cosmology.data.tables import DEFAULT_VARIANT, NAMES
from campaign_cosmology.model.space import MNU, MODELS, PARAMETERS, RD


def _holders(name: str) -> list[str]:
    """Which models have a parameter, or what has to be asked for to have it."""
    if name in (MNU.name, RD.name):
        return ["--neutrinos one-massive" if name == MNU.name else "--zdrag FREE"]
    holders = [model for model, parameters in MODELS.items() if any(q.name == name for q in parameters)]
    return ["all models"] if len(holders) == len(MODELS) else holders


def _parameter_help() -> str:
    """The parameters of all models with bounds and units, for ``--help``."""
    lines = ["\b", "Parameters (--NAME VALUE sets one; bounds and units):"]
    for name, p in PARAMETERS.items():
        models = ", ".join(_holders(name))
        bounds = f"{p.lower:g} to {p.upper:g} {p.unit}"
        lines.append(f"  --{name:<6} {bounds:<24} {p.description} [{models}]")
    lines += [
        "",
        "\b",
        f"Data sets ({', '.join(DEFAULT_VARIANT)}  mean the first one of their kind):",
        *(f"  {name}" for name in NAMES),
    ]
    return "\n".join(lines)


class FitCommand(click.Command):
    """A fitter: its errors are messages with an exit code, never tracebacks; an unknown option has a suggestion."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_paragraph()
        for line in _parameter_help().splitlines():
            if line != "\b":
                formatter.write(f"{line}\n")


def shared_options(command: Callable) -> Callable:
    """The options of a fitter."""
    for name in reversed(PARAMETERS):
        command = click.option(f"--{name}", f"value_{name}", type=float, metavar="VALUE", hidden=True)(command)
    options = [
        click.option(
            "--model",
            default=None,
            help="lcdm (default), wcdm, w0wacdm or pbuf; of a --config without one: the one that has its parameters.",
        ),
        click.option("--optimize", default=None, metavar="A,B", help="Parameters to fit; without it: evaluate only."),
        click.option("--cov-scale", type=float, default=None, help="Multiply every covariance by this."),
        click.option("--dry-run", is_flag=True, help="Store nothing."),
        click.option("--no-cache", is_flag=True, help="Optimise again, even if an equal fit was made before."),
        click.option("--objective", default=None, metavar="NAME", help="Minimise this registered objective, not chi2."),
        click.option("--warm-start", is_flag=True, help="Start from the last optimum, if younger than 24 hours."),
        click.option("--save/--no-save", default=None, help="Store the optimum as default (default: with CMB data)."),
        click.option("--config", type=click.Path(path_type=Path), default=None, help="Configuration file (JSON)."),
        click.option(
            "--plugin",
            multiple=True,
            metavar="FILE.py",
            type=click.Path(path_type=Path),
            help="Run this file first: it registers models, data, likelihoods, optimisers; repeatable.",
        ),
        click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="A registered model's parameter."),
        click.option(
            "--data", multiple=True, metavar="NAME", help="Data set to use instead of the default; repeatable."
        ),
        click.option(
            "--own",
            multiple=True,
            nargs=2,
            metavar="NUMBERS COVARIANCE",
            type=click.Path(path_type=Path),
            help="Data of one's own, added to the others: two files; repeatable.",
        ),
        click.option(
            "--prior",
            multiple=True,
            metavar="NAME=MEAN,SD",
            help="Normal prior; or NAME=uniform:A,B, NAME=truncated_normal:MEAN,SD,A,B, sh0es, bbn, EARLIER.json "
            "(printed by a fit); repeatable.",
        ),
        click.option("--neutrinos", default=None, help="massless, or one-massive: one of three has the mass mnu."),
        click.option("--optimizer", default=None, help="minimize, differential_evolution or trf."),
        click.option("--starts", type=int, default=None, help="Optimise from this many starts and list the results."),
        click.option("--zstar", default=None, help="Last scattering: PLANCK18, HS96, HS96C, FIXED, EH98."),
        click.option(
            "--zdrag", default=None, help="Drag epoch: AAN21, EH98, PBUF1345, AUB15, BGV23; FREE: r_d is a parameter."
        ),
        click.option("--constants", default=None, help="Radiation: compat, exact, chw19."),
        click.option("--form", default=None, help="PBUF: normalised, legacy, manuscript."),
        click.option("--profile", multiple=True, metavar="NAME", help="Profile likelihood of a parameter; repeatable."),
        click.option("--profile-errors", is_flag=True, help="Δchi2 = 1 errors of every fitted parameter."),
        click.option("--bootstrap", type=int, default=0, metavar="N", help="Refit N noisy copies of the data."),
        click.option("--jackknife", is_flag=True, help="Refit without each data block."),
        click.option("--leave-one-out", is_flag=True, help="Refit without each data set."),
        click.option("--compare", default=None, metavar="MODEL", help="Also fit this model, and print ΔAIC and ΔBIC."),
        click.option("--json", "as_json_", is_flag=True, help="Print JSON."),
        click.option("--html", type=click.Path(path_type=Path), default=None, help="Write a page to this file."),
    ]
    for option in reversed(options):
        command = option(command)
    return command
