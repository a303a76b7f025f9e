"""BIPOP's book-keeping."""

import jax
import jax.numpy as jnp

from campaign.engines.cmaes_restarts import Ledger, next_descent


def test_small_descents_come_while_they_have_cost_less_and_large_ones_double():
    ledger, seen = Ledger.first(10, 10**6), []
    for k in range(40):
        used = int(ledger.limit) if bool(ledger.is_small) else 100 * int(ledger.popsize)
        before = ledger
        ledger, width = next_descent(ledger, jnp.asarray(used), 10, 10**6, jax.random.key(k))
        seen.append((bool(ledger.is_small), int(ledger.popsize), float(width)))
        assert bool(ledger.is_small) == (int(ledger.small) < int(ledger.large))
        assert int(ledger.small) + int(ledger.large) == int(before.small) + int(before.large) + used
        if bool(ledger.is_small):
            assert int(ledger.limit) == max(int(ledger.large) // 2, 10)
            assert 10 <= int(ledger.popsize) <= max(10, 5 * 2 ** int(ledger.n_large))
            assert 0.01 <= float(width) <= 1.0
        else:
            assert (int(ledger.limit), float(width)) == (10**6, 1.0)
    large = [size for is_small, size, _ in seen if not is_small]
    assert large == [10 * 2 ** (k + 1) for k in range(len(large))]
    assert len(large) > 3
    assert len({size for is_small, size, _ in seen if is_small}) > 3
    assert int(ledger.n_large) + int(ledger.n_small) == 40
