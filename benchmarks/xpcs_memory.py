"""Memory of one fit of two-time maps from three sources: 23 angles, 53 parameters, 1 to 23 million points.

    python benchmarks/xpcs_memory.py [--frames 295 590 1180 1415] [--only resident chunked streamed] [--out FILE.json]

    resident   the maps are read whole, and their pairs i < j stay in memory
    chunked    row blocks of 32,768 pairs are read from an .npy file, pass after pass
    streamed   row blocks of 50,000 pairs are read from HDF5, pass after pass

The engine is one, `varpro`, with the same options but the block's length. No block but the smallest files' has pairs of
every angle, and the last one is ragged. Each fit is a process of its own. Memory is the largest resident set above that
after the imports, looked at every 20 ms; files are read with plain reads, so that the page cache is no part of it.
"Flat" is the largest resident set of the last third of the fit over that of the second one; compiling is in the first.
A peak is predicted by `campaign_xpcs.data.held`. χ² of the three has to be equal to 1e-8, identified parameters to 1e-4
standard errors.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from campaign_xpcs.data.held import predicted

N_PHI = 23
Q, GAP, DT, SIGMA = 0.0054, 2.0e6, 0.1, 0.01
TRUTH = (2000.0, -0.3, 100.0, 2e-3, -0.2, 1e-4, -5.0)
CHILD = """
import json, sys, threading, time
import numpy as np
from campaign.science import fit, start_jax
start_jax()
import jax, jax.numpy as jnp
jax.block_until_ready(jnp.ones(3) + 1)
from campaign_xpcs.data.maps import two_time_maps
from campaign_xpcs.data.stored_maps import stored_maps
from campaign_xpcs.model.problem import two_time_problem

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

folder, source = sys.argv[1:]
about = json.loads(open(folder + "/about.json").read())
base, seen, begun = resident(), [], time.perf_counter()

def watch():
    while True:
        seen.append((time.perf_counter() - begun, resident()))
        time.sleep(0.02)

threading.Thread(target=watch, daemon=True).start()
cpu = time.process_time()
given = {name: about[name] for name in ("phi_deg", "q", "gap", "dt_s", "sigma")}
if source == "resident":
    maps, options = two_time_maps(np.load(folder + "/maps.npy"), **given), {}
elif source == "chunked":
    maps, options = stored_maps(folder + "/maps.npy", **given), {}
else:
    maps = stored_maps(folder + "/maps.h5", keys=about["keys"], **given)
    options = {"chunk": 50_000}
problem = two_time_problem(maps, shear_model="homodyne-compat", values=about["values"])
n = maps.n_rows
del maps
built = time.perf_counter() - begun
found = fit(problem, "varpro", engine_options=options)
ended = time.perf_counter() - begun
cpu = time.process_time() - cpu
rss = np.array(seen)
third = (ended - built) / 3.0
early = rss[(rss[:, 0] > built + third) & (rss[:, 0] < ended - third), 1].max()
late = rss[rss[:, 0] > ended - third, 1].max()
print(json.dumps({
    "source": source, "points": n, "chi2": found.metric["chi2"], "outcome": found.outcome, "n_steps": found.n_steps,
    "theta": found.theta, "stderr": found.stderr, "unidentified": found.unidentified, "cpu_s": cpu,
    "peak_mb": (rss[:, 1].max() - base) / 1e6, "imports_mb": base / 1e6, "flat": late / early,}))
"""


def write_maps(folder: Path, n: int) -> None:
    """The maps of the golden numbers' kind, an angle at a time, as .npy and as upper halves in HDF5."""
    import h5py

    times, phi = np.arange(n) * DT, np.linspace(-180.0, 180.0, N_PHI, endpoint=False)
    t, rng = np.maximum(times, DT / 2), np.random.default_rng(20240 + n)
    rates = TRUTH[0] * t ** TRUTH[1] + TRUTH[2], TRUTH[3] * t ** TRUTH[4] + TRUTH[5]
    damping, strain = (np.concatenate([[0.0], np.cumsum(0.5 * (f[1:] + f[:-1]))]) * DT for f in rates)
    far = np.exp(-(Q**2) * np.abs(damping[:, None] - damping[None]))
    own = np.lib.format.open_memmap(folder / "maps.npy", mode="w+", dtype=np.float64, shape=(N_PHI, n, n))
    with h5py.File(folder / "maps.h5", "w") as file:
        for k, angle in enumerate(np.deg2rad(phi)):
            x = 0.5 / np.pi * Q * GAP * np.cos(np.deg2rad(TRUTH[6]) - angle) * (strain[:, None] - strain[None])
            noise = np.triu(SIGMA * rng.standard_normal((n, n)))
            c2 = 1.0 + 0.02 * np.cos(angle) + 0.3 * (1 + 0.1 * np.sin(2 * angle + 0.3)) * far * np.sinc(x / np.pi) ** 4
            own[k] = c2 + noise + np.triu(noise, 1).T
            file[f"c2_{k}"] = np.triu(own[k])
    own.flush()
    names = ("D0", "alpha", "D_offset", "gamma_dot_t0", "beta", "gamma_dot_t_offset", "phi0")
    about = {"phi_deg": phi.tolist(), "q": Q, "gap": GAP, "dt_s": DT, "sigma": SIGMA}
    about |= {"values": dict(zip(names, TRUTH, strict=True)), "keys": [f"c2_{k}" for k in range(N_PHI)]}
    (folder / "about.json").write_text(json.dumps(about))


def measured(folder: Path, source: str) -> dict:
    """One fit in a process of its own."""
    command = [sys.executable, "-c", CHILD, str(folder), source]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{source} ended with {done.returncode}: {done.stderr[-2000:]}")
    found = json.loads(done.stdout.splitlines()[-1])
    held = "memory" if source == "resident" else "file"
    return found | {"predicted_mb": predicted(held, found["points"]) / 1e6}


def compared(rows: list[dict]) -> dict:
    """How far fits of one file are apart: χ², relative, and identified parameters in standard errors."""
    first, apart, chi2 = rows[0], 0.0, 0.0
    for row in rows[1:]:
        chi2 = max(chi2, abs(row["chi2"] / first["chi2"] - 1))
        known = [name for name in first["stderr"] if name not in first["unidentified"]]
        steps = [abs(row["theta"][name] - first["theta"][name]) / first["stderr"][name] for name in known]
        apart = max(apart, *steps)
    return {"points": first["points"], "chi2_apart": chi2, "parameters_apart_se": apart}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, nargs="+", default=[295, 590, 1180, 1415])
    parser.add_argument("--only", nargs="+", default=["resident", "chunked", "streamed"])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    fits, equal = [], []
    for n in options.frames:
        with tempfile.TemporaryDirectory(prefix="campaign-xpcs-") as name:
            write_maps(Path(name), n)
            own = [measured(Path(name), source) for source in options.only]
        equal.append(compared(own))
        for row in own:
            fits.append({k: v for k, v in row.items() if k not in ("theta", "stderr")})
            print(json.dumps(fits[-1]), flush=True)
        print(json.dumps(equal[-1]), flush=True)
        if options.out:
            machine = {"python": platform.python_version(), "processors": os.cpu_count(), "load": os.getloadavg()[0]}
            document = {"angles": N_PHI, "parameters": 2 * N_PHI + 7, "fits": fits, "equal": equal, "machine": machine}
            options.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
