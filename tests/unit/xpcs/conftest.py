"""Equations are tested in float64, as workers compute them."""

import pytest

from campaign.science import start_jax


@pytest.fixture(scope="session", autouse=True)
def float64():
    start_jax()
