"""The door for sciences: what it offers is what it says, and asking for what needs no JAX imports none."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from campaign import blinding, data, errors, fitting, many_starts, memory, priors, registry, runtime, science, space
from campaign.analysis import basins, evidence, reweighting, search_choice
from campaign.analysis.chain import Chain
from campaign.analysis.chain_storage import ChainStorage
from campaign.analysis.handle import open_campaign
from campaign.own_code import told
from campaign.problem.base import Problem
from campaign.problem.data import columns
from campaign.problem.file import own_code
from campaign.problem.python import PythonModel
from campaign.problem.reference.consensus import build as consensus
from campaign.problem.reference.consensus_options import ConsensusOptions
from campaign.report import panels, signal_panels, signal_style, source
from campaign.sampling import progress, sampler
from campaign.space import index_map
from campaign.space.priors import Prior, parse
from campaign.space.transform import Unbounded
from campaign.store import defaults

WITH_JAX = {"Problem", "PythonModel", "Unbounded", "consensus"}


def test_every_name_is_the_one_of_its_module():
    homes = [errors, registry, space, fitting, panels, source, priors, progress, sampler, signal_panels, index_map]
    homes += [many_starts, basins, search_choice, evidence, memory, reweighting, blinding]
    modules = {"defaults", "priors"}
    expected = {name: getattr(home, name) for name in science.__all__ for home in homes if hasattr(home, name)}
    expected = {name: value for name, value in expected.items() if name not in modules}
    expected |= {"Problem": Problem, "Prior": Prior, "find_data": data.find, "start_jax": runtime.start_jax}
    expected |= {"parse_prior": parse, "read_columns": columns, "PythonModel": PythonModel, "Chain": Chain}
    expected |= {"ChainStorage": ChainStorage, "signals_document": signal_style.document}
    expected |= {"own_code": own_code, "told": told, "cache_folder": runtime.cache_folder}
    expected |= {"consensus": consensus, "ConsensusOptions": ConsensusOptions, "Unbounded": Unbounded}
    expected |= {"open_campaign": open_campaign}
    assert {name: getattr(science, name) for name in science.__all__ if name not in modules} == expected
    assert science.defaults.load is defaults.load
    assert science.priors is priors
    assert dir(science) == science.__all__


def test_what_type_checkers_see_is_what_there_is():
    (block,) = (node for node in ast.parse(Path(science.__file__).read_text()).body if isinstance(node, ast.If))
    seen = [alias.asname or alias.name for node in block.body for alias in node.names]
    assert sorted(seen) == science.__all__


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"`campaign\.science` has no `Engine`"):
        _ = science.Engine


def test_what_needs_no_jax_imports_none():
    names = ", ".join(name for name in science.__all__ if name not in WITH_JAX)
    code = f"import sys\nfrom campaign.science import {names}\nassert 'jax' not in sys.modules, 'JAX was imported'"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
