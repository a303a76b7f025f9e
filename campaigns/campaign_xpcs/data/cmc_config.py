"""Settings of consensus Monte Carlo: the section ``optimization.cmc``. No JAX."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, PrivateAttr

from campaign.science import Diagnostic, ManifestError, nearest
from campaign_xpcs.data.sections import Section, checked, flattened
from campaign_xpcs.data.yaml_keys import CMC_IGNORED, CMC_KEYS, ignored_because


class CMCConfig(Section):
    """Settings of `fit_mcmc_jax`.

    Checked: tests/unit/xpcs/data/test_xpcs_nlsq_config.py.
    """

    num_shards: int | None = Field(default=None, ge=1, description="parts of the data; null: by `max_points_per_shard`")
    max_points_per_shard: int = Field(default=100_000, ge=100, description="most points of a part")
    sharding_strategy: Literal["random", "stratified"] = Field(
        default="random", description="of the document: parts are random, and so hold all angles alike"
    )
    num_warmup: int = Field(default=500, ge=1, description="steps that adapt the sampler")
    num_samples: int = Field(default=1500, ge=1, description="draws that are kept, of each chain")
    num_chains: int = Field(default=4, ge=1, description="chains of a part")
    target_accept_prob: float = Field(default=0.85, gt=0, lt=1, description="acceptance that the step size aims at")
    max_tree_depth: int = Field(default=10, ge=1, le=20, description="doublings of a trajectory")
    max_rhat: float = Field(default=1.1, gt=1, description="a part above it does not count")
    min_ess: float = Field(default=400.0, gt=0, description="effective draws that a part needs")
    max_divergence_rate: float = Field(default=0.1, ge=0, le=1, description="part of its draws that may have diverged")
    min_success_rate: float = Field(default=0.9, gt=0, le=1, description="part of the parts that must count")
    per_angle_mode: str | None = Field(default=None, description="null: the one of `nlsq_result`")
    allow_mode_mismatch: bool = Field(default=False, description="another mode than `nlsq_result` has is no error")
    seed: int = Field(default=42, ge=0, description="all random numbers follow from it")

    _notes: tuple[str, ...] = PrivateAttr(())

    @property
    def notes(self) -> tuple[str, ...]:
        """What was read and is not used, or not known, in words."""
        return self._notes

    @classmethod
    def from_dict(cls, section: Mapping[str, Any], *, strict: bool = False, at: str = "optimization.cmc") -> CMCConfig:
        """Settings from a section of YAML. See `NLSQConfig.from_dict`."""
        values: dict[str, Any] = {}
        places: dict[str, str] = {}
        notes: list[str] = []
        findings: list[Diagnostic] = []
        known = {**{name: name for name in cls.model_fields}, **CMC_KEYS}
        for key, value in flattened(section).items():
            place = f"{at}.{key}"
            if key in known and value == "auto":
                notes.append(f"{place} is auto: the default is taken")
            elif key in known:
                values[known[key]], places[known[key]] = value, place
            elif reason := ignored_because(key, CMC_IGNORED):
                notes.append(f"{place} is not used: {reason}")
            elif value not in (None, {}) or key not in {name.split(".")[0] for name in known}:
                hint = nearest(key, known)
                findings += [Diagnostic(place=place, message=f"unknown key `{key}`", hint=hint)] if strict else []
                notes.append(f"{place} is unknown and not used; {hint}")
        if values.get("sharding_strategy") == "stratified":
            notes.append(f"{places['sharding_strategy']}: parts are random all the same, and so hold all angles alike")
        if findings:
            raise ManifestError(findings, source="configuration")
        made = checked(cls, values, places, "configuration")
        made._notes = tuple(notes)
        return made
