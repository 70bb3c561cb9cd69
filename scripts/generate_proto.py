# /// script
# requires-python = ">=3.11"
# dependencies = ["grpcio-tools==1.73.1", "setuptools"]
# ///
"""Write the Python modules of a `.proto` file, beside it.

Run it with `uv run --script scripts/generate_proto.py`, after a change of a `.proto` file. The
compiler is pinned: what it writes is read by protobuf from 6.31 on, and by its next major version.

Two things are changed in what the compiler writes. The messages go into a pool of descriptors of
their own, as another package of the same process may bring the network's messages too, and one
pool takes each name once. And the stub says what its mappings hold.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = (
    ROOT / "packages/livepeer-client/src/livepeer/client/_proto/livepeer.proto",
    ROOT / "packages/livepeer-runner/src/livepeer/runner/_local/_proto/local.proto",
)
HEAD = "# ruff: noqa: {codes}\n# fmt: off\n# pyright: basic\n"
CODES = {
    ".py": "E501, I001",
    ".pyi": "E501, I001, N803, N815, RUF023, UP007, UP045",
}
REPLACED = (
    ("_descriptor_pool.Default()", "_descriptor_pool.DescriptorPool()"),
    (", _Mapping]", ", _Mapping[str, object]]"),
)


def generate(source: Path) -> dict[str, str]:
    """The text of each file that belongs beside `source`, by name."""
    # Present only where this script declares it.
    from grpc_tools import protoc

    with tempfile.TemporaryDirectory() as folder:
        code = protoc.main(
            ["", f"-I{source.parent}", f"--python_out={folder}", f"--pyi_out={folder}", source.name]
        )
        if code:
            raise SystemExit(code)
        return {path.name: _mended(path) for path in Path(folder).iterdir()}


def _mended(path: Path) -> str:
    text = HEAD.format(codes=CODES[path.suffix]) + path.read_text()
    for old, new in REPLACED:
        text = text.replace(old, new)
    return text


def main() -> int:
    """Write, or with `--check` only compare. The exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; 1 when out of date")
    parser.add_argument("source", nargs="*", type=Path, help="`.proto` files; default: all of ours")
    options = parser.parse_args()
    stale = [one for source in options.source or SOURCES for one in _stale(source.resolve())]
    for path, text in stale:
        if not options.check:
            path.write_text(text)
        print(f"{'out of date' if options.check else 'written'}: {path}")
    return 1 if stale and options.check else 0


def _stale(source: Path) -> list[tuple[Path, str]]:
    """Each file beside `source` that is out of date, and what it should say."""
    made = ((source.parent / name, text) for name, text in generate(source).items())
    return [(path, text) for path, text in made if not path.exists() or path.read_text() != text]


if __name__ == "__main__":
    sys.exit(main())
