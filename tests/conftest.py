"""Makes `planting` importable: campaign directories for tests, as the run wing leaves them."""

pytest_plugins = ["infrastructure"]
