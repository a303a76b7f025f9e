"""Makes `planting` importable: campaign directories for tests, as the run wing leaves them."""

import sys

import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")  # arrays of unlike rank added together are mostly mistakes
pytest_plugins = ["infrastructure"]
LONGEST_FIRST = (  # files of minutes: whoever begins one of them last keeps all others waiting
    *("test_cluster_chaos", "test_slurm", "test_cosmology_fits", "test_slurm_site", "test_slurm_drivers"),
    *("test_docs", "test_any_model", "test_retry", "test_succession", "test_cosmology_campaigns", "test_cli"),
    *("test_more_wild", "test_damage", "test_phases", "test_kill", "test_foreign_templates", "test_cosmology_cli"),
    *("test_ensemble", "test_hard_problems", "test_row_blocks", "test_other_queues", "test_extend", "test_same_table"),
    *("test_words", "test_engines", "test_host_engines", "test_host_engines_scipy", "test_trf", "test_lanes"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Several processes share the tests file by file: long files first, the others in their order."""
    places = {name: place for place, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


@pytest.fixture(scope="module", autouse=True)
def no_programs_left():
    """Compiled programs of a module's tests go with it: all together would exceed what a process may map (65,530)."""
    yield
    if "campaign.work.compiling" in sys.modules:
        sys.modules["campaign.work.compiling"].forget_programs()
    elif "jax" in sys.modules:
        sys.modules["jax"].clear_caches()
