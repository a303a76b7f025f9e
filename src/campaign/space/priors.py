"""Priors: the distributions that sample an axis of a manifest and weigh a parameter of a problem.

One value, two faces: `ppf`, `cdf`, `ln_pdf` (NumPy and SciPy: designs, no JAX) and `log_density` (JAX: engines).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from campaign.errors import InvalidValue, UnknownName, nearest
from campaign.space.cut import Cut

KINDS = {
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
BOUND = "bound"
_POSITIVE = ("sd", "sd_log", "scale", "rate", "shape", "a", "b", "df")


@dataclass(frozen=True, slots=True)
class Prior:
    """A univariate distribution by kind and numbers, hashable and comparable.

    Args:
        kind: one of `KINDS`, or "bound": another one between two bounds, with the density of that one over its mass
            between them.
        numbers: its numbers, in the order of `KINDS[kind]`; the bounds of "bound", ±inf where it is open.
        of: what is bound. Bounds of bounds become one.

    Checked: tests/oracle/test_priors.py against scipy.stats.
    """

    kind: str
    numbers: tuple[float, ...]
    of: Prior | None = None

    def __post_init__(self) -> None:
        if self.kind == BOUND:
            self._check_bounds()
        elif self.kind in KINDS:
            self._check_numbers()
        else:
            raise UnknownName(f"unknown distribution `{self.kind}`", hint=nearest(self.kind, [*KINDS, BOUND]))

    def _check_numbers(self) -> None:
        wanted = KINDS[self.kind]
        if self.of is not None:
            raise InvalidValue(f"`{self.kind}` is of no other distribution", hint=f"`{BOUND}` is")
        if len(self.numbers) != len(wanted):
            raise InvalidValue(
                f"`{self.kind}` takes {len(wanted)} numbers ({', '.join(wanted)}), not {len(self.numbers)}"
            )
        if not all(_is_number(v) and math.isfinite(v) for v in self.numbers):
            raise InvalidValue(f"`{self.kind}` takes finite numbers, not {list(self.numbers)}")
        fields = dict(zip(wanted, self.numbers, strict=True))
        if "low" in fields and not fields["low"] < fields["high"]:
            raise InvalidValue(f"`{self.kind}` needs low < high, not {fields['low']} and {fields['high']}")
        if self.kind == "log_uniform" and fields["low"] <= 0:
            raise InvalidValue(f"`log_uniform` needs low > 0, not {fields['low']}")
        for positive in _POSITIVE:
            if positive in fields and fields[positive] <= 0:
                raise InvalidValue(f"`{self.kind}` needs {positive} > 0, not {fields[positive]}")

    def _check_bounds(self) -> None:
        if not isinstance(self.of, Prior):
            raise InvalidValue(f"`{BOUND}` is of a distribution, not of {self.of!r}")
        if len(self.numbers) != 2 or not all(_is_number(v) for v in self.numbers):
            raise InvalidValue(f"`{BOUND}` takes two bounds, not {list(self.numbers)}")
        lower, upper = self.numbers
        if not lower < upper:
            raise InvalidValue(f"`{BOUND}` needs lower < upper, not {lower} and {upper}")
        if math.isinf(lower) and math.isinf(upper):
            raise InvalidValue(f"`{BOUND}` needs a bound: lower, upper or both")
        if self.of.kind == BOUND:
            inner = self.of.numbers
            object.__setattr__(self, "numbers", (max(lower, inner[0]), min(upper, inner[1])))
            object.__setattr__(self, "of", self.of.of)
        if not self.support[0] < self.support[1] or not math.isfinite(_cut(self).log_mass):
            raise InvalidValue(
                f"{self.of} has no mass between {lower} and {upper}", hint="widen the bounds or change the distribution"
            )

    def __str__(self) -> str:
        return json.dumps(document(self))

    def ppf(self, q: Any) -> Any:
        """Inverse cumulative distribution at q in (0, 1), vectorised."""
        return _cut(self).ppf(q) if self.kind == BOUND else _frozen(self).ppf(q)

    def cdf(self, x: Any) -> Any:
        """Cumulative distribution at x, vectorised."""
        return _cut(self).cdf(x) if self.kind == BOUND else _frozen(self).cdf(x)

    def ln_pdf(self, x: Any) -> Any:
        """What `log_density` gives, without JAX: NumPy, vectorised."""
        if self.of is not None:
            inside = (self.numbers[0] <= x) & (x <= self.numbers[1])
            return np.where(inside, self.of.ln_pdf(x) - _cut(self).log_mass, -np.inf)[()]
        value = _frozen(self).logpdf(x)
        return np.where(value < np.inf, value, -np.inf)[()]

    def sample(self, n: int, rng: int | np.random.Generator) -> np.ndarray:
        """n independent draws (n,), by the inverse of the cumulative distribution; `rng` is a generator or a seed."""
        from campaign.space.designs import draw

        return draw(np.random.default_rng(rng).random(n), self)

    def bounds(self) -> tuple[float | None, float | None]:
        """The ends of the support; None where it is open."""
        low, high = self.support
        return low if math.isfinite(low) else None, high if math.isfinite(high) else None

    @property
    def support(self) -> tuple[float, float]:
        """Smallest and largest value with non-zero density."""
        if self.of is not None:
            low, high = self.of.support
            return max(low, self.numbers[0]), min(high, self.numbers[1])
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
        if self.of is not None:
            inside = self.of.log_density(x) - _cut(self).log_mass
            return jnp.where((x >= n[0]) & (x <= n[1]), inside, -jnp.inf)
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
                inside = stats.norm.logpdf(x, n[0], n[1]) - _cut(self).log_mass
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


def log_normal_of(mean: float, sd: float) -> Prior:
    """The log-normal distribution with this mean and standard deviation.

    sd_log² = ln(1 + sd²/mean²), mean_log = ln mean − sd_log²/2.
    """
    if not (_is_number(mean) and _is_number(sd) and 0 < mean < math.inf and 0 < sd < math.inf):
        raise InvalidValue(f"`log_normal` needs mean > 0 and sd > 0, not {mean!r} and {sd!r}")
    variance = math.log1p((sd / mean) ** 2)
    return Prior("log_normal", (math.log(mean) - variance / 2, math.sqrt(variance)))


def bounded(prior: Prior, lower: float = -math.inf, upper: float = math.inf) -> Prior:
    """A distribution between bounds; itself where there are none."""
    return prior if lower == -math.inf and upper == math.inf else Prior(BOUND, (lower, upper), of=prior)


def parse(document: Any) -> Prior:
    """A distribution from JSON.

    ``{"uniform": [50, 90]}``, ``{"uniform": {"low": 50, "high": 90}}``, ``{"log_normal": {"mean": 3, "sd": 1}}``,
    ``{"bound": {"of": {"normal": [3, 0.5]}, "lower": 1.5, "upper": 6}}``; a bound that is left out or null is open.

    Raises:
        InvalidValue, UnknownName: with what is valid.
    """
    if not (isinstance(document, Mapping) and len(document) == 1):
        raise InvalidValue(
            f'a distribution is written {{kind: [numbers]}}, for example {{"uniform": [0, 1]}}, not {document!r}'
        )
    ((kind, body),) = document.items()
    if kind == BOUND:
        return _parse_bound(body)
    if isinstance(body, Mapping):
        if kind == "log_normal" and set(body) == {"mean", "sd"}:
            return log_normal_of(**body)
        names = KINDS.get(kind, tuple(body))
        if set(body) != set(names):
            raise InvalidValue(f"`{kind}` takes {', '.join(names)}, not {', '.join(map(str, body)) or 'nothing'}")
        body = [body[name] for name in names]
    return Prior(kind, tuple(body) if isinstance(body, list | tuple) else (body,))


def _parse_bound(body: Any) -> Prior:
    if not isinstance(body, Mapping) or "of" not in body or set(body) - {"of", "lower", "upper"}:
        raise InvalidValue(
            f"`{BOUND}` takes `of` with `lower`, `upper` or both, not {body!r}",
            hint='for example {"bound": {"of": {"normal": [3, 0.5]}, "lower": 1.5, "upper": 6}}',
        )
    lower, upper = body.get("lower"), body.get("upper")
    if lower is None and upper is None:
        raise InvalidValue(f"`{BOUND}` needs a bound: `lower`, `upper` or both")
    return bounded(parse(body["of"]), -math.inf if lower is None else lower, math.inf if upper is None else upper)


def document(prior: Prior) -> dict[str, Any]:
    """JSON of a distribution, which `parse` reads."""
    if prior.of is None:
        return {prior.kind: list(prior.numbers)}
    ends = zip(("lower", "upper"), prior.numbers, strict=True)
    return {BOUND: {"of": document(prior.of), **{name: end for name, end in ends if math.isfinite(end)}}}


@lru_cache(maxsize=1024)
def _cut(prior: Prior) -> Cut:
    """The mass and the quantiles between bounds: of "bound" and "truncated_normal"."""
    if prior.of is None:
        mean, sd, low, high = prior.numbers
        return Cut("normal", (mean, sd), _frozen(Prior("normal", (mean, sd))), low, high)
    return Cut(prior.of.kind, prior.of.numbers, _frozen(prior.of), *prior.numbers)


@lru_cache(maxsize=1024)
def _frozen(prior: Prior) -> Any:
    """The same distribution as a frozen `scipy.stats` one."""
    from scipy import stats

    n = prior.numbers
    match prior.kind:
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


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)
