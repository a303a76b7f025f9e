"""Configurations as homodyne writes them: every key is used, or named as not used, or as unknown."""

import copy

import pytest

from campaign.science import ManifestError, UsageError
from campaign_xpcs.data.sections import flattened
from campaign_xpcs.data.yaml_config import diagnostics_of, load_config, parse_config
from campaign_xpcs.data.yaml_file import parse_yaml, read_yaml

HOMODYNE = """
metadata: {config_version: "2.4.1", description: "a flow", analysis_mode: laminar_flow, parameter_count: 7}
analysis_mode: laminar_flow
analyzer_parameters:
  dt: 0.1
  start_frame: 1000
  end_frame: 2000
  scattering: {wavevector_q: 0.0054}
  geometry: {stator_rotor_gap: 2000000}
analysis_settings: {static_mode: false, model_description: {type: flow, parameters: 7}}
experimental_data:
  data_folder_path: "./data/"
  data_file_name: "experiment.hdf"
  phi_angles_path: "./data/"
  phi_angles_file: "phi.txt"
  cache_file_path: "./data/"
  cache_filename_template: "cached.npz"
  cache_compression: true
  data_type: float64
  file_format: HDF5
  exchange_key: exchange
phi_filtering:
  enabled: true
  target_ranges:
    - {min_angle: -10.0, max_angle: 10.0, description: "along"}
    - {min_angle: 170.0, max_angle: -170.0}
  fallback_to_all_angles: true
  algorithm: range_based
  tolerance: 3.0
  quality_control: {min_angles_required: 1}
initial_parameters:
  parameter_names: [D0, alpha, D_offset, gamma_dot_0, beta, gamma_dot_offset, phi_0]
  values: [1000.0, -1.2, 0.0, 1e-2, 0.0, 0.0, 0.0]
  per_angle_scaling: {contrast: null, offset: null}
  units: [a, b]
  active_parameters: null
  fixed_parameters: {beta: 0.0}
parameter_space:
  model: laminar_flow
  bounds:
    - {name: D0, min: 100.0, max: 1e5, type: TruncatedNormal, prior_mu: 1000.0, prior_sigma: 1000.0, unit: x}
    - {name: alpha, min: -2.0, max: 2.0}
  priors: null
optimization:
  method: nlsq
  nlsq: {max_iterations: 100, tolerance: 1e-8, trust_region_scale: 1.0, verbose: false, loss: soft_l1,
         x_scale_map: {D0: 1.2}, shear_transforms: {enabled: false}, diagnostics: {enabled: false}}
  mcmc: {num_warmup: 500}
  streaming: {enable_checkpoints: true}
  cmc: {backend: jax, per_shard_timeout: 7200, per_shard_mcmc: {num_samples: 1500}}
noise_estimation: {enabled: false}
performance: {strategy_override: null, computation: {enable_jit: true}}
logging: {enabled: true, modules: {"a.b": INFO}}
quality_control: {enabled: false}
plotting: {save_plots: true}
output: {directory: "./results", formats: {json: true}}
"""  # the keys of homodyne's template of laminar flow, with values of our own


def changed(place, value):
    document = copy.deepcopy(parse_yaml(HOMODYNE))
    *path, last = place.split(".")
    here = document
    for part in path:
        here = here.setdefault(part, {})
    if value is None:
        here.pop(last, None)
    else:
        here[last] = value
    return document


def test_a_configuration_of_homodyne_is_read(tmp_path):
    config = parse_config(parse_yaml(HOMODYNE), folder=tmp_path, strict=True)
    assert config.unknown == ()
    assert (config.dt_s, config.q, config.gap) == (0.1, 0.0054, 2e6)
    assert (config.start_frame, config.end_frame) == (1000, 2000)
    assert config.data_path == tmp_path / "data" / "experiment.hdf"
    assert config.angle_ranges == ((-10.0, 10.0), (170.0, -170.0))
    assert config.parameters.values == {
        "D0": 1000.0, "alpha": -1.2, "D_offset": 0.0, "gamma_dot_t0": 0.01, "beta": 0.0, "gamma_dot_t_offset": 0.0,
        "phi0": 0.0,
    }  # fmt: skip
    assert config.parameters.held == ("beta",)
    assert config.parameters.bounds == {"D0": (100.0, 1e5), "alpha": (-2.0, 2.0)}
    assert config.parameters.priors == {"D0": (1000.0, 1000.0)}
    assert config.optimization.nlsq.loss == "soft_l1"
    assert config.optimization.nlsq.ftol == 1e-8
    assert config.optimization.cmc.num_samples == 1500
    assert config.optimization.method == "nlsq"
    assert config.shear_model == "physical"
    assert diagnostics_of(config) == []


def test_every_key_is_used_or_named():
    document = parse_yaml(HOMODYNE)
    config = parse_config(document)
    said = " ".join(config.notes)
    for part in ("metadata", "logging", "plotting", "performance", "cache_file_path", "x_scale_map", "backend"):
        assert part in said
    assert "gamma_dot_0 is read as gamma_dot_t0" in said
    assert "model.shear_model is not given: physical" in said
    assert len(flattened(document)) > 60


