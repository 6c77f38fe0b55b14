"""`mimar serve`: the page of a study over HTTP, live, for this machine alone or for those who have the token."""

from __future__ import annotations

import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest
from tests.cli.conftest import heed_interrupts

from mimar.cli._serve import COOKIE, StudyPage, server_of


@contextmanager
def serving(page, host="127.0.0.1"):
    """The port of a server of `page` that runs meanwhile."""
    with server_of(page, (host, 0)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def get(port, path="/", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", path, headers={"Host": f"localhost:{port}", **headers})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text, answer.headers


@pytest.fixture
def study(design, tmp_path):
    assert design("--trials", 8, "--study", "s.db").code == 0
    return tmp_path / "s.db"


def test_the_page_and_its_version_follow_the_study(study, design) -> None:
    with serving(StudyPage(study, 1e9, None)) as port:
        status, page, headers = get(port)
        assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        assert "8 evaluated" in page or ">8<" in page
        assert "connect-src 'self'" in page
        version = get(port, "/version")[1]
        assert f'data-version="{version}"' in page
        assert get(port)[1] == page
        assert design("--study", "s.db", "--resume", "--trials", 16).code == 0
        assert get(port, "/version")[1] != version
        assert get(port)[1] != page
        assert get(port, "/s.db")[0] == get(port, "/../s.db")[0] == 404


def test_a_study_that_is_gone_is_a_sentence_and_the_server_stays(study) -> None:
    with serving(StudyPage(study, 1e9, None)) as port:
        assert get(port)[0] == 200
        moved = study.rename(study.with_name("away.db"))
        status, text, _ = get(port)
        assert status == 503
        assert "no study at" in text
        moved.rename(study)
        assert get(port)[0] == 200


def test_what_no_browser_sends_ends_in_a_sentence_or_in_nothing(study, capfd) -> None:
    with serving(StudyPage(study, 1e9, None)) as port:
        for said in (
            b"GET http://[ HTTP/1.0\r\n\r\n",
            b"\xff\xfe\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        ):
            with socket.create_connection(("127.0.0.1", port)) as visitor:
                visitor.sendall(said)
                visitor.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # leaves amid the answer
        assert get(port)[0] == 200
    assert "Traceback" not in capfd.readouterr().err


def test_names_of_other_places_are_refused(study) -> None:
    """A page of others that a browser was led to believe to lie here asks by its own name."""
    with serving(StudyPage(study, 1e9, None)) as port:
        for host in ("evil.example", f"evil.example:{port}", "", "127.0.0.1.evil.example", "[bad"):
            assert get(port, Host=host)[0] == 403
        for host in (f"127.0.0.1:{port}", "localhost", f"[::1]:{port}"):
            assert get(port, Host=host)[0] == 200


def test_a_token_is_shown_once_and_kept_as_a_cookie(study) -> None:
    with serving(StudyPage(study, 1e9, "right")) as port:
        for path, headers in (
            ("/", {}), ("/?token=wrong", {}), ("/?token=", {}), ("/version", {}),
            ("/", {"Cookie": f"{COOKIE}-{port}=wrong"}), ("/", {"Cookie": f"{COOKIE}-1=right"}),
            ("/", {"Cookie": "\xff;;=,"}), ("/?token=%ff", {}),
        ):  # fmt: skip
            status, text, _ = get(port, path, **headers)
            assert status == 401
            assert "right" not in text
        status, _, headers = get(port, "/?token=right", Host="machine.example")
        assert (status, headers["Location"]) == (303, "/")
        assert "HttpOnly; SameSite=Lax" in headers["Set-Cookie"]
        cookie = headers["Set-Cookie"].partition(";")[0]
        assert get(port, "/", Cookie=cookie, Host="machine.example")[0] == 200
        assert get(port, "/version", Cookie=f"other=1; {cookie}")[0] == 200


@pytest.mark.slow
def test_a_browser_shows_what_came_meanwhile_and_keeps_what_was_chosen(study, design, browser, tmp_path) -> None:
    longer = tmp_path / "longer.db"
    shutil.copy(study, longer)
    assert design("--study", longer, "--resume", "--trials", 16).code == 0
    shown, console = StudyPage(study, 1e9, None), []
    with serving(shown) as port:
        page = browser.new_page()
        page.on("console", lambda message: console.append(message.text))
        page.on("pageerror", lambda error: console.append(str(error)))
        page.goto(f"http://127.0.0.1:{port}/")
        page.locator("#x-axis").select_option("2")
        page.evaluate("document.querySelector('#front-table .select').click()")  # touches nothing
        chosen = page.locator("#selected h3").text_content()
        page.get_by_text("Live: grows with the study.").wait_for()
        before = page.locator("#live").get_attribute("data-version")
        os.replace(longer, study)
        page.locator(f'#live:not([data-version="{before}"])').wait_for()
        page.get_by_text("Live: grows with the study.").wait_for()
        assert page.locator("#live").get_attribute("data-version") == shown.version() != before
        assert page.locator("#selected h3").text_content() == chosen
        assert page.locator("#x-axis").input_value() == "2"
        assert page.locator(".main-svg").count() >= 4
    page.get_by_text("The server does not answer").wait_for()
    page.close()
    assert [line for line in console if "net::ERR_" not in line] == []  # of a server that is gone


@pytest.mark.slow
def test_a_page_that_was_touched_moves_only_when_asked_to(study, design, browser, tmp_path) -> None:
    longer = tmp_path / "longer.db"
    shutil.copy(study, longer)
    assert design("--study", longer, "--resume", "--trials", 16).code == 0
    with serving(StudyPage(study, 1e9, None)) as port:
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{port}/")
        before = page.locator("#live").get_attribute("data-version")
        page.locator("#tokens").click()
        os.replace(longer, study)
        button = page.get_by_role("button", name="Show what came since")
        button.wait_for()
        assert page.locator("#live").get_attribute("data-version") == before
        assert page.evaluate("document.activeElement.id") == "tokens"
        button.click()
        page.locator(f'#live:not([data-version="{before}"])').wait_for()
        study.unlink()
        page.get_by_text("no study at").wait_for()
        page.close()


def test_a_study_behind_a_link_is_followed(study, design, tmp_path) -> None:
    link = tmp_path / "link.db"
    link.symlink_to(study)
    page = StudyPage(link, 1e9, None)
    before = page.version()
    (tmp_path / "s.db-wal").write_bytes(b"grown")
    assert page.version() != before


@pytest.mark.parametrize(("host", "tokened"), [("127.0.0.1", False), ("0.0.0.0", True)])
def test_the_command_says_where_and_ends_with_ctrl_c(study, host, tokened) -> None:
    command = [sys.executable, "-m", "mimar", "serve", str(study), "--host", host, "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=heed_interrupts) as process:
        line = process.stderr.readline()
        reached = socket.gethostname() if host == "0.0.0.0" else host
        found = re.match(rf"http://{re.escape(reached)}:(\d+)/(\?token=\S+)? \(Ctrl-C ends it\)", line)
        assert found, line
        assert (found[2] is not None) == tokened
        assert get(int(found[1]))[0] == (401 if tokened else 200)
        assert get(int(found[1]), f"/{found[2] or ''}")[0] == (303 if tokened else 200)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130


def test_what_cannot_be_served_is_refused(mimar, study) -> None:
    mimar("serve", "none.db").refused(2, "no study at none.db")
    mimar("serve", study, "--host", "no.such.host.example").refused(2, "cannot listen at no.such.host.example")
    with serving(StudyPage(study, 1e9, None)) as port:
        mimar("serve", study, "--port", port).refused(2, f"cannot listen at 127.0.0.1:{port}")
