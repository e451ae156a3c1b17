"""`pylibos run -t`: a terminal of the sandbox's own, and the process that stands between it and the invoker's.

Two processes: the one the invoker started becomes the *relay*; its child runs the sandbox, in a session of its own, and never touches the
invoker's terminal. The relay holds the master, copies bytes both ways, passes on the window size and the signals that ask for an end, and,
being the one the shell waits for, gives the terminal back as it found it before anybody else may use it. When the sandbox's process is
killed the relay lives on to do that; when the relay is killed the sandbox's process ends the run and does it in its place.

The relay never waits for one side while the other has something to say, never changes the flags of descriptors it shares with others, and
is never stopped by the terminal: in the background it leaves modes and input alone, and takes them up when it is in the foreground again.

Without -t the guest has the invoker's terminal itself; what it does to the modes is undone at the end (keep_modes).

Owns nothing of the sandbox. Sources: pty(7), termios(3), tty_ioctl(4), credentials(7).
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import signal
import stat
import struct
import sys
import termios
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from pylibos.runtime.status import PylibosError
from pylibos.tracer.native import lib

if TYPE_CHECKING:
    from collections.abc import Callable

CHUNK: Final = 65536
HELD: Final = 4 * CHUNK
"""Bytes kept for a side that does not take them; beyond it the other side waits."""
DEFAULT_SIZE: Final = (24, 80)
"""Rows and columns when none of the standard streams is a terminal."""
FOREGROUND_MS: Final = 200
"""How often a relay in the background looks whether it is in the foreground: a shell's fg of a running job sends no signal."""
END_MS: Final = (20, 250)
"""How soon, and in the end how often, it is seen whether the end of input was read."""
_END_OF_FILE: Final = b"\x04"
_PASSED_ON: Final = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)
_WATCHED: Final = (*_PASSED_ON, signal.SIGCHLD, signal.SIGWINCH, signal.SIGTSTP, signal.SIGCONT)
_WINSIZE: Final = struct.Struct("<HHHH")

Modes = list[int | list[bytes | int]]
"""What termios.tcgetattr gives."""


def attach() -> int | Terminal:
    """Make a terminal and split: a Terminal in the process that is to run the sandbox; in the relay, at the end, its exit code.

    Raises PylibosError when there is no terminal to be had, or (in the relay) when the sandbox's process was killed.
    """
    outer = Outer()
    try:
        master, slave = os.openpty()
    except OSError as error:
        raise PylibosError(f"the host gives no pseudo terminal: {os.strerror(error.errno or 0)}", "leave -t out") from error
    outer.equip(slave)
    sys.stdout.flush()
    sys.stderr.flush()
    relay = os.getpid()
    child = os.fork()
    if child:
        return Relay(outer, master, slave, child).serve()
    os.close(master)
    os.setsid()
    lib.shim_follow_parent(signal.SIGTERM)
    if os.getppid() != relay:
        os.kill(os.getpid(), signal.SIGKILL)
    if os.isatty(2):
        sys.stderr.reconfigure(newline="\r\n")  # type: ignore[union-attr]  # messages come while the terminal is raw
    return Terminal(slave, outer, relay)


class Terminal:
    """What the sandbox's process has of it. descriptor: the guest's side, for its standard streams."""

    def __init__(self, descriptor: int, outer: Outer, relay: int) -> None:
        self.descriptor = descriptor
        self._outer = outer
        self._relay = relay

    def is_lost(self) -> bool:
        """Whether the relay has been killed."""
        return os.getppid() != self._relay

    def close(self) -> None:
        """The run is over. If the relay was killed before it could give the invoker's terminal back, do that."""
        if self.is_lost():
            self._outer.inherit()


