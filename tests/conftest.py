"""Makes `planting` importable: campaign directories for tests, as the run wing leaves them."""

import sys

import pytest

pytest_plugins = ["infrastructure"]


@pytest.fixture(scope="module", autouse=True)
def no_programs_left():
    """Compiled programs of a module's tests go with it: all together would exceed what a process may map (65,530)."""
    yield
    if "campaign.work.compiling" in sys.modules:
        sys.modules["campaign.work.compiling"].forget_programs()
    elif "jax" in sys.modules:
        sys.modules["jax"].clear_caches()
