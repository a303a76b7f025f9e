"""A distribution between two bounds: its mass there and its quantiles, counted from the tail that the bounds are in."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

_NARROW = 1e-2  # of the probability on the tail's side of the interval; less than that cancels in a difference


@dataclass(frozen=True)
class Cut:
    """The distribution F between `low` and `high`.

    Where `low` is above the median probabilities are survival probabilities 1 − F, which do not round to 1; they are
    kept as logarithms, which do not round to 0. With P(x) that probability from the far tail to x, on the tail's side,
    and a, b its values at the inner and the outer bound, mass = a (1 − b/a).

    Args:
        kind, numbers: of the distribution, as `Prior` has them.
        frozen: the same as a frozen `scipy.stats` one.
        low, high: bounds; ±inf where there is none.

    Checked: tests/oracle/test_priors.py against truncated distributions of scipy.stats and by quadrature.
    """

    kind: str
    numbers: tuple[float, ...]
    frozen: Any
    low: float
    high: float

    @cached_property
    def is_upper(self) -> bool:
        """Whether probabilities are counted from above."""
        return bool(self.low > self.frozen.median())

    @cached_property
    def log_mass(self) -> float:
        """ln of the probability between the bounds; −inf where it is 0 in rounding."""
        if 0 < self._share < _NARROW:
            nodes, weights = np.polynomial.legendre.leggauss(32)
            half = 0.5 * (self.high - self.low)
            logs = self.frozen.logpdf(self.low + half * (nodes + 1.0))
            top = float(logs.max())
            return top + math.log(half * float(weights @ np.exp(logs - top)))
        return self._inner + math.log(self._share) if self._share > 0 else -math.inf

    def ppf(self, q: Any) -> Any:
        """The quantile at q in [0, 1]: P(x) = a (1 − q (1 − b/a)) from above, a (b/a + q (1 − b/a)) from below."""
        q = np.asarray(q, np.float64)
        with np.errstate(divide="ignore"):
            if self.is_upper:
                log_p = np.log1p(-q * self._share)
            elif self._share > 0.5:  # small q keep their digits
                log_p = np.log(1.0 - self._share + q * self._share)
            else:
                log_p = np.log1p((q - 1.0) * self._share)
            return np.clip(self._inverse(self._inner + log_p), self.low, self.high)[()]

    def cdf(self, x: Any) -> Any:
        """The probability below x."""
        inside = np.clip(np.asarray(x, np.float64), self.low, self.high)
        from_inner = -np.expm1(self._log_p(inside) - self._inner) / self._share
        return np.clip(from_inner if self.is_upper else 1.0 - from_inner, 0.0, 1.0)[()] + 0.0

    @cached_property
    def _inner(self) -> float:
        """ln a."""
        return float(self._log_p(self.low if self.is_upper else self.high))

    @cached_property
    def _share(self) -> float:
        """1 − b/a."""
        if not math.isfinite(self._inner):
            return 0.0
        return -math.expm1(float(self._log_p(self.high if self.is_upper else self.low)) - self._inner)

    def _log_p(self, x: Any) -> Any:
        return self.frozen.logsf(x) if self.is_upper else self.frozen.logcdf(x)

    def _inverse(self, log_p: Any) -> Any:
        """x from ln P(x)."""
        from scipy.special import ndtri_exp

        if self.kind in ("normal", "log_normal"):
            mean, sd = self.numbers
            z = ndtri_exp(log_p)
            x = mean - sd * z if self.is_upper else mean + sd * z
            return x if self.kind == "normal" else np.exp(x)
        return self.frozen.isf(np.exp(log_p)) if self.is_upper else self.frozen.ppf(np.exp(log_p))
