"""``campaign cosmology fit-cmb | fit-bao | fit-aniso | fit-sn | fit-joint``, and the same as separate commands.

stdout is the result; stderr is talk. Heavy imports happen inside the commands: ``--help`` is quick.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, get_args

import click

from campaign.science import CampaignError, InvalidValue, ManifestError, Unavailable, UsageError, nearest
from campaign_cosmology.commands.config import FitConfig, load_config
from campaign_cosmology.data.tables import DEFAULT_VARIANT, NAMES
from campaign_cosmology.model.space import MNU, MODELS, PARAMETERS, RD

if TYPE_CHECKING:
    from campaign_cosmology.commands.session import Session

_CONVENTIONS = {"zstar": "recomb_method", "zdrag": "drag_method", "constants": "constants", "form": "pbuf_form"} | {
    "neutrinos": "neutrinos"
}


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


def _shared_options(command: Callable) -> Callable:
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
        click.option("--prior", multiple=True, metavar="NAME=MEAN,SD", help="Normal prior on a parameter; repeatable."),
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


def _convention(option: str, value: str) -> str:
    from campaign_cosmology.model.options import CosmologyOptions

    valid = get_args(CosmologyOptions.model_fields[option].annotation)
    if value not in valid:
        raise InvalidValue(f"--{option} {value} is unknown", hint=nearest(value, valid))
    return value


def _own(given: dict[str, Any]) -> tuple[str, ...]:
    """Names of the data sets and priors that the command line brings along."""
    from campaign_cosmology.api.datasets import own_data, own_prior

    names = [own_data(*pair) for pair in given["own"]]
    priors: dict[str, tuple[float, float]] = {}
    for text in given["prior"]:
        name, _, numbers = text.partition("=")
        try:
            mean, sd = (float(word) for word in numbers.split(","))
        except ValueError:
            raise UsageError(f"--prior {text} is no prior", hint="--prior H0=73.04,1.04: mean and error") from None
        priors[name.strip()] = (mean, sd)
    return (*names, *([own_prior(priors)] if priors else []))


def _registered_parameters() -> set[str]:
    """Names of the parameters that registered models have."""
    from campaign_cosmology.api.parameters import DEFAULTS, parameter_table

    return {name for model in DEFAULTS if model not in MODELS for name in parameter_table(model)}


def _setting(text: str) -> tuple[str, float]:
    name, _, number = text.partition("=")
    try:
        return name.strip(), float(number)
    except ValueError:
        raise UsageError(f"--set {text} sets nothing", hint="--set NAME=VALUE: a parameter and its number") from None


def _model(path: Path | None, config: FitConfig, optimize: tuple[str, ...], overrides: dict[str, Any]) -> str:
    """The model of a configuration that names none, said in one line where it is not the usual one."""
    from campaign_cosmology.commands.model_choice import USUAL, chosen_model

    if path is None:
        return USUAL
    names = [*optimize, *(n for n, v in overrides.items() if not isinstance(v, str)), *(config.optimizer.bounds or ())]
    model = chosen_model(names, overrides)
    if model != USUAL:
        telling = [name for name in dict.fromkeys(names) if name not in {p.name for p in MODELS[USUAL]}]
        click.echo(f"model {model}: {path.name} names none, and this one has {', '.join(telling)}", err=True)
    return model


def _request(datasets: tuple[str, ...], given: dict[str, Any]):
    """Command line over configuration file over built-in choices."""
    from campaign_cosmology.commands.session import Request

    config = load_config(given["config"]) if given["config"] else FitConfig()
    section = config.optimization
    listed = given["optimize"]
    optimize = (
        [n.strip() for n in listed.split(",") if n.strip()] if listed is not None else section.optimize_parameters
    )
    frozen = set(section.frozen_parameters)
    if optimize and frozen.issuperset(optimize):
        click.echo(f"every parameter to optimise is frozen ({', '.join(optimize)}): evaluated, not fitted", err=True)
    known = {*PARAMETERS, *_registered_parameters()}
    unknown = [n for n in frozen if n not in known]
    if unknown:
        raise UsageError(f"frozen parameter `{unknown[0]}` is unknown", hint=nearest(unknown[0], sorted(known)))
    overrides: dict[str, Any] = dict(config.parameter_overrides)
    overrides |= dict(_setting(text) for text in given["settings"])
    overrides |= {n: given[f"value_{n}"] for n in PARAMETERS if given[f"value_{n}"] is not None}
    overrides |= {key: _convention(option, given[option]) for option, key in _CONVENTIONS.items() if given[option]}
    optimizer = {k: v for k, v in config.optimizer.model_dump().items() if v is not None}
    optimizer |= {"method": given["optimizer"]} if given["optimizer"] else {}
    optimizer |= {"objective": given["objective"]} if given["objective"] else {}
    if "convergence_tolerance" in section.model_fields_set:
        optimizer |= {"tolerance": section.convergence_tolerance}
    optimizer |= {"n_starts": given["starts"]} if given["starts"] is not None else {}
    if given["starts"] is not None and not optimize:
        raise UsageError("--starts needs parameters that move", hint="add --optimize NAMES")
    optimize = tuple(n for n in optimize or () if n not in frozen)
    return Request(
        model=given["model"] or config.model or _model(given["config"], config, optimize, overrides),
        datasets=(tuple(given["data"]) or tuple(config.datasets or ()) or datasets) + _own(given),
        optimize=optimize,
        overrides=overrides,
        optimizer=optimizer,
        cov_scale=given["cov_scale"] if given["cov_scale"] is not None else section.covariance_scaling,
        save=given["save"] if given["save"] is not None else section.save_results,
        dry_run=given["dry_run"] or section.dry_run,
        use_stored=section.use_precomputed,
        use_cache=not given["no_cache"],
        warm_start=given["warm_start"] or section.warm_start,
        profiles=given["profile"],
        profile_errors=given["profile_errors"],
        n_bootstrap=given["bootstrap"],
        with_jackknife=given["jackknife"],
        with_leave_out=given["leave_one_out"],
        against=given["compare"],
    )


@contextmanager
def _told() -> Iterator[None]:
    """Warnings as one line each on stderr."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield
    for message in dict.fromkeys(str(w.message) for w in caught if issubclass(w.category, UserWarning)):
        click.echo(f"warning: {message}", err=True)


