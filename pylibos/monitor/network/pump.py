"""Carries the bytes of one connection between two stream sockets, both ways, without copying them through this process.

What it is: two halves, each a pipe between two sockets (splice(2)), moved whenever one of them is ready. Owns both sockets. Bounded: what
waits is at most a pipe's content for each direction. A direction that ends is shut down on the other side once its bytes are through;
an error on one side becomes a reset on the other.
Must not know where the sockets lead.
Source: splice(2), tcp(7), RFC 9293 section 3.6 (half-closed connections).
"""

from __future__ import annotations

import enum
import fcntl
import os
import socket
import struct
from contextlib import suppress
from typing import Final

_CHUNK: Final = 1 << 18
_TURNS: Final = 16
"""Moves before others have a turn."""
_SPLICE_FLAGS: Final = 3
"""SPLICE_F_MOVE | SPLICE_F_NONBLOCK."""
_F_SETPIPE_SZ: Final = 1031
_RESET: Final = struct.pack("ii", 1, 0)
"""struct linger: on, no time; close(2) then resets the connection."""


def reset(connection: socket.socket) -> None:
    """Close so that the peer sees a reset, not an orderly end."""
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    connection.close()


class Progress(enum.Enum):
    """What comes next: call again soon; when a socket is ready; never."""

    MORE = 1
    WAIT = 2
    END = 3


class _Half:
    """One direction."""

    __slots__ = ("ended", "held", "reader", "shut", "sink", "source", "writer")

    def __init__(self, source: socket.socket, sink: socket.socket) -> None:
        self.source = source
        self.sink = sink
        self.reader, self.writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        with suppress(OSError):  # a user who has many pipes gets no larger ones: the usual 64 KiB will do
            fcntl.fcntl(self.writer, _F_SETPIPE_SZ, _CHUNK)
        self.held = 0
        self.ended = False
        self.shut = False

    def move(self) -> bool:
        """Move what can be moved. True when there may be more at once. OSError when the connection is broken."""
        for _turn in range(_TURNS):
            moved = 0
            if not self.ended and self.held < _CHUNK:
                with suppress(BlockingIOError):
                    moved = os.splice(self.source.fileno(), self.writer, _CHUNK - self.held, flags=_SPLICE_FLAGS)
                    self.held += moved
                    self.ended = moved == 0
            if self.held:
                with suppress(BlockingIOError):
                    sent = os.splice(self.reader, self.sink.fileno(), self.held, flags=_SPLICE_FLAGS)
                    self.held -= sent
                    moved += sent
            if self.ended and not self.held and not self.shut:
                self.shut = True
                self.sink.shutdown(socket.SHUT_WR)
            if not moved:
                return False
        return True

    def close(self) -> None:
        os.close(self.reader)
        os.close(self.writer)


class Pump:
    """One connection. Both sockets are non-blocking; whoever owns the loop watches them (edge-triggered) and calls move."""

    def __init__(self, one: socket.socket, other: socket.socket) -> None:
        self.sockets = (one, other)
        for end in self.sockets:
            end.setblocking(False)
            with suppress(OSError):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._halves = (_Half(one, other), _Half(other, one))
        self.open = True

    def move(self) -> Progress:
        """Move what can be moved both ways; at the END everything is closed."""
        if not self.open:
            return Progress.END
        again = False
        try:
            for half in self._halves:
                again = half.move() or again
        except OSError:
            self.close(broken=True)
            return Progress.END
        if all(half.shut for half in self._halves):
            self.close()
            return Progress.END
        return Progress.MORE if again else Progress.WAIT

    def close(self, *, broken: bool = False) -> None:
        """Give both sockets up; broken: so that both peers see a reset."""
        if not self.open:
            return
        self.open = False
        for half in self._halves:
            half.close()
        for end in self.sockets:
            if broken:
                reset(end)
            else:
                end.close()
