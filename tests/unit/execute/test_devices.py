"""Devices of workers."""

from __future__ import annotations

import pytest

from campaign.errors import InvalidValue
from campaign.execute.devices import device_environment, isa_environment, visible_gpus, worker_environments


def test_gpus_are_dealt_out_and_shared_only_on_request(monkeypatch):
    one_each = worker_environments(4, gpus=("0", "1", "2", "3"))
    assert [e["CUDA_VISIBLE_DEVICES"] for e in one_each] == ["0", "1", "2", "3"]
    assert all(e["CAMPAIGN_DEVICE"] == "gpu" for e in one_each)
    assert not any("XLA_PYTHON_CLIENT_MEM_FRACTION" in e for e in one_each)
    with pytest.raises(InvalidValue, match="5 workers for 4 GPUs"):
        worker_environments(5, gpus=("0", "1", "2", "3"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,GPU-5a")
    assert visible_gpus() == ("2", "GPU-5a")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert visible_gpus() == ()
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setenv("ROCR_VISIBLE_DEVICES", "0,1")  # what SLURM sets for AMD's GPUs
    assert visible_gpus() == ("0", "1")
    assert [e["ROCR_VISIBLE_DEVICES"] for e in worker_environments(2, gpus=visible_gpus())] == ["0", "1"]
    assert device_environment("cpu") == {"CAMPAIGN_DEVICE": "cpu", "JAX_PLATFORMS": "cpu"}


def test_an_instruction_set_joins_the_flags_that_are_there(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_a=1")
    assert isa_environment("avx2") == {"XLA_FLAGS": "--xla_a=1 --xla_cpu_max_isa=AVX2"}
    monkeypatch.setenv("XLA_FLAGS", "--xla_a=1 --xla_cpu_max_isa=AVX2")
    assert isa_environment("avx2") == isa_environment(None) == {}
