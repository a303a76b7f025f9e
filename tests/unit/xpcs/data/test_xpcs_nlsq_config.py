"""Settings of fits: the document's YAML, every key; wrong values with their place."""

import pytest

from campaign.science import ManifestError, UsageError
from campaign_xpcs.data.cmaes_config import CMAESWrapperConfig
from campaign_xpcs.data.cmc_config import CMCConfig
from campaign_xpcs.data.nlsq_config import NLSQConfig
from campaign_xpcs.data.yaml_file import parse_yaml

DOCUMENT = """
optimization:
  nlsq:
    cmaes:
      enable: true                      # Enable CMA-ES global optimization
      preset: "cmaes"                   # "cmaes-fast", "cmaes", "cmaes-global"
      max_generations: 100              # Maximum CMA-ES generations
      sigma: 0.5                        # Initial step size (fraction of bounds)
      tol_fun: 1.0e-8                   # Function tolerance
      tol_x: 1.0e-8                     # Parameter tolerance
      restart_strategy: "bipop"         # "none" or "bipop"
      max_restarts: 9                   # Maximum BIPOP restarts
      population_batch_size: null       # null = auto, or explicit batch size
      data_chunk_size: null             # null = auto, or explicit chunk size
      refine_with_nlsq: true            # Refine with NLSQ TRF after CMA-ES
      auto_select: true                 # Auto-select CMA-ES vs multi-start
      scale_threshold: 1000.0           # Scale ratio threshold for auto-selection
      memory_limit_gb: 8.0              # Memory limit for auto-configuration

      # NLSQ TRF Refinement Settings
      refinement_workflow: "auto"       # "auto", "standard", "streaming"
      refinement_ftol: 1.0e-10          # Tighter for local refinement
      refinement_xtol: 1.0e-10
      refinement_gtol: 1.0e-10
      refinement_max_nfev: 500          # Bounded iterations
      refinement_loss: "linear"         # "linear", "soft_l1", "huber"
"""  # design document, section 3


def section(text=DOCUMENT):
    return parse_yaml(text)["optimization"]["nlsq"]


def test_the_yaml_of_the_document_is_our_defaults_and_every_key_is_used():
    config = NLSQConfig.from_dict(section(), strict=True)
    assert config.notes == ()
    assert config.enable_cmaes
    assert config.cmaes == CMAESWrapperConfig(max_generations=100)
    assert config.cmaes.generations == CMAESWrapperConfig().generations == 100
    assert CMAESWrapperConfig.from_nlsq_config(config) is config.cmaes


@pytest.mark.parametrize(
    ("key", "value", "of_cmaes"),
    [
        ("preset", "cmaes-global", True),
        ("max_generations", 7, True),
        ("sigma", 0.25, True),
        ("tol_fun", 1e-6, True),
        ("tol_x", 1e-5, True),
        ("restart_strategy", "none", True),
        ("max_restarts", 2, True),
        ("population_batch_size", 4, True),
        ("data_chunk_size", 1000, True),
        ("refine_with_nlsq", False, True),
        ("auto_select", False, True),
        ("scale_threshold", 10.0, True),
        ("memory_limit_gb", 2.0, True),
        ("refinement_workflow", "streaming", True),
        ("refinement_ftol", 1e-9, True),
        ("refinement_xtol", 1e-9, True),
        ("refinement_gtol", 1e-9, True),
        ("refinement_max_nfev", 50, True),
        ("refinement_loss", "huber", True),
    ],
)
def test_every_key_of_cmaes_arrives(key, value, of_cmaes):
    config = NLSQConfig.from_dict({"cmaes": {key: value}}, strict=True)
    assert getattr(config.cmaes, key) == value
    assert config == NLSQConfig.from_dict({f"cmaes_{key}": value}, strict=True)


@pytest.mark.parametrize(("preset", "generations"), [("cmaes-fast", 50), ("cmaes", 100), ("cmaes-global", 200)])
def test_presets(preset, generations):
    assert CMAESWrapperConfig(preset=preset).generations == generations
    assert CMAESWrapperConfig(preset=preset, max_generations=3).generations == 3


@pytest.mark.parametrize(
    ("keys", "field", "value"),
    [
        ({"per_angle_mode": "fourier"}, "per_angle_mode", "fourier"),
        ({"anti_degeneracy": {"per_angle_mode": "constant"}}, "per_angle_mode", "constant"),
        ({"fourier_order": 1}, "fourier_order", 1),
        ({"fourier_auto_threshold": 9}, "fourier_auto_threshold", 9),
        ({"use_adapter": False}, "use_adapter", False),
        ({"enable_multi_start": True}, "enable_multi_start", True),
        ({"multi_start": {"enable": True}}, "enable_multi_start", True),
        ({"hierarchical": {"enable": True}}, "enable_hierarchical", True),
        ({"hierarchical": {"max_outer_iterations": 3}}, "hierarchical_max_outer_iterations", 3),
        ({"anti_degeneracy": {"hierarchical": {"max_outer_iterations": 4}}}, "hierarchical_max_outer_iterations", 4),
        ({"regularization": {"mode": "absolute"}}, "regularization_mode", "absolute"),
        ({"regularization": {"lambda": 0.01}}, "group_variance_lambda", 0.01),
        ({"regularization": {"target_cv": 0.2}}, "regularization_target_cv", 0.2),
        ({"regularization": {"target_contrib": 0.3}}, "regularization_target_contribution", 0.3),
        ({"gradient_monitoring": {"ratio_threshold": 0.1}}, "gradient_ratio_threshold", 0.1),
        ({"gradient_monitoring": {"consecutive_triggers": 2}}, "gradient_consecutive_triggers", 2),
        ({"gradient_monitoring": {"response": "abort"}}, "gradient_collapse_response", "abort"),
        ({"shear_weighting": {"min_weight": 0.5}}, "shear_min_weight", 0.5),
        ({"shear_weighting": {"alpha": 2.0}}, "shear_alpha", 2.0),
        ({"shear_weighting": {"normalize": False}}, "shear_normalize", False),
        ({"tolerance": "1e-8"}, "ftol", 1e-8),
        ({"recovery": {"max_attempts": 2}}, "max_recovery_attempts", 2),
    ],
)
def test_every_other_key_of_the_document_arrives(keys, field, value):
    assert getattr(NLSQConfig.from_dict(keys, strict=True), field) == value


