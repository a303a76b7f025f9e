"""A whole configuration: YAML as homodyne writes it. Every key is used, or named as not used, or named as unknown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from campaign.science import CampaignError, Diagnostic, ManifestError, nearest
from campaign_xpcs.data.cmc_config import CMCConfig
from campaign_xpcs.data.nlsq_config import NLSQConfig
from campaign_xpcs.data.parameter_table import ParameterTable, parameter_table
from campaign_xpcs.data.sections import flattened
from campaign_xpcs.data.units import gap_in_angstrom, q_in_inverse_angstrom
from campaign_xpcs.data.yaml_file import read_yaml
from campaign_xpcs.data.yaml_keys import IGNORED, USED, ignored_because
from campaign_xpcs.data.yaml_values import Reader

MODES = ("laminar_flow", "static_isotropic", "static_anisotropic")
Mode = Literal["laminar_flow", "static_isotropic", "static_anisotropic"]
_GAPS = {"stator_rotor_gap": "A", "stator_rotor_gap_nm": "nm", "stator_rotor_gap_um": "um"}
_QS = {"wavevector_q": "1/A", "wavevector_q_inverse_nm": "1/nm"}
_MAPPINGS = (
    "optimization.nlsq",
    "optimization.cmc",
    "initial_parameters.fixed_parameters.",
    "initial_parameters.values.",
)  # whoever reads them says what is wrong in them


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimization:
    """The section ``optimization``."""

    nlsq: NLSQConfig
    cmc: CMCConfig
    method: Literal["nlsq", "cmc", "both"] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class XpcsConfig:
    """A configuration that was read.

    Attributes:
        dt_s, q, gap: [s], [1/Å], [Å]; None where the file says none.
        start_frame, end_frame: first and last frame, counted from 1, both taken; None: all there are.
        data_path: file of the maps, beside the configuration where it is relative.
        sigma: error of a point, or "far-lags"; None: not known.
        angle_ranges: (from, to) of the angles that are fitted, see `choosing.angles`; empty: all.
        parameters: values, bounds, priors; which move.
        notes: what is not used or not known, and what was read in another way than it stands there.
        unknown: places of keys that nobody knows.
    """

    analysis_mode: Mode
    optimization: Optimization
    parameters: ParameterTable
    dt_s: float | None = None
    q: float | None = None
    gap: float | None = None
    start_frame: int | None = None
    end_frame: int | None = None
    data_path: Path | None = None
    sigma: float | Literal["far-lags"] | None = None
    angle_ranges: tuple[tuple[float, float], ...] = ()
    all_angles_if_none: bool = False
    shear_model: Literal["physical", "homodyne-compat"] = "physical"
    integration: Literal["trapezoid", "exact"] = "trapezoid"
    output: Path | None = None
    notes: tuple[str, ...] = ()
    unknown: tuple[str, ...] = field(default=())

    @property
    def n_frames(self) -> int | None:
        """Frames of the range: end − start + 1."""
        if self.start_frame is None or self.end_frame is None:
            return None
        return self.end_frame - self.start_frame + 1


def load_config(path: str | Path, *, strict: bool = False) -> XpcsConfig:
    """The configuration in a file. See `parse_config`."""
    return parse_config(read_yaml(path), folder=Path(path).resolve().parent, strict=strict, source=str(path))


def parse_config(
    document: Mapping[str, Any], *, folder: Path | None = None, strict: bool = False, source: str = "configuration"
) -> XpcsConfig:
    """A configuration from its document.

    Args:
        folder: where relative paths begin; None: the working directory.
        strict: an unknown key is an error, not a note.

    Raises:
        ManifestError: every wrong value, with its place, the value, and what is valid.

    Checked: tests/unit/xpcs/data/test_xpcs_yaml_config.py; homodyne's own template, key by key.
    """
    read = Reader(document)
    optimization = document.get("optimization") or {}
    nlsq = read.section(NLSQConfig, optimization.get("nlsq"), "optimization.nlsq", strict)
    cmc = read.section(CMCConfig, optimization.get("cmc"), "optimization.cmc", strict)
    notes, unknown = _leftover(document)
    if strict:
        for place, hint in unknown.items():
            read.wrong(place, f"unknown key `{place.rpartition('.')[2]}`", hint)
    mode = _mode(read)
    parameters = parameter_table(read, mode)
    if mode == "laminar_flow" and read.value("model.shear_model") is None:
        read.notes.append(
            "model.shear_model is not given: physical; shear rates of homodyne-compat are about 2.2 times larger"
        )
    start, end = _frames(read)
    config = XpcsConfig(
        analysis_mode=mode,
        optimization=Optimization(nlsq=nlsq, cmc=cmc, method=_method(read)),
        parameters=parameters,
        dt_s=read.number("analyzer_parameters.dt", "experimental_data.dt", above=0.0),
        q=_converted(read, "analyzer_parameters.scattering.", _QS, q_in_inverse_angstrom),
        gap=_gap(read) if mode == "laminar_flow" else None,
        start_frame=start,
        end_frame=end,
        data_path=_data_path(read, folder or Path.cwd()),
        sigma=_sigma(read),
        angle_ranges=_ranges(read),
        all_angles_if_none=bool(read.value("phi_filtering.fallback_to_all_angles") or False),
        shear_model=read.one_of("model.shear_model", ("physical", "homodyne-compat")) or "physical",  # type: ignore
        integration=read.one_of("model.integration", ("trapezoid", "exact")) or "trapezoid",  # type: ignore
        output=_output(read, folder or Path.cwd()),
        notes=(*notes, *read.notes, *nlsq.notes, *cmc.notes),
        unknown=(*unknown, *_unknown_of(nlsq), *_unknown_of(cmc)),
    )
    if read.findings:
        raise ManifestError(read.findings, source=source)
    return config


def _leftover(document: Mapping[str, Any]) -> tuple[list[str], dict[str, str]]:
    """Notes on keys that are not used, and place → hint of those that nobody knows."""
    sections = {name.split(".")[0] for name in [*USED, *IGNORED, "optimization"]}
    notes: list[str] = []
    whole: set[str] = set()
    unknown: dict[str, str] = {}
    for key, value in flattened(document).items():
        if key in USED or key.startswith(_MAPPINGS):
            continue
        if reason := ignored_because(key, IGNORED):
            top = key.split(".")[0]
            place = f"{top}.*" if f"{top}.*" in IGNORED and ignored_because(key, {f"{top}.*": ""}) == "" else key
            if place not in whole:
                whole.add(place)
                notes.append(f"{place} is not used: {reason}")
        elif value is None or (value == {} and key in sections):
            continue
        else:
            hint = nearest(key, [*USED, *sections])
            unknown[key] = hint
            notes.append(f"{key} is unknown and not used; {hint}")
    return notes, unknown


def _unknown_of(section: Any) -> list[str]:
    return [note.partition(" is unknown")[0] for note in section.notes if " is unknown and not used" in note]


def _mode(read: Reader) -> Mode:
    given = read.value("analysis_mode") or read.value("metadata.analysis_mode")
    if given is None:
        read.wrong("analysis_mode", "it is missing", f"valid: {', '.join(MODES)}")
        return "laminar_flow"
    if given == "static":
        read.notes.append("analysis_mode static is read as static_isotropic")
        return "static_isotropic"
    if given not in MODES:
        read.wrong("analysis_mode", f"the value is {given!r}", nearest(str(given), MODES))
        return "laminar_flow"
    return given


def _method(read: Reader) -> Any:
    given = read.one_of("optimization.method", ("nlsq", "cmc", "both", "mcmc"))
    if given == "mcmc":
        read.notes.append("optimization.method mcmc is read as cmc")
        return "cmc"
    return given


def _frames(read: Reader) -> tuple[int | None, int | None]:
    start = read.whole("analyzer_parameters.start_frame", least=1)
    end = read.whole("analyzer_parameters.end_frame", least=1)
    if start is not None and end is not None and end < start + 2:
        read.wrong("analyzer_parameters.end_frame", f"the value is {end}", f"valid: at least {start + 2}, 3 frames")
    return start, end


def _converted(read: Reader, at: str, units: Mapping[str, str], convert: Callable[[float, str], float]) -> float | None:
    """A quantity whose key says its unit; only one of them may stand there."""
    given = [name for name in units if read.value(at + name) is not None]
    if len(given) > 1:
        read.wrong(at + given[1], f"`{given[0]}` says it too", "give one of them")
        return None
    value = read.number(at + given[0], above=0.0) if given else None
    if value is None:
        return None
    try:
        return convert(value, units[given[0]])
    except CampaignError as error:
        read.wrong(at + given[0], error.message, error.hint)
        return None


def _gap(read: Reader) -> float | None:
    gap = _converted(read, "analyzer_parameters.geometry.", _GAPS, gap_in_angstrom)
    other = {"stator_rotor_gap": "A"}
    return gap if gap is not None else _converted(read, "experimental_data.geometry.", other, gap_in_angstrom)


def _sigma(read: Reader) -> Any:
    place = "experimental_data.sigma"
    return "far-lags" if read.value(place) == "far-lags" else read.number(place, above=0.0)


def _data_path(read: Reader, folder: Path) -> Path | None:
    given = read.text("experimental_data.file_path")
    if given is None:
        name = read.text("experimental_data.data_file_name")
        given = None if name is None else str(Path(read.text("experimental_data.data_folder_path") or "") / name)
    return None if given is None else folder / Path(given).expanduser()


def _output(read: Reader, folder: Path) -> Path | None:
    given = read.text("output.directory") or read.text("output.base_directory")
    return None if given is None else folder / Path(given).expanduser()


def _ranges(read: Reader) -> tuple[tuple[float, float], ...]:
    if not read.value("phi_filtering.enabled"):
        return ()
    found = []
    for i, item in enumerate(read.value("phi_filtering.target_ranges") or []):
        place = f"phi_filtering.target_ranges[{i}]"
        ends = item if isinstance(item, Mapping) else dict(zip(("min_angle", "max_angle"), item, strict=False))
        low, high = (read.as_number(ends.get(name), f"{place}.{name}") for name in ("min_angle", "max_angle"))
        if low is not None and high is not None:
            found.append((low, high))
    return tuple(found)


def diagnostics_of(config: XpcsConfig) -> list[Diagnostic]:
    """What a configuration lacks for a fit."""
    needed = {"analyzer_parameters.dt": config.dt_s, "experimental_data.file_path": config.data_path}
    if config.analysis_mode == "laminar_flow":
        needed["analyzer_parameters.geometry.stator_rotor_gap"] = config.gap
    return [Diagnostic(place=k, message="it is missing", hint="a fit needs it") for k, v in needed.items() if v is None]
