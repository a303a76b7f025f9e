"""Runs whose model is evaluated outside of JAX: opened before a block runs, closed after it, with what failed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np

from campaign.engines.base import OK_OUTCOMES
from campaign.problem.foreign import ledger
from campaign.problem.foreign.ledger import Account
from campaign.problem.foreign.models import ForeignModel
from campaign.store.lines import Columns, Same, taken
from campaign.work.group import Group


def opened(problem: Any, is_batched: Any, n_rows: int, capacity: int, free: tuple[str, ...]) -> tuple[Any, Any]:
    """A block's problem and which of its leaves are batched, with a number for each run in its foreign models.

    Lanes beyond `n_rows` are padding: their models are never evaluated.
    """

    def one(node: Any) -> Any:
        if not isinstance(node, ForeignModel):
            return node
        handles = np.broadcast_to(node.handle, (capacity,))[:n_rows]
        runs = np.full(capacity, ledger.PADDING, np.int64)
        runs[:n_rows] = ledger.open_runs(handles)
        node.held.evaluator.start()
        return node.in_block(runs, free)

    def own(node: Any) -> Any:
        return node.in_block(True, None) if isinstance(node, ForeignModel) else node

    return jax.tree.map(one, problem, is_leaf=_is_foreign), jax.tree.map(own, is_batched, is_leaf=_is_foreign)


def ask_ahead(group: Group) -> None:
    """Evaluate the models of runs that ask for nothing but their start, all in one call: the values are remembered.

    A compiled program asks for one run after another, and each question costs more than a quick model.
    """
    target, engine = group.batch.work.target, group.batch.work.engine
    problem, n = target.problem, len(group.rows)
    if not isinstance(problem, ForeignModel) or not engine.asks_start_only:
        return
    size = problem.outputs.size
    if 8 * n * size > ledger.MEMORY // 2:
        return
    theta = np.asarray(target.base, np.float64)[:n]
    ledger.values(theta, np.broadcast_to(problem.handle, len(problem.run))[:n], np.asarray(problem.run)[:n], size)


def close(problem: Any, n_rows: int) -> list[list[Account]] | None:
    """The accounts of each run of a group, which ends here; None where the problem has no foreign model."""
    nodes = [node for node in jax.tree.leaves(problem, is_leaf=_is_foreign) if _is_foreign(node)]
    if not nodes:
        return None
    closed = [ledger.close_runs(np.asarray(node.run)[:n_rows]) for node in nodes]
    return [list(accounts) for accounts in zip(*closed, strict=True)]


def failure_metrics(accounts: list[list[Account]] | None) -> dict[str, np.ndarray]:
    """``model_failures``: evaluations that failed, where there could be any."""
    if accounts is None:
        return {}
    return {"model_failures": np.array([sum(one.n_failures for one in own) for own in accounts], np.float64)}


def with_failures(columns: Columns, accounts: list[list[Account]] | None) -> Columns:
    """Columns in which runs that ended by a failure of their model say so, with its message."""
    guilty = _guilty(columns, accounts)
    if not guilty:
        return columns
    n = len(accounts or ())
    told = {name: _listed(columns[name], n) for name in ("status", "outcome", "message")}
    for i, account in guilty.items():
        told["status"][i] = "failed"
        told["outcome"][i] = account.failure.outcome
        told["message"][i] = account.failure.message
    return {**columns, **told}


def with_details(
    rows: np.ndarray, columns: Columns, accounts: list[list[Account]] | None
) -> Iterator[tuple[np.ndarray, Columns]]:
    """The same runs in two parts: those without, and those with ``failure``, what is known of their model's failure."""
    failed = {i: own for i, own in enumerate(accounts or ()) if any(one.failure for one in own)}
    rest = np.array([i for i in range(len(rows)) if i not in failed], int)
    if not failed:
        yield rows, columns
        return
    if len(rest):
        yield rows[rest], _part(columns, rest)
    lanes = np.array(list(failed), int)
    details = [_detail(next(one for one in own if one.failure)) for own in failed.values()]
    yield rows[lanes], {**_part(columns, lanes), "failure": details}


def _detail(account: Account) -> dict[str, str]:
    return {"message": account.failure.message, **account.failure.details}


def _guilty(columns: Columns, accounts: list[list[Account]] | None) -> dict[int, Account]:
    """Runs that failed by their model: it ended them, or they ended without a result after it failed."""
    found = {}
    outcomes = _listed(columns["outcome"], len(accounts or ()))
    for i, own in enumerate(accounts or ()):
        bad = [one for one in own if one.failure]
        ended = [one for one in bad if one.has_ended]
        if ended or (bad and outcomes[i] not in OK_OUTCOMES):
            found[i] = (ended or bad)[0]
    return found


def _is_foreign(node: Any) -> bool:
    return isinstance(node, ForeignModel)


def _listed(column: Any, n: int) -> list[Any]:
    return [column.value] * n if isinstance(column, Same) else list(column)


def _part(columns: Mapping[str, Any], lanes: np.ndarray) -> dict[str, Any]:
    return {
        name: _part(column, lanes) if isinstance(column, Mapping) else taken(column, lanes)
        for name, column in columns.items()
    }
