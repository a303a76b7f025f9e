"""``campaign cosmology fit-cmb | fit-bao | fit-aniso | fit-sn | fit-joint``, and the same as separate commands.

stdout is the result; stderr is talk. Heavy imports happen inside the commands: ``--help`` is quick.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, get_args

import click

from campaign.science import CampaignError, InvalidValue, ManifestError, UsageError, nearest
from campaign_cosmology.commands.config import FitConfig, load_config
from campaign_cosmology.commands.fit_options import FitCommand, shared_options
from campaign_cosmology.commands.given_priors import GivenPriors, given_priors
from campaign_cosmology.commands.others import OTHERS
from campaign_cosmology.commands.shared import told
from campaign_cosmology.data.tables import DEFAULT_VARIANT, NAMES
from campaign_cosmology.model.space import MODELS, PARAMETERS

if TYPE_CHECKING:
    from campaign_cosmology.commands.session import Session

_CONVENTIONS = {"zstar": "recomb_method", "zdrag": "drag_method", "constants": "constants", "form": "pbuf_form"} | {
    "neutrinos": "neutrinos"
}


def _convention(option: str, value: str) -> str:
    from campaign_cosmology.model.options import CosmologyOptions

    valid = get_args(CosmologyOptions.model_fields[option].annotation)
    if value not in valid:
        raise InvalidValue(f"--{option} {value} is unknown", hint=nearest(value, valid))
    return value


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


def _own(given: dict[str, Any], priors: GivenPriors) -> tuple[str, ...]:
    """Names of the data sets and priors that the command line brings along."""
    from campaign_cosmology.api.datasets import own_data

    return (*(own_data(*pair) for pair in given["own"]), *priors.datasets)


def _narrowed(bounds: dict[str, Any], priors: GivenPriors) -> dict[str, Any]:
    """Bounds of a configuration and of priors: what both allow."""
    found = {**bounds, **priors.bounds}
    for name in bounds.keys() & priors.bounds.keys():
        found[name] = (max(bounds[name][0], priors.bounds[name][0]), min(bounds[name][1], priors.bounds[name][1]))
    return found


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
    priors = given_priors(given["prior"], config.priors)
    optimizer |= {"bounds": _narrowed(optimizer.get("bounds") or {}, priors)} if priors.bounds else {}
    optimizer |= {"n_starts": given["starts"]} if given["starts"] is not None else {}
    if given["starts"] is not None and not optimize:
        raise UsageError("--starts needs parameters that move", hint="add --optimize NAMES")
    optimize = tuple(n for n in optimize or () if n not in frozen)
    return Request(
        model=given["model"] or config.model or _model(given["config"], config, optimize, overrides),
        datasets=(tuple(given["data"]) or tuple(config.datasets or ()) or datasets) + _own(given, priors),
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
        blind=config.blind,
        priors=priors.documents,
    )


def _run(datasets: tuple[str, ...], given: dict[str, Any]) -> None:
    from campaign_cosmology.commands.plugins import load_plugins

    plugins = load_plugins(given["plugin"]) if given["plugin"] else {}
    request = _request(datasets, given)
    from campaign_cosmology.commands.session import run_session
    from campaign_cosmology.commands.text import as_json, as_text

    with told():
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
        shared_options(callback)
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
@shared_options
def fit_joint(datasets: str | None, **given: Any) -> None:
    chosen = tuple(n.strip() for n in datasets.split(",") if n.strip()) if datasets is not None else ()
    if datasets is not None and not chosen:
        raise UsageError("--datasets names no data set", hint=f"valid: {', '.join((*DEFAULT_VARIANT, *NAMES))}")
    given["data"] = chosen or given["data"]
    _run(("cmb", "bao_ani", "sn"), given)


COMMANDS["fit-joint"] = fit_joint


@click.group("cosmology", commands={**COMMANDS, **OTHERS})
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
