"""The commands beside the fitters: ``defaults``, ``regression``."""

from __future__ import annotations

from pathlib import Path

import click

from campaign.science import Unavailable, UsageError
from campaign_cosmology.commands.shared import told
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


OTHERS = {"defaults": show_defaults, "regression": regression}
