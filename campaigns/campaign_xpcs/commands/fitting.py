"""One call of ``campaign xpcs fit``: configuration, data, fits, files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from campaign.science import UsageError
from campaign_xpcs.api.cmc import sample_request
from campaign_xpcs.api.cmc_result import CMCResult
from campaign_xpcs.api.fitted import fitted_arrays
from campaign_xpcs.api.inputs import Request, request
from campaign_xpcs.api.nlsq import fit_request
from campaign_xpcs.api.result import OptimizationResult
from campaign_xpcs.api.result_files import read_nlsq, write_cmc, write_nlsq
from campaign_xpcs.data.loading import configured_maps
from campaign_xpcs.data.yaml_config import load_config


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What the command line asks for. `say` is called with lines of talk."""

    config_path: Path
    method: str | None
    nlsq_result: Path | None
    no_nlsq_warmstart: bool
    output_dir: Path | None
    data_file: Path | None
    plots: bool
    strict: bool
    say: Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What became of it."""

    nlsq: OptimizationResult | None
    cmc: CMCResult | None
    files: tuple[Path, ...]
    notes: tuple[str, ...]


def carry_out(order: Order) -> Done:
    """Fit, and write the files."""
    if order.nlsq_result is not None and order.no_nlsq_warmstart:
        raise UsageError("--nlsq-result and --no-nlsq-warmstart contradict each other", hint="give one of them")
    config = load_config(order.config_path, strict=order.strict)
    if order.data_file is not None:
        config = replace(config, data_path=order.data_file)
    method = order.method or config.optimization.method or "nlsq"
    asked = request(configured_maps(config), config, {}, None)
    for note in asked.said:
        order.say(f"note: {note}")
    folder = order.output_dir or config.output or Path("results")
    files: list[Path] = []
    result = _least_squares(order, asked, method, folder, files)
    posterior = None
    if method in ("cmc", "both"):
        warm = None if order.no_nlsq_warmstart else result
        posterior = sample_request(asked, config.optimization.cmc, warm)
        files += write_cmc(folder / "cmc", posterior)
        if order.plots:
            from campaign_xpcs.commands.drawing import draw_posterior_file

            files.append(draw_posterior_file(posterior, folder / "cmc", None if warm is None else warm.values))
    return Done(nlsq=result, cmc=posterior, files=tuple(files), notes=asked.said)


def _least_squares(
    order: Order, asked: Request, method: str, folder: Path, files: list[Path]
) -> OptimizationResult | None:
    """The result to start from: read, fitted, or none."""
    if order.nlsq_result is not None and method == "cmc":
        return read_nlsq(order.nlsq_result)
    if method == "cmc" and order.no_nlsq_warmstart:
        return None
    if method == "cmc":
        order.say("least squares first: the sampler starts there (--no-nlsq-warmstart to leave it out)")
    result = fit_request(asked)
    fitted = fitted_arrays(asked, result)
    files += write_nlsq(folder / "nlsq", result, fitted)
    if order.plots:
        from campaign_xpcs.commands.drawing import draw_arrays

        files += draw_arrays(fitted.arrays(), folder / "nlsq")
    return result
