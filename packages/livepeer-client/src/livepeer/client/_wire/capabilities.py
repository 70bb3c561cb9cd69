"""What is asked for by gRPC and in discovery: pipelines with their models, by go-livepeer's ids.

Source: go-livepeer `core/capabilities.go`, `server/remote_discovery.go`. Importing this module
loads no protobuf.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from livepeer.client.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from livepeer.client._proto.livepeer_pb2 import Capabilities


class CapabilityId(IntEnum):
    """The pipelines that orchestrators know, by their numbers on the wire."""

    TEXT_TO_IMAGE = 27
    IMAGE_TO_IMAGE = 28
    IMAGE_TO_VIDEO = 29
    UPSCALE = 30
    AUDIO_TO_TEXT = 31
    SEGMENT_ANYTHING_2 = 32
    LLM = 33
    IMAGE_TO_TEXT = 34
    LIVE_VIDEO_TO_VIDEO = 35
    TEXT_TO_SPEECH = 36
    BYOC = 37

    @property
    def pipeline(self) -> str:
        """The pipeline's name: lower case, with dashes."""
        return self.name.lower().replace("_", "-")


_BY_PIPELINE = {capability.pipeline: capability for capability in CapabilityId}


@dataclass(frozen=True)
class CapabilityQuery:
    """One pipeline with one of its models; for BYOC the model is the capability's name.

    Attributes:
        id: The pipeline.
        model: The model, in its exact letter case; it may have slashes in it.
    """

    id: CapabilityId
    model: str

    def __str__(self) -> str:
        return f"{self.id.pipeline}/{self.model}"


def capability_id_from_pipeline(pipeline: str) -> CapabilityId:
    """The number of a pipeline such as `text-to-image`.

    Raises:
        ConfigError: There is no such pipeline; the text names those that there are.
    """
    known = _BY_PIPELINE.get(pipeline)
    if known is None:
        raise ConfigError(
            f"there is no pipeline {pipeline!r}; there are {', '.join(sorted(_BY_PIPELINE))}"
        )
    return known


def parse_capability_queries(queries: Iterable[str]) -> tuple[CapabilityQuery, ...]:
    """Read queries of the form `pipeline/model`, or several of them with commas between.

    Duplicates and empty ones are left out.

    Raises:
        ConfigError: One has no model, or an unknown pipeline.
    """
    if isinstance(queries, str):
        queries = (queries,)
    parts = (part.strip() for query in queries for part in query.split(","))
    return tuple(dict.fromkeys(_parsed(part) for part in parts if part))


def find_capability_query(capability: str) -> CapabilityQuery | None:
    """`pipeline/model` of a pipeline that orchestrators know; None for a bare BYOC name."""
    pipeline, _, model = capability.partition("/")
    known = _BY_PIPELINE.get(pipeline)
    return CapabilityQuery(known, model) if known is not None and model else None


def build_capabilities_from_queries(queries: Iterable[str]) -> Capabilities | None:
    """The message that asks an orchestrator for models; None for no queries.

    Both of its maps are filled: an orchestrator that finds the models alone answers, without a
    word, with its price for transcoding. The bit string stays empty, for an orchestrator refuses
    bits that it has not.

    Args:
        queries: As for `parse_capability_queries`.

    Raises:
        ConfigError: One has no model, or an unknown pipeline.
    """
    parsed = parse_capability_queries(queries)
    if not parsed:
        return None
    from livepeer.client._proto.livepeer_pb2 import Capabilities  # lazy: protobuf

    message = Capabilities()
    for query in parsed:
        message.capacities[query.id] = 1
        message.constraints.PerCapability[query.id].models[query.model].SetInParent()
    return message


def _parsed(query: str) -> CapabilityQuery:
    pipeline, _, model = query.partition("/")
    if not model:
        raise ConfigError(f"a capability is asked for as `pipeline/model`, not {query!r}")
    return CapabilityQuery(capability_id_from_pipeline(pipeline), model)
