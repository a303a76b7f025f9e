from typing import Annotated

from pydantic import BaseModel, Field

from campaign.manifest.options import data_files, resolved, validate, varying_options, with_files
from campaign.registry import DataFile, Options, Structural, Varying


class Inner(Options):
    path: Annotated[str, DataFile()] = "inner.dat"


class Everything(Options):
    a: float = 1.0
    b: Annotated[float, Structural()] = 1.0
    c: int = 1
    d: Annotated[int, Varying()] = 1
    e: str = "x"
    f: Annotated[str, DataFile()] | None = None
    g: list[Annotated[str, DataFile()]] = Field(default_factory=list)
    h: Annotated[str, DataFile(), Varying()] = "h.dat"
    i: float | None = None
    j: Inner = Inner()
    k: tuple[float, float] = (0.0, 1.0)


def test_what_varies_inside_a_program():
    assert varying_options(Everything) == {"a", "d", "h"}


def test_files_are_found_wherever_they_are_marked():
    options = Everything(f="f.dat", g=["g1.dat", "g2.dat"], e="not-a-file")
    assert data_files(options) == ("f.dat", "g1.dat", "g2.dat", "h.dat", "inner.dat")
    located = with_files(options, {"f.dat": "/x/f.dat", "g2.dat": "/x/g2.dat", "inner.dat": "/x/i"})
    assert (located.f, located.g, located.h, located.j.path) == ("/x/f.dat", ["g1.dat", "/x/g2.dat"], "h.dat", "/x/i")


def test_json_lists_are_tuples_and_defaults_are_filled_in():
    found: list = []
    options = validate(Everything, {"k": [1, 2]}, "/problem", found)
    assert found == []
    assert options.k == (1.0, 2.0)
    assert resolved(options)["k"] == [1.0, 2.0]
    assert resolved(options)["j"] == {"path": "inner.dat"}


def test_findings_have_places():
    found: list = []
    assert validate(Everything, {"c": 1.5, "j": {"paht": "x"}}, "/problem", found) is None
    texts = [str(d) for d in found]
    assert texts[0].startswith("/problem/c: 1.5 (a number) is not valid")
    assert texts[1] == "/problem/j/paht: unknown key `paht`; did you mean `path`?"
    assert issubclass(Everything, BaseModel)
