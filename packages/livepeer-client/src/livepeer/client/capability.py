"""A capability with the types of what it takes and gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

In = TypeVar("In")
Out = TypeVar("Out")


@dataclass(frozen=True)
class Capability(Generic[In, Out]):
    """A capability with the types of what it takes and gives. Needs the extra `typed`.

    ```python
    HELLO = Capability("hello", HelloInput, HelloOutput)
    answer = await client.call(HELLO, HelloInput(name="Ada"))
    ```

    `livepeer stub` writes such a constant, and its models, from what a runner says of itself.

    Attributes:
        name: The registered name.
        input: The type of the payload: a Pydantic model, or whatever Pydantic can write as JSON.
            `bytes` is sent as it is.
        output: The type of the answer, or of each item of a stream, as Pydantic reads it from
            JSON. `bytes` is given as it came.
        route: The runner's path.
    """

    name: str
    input: type[In]
    output: type[Out]
    route: str = "predict"
