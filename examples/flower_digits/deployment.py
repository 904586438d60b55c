"""One SuperLink and its SuperNodes on this machine: real processes, over TLS, with known keys."""

import json
from collections.abc import Sequence
from pathlib import Path

from credentials import write_certificates, write_node_key
from link import Link, Options, environment, flags, free_ports
from service import Service


class Deployment(Link):
    """Start a SuperLink and a SuperNode for each client's folder, and stop them all at the end.

        with Deployment(root, folders) as deployment:
            run = deployment.submit({"folder": str(root), "rounds": 3})
            deployment.supernodes[2].kill()
            deployment.follow(run)
            print(deployment.status(run))

    Attributes:
        supernodes: a process for each client; each serves its own folder and knows no other.
    """

    def __init__(self, root: Path, clients: Sequence[Path]) -> None:
        """Make keys and certificates; nothing runs yet."""
        ca, certificate, key = write_certificates(root.resolve())
        options = {"ssl-ca-certfile": ca, "ssl-certfile": certificate, "ssl-keyfile": key}
        port, *ports = free_ports(1 + len(clients))
        super().__init__(root, {**options, "enable-supernode-auth": None}, port=port, ca=ca)
        self._public_keys: list[Path] = []
        self.supernodes = [
            self._supernode(folder.resolve(), port, ca)
            for folder, port in zip(clients, ports, strict=True)
        ]

    def _supernode(self, folder: Path, port: int, ca: Path) -> Service:
        key, public = write_node_key(folder)
        self._public_keys.append(public)
        options: Options = {
            "superlink": self.address,
            "root-certificates": ca,
            "auth-supernode-private-key": key,
            "host": "127.0.0.1",
            "port": port,
            "node-config": f"folder={json.dumps(str(folder))}",
        }
        return Service(
            ["flower-supernode", *flags(options)],
            environment(folder / "home"),
            self.root / f"logs/{folder.name}.log",
        )

    def start(self) -> None:
        """Start the SuperLink, tell it the SuperNodes' keys, and start the SuperNodes."""
        super().start()
        for public in self._public_keys:
            self.flwr("supernode", "register", str(public), "here")
        for supernode in self.supernodes:
            supernode.start()
        for supernode in self.supernodes:
            supernode.wait_for("SuperNode ID")

    def stop(self) -> None:
        """Stop the SuperNodes, then the SuperLink."""
        for supernode in self.supernodes:
            supernode.terminate()
        for supernode in self.supernodes:
            supernode.stop()
        super().stop()
