"""`@pipeline`: what it makes, what of it runs when, and what it refuses."""

from __future__ import annotations

import abc
import asyncio
import dataclasses
import enum
import functools
import json
import warnings
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest
from pydantic import BaseModel, Field

from livepeer.runner import BaseParams, LivePipeline, Pipeline, PipelineSpec, pipeline
from livepeer.runner._target import load_pipeline
from livepeer.runner.decorator import NestedPipelineWarning
from livepeer.runner.errors import PipelineDefinitionError
from livepeer.runner.frames import AudioFrame, VideoFrame
from livepeer.runner.spec import path_of
from livepeer.runner.testing import Refused, live_session
from livepeer.trickle.media import TIME_BASE, Segmenter, VideoEncoder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

STEP = 3600
FRAMES = 24


class Level(BaseParams):
    """How bright."""

    level: int = Field(60, ge=0, le=255)
    label: str = "plain"


class Stronger(Level):
    pass


class Needed(BaseParams):
    key: str
    level: int = 60


def picture(n: int) -> VideoFrame:
    raw = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 20, np.uint8), format="rgb24")
    raw.pts, raw.time_base = n * STEP, TIME_BASE
    return VideoFrame(raw)


def clip(first: int = 0, frames: int = FRAMES) -> list[bytes]:
    """Dark pictures as segments."""
    encoder, segmenter = VideoEncoder(), Segmenter({"video": "h264"}, segment_s=0.4)
    segments: list[bytes] = []
    for unit in [u for n in range(first, first + frames) for u in encoder.encode(picture(n))]:
        piece = segmenter.add(unit)
        if piece.starts:
            segments.append(b"")
        segments[-1] += piece.data
    return segments


def fill(frame: VideoFrame, level: int) -> VideoFrame:
    frame.planes[0][:] = level
    return frame


def levels(frames: list[VideoFrame | AudioFrame]) -> list[int]:
    return [round(float(f.planes[0].mean())) for f in frames if isinstance(f, VideoFrame)]


async def through(target: Any, **options: Any) -> list[int]:
    async with live_session(target, **options) as session:
        await session.publish(*clip())
        return levels(await session.frames())


@pipeline(name="fill-level", params=Level)
def fill_level(frame: VideoFrame, params: Level) -> VideoFrame:
    """Fill the picture."""
    return fill(frame, params.level)


@pipeline
async def fill_async(frame: VideoFrame, params: Level) -> VideoFrame:
    await asyncio.sleep(0)
    return fill(frame, params.level)


@pipeline
def fill_generated(frame: VideoFrame, params: Level) -> Iterator[VideoFrame]:
    yield fill(frame, params.level)


@pipeline
async def fill_generated_async(frame: VideoFrame, params: Level) -> AsyncIterator[VideoFrame]:
    await asyncio.sleep(0)
    yield fill(frame, params.level)


@pipeline
def fill_plain(frame: VideoFrame) -> VideoFrame:
    return fill(frame, 60)


@pipeline
def fill_from_dict(frame: VideoFrame, params: dict[str, Any]) -> VideoFrame:
    return fill(frame, int(params.get("level", 60)))


@pipeline(name="every-hook", params=Level)
class EveryHook:
    """All short hooks, which note what they are called with."""

    def __init__(self) -> None:
        self.calls: list[object] = []

    def on_ready(self, **params: object) -> None:
        self.calls.append(("on_ready", params))

    def transform(self, frame: VideoFrame, params: Level) -> VideoFrame:
        self.calls.append(("transform", params))
        return fill(frame, params.level)

    async def on_update(self, label: str, **_: object) -> None:
        await asyncio.sleep(0)
        self.calls.append(("on_update", label))
        self.emit_event({"type": "label", "label": label})  # type: ignore[attr-defined]

    def on_stop(self) -> None:
        self.calls.append("on_stop")

    @classmethod
    def prepare_models(cls) -> None:
        raise AssertionError("not when serving")


@pipeline(params=Level)
class Own(LivePipeline):
    """An author's own subclass."""

    def process_video(self, frame: VideoFrame) -> VideoFrame:
        return fill(frame, self.stream.params.level)


@pipeline
@dataclasses.dataclass
class Data:
    """Without a hash of its own, and equal to others."""

    level: int = 60

    def transform(self, frame: VideoFrame) -> VideoFrame:
        return fill(frame, self.level)