def test_both_ends_of_the_frames_are_taken():
    """0.14: the last frame off by one."""
    config = parse_config(parse_yaml(HOMODYNE))
    assert config.n_frames == 1001
    assert parse_config(changed("analyzer_parameters.end_frame", 1002)).n_frames == 3
    assert parse_config(changed("analyzer_parameters.end_frame", None)).n_frames is None


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("analysis_mode", "laminar", r"analysis_mode: the value is 'laminar'; did you mean `laminar_flow`\?"),
        ("analyzer_parameters.dt", 0, r"analyzer_parameters\.dt: the value is 0; valid: a number above 0"),
        ("analyzer_parameters.dt", "fast", r"analyzer_parameters\.dt: the value is 'fast'"),
        ("analyzer_parameters.dt", float("inf"), r"analyzer_parameters\.dt: the value is inf"),
        ("analyzer_parameters.start_frame", 0, r"start_frame: the value is 0; valid: a whole number, at least 1"),
        ("analyzer_parameters.end_frame", 1001, r"end_frame: the value is 1001; valid: at least 1002, 3 frames"),
        (
            "analyzer_parameters.scattering.wavevector_q",
            54.0,
            r"wavevector_q: q is 54 1/Å; valid: 1e-05 to 1 1/Å",
        ),
        (
            "analyzer_parameters.geometry.stator_rotor_gap",
            200,
            r"stator_rotor_gap: gap is 200 Å; valid: 1000 to",
        ),
        ("analyzer_parameters.geometry.stator_rotor_gap_um", 200, r"`stator_rotor_gap` says it too"),
        ("experimental_data.file_path", 3, r"file_path: the value is 3; valid: text"),
        ("initial_parameters.values", [1.0], r"values: 1 values for 7 names"),
        ("initial_parameters.fixed_parameters", {"betta": 0}, r"unknown parameter `betta`; did you mean `beta`\?"),
        ("parameter_space.bounds", [{"name": "D0", "min": 3, "max": 2}], r"bounds\[0\]\.max: the value is 2"),
        ("parameter_space.bounds", [{"name": "D0", "min": 2e3, "max": 1e4}], r"values\.D0: the value is 1000; valid"),
        ("optimization.nlsq.loss", "square", r"optimization\.nlsq\.loss: the value is 'square'"),
        ("optimization.nlsq", 3, r"optimization\.nlsq: the value is 3; valid: a mapping"),
        ("optimization.method", "vi", r"optimization\.method: the value is 'vi'"),
        ("phi_filtering.target_ranges", [[0, "x"]], r"target_ranges\[0\]\.max_angle: the value is 'x'"),
    ],
)
def test_a_wrong_value_is_an_error_with_place_and_value(place, value, message):
    with pytest.raises(ManifestError, match=message):
        parse_config(changed(place, value))


@pytest.mark.parametrize(
    ("unit", "value", "gap"), [("stator_rotor_gap_um", 200, 2e6), ("stator_rotor_gap_nm", 2e5, 2e6)]
)
def test_units_stand_in_the_key(unit, value, gap):
    document = changed("analyzer_parameters.geometry", {unit: value})
    assert parse_config(document).gap == pytest.approx(gap, rel=1e-15)


def test_all_that_is_wrong_is_said_at_once():
    document = changed("analyzer_parameters.dt", -1)
    document["optimization"]["nlsq"]["loss"] = "square"
    with pytest.raises(ManifestError) as error:
        parse_config(document)
    assert len(error.value.diagnostics) == 2


def test_an_unknown_key_is_named_with_the_nearest_valid_one():
    document = changed("analyzer_parameters.start_frme", 3)
    config = parse_config(document)
    assert config.unknown == ("analyzer_parameters.start_frme",)
    assert any("did you mean `analyzer_parameters.start_frame`?" in note for note in config.notes)
    with pytest.raises(ManifestError, match=r"unknown key `start_frme`"):
        parse_config(document, strict=True)
    assert parse_config(changed("optimization.nlsq.los", 3)).unknown == ("optimization.nlsq.los",)


@pytest.mark.parametrize(
    ("place", "lacks"),
    [
        ("analyzer_parameters.dt", "analyzer_parameters.dt"),
        ("experimental_data.data_file_name", "experimental_data.file_path"),
        ("analyzer_parameters.geometry", "analyzer_parameters.geometry.stator_rotor_gap"),
    ],
)
def test_what_a_fit_needs_and_is_not_there_is_named(place, lacks):
    """0.14: dt missing is never guessed, and the distance of the detector is not the gap."""
    document = changed(place, None)
    document["experimental_data"]["sample_detector_distance"] = 5e6
    config = parse_config(document)
    assert [found.place for found in diagnostics_of(config)] == [lacks]


def test_static_modes():
    for given, mode in (("static", "static_isotropic"), ("static_anisotropic", "static_anisotropic")):
        config = parse_config(changed("analysis_mode", given))
        assert config.analysis_mode == mode
        assert config.gap is None
        assert set(config.parameters.values) == {"D0", "alpha", "D_offset"}
        assert any("gamma_dot_t0 is no parameter of this mode" in note for note in config.notes)
    assert any(
        "static is read as static_isotropic" in n for n in parse_config(changed("analysis_mode", "static")).notes
    )


def test_a_file_is_plain_data(tmp_path):
    path = tmp_path / "config.yaml"
    for text, message in (
        ("a: !!python/object/apply:os.system ['true']", "could not determine a constructor"),
        ("a: 1\na: 2\n", "`a` stands twice"),
        ("- 1\n", "holds a list; valid: keys with values"),
        ("", "the file is empty"),
        ("a: [1\n", "line"),
    ):
        path.write_text(text)
        with pytest.raises(ManifestError, match=message):
            read_yaml(path)
    path.write_text(HOMODYNE)
    assert load_config(path).data_path == tmp_path / "data" / "experiment.hdf"
    with pytest.raises(UsageError, match="cannot be read"):
        load_config(tmp_path / "absent.yaml")
