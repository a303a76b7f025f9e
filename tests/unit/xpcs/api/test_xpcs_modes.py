"""Modes of contrast and offset: the table of the document and of homodyne."""

import pytest

from campaign_xpcs.api.modes import scaling_of
from campaign_xpcs.data.nlsq_config import NLSQConfig


@pytest.mark.parametrize(
    ("settings", "n_phi", "name"),
    [
        ({}, 1, "individual"),
        ({}, 23, "individual"),
        ({"compat": "document"}, 6, "individual"),
        ({"compat": "document"}, 7, "fourier"),
        ({"compat": "document", "fourier_auto_threshold": 9}, 7, "individual"),
        ({"per_angle_mode": "individual", "compat": "document"}, 23, "individual"),
        ({"per_angle_mode": "fourier"}, 5, "fourier"),
        ({"per_angle_mode": "constant"}, 23, "fixed"),
        ({"per_angle_mode": "auto_averaged"}, 23, "averaged"),
        ({"per_angle_mode": "averaged"}, 23, "averaged"),
        ({"per_angle_scaling": False}, 23, "averaged"),
    ],
)
def test_modes(settings, n_phi, name):
    found = scaling_of(NLSQConfig(**settings), n_phi)
    assert found.name == name
    assert found.reason
