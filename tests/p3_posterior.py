"""P3: the two-layer model on synthetic annual temperatures, three parameters; for tests and benchmarks."""

from pathlib import Path
from typing import Any

DATA = Path(__file__).parent / "oracle" / "data" / "climate" / "p3_target.csv"
FIXED = {"efficacy": 1.3, "heat_capacity_deep": 100.0}
OPTIONS: dict[str, Any] = {  # of the problem `two-layer`, beside a copy of the data
    "observations": [],
    "observation_files": [DATA.name],
    "reference": {"Surface Temperature": [1850.0, 1900.0]},
    "priors": {
        "lambda0": {"bound": {"of": {"normal": [1.2, 0.4]}, "lower": 0.3, "upper": 3.0}},
        "eta": {"uniform": [0.2, 1.6]},
        "heat_capacity_surface": {"uniform": [2.0, 20.0]},
    },
}
