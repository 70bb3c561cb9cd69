"""Pipelines and models, as gRPC and discovery name them, against golden vectors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from livepeer.client import (
    CapabilityId,
    ConfigError,
    build_capabilities_from_queries,
    capability_id_from_pipeline,
)
from livepeer.client._wire.candidates import with_caps
from livepeer.client._wire.capabilities import find_capability_query, parse_capability_queries

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[3] / "tests/conformance/vectors/network.json").read_text("utf-8")
)["vectors"]

MODELS = [name for name in VECTORS if name.startswith("capabilities_") and "bitstring" not in name]


def test_byoc_is_37() -> None:
    assert CapabilityId.BYOC == 37
    assert capability_id_from_pipeline("byoc") is CapabilityId.BYOC
    assert [capability.value for capability in CapabilityId] == list(range(27, 38))
    assert capability_id_from_pipeline("segment-anything-2") == 32
    with pytest.raises(ConfigError, match="text-to-image"):
        capability_id_from_pipeline("Text-to-image")


@pytest.mark.parametrize("name", MODELS)
def test_both_maps_and_no_bits(name: str) -> None:
    inputs = VECTORS[name]["inputs"]
    query = f"{CapabilityId(inputs['capability_id']).pipeline}/{inputs['model']}"
    message = build_capabilities_from_queries([query])
    assert message is not None
    assert message.SerializeToString(deterministic=True).hex() == VECTORS[name]["outputs"]["hex"]


def test_queries_repeat_and_have_commas() -> None:
    queries = parse_capability_queries(["llm/a, byoc/x/y ,", "llm/a", "byoc/z"])
    assert [str(query) for query in queries] == ["llm/a", "byoc/x/y", "byoc/z"]
    assert build_capabilities_from_queries([" , "]) is None
    message = build_capabilities_from_queries(["byoc/x,byoc/y", "llm/a"])
    assert message is not None
    assert dict(message.capacities) == {37: 1, 33: 1}
    assert set(message.constraints.PerCapability[37].models) == {"x", "y"}
    for wrong in ("byoc", "byoc/", "/x", "nope/x"):
        with pytest.raises(ConfigError):
            parse_capability_queries([wrong])


def test_a_bare_name_is_no_query() -> None:
    assert find_capability_query("hello") is None
    assert find_capability_query("acme/hello") is None
    assert str(find_capability_query("byoc/hello")) == "byoc/hello"


def test_caps_are_repeated_in_the_query() -> None:
    url = "https://signer.example.com/discover-orchestrators"
    caps = ["text-to-image/black-forest-labs/FLUX.1-dev"]
    assert with_caps(url, caps) == VECTORS["caps_query"]["outputs"]["url"]
    assert with_caps(url + "?key=1", ["llm/a b&c", "llm/d"]) == (
        url + "?key=1&caps=llm/a%20b%26c&caps=llm/d"
    )
    assert with_caps(url, []) == url
