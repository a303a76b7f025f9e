"""campaign: ensembles of model fits, from a manifest to a table.

The public names are imported when they are first used: ``import campaign`` is free.

    campaign.submit(manifest, directory)       run what is not done yet
    campaign.resume(directory)                 go on where it stopped
    campaign.plan(manifest, directory)         what a submission would do
    campaign.open(directory)                   read a campaign: status, table, traces
    campaign.fit(problem, engine, start)       one run in this process, with its trace
    campaign.multistart(problem, engine)       fits from many starts, and the minima that they ended in
    campaign.replay(directory, run)            a run of a campaign once more, bit for bit, with its trace
    campaign.save_run(directory, run, folder)  a run as plain files; campaign.load_trace, load_meta, … read them
    campaign.rerun(folder)                     a run once more, from its meta.json alone
    campaign.plot_panels(signals, panels)      drawings of signals; campaign.plot_signal draws one
    campaign.defaults                          the stored best parameters of models
    campaign.priors                            priors by name, and sets of parameters that have them
    campaign.Chain, campaign.ChainStorage      draws of a sampler, from arrays and in a file
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from campaign import defaults, priors
    from campaign.analysis.artifacts import (
        load_checkpoint,
        load_curvature,
        load_grads,
        load_meta,
        load_precond,
        load_steps,
        load_summary,
        load_trace,
    )
    from campaign.analysis.chain import Chain
    from campaign.analysis.chain_storage import ChainStorage
    from campaign.analysis.handle import open_campaign as open
    from campaign.drive.doors import plan, resume, submit
    from campaign.export.rerun import rerun
    from campaign.export.save import save_run
    from campaign.fitting import fit, fits, replay
    from campaign.many_starts import multistart
    from campaign.report.signal_files import load_signals
    from campaign.report.signal_panels import plot_panels, plot_signal

__version__ = "0.1.0"
__all__ = [
    "Chain",
    "ChainStorage",
    "__version__",
    "defaults",
    "fit",
    "fits",
    "load_checkpoint",
    "load_curvature",
    "load_grads",
    "load_meta",
    "load_precond",
    "load_signals",
    "load_steps",
    "load_summary",
    "load_trace",
    "multistart",
    "open",
    "plan",
    "plot_panels",
    "plot_signal",
    "priors",
    "replay",
    "rerun",
    "resume",
    "save_run",
    "submit",
]

_PLACES = {
    "submit": "campaign.drive.doors:submit",
    "resume": "campaign.drive.doors:resume",
    "plan": "campaign.drive.doors:plan",
    "open": "campaign.analysis.handle:open_campaign",
    "fit": "campaign.fitting:fit",
    "fits": "campaign.fitting:fits",
    "multistart": "campaign.many_starts:multistart",
    "replay": "campaign.fitting:replay",
    **{
        f"load_{name}": f"campaign.analysis.artifacts:load_{name}"
        for name in ("checkpoint", "curvature", "grads", "meta", "precond", "steps", "summary", "trace")
    },
    "load_signals": "campaign.report.signal_files:load_signals",
    "plot_panels": "campaign.report.signal_panels:plot_panels",
    "plot_signal": "campaign.report.signal_panels:plot_signal",
    "rerun": "campaign.export.rerun:rerun",
    "save_run": "campaign.export.save:save_run",
    "Chain": "campaign.analysis.chain:Chain",
    "ChainStorage": "campaign.analysis.chain_storage:ChainStorage",
}


def __getattr__(name: str) -> Any:
    if name in ("defaults", "priors"):
        import importlib

        return importlib.import_module(f"campaign.{name}")
    if name not in _PLACES:
        raise AttributeError(f"module 'campaign' has no attribute {name!r}")
    from campaign.registry import load_reference

    return load_reference(_PLACES[name])


def __dir__() -> list[str]:
    return sorted(__all__)
