"""A SuperLink on this machine, and Flower's own commands to it."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from service import Service

APP = Path(__file__).resolve().parent
BIN = Path(sys.executable).parent  # Flower starts its own programs by name
QUIET = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # Ray warns until this is said
    "RAY_raylet_start_wait_time_s": "120",  # Ray gives up early on a busy machine
    "OMP_NUM_THREADS": "1",  # clients share the cores
    "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.25",  # seconds; Flower's own 1 is felt in each message
}

Settings = Mapping[str, bool | float | int | str]
Options = Mapping[str, str | int | Path | None]


class Link:
    """Run a SuperLink, start runs of the app on it, and stop it at the end.

    Attributes:
        root: where everything is written.
        superlink: the process.
        address: where it listens.
    """

    def __init__(
        self, root: Path, options: Options, *, port: int | None = None, ca: Path | None = None
    ) -> None:
        """Prepare a SuperLink with these options; nothing runs yet."""
        self.root, port = root.resolve(), port or free_ports(1)[0]
        for name in ("home", "logs"):
            (self.root / name).mkdir(parents=True)
        self._env = environment(self.root / "home")
        self.address = f"127.0.0.1:{port}"
        self._write_config(ca)
        options = {
            "host": "127.0.0.1",
            "port": port,
            "database": self.root / "superlink.db",
            **options,
        }
        self.superlink = Service(
            ["flower-superlink", "--disable-runtime-dependency-installation", *flags(options)],
            self._env,
            self.root / "logs/superlink.log",
        )

    def _write_config(self, ca: Path | None) -> None:
        """Tell Flower's commands where the SuperLink is."""
        trust = "insecure = true" if ca is None else f"root-certificates = {json.dumps(str(ca))}"
        here = f'[superlink.here]\naddress = "{self.address}"\n{trust}\n'
        (self.root / "home/config.toml").write_text(f'[superlink]\ndefault = "here"\n{here}')

    def __enter__(self) -> Self:
        """Start everything."""
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop everything."""
        self.stop()

    def start(self) -> None:
        """Start the SuperLink, and wait until it listens."""
        self.superlink.start()
        self.superlink.wait_for("Uvicorn running")

    def stop(self) -> None:
        """Stop the SuperLink."""
        self.superlink.stop()

    def submit(
        self, settings: Settings, federation: Settings | None = None, *, app: Path = APP
    ) -> str:
        """Start a run of the app with these settings, and return its number.

        Raises:
            RuntimeError: where Flower takes no such run, with what it said.
        """
        options = ["--run-config", _toml(settings)]
        if federation:
            options += ["--federation-config", _toml(federation)]
        said = self.flwr("run", str(app), "here", *options, "--format", "json")
        started = _json(said)
        if "run-id" not in started:  # Flower's exit status is 0 all the same
            raise RuntimeError(f"flwr run failed:\n{said}")
        return str(started["run-id"])

    def follow(self, run: str, say: Callable[[str], None] = print) -> None:
        """Pass on the run's log line by line until the run ends."""
        command = ["flwr", "log", run, "here", "--stream"]
        with subprocess.Popen(
            command, env=self._env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            try:
                for line in process.stdout or ():
                    say(line.rstrip())
            finally:
                process.terminate()

    def status(self, run: str) -> str:
        """Say how the run goes; ``finished:completed`` where it went well."""
        said = self.flwr("list", "here", "--run-id", run, "--format", "json")
        return str(_json(said)["runs"][0]["status"])

    def flwr(self, *arguments: str) -> str:
        """Run one of Flower's own commands, and return what it says.

        Raises:
            RuntimeError: where it fails, with what it said.
        """
        done = subprocess.run(["flwr", *arguments], env=self._env, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"flwr {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
        return done.stdout


def environment(home: Path) -> dict[str, str]:
    """Return an environment in which Flower finds its programs, keeps to ``home``, and is quiet."""
    path = os.pathsep.join([str(BIN), os.environ.get("PATH", "")])
    return {**os.environ, **QUIET, "PATH": path, "FLWR_HOME": str(home)}


def flags(options: Options) -> list[str]:
    """Write options as a command takes them; None stands for an option without a value."""
    pairs = [(f"--{name}", value) for name, value in options.items()]
    return [str(each) for pair in pairs for each in pair if each is not None]


def free_ports(n: int) -> list[int]:
    """Return ports of 127.0.0.1 on which nobody listens."""
    sockets = [socket.socket() for _ in range(n)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _toml(settings: Settings) -> str:
    return " ".join(f"{name}={json.dumps(value)}" for name, value in settings.items())


def _json(text: str) -> dict[str, list[dict[str, object]]]:
    """Read the JSON that stands behind what Flower says on its way."""
    found: dict[str, list[dict[str, object]]] = json.loads(text[text.index("{") :])
    return found
