"""Print the JSON Schema of manifests."""

import json
from pathlib import Path

import pytest

from campaign.manifest.operators import EXAMPLES
from campaign.manifest.schema import manifest_schema, schema_text

ROOT = Path(__file__).parents[3]
STORED = ROOT / "manifests/schema/campaign-1.schema.json"
WRITE = "from campaign.manifest.schema import write_schema; write_schema('manifests/schema/campaign-1.schema.json')"


def test_the_stored_schema_is_up_to_date():
    assert STORED.read_text() == schema_text(manifest_schema()), f'stale: python -c "{WRITE}"'


def test_objects_are_closed_and_keys_are_described():
    schema = manifest_schema()
    stage = schema["$defs"]["stage"]
    assert schema["additionalProperties"] is False
    assert stage["additionalProperties"] is False
    undescribed = [k for k, v in stage["properties"].items() if "description" not in v and "$ref" not in v]
    assert undescribed == []


def test_plugin_options_are_in_it():
    problems = {p["properties"]["name"].get("const"): p for p in manifest_schema()["$defs"]["problem"]["anyOf"]}
    assert problems["decay"]["properties"]["sigma"]["exclusiveMinimum"] == 0
    assert "free" in problems["decay"]["properties"]


@pytest.fixture
def validator():
    jsonschema = pytest.importorskip("jsonschema", reason="checks the schema with another implementation")
    schema = manifest_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_examples_are_valid(validator):
    base = {"schema": "campaign/1", "name": "t", "problem": {"name": "decay"}, "engine": {"name": "trf"}}
    for example in EXAMPLES.values():
        assert list(validator.iter_errors({**base, "expand": example})) == []


def test_shipped_manifests_are_valid(validator):
    for path in sorted((ROOT / "manifests").glob("**/*.json")):
        if "schema" not in path.parts[-2]:
            assert list(validator.iter_errors(json.loads(path.read_text()))) == [], path


@pytest.mark.parametrize(
    "change", [{"expnd": {}}, {"expand": {"gird": {}}}, {"engine": {"name": "trf", "x": 1}}, {"seed": -1}]
)
def test_what_is_wrong_is_refused(validator, change):
    base = {"schema": "campaign/1", "name": "t", "problem": {"name": "decay"}, "engine": {"name": "trf"}}
    assert list(validator.iter_errors({**base, **change})) != []