@dataclasses.dataclass(slots=True)
class Slotted(LivePipeline):
    level: int = 60

    def process_video(self, frame: VideoFrame) -> VideoFrame:
        return fill(frame, self.level)


ALL = [fill_level, fill_async, fill_generated, fill_generated_async, EveryHook, Own]


@pytest.mark.parametrize("made", [*ALL, fill_from_dict])
async def test_each_form_gets_frames_and_parameters(made: type[LivePipeline]):
    assert await through(made, params={"level": 180.0}) == [180] * FRAMES


@pytest.mark.parametrize("made", [fill_level, EveryHook])
async def test_the_same_runs_in_a_process_of_its_own(made: type[LivePipeline]):
    assert await through(made, isolation="process", params={"level": 180}) == [180] * FRAMES


async def test_a_spec_brings_parameters_of_its_own():
    spec = PipelineSpec("x", path_of(fill_level), path_of(Stronger), {"level": 90})
    assert await through(spec, isolation="thread") == [90] * FRAMES
    assert await through(spec, params={"label": "x"}) == [90] * FRAMES


@pytest.mark.parametrize("made", [*ALL, fill_plain, fill_from_dict])
async def test_each_form_has_defaults(made: type[LivePipeline]):
    assert await through(made) == [60] * FRAMES


@pytest.mark.parametrize("made", [Data, Slotted])
@pytest.mark.parametrize("isolation", ["thread", "process"])
async def test_a_data_class_runs(made: Any, isolation: str):
    assert await through(made, isolation=isolation) == [60] * FRAMES


@pytest.mark.parametrize("made", [Data, Slotted])
async def test_a_stream_is_that_of_its_instance_alone(made: Any):
    mine, equal = made(), made()
    assert mine == equal
    async with live_session(mine, media=False) as session:
        assert mine.stream.id == session.stream_id
        with pytest.raises(LookupError, match="no stream"):
            _ = equal.stream
        await session.stop()
        with pytest.raises(LookupError, match="no stream"):
            _ = mine.stream


@pytest.mark.parametrize("made", [*ALL, fill_plain])
def test_it_is_a_live_pipeline_that_stands_where_the_definition_stood(made: type[LivePipeline]):
    assert issubclass(made, LivePipeline)
    assert globals()[made.__qualname__] is made
    assert made.__module__ == __name__
    assert made.spec is not None
    # By its module or by its file: what was imported meanwhile decides which of them can be had.
    assert made.spec.pipeline_cls.endswith(f":{made.__qualname__}")
    assert isinstance(made(), made)


def test_documents_and_names_are_the_authors():
    assert fill_level.__doc__ == "Fill the picture."
    assert EveryHook.__doc__ == "All short hooks, which note what they are called with."
    assert [made.spec.name for made in (fill_level, fill_async, EveryHook, Own)] == [  # type: ignore[union-attr, attr-defined]
        *("fill-level", "fill-async", "every-hook", "own")
    ]
    assert fill_level.Params is fill_async.Params is Own.Params is Level
    assert fill_plain.Params is None
    assert fill_level(), "a class without arguments"


def test_the_function_can_be_called_without_a_stream():
    assert levels([fill_level.transform(picture(0), Level(level=9))]) == [9]  # type: ignore[attr-defined]


def test_the_class_can_be_called_without_a_stream():
    assert levels([EveryHook().transform(picture(0), Level(level=9))]) == [9]


def test_the_spec_names_both_classes_where_they_can_be_imported():
    spec = fill_level.spec
    assert spec is not None
    assert spec.pipeline_cls.endswith(":fill_level")
    assert spec.params_cls is not None
    assert spec.params_cls.endswith(":Level")
    assert spec.params_cls.startswith(spec.pipeline_cls.rpartition(":")[0])
    assert fill_plain.spec is not None
    assert fill_plain.spec.params_cls is None


