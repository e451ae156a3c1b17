"""Reading PNG files as what they show, to compare pictures: width, height, rows of bytes. Only what browsers write (8 bits, no interlace).

Source: PNG (Portable Network Graphics) specification, third edition, sections 5, 9 and 11.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}
"""Bytes of a pixel by colour type."""


class PictureError(ValueError):
    """Not a picture this reads."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded picture; pixel (x, y) is ``rows[y][x * size : (x + 1) * size]``."""

    width: int
    height: int
    size: int
    rows: tuple[bytes, ...]

    def pixel(self, x: int, y: int) -> bytes:
        """The bytes of one pixel."""
        return self.rows[y][x * self.size : (x + 1) * self.size]

    def colours(self) -> int:
        """How many different pixels there are."""
        return len({self.pixel(x, y) for y in range(self.height) for x in range(self.width)})

    def alike(self, other: Picture) -> float:
        """The share of pixels that are equal; 0 for pictures of different shape."""
        if (self.width, self.height, self.size) != (other.width, other.height, other.size):
            return 0.0
        places = [(x, y) for y in range(self.height) for x in range(self.width)]
        return sum(self.pixel(x, y) == other.pixel(x, y) for x, y in places) / max(1, len(places))


def decode(data: bytes) -> Picture:
    """The picture of a PNG file. Raises PictureError."""
    if not data.startswith(_SIGNATURE):
        raise PictureError("no PNG signature")
    header, content, at = b"", b"", len(_SIGNATURE)
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        body = data[at + 8 : at + 8 + length]
        if zlib.crc32(kind + body) != struct.unpack_from(">I", data, at + 8 + length)[0]:
            raise PictureError(f"wrong checksum of {kind!r}")
        header = body if kind == b"IHDR" else header
        content += body if kind == b"IDAT" else b""
        at += length + 12
    width, height, depth, colour, _compression, _filter, interlace = struct.unpack(">IIBBBBB", header)
    if depth != 8 or colour not in _CHANNELS or interlace:
        raise PictureError(f"depth {depth}, colour type {colour}, interlace {interlace}")
    size = _CHANNELS[colour]
    return Picture(width, height, size, tuple(_rows(zlib.decompress(content), width * size, height, size)))


def _rows(raw: bytes, length: int, height: int, size: int) -> list[bytes]:
    """Undo each row's filter."""
    if len(raw) != (length + 1) * height:
        raise PictureError("too few or too many pixels")
    rows: list[bytes] = []
    above = bytearray(length)
    for number in range(height):
        start = number * (length + 1)
        row = bytearray(raw[start + 1 : start + 1 + length])
        method = raw[start]
        for index in range(length):
            left = row[index - size] if index >= size else 0
            corner = above[index - size] if index >= size else 0
            row[index] = (row[index] + _predicted(method, left, above[index], corner)) & 255
        rows.append(bytes(row))
        above = row
    return rows


def _predicted(method: int, left: int, up: int, corner: int) -> int:
    if method == 4:
        estimate = left + up - corner
        return min((left, up, corner), key=lambda value: abs(estimate - value))
    values = (0, left, up, (left + up) // 2)
    if method >= len(values):
        raise PictureError(f"filter {method}")
    return values[method]
