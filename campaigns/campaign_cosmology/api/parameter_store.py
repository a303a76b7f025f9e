"""Optimised parameters of the cosmological models: a face of `campaign.defaults`."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from campaign.science import InvalidValue, defaults
from campaign_cosmology.api.parameters import DEFAULTS, build_params, known_model, parameter_table, parameter_value
from campaign_cosmology.api.results import OptimizationRecord, ParameterDict
from campaign_cosmology.data.tables import DEFAULT_VARIANT
from campaign_cosmology.model.space import SHARED
from campaign_cosmology.model.warning import CosmologyWarning

WARM_START_AGE = timedelta(hours=24)
CLOCKS = timedelta(minutes=5)  # by which the clocks of two machines may differ
CONSISTENT = 1e-3  # relative difference of a shared parameter between models above which a warning is given


def dataset_key(names: str) -> str:
    """A combination of data sets as one key, whatever the order: "bao_ani,cmb"; "cmb:cmb3" is "cmb"."""
    short = {f"{kind}:{variant}": kind for kind, variant in DEFAULT_VARIANT.items()}
    parts = [part.strip() for part in str(names).split(",")]
    return ",".join(sorted(short.get(part, part) for part in parts if part))


def provenance(stored: defaults.Stored) -> dict[str, Any]:
    """Where a revision comes from, under the documents' keys; what a campaign has published is put under them too."""
    meta = stored.provenance
    if "problem" not in meta:
        return meta
    success = meta["outcome"] == "converged"
    problem = meta["problem"]
    return {
        "timestamp": stored.updated_at,
        "source_dataset": ",".join(problem["data"]),
        "final_chi2": 2.0 * meta["loss"],
        "chi2_improvement": 2.0 * (meta["loss_initial"] - meta["loss"]),
        "convergence_status": "success" if success else "failed",
        "optimizer_info": {"method": meta["engine"], "library": "campaign"},
        "covariance_scaling": problem["cov_scale"],
        "conventions": {name: problem[name] for name in ("form", "constants", "zstar", "zdrag")},
        **meta,
    }


def recorded_at(stored: defaults.Stored) -> datetime:
    """When a record's optimisation was made, by its own time stamp; when it was stored, where that is none."""
    for text in (provenance(stored).get("timestamp"), stored.updated_at):
        try:
            when = datetime.fromisoformat(str(text))
        except ValueError:
            continue
        return when if when.tzinfo is not None else when.replace(tzinfo=UTC)
    return datetime.fromtimestamp(0, UTC)


def is_of_cmb(stored: defaults.Stored) -> bool:
    """Whether a record is an optimisation of CMB data alone, and none that failed."""
    meta = provenance(stored)
    kinds = {name.partition(":")[0] for name in dataset_key(meta.get("source_dataset", "")).split(",")}
    return kinds == {"cmb"} and meta.get("convergence_status", "success") == "success"


