"""Priors: the distributions that sample an axis of a manifest and weigh a parameter of a problem.

One value, two faces: `ppf` (NumPy/SciPy, for designs: no JAX) and `log_density` (array-namespace generic, for engines).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from campaign.errors import InvalidValue, UnknownName, nearest

_ARITY = {
    "uniform": ("low", "high"),
    "log_uniform": ("low", "high"),
    "normal": ("mean", "sd"),
    "log_normal": ("mean_log", "sd_log"),
    "truncated_normal": ("mean", "sd", "low", "high"),
    "beta": ("a", "b"),
    "gamma": ("shape", "rate"),
    "exponential": ("rate",),
    "cauchy": ("location", "scale"),
    "half_normal": ("sd",),
    "half_cauchy": ("scale",),
    "student_t": ("df", "location", "scale"),
}


@dataclass(frozen=True, slots=True)
class Prior:
    """A univariate distribution by kind and numbers, hashable and comparable.

    Args:
        kind: one of `KINDS`.
        numbers: its numbers, in the order of `KINDS[kind]`.

    Checked: tests/oracle/test_priors.py against scipy.stats.
    """

    kind: str
    numbers: tuple[float, ...]

    def __post_init__(self) -> None:
        if self.kind not in _ARITY:
            raise UnknownName(f"unknown distribution `{self.kind}`", hint=nearest(self.kind, _ARITY))
        wanted = _ARITY[self.kind]
        if len(self.numbers) != len(wanted):
            raise InvalidValue(
                f"`{self.kind}` takes {len(wanted)} numbers ({', '.join(wanted)}), not {len(self.numbers)}"
            )
        if not all(isinstance(v, (int, float)) and not isinstance(v, bool) and math.isfinite(v) for v in self.numbers):
            raise InvalidValue(f"`{self.kind}` takes finite numbers, not {list(self.numbers)}")
        fields = dict(zip(wanted, self.numbers, strict=True))
        if "low" in fields and not fields["low"] < fields["high"]:
            raise InvalidValue(f"`{self.kind}` needs low < high, not {fields['low']} and {fields['high']}")
        if self.kind == "log_uniform" and fields["low"] <= 0:
            raise InvalidValue(f"`log_uniform` needs low > 0, not {fields['low']}")
        for positive in ("sd", "sd_log", "scale", "rate", "shape", "a", "b", "df"):
            if positive in fields and fields[positive] <= 0:
                raise InvalidValue(f"`{self.kind}` needs {positive} > 0, not {fields[positive]}")

    def frozen(self) -> Any:
        """The same distribution as a frozen `scipy.stats` one."""
        from scipy import stats

        n = self.numbers
        match self.kind:
            case "uniform":
                return stats.uniform(n[0], n[1] - n[0])
            case "log_uniform":
                return stats.loguniform(n[0], n[1])
            case "normal":
                return stats.norm(n[0], n[1])
            case "log_normal":
                return stats.lognorm(n[1], scale=math.exp(n[0]))
            case "truncated_normal":
                return stats.truncnorm((n[2] - n[0]) / n[1], (n[3] - n[0]) / n[1], n[0], n[1])
            case "beta":
                return stats.beta(n[0], n[1])
            case "gamma":
                return stats.gamma(n[0], scale=1 / n[1])
            case "exponential":
                return stats.expon(scale=1 / n[0])
            case "cauchy":
                return stats.cauchy(n[0], n[1])
            case "half_normal":
                return stats.halfnorm(scale=n[0])
            case "half_cauchy":
                return stats.halfcauchy(scale=n[0])
            case _:
                return stats.t(n[0], n[1], n[2])

    def ppf(self, q: Any) -> Any:
        """Inverse cumulative distribution at q in (0, 1), vectorised."""
        return self.frozen().ppf(q)

    @property
    def support(self) -> tuple[float, float]:
        """Smallest and largest value with non-zero density."""
        match self.kind:
            case "uniform" | "log_uniform":
                return self.numbers[0], self.numbers[1]
            case "truncated_normal":
                return self.numbers[2], self.numbers[3]
            case "beta":
                return 0.0, 1.0
            case "log_normal" | "gamma" | "exponential" | "half_normal" | "half_cauchy":
                return 0.0, math.inf
            case _:
                return -math.inf, math.inf

    def log_density(self, x: Any) -> Any:
        """Normalised log density at x (a JAX value); −inf outside the support and where a density has its poles."""
        import jax.numpy as jnp
        from jax.scipy import stats

        n = self.numbers
        match self.kind:
            case "uniform":
                inside = -math.log(n[1] - n[0]) + 0.0 * x
            case "log_uniform":
                inside = -jnp.log(jnp.where(x > 0, x, 1.0)) - math.log(math.log(n[1] / n[0]))
            case "normal":
                inside = stats.norm.logpdf(x, n[0], n[1])
            case "log_normal":
                safe = jnp.where(x > 0, x, 1.0)
                inside = stats.norm.logpdf(jnp.log(safe), n[0], n[1]) - jnp.log(safe)
            case "truncated_normal":
                inside = stats.norm.logpdf(x, n[0], n[1]) - _log_mass(*n)
            case "beta":
                safe = jnp.where((x > 0) & (x < 1), x, 0.5)
                inside = stats.beta.logpdf(safe, n[0], n[1])
            case "gamma":
                safe = jnp.where(x > 0, x, 1.0)
                inside = stats.gamma.logpdf(safe, n[0], scale=1 / n[1])
            case "exponential":
                inside = math.log(n[0]) - n[0] * x
            case "cauchy":
                inside = stats.cauchy.logpdf(x, n[0], n[1])
            case "half_normal":
                inside = math.log(2.0) + stats.norm.logpdf(x, 0.0, n[0])
            case "half_cauchy":
                inside = math.log(2.0) + stats.cauchy.logpdf(x, 0.0, n[0])
            case _:
                inside = stats.t.logpdf(x, n[0], n[1], n[2])
        low, high = self.support
        if self.kind in ("log_normal", "beta", "gamma"):
            return jnp.where((x > low) & (x < high), inside, -jnp.inf)
        return jnp.where((x >= low) & (x <= high), inside, -jnp.inf)


def _log_mass(mean: float, sd: float, low: float, high: float) -> float:
    """Log of the normal probability between low and high, without cancellation in either tail."""
    from scipy.special import log_ndtr

    a, b = (low - mean) / sd, (high - mean) / sd
    if a > 0:
        a, b = -b, -a
    return float(log_ndtr(b) + math.log1p(-math.exp(log_ndtr(a) - log_ndtr(b))))


KINDS = _ARITY


def parse(document: Any) -> Prior:
    """``{"uniform": [50, 90]}`` → Prior.

    Raises:
        InvalidValue, UnknownName: with what is valid.
    """
    if not (isinstance(document, dict) and len(document) == 1):
        raise InvalidValue(
            f'a distribution is written {{kind: [numbers]}}, for example {{"uniform": [0, 1]}}, not {document!r}'
        )
    ((kind, numbers),) = document.items()
    if not isinstance(numbers, (list, tuple)):
        numbers = [numbers]
    return Prior(kind, tuple(numbers))
