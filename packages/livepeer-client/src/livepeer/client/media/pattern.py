"""A test picture that moves and counts, made here, so that a stream needs no file and no camera."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Picture = NDArray[np.uint8]

_BARS: Final = (
    (192, 192, 192),
    (192, 192, 0),
    (0, 192, 192),
    (0, 192, 0),
    (192, 0, 192),
    (192, 0, 0),
    (0, 0, 192),
)
# Rows of five bits each.
_DIGITS: Final = (
    (14, 17, 19, 21, 25, 17, 14),
    (4, 12, 4, 4, 4, 4, 14),
    (14, 17, 1, 2, 4, 8, 31),
    (31, 2, 4, 2, 1, 17, 14),
    (2, 6, 10, 18, 31, 2, 2),
    (31, 16, 30, 1, 1, 17, 14),
    (6, 8, 16, 30, 17, 17, 14),
    (31, 1, 2, 4, 8, 8, 8),
    (14, 17, 17, 14, 17, 17, 14),
    (14, 17, 17, 15, 1, 2, 12),
)
_SHOWN: Final = 6
_BITS: Final = 16
_SMALLEST: Final = (96, 64)


class Pattern:
    """Pictures by their number: colour bars, a ramp that runs, a ball, and the number itself.

    The number stands in digits in the middle, and in white and black along the bottom, from where
    `pattern_number` reads it back, also after coding and scaling.

    Args:
        width: In pixels, from 96.
        height: In pixels, from 64.

    Raises:
        ValueError: It is too small.
    """

    def __init__(self, width: int = 640, height: int = 360) -> None:
        if width < _SMALLEST[0] or height < _SMALLEST[1]:
            raise ValueError(
                f"a test picture of {width}x{height} is too small: it is from"
                f" {_SMALLEST[0]}x{_SMALLEST[1]}"
            )
        self._width, self._height = width, height
        self._still = self._bars()
        self._ramp = (np.arange(width) * 255 // width).astype(np.uint8)
        self._bottom = height - _strip(height)

    def picture(self, number: int) -> Picture:
        """Picture `number` from 0, as (height, width, 3) RGB of uint8."""
        image = self._still.copy()
        top = self._height * 2 // 3
        image[top : self._bottom] = np.roll(self._ramp, number * 4)[None, :, None]
        self._ball(image, number)
        self._digits(image, number)
        edges = np.linspace(0, self._width, _BITS + 1).astype(int)
        for bit in range(_BITS):
            lit = number >> (_BITS - 1 - bit) & 1
            image[self._bottom :, edges[bit] : edges[bit + 1]] = 235 if lit else 16
        return image

    def _bars(self) -> Picture:
        image = np.zeros((self._height, self._width, 3), np.uint8)
        edges = np.linspace(0, self._width, len(_BARS) + 1).astype(int)
        for color, left, right in zip(_BARS, edges, edges[1:], strict=False):
            image[:, left:right] = color
        return image

    def _ball(self, image: Picture, number: int) -> None:
        radius = self._height // 12
        x = radius + _bounce(number * 5, self._width - 2 * radius)
        y = radius + _bounce(number * 3, self._bottom - 2 * radius)
        rows, columns = np.ogrid[-radius : radius + 1, -radius : radius + 1]
        disc = rows * rows + columns * columns <= radius * radius
        image[y - radius : y + radius + 1, x - radius : x + radius + 1][disc] = 255

    def _digits(self, image: Picture, number: int) -> None:
        scale = max(min(self._width // (_SHOWN * 8), self._height // 20), 1)
        left = (self._width - _SHOWN * 6 * scale) // 2
        top = (self._height - 7 * scale) // 2
        image[top - scale : top + 8 * scale, left - scale : left + _SHOWN * 6 * scale] = 16
        for place, digit in enumerate(f"{number % 10**_SHOWN:0{_SHOWN}d}"):
            rows = np.array(_DIGITS[int(digit)], np.uint8)
            bits = (rows[:, None] >> np.arange(4, -1, -1)) & 1
            block = np.kron(bits, np.ones((scale, scale), np.uint8)).astype(bool)
            x = left + place * 6 * scale
            image[top : top + 7 * scale, x : x + 5 * scale][block] = 235


def pattern_number(picture: Picture) -> int:
    """The number of a test picture, modulo 65,536, from its bottom edge.

    Args:
        picture: (height, width, 3) or (height, width), of whatever size it was scaled to.
    """
    height = picture.shape[0]
    row = picture[height - max(_strip(height) // 2, 1)]
    light = row if row.ndim == 1 else row.mean(axis=1)
    edges = np.linspace(0, len(light), _BITS + 1)
    middles = ((edges[:-1] + edges[1:]) / 2).astype(int)
    number = 0
    for middle in middles:
        number = number << 1 | int(light[middle] > 125)
    return number


def _strip(height: int) -> int:
    return max(height // 12, 4)


def _bounce(way: int, room: int) -> int:
    """Where something is that runs to and fro within `room`."""
    way %= 2 * (room - 1)
    return min(way, 2 * (room - 1) - way)
