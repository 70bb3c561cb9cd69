"""What `serve()` and `make_app()` take, where it runs, and how it is named."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from livepeer.runner import (
    BaseParams,
    LivePipeline,
    Pipeline,
    PipelineSpec,
    Settings,
    make_app,
    pipeline,
    serve,
)
from livepeer.runner._server.address import where
from livepeer.runner.cli._load import load_pipeline
from livepeer.runner.decorator import NestedPipelineWarning
from livepeer.runner.errors import PipelineDefinitionError
from livepeer.runner.serving import ServeTarget, resolve
from livepeer.runner.spec import path_of
from livepeer.runner.testing import serve as served

if TYPE_CHECKING:
    from livepeer.runner.frames import VideoFrame

SCRIPT = Path(__file__).parents[3] / "scripts" / "run_example.py"


class Greeter(Pipeline):
    """Greets."""

    def predict(self, name: str) -> str:
        return f"Hello, {name}!"


class Level(BaseParams):
    level: int = 60


class Plain(LivePipeline):
    """Does nothing."""


@pipeline(name="named-otherwise", params=Level)
class Short:
    """Does as little."""

    def transform(self, frame: object) -> object:
        return frame


class Longer(Short):  # type: ignore[misc, valid-type]
    """Derived from what was decorated."""


class Wants(LivePipeline):
    def __init__(self, path: str) -> None:
        self.path = path


class Breaks(LivePipeline):
    def __init__(self) -> None:
        raise OSError("no such model")


class Abstract(Pipeline):
    pass


class Text(LivePipeline):
    frames_in_flight = "4"  # type: ignore[assignment]  # the mistake


class Nought(LivePipeline):
    frames_in_flight = 0


class Fewer(LivePipeline):
    def __init__(self, number: object = -3) -> None:
        vars(self)["frames_in_flight"] = number


SPEC = PipelineSpec("by-name", path_of(Plain))


@pytest.mark.parametrize(
    ("given", "name", "isolated"),
    [
        (Plain(), "Plain", (False, False)),
        (Plain, "Plain", (False, False, True)),
        (Short(), "named-otherwise", (False, False)),
        (Short, "named-otherwise", (False, False, True)),
        (Longer, "Longer", (False, False, True)),
        (SPEC, "by-name", (True, False, True)),
        (Greeter(), "Greeter", (False, False, False)),
        (Greeter, "Greeter", (False, False, False)),
    ],
)
def test_what_is_given_decides_where_hooks_run(given: Any, name: str, isolated: tuple[bool, ...]):
    modes: Any = ("auto", "thread", "process")
    targets = [resolve(given, mode) for mode, _ in zip(modes, isolated, strict=False)]
    assert [target.name for target in targets] == [name] * len(isolated)
    assert {target.capability for target in targets} == {name.lower()}
    assert tuple(target.isolated for target in targets) == isolated
    assert all(target.spec is not None for target in targets if target.isolated)


def test_an_instance_cannot_move_to_another_process():
    with pytest.raises(PipelineDefinitionError, match=r"the class \(Plain\) or a PipelineSpec"):
        resolve(Plain(), "process")


@pytest.mark.parametrize("given", [Text, Nought, Wants])
def test_a_mistake_is_told_before_a_process_is_begun(given: Any):
    with pytest.raises(PipelineDefinitionError):
        resolve(given, "process")


def test_an_instance_may_have_a_number_of_frames_of_its_own():
    given = Fewer(3)
    assert resolve(given).pipeline() is given


def test_a_class_within_a_function_cannot_move_either():
    class Inner(LivePipeline):
        pass

    assert resolve(Inner, "thread").isolated is False
    with pytest.raises(PipelineDefinitionError, match="top of its module"):
        resolve(Inner, "process")


def test_a_class_is_isolated_under_its_own_name():
    own, inherited = resolve(Short, "process").spec, resolve(Longer, "process").spec
    assert own is not None
    assert own.pipeline_cls.endswith(":Short")
    assert inherited is not None
    assert inherited.pipeline_cls.endswith(":Longer")
    assert inherited.name == "longer"


def test_an_instance_is_made_once_and_late():
    target = resolve(Plain)
    assert isinstance(target, ServeTarget)
    assert target.pipeline() is target.pipeline()
    assert resolve(target, "process") is target
    given = Plain()
    assert resolve(given).pipeline() is given


def test_initial_parameters_come_with_the_spec():
    given = PipelineSpec("x", path_of(Short), path_of(Level), {"level": 7})
    target = resolve(given, "thread")
    assert target.initial_params == {"level": 7}
    assert resolve(target.pipeline()).initial_params == {"level": 7}
    assert resolve(Short).initial_params == {}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (Abstract, "Abstract has no predict()"),
        (Wants, "Wants() is called without arguments, and it is missing a required argument"),
        (Breaks, "Breaks() failed: OSError: no such model"),
        (Text, "Text.frames_in_flight is '4': write a whole number from 1 up"),
        (Nought, "Nought.frames_in_flight is 0"),
        (Fewer, "Fewer.frames_in_flight is -3"),
        (Fewer(2.5), "Fewer.frames_in_flight is 2.5"),
        (PipelineSpec("x", path_of(Fewer)), "Fewer.frames_in_flight is -3"),
        (Settings, "a Settings cannot be served"),
        ("pipeline.py", "a str cannot be served"),
        (lambda frame: frame, "a function cannot be served"),
        (PipelineSpec("x", "no_such_module:Model"), "no module no_such_module"),
        (PipelineSpec("x", path_of(Short), path_of(Level), {"level": "?"}), "level: Input should"),
    ],
)
def test_what_cannot_be_served_is_told_in_one_line(given: Any, said: str):
    with pytest.raises(PipelineDefinitionError) as caught:
        make_app(given, Settings(isolation="thread"))
    assert said in str(caught.value)
    with pytest.raises(SystemExit) as stopped:
        serve(given, port=0, settings=Settings(isolation="thread", host="127.0.0.1"))
    assert str(stopped.value.code).startswith("error: ")
    assert "\n" not in str(stopped.value.code)


@pytest.mark.parametrize("given", [Greeter, Greeter(), Plain, Plain(), Short, Short(), SPEC])
def test_each_kind_makes_an_application(given: Any):
    app = make_app(given, Settings(isolation="thread"))
    paths = app.openapi()["paths"]
    kind = given if isinstance(given, type) else type(given)
    assert ("/predict" if kind is Greeter else "/stream/start") in paths
    assert app.title == resolve(given, "thread").name


FILE = """
from livepeer.runner import LivePipeline, Pipeline, pipeline, serve

