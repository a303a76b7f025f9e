"""The problems `program` and `umbridge`: a foreign model written in a manifest, without Python. Imports no JAX."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, model_validator

from campaign.registry import DataFile, Options, ProblemPlugin
from campaign.space import Parameter, ThetaSpace
from campaign.space.priors import parse


class ParameterOptions(Options):
    """One parameter. See `campaign.space.Parameter`."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)

    initial: float
    lower: float | None = None
    upper: float | None = None
    scale: float | None = Field(None, gt=0, description="typical size of a change")
    unit: str = ""
    transform: Literal["identity", "log", "logit"] = "identity"
    prior: dict[str, Any] | None = Field(None, description='for samplers: {"normal": [0, 1]}')
    free: bool = True
    description: str = ""

    def parameter(self, name: str) -> Parameter:
        bounds = {k: v for k, v in (("lower", self.lower), ("upper", self.upper)) if v is not None}
        prior = None if self.prior is None else parse(self.prior)
        rest = self.model_dump(include={"initial", "scale", "unit", "transform", "free", "description"})
        return Parameter(name=name, prior=prior, **bounds, **rest)


class OutputOptions(Options):
    """Where an output of a program is found. See `campaign.problem.foreign.readers.Output`."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)

    file: str | None = Field(None, description="in the working folder; default: stdout")
    format: Literal["numbers", "json", "csv", "npz"] = "numbers"
    key: str | None = Field(None, description="path in JSON, column of a CSV, array of an NPZ")
    shape: list[int] | None = None
    unit: str = ""


class ForeignOptions(Options):
    """What both have: parameters, data, and what a failure means."""

    parameters: dict[str, ParameterOptions] = Field(
        description="parameters of the model, by name, in order", min_length=1
    )
    data: Annotated[str, DataFile()] | None = Field(None, description="a CSV file next to the manifest")
    y: str = Field("y", description="column of the measured values")
    error: str | None = Field(None, description="column of their errors")
    sigma: float | None = Field(None, gt=0, description="one error for all values")
    gives: Literal["predictions", "residuals", "log_likelihood"] = "predictions"
    timeout_s: float | None = Field(None, gt=0, description="the longest one evaluation may take [s]; 3600")
    failures: Literal["end", "reject"] = "end"


class ProgramOptions(ForeignOptions):
    """Options of `program`."""

    command: list[str] = Field(
        description='words; "{rate}" is a parameter, "./model" lies next to the manifest', min_length=1
    )
    outputs: dict[str, OutputOptions] = Field(default={}, description="default: all numbers on stdout")
    fit: str | None = Field(None, description="the output that the data belong to; default: the first")
    templates: dict[str, str] = Field(default={}, description="file to write → template next to the manifest")
    json_file: str | None = Field(None, description='file to which all parameters are written as JSON; "-" is stdin')
    environment: dict[str, str] = Field(default={}, description="variables to set")
    version: str = Field("0", description="of the program; enters the run ids")
    files: list[Annotated[str, DataFile()]] = Field(
        default=[], description="files next to the manifest that the run ids depend on; those of the command are added"
    )

    @model_validator(mode="after")
    def _files_of_the_command(self) -> ProgramOptions:
        known = self.files
        wanted = [word[2:] for word in self.command if word.startswith("./")] + list(self.templates.values())
        added = [name for name in dict.fromkeys(wanted) if not any(is_path_of(path, name) for path in known)]
        object.__setattr__(self, "files", [*known, *added])
        return self


class UmbridgeOptions(ForeignOptions):
    """Options of `umbridge`."""

    url: str = Field(description="of the server: http://localhost:4242")
    model: str = Field(description="its name there")
    config: dict[str, Any] = Field(default={}, description="sent with every request")


def is_path_of(path: str, name: str) -> bool:
    """Whether a path is that of a file which a manifest names."""
    return path == name or path.endswith("/" + name)


def space_of(options: ForeignOptions) -> ThetaSpace:
    return ThetaSpace(tuple(own.parameter(name) for name, own in options.parameters.items()))


PROGRAM = ProblemPlugin(
    name="program",
    version="1",
    options=ProgramOptions,
    build="campaign.problem.external:build",
    space=space_of,
    description="a model that is a program in any language",
    runs_own_code=True,
)

UMBRIDGE = ProblemPlugin(
    name="umbridge",
    version="1",
    options=UmbridgeOptions,
    build="campaign.problem.umbridge:build",
    space=space_of,
    description="a model behind a UM-Bridge server",
    runs_own_code=True,
)
