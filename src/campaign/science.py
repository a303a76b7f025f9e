"""The one door for sciences: what a package of problems, here or of a third party, needs of `campaign`.

    from campaign.science import Options, Parameter, ProblemPlugin, ThetaSpace   the plug-in: imports no JAX
    from campaign.science import Problem                                         the problem: imports JAX

A name is imported when it is first asked for, so what needs no JAX imports none.

    Problem                                     what a model subclasses; `residuals`, `log_likelihood` or `predict`
    Parameter, ThetaSpace, Prior, parse_prior   the space of theta: parameters with bounds and priors
    ParameterSet, Uniform, Normal, LogNormal,
    LogUniform, TruncatedNormal, Bound          parameters by name, and their priors
    ProblemPlugin, Options                      what `campaign` knows of a problem before it imports it
    Varying, Structural, DataFile               marks on options: vary inside a program, are compiled in, name a file
    find_data, read_columns                     where a known data set is on this machine; columns of a CSV file
    own_code, told                              a file of people's own, imported and hashed; what its errors say
    PythonModel                                 a problem of a plain Python function; imports JAX
    fit, fits, Fit                              one run, or a handful, in this process
    multistart, MultiStart, Start, screen_loss  fits from many starts, and the minima that they ended in
    basins_of, Basin, Basins, Ended             which of many fits ended in the same minimum; no JAX
    scale_ratio, choose_search, choose_by_starts, SearchChoice
                                                local, from many starts, or global: by rule, or by a few fits; no JAX
    Sampling, ProgressInfo, progress_bar        a sampler in this process: progress, its chain in a file, going on
    Chain                                       the draws of a sampler: diagnostics, tables, pictures
    open_campaign                               a campaign on disk: its table, runs and traces; no JAX
    consensus, ConsensusOptions                 posteriors of parts of the data as one; `consensus` imports JAX
    cache_folder                                of compiled programs
    start_jax                                   JAX set up as workers set it up: call it before the first computation
    free_memory, row_plan, RowPlan              what memory is free, and whether the rows of a fit are in it at once
    Unbounded                                   each parameter in coordinates without bounds, for `Problem.chart`
    IndexMap                                    what each position of theta means, in blocks; no JAX
    Signal, SignalSet, draw_signal, plot_signal, plot_panels,
    signals_document, signals_panel, PanelRecipe
                                                numbers over steps, how they are drawn, and a panel of them; no JAX
    Panel, RunSource, StageSource               what `campaign report` draws, and what a drawing is given; no JAX
    defaults                                    the stored best parameters of models: a module
    priors                                      priors by name, and sets of parameters that have them: a module; no JAX
    Chain, ChainStorage                         draws of a sampler with diagnostics and pictures, and their file; no JAX
    Evidence, savage_dickey, laplace_evidence,
    compare_evidence                            evidences from fits and draws, and Bayes factors; no JAX
    Blind                                       an option of problems whose parameters are shown shifted; no JAX
    reweight, Reweighted                        draws of a posterior with weights for what is added to it; no JAX
    CampaignError and its kinds, nearest        errors with a hint and an exit code; the hint for a misspelt name
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from campaign import defaults, priors
    from campaign.analysis.basins import Basin, Basins, Ended, basins_of
    from campaign.analysis.chain import Chain
    from campaign.analysis.chain_storage import ChainStorage
    from campaign.analysis.evidence import Evidence, compare_evidence, laplace_evidence, savage_dickey
    from campaign.analysis.handle import open_campaign
    from campaign.analysis.reweighting import Reweighted, reweight
    from campaign.analysis.search_choice import SearchChoice, choose_by_starts, choose_search, scale_ratio
    from campaign.blinding import Blind
    from campaign.data import find as find_data
    from campaign.errors import (
        CampaignError,
        DataFileError,
        Diagnostic,
        InvalidValue,
        ManifestError,
        Unavailable,
        UnknownName,
        UsageError,
        nearest,
    )
    from campaign.fitting import Fit, fit, fits
    from campaign.many_starts import MultiStart, Start, multistart, screen_loss
    from campaign.memory import RowPlan, free_memory, row_plan
    from campaign.own_code import told
    from campaign.priors import Bound, LogNormal, LogUniform, Normal, ParameterSet, TruncatedNormal, Uniform
    from campaign.problem.base import Problem
    from campaign.problem.data import columns as read_columns
    from campaign.problem.file import own_code
    from campaign.problem.python import PythonModel
    from campaign.problem.reference.consensus import build as consensus
    from campaign.problem.reference.consensus_options import ConsensusOptions
    from campaign.registry import DataFile, Options, ProblemPlugin, Structural, Varying
    from campaign.report.panels import Panel
    from campaign.report.signal_panels import draw_signal, plot_panels, plot_signal, signals_panel
    from campaign.report.signal_style import PanelRecipe
    from campaign.report.signal_style import document as signals_document
    from campaign.report.signals import Signal, SignalSet
    from campaign.report.source import RunSource, StageSource
    from campaign.runtime import cache_folder, start_jax
    from campaign.sampling.progress import ProgressInfo, progress_bar
    from campaign.sampling.sampler import Sampling
    from campaign.space.index_map import IndexMap
    from campaign.space.priors import Prior
    from campaign.space.priors import parse as parse_prior
    from campaign.space.theta import Parameter, ThetaSpace
    from campaign.space.transform import Unbounded

__all__ = [
    "Basin",
    "Basins",
    "Blind",
    "Bound",
    "CampaignError",
    "Chain",
    "ChainStorage",
    "ConsensusOptions",
    "DataFile",
    "DataFileError",
    "Diagnostic",
    "Ended",
    "Evidence",
    "Fit",
    "IndexMap",
    "InvalidValue",
    "LogNormal",
    "LogUniform",
    "ManifestError",
    "MultiStart",
    "Normal",
    "Options",
    "Panel",
    "PanelRecipe",
    "Parameter",
    "ParameterSet",
    "Prior",
    "Problem",
    "ProblemPlugin",
    "ProgressInfo",
    "PythonModel",
    "Reweighted",
    "RowPlan",
    "RunSource",
    "Sampling",
    "SearchChoice",
    "Signal",
    "SignalSet",
    "StageSource",
    "Start",
    "Structural",
    "ThetaSpace",
    "TruncatedNormal",
    "Unavailable",
    "Unbounded",
    "Uniform",
    "UnknownName",
    "UsageError",
    "Varying",
    "basins_of",
    "cache_folder",
    "choose_by_starts",
    "choose_search",
    "compare_evidence",
    "consensus",
    "defaults",
    "draw_signal",
    "find_data",
    "fit",
    "fits",
    "free_memory",
    "laplace_evidence",
    "multistart",
    "nearest",
    "open_campaign",
    "own_code",
    "parse_prior",
    "plot_panels",
    "plot_signal",
    "priors",
    "progress_bar",
    "read_columns",
    "reweight",
    "row_plan",
    "savage_dickey",
    "scale_ratio",
    "screen_loss",
    "signals_document",
    "signals_panel",
    "start_jax",
    "told",
]

_PLACES = {
    **dict.fromkeys(
        (
            "CampaignError",
            "DataFileError",
            "Diagnostic",
            "InvalidValue",
            "ManifestError",
            "Unavailable",
            "UnknownName",
            "UsageError",
            "nearest",
        ),
        "campaign.errors",
    ),
    **dict.fromkeys(("DataFile", "Options", "ProblemPlugin", "Structural", "Varying"), "campaign.registry"),
    **dict.fromkeys(("Parameter", "ThetaSpace"), "campaign.space.theta"),
    **dict.fromkeys(("Fit", "fit", "fits"), "campaign.fitting"),
    **dict.fromkeys(("MultiStart", "Start", "multistart", "screen_loss"), "campaign.many_starts"),
    **dict.fromkeys(("Basin", "Basins", "Ended", "basins_of"), "campaign.analysis.basins"),
    **dict.fromkeys(
        ("SearchChoice", "choose_by_starts", "choose_search", "scale_ratio"), "campaign.analysis.search_choice"
    ),
    **dict.fromkeys(("RunSource", "StageSource"), "campaign.report.source"),
    **dict.fromkeys(
        ("Evidence", "compare_evidence", "laplace_evidence", "savage_dickey"), "campaign.analysis.evidence"
    ),
    **dict.fromkeys(("Reweighted", "reweight"), "campaign.analysis.reweighting"),
    **dict.fromkeys(("draw_signal", "plot_panels", "plot_signal", "signals_panel"), "campaign.report.signal_panels"),
    **dict.fromkeys(("Signal", "SignalSet"), "campaign.report.signals"),
    **dict.fromkeys(("PanelRecipe", "signals_document"), "campaign.report.signal_style"),
    "Blind": "campaign.blinding",
    "IndexMap": "campaign.space.index_map",
    "Chain": "campaign.analysis.chain",
    "Panel": "campaign.report.panels",
    **dict.fromkeys(("Prior", "parse_prior"), "campaign.space.priors"),
    "Problem": "campaign.problem.base",
    "PythonModel": "campaign.problem.python",
    "Sampling": "campaign.sampling.sampler",
    **dict.fromkeys(("ProgressInfo", "progress_bar"), "campaign.sampling.progress"),
    **dict.fromkeys(("cache_folder", "start_jax"), "campaign.runtime"),
    **dict.fromkeys(
        ("Bound", "LogNormal", "LogUniform", "Normal", "ParameterSet", "TruncatedNormal", "Uniform"), "campaign.priors"
    ),
    "Unbounded": "campaign.space.transform",
    "open_campaign": "campaign.analysis.handle",
    "find_data": "campaign.data",
    "own_code": "campaign.problem.file",
    "told": "campaign.own_code",
    "consensus": "campaign.problem.reference.consensus",
    "ConsensusOptions": "campaign.problem.reference.consensus_options",
    **dict.fromkeys(("RowPlan", "free_memory", "row_plan"), "campaign.memory"),
    "ChainStorage": "campaign.analysis.chain_storage",
    "read_columns": "campaign.problem.data",
    **dict.fromkeys(("defaults", "priors"), "campaign"),
}  # name → module
_NAMES = {
    "consensus": "build",
    "find_data": "find",
    "parse_prior": "parse",
    "read_columns": "columns",
    "signals_document": "document",
}  # where its module calls it otherwise


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module `campaign.science` has no `{name}`")
    return getattr(import_module(_PLACES[name]), _NAMES.get(name, name))


def __dir__() -> list[str]:
    return sorted(__all__)