def test_a_key_that_is_not_used_is_named_with_the_reason():
    config = NLSQConfig.from_dict({"x_scale": "jac", "hybrid_streaming": {"chunk_size": 10}, "verbose": True})
    assert len(config.notes) == 3
    assert config.notes[0] == "optimization.nlsq.x_scale is not used: the solver scales the parameters itself"
    assert "hybrid_streaming.chunk_size is not used: there is one solver" in config.notes[1]


def test_an_unknown_key_is_named_with_the_nearest_valid_one():
    config = NLSQConfig.from_dict({"cmaes": {"sigmaa": 0.5}})
    assert config.notes == ("optimization.nlsq.cmaes.sigmaa is unknown and not used; did you mean `cmaes.sigma`?",)
    with pytest.raises(ManifestError, match=r"optimization\.nlsq\.cmaes\.sigmaa: unknown key"):
        NLSQConfig.from_dict({"cmaes": {"sigmaa": 0.5}}, strict=True)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"cmaes": {"sigma": 3}}, r"optimization\.nlsq\.cmaes\.sigma: the value is 3; valid: less than or equal to 1"),
        ({"cmaes": {"preset": "fast"}}, r"cmaes\.preset: the value is 'fast'; valid: 'cmaes-fast', 'cmaes' or"),
        ({"tolerance": "small"}, r"optimization\.nlsq\.tolerance: the value is 'small'"),
        ({"tolerance": 1e-3, "ftol": 1e-4}, r"ftol: the value is 0\.0001, and `optimization\.nlsq\.tolerance` says"),
        ({"loss": "arctan"}, r"loss: the value is 'arctan'; valid: 'linear', 'soft_l1', 'huber' or 'cauchy'"),
        ({"max_iterations": 0}, r"max_iterations: the value is 0; valid: greater than or equal to 1"),
        ({"ftol": float("nan")}, r"ftol: the value is nan"),
    ],
)
def test_a_wrong_value_is_an_error_with_place_and_value(keys, message):
    with pytest.raises(ManifestError, match=message):
        NLSQConfig.from_dict(keys)


def test_groups_that_are_empty_say_nothing():
    assert NLSQConfig.from_dict({"cmaes": {}, "multi_start": None}, strict=True) == NLSQConfig()


def test_from_yaml(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(DOCUMENT)
    assert NLSQConfig.from_yaml(path) == NLSQConfig.from_dict(section())
    path.write_text("a: 1\n")
    with pytest.raises(UsageError, match=r"no section `optimization\.nlsq`"):
        NLSQConfig.from_yaml(path)
    with pytest.raises(UsageError, match=r"absent\.yaml cannot be read"):
        NLSQConfig.from_yaml(tmp_path / "absent.yaml")


def test_none_of_the_layers_is_on_by_default():
    config = NLSQConfig()
    layers = ("hierarchical", "regularization", "gradient_monitoring", "shear_weighting")
    assert not any(getattr(config, f"enable_{layer}") for layer in layers)
    assert not config.enable_cmaes
    assert not config.enable_multi_start


def test_what_does_not_go_together_is_said():
    assert NLSQConfig().validate_config() == []
    assert "already shares" in NLSQConfig(enable_regularization=True, per_angle_mode="averaged").validate_config()[0]


@pytest.mark.parametrize(
    ("keys", "field", "value"),
    [
        ({"num_shards": "auto"}, "num_shards", None),
        ({"sharding": {"num_shards": 4}}, "num_shards", 4),
        ({"sharding": {"strategy": "stratified"}}, "sharding_strategy", "stratified"),
        ({"per_shard_mcmc": {"num_samples": 10}}, "num_samples", 10),
        ({"validation": {"max_per_shard_rhat": 1.2}}, "max_rhat", 1.2),
        ({"min_success_rate": 0.5}, "min_success_rate", 0.5),
        ({"allow_mode_mismatch": True}, "allow_mode_mismatch", True),
    ],
)
def test_keys_of_consensus_monte_carlo(keys, field, value):
    assert getattr(CMCConfig.from_dict(keys, strict=True), field) == value


def test_consensus_monte_carlo_names_what_it_does_not_use():
    config = CMCConfig.from_dict({"backend": "jax", "combination": {"method": "weighted_gaussian"}, "shards": 3})
    assert [note.split(" is ")[1].split(":")[0].split(" and")[0] for note in config.notes] == [
        "not used",
        "not used",
        "unknown",
    ]


def test_parts_that_should_be_stratified_are_said_to_be_random():
    from campaign_xpcs.data.cmc_config import CMCConfig

    notes = CMCConfig.from_dict({"sharding": {"strategy": "stratified"}}).notes
    assert any("parts are random all the same" in note for note in notes)
    assert CMCConfig.from_dict({"sharding": {"strategy": "random"}}).notes == ()
