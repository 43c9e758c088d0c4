"""The viewer's server: on the loopback address only, for one user, with a token that the printed address carries.

Other pages in the user's browser can reach the loopback address, too. Against them: every answer with data needs the
token in a header, which a foreign page neither knows nor may send without being asked about; the Host and Origin
headers must be ours, which stops a foreign name that is made to mean this machine (DNS rebinding); and the page allows
no script but its own.
"""

from __future__ import annotations

import gzip
import hmac
import json
import secrets
import sys
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import GridMismatchError, StoreError, Surrogate3dError, UnknownNameError
from surrogate3d.viewer.page import page, policy
from surrogate3d.viewer.session import Session

ADDRESS = "127.0.0.1"
TOKEN_HEADER = "X-Surrogate3D-Token"
LARGEST_BODY_BYTES = 4096
LONGEST_PATH = 2048

_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_JSON, _HTML, _BYTES = "application/json", "text/html; charset=utf-8", "application/octet-stream"


class _RefusedError(Exception):
    """A question that is not answered; its words go to the asker."""

    def __init__(self, status: HTTPStatus, words: str) -> None:
        super().__init__(words)
        self.status = status


class ViewServer(ThreadingHTTPServer):
    """Serves one session until it is closed.

    Attributes:
        session: what is looked at.
        token: that every question for data must carry.
    """

    daemon_threads = True

    def __init__(self, session: Session, port: int = 0) -> None:
        """Listen.

        Args:
            session: what is looked at.
            port: 0 takes any that is free.

        Raises:
            StoreError: the port is taken, or not allowed.
        """
        self.session, self.token = session, secrets.token_urlsafe(32)
        try:
            super().__init__((ADDRESS, port), _Handler)
        except (OSError, OverflowError) as error:
            raise StoreError(f"port {port} of {ADDRESS} cannot be had ({error}); give another --port, or 0") from error

    @property
    def url(self) -> str:
        """The address to open; the part behind # never leaves the browser but in a header to this server."""
        return f"http://{ADDRESS}:{self.server_port}/#token={self.token}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that leaves before its answer is no error of the server; all else is shown."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: ViewServer
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "surrogate3d", ""
    timeout = 60

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def _answer(self, find: Callable[[list[str]], None]) -> None:
        """Answer a question, or say in words why not."""
        try:
            self._require_local()
            if len(self.path) > LONGEST_PATH:
                raise _RefusedError(
                    HTTPStatus.REQUEST_URI_TOO_LONG, f"an address has at most {LONGEST_PATH} characters"
                )
            find([unquote(part) for part in urlsplit(self.path).path.split("/")[1:]])
        except _RefusedError as error:
            self._refuse(error.status, str(error))
        except (UnknownNameError, GridMismatchError) as error:
            self._refuse(HTTPStatus.NOT_FOUND, str(error))
        except (StoreError, MemoryError) as error:
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, str(error) or "not enough memory for this plane")
        except Surrogate3dError as error:
            self._refuse(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))

    def _require_local(self) -> None:
        """Refuse whoever came here by another name, and pages of others."""
        own = {f"{name}:{self.server.server_port}" for name in (ADDRESS, "localhost")}
        host, origin = self.headers.get("Host", ""), self.headers.get("Origin")
        if host not in own or (origin is not None and origin != f"http://{host}"):
            raise _RefusedError(HTTPStatus.FORBIDDEN, f"this server answers {ADDRESS}:{self.server.server_port} only")

    def _require_token(self) -> None:
        given = self.headers.get(TOKEN_HEADER, "").encode("latin-1", "replace")
        if not hmac.compare_digest(given, self.server.token.encode()):
            raise _RefusedError(
                HTTPStatus.UNAUTHORIZED,
                "the session's token is missing or wrong; open the address that `surrogate3d view` printed",
            )

    def _get(self, parts: list[str]) -> None:
        if parts == [""]:
            nonce = secrets.token_urlsafe(16)
            self._send(HTTPStatus.OK, page(nonce).encode(), _HTML, {"Content-Security-Policy": policy(nonce)})
            return
        self._require_token()
        match parts:
            case ["scene"]:
                self._send_json(self.server.session.manifest())
            case ["plane", name, axis, index]:
                self._send_plane(self.server.session.plane("layer", name, _integer(axis), _integer(index)))
            case ["structure", name, axis, index]:
                self._send_plane(self.server.session.plane("structure", name, _integer(axis), _integer(index)))
            case ["voxel", i, j, k]:
                self._send_json(self.server.session.voxel((_integer(i), _integer(j), _integer(k))))
            case _:
                raise _RefusedError(HTTPStatus.NOT_FOUND, "there are /scene, /plane, /structure, /voxel and /recompute")

    def _post(self, parts: list[str]) -> None:
        self._require_token()
        body = self._body()
        if parts != ["recompute"]:
            raise _RefusedError(HTTPStatus.NOT_FOUND, "only /recompute takes a POST")
        try:
            asked = json.loads(body)
        except ValueError as error:
            raise _RefusedError(HTTPStatus.BAD_REQUEST, f"expected a JSON object ({error})") from error
        self._send_json(self.server.session.recompute(asked))

    def _body(self) -> bytes:
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdigit():
            raise _RefusedError(HTTPStatus.LENGTH_REQUIRED, "a POST says how long it is (Content-Length)")
        if int(length) > LARGEST_BODY_BYTES:
            raise _RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a POST has at most {LARGEST_BODY_BYTES} bytes")
        return self.rfile.read(int(length))

    def _send_plane(self, plane: npt.NDArray[np.float32]) -> None:
        content = plane.astype("<f4", copy=False).tobytes()
        packs = "gzip" in self.headers.get("Accept-Encoding", "")
        more = {"Content-Encoding": "gzip"} if packs else {}
        self._send(HTTPStatus.OK, gzip.compress(content, 1, mtime=0) if packs else content, _BYTES, more)

    def _send_json(self, data: object, status: HTTPStatus = HTTPStatus.OK) -> None:
        self._send(status, json.dumps(data, allow_nan=False).encode(), _JSON, {})

    def _send(self, status: HTTPStatus, content: bytes, kind: str, more: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**_HEADERS, "Content-Type": kind, "Content-Length": str(len(content)), **more}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def _refuse(self, status: HTTPStatus, words: str) -> None:
        self.close_connection = True  # a body may be unread
        self._send(status, json.dumps({"error": words}).encode(), _JSON, {"Connection": "close"})

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Also what the parser refuses is said in JSON."""
        self._refuse(HTTPStatus(code), message or HTTPStatus(code).phrase)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: addresses of voxels are of no use in a terminal."""


def _integer(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise _RefusedError(HTTPStatus.NOT_FOUND, f"expected an index such as 12, found {text!r}")
    return int(text)
