"""`mimar serve`: the report of a study over HTTP, live while a search runs."""

from __future__ import annotations

import hmac
import ipaddress
import os
import secrets
import socket
import sys
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from mimar.cli._output import say
from mimar.cli._report import report_data
from mimar.cli._shrink_report import shrink_report
from mimar.cli._study_file import open_study, uncollected
from mimar.errors import InputError, MimarError
from mimar.report import render_html

COOKIE: Final = "mimar-token"
"""Begin of a cookie's name; the port follows, since browsers share cookies between the ports of a host."""

PATIENCE: Final = 30.0
"""Seconds that a visitor may say nothing."""


class StudyPage:
    """The page of the study at a path, rendered again only once its file has changed.

    token: what a visitor has to show, in the address once and as a cookie then; None where none is needed.
    """

    def __init__(self, path: Path, training_tokens: float, token: str | None) -> None:
        self.token = token
        self._path = path
        self._training_tokens = training_tokens
        self._lock = threading.Lock()
        self._kept: tuple[str, bytes] | None = None

    def version(self) -> str:
        """Another text whenever the study may hold more; costs three looks at the file system. The file is not opened:
        to close it would drop the locks with which it is being read.

        InputError where it is not there.
        """
        file = Path(os.path.realpath(self._path))  # SQLite's log lies beside the file, not beside a link
        if not file.exists():
            raise InputError(f"no study at {self._path}: check the path")
        return f"{_stamp(file)}-{_stamp(file.with_name(f'{file.name}-wal'))}"

    def html(self) -> bytes:
        """Raises what reading the study raises."""
        with self._lock:  # two visitors, one rendering
            version = self.version()  # before reading: what is written meanwhile shows next time
            if self._kept is None or self._kept[0] != version:
                with uncollected():
                    data = shrink_report(self._path) or report_data(open_study(self._path))
                    text = render_html(data, training_tokens=self._training_tokens, live=version)
                self._kept = version, text.encode()
            return self._kept[1]


def serve_study(
    path: Path, training_tokens: float, address: tuple[str, int], on_start: Callable[[str], None] = say
) -> None:
    """Serve the study until Ctrl-C. address: host and port, 0 for a free one; on_start is told where.

    Whoever is not on this machine has to show a token, which is made when the host is no loopback address.
    InputError where the study cannot be read or the address is taken.
    """
    host, _ = address
    page = StudyPage(path, training_tokens, None if _is_loopback(host) else secrets.token_urlsafe(24))
    page.html()
    try:
        server = server_of(page, address)
    except (OSError, OverflowError) as error:
        raise InputError(f"cannot listen at {host}:{address[1]} ({error}): choose another --host or --port") from error
    with server:
        port = server.server_address[1]
        reached = socket.gethostname() if host in ("0.0.0.0", "::") else host
        shown = f"[{reached}]" if ":" in reached else reached
        on_start(f"http://{shown}:{port}/{'' if page.token is None else f'?token={page.token}'} (Ctrl-C ends it)")
        server.serve_forever()


def server_of(page: StudyPage, address: tuple[str, int]) -> ThreadingHTTPServer:
    """A server of `page` that is bound to `address` and not running yet."""

    class Handler(_Handler):
        shown = page

    class Server(ThreadingHTTPServer):
        daemon_threads = True  # a visitor that never ends reading does not keep it from ending
        address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A visitor who leaves amid the page is no error."""
            if not isinstance(sys.exception(), ConnectionError | TimeoutError):
                super().handle_error(request, client_address)

    return Server(address, Handler)


class _Handler(BaseHTTPRequestHandler):
    """``/`` is the page, ``/version`` its version; everything else does not exist."""

    shown: StudyPage
    server_version, sys_version = "mimar", ""
    timeout = PATIENCE

    def do_GET(self) -> None:
        """Answer one visitor."""
        try:
            asked = urlsplit(self.path)
        except ValueError:
            self._answer(HTTPStatus.BAD_REQUEST, b"no address")
            return
        if self.shown.token is None and not _is_loopback(_host_of(self.headers.get("Host", ""))):
            # A page of others that a browser was led to believe to lie here (DNS rebinding) gets nothing.
            self._answer(HTTPStatus.FORBIDDEN, b"only for this machine")
        elif not self._is_let_in(asked.query):
            self._answer(HTTPStatus.UNAUTHORIZED, b"the token is missing: open the address that mimar serve printed")
        elif asked.query and self.shown.token is not None:
            self._answer(HTTPStatus.SEE_OTHER, b"", ("Location", "/"), ("Set-Cookie", self._cookie()))
        elif asked.path == "/":
            self._show(self.shown.html, "text/html")
        elif asked.path == "/version":
            self._show(lambda: self.shown.version().encode(), "text/plain")
        else:
            self._answer(HTTPStatus.NOT_FOUND, b"there is no such page")

    def _show(self, made: Callable[[], bytes], kind: str) -> None:
        try:
            body = made()
        except (MimarError, OSError) as error:
            self._answer(HTTPStatus.SERVICE_UNAVAILABLE, str(error).encode())
        else:
            self._answer(HTTPStatus.OK, body, kind=kind)

    def _is_let_in(self, query: str) -> bool:
        token = self.shown.token
        if token is None:
            return True
        given = [*parse_qs(query).get("token", []), *self._cookies()]
        return any(hmac.compare_digest(each.encode(), token.encode()) for each in given)

    def _cookies(self) -> list[str]:
        try:
            found = SimpleCookie(self.headers.get("Cookie", "")).get(self._cookie_name)
        except CookieError:
            return []
        return [] if found is None else [found.value]

    def _cookie(self) -> str:
        """Keeps the token out of the address bar, of the history and of what other sites are told."""
        return f"{self._cookie_name}={self.shown.token}; HttpOnly; SameSite=Lax; Path=/"

    @property
    def _cookie_name(self) -> str:
        return f"{COOKIE}-{self.connection.getsockname()[1]}"

    def _answer(self, status: HTTPStatus, body: bytes, *headers: tuple[str, str], kind: str = "text/plain") -> None:
        self.send_response(status)
        own = {
            "Content-Type": f"{kind}; charset=utf-8",
            "Content-Length": str(len(body)),
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Referrer-Policy": "no-referrer",
        }
        for name, value in (*own.items(), *headers):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that the base class gives it
        """Says nothing: an address may hold the token."""


def _stamp(file: Path) -> str:
    """When it was last written, and its size; empty where it is not there, which can change at any instant."""
    try:
        found = file.stat()
    except OSError:
        return ""
    return f"{found.st_mtime_ns}.{found.st_size}"


def _host_of(header: str) -> str:
    """``localhost:8080`` or ``[::1]:8080`` → the host."""
    try:
        return urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return ""


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
