"""The page of wsgi-status in a browser, and what hostile texts become in every format."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from harness import Httpd, wait_until
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from statussite import (
    MODULES,
    STATUS,
    conf,
    counted,
    get,
    metrics,
    page,
    running_only,
    shop,
    waiting,
)

CHROMIUM = shutil.which("chromium")


@pytest.fixture
def httpd() -> Iterator[Httpd]:
    server = Httpd(extra_modules=MODULES)
    yield server
    server.finish()


# What is no UTF-8: a stray byte, a half of a UTF-16 pair, forms that are too long, beyond Unicode;
# and what is.
NO_UTF8 = (
    b"\xff",
    b"\xed\xa0\x80",
    b"\xc0\xaf",
    b"\xe0\x9f\xbf",
    b"\xf0\x8f\xbf\xbf",
    b"\xf4\x90\x80\x80",
)
UTF8 = "\u00e9\u0800\ud7ff\ue000\U00010000\U0010ffff"
HOSTILE = b"/wait?<script>alert(1)</script>&\"'>" + b"".join(NO_UTF8) + UTF8.encode() + b"<!--"


def test_hostile_urls_are_text_in_every_format(httpd: Httpd) -> None:
    httpd.start(conf())
    get(httpd, "/")
    with waiting(httpd, HOSTILE):
        url = (
            HOSTILE.partition(b"\xff")[0].decode()
            + b"".join(NO_UTF8).decode("latin-1")
            + UTF8
            + "<!--"
        )
        (request,) = running_only(httpd, url)["running"]
        assert request["url"] == url
        answer = page(httpd)
        assert b"<script>alert" not in answer.content and b"<!--" not in answer.content
        assert b"&lt;script&gt;alert(1)&lt;/script&gt;&amp;&quot;" in answer.content
        parse_openmetrics(metrics(httpd))


def test_the_name_of_a_group_is_text_in_every_format(httpd: Httpd) -> None:
    name = r"""a<b>"c\d"""
    quoted = name.replace("\\", r"\\").replace('"', r"\"")
    httpd.start(STATUS + f'WSGIDaemonProcess "{quoted}"\n')
    assert shop(httpd)["name"] == name
    assert "<b>" not in page(httpd).text.partition("<main>")[2].partition('<div class="tiles">')[0]
    assert {
        sample.labels["group"]
        for family in parse_openmetrics(metrics(httpd))
        for sample in family.samples
    } == {name}


def test_the_page_may_load_nothing(httpd: Httpd) -> None:
    httpd.start(conf())
    answer = page(httpd)
    policy = answer.headers["Content-Security-Policy"]
    (nonce,) = set(re.findall(r"'nonce-([^']+)'", policy))
    assert policy.startswith("default-src 'none';") and len(nonce) == 24
    assert re.findall(r"<(?:script|style)[^>]*>", answer.text) == [
        f'<style nonce="{nonce}">',
        f'<script nonce="{nonce}">',
    ]
    assert not re.findall(r'(?:src|href)="(?!\?format=)', answer.text)
    assert page(httpd).headers["Content-Security-Policy"] != policy


def value_at(group: Any, path: str) -> Any:
    for name in path.split("."):
        group = group[name]
    return group


def test_each_value_of_the_page_is_in_the_json_under_the_name_that_its_script_uses(
    httpd: Httpd,
) -> None:
    httpd.start(conf())
    assert [get(httpd, path) for path in ("/", "/missing")] == [200, 404]
    group, text = counted(httpd, 2), page(httpd).text
    group["serving"] = 1  # which the script counts itself
    shown = dict(re.findall(r'data-k="([^"]+)" data-f="[nt]">([^<]*)<', text))
    assert shown["requests.4xx"] == "1" and shown["processes"] == "1" and len(shown) > 15
    assert shown == {path: str(value_at(group, path)) for path in shown}
    for path in re.findall(r'data-[km]="([^"]+)"', text):
        value_at(group, path)
    assert set(re.findall(r'data-h="([^"]+)"', text)) == set(group["latency"])


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_the_page_lives_in_a_browser(httpd: Httpd) -> None:
    httpd.start(conf())
    get(httpd, "/")
    flags = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
        "--disable-component-update --disable-sync --virtual-time-budget=3000 --dump-dom"
    )
    with waiting(httpd, HOSTILE):
        wait_until(
            lambda: [request["slow"] for request in shop(httpd)["running"]] == [True], "it runs"
        )
        command = [
            str(CHROMIUM),
            *flags.split(),
            f"--user-data-dir={httpd.root}/browser",
            httpd.url("/wsgi-status"),
        ]
        # Sanitizers are for httpd and workers
        environment = {**os.environ, "HOME": str(httpd.root), "LD_PRELOAD": ""}
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=60, env=environment, check=True
        )
    assert '<span id="live">live</span>' in done.stdout, done.stderr
    assert "<script>alert" not in done.stdout.partition("<main>")[2].partition("<script")[0]
    assert (
        "<td>GET /wait?&lt;script&gt;alert(1)" in done.stdout
        and '<tr class="marked">' in done.stdout
    )
    assert '<b data-k="threads.busy" data-f="n">1</b>' in done.stdout
    for heads, rows in re.findall(
        r"<thead>(.*?)</thead><tbody[^>]*>(.*?)</tbody>", done.stdout, re.DOTALL
    ):
        for row in re.findall(r"<tr(?! class=\"empty\").*?</tr>", rows, re.DOTALL):
            assert row.count("<td") == heads.count("<th"), row