class OptimizedParameterStore:
    """Defaults of the models, with what optimisations have stored put over the built-in values.

    Attributes:
        folder: where they live; None follows `CAMPAIGN_DEFAULTS`, else the user's data folder.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        self.folder = Path(folder) if folder is not None else None

    def overrides(self, model: str) -> dict[str, float]:
        """The stored values of a model; empty where there are none. One out of bounds is left out with a warning."""
        stored = defaults.load(known_model(model), folder=self.folder)
        table, found = parameter_table(model), {}
        for name, value in (stored.values if stored else {}).items():
            try:
                found[name] = parameter_value(table[name], value)
            except (KeyError, ValueError) as error:
                warnings.warn(f"stored default of `{model}` is ignored: {error}", CosmologyWarning, stacklevel=2)
        return found

    def get_model_defaults(self, model: str) -> ParameterDict:
        """Parameters, derived quantities and, under ``optimization_metadata``, where the stored values come from.

        Raises:
            ValueError: unknown model.
        """
        stored = defaults.load(known_model(model), folder=self.folder)
        meta = None
        if stored is not None:
            meta = {**provenance(stored), "optimized_params": stored.changed, "updated_at": stored.updated_at}
            of_cmb = self.summary().get(model)
            meta |= {"cmb_optimized": of_cmb["date"]} if of_cmb else {}
        return build_params(model, self.overrides(model), meta)

    def is_stored(self, model: str) -> bool:
        """Whether anything is stored for a model."""
        return defaults.load(known_model(model), folder=self.folder) is not None

    def describe(self, model: str) -> str:
        """One line: which defaults a fit of this model starts from."""
        stored = defaults.load(known_model(model), folder=self.folder)
        if stored is None:
            return f"defaults of {model}: built in"
        values = ", ".join(f"{name} = {stored.values[name]:.6g}" for name in sorted(stored.values))
        meta = provenance(stored)
        source = meta.get("source_dataset", "unknown data")
        source += f" by campaign `{meta['campaign']}`" if "campaign" in meta else ""
        return f"defaults of {model}: {values} (from {source}, {stored.updated_at[:19]}Z, revision {stored.revision})"

    def update_model_defaults(
        self,
        model: str,
        optimized_params: Mapping[str, float],
        optimization_metadata: Mapping[str, Any] | None = None,
        dry_run: bool = False,
    ) -> None:
        """Merge optimised values into a model's defaults; the others keep theirs.

        Raises:
            ValueError: unknown model or parameter, a value out of bounds, or of a blinded fit. TypeError: no number.
        """
        table = parameter_table(known_model(model))
        from campaign_cosmology.api.selection import checked_free

        checked_free(model, list(optimized_params))
        if (optimization_metadata or {}).get("blind") is not None:
            raise InvalidValue("values that are shown shifted do not become defaults", hint="fit without `blind`")
        values = {name: parameter_value(table[name], value) for name, value in optimized_params.items()}
        meta = {"timestamp": datetime.now(UTC).isoformat(timespec="seconds"), **(optimization_metadata or {})}
        defaults.update_defaults(model, values, provenance=meta, dry_run=dry_run, folder=self.folder)

    def get_optimization_history(self, model: str) -> list[OptimizationRecord]:
        """Every stored optimisation of a model, oldest first."""
        return [
            OptimizationRecord(
                timestamp=str(meta.get("timestamp", stored.updated_at)),
                model=model,
                dataset=str(meta.get("source_dataset", "unknown")),
                optimized_params=stored.changed,
                final_values={name: stored.values[name] for name in stored.changed},
                chi2_improvement=float(meta.get("chi2_improvement", "nan")),
                convergence_status=str(meta.get("convergence_status", "unknown")),
            )
            for stored in defaults.history(known_model(model), folder=self.folder)
            for meta in [provenance(stored)]
        ]

    def is_optimized(self, model: str, dataset: str) -> bool:
        """Whether a successful optimisation on this data set (or comma-separated combination) is stored."""
        return any(
            record.convergence_status == "success" and dataset_key(record.dataset) == dataset_key(dataset)
            for record in self.get_optimization_history(model)
        )

    def get_warm_start_params(self, model: str, max_age: timedelta = WARM_START_AGE) -> ParameterDict | None:
        """Parameters of the last successful optimisation, if it is younger than 24 hours; else None.

        Last and young go by the records' own time stamps, whenever they were stored; one of the future is not used.
        """
        now = datetime.now(UTC)
        records = defaults.history(known_model(model), folder=self.folder)
        young = [r for r in records if -CLOCKS < now - recorded_at(r) < max_age]
        good = [r for r in young if provenance(r).get("convergence_status") == "success"]
        if not good:
            return None
        last = max(good, key=lambda r: (recorded_at(r), r.revision))
        return build_params(model, last.values, dict(provenance(last)))

    def validate_cross_model_consistency(self) -> dict[str, float]:
        """Largest relative difference of H0, Om0, Obh2 and ns between the models' defaults; warns above 1e-3."""
        values = {model: self.get_model_defaults(model) for model in ("lcdm", "pbuf")}
        divergence = {}
        for name in SHARED:
            one, other = (float(values[model][name]) for model in ("lcdm", "pbuf"))
            divergence[name] = abs(one - other) / max(abs(one), abs(other))
        apart = [f"{name} by {value:.2g}" for name, value in divergence.items() if value > CONSISTENT]
        if apart:
            warnings.warn(
                f"defaults of lcdm and pbuf differ: {', '.join(apart)} (relative); optimise both on the same data",
                CosmologyWarning,
                stacklevel=2,
            )
        return divergence

    def summary(self) -> dict[str, Any]:
        """``cmb_optimization_summary``: chi2, improvement, date and parameters of each model's last optimisation of
        the CMB alone. Other data: `latest`."""
        return self._last_of_each(is_of_cmb)

    def latest(self) -> dict[str, Any]:
        """The same of each model's last optimisation, of whatever data."""
        return self._last_of_each(lambda stored: True)

    def _last_of_each(self, is_wanted: Callable[[defaults.Stored], bool]) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for model in DEFAULTS:
            records = [r for r in defaults.history(model, folder=self.folder) if is_wanted(r)]
            if records:
                last = max(records, key=lambda r: (recorded_at(r), r.revision))
                meta = provenance(last)
                out[model] = {
                    "chi2": meta.get("final_chi2"),
                    "improvement": meta.get("chi2_improvement"),
                    "date": recorded_at(last).isoformat(timespec="seconds"),
                    "optimized_params": last.changed,
                    "defaults": last.values,
                    "provenance": meta,
                    "n_optimizations": len(records),
                }
        return out

    def export_optimization_summary(self, output_path: str = "reports/optimization_summary.json") -> None:
        """Write `summary` and `latest` as JSON, whole or not at all."""
        defaults.write_json(Path(output_path), self.summaries())

    def summaries(self) -> dict[str, Any]:
        """Both: ``cmb_optimization_summary`` and ``latest_optimizations``."""
        return {"cmb_optimization_summary": self.summary(), "latest_optimizations": self.latest()}


def propagate_optimized_parameters(model: str, optimized_params: Mapping[str, float]) -> None:
    """Make optimised values the defaults of every later fit of the model, and check the other model against them."""
    store = OptimizedParameterStore()
    store.update_model_defaults(model, optimized_params, {"source_dataset": "propagated"})
    store.validate_cross_model_consistency()
