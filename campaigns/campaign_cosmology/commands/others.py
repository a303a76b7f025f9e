"""The commands beside the fitters: ``defaults``, ``regression``, ``reweight``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from campaign.science import Unavailable, UsageError
from campaign_cosmology.commands.shared import own_names, told
from campaign_cosmology.model.space import MODELS


@click.command("defaults", help="Show the stored defaults of the models and their history.")
@click.option("--json", "as_json_", is_flag=True, help="Print JSON.")
@click.option(
    "--export", type=click.Path(path_type=Path), default=None, help="Write the optimisation summary to this file."
)
def show_defaults(as_json_: bool, export: Path | None) -> None:
    import json

    from campaign_cosmology.api.parameter_store import OptimizedParameterStore

    store = OptimizedParameterStore()
    with told():
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

    with told():
        found = repeat_all(results, quick=quick, tolerance=tolerance)
    click.echo(as_lines(found, as_json=as_json_))
    if not all(one.passed for one in found):
        ctx.exit(4)


@click.command("reweight", help="Add data or priors to a posterior, by weights on the draws in a CSV file.")
@click.argument("draws", type=click.Path(path_type=Path))
@click.option("--model", default="lcdm", show_default=True, help="Model of the draws.")
@click.option("--data", multiple=True, metavar="NAME", help="Data set to add; repeatable.")
@click.option("--own", multiple=True, nargs=2, metavar="NUMBERS COVARIANCE", type=click.Path(path_type=Path))
@click.option("--prior", multiple=True, metavar="NAME=MEAN,SD", help="Normal prior to add; repeatable.")
@click.option("--weights", type=click.Path(path_type=Path), default=None, help="Write the weights to this file.")
@click.option("--json", "as_json_", is_flag=True, help="Print JSON.")
def reweight(draws: Path, model: str, weights: Path | None, as_json_: bool, **given: Any) -> None:
    """DRAWS: columns by the names of parameters, as `chain.to_dataframe().to_csv(...)` writes them."""
    from campaign_cosmology.commands.reweight import added, as_lines, write_weights

    names = (*given["data"], *own_names(given))
    if not names:
        raise UsageError("nothing is added", hint="--data NAME, --own NUMBERS COVARIANCE or --prior NAME=MEAN,SD")
    with told():
        found = added(draws, model, names, {})
    click.echo(as_lines(found, as_json=as_json_))
    if weights is not None:
        write_weights(weights, found.weights.weights)
        click.echo(f"wrote {weights}", err=True)


OTHERS = {"defaults": show_defaults, "regression": regression, "reweight": reweight}
