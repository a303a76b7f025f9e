"""Files for GetDist: what is written is what was drawn, to the last bit, one file an independent ensemble."""

import numpy as np

from campaign.analysis.chain import Chain


def test_files_hold_the_draws(tmp_path):
    rng = np.random.default_rng(3)
    samples, log_probs = rng.normal(size=(50, 4, 2)), rng.normal(size=(50, 4))
    chain = Chain(samples=samples, log_probs=log_probs, names=("H0", "Om0"), n_ensembles=2)
    files = chain.to_getdist(tmp_path / "mine", discard=10)
    assert [file.name for file in files] == ["mine.paramnames", "mine_1.txt", "mine_2.txt"]
    assert (tmp_path / "mine.paramnames").read_text().split() == ["H0", "H0", "Om0", "Om0"]
    second = np.loadtxt(tmp_path / "mine_2.txt")
    assert (second[:, 0] == 1).all()
    np.testing.assert_array_equal(second[:, 1], -log_probs[10:, 2:].ravel())
    np.testing.assert_array_equal(second[:, 2:], samples[10:, 2:].reshape(-1, 2))


def test_blinded_parameters_say_so_in_labels_and_above_the_draws(tmp_path):
    rng = np.random.default_rng(4)
    given = {"samples": rng.normal(size=(9, 2, 2)), "log_probs": rng.normal(size=(9, 2)), "names": ("H0", "Om0")}
    Chain(**given, units=("km/s/Mpc, blinded", "")).to_getdist(tmp_path / "shown")
    assert (tmp_path / "shown.paramnames").read_text() == "H0 H0\\ \\mathrm{(blinded)}\nOm0 Om0\n"
    assert (tmp_path / "shown_1.txt").read_text().splitlines()[0] == "# blinded, shown shifted: H0"
    np.testing.assert_array_equal(np.loadtxt(tmp_path / "shown_1.txt")[:, 2:], given["samples"].reshape(-1, 2))
    tree = Chain(**given, units=("km/s/Mpc, blinded", "blinded")).to_inference_data()
    assert tree["posterior"].attrs["blinded"] == "H0, Om0"
    assert "blinded" not in Chain(**given, units=("km/s/Mpc", "")).to_inference_data()["posterior"].attrs