async def test_hooks_run_in_order_with_their_parameters():
    hooked = EveryHook()
    async with live_session(hooked, params={"label": "first"}) as session:
        await session.event("label", label="first")
        await session.publish(*clip(frames=3))
        await session.event("stats", last_segment_in=0)
        await session.update({"label": "second"})
        await session.event("label", label="second")
        assert levels(await session.frames()) == [60] * 3
    assert hooked.calls == [
        ("on_ready", {"level": 60, "label": "plain"}),
        ("on_update", "first"),
        *[("transform", Level(label="first"))] * 3,
        ("on_update", "second"),
        "on_stop",
    ]


async def test_an_update_is_seen_by_later_frames_only_and_whole():
    async with live_session(fill_level, params={"level": 40}) as session:
        await session.publish(*clip())
        await session.event("stats", video_out=FRAMES)
        await session.update({"level": 200})
        await session.publish(*clip(first=FRAMES))
        assert levels(await session.frames()) == [40] * FRAMES + [200] * FRAMES


async def test_a_refused_update_leaves_the_old_parameters():
    async with live_session(fill_level, params={"level": 40}) as session:
        with pytest.raises(Refused) as caught:
            await session.update({"level": 300})
        assert caught.value.status == 422
        assert json.loads(caught.value.body)["detail"][0]["loc"] == ["body", "level"]
        await session.publish(*clip())
        assert levels(await session.frames()) == [40] * FRAMES


def test_initial_parameters_of_a_spec_reach_on_ready():
    given = PipelineSpec("x", path_of(EveryHook), initial_params={"level": 5})
    made = load_pipeline(given)
    assert isinstance(made, LivePipeline)
    made.setup()
    assert getattr(made, "calls") == [("on_ready", {"level": 5, "label": "plain"})]  # noqa: B009


def test_on_ready_gets_what_is_known_before_a_caller_says_more():
    with pytest.warns(NestedPipelineWarning):

        @pipeline(params=Needed)
        class Waits:
            def on_ready(self, **params: object) -> None:
                self.given = params

            def transform(self, frame: VideoFrame) -> VideoFrame:
                return frame

    waits = Waits()
    waits.setup()  # type: ignore[attr-defined]
    assert waits.given == {"level": 60}


async def test_methods_of_the_class_may_use_what_a_live_pipeline_offers():
    with pytest.warns(NestedPipelineWarning):

        @pipeline
        class Counts:
            def transform(self, frame: VideoFrame) -> VideoFrame:
                return frame

            def on_stream_stop(self) -> None:
                self.emit_event({"type": "bye"})  # type: ignore[attr-defined]

    async with live_session(Counts) as session:
        await session.publish(*clip(frames=2))
        await session.frames()
        await session.stop()
        await session.event("bye")


def test_a_subclass_of_what_was_decorated_has_its_own_transform():
    class Twice(fill_level):  # type: ignore[misc, valid-type]
        def transform(self, frame: VideoFrame) -> list[VideoFrame]:
            return [frame, frame]

    frame = picture(0)
    assert Twice().process_video(frame) == [frame, frame]
    assert Twice.Params is Level


def test_a_nested_function_warns_and_names_the_mend():
    with pytest.warns(NestedPipelineWarning, match=r"<locals>.*top of its module") as caught:

        @pipeline
        def inner(frame: VideoFrame) -> VideoFrame:
            return frame

    assert [warning.filename for warning in caught] == [__file__]


def test_a_class_within_a_class_warns_too():
    with pytest.warns(NestedPipelineWarning, match="Outer.Within is nested") as caught:

        class Outer:
            @pipeline(name="within")
            class Within:
                def transform(self, frame: VideoFrame) -> VideoFrame:
                    return frame

    assert [warning.filename for warning in caught] == [__file__]


def frame_only(self: object, frame: VideoFrame) -> VideoFrame:
    return frame


def class_of(**members: object) -> type[object]:
    return type("Mine", (), {"transform": frame_only, "__module__": __name__, **members})


