"""Mass matrices in a file: what is read is what was written."""

import numpy as np
import pytest

from campaign.errors import DataFileError
from campaign_optics import Information, load_information, save_information

OWN = Information(
    names=("a", "b"),
    at=np.array([1.0, 2.0]),
    fisher=np.array([[4.0, 1.0], [1.0, 1.0]]),
    prior=np.array([0.0, 2.0]),
    typical=np.ones(2),
)


def test_round_trip(tmp_path):
    save_information(tmp_path / "a.npz", OWN)
    again = load_information(tmp_path / "a.npz")
    assert again.names == OWN.names
    assert all(
        np.array_equal(getattr(again, name), getattr(OWN, name)) for name in ("at", "fisher", "prior", "typical")
    )
    with np.load(tmp_path / "a.npz", allow_pickle=False) as archive:
        assert archive["inverse_mass_dense"] == pytest.approx(np.linalg.inv(OWN.fisher + np.diag(OWN.prior)), rel=1e-14)
        assert archive["inverse_mass_diagonal"] == pytest.approx([3.0 / 11.0, 4.0 / 11.0], rel=1e-14)


def test_another_file_is_refused(tmp_path):
    np.savez(tmp_path / "b.npz", x=np.ones(2))
    with pytest.raises(DataFileError, match="holds no information"):
        load_information(tmp_path / "b.npz")
