"""Models at build time and at run time, with the real Hugging Face library where it is there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from livepeer.runner import LivePipeline, PipelineSpec, Settings, model_dir
from livepeer.runner._models import go_offline, online
from livepeer.runner._target import prepares_models
from livepeer.runner.serving import prepare

if TYPE_CHECKING:
    from collections.abc import Iterator

VARIABLES = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "PREPARE_MODELS", "MODEL_DIR")


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    # What the code under test sets is undone as well.
    monkeypatch.setattr(os, "environ", os.environ.copy())
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))


def run(script: Path, *arguments: str, **environment: object) -> subprocess.CompletedProcess[str]:
    given = {name: str(value) for name, value in environment.items()}
    given = {**os.environ, "LIVEPEER_PORT": "0", "LIVEPEER_HOST": "127.0.0.1", **given}
    return subprocess.run(
        [sys.executable, str(script), *arguments],
        env=given,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def write(folder: Path, body: str, serve: str = "serve(Model)") -> Path:
    script = folder / "author.py"
    script.write_text(f"""
import asyncio, json, os
from livepeer.runner import BaseParams, LivePipeline, PipelineSpec, model_dir, pipeline, serve

{body}

if __name__ == "__main__":
    {serve}
""")
    return script


FORMS = {
    "class": """
class Model(LivePipeline):
    @classmethod
    def prepare_models(cls):
        (model_dir() / cls.__name__).write_text("weights")
""",
    "async": """
class Model(LivePipeline):
    @classmethod
    async def prepare_models(cls):
        await asyncio.sleep(0)
        (model_dir() / cls.__name__).write_text("weights")
""",
    "static, decorated": """
@pipeline
class Model:
    def transform(self, frame):
        return frame
    @staticmethod
    def prepare_models():
        (model_dir() / "Model").write_text("weights")
""",
}
SPEC = 'serve(PipelineSpec("m", f"{__file__}:Model"))'


@pytest.mark.parametrize("serve", ["serve(Model)", "serve(Model())", SPEC])
@pytest.mark.parametrize("form", FORMS)
def test_models_are_prepared_instead_of_serving(form: str, serve: str, tmp_path: Path):
    script, models = write(tmp_path, FORMS[form], serve), tmp_path / "a" / "models"
    done = run(script, PREPARE_MODELS=1, MODEL_DIR=models)
    assert (done.returncode, done.stderr) == (0, "")
    assert (models / "Model").read_text() == "weights"
    first, last = done.stdout.splitlines()
    assert first == f"preparing the models of Model in {models}"
    assert last.startswith("prepared the models of Model in ")


def test_the_flag_does_the_same(tmp_path: Path):
    done = run(write(tmp_path, FORMS["class"]), "--prepare-models", MODEL_DIR=tmp_path / "models")
    assert done.returncode == 0
    assert (tmp_path / "models" / "Model").is_file()


def test_without_the_hook_there_is_nothing_to_prepare(tmp_path: Path):
    done = run(write(tmp_path, "class Model(LivePipeline): pass"), PREPARE_MODELS=1)
    assert done.returncode == 0
    assert done.stdout == "Model has no prepare_models(): nothing to prepare\n"


@pytest.mark.parametrize("keyword", ["def", "async def"])
def test_a_failure_is_one_line_and_a_status(keyword: str, tmp_path: Path):
    script = write(
        tmp_path,
        f"""
class Model(LivePipeline):
    @classmethod
    {keyword} prepare_models(cls):
        json.loads("{{")
""",
    )
    done = run(script, PREPARE_MODELS=1, MODEL_DIR=tmp_path)
    assert done.returncode == 1
    line = script.read_text().splitlines().index('        json.loads("{")') + 1
    assert done.stderr.startswith(
        f"error: prepare_models() of Model failed at {script}:{line}: JSONDecodeError: Expecting"
    )
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("keyword", ["def", "async def"])
def test_a_generator_prepares_nothing_and_fails(keyword: str, tmp_path: Path):
    script = write(
        tmp_path,
        f"""
class Model(LivePipeline):
    @classmethod
    {keyword} prepare_models(cls):
        yield
