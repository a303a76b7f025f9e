"""Options that may be of several kinds: one finding for one fault, at its place in the document, with the near name."""

from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from campaign.manifest.options import validate


class Even(BaseModel):
    model_config = ConfigDict(extra="forbid")
    linspace: tuple[float, float, int]
    unit: str = ""


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    rate: float | Literal["auto"] = "auto"


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid")
    grid: dict[str, Even | list[float]] = {}
    priors: dict[str, float] | Literal["none", "table"] = "none"
    kinds: Literal["gn", "hessian"] | list[Literal["gn", "hessian"]] | None = None
    clip: Annotated[list[float], Field(min_length=2)] | dict[str, float] | None = None
    inner: Inner | None = None
    length: int | None = None


@pytest.mark.parametrize(
    ("document", "place", "said", "hint"),
    [
        ({"priors": "tabel"}, "/priors", '"tabel" (a string) is not valid', "did you mean `table`?"),
        ({"priors": 3}, "/priors", "'none' or 'table'", None),
        ({"priors": {"a": "x"}}, "/priors/a", '"x" (a string) is not valid: input should be a valid number', None),
        ({"kinds": "hesian"}, "/kinds", "or a valid array", "did you mean `hessian`?"),
        ({"kinds": ["hesian"]}, "/kinds/0", '"hesian" is not valid here', "did you mean `hessian`?"),
        ({"clip": [1]}, "/clip", "at least 2 items", None),
        ({"grid": {"a": [1, "x"]}}, "/grid/a/1", "should be a valid number", None),
        ({"grid": {"a": {"linspce": [0, 1, 5]}}}, "/grid/a/linspce", "unknown key", "did you mean `linspace`?"),
        ({"grid": {"a": {"linspace": [0, 1, 5], "unti": "m"}}}, "/grid/a/unti", "unknown key", "did you mean `unit`?"),
        ({"grid": {"a": {}}}, "/grid/a", "the key `linspace` is missing", None),
        ({"inner": {"rate": "atuo"}}, "/inner/rate", "or 'auto'", "did you mean `auto`?"),
        ({"inner": {"rates": 1}}, "/inner/rates", "unknown key", "did you mean `rate`?"),
        ({"length": "x"}, "/length", "should be a valid integer", None),
        ({"lenght": 1}, "/lenght", "unknown key `lenght`", "did you mean `length`?"),
    ],
)
def test_one_fault_is_one_finding(document, place, said, hint):
    found = []
    assert validate(Options, document, "/problem", found) is None
    assert [one.place for one in found] == [f"/problem{place}"]
    assert said in found[0].message
    assert found[0].hint == hint


def test_several_faults_of_one_kind_are_all_found():
    found = []
    validate(Options, {"grid": {"a": [1, "x", "y"], "b": {"linspace": [0, 1, "n"]}}}, "", found)
    assert [one.place for one in found] == ["/grid/a/1", "/grid/a/2", "/grid/b/linspace/2"]
