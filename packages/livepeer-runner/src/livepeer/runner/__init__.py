"""Turn a Python class into a capability on the Livepeer network.

```python
from livepeer.runner import Pipeline, serve


class Greeter(Pipeline):
    def predict(self, name: str) -> str:
        return f"Hello, {name}!"


serve(Greeter())
```

Importing this package loads nothing heavy: each name is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from livepeer.runner._context import context
    from livepeer.runner.batch import Pipeline
    from livepeer.runner.decorator import pipeline
    from livepeer.runner.endpoints import endpoint
    from livepeer.runner.errors import InputError
    from livepeer.runner.files import ContentType, File
    from livepeer.runner.live import LivePipeline
    from livepeer.runner.params import BaseParams
    from livepeer.runner.serving import make_app, serve
    from livepeer.runner.settings import Settings, model_dir
    from livepeer.runner.spec import PipelineSpec
    from livepeer.runner.state import PipelineState

__all__ = [
    "BaseParams",
    "ContentType",
    "File",
    "InputError",
    "LivePipeline",
    "Pipeline",
    "PipelineSpec",
    "PipelineState",
    "Settings",
    "context",
    "endpoint",
    "make_app",
    "model_dir",
    "pipeline",
    "serve",
]

_HOME = {
    "BaseParams": "params",
    "ContentType": "files",
    "File": "files",
    "InputError": "errors",
    "LivePipeline": "live",
    "Pipeline": "batch",
    "PipelineSpec": "spec",
    "PipelineState": "state",
    "Settings": "settings",
    "context": "_context",
    "endpoint": "endpoints",
    "make_app": "serving",
    "model_dir": "settings",
    "pipeline": "decorator",
    "serve": "serving",
}


def __getattr__(name: str) -> object:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