class One(LivePipeline):
    pass

@pipeline
def two(frame):
    return frame

if __name__ == "__main__":
    serve({given})
"""


@pytest.mark.parametrize("given", ["One", "One()", "two", "two.spec"])
def test_a_script_serves_each_kind(given: str, tmp_path: Path):
    script = tmp_path / "script.py"
    script.write_text(FILE.format(given=given))
    environment = {**os.environ, "LIVEPEER_HOST": "127.0.0.1", "LIVEPEER_PORT": "0"}
    assert started([str(script)], environment) in ("IDLE", "LOADING")


@pytest.mark.parametrize("host", ["192.0.2.1", "a" * 64])
def test_an_address_of_no_interface_is_one_line(host: str):
    with pytest.raises(SystemExit) as stopped:
        serve(Greeter, host=host, port=0)
    said = str(stopped.value.code)
    assert said.startswith(f"error: cannot listen on {host}:0: ")
    assert "; set LIVEPEER_HOST to " in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("127.0.0.1", "http://127.0.0.1:5 (documents: http://127.0.0.1:5/docs)"),
        (
            "0.0.0.0",
            "http://127.0.0.1:5 (on all interfaces, 0.0.0.0; documents: http://127.0.0.1:5/docs)",
        ),
        ("::", "http://[::1]:5 (on all interfaces, ::; documents: http://[::1]:5/docs)"),
    ],
)
def test_the_log_tells_the_address_that_is_listened_on(host: str, said: str):
    assert where(host, 5) == said


def test_a_misspelt_variable_is_told_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("LIVEPEER_PROT", "5050")
    script = tmp_path / "script.py"
    script.write_text(FILE.format(given="One"))
    environment = {**os.environ, "LIVEPEER_HOST": "127.0.0.1", "LIVEPEER_PORT": "0"}
    said: list[str] = []
    started([str(script)], environment, said)
    assert "".join(said).count("LIVEPEER_PROT is no setting; did you mean LIVEPEER_PORT?") == 1


def started(
    arguments: list[str], environment: dict[str, str], heard: list[str] | None = None
) -> str:
    """The state of a program that serves; it has to end well when it is told to."""
    with subprocess.Popen(
        [sys.executable, *arguments], env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stderr is not None
            said = ""
            while not (found := re.search(r" at (http://\S+)", said)):
                line = process.stderr.readline()
                assert line, said
                said += line
            if heard is not None:
                heard.append(said)
            with urllib.request.urlopen(found[1] + "/health") as response:
                state: str = json.load(response)["status"]
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
        finally:
            process.kill()
    return state


@pytest.mark.parametrize(
    ("target", "name"),
    [("{file}:One", "One"), ("{file}:two", "two"), ("pipes:One", "One"), ("pipes:two", "two")],
)
def test_the_command_loads_functions_and_modules(
    target: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "pipes.py").write_text(FILE.format(given="One"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "pipes", raising=False)
    made = load_pipeline(target.format(file=tmp_path / "pipes.py"))
    assert type(made).__name__ == name
    assert Path(sys.modules[type(made).__module__].__file__ or "") == tmp_path / "pipes.py"


@pytest.mark.parametrize("target", ["{file}", "batch_pipes:Batch"])
def test_the_command_makes_no_instance_of_what_other_processes_make(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "batch_pipes.py"
    path.write_text(
        "from livepeer.runner import Pipeline\n"
        "class Batch(Pipeline):\n"
        "    def __init__(self): raise OSError('made here')\n"
        "    def predict(self) -> int: return 1\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    made = load_pipeline(target.format(file=path), workers=2)
    assert isinstance(made, ServeTarget)
    assert (made.pooled, made.live, made.name) == (True, False, "Batch")
    with pytest.raises(PipelineDefinitionError, match="made here"):
        load_pipeline(target.format(file=path))


def test_the_command_names_what_it_cannot_choose(tmp_path: Path):
    (tmp_path / "pipeline.py").write_text(FILE.format(given="One"))
    with pytest.raises(PipelineDefinitionError, match=r"several pipelines \(One, two\)"):
        load_pipeline(str(tmp_path))
    with pytest.raises(PipelineDefinitionError, match="no pipeline class Three"):
        load_pipeline(f"{tmp_path}:Three")
    with pytest.raises(PipelineDefinitionError, match="no module there_is_none"):
        load_pipeline("there_is_none.at_all:Three")
    with pytest.raises(FileNotFoundError):
        load_pipeline(str(tmp_path / "nothing.py"))


def example(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, check=False
    )


def test_examples_are_listed_with_what_they_do():
    listed = example()
    assert listed.returncode == 0
    assert re.search(r"^live_grayscale +\S.*", listed.stdout, flags=re.MULTILINE)
    assert re.search(r"^hello_world +\S.*", listed.stdout, flags=re.MULTILINE)


def test_an_unknown_example_is_told_with_the_nearest():
    failed = example("live_grayscal", "--port", "0")
    assert failed.returncode == 1
    assert failed.stderr == (
        "error: there is no example live_grayscal; did you mean live_grayscale?\n"
    )


def test_an_example_is_started_by_its_name():
    arguments = [str(SCRIPT), "hello_world", "--port", "0", "--host", "127.0.0.1"]
    assert started(arguments, dict(os.environ)) in ("OK", "LOADING")


def test_an_example_gets_the_arguments_that_are_its_own(tmp_path: Path):
    prepared = example("hello_world", "--prepare-models")
    assert prepared.returncode == 0, prepared.stderr
    assert "nothing to prepare" in prepared.stdout


def test_a_nested_pipeline_is_served_here():
    with pytest.warns(NestedPipelineWarning):

        @pipeline
        def inner(frame: object) -> object:
            return frame

    assert make_app(inner, Settings()).title == "inner"


class TakesTooMuch(LivePipeline):
    def process_video(self, frame: VideoFrame, params: object) -> VideoFrame:
        return frame


class NoModel(LivePipeline):
    class Params:  # type: ignore[assignment]
        strength = 1


class Misspelt(LivePipeline):
    def proces_video(self, frame: VideoFrame) -> VideoFrame:
        return frame


@pytest.mark.parametrize(
    ("cls", "said"),
    [
        (
            TakesTooMuch,
            r"process_video\(\) is called with \(frame\).*write it as process_video\(self, frame\)",
        ),
        (NoModel, "Params is no Pydantic model: derive it from livepeer.runner.BaseParams"),
    ],
)
def test_hooks_that_cannot_be_called_are_refused_at_once(cls: type[LivePipeline], said: str):
    for target in (cls, cls()):
        with pytest.raises(PipelineDefinitionError, match=said):
            resolve(target)


def test_a_misspelt_hook_is_told(caplog: pytest.LogCaptureFixture):
    resolve(Misspelt)
    assert "Misspelt.proces_video() is never called: did you mean process_video()?" in caplog.text


async def test_the_date_in_answers_goes_on_and_the_end_is_prompt():
    ends: list[float] = []
    for pause_s in (2.2, 0.0, 0.0):
        async with served(Greeter()) as server, aiohttp.ClientSession() as http:
            async with http.get(f"{server.url}/health") as response:
                first = response.headers["Date"]
            await asyncio.sleep(pause_s)
            async with http.get(f"{server.url}/health") as response:
                assert (response.headers["Date"] != first) or not pause_s
            await asyncio.sleep(0.1)  # just after a look, of which there is one a second
            began = time.monotonic()
        ends.append(time.monotonic() - began)
    # The promptest of them, for a machine that does much else: the next look is never as near.
    assert min(ends) < 0.8
