"""A problem from a program in any language: parameters go in by arguments, a file or stdin, numbers come out."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from campaign.errors import InvalidValue, nearest
from campaign.problem.data import columns
from campaign.problem.foreign.catalogue import ForeignOptions, OutputOptions, ProgramOptions, is_path_of, space_of
from campaign.problem.foreign.evaluator import Failure, Outputs
from campaign.problem.foreign.program import PLACEHOLDER, Program, ProgramEvaluator
from campaign.problem.foreign.readers import Output
from campaign.problem.python import DAY_S
from campaign.space import Parameter, ThetaSpace

if TYPE_CHECKING:
    from campaign.problem.foreign.models import ForeignModel


def ExternalProgram(
    command: Sequence[str],
    parameters: Sequence[Parameter] | ThetaSpace,
    *,
    outputs: Mapping[str, Output] | None = None,
    templates: Mapping[str, str] | None = None,
    json_file: str | None = None,
    data: Any = None,
    sigma: Any = None,
    gives: str = "predictions",
    fit: str | None = None,
    timeout_s: float = 3600.0,
    failures: str = "end",
    environment: Mapping[str, str] | None = None,
    scratch: str | None = None,
    axes: Mapping[str, Mapping[str, Any]] | None = None,
    units: Mapping[str, str] | None = None,
) -> ForeignModel:
    """A problem of a program, started once an evaluation.

    It runs in a new folder, without a shell, on one core. A good run's folder is deleted; a failed one's stays, and the
    run's message names it. When its time is up its whole process group is killed.

    Args:
        command: words. ``{rate}`` is the value of the parameter `rate`, in the shortest form that reads back exactly.
            The program itself is an absolute path, or a name that PATH knows.
        parameters: what it takes.
        outputs: what it gives; None is one output `model`: all numbers that it prints.
        templates: files to write before it starts: name → text with ``{rate}`` placeholders; other braces stay.
        json_file: a file to write all parameters to, as ``{"rate": 0.8}``; "-" is stdin.
        data, sigma, gives, fit, failures, axes, units: as for `campaign.problem.python.PythonModel`.
        timeout_s: the longest one evaluation may take [s].
        environment: variables to set for it.
        scratch: where its folders are made; None is TMPDIR.

    Raises:
        InvalidValue: a placeholder that is not a parameter, a program that is not there, or data that do not fit.

    Checked: tests/integration/test_any_model.py, a C program against the same model in JAX.
    """
    space = parameters if isinstance(parameters, ThetaSpace) else ThetaSpace(tuple(parameters))
    _check(command, space)
    if not timeout_s > 0:
        raise InvalidValue(f"`timeout_s` is {timeout_s}", hint="a number of seconds above 0")
    wanted = dict(outputs or {"model": Output()})
    name = fit or next(iter(wanted))
    shape = np.shape(data) if data is not None else () if gives == "log_likelihood" else None
    if name in wanted and wanted[name].shape is None and shape is not None:
        old = wanted[name]
        wanted[name] = Output(file=old.file, format=old.format, key=old.key, shape=shape)
    program = Program(
        command=tuple(command),
        names=space.names,
        templates=dict(templates or {}),
        json_file=json_file,
        outputs=wanted,
        timeout_s=min(float(timeout_s), 365 * DAY_S),
        environment=dict(environment or {}),
        scratch=scratch,
    )
    evaluator = ProgramEvaluator(program)
    shapes = {key: output.shape for key, output in wanted.items()}
    known = Outputs.of({key: s for key, s in shapes.items() if s is not None})
    if len(known.shapes) < len(wanted):
        asked = evaluator.shapes(space.initial)
        if isinstance(asked, Failure):
            raise InvalidValue(
                f"the program fails at the initial parameters: {asked.message}",
                hint="it is run there once for the shapes of its outputs; say them with `shape`",
            )
        known = asked
    from campaign.problem.foreign.models import foreign_model

    return foreign_model(
        evaluator,
        space,
        known,
        gives=gives,
        fit=fit,
        data=data,
        sigma=sigma,
        failures=failures,
        axes={k: dict(v) for k, v in (axes or {}).items()},
        units=dict(units or {}),
    )


def build(options: ProgramOptions) -> ForeignModel:
    """The problem `program`. Names of files are absolute paths in `options`."""

    def path(name: str) -> str:
        return next(path for path in options.files if is_path_of(path, name))

    command = [path(word[2:]) if word.startswith("./") else word for word in options.command]
    return ExternalProgram(
        command,
        space_of(options),
        outputs={name: _output(one) for name, one in options.outputs.items()},
        templates={name: Path(path(one)).read_text(encoding="utf-8") for name, one in options.templates.items()},
        json_file=options.json_file,
        fit=options.fit,
        environment=options.environment,
        units={name: one.unit for name, one in options.outputs.items() if one.unit},
        **common(options),
    )


def common(options: ForeignOptions) -> dict[str, Any]:
    """What `program` and `umbridge` have in common: data, errors, limits."""
    data, sigma = None, options.sigma
    if options.data is not None:
        names = [options.y] if options.error is None else [options.y, options.error]
        data, *errors = columns(options.data, *names)
        sigma = errors[0] if errors else sigma
    given = {} if options.timeout_s is None else {"timeout_s": options.timeout_s}
    return {"data": data, "sigma": sigma, "gives": options.gives, "failures": options.failures, **given}


def _output(one: OutputOptions) -> Output:
    shape = None if one.shape is None else tuple(one.shape)
    return Output(file=one.file, format=one.format, key=one.key, shape=shape)


def _check(command: Sequence[str], space: ThetaSpace) -> None:
    if isinstance(command, str) or not command or not all(isinstance(word, str) for word in command):
        raise InvalidValue(f"`command` is {command!r}", hint='a list of words: ["./model", "--rate={rate}"]')
    for word in command:
        for name in PLACEHOLDER.findall(word):
            if name not in space.names:
                raise InvalidValue(f"`{{{name}}}` in the command is not a parameter", hint=nearest(name, space.names))
    if os.sep in command[0] and not os.access(command[0], os.X_OK):
        what = "cannot be executed" if Path(command[0]).exists() else "does not exist"
        raise InvalidValue(f"the program `{command[0]}` {what}", hint="chmod +x it, or name an interpreter first")
