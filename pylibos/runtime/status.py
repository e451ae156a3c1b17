"""How a run ended: ExitStatus, its exit code, its JSON status line; and the ways a run can fail to start.

Exit codes (the table of README and --help): the guest's own 0..255; 128+n killed by signal n; 124 time-out; 125 PyLibOS itself failed;
126 the program exists but cannot be executed; 127 the program was not found in the guest's view. The status line tells a guest's own 125
from ours. Imports nothing at start-up; json only when a status line is wanted.
"""

from __future__ import annotations

EXIT_TIMEOUT = 124
EXIT_INTERNAL = 125
EXIT_NOT_EXECUTABLE = 126
EXIT_NOT_FOUND = 127
EXIT_SIGNAL_BASE = 128

REASONS = frozenset({"exit", "signal", "timeout", "denied", "internal", "not-found", "not-executable"})


class PylibosError(Exception):
    """PyLibOS could not do what it was asked: one clear sentence, and what to do next. Never carries a guest's fault."""

    exit_code = EXIT_INTERNAL
    reason = "internal"

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


class ProgramNotFound(PylibosError):  # noqa: N818 - named after what happened, as the shells do
    """The program to start does not exist in the guest's view."""

    exit_code = EXIT_NOT_FOUND
    reason = "not-found"


class ProgramNotExecutable(PylibosError):  # noqa: N818 - see above
    """The program exists, but is no executable file or may not be executed under the policy."""

    exit_code = EXIT_NOT_EXECUTABLE
    reason = "not-executable"


class ExitStatus:
    """How a run ended.

    code: the entry program's exit code when reason is "exit"; signal: the number of the signal that killed it, else 0; denied: the
    distinct denials, one text each; usage: resource figures by name (nanoseconds, bytes, counts).
    """

    __slots__ = ("code", "denied", "reason", "signal", "usage")

    def __init__(
        self,
        code: int = 0,
        signal: int = 0,
        reason: str = "exit",
        denied: tuple[str, ...] | list[str] = (),
        usage: dict[str, int] | None = None,
    ) -> None:
        if reason not in REASONS and not reason.startswith("limit:"):
            raise ValueError(reason)
        self.code = code
        self.signal = signal
        self.reason = reason
        self.denied = tuple(denied)
        self.usage = usage or {}

    @classmethod
    def failed(cls, error: PylibosError) -> ExitStatus:
        """The status of a run that never started."""
        return cls(code=error.exit_code, reason=error.reason)

    def to_exit_code(self) -> int:
        """The exit code pylibos ends with, 0..255."""
        if self.reason == "timeout":
            return EXIT_TIMEOUT
        if self.reason == "internal":
            return EXIT_INTERNAL
        if self.signal:
            return EXIT_SIGNAL_BASE + self.signal
        return self.code & 0xFF

    def to_json(self) -> str:
        """The status line without its newline: one JSON object with a fixed set of keys."""
        import json

        fields = {
            "event": "exit",
            "code": self.to_exit_code(),
            "signal": self.signal or None,
            "reason": self.reason,
            "denied": list(self.denied),
            "usage": self.usage,
        }
        return json.dumps(fields, ensure_ascii=True)
