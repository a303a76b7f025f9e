"""Settings of a least-squares fit: the section ``optimization.nlsq``. No JAX."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PrivateAttr

from campaign.science import Diagnostic, ManifestError, UsageError, nearest
from campaign_xpcs.data.cmaes_config import CMAESWrapperConfig
from campaign_xpcs.data.sections import Section, checked, flattened
from campaign_xpcs.data.yaml_keys import NLSQ_IGNORED, NLSQ_KEYS, ignored_because

PerAngleMode = Literal["auto", "individual", "fourier", "constant", "auto_averaged", "averaged"]
Loss = Literal["linear", "soft_l1", "huber", "cauchy"]


class NLSQConfig(Section):
    """Settings of `fit_nlsq_jax`, by the names of homodyne's `NLSQConfig`.

    Checked: tests/unit/xpcs/data/test_xpcs_nlsq_config.py.
    """

    loss: Loss = Field(default="linear", description="linear is χ²; homodyne's default is soft_l1")
    max_iterations: int = Field(default=1000, ge=1, description="most steps")
    ftol: float = Field(default=1e-15, ge=0, lt=1, description="fraction of the loss that a step must promise to gain")
    xtol: float = Field(default=1e-10, ge=0, lt=1, description="fraction that a step must change a parameter by")
    gtol: float = Field(default=1e-10, ge=0, lt=1, description="cosine of a column of J with r below which it is 0")
    seed: int = Field(default=42, ge=0, description="all random numbers follow from it")
    compat: Literal["none", "document"] = Field(
        default="none", description="document: its rules where they differ from ours"
    )

    use_adapter: bool = Field(default=True, description="the cached path; false: the chunked one")
    strategy_rule: Literal["measured", "document-2.20", "homodyne-2.23"] = Field(
        default="measured", description="see docs"
    )
    target_chunk_size: int = Field(default=100_000, ge=1, description="points of a chunk, where there are chunks")

    enable_recovery: bool = Field(default=True, description="try again after a failure")
    max_recovery_attempts: int = Field(default=3, ge=1, le=10, description="attempts in all")
    recovery: Literal["default", "document"] = Field(default="default", description="which attempts; see docs")

    per_angle_scaling: bool = Field(default=True, description="contrast and offset of each angle")
    per_angle_mode: PerAngleMode = Field(default="auto", description="how they depend on the angle; auto: individual")
    fourier_order: int = Field(default=2, ge=1, le=8, description="highest harmonic of `fourier`")
    fourier_auto_threshold: int = Field(
        default=6, ge=1, description="angles above which compat `document` takes fourier"
    )

    enable_multi_start: bool = Field(default=False, description="fit from several starts")
    multi_start_n_starts: int = Field(default=10, ge=1, description="their number")
    multi_start_seed: int = Field(default=42, ge=0, description="of the design of starts")
    multi_start_screen_keep_fraction: float = Field(
        default=0.5, gt=0, le=1, description="part that is fitted after screening"
    )
    multi_start_use_screening: bool = Field(default=True, description="evaluate all starts, and fit the best part")

    enable_hierarchical: bool = Field(default=False, description="layer 2: physics and scaling in turn, before the fit")
    hierarchical_max_outer_iterations: int = Field(default=5, ge=1, description="turns")
    hierarchical_outer_tolerance: float = Field(
        default=1e-6, gt=0, description="relative change of the physics that ends them"
    )
    hierarchical_physical_max_iterations: int = Field(default=100, ge=1, description="steps of a turn's first stage")
    hierarchical_per_angle_max_iterations: int = Field(default=50, ge=1, description="steps of its second stage")

    enable_regularization: bool = Field(default=False, description="layer 3: pull contrasts and offsets together")
    regularization_mode: Literal["absolute", "relative", "auto"] = Field(
        default="relative", description="variance, or CV²"
    )
    group_variance_lambda: float = Field(default=1.0, ge=0, description="λ")
    regularization_target_cv: float = Field(default=0.10, gt=0, description="CV at which the term has its target share")
    regularization_target_contribution: float = Field(default=0.10, gt=0, description="share of the loss at that CV")
    regularization_auto_tune_lambda: bool = Field(default=False, description="λ = share / CV²")

    enable_gradient_monitoring: bool = Field(default=False, description="layer 4: compare the gradients of both groups")
    gradient_ratio_threshold: float = Field(
        default=0.01, gt=0, description="ratio below which the physics has collapsed"
    )
    gradient_consecutive_triggers: int = Field(default=5, ge=1, description="steps in a row that make an alarm")
    gradient_collapse_response: Literal["warn", "hierarchical", "reset", "abort"] = Field(
        default="warn", description="then"
    )

    enable_shear_weighting: bool = Field(
        default=False, description="layer 5: weigh angles by their sensitivity to shear"
    )
    shear_min_weight: float = Field(default=0.3, gt=0, le=1, description="weight of an angle without any")
    shear_alpha: float = Field(default=1.0, gt=0, description="exponent of |cos|")
    shear_normalize: bool = Field(default=True, description="weights with mean 1")

    enable_cmaes: bool = Field(default=False, description="global search before the fit")
    cmaes: CMAESWrapperConfig = Field(default=CMAESWrapperConfig(), description="its settings")

    _notes: tuple[str, ...] = PrivateAttr(())

    @property
    def notes(self) -> tuple[str, ...]:
        """What was read and is not used, or not known, in words."""
        return self._notes

    @classmethod
    def from_dict(cls, section: Mapping[str, Any], *, strict: bool = False, at: str = "optimization.nlsq"):
        """Settings from a section of YAML, with nested groups as the document and homodyne write them; flat names of
        fields are taken too.

        Args:
            strict: an unknown key is an error, not a note.
            at: where the section stands, for messages.

        Raises:
            ManifestError: every wrong value with its place.
        """
        values: dict[str, Any] = {}
        cmaes: dict[str, Any] = {}
        places: dict[str, str] = {}
        cmaes_places: dict[str, str] = {}
        notes: list[str] = []
        findings: list[Diagnostic] = []
        known = {**NLSQ_KEYS, **{name: name for name in cls.model_fields if name != "cmaes"}}
        for key, value in flattened(section).items():
            place = f"{at}.{key}"
            if key.startswith("cmaes_") and key.removeprefix("cmaes_") in CMAESWrapperConfig.model_fields:
                key = f"cmaes.{key.removeprefix('cmaes_')}"
            name = key.removeprefix("cmaes.")
            if key.startswith("cmaes.") and name in CMAESWrapperConfig.model_fields:
                cmaes[name], cmaes_places[name] = value, place
            elif key in known:
                if known[key] in values and values[known[key]] != value:
                    message = f"the value is {value!r}, and `{places[known[key]]}` says {values[known[key]]!r}"
                    findings.append(Diagnostic(place=place, message=message, hint="give one of them"))
                values[known[key]], places[known[key]] = value, place
            elif reason := ignored_because(key, NLSQ_IGNORED):
                notes.append(f"{place} is not used: {reason}")
            elif value not in (None, {}) or key not in {name.split(".")[0] for name in [*known, *NLSQ_IGNORED]}:
                valid = [*known, *(f"cmaes.{n}" for n in CMAESWrapperConfig.model_fields)]
                message = f"unknown key `{key}`"
                findings += [Diagnostic(place=place, message=message, hint=nearest(key, valid))] if strict else []
                notes.append(f"{place} is unknown and not used; {nearest(key, valid)}")
        if findings:
            raise ManifestError(findings, source="configuration")
        if cmaes:
            values["cmaes"] = checked(CMAESWrapperConfig, cmaes, cmaes_places, "configuration")
        made = checked(cls, values, places, "configuration")
        made._notes = tuple(notes)
        return made

    @classmethod
    def from_yaml(cls, path: str | Path) -> NLSQConfig:
        """The section ``optimization.nlsq`` of a file.

        Raises:
            UsageError: no such file. ManifestError: it is no YAML, or has wrong values.
        """
        from campaign_xpcs.data.yaml_file import read_yaml

        document = read_yaml(path)
        section = (document.get("optimization") or {}).get("nlsq")
        if not isinstance(section, Mapping):
            raise UsageError(f"{path} has no section `optimization.nlsq`", hint="campaign xpcs config writes one")
        return cls.from_dict(section)

    def validate_config(self) -> list[str]:
        """What does not go together, in words; wrong values are refused when they are given."""
        found = []
        if self.per_angle_mode == "fourier" and not self.per_angle_scaling:
            found.append("`per_angle_mode` is fourier, and `per_angle_scaling` false: one of them is idle")
        if self.enable_regularization and self.per_angle_mode in ("averaged", "auto_averaged", "constant"):
            found.append(f"regularization pulls contrasts together that `{self.per_angle_mode}` already shares")
        return found