def no_arguments() -> None: ...
def three(frame: VideoFrame, params: Level, more: int) -> None: ...
def starred(*frames: VideoFrame) -> None: ...
def keyword(frame: VideoFrame, *, strength: float) -> None: ...
def wrong_kind(frame: VideoFrame, params: int) -> None: ...
def default(frame: VideoFrame, strength=0.5) -> None: ...  # type: ignore[no-untyped-def]
def unresolved(frame: VideoFrame, params: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821
def takes_level(frame: VideoFrame, params: Level) -> None: ...
def ready(self: object, strength: float) -> None: ...
def positional(self: object, *values: float) -> None: ...
def prepare(self: object) -> None: ...


class Batch(Pipeline):
    def predict(self) -> None: ...


class Relays(LivePipeline):
    def transform(self, frame: VideoFrame) -> VideoFrame:
        return frame


class Modelled(BaseModel):
    transform = frame_only


class Listed(enum.Enum):
    ONE = 1
    transform = frame_only


class Abstract(abc.ABC):
    @abc.abstractmethod
    def transform(self, frame: VideoFrame) -> VideoFrame: ...


@dataclasses.dataclass
class Wants:
    weights: str
    transform = frame_only


class PreparesItself(LivePipeline):
    def prepare_models(self) -> None: ...  # type: ignore[override]  # the mistake


MISTAKES: list[tuple[object, dict[str, Any], list[str]]] = [
    (type("Mine", (), {}), {}, ["Mine", "transform(self, frame)"]),
    (no_arguments, {}, ["no_arguments()", "no frame", "(frame, params)"]),
    (three, {}, ["three()", "`more`", "(frame, params)"]),
    (starred, {}, ["starred()", "`*frames`"]),
    (keyword, {}, ["keyword()", "`strength`"]),
    (wrong_kind, {}, ["wrong_kind()", "`params` is annotated int", "Pydantic model"]),
    (default, {}, ["default()", "`strength` has a default", "params model"]),
    (unresolved, {}, ["unresolved()", "`params`", "Nowhere", "params="]),
    (takes_level, {"params": Needed}, ["takes_level()", "Level", "params=Needed"]),
    (frame_only, {"params": dict}, ["params is <class 'dict'>", "BaseParams"]),
    (frame_only, {"params": Level()}, ["params is Level", "BaseParams"]),
    (class_of(on_ready=ready), {}, ["Mine.on_ready()", "`strength`", "**params"]),
    (class_of(on_update=ready), {"params": Level}, ["Mine.on_update()", "`strength`", "Level"]),
    (class_of(on_update=positional), {}, ["Mine.on_update()", "`*values`"]),
    (class_of(prepare_models=prepare), {}, ["Mine.prepare_models()", "@classmethod"]),
    (class_of(setup=prepare), {}, ["Mine.setup", "rename"]),
    (class_of(stream=1), {}, ["Mine.stream", "rename"]),
    (class_of(Params=dict), {}, ["Mine.Params", "BaseParams"]),
    (class_of(Params=Level), {"params": Needed}, ["Mine has Params", "params=Needed"]),
    (class_of(transform=5), {}, ["Mine.transform is no method"]),
    (class_of()(), {}, ["got a Mine", "function or a class"]),
    (functools.partial(takes_level), {}, ["got a partial"]),
    ("green-shift", {}, ["got a str", "name=..."]),
    (lambda frame: frame, {}, ["lambda", "def"]),
    (Batch, {}, ["Batch is a batch Pipeline", "serve it as it is"]),
    (Relays, {}, ["Relays", "transform()", "process_video"]),
    (Modelled, {}, ["Modelled is a Pydantic model", "params="]),
    (Listed, {}, ["derive from Listed", "plain class"]),
    (Abstract, {}, ["Abstract has no transform()"]),
    (Wants, {}, ["Wants()", "'weights'", "give it a default"]),
    (PreparesItself, {}, ["PreparesItself.prepare_models()", "@classmethod"]),
]


@pytest.mark.parametrize(("definition", "options", "said"), MISTAKES)
def test_a_mistake_is_named_with_its_mend(
    definition: Any, options: dict[str, Any], said: list[str]
):
    with pytest.raises(PipelineDefinitionError) as caught:
        pipeline(**options)(definition)
    with pytest.raises(PipelineDefinitionError):
        pipeline(params=options["params"])(definition) if options else pipeline(definition)
    assert all(text in str(caught.value) for text in said), caught.value


def test_what_is_no_mistake():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NestedPipelineWarning)
        assert pipeline(params=Stronger)(takes_level).Params is Stronger
        nested = pipeline(class_of(Params=Level))
        assert nested.Params is Level  # type: ignore[attr-defined]
        static = pipeline(class_of(transform=staticmethod(takes_level)))
        assert static.Params is Level  # type: ignore[attr-defined]
