"""Configurations: a template, and a check of one."""

from __future__ import annotations

import json
from pathlib import Path

from campaign.science import ManifestError, UsageError
from campaign_xpcs.api.result_files import published
from campaign_xpcs.data.parameter_table import physical_names
from campaign_xpcs.data.yaml_config import diagnostics_of, load_config
from campaign_xpcs.model.parameters import physical

_HEAD = """\
# campaign xpcs fit --config {name}
# Keys of homodyne's configurations are read; what is not used is named: campaign xpcs config {name} --validate
analysis_mode: {mode}

analyzer_parameters:
  dt: 0.1  # s, between two frames that were correlated
  start_frame: 1  # counted from 1
  # end_frame: 1000  # the last one, taken too
  scattering:
    wavevector_q: 0.0054  # 1/Å; wavevector_q_inverse_nm for 1/nm
"""
_GAP = """\
  geometry:
    stator_rotor_gap: 2000000  # Å; stator_rotor_gap_um for µm, stator_rotor_gap_nm for nm
"""
_MIDDLE = """\

experimental_data:
  file_path: maps.npz  # or .h5, .hdf5, .hdf, .nxs of APS and APS-U; beside this file
  # sigma: 0.01  # error of a point; far-lags estimates it of each angle

phi_filtering:
  enabled: false
  target_ranges:
    - {{min_angle: -10.0, max_angle: 10.0}}  # degrees, going up; 170 … -170 passes 180

model:
  shear_model: physical  # or homodyne-compat, whose shear rates are about 2.2 times larger
  integration: trapezoid  # or exact

initial_parameters:
  # values: without them, the best of 16 starts is taken
  #   D0: 1000.0
  fixed_parameters: {{}}  # gamma_dot_t_offset: 0.0

parameter_space:
  bounds:
"""
_TAIL = """\

optimization:
  method: nlsq  # or cmc, both
  nlsq:
    loss: linear  # or soft_l1, huber, cauchy
    per_angle_mode: auto  # individual, fourier, constant, averaged
    max_iterations: 1000
    enable_multi_start: false
    enable_cmaes: false
  cmc:
    max_points_per_shard: 100000
    per_shard_mcmc: {num_warmup: 500, num_samples: 1500, num_chains: 4}

output:
  directory: results
"""


def template(mode: str, name: str = "config.yaml") -> str:
    """A configuration that is valid as it stands."""
    bounds = "".join(
        f"    - {{name: {one.name}, min: {one.lower!r}, max: {one.upper!r}}}  # {one.unit or 'no unit'}\n"
        for one in physical(mode)
        if one.name in physical_names(mode)
    )
    gap = _GAP if mode == "laminar_flow" else ""
    return _HEAD.format(mode=mode, name=name) + gap + _MIDDLE.format() + bounds + _TAIL


def write(path: Path | None, mode: str, force: bool) -> str:
    """Write the template; its text where there is no path.

    Raises:
        UsageError: the file is there, or cannot be written.
    """
    text = template(mode, "config.yaml" if path is None else path.name)
    if path is None:
        return text
    if path.exists() and not force:
        raise UsageError(f"{path} exists", hint="--force writes over it")
    with published(path) as temporary:
        temporary.write_text(text, "utf-8")
    return text


def check(path: Path | None, as_json: bool) -> tuple[str, int]:
    """What is wrong with a configuration, what it lacks, what is not used, what nobody knows; and the exit code."""
    if path is None:
        raise UsageError("no file is given to check", hint="campaign xpcs config FILE --validate")
    notes: list[str] = []
    unknown: list[str] = []
    try:
        config = load_config(path)
        wrong = [str(one) for one in diagnostics_of(config)]
        notes, unknown = list(config.notes), list(config.unknown)
    except ManifestError as error:
        wrong = [str(one) for one in error.diagnostics]
    code = 3 if wrong or unknown else 0
    if as_json:
        document = {"valid": code == 0, "wrong": wrong, "unknown": unknown, "notes": notes}
        return json.dumps(document, indent=2, ensure_ascii=False), code
    lines = [*(f"error: {one}" for one in wrong), *(f"note: {one}" for one in notes)]
    lines.append(f"{path}: {'valid' if code == 0 else 'not valid'}")
    return "\n".join(lines), code
