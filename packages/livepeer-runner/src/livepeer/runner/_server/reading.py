"""From a body to arguments, with code of the author's in between."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from livepeer.runner._schema.contract import Contract

# What would end the loop, the call or its thread, and not only fail it.
_NO_ERRORS: Final = (
    SystemExit,
    GeneratorExit,
    StopIteration,
    StopAsyncIteration,
    asyncio.CancelledError,
)


def read_arguments(contract: Contract, body: bytes, content_type: str) -> dict[str, object]:
    """Turn a request body into the arguments of a method, as `Contract.parse` does.

    Raises:
        InvalidParams: The body does not fit.
        Exception: What a validator of the author's raised; what is no error is a RuntimeError.
    """
    try:
        return contract.parse(body, content_type)
    except _NO_ERRORS as exc:
        raise RuntimeError(f"a validator raised {type(exc).__name__}: {exc}") from exc
