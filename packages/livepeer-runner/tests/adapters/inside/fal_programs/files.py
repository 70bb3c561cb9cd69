"""Files of the author's own making."""

import tempfile
from pathlib import Path

import fal
from fal.toolkit import File
from pydantic import BaseModel


class Input(BaseModel):
    file: File
    upper: bool = True


class Output(BaseModel):
    result: File


class Convert(fal.App):
    def setup(self):
        self.folder = Path(tempfile.mkdtemp())

    @fal.endpoint("/")
    def convert(self, input: Input) -> Output:
        text = input.file.save(self.folder / "in.txt", overwrite=True).read_text()
        path = self.folder / "out.txt"
        path.write_text(text.upper() if input.upper else text)
        return Output(result=File.from_path(path, content_type="text/plain"))