""",
    )
    done = run(script, PREPARE_MODELS=1, MODEL_DIR=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: prepare_models() of Model failed: TypeError: it is a gen")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("preparing", [{"PREPARE_MODELS": 1}, {}])
def test_a_hook_that_wants_an_instance_is_refused(preparing: dict[str, object], tmp_path: Path):
    script = write(tmp_path, "class Model(LivePipeline):\n    def prepare_models(self): pass")
    done = run(script, MODEL_DIR=tmp_path / "models", **preparing)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert (
        "Model.prepare_models() is called before there is an instance: make it a @" in done.stderr
    )


@pytest.mark.parametrize("hook", ["prepare_models", "setup"])
def test_a_relative_folder_stays_where_it_was(hook: str, tmp_path: Path):
    script = write(
        tmp_path,
        """
class Model(LivePipeline):
    @classmethod
    def prepare_models(cls):
        cls.setup(cls)
    def setup(self):
        os.chdir("/")
        print(model_dir(), flush=True)
        os._exit(0)
""",
        f"os.chdir({str(tmp_path)!r}); serve(Model)",
    )
    prepares = {"PREPARE_MODELS": 1} if hook == "prepare_models" else {}
    done = run(script, MODEL_DIR="here/models", **prepares)
    assert done.stdout.splitlines()[-1] == str(tmp_path / "here" / "models"), done.stderr


def test_a_folder_that_cannot_be_made_is_one_line_too(tmp_path: Path):
    (tmp_path / "file").touch()
    done = run(write(tmp_path, FORMS["class"]), PREPARE_MODELS=1, MODEL_DIR=tmp_path / "file" / "m")
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: MODEL_DIR {tmp_path / 'file' / 'm'} cannot be made")
    assert done.stderr.count("\n") == 1


def test_a_class_that_does_not_load_is_one_line_too(tmp_path: Path):
    done = run(write(tmp_path, "", 'serve(PipelineSpec("m", "nowhere:Model"))'), PREPARE_MODELS=1)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "no module nowhere" in done.stderr


def test_the_folder_is_a_setting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    assert model_dir() == Path("/models")
    monkeypatch.setenv("MODEL_DIR", str(tmp_path / "env"))
    assert model_dir() == tmp_path / "env"

    class Model(LivePipeline):
        seen: Path

        @classmethod
        def prepare_models(cls) -> None:
            cls.seen = model_dir()

    assert prepare(Model, Settings(model_dir=tmp_path / "given")) == 0
    assert Model.seen == tmp_path / "given"
    assert Model.seen.is_dir()


def test_only_a_hook_of_its_own_counts():
    class Without(LivePipeline):
        pass

    class With(LivePipeline):
        @classmethod
        def prepare_models(cls) -> None: ...

    class Derived(With):
        pass

    assert [prepares_models(cls) for cls in (Without, With, Derived)] == [False, True, True]


@pytest.fixture
def hub() -> Iterator[str]:
    """Something that answers like a hub, as far as these tests ask."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


ASKS = """
{top}

def ask():
    import huggingface_hub
    from huggingface_hub.utils import get_session
    try:
        answer = get_session().get(os.environ["HUB"]).status_code
    except huggingface_hub.errors.OfflineModeIsEnabled:
        answer = "offline"
    model_dir().mkdir(exist_ok=True)
    part = model_dir() / "answer.part"
    part.write_text(json.dumps([answer, os.environ.get("HF_HUB_OFFLINE")]))
    part.rename(model_dir() / "answer.json")

class Model(LivePipeline):
    @classmethod
    def prepare_models(cls):
        ask()
    def setup(self):
        ask()
        if {end}:
            os._exit(0)
"""
IMPORTED = "import huggingface_hub; from huggingface_hub.utils import get_session; get_session()"


def answer(tmp_path: Path) -> list[object]:
    found: list[object] = json.loads((tmp_path / "models" / "answer.json").read_text())
    return found


@pytest.mark.parametrize("top", ["", IMPORTED])
@pytest.mark.parametrize("serve", ["serve(Model)", SPEC])
@pytest.mark.parametrize("image", [{}, {"HF_HUB_OFFLINE": 1}, {"TRANSFORMERS_OFFLINE": "yes"}])
def test_preparing_is_on_line_whatever_the_image_sets(
    top: str, serve: str, image: dict[str, object], tmp_path: Path, hub: str
):
    pytest.importorskip("huggingface_hub")
    script = write(tmp_path, ASKS.format(top=top, end=True), serve)
    done = run(script, PREPARE_MODELS=1, MODEL_DIR=tmp_path / "models", HUB=hub, **image)
    assert done.returncode == 0, done.stderr
    assert answer(tmp_path) == [200, None]


