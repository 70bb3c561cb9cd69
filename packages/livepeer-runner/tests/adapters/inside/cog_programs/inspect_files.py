# ruff: noqa: B006, B008, UP042 - as authors of Cog write it
"""Several files and a secret in, an object with a file out; async from setup() on."""

import asyncio
import tempfile
from enum import Enum
from typing import Any

from cog import BaseModel, BaseRunner, Input, Path, Secret


class Mood(str, Enum):
    calm = "calm"
    wild = "wild"


class Output(BaseModel):
    names: list[str]
    total: int
    report: Path
    mood: Mood
    note: str | None = None


class Runner(BaseRunner):
    async def setup(self) -> None:
        await asyncio.sleep(0)
        self.ready = True

    async def run(
        self,
        files: list[Path] = Input(description="What to look at"),
        token: Secret = Input(description="Lets you in"),
        sizes: list[int] = Input(default=[1, 2], ge=1, le=9),
        options: dict[str, Any] = {},
        mood: str = Input(default=Mood.calm.value, choices=[one.value for one in Mood]),
    ) -> Output:
        assert self.ready
        if token.get_secret_value() != "open":
            raise PermissionError("closed")
        report = Path(tempfile.mkdtemp()) / "report.txt"
        report.write_text(f"{len(files)} files, {sum(sizes)}, {options}")
        total = sum(len(file.read_bytes()) for file in files)
        return Output(
            names=[file.name for file in files], total=total, report=report, mood=Mood(mood)
        )