def _run(datasets: tuple[str, ...], given: dict[str, Any]) -> None:
    from campaign_cosmology.commands.plugins import load_plugins

    plugins = load_plugins(given["plugin"]) if given["plugin"] else {}
    request = _request(datasets, given)
    from campaign_cosmology.commands.session import run_session
    from campaign_cosmology.commands.text import as_json, as_text

    with _told():
        session = run_session(request, plugins=plugins)
    click.echo(as_json(session) if given["as_json_"] else as_text(session))
    for message in session.messages:
        click.echo(message, err=True)
    if given["html"] is not None:
        _write_page(given["html"], session)
    if session.failure is not None:
        raise session.failure


def _write_page(path: Path, session: Session) -> None:
    from campaign_cosmology.commands.page import as_html

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(as_html(session), encoding="utf-8")
    except OSError as error:
        message = f"the page {path} cannot be written: {error.strerror}"
        raise UsageError(message, hint="--html needs a file in a folder that can be written") from error
    click.echo(f"wrote {path}", err=True)


def _fitter(name: str, datasets: tuple[str, ...], help_: str) -> click.Command:
    def callback(**given: Any) -> None:
        _run(datasets, given)

    return click.command(name, cls=FitCommand, help=help_, context_settings={"max_content_width": 110})(
        _shared_options(callback)
    )


FITTERS = {
    "fit-cmb": (("cmb",), "Fit CMB distance priors.\n\nFour numbers when ns moves, else three."),
    "fit-bao": (("bao",), "Fit isotropic BAO: 6dFGS, SDSS MGS."),
    "fit-aniso": (("bao_ani",), "Fit anisotropic BAO.\n\nDESI DR2; others with --data."),
    "fit-sn": (("sn",), "Fit supernovae.\n\nUnion3; others with --data."),
}
COMMANDS = {name: _fitter(name, *spec) for name, spec in FITTERS.items()}