class Outer:
    """The invoker's terminal, if that descriptor (standard input, for a relay) is one."""

    def __init__(self, descriptor: int = 0) -> None:
        self.descriptor = descriptor
        self.is_terminal = os.isatty(descriptor)
        self.saved: Modes | None = None
        """The modes to give back; what a background job finds are the shell's while it edits a line, and not looked at."""
        self.raw: Modes | None = None
        self.is_raw = False
        self._look()

    def _look(self) -> bool:
        """Whether the modes are ours to change, having taken note of them; our own raw ones may have been left by a SIGSTOP."""
        if not self.is_terminal or not self.in_foreground():
            return False
        with suppress(termios.error):
            modes = termios.tcgetattr(self.descriptor)
            if modes != self.raw:
                self.saved = modes
                self.raw = _raw(termios.tcgetattr(self.descriptor), cooked_output=not os.isatty(1))
            return True
        return False

    def equip(self, slave: int) -> None:
        """Give a new terminal the invoker's modes and size."""
        if self.saved is not None:
            termios.tcsetattr(slave, termios.TCSANOW, self.saved)
        fcntl.ioctl(slave, termios.TIOCSWINSZ, self.size())

    @staticmethod
    def size() -> bytes:
        """struct winsize of the first standard stream that is a terminal."""
        for descriptor in range(3):
            with suppress(OSError):
                return fcntl.ioctl(descriptor, termios.TIOCGWINSZ, bytes(_WINSIZE.size))
        return _WINSIZE.pack(*DEFAULT_SIZE, 0, 0)

    def in_foreground(self) -> bool:
        """Whether modes may be changed and input read; always, where the terminal is not that of our session."""
        try:
            return os.tcgetpgrp(self.descriptor) == os.getpgrp()
        except OSError as error:
            return error.errno == errno.ENOTTY

    def enter(self) -> None:
        """Raw mode, in the foreground."""
        if self._look():
            assert self.raw is not None
            with suppress(termios.error):
                termios.tcsetattr(self.descriptor, termios.TCSANOW, self.raw)
                self.is_raw = True

    def leave(self) -> None:
        """The modes it had. Not from the background: they are somebody else's by now."""
        if self.is_raw and self.saved is not None and self.in_foreground():
            with suppress(termios.error):
                termios.tcsetattr(self.descriptor, termios.TCSANOW, self.saved)
        self.is_raw = False

    def inherit(self) -> None:
        """The modes it had, if they are still the raw ones: whoever has changed them since knows better."""
        if self.saved is not None:
            with suppress(termios.error):
                if termios.tcgetattr(self.descriptor) == self.raw:
                    termios.tcsetattr(self.descriptor, termios.TCSANOW, self.saved)


def keep_modes() -> Callable[[], None]:
    """For a guest that is given the invoker's terminal, one of the standard streams: what undoes, at the end, its changes to the modes."""
    outer = Outer(next(descriptor for descriptor in range(3) if os.isatty(descriptor)))
    outer.is_raw = outer.in_foreground()
    return outer.leave


def _raw(modes: Modes, *, cooked_output: bool) -> Modes:
    """cfmakeraw(3). cooked_output: leave the processing of output on, because the guest's goes elsewhere."""
    iflag, oflag, cflag, lflag, *speeds, characters = modes
    assert isinstance(iflag, int)
    assert isinstance(oflag, int)
    assert isinstance(cflag, int)
    assert isinstance(lflag, int)
    assert isinstance(characters, list)
    iflag &= ~(
        termios.IGNBRK | termios.BRKINT | termios.PARMRK | termios.ISTRIP | termios.INLCR | termios.IGNCR | termios.ICRNL | termios.IXON
    )
    if not cooked_output:
        oflag &= ~termios.OPOST
    lflag &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
    cflag = cflag & ~(termios.CSIZE | termios.PARENB) | termios.CS8
    characters[termios.VMIN], characters[termios.VTIME] = 1, 0
    return [iflag, oflag, cflag, lflag, *speeds, characters]


def _unblocked(descriptor: int) -> int:
    """An open of what descriptor writes to that does not wait; descriptor itself where that cannot be had, or would lose its position.

    O_NONBLOCK belongs to the open file, which we share with the shell and everybody else who has it.
    """
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISCHR(mode) or stat.S_ISFIFO(mode):
        with suppress(OSError):
            return os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    return descriptor


