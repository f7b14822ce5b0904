"""Values of WSGIDaemonProcess options: each option with what it must not accept and with what it
must.
"""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from harness import AS_ROOT, Httpd
from tables import reference

SECONDS = "seconds, or with ms, s, min, h or d"
BYTES = "bytes, or with K, M or G"
NO_USER = "there is no such user on this system"
NO_GROUP = "there is no such group on this system"

# option, what is not valid, what is said of it
INVALID = [
    ("processes", "0", "is not a number from 1 to 10000; for example processes=1"),
    ("processes", "10001", "is not a number from 1 to 10000"),
    ("threads", "-1", "is not a number from 0 to 10000; for example threads=15"),
    ("threads", "abc", "is not a number"),
    ("threads", "5s", "is not a number"),
    ("threads", "5.0", "is not a number"),
    ("threads", "0x5", "is not a number"),
    ("threads", "99999999999999999999", "is not a number"),
    ("user", "root", "must not run as root"),
    ("user", "#0", "must not run as root"),
    ("user", "nobodyy", f"{NO_USER}, did you mean nobody"),
    ("user", "#12x", "expected # and a number, for example user=#1000"),
    ("user", "#4294967295", "expected # and a number"),
    ("group", "nogrup", f"{NO_GROUP}, did you mean nogroup"),
    ("group", "#", "expected # and a number"),
    ("supplementary-groups", "mail,nogrup", f"supplementary-groups=nogrup: {NO_GROUP}"),
    ("umask", "8", "is not an octal number from 0 to 0777; for example umask=0027"),
    ("umask", "01000", "is not an octal number"),
    ("umask", "-1", "is not an octal number"),
    ("chroot", "jail", "must be an absolute path"),
    ("home", "here", "must be an absolute path"),
    ("env", "A", "is not NAME=value"),
    ("env-file", "a.env", "must be an absolute path"),
    ("python-home", "venv", "must be an absolute path"),
    ("python-eggs", "eggs", "must be an absolute path"),
    ("switch-interval", "0", "expected seconds greater than 0, for example switch-interval=0.005"),
    ("switch-interval", "fast", "expected seconds greater than 0"),
    ("stack-size", "1000", f"is not a number from 32768 to 1073741824 {BYTES}"),
    ("maximum-requests", "-1", "is not a number from 0 to 1000000000"),
    ("startup-timeout", "-1", f"is not a number from 0 to 2147483647 {SECONDS}"),
    (
        "shutdown-timeout",
        "5m",
        f"is not a number from 0 to 2147483647 {SECONDS}; for example shutdown-timeout=5",
    ),
    ("graceful-timeout", "2147483648", f"is not a number from 0 to 2147483647 {SECONDS}"),
    ("eviction-timeout", "x", SECONDS),
    ("deadlock-timeout", "300 s", "'s' is not an option=value"),
    ("inactivity-timeout", "999999999999d", f"is not a number from 0 to 2147483647 {SECONDS}"),
    ("request-timeout", "1.5", SECONDS),
    ("interrupt-timeout", "s", SECONDS),
    ("restart-interval", "1w", SECONDS),
    ("connect-timeout", "596524h", SECONDS),
    ("socket-timeout", "60S", SECONDS),
    ("queue-timeout", "1us", SECONDS),
    ("response-socket-timeout", "never", SECONDS),
    (
        "response-flush-delay",
        "61s",
        "is not a number from 0 to 60 seconds, given in milliseconds or with ms or s",
    ),
    ("listen-backlog", "65536", "is not a number from 0 to 65535"),
    ("socket-user", "nobodyy", f"{NO_USER}, did you mean nobody"),
    ("send-buffer-size", "511", f"is not a number from 512 to 1073741824 {BYTES}"),
    ("receive-buffer-size", "1k", f"is not a number from 512 to 1073741824 {BYTES}"),
    ("header-buffer-size", "8191", f"is not a number from 8192 to 1073741824 {BYTES}"),
    ("request-buffer-size", "17M", BYTES),
    ("request-spool-size", "1T", BYTES),
    ("response-buffer-size", "-5", BYTES),
    ("script-user", "nobodyy", f"{NO_USER}, did you mean nobody"),
    ("script-group", "nogrup", f"{NO_GROUP}, did you mean nogroup"),
    ("script-group", "nogroup script-user=nobody", "cannot be used together"),
    ("cpu-time-limit", "1min30s", SECONDS),
    ("cpu-priority", "20", "is not a number from -20 to 19; for example cpu-priority=19"),
    ("cpu-priority", "-21", "is not a number from -20 to 19"),
    ("memory-limit", "512MB", BYTES),
    (
        "memory-limit",
        "10",
        "memory-limit=10 is 10 bytes, too little for any process: expected 16M or more",
    ),
    ("virtual-memory-limit", "lots", BYTES),
    ("server-metrics", "yes", "expected On or Off"),
    ("request-timeout-scaling", "1", "expected On or Off"),
    (
        "slow-request",
        "-1",
        f"is not a number from 0 to 2147483647 {SECONDS}; for example slow-request=10",
    ),
    ("reload", "later", "expected now or rolling"),
    ("queue-size", "65536", "is not a number from 0 to 65535"),
    ("memory-rss-limit", "1GB", BYTES),
]

