"""What if a server hangs, or its connections break? A proxy on 127.0.0.1 that can be frozen and cut."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

CHUNK_BYTES = 65_536


class FaultProxy:
    """Passes bytes both ways to a Unix socket or to host and port."""

    def __init__(self, target: Path | tuple[str, int]) -> None:
        self._target = target
        self._passing = threading.Event()
        self._passing.set()
        self._lines: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, name="fault-proxy", daemon=True).start()

    def freeze(self) -> None:
        """Connections stay open and new ones are taken, but nothing comes through."""
        self._passing.clear()

    def thaw(self) -> None:
        self._passing.set()

    def cut(self) -> None:
        """Break every connection there is."""
        for line in self._lines:
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
        self._lines.clear()

    def close(self) -> None:
        """Refuse new connections too."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.thaw()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                here, _ = self._listener.accept()
            except OSError:
                return
            there = self._dial()
            self._lines += [here, there]
            for source, sink in ((here, there), (there, here)):
                threading.Thread(target=self._pass, args=(source, sink), name="fault-proxy", daemon=True).start()

    def _dial(self) -> socket.socket:
        if isinstance(self._target, Path):
            line = socket.socket(socket.AF_UNIX)
            line.connect(str(self._target))
            return line
        return socket.create_connection(self._target)

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(CHUNK_BYTES):
                self._passing.wait()
                sink.sendall(data)
        for line in (source, sink):
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
            line.close()


@contextlib.contextmanager
def fault_proxy(target: Path | tuple[str, int]) -> Iterator[FaultProxy]:
    proxy = FaultProxy(target)
    try:
        yield proxy
    finally:
        proxy.close()


def redis_target(url: str) -> tuple[Path | tuple[str, int], str]:
    """Where the proxy leads, and what follows host and port in an address through it."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return Path(parts.path), f"/{parse_qs(parts.query).get('db', ['0'])[0]}"
    return (parts.hostname or "127.0.0.1", parts.port or 6379), parts.path
