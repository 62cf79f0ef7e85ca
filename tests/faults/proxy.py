"""A TCP proxy on loopback that cuts a connection at a COMMIT."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable


class Cutter:
    """Forwards to a server's port; once `after` has gone by, it cuts the connection at the next COMMIT, once.

    answered: whether the COMMIT still reaches the server, so that only its answer is lost.
    """

    def __init__(self, port: int, after: bytes, answered: bool, on_cut: Callable[[], None]) -> None:
        # Looked up once, here: what a look-up loads cannot be read while the process is another user for the length of
        # a connect.
        self._target = socket.getaddrinfo("127.0.0.1", port, type=socket.SOCK_STREAM)[0][4]
        self._after, self._answered, self._on_cut = after, answered, on_cut
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.cuts = 0
        self.passed: list[str] = []  # of each connection: what went by, for a fault that was not caused

    def __enter__(self) -> Cutter:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_details: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _address = self._listener.accept()
                threading.Thread(target=self._serve, args=[client], daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.socket() as server:
            server.connect(self._target)
            cutting, answer = threading.Event(), threading.Event()
            threading.Thread(target=self._answers, args=[server, client, cutting, answer], daemon=True).start()
            seen, place = b"", len(self.passed)
            self.passed.append("nothing")
            with contextlib.suppress(OSError):
                while data := client.recv(65536):
                    seen = seen[-64:] + data if self._after not in seen else self._after + data
                    self.passed[place] = f"{self._after in seen}, then {data[-60:]!r}"
                    if self._after in seen and b"COMMIT" in data and not self.cuts:
                        self.cuts += 1
                        cutting.set()
                        if self._answered:
                            server.sendall(data)
                            answer.wait(10)
                        self._on_cut()
                        return
                    server.sendall(data)

    def _answers(
        self, server: socket.socket, client: socket.socket, cutting: threading.Event, answer: threading.Event
    ) -> None:
        """The other way; an answer that the client is not to hear is told to nobody else."""
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                if cutting.is_set():
                    answer.set()
                    return
                client.sendall(data)
