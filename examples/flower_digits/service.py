"""A program that runs beside this one until it is stopped, or killed."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path


class Service:
    """Run a command in a session of its own, with its output in a file."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str], log: Path) -> None:
        """Prepare the command; nothing runs yet."""
        self.command, self.env, self.log = list(command), dict(env), log
        self._process: subprocess.Popen[bytes] | None = None
        self._logged = 0  # bytes of the log that earlier starts wrote

    @property
    def is_running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the command; its output is appended to the log."""
        self._logged = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a Ctrl-C in the terminal is for us to pass on
            )

    def wait_for(self, words: str, *, seconds: float = 120) -> None:
        """Wait until the command has written ``words`` since it was last started.

        Raises:
            RuntimeError: where it ends before, or takes longer, with the end of its log.
        """
        deadline = time.monotonic() + seconds
        while words not in self.output:
            if not self.is_running or time.monotonic() > deadline:
                how = "is silent" if self.is_running else "has ended"
                tail = "\n".join(self.output.splitlines()[-20:])
                raise RuntimeError(f"{self.command[0]} {how} before it said {words!r}:\n{tail}")
            time.sleep(0.1)

    @property
    def output(self) -> str:
        """What the command wrote since it was last started."""
        return self.log.read_bytes()[self._logged :].decode(errors="replace")

    def kill(self) -> None:
        """End the command and all that it started at once, as a power cut would (kill -9)."""
        self._end(_family(self._process))

    def terminate(self) -> None:
        """Ask the command to end, and do not wait for it."""
        if self._process is not None and self.is_running:
            self._process.terminate()

    def stop(self, *, seconds: float = 10) -> None:
        """Ask the command to end; after a while, kill what is left of it and of what it started."""
        family = _family(self._process)
        self.terminate()
        if self._process is not None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)
        self._end(family)

    def restart(self) -> None:
        """Stop the command and start it again."""
        self.stop()
        self.start()

    def _end(self, family: list[int]) -> None:
        for pid in family:  # parents first: the dead start nothing
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self._process is not None:
            self._process.wait()


def _family(process: subprocess.Popen[bytes] | None) -> list[int]:
    """Return the process and all that it started, parents first; some are in other sessions."""
    if process is None or process.poll() is not None:
        return []
    listed = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True
    )
    pairs = [tuple(map(int, line.split())) for line in listed.stdout.splitlines()]
    found = [process.pid]
    for parent in found:
        found += [pid for pid, parent_of_it in pairs if parent_of_it == parent]
    return found