@pytest.mark.parametrize("top", ["", IMPORTED])
@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ({}, ["offline", "1"]),
        ({"HF_HUB_OFFLINE": 1}, ["offline", "1"]),
        ({"HF_HUB_OFFLINE": 0}, [200, "0"]),
        ({"HF_HUB_OFFLINE": ""}, ["offline", "1"]),
    ],
)
def test_serving_is_off_line_unless_the_environment_says_otherwise(
    top: str, image: dict[str, object], expected: list[object], tmp_path: Path, hub: str
):
    pytest.importorskip("huggingface_hub")
    script = write(tmp_path, ASKS.format(top=top, end=True))
    done = run(script, MODEL_DIR=tmp_path / "models", HUB=hub, **image)
    assert done.returncode == 0, done.stderr
    assert answer(tmp_path) == expected


@pytest.mark.parametrize("serve", ["serve(Model)", SPEC])
def test_a_constructor_is_off_line_as_well(serve: str, tmp_path: Path, hub: str):
    pytest.importorskip("huggingface_hub")
    body = ASKS.format(top=IMPORTED, end=True).replace("def setup(self)", "def __init__(self)")
    script = write(tmp_path, body, serve)
    given = {"MODEL_DIR": tmp_path / "models", "HUB": hub, "LIVEPEER_ISOLATION": "thread"}
    done = run(script, **given)
    assert done.returncode == 0, done.stderr
    assert answer(tmp_path) == ["offline", "1"]


def test_serving_without_the_hook_changes_nothing(tmp_path: Path, hub: str):
    pytest.importorskip("huggingface_hub")
    body = ASKS.format(top=IMPORTED, end=True).replace("def prepare_models", "def other")
    done = run(write(tmp_path, body), MODEL_DIR=tmp_path / "models", HUB=hub)
    assert done.returncode == 0, done.stderr
    assert answer(tmp_path) == [200, None]


def test_a_model_process_is_off_line_and_knows_the_folder(tmp_path: Path, hub: str):
    pytest.importorskip("huggingface_hub")
    script = write(tmp_path, ASKS.format(top=IMPORTED, end=False), SPEC)
    given = {"LIVEPEER_PORT": "0", "LIVEPEER_HOST": "127.0.0.1", "HUB": hub}
    given["MODEL_DIR"] = str(tmp_path / "models")
    with subprocess.Popen(
        [sys.executable, str(script)], env={**os.environ, **given}, stderr=subprocess.DEVNULL
    ) as process:
        try:
            deadline = time.monotonic() + 40
            while not (tmp_path / "models" / "answer.json").exists():
                assert time.monotonic() < deadline
                assert process.poll() is None
                time.sleep(0.05)
            assert answer(tmp_path) == ["offline", "1"]
            process.terminate()
            assert process.wait(30) == 0
        finally:
            process.kill()


def test_what_was_lifted_is_there_again_afterwards(monkeypatch: pytest.MonkeyPatch):
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("TRANSFORMERS_OFFLINE", "0")
    with online():
        assert not {"HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"} & os.environ.keys()
        assert not constants.is_offline_mode()
    assert (os.environ["HF_HUB_OFFLINE"], os.environ["TRANSFORMERS_OFFLINE"]) == ("1", "0")
    assert constants.is_offline_mode()


def test_a_library_that_is_loaded_later_finds_the_variable(monkeypatch: pytest.MonkeyPatch):
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    go_offline()
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    assert constants.is_offline_mode()
    read = subprocess.run(
        [sys.executable, "-c", "import huggingface_hub as h; print(h.is_offline_mode())"],
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=True,
    )
    assert read.stdout == "True\n"


def test_the_hook_is_never_run_by_serving(tmp_path: Path):
    body = FORMS["class"] + "    def setup(self):\n        os._exit(3)\n"
    done = run(write(tmp_path, body), MODEL_DIR=tmp_path / "models")
    assert done.returncode == 3
    assert not (tmp_path / "models").exists()


def test_a_spec_of_the_script_that_runs_is_the_class_that_it_has(tmp_path: Path):
    script = write(tmp_path, "print('imported')\n" + FORMS["class"], SPEC)
    done = run(script, PREPARE_MODELS=1, MODEL_DIR=tmp_path)
    assert done.stdout.count("imported") == 1
    assert PipelineSpec("m", f"{script}:Model").load().__name__ == "Model"
