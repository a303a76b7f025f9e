"""A client of UM-Bridge, the field's HTTP protocol for models in any language, version 1.0.

Source: Seelinger et al. 2023, J. Open Source Software 8, 4748; the protocol is published with the UM-Bridge software.
"""

from __future__ import annotations

import http.client
import json
import threading
import weakref
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from campaign.errors import InvalidValue, Unavailable
from campaign.problem.foreign.evaluator import ERROR, TIMEOUT, Answers, Failure
from campaign.problem.foreign.reals import real_array


class UmbridgeEvaluator:
    """One model of a server.

    Attributes:
        url: ``http://host:port``.
        model: its name there.
        sizes: lengths of the model's input vectors; theta fills them in order.
        output_sizes: lengths of its output vectors.
        supports: what the server says it can do.
    """

    def __init__(self, url: str, model: str, config: Mapping[str, Any], timeout_s: float) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InvalidValue(f"`{url}` is not the address of a server", hint="for example http://localhost:4242")
        self.url, self.model, self.config, self.timeout_s = url, model, dict(config), timeout_s
        self._address = (parts.scheme, parts.hostname, parts.port)
        self._prefix = parts.path.rstrip("/")
        self._local = threading.local()
        self._open: list[http.client.HTTPConnection] = []
        weakref.finalize(self, _close, self._open)
        self.sizes: list[int] = []
        self.output_sizes: list[int] = []
        self.supports: dict[str, bool] = {}

    def connect(self) -> None:
        """Ask the server what it has.

        Raises:
            Unavailable: nobody answers, or not in the protocol.
            InvalidValue: it has no such model.
        """
        try:
            models = self._ask("GET", "/Info", None)["models"]
            if self.model not in models:
                raise InvalidValue(f"{self.url} has no model `{self.model}`", hint=f"it has: {', '.join(models)}")
            about = {"name": self.model, "config": self.config}
            self.sizes = [int(n) for n in self._ask("POST", "/InputSizes", about)["inputSizes"]]
            self.output_sizes = [int(n) for n in self._ask("POST", "/OutputSizes", about)["outputSizes"]]
            self.supports = dict(self._ask("POST", "/ModelInfo", {"name": self.model})["support"])
        except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError, _Refused) as error:
            if isinstance(error, InvalidValue):
                raise
            raise Unavailable(
                f"no UM-Bridge server answers at {self.url}: {type(error).__name__}: {error}",
                hint="start the model's server first; see docs/my-model-is-not-jax.md",
            ) from error

    def evaluate(self, theta: np.ndarray) -> Answers:
        rows: list[np.ndarray] = []
        for row in theta:
            found = self._guarded("/Evaluate", {"input": self._inputs(row)})
            if isinstance(found, Failure):
                return Answers.of(rows, found)
            try:
                rows.append(real_array([value for part in found for value in part], "its output"))
            except (TypeError, ValueError) as error:
                return Answers.of(rows, Failure(outcome=ERROR, message=f"the server {self.url}: {error}"))
        return Answers.of(rows)

    def jacobian(self, theta: np.ndarray) -> Answers | None:
        """By ApplyJacobian, one call a parameter; by Gradient, one call an output; None where the server has neither.

        With one input vector and one output vector. The fewer calls win where it has both.
        """
        (n_in, n_out) = sum(self.sizes), sum(self.output_sizes)
        if len(self.sizes) != 1 or len(self.output_sizes) != 1:
            return None
        by_column, by_row = self.supports.get("ApplyJacobian", False), self.supports.get("Gradient", False)
        if not by_column and not by_row:
            return None
        common = {"outWrt": 0, "inWrt": 0, "input": self._inputs(theta)}
        use_rows = by_row and (not by_column or n_out < n_in)
        found = []
        for unit in np.eye(n_out if use_rows else n_in).tolist():
            way, key = ("/Gradient", "sens") if use_rows else ("/ApplyJacobian", "vec")
            one = self._guarded(way, common | {key: unit})
            if isinstance(one, Failure):
                return Answers.of([], one)
            found.append(one)
        matrix = np.array(found, np.float64) if use_rows else np.array(found, np.float64).T
        return Answers(matrix.reshape(1, -1))

    def start(self) -> None:
        """The server runs already."""

    def _inputs(self, theta: np.ndarray) -> list[list[float]]:
        return [part.tolist() for part in np.split(theta, np.cumsum(self.sizes)[:-1])]

    def _guarded(self, path: str, body: dict[str, Any]) -> Any:
        """The server's `output`, or what went wrong."""
        try:
            return self._ask("POST", path, {"name": self.model, "config": self.config} | body)["output"]
        except _Refused as error:
            return Failure(outcome=ERROR, message=str(error))
        except TimeoutError:
            text = f"the server {self.url} took longer than timeout_s = {self.timeout_s:g} s"
            return Failure(outcome=TIMEOUT, message=text)
        except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
            return Failure(outcome=ERROR, message=f"the server {self.url}: {type(error).__name__}: {error}")

    def _ask(self, method: str, path: str, body: Any) -> Any:
        """One request on a connection that is kept; a second try where the server had closed it."""
        data = None if body is None else json.dumps(body).encode()
        for attempt in (0, 1):
            connection, is_fresh = self._connection()
            try:
                connection.request(method, self._prefix + path, data, {"Content-Type": "application/json"})
                response = connection.getresponse()
                text = response.read()
                break
            except TimeoutError:
                self._drop()
                raise
            except (ConnectionError, http.client.HTTPException):
                self._drop()
                if is_fresh or attempt:
                    raise
        answer = json.loads(text)
        if isinstance(answer, dict) and "error" in answer:
            error = answer["error"]
            raise _Refused(f"{error.get('type', 'error')}: {error.get('message', '')} (model `{self.model}`)")
        if response.status != 200:
            raise _Refused(f"HTTP status {response.status} {response.reason} (model `{self.model}`)")
        return answer

    def _connection(self) -> tuple[http.client.HTTPConnection, bool]:
        found = getattr(self._local, "connection", None)
        if found is not None:
            return found, False
        scheme, host, port = self._address
        kind = http.client.HTTPSConnection if scheme == "https" else http.client.HTTPConnection
        self._local.connection = kind(host, port, timeout=self.timeout_s)
        self._open.append(self._local.connection)
        return self._local.connection, True

    def _drop(self) -> None:
        self._local.connection.close()
        self._open.remove(self._local.connection)
        self._local.connection = None


def _close(connections: list[http.client.HTTPConnection]) -> None:
    for connection in connections:
        connection.close()


class _Refused(Exception):
    """The server answered with an error of the model."""
