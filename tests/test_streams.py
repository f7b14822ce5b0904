"""sys.stdout, sys.stderr and wsgi.errors are a log, and otherwise what a program expects."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
import requests
from conftest import MODES, conf_for
from harness import Httpd, wait_until


@pytest.fixture(scope="module", params=list(MODES))
def server(request: pytest.FixtureRequest) -> Iterator[Httpd]:
    httpd = Httpd()
    httpd.start(
        "ServerLimit 1\n" + conf_for(request.param, "streams.py").replace("processes=2", "")
    )
    httpd.mode = request.param  # type: ignore[attr-defined]
    yield httpd
    httpd.finish()


@pytest.fixture
def word() -> str:
    return uuid.uuid4().hex


def ask(server: Httpd, path: str, word: str) -> str:
    response = requests.get(server.url(f"/{path}?{word}"), timeout=60)
    assert response.status_code == 200
    return response.text


def expect_texts(server: Httpd, word: str, *texts: str) -> None:
    for text in texts:
        wait_until(lambda text=text: f"{word} {text}\n" in server.log_text(), f"{text} is logged")  # type: ignore[misc]


def test_the_streams_can_be_wrapped_anew(server: Httpd, word: str) -> None:
    ask(server, "rewrapped", word)
    expect_texts(server, word, "in a wrapper", "in a codec", "above the buffer")


def test_what_a_wrapper_has_collected_is_logged_with_the_request(server: Httpd, word: str) -> None:
    ask(server, "left_wrapped", word)
    expect_texts(server, word, "collected")
    (line,) = [line for line in server.log_text().splitlines() if word in line]
    assert "[client 127.0.0.1:" in line


def test_only_text_can_be_written_and_anything_else_writes_nothing(
    server: Httpd, word: str
) -> None:
    assert ask(server, "wrong", word) == "TypeError"
    expect_texts(server, word, "good 0", "good 1")
    texts = {line.partition(word)[2] for line in server.log_text().splitlines() if word in line}
    assert texts == {" good 0", " good 1"}


def test_the_descriptor_is_that_of_the_log_or_there_is_none(server: Httpd, word: str) -> None:
    descriptor = {"daemon": "2", "embedded": "UnsupportedOperation"}[server.mode]  # type: ignore[attr-defined]
    assert ask(server, "descriptors", word) == " ".join([descriptor] * 4)
    if server.mode == "daemon":  # type: ignore[attr-defined]
        expect_texts(server, word, "by descriptor", "by a program")