@click.command(
    "fit-joint", cls=FitCommand, help="Fit several data sets together.", context_settings={"max_content_width": 110}
)
@click.option(
    "--datasets", default=None, metavar="A,B", help=f"Default: cmb,bao_ani,sn. Kinds: {', '.join(DEFAULT_VARIANT)}."
)
@_shared_options
def fit_joint(datasets: str | None, **given: Any) -> None:
    chosen = tuple(n.strip() for n in datasets.split(",") if n.strip()) if datasets is not None else ()
    if datasets is not None and not chosen:
        raise UsageError("--datasets names no data set", hint=f"valid: {', '.join((*DEFAULT_VARIANT, *NAMES))}")
    given["data"] = chosen or given["data"]
    _run(("cmb", "bao_ani", "sn"), given)


COMMANDS["fit-joint"] = fit_joint


@click.command("defaults", help="Show the stored defaults of the models and their history.")
@click.option("--json", "as_json_", is_flag=True, help="Print JSON.")
@click.option(
    "--export", type=click.Path(path_type=Path), default=None, help="Write the optimisation summary to this file."
)
def show_defaults(as_json_: bool, export: Path | None) -> None:
    import json

    from campaign_cosmology.api.parameter_store import OptimizedParameterStore

    store = OptimizedParameterStore()
    with _told():
        if as_json_:
            click.echo(json.dumps(store.summaries(), indent=2))
        else:
            for model in MODELS:
                click.echo(store.describe(model))
    if export is not None:
        try:
            store.export_optimization_summary(str(export))
        except (Unavailable, OSError) as error:
            message = f"the summary {export} cannot be written: {getattr(error, 'strerror', None) or error.args[0]}"
            raise UsageError(message, hint="--export needs a file in a folder that can be written") from error
        click.echo(f"wrote {export}", err=True)


@click.command("regression", help="Make stored optimisations again and compare them: the numbers must be the same.")
@click.argument("results", required=False, type=click.Path(path_type=Path))
@click.option("--quick/--full", default=True, help="From the best start alone (default), or from all of them.")
@click.option("--tolerance", type=float, default=1e-8, show_default=True, help="Largest relative difference.")
@click.option("--json", "as_json_", is_flag=True, help="Print JSON.")
@click.pass_context
def regression(ctx: click.Context, results: Path | None, quick: bool, tolerance: float, as_json_: bool) -> None:
    """RESULTS: what `fit-… --json` printed; without it: the last stored optimisation of every model."""
    from campaign_cosmology.commands.regression import as_lines, repeat_all

    with _told():
        found = repeat_all(results, quick=quick, tolerance=tolerance)
    click.echo(as_lines(found, as_json=as_json_))
    if not all(one.passed for one in found):
        ctx.exit(4)


@click.group("cosmology", commands={**COMMANDS, "defaults": show_defaults, "regression": regression})
def group() -> None:
    """ΛCDM and PBUF fits of CMB distance priors, BAO and supernovae."""


def _main(name: str) -> None:
    """A fitter as a separate command: messages and exit codes as `campaign`'s."""
    try:
        COMMANDS[name].main(prog_name=name, standalone_mode=False)
    except (click.Abort, KeyboardInterrupt):
        _stop(130, "interrupted")
    except click.ClickException as error:
        text = error.format_message().rstrip(".")
        _stop(2, text[:1].lower() + text[1:], f"see `{name} --help`")
    except ManifestError as error:
        for found in error.diagnostics:
            _say(f"{error.source}: {found.place}: {found.message}", found.hint)
        sys.exit(error.exit_code)
    except CampaignError as error:
        _stop(error.exit_code, error.message, error.hint)
    except Exception as error:
        if os.environ.get("CAMPAIGN_DEBUG"):
            raise
        _stop(1, f"internal: {type(error).__name__}: {error}", "set CAMPAIGN_DEBUG=1 for the traceback")


def _say(message: str, hint: str | None = None) -> None:
    click.echo(f"error: {message}", err=True)
    if hint:
        click.echo(f"hint: {hint}", err=True)


def _stop(code: int, message: str, hint: str | None = None) -> NoReturn:
    _say(message, hint)
    sys.exit(code)


def fit_cmb_main() -> None:
    _main("fit-cmb")


def fit_bao_main() -> None:
    _main("fit-bao")


def fit_aniso_main() -> None:
    _main("fit-aniso")


def fit_sn_main() -> None:
    _main("fit-sn")


def fit_joint_main() -> None:
    _main("fit-joint")
