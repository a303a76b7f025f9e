"""What a manifest may not say about two-time maps: each finding has its place, the value, and what is valid."""

from __future__ import annotations

import pytest

from campaign.errors import ManifestError
from campaign.manifest.load import from_document
from campaign.schedule.planning import plan_stage

AT = "/stages/0/problem"
FILE = {"data": "maps.npz", "n_phi": 3}


def findings(folder, **problem) -> list[str]:
    """What planning says."""
    for name in ("maps.npz", "maps.tif"):
        (folder / name).write_bytes(b"")
    stage = {"name": "fit", "problem": {"name": "xpcs", **problem}, "engine": {"name": "varpro"}}
    loaded = from_document({"schema": "campaign/1", "name": "t", "stages": [stage]}, folder=folder)
    try:
        plan_stage(loaded.manifest, loaded.manifest.stages[0])
    except ManifestError as error:
        return [str(one) for one in error.diagnostics]
    return []


@pytest.mark.parametrize(
    ("problem", "place", "said"),
    [
        ({"mode": "laminer"}, "/mode", '"laminer" is not valid here; did you mean `laminar_flow`?'),
        ({"shear_model": "x"}, "/shear_model", "valid: `homodyne-compat`, `physical`"),
        ({"noise": 0.0}, "/noise", "0.0 (a number) is not valid: input should be greater than 0"),
        ({"first_frame": 0}, "/first_frame", "0 (a number) is not valid: input should be greater than or equal to 1"),
        ({"n_frames": 2}, "/n_frames", "input should be greater than or equal to 3"),
        ({"nose": 0.1}, "/nose", "unknown key `nose`; did you mean `noise`?"),
        ({"shard": 3, "n_shards": 2}, "", "there is no shard 3 of 2; valid: 0 to 1"),
        ({"q": 54.0}, "", "`q` is 54 1/Å; valid: 1e-05 to 1. Is the unit right?"),
        ({"gap": 200.0}, "", "`gap` is 200 Å; valid: 1000 to 1e+09. Is the unit right?"),
        ({"q_index": 1}, "", "`q_index` is 1, to choose from a file, and there is no `data`"),
        ({"sigma": 0.1}, "", "`sigma` is 0.1; simulated maps have the σ of their `noise` (0.01)"),
        ({"n_phi": 3, "phi_deg": [1.0, 2.0]}, "", "`n_phi` is 3, and `phi_deg` has 2"),
        ({"truth": {"D1": 1.0}}, "", "`truth` has `D1`, no parameter of `laminar_flow`; valid: `D0`"),
        ({"mode": "static_isotropic", "true_phi0": 1.0}, "", "`truth` has `phi0`, no parameter of `static_isotropic`"),
        ({**FILE, "true_D0": 5.0}, "", "`D0` of simulated maps, and the maps are those of `maps.npz`"),
        ({**FILE, "phi_deg": [1.0]}, "", "`phi_deg` of simulated maps"),
        ({"data": "maps.tif", "n_phi": 3}, "", "`data` is `maps.tif`, no kind of file that is known; valid: .h5"),
        ({"fixed_contrast": [0.3]}, "", "`fixed_contrast` and `fixed_offset` belong together: give both or neither"),
        (
            {"fixed_contrast": [0.3], "fixed_offset": [1.0]},
            "",
            '`fixed_contrast` has no effect on "individual" scaling; valid: "scaling": "fixed"',
        ),
        (
            {"scaling": "fixed", "fixed_contrast": [0.3, 0.3], "fixed_offset": [1.0]},
            "",
            "`fixed_contrast` has 2 numbers; valid: 1, or 10, one an angle",
        ),
        (
            {"marginal": True, "scaling": "fourier"},
            "",
            '`marginal` is for "individual" and "averaged" scaling, not "fourier"',
        ),
        (
            {"scaling": "fourier", "order": 3, "n_phi": 5},
            "",
            "a Fourier series of order 3 needs 7 angles, and there are 5",
        ),
        ({"bounds": {"D0": [5.0, 1.0]}}, "", "parameter `D0`: lower 5.0 is not below upper 1.0"),
        ({"bounds": {"D0": [1.0]}}, "", "bounds of `D0` are [1.0]; valid: two numbers, lower and upper"),
        ({"values": {"D0": 1.0}}, "", "initial 1.0 is out of bounds"),
        ({"fixed": ["D9"]}, "", "unknown parameter `D9`; valid: `D0`"),
        ({"priors": {"D0": {"normal": [1]}}}, "", "`normal` takes 2 numbers (mean, sd), not 1"),
        ({"priors": {"alpha": {"gamma": [1, 1]}}, "n_shards": 2}, "", "a `gamma` prior has no root of order 2"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, problem, place, said):
    (found,) = findings(tmp_path, **problem)
    assert found.startswith(f"{AT}{place}: ")
    assert said in found


@pytest.mark.parametrize(
    "problem",
    [
        {},
        {"mode": "static_isotropic", "truth": {"D0": 500.0, "contrast[2]": 0.2}},
        {"scaling": "fixed", "fixed_contrast": [0.3], "fixed_offset": [1.0]},
        {"marginal": True, "priors": "table", "n_shards": 4, "shard": 3},
    ],
)
def test_what_is_right_is_taken(tmp_path, problem):
    assert findings(tmp_path, **problem) == []