class Relay:
    """Serves one run from its start to its end."""

    def __init__(self, outer: Outer, master: int, slave: int, child: int) -> None:
        self.outer = outer
        self.master = master
        self.slave = slave
        self.child = child
        self.status: int | None = None
        self.input_open = True
        self.to_guest = bytearray()
        self.to_invoker = bytearray()
        self.end_delay = 0
        """Milliseconds until it is next seen whether the guest has read the end of input; 0 while there is input."""
        self.output = _unblocked(1)
        os.set_blocking(master, False)
        self._wake, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        for number in _WATCHED:
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, _noted)
        for number in (signal.SIGTTOU, signal.SIGTTIN):
            signal.signal(number, signal.SIG_IGN)

    def serve(self) -> int:
        """Relay until the sandbox has ended; its exit code. Raises PylibosError when its process was killed."""
        outer = self.outer
        try:
            outer.enter()
            self._reap()
            while self.status is None:
                self._turn()
            self._drain()
        finally:
            outer.leave()
        if os.WIFSIGNALED(self.status):
            name = signal.Signals(os.WTERMSIG(self.status)).name
            raise PylibosError(f"the sandbox's process was killed by {name}", "what ran in it has ended too")
        return os.WEXITSTATUS(self.status)

    # -- one turn --------------------------------------------------------------------------------------------------------------
    def _turn(self) -> None:
        interest = select.poll()
        interest.register(self._wake, select.POLLIN)
        timeout: int | None = None
        if self.to_invoker:
            interest.register(self.output, select.POLLOUT)
        if self.master >= 0:
            timeout = self._interest_in_guest(interest)
        ready = dict(interest.poll(timeout))
        if self._wake in ready:
            self._signals()
        if self.master in ready:
            self._from_guest()
        if 0 in ready:
            self._from_invoker(ready[0])
        if self.to_invoker:
            self._write_invoker()
        if self.to_guest:
            self._write_guest()
        elif self.end_delay:
            self._end_again()

    def _interest_in_guest(self, interest: select.poll) -> int | None:
        """What to wait for while there is a guest's side: when to look again at the latest, in milliseconds."""
        wanted = (select.POLLIN if len(self.to_invoker) < HELD else 0) | (select.POLLOUT if self.to_guest else 0)
        if wanted:
            interest.register(self.master, wanted)
        if not self.input_open:
            return self.end_delay or None
        if self.outer.is_terminal and not self.outer.in_foreground():
            self.outer.is_raw = False
            interest.register(0, 0)  # a lost terminal is reported all the same
            return FOREGROUND_MS
        if not self.outer.is_raw:
            self.outer.enter()
        if len(self.to_guest) < HELD:
            interest.register(0, select.POLLIN)
        return None

    def _from_guest(self) -> None:
        try:
            data = os.read(self.master, CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self.to_invoker += data

    def _from_invoker(self, events: int) -> None:
        data = b""
        if events & select.POLLIN or not self.outer.is_terminal:
            try:
                data = os.read(0, CHUNK)
            except OSError as error:
                if error.errno == errno.EIO and not events & select.POLLHUP and not self.outer.in_foreground():
                    return  # in the background since we looked
        if data:
            self.to_guest += data
            return
        self.input_open = False
        if self.outer.is_terminal:
            self._hang_up()  # a terminal in raw mode has no end but that it is gone
        else:
            self.end_delay = END_MS[0]

    def _write_invoker(self) -> None:
        try:
            del self.to_invoker[: os.write(self.output, self.to_invoker[:CHUNK])]
        except BlockingIOError:
            return
        except OSError:
            self.to_invoker.clear()  # nobody reads any more
            self._hang_up()

    def _write_guest(self) -> None:
        try:
            del self.to_guest[: os.write(self.master, self.to_guest[:CHUNK])]
        except BlockingIOError:
            return
        except OSError:
            self.to_guest.clear()

    def _hang_up(self) -> None:
        """What losing a terminal means: the kernel sends SIGHUP to the guest's session."""
        if self.master >= 0:
            os.close(self.master)
            self.master = -1

    def _end_again(self) -> None:
        """Standard input has ended, and a terminal's end of file is read only once: give it again when it was."""
        waiting = select.poll()
        waiting.register(self.slave, select.POLLIN)
        if waiting.poll(0):
            self.end_delay = min(2 * self.end_delay, END_MS[1])
            return
        with suppress(termios.error):
            modes = termios.tcgetattr(self.slave)
            character = modes[6][termios.VEOF] if modes[3] & termios.ICANON else _END_OF_FILE
            self.to_guest += character if isinstance(character, bytes) and character != b"\0" else _END_OF_FILE
            self._write_guest()

    # -- signals ---------------------------------------------------------------------------------------------------------------
    def _signals(self) -> None:
        for number in set(os.read(self._wake, 4096)):
            if number == signal.SIGWINCH:
                self._resize()
            elif number == signal.SIGTSTP:
                self._stop()
            elif number == signal.SIGCONT:
                self._resume()
            elif number in _PASSED_ON:
                os.kill(self.child, number)
        self._reap()

    def _resize(self) -> None:
        if self.master >= 0:
            with suppress(OSError):
                fcntl.ioctl(self.master, termios.TIOCSWINSZ, self.outer.size())

    def _stop(self) -> None:
        """Stop as anybody would, with the terminal as it was."""
        self.outer.leave()
        os.kill(self.child, signal.SIGSTOP)
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, _noted)
        os.kill(self.child, signal.SIGCONT)
        self._resume()

    def _resume(self) -> None:
        self.outer.is_raw = False  # the shell has set its own modes meanwhile
        self.outer.enter()
        self._resize()

    def _reap(self) -> None:
        pid, status = os.waitpid(self.child, os.WNOHANG)
        if pid:
            self.status = status

    # -- the end ---------------------------------------------------------------------------------------------------------------
    def _drain(self) -> None:
        """Pass on what the guests wrote last, unless nobody takes it and somebody asks for an end."""
        os.close(self.slave)
        while self.master >= 0:
            try:
                data = os.read(self.master, CHUNK)
            except OSError:
                break  # EIO after the last byte; EAGAIN while killed guests are on their way out
            self.to_invoker += data
        while self.to_invoker:
            interest = select.poll()
            interest.register(self.output, select.POLLOUT)
            interest.register(self._wake, select.POLLIN)
            ready = dict(interest.poll())
            if self._wake in ready and {*os.read(self._wake, 4096)} & {*_PASSED_ON}:
                return
            if self.output in ready:
                self._write_invoker()


def _noted(_number: int, _frame: object) -> None:
    """The number is in the wake-up pipe; a handler must exist for it to get there."""