VALID = (
    "processes=10000 threads=10000 user=nobody group=#12345 supplementary-groups=mail,#9 "
    "umask=0777 chroot=/ home=/ lang=C "
    "locale=C env=A=b env-file={root}/empty.env python-home={prefix} python-path=/a:/b "
    "python-eggs=/tmp switch-interval=0.0001 "
    "stack-size=0 display-name='%{GROUP} x' maximum-requests=1000000000 startup-timeout=2147483647 shutdown-timeout=0 "
    "graceful-timeout=1500ms eviction-timeout=24h deadlock-timeout=5min inactivity-timeout=365d request-timeout=60s "
    "interrupt-timeout=1 restart-interval=12h connect-timeout=0 socket-timeout=10 queue-timeout=45 "
    "response-socket-timeout=5 "
    "response-flush-delay=0 listen-backlog=0 socket-user=#33 send-buffer-size=0 "
    "receive-buffer-size=64K header-buffer-size=32768 "
    "request-buffer-size=16M request-spool-size=0 response-buffer-size=1024G script-user=nobody cpu-time-limit=0 "
    "cpu-priority=-20 memory-limit=2G virtual-memory-limit=0 server-metrics=on "
    "request-timeout-scaling=Off slow-request=0 reload=rolling queue-size=65535 memory-rss-limit=0"
)


ANY_TEXT = {"lang", "locale", "python-path", "display-name"}


def test_every_option_is_in_both_tables() -> None:
    invalid = {option for option, _, _ in INVALID}
    assert invalid | ANY_TEXT == {row.name for row in reference().options()}
    assert {word.split("=")[0] for word in VALID.split() if "=" in word} | {
        "script-group"
    } == invalid | ANY_TEXT


@pytest.mark.parametrize(
    ("option", "value", "said"),
    INVALID,
    ids=lambda value: value.split()[0] if value.strip() else "empty",
)
def test_what_is_not_valid_fails_configtest(
    httpd: Httpd, option: str, value: str, said: str
) -> None:
    status, output = httpd.configtest(f"WSGIDaemonProcess shop {option}={value}")
    assert status != 0
    assert f"{httpd.root}/httpd.conf" in output and "WSGIDaemonProcess shop: " in output
    assert said in output


@pytest.mark.parametrize(
    "option", sorted(ANY_TEXT | {"python-home", "python-eggs", "supplementary-groups"})
)
def test_an_option_that_may_be_missing_may_be_empty(httpd: Httpd, option: str) -> None:
    status, output = httpd.configtest(f"WSGIDaemonProcess shop {option}='' {option}=")
    assert status == 0, output


def test_what_is_valid_is_accepted(httpd: Httpd) -> None:
    (httpd.root / "empty.env").touch()
    status, output = httpd.configtest(
        "WSGIDaemonProcess shop " + VALID.replace("{prefix}", sys.prefix)
    )
    assert status == 0, output


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "shop thread=5",
            "unknown option 'thread', did you mean threads; valid options are processes, threads, ",
        ),
        ("shop colour=red", "unknown option 'colour'; valid options are"),
        ("shop Threads=5", "unknown option 'Threads', did you mean threads"),
        ("shop threads", "'threads' is not an option=value"),
        ("shop threads = 5", "there must be no space around the ="),
        ("threads=5", "needs the group's name as its first argument"),
        ("", "needs the group's name as its first argument"),
    ],
)
def test_what_is_no_option_fails_configtest(httpd: Httpd, line: str, said: str) -> None:
    status, output = httpd.configtest(f"WSGIDaemonProcess {line}")
    assert status != 0 and f"{httpd.root}/httpd.conf" in output and said in output


# ---- effects that no other file has ----


def hold(httpd: Httpd, options: str) -> tuple[str, Path]:
    """A group whose one thread can be kept busy: the URL that does it, and the file that ends it."""
    if AS_ROOT:
        httpd.root.chmod(0o777)
    httpd.start(
        f"WSGIDaemonProcess d threads=1 {options}\nWSGIScriptAlias / {{app}}/process.py process-group=d\n"
    )
    httpd.worker()  # the options limit how long one is waited for, too
    go = httpd.root / "go"
    return httpd.url(f"/hold?{go}"), go


def test_a_full_queue_gives_503_after_connect_timeout(httpd: Httpd) -> None:
    url, go = hold(httpd, "listen-backlog=0 connect-timeout=0")
    refused = threading.Event()

    def ask() -> int:
        status = requests.get(url, timeout=60).status_code
        if status == 503:
            refused.set()
        return status

    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(ask) for _ in range(4)]
        assert refused.wait(60)
        go.touch()
        statuses = sorted(each.result() for each in asked)
    assert statuses[0] == 200 and statuses[-1] == 503
    assert "connect-timeout=0" in httpd.expect("WSGI0309")


def test_a_worker_that_is_silent_for_socket_timeout_gives_504(httpd: Httpd) -> None:
    url, go = hold(httpd, "socket-timeout=1")
    assert requests.get(url, timeout=60).status_code == 504
    assert "within 1 s (socket-timeout=" in httpd.expect("WSGI0311")
    go.touch()


def test_switch_interval(httpd: Httpd) -> None:
    httpd.start(
        "WSGIDaemonProcess d switch-interval=0.25\nWSGIScriptAlias / {app}/facts.py process-group=d\n"
    )
    assert requests.get(httpd.url("/"), timeout=60).json()["switch"] == 0.25


def test_header_buffer_size_limits_nothing(httpd: Httpd) -> None:
    (httpd.app / "long.py").write_text(
        "def application(environ, start_response):\n"
        "    start_response('200 OK', [('X-Long', 'x' * 40000)])\n"
        "    return [b'sent']\n"
    )
    httpd.start(
        "WSGIDaemonProcess d header-buffer-size=8192\nWSGIScriptAlias / {app}/long.py process-group=d\n"
    )
    assert len(requests.get(httpd.url("/"), timeout=60).headers["X-Long"]) == 40000
