"""The clip through the served pipeline: green goes up by the amount, red and blue stay."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from livepeer.runner.frames import VideoFrame
from livepeer.runner.testing import Refused, live_session

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    import numpy as np
    from numpy.typing import NDArray

torch = pytest.importorskip("torch")
# Tensors this small are done by one thread before others have begun.
torch.set_num_threads(1)


@pytest.mark.parametrize(("params", "amount"), [({}, 0.3), ({"amount": -0.2}, -0.2)])
async def test_green_changes_by_the_amount(
    load: Callable[[str], ModuleType],
    segments: list[bytes],
    pictures: list[NDArray[np.uint8]],
    params: dict[str, float],
    amount: float,
) -> None:
    async with live_session(load("green_shift").green_shift, params=params) as session:
        await session.publish(*segments[:2])
        shown = [frame for frame in await session.frames() if isinstance(frame, VideoFrame)]

    assert len(shown) == 50
    for picture, frame in zip(pictures, shown, strict=False):
        change = frame.to_ndarray("rgb24").astype(float) - picture
        # Where nothing is clipped, neither in the tensor nor on the way back to 4:2:0.
        middle = ((picture > 60) & (picture < 180)).all(axis=-1)
        red, green, blue = change[middle].mean(axis=0)
        assert green == pytest.approx(amount * 127.5, abs=4)
        assert red == pytest.approx(0, abs=4)
        assert blue == pytest.approx(0, abs=4)


async def test_an_amount_out_of_range_is_refused(load: Callable[[str], ModuleType]) -> None:
    with pytest.raises(Refused, match="amount") as refused:
        async with live_session(load("green_shift").green_shift, params={"amount": 3}):
            pass
    assert refused.value.status == 422
