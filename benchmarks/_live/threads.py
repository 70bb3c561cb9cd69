"""One encoder thread up to 720p for those too that leave it to x264, which is dearer there."""

from __future__ import annotations

import os
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .job import Job

ONE_THREAD_PIXELS = 1280 * 720


def with_threads(av: ModuleType, job: Job) -> ModuleType:
    """PyAV as a module that a peer may be given: its output's video encoders get their threads."""
    count = 1 if job.width * job.height <= ONE_THREAD_PIXELS else os.cpu_count() or 1

    class Output:
        def __init__(self, container: Any) -> None:
            self._container = container

        def __getattr__(self, name: str) -> Any:
            return getattr(self._container, name)

        def add_stream(self, *args: Any, **options: Any) -> Any:
            stream = self._container.add_stream(*args, **options)
            stream.codec_context.thread_count = count
            return stream

    class Library(ModuleType):
        def __getattr__(self, name: str) -> Any:
            return getattr(av, name)

        @staticmethod
        def open(*args: Any, **options: Any) -> Output:
            return Output(av.open(*args, **options))

    return Library("av")
