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
