"""What `serve` makes of its options: the text of the configuration, and what the server does with
it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
from harness import AS_ROOT, free_port, wait_until
from served import HELLO, directory_with_hello, run, serving

from httpd_wsgi.command import jsonlog, relay, words
from httpd_wsgi.command.errors import CommandError
from httpd_wsgi.command.render import Layout, render_conf
from httpd_wsgi.command.settings import ServerSettings, parse_bind
from httpd_wsgi.command.target import Target

LAYOUT = Layout(
    Path("/run/site"), Target("/srv/app.py", "", "/srv", ()), (), Path("/lib/mod_wsgi.so"), "", 0
)
NASTY = 'a "quote", it\'s ${HOME} $HOME %{GLOBAL} \\ back\\'


@pytest.fixture
def site() -> Iterator[Path]:
    with directory_with_hello("httpd-wsgi site-") as path:
        for sub in ("public", "public/.git", "public/sub", "files"):
            (path / sub).mkdir()
        (path / "public" / "page.html").write_text("a page " * 200)
        (path / "public" / "sub" / "index.html").write_text("an index")
        (path / "public" / ".git" / "config").write_text("secret")
        (path / "public" / ".env").write_text("secret")
        (path / "files" / "f.css").write_text("a style")
        yield path


@pytest.fixture(scope="module")
def certificate() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "cert.pem")
        names = "subjectAltName=DNS:localhost,IP:127.0.0.1"
        command = (
            f"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext {names}"
        )
        subprocess.run(
            [*command.split(), "-keyout", f"{name}/key.pem", "-out", str(path)],
            check=True,
            capture_output=True,
        )
        yield path


def test_options_become_directives() -> None:
    settings = ServerSettings(
        target="app.py",
        processes=3,
        threads=7,
        daemon_options=(("request-timeout", "30s"),),
        env=(("A", "1"),),
        mount_point="/shop",
    )
    conf = render_conf(settings, LAYOUT)
    assert (
        f'WSGIDaemonProcess "serve" "python-home={settings.python_home}" "home=/srv" "env=A=1" processes=3 threads=7 '
        'display-name=%{GROUP} "request-timeout=30s"\n'
    ) in conf
    assert (
        'WSGIScriptAlias "/shop" "/srv/app.py" "process-group=serve" "application-group=%{GLOBAL}"\n'
        in conf
    )
    assert "processes=" not in render_conf(replace(settings, processes=None), LAYOUT)


def test_a_value_with_a_line_break_is_refused() -> None:
    with pytest.raises(CommandError, match="line break"):
        words.conf("a\nLoadModule x")


@pytest.mark.parametrize("text", ["127.0.0.1:80", "[::1]:80", ":80", "localhost:80"])
def test_addresses_read_back_as_they_are_written(text: str) -> None:
    assert str(parse_bind(text)) == text.removeprefix(":")


def test_units_of_systemd_keep_values_whole() -> None:
    assert (
        words.unit('a $b %c "d"') == '"a $$b %%c \\"d\\""'
        and words.unit("/usr/bin/x") == "/usr/bin/x"
    )


def test_no_value_breaks_out_of_the_configuration(site: Path) -> None:
    with serving(site, "hello.py", "--env", f"MARKED={NASTY}") as served:
        assert served.get("/x").text == f"|/x|{NASTY}|{site}"


@pytest.mark.parametrize("name", ['it\'s "$HOME" ${HOME}', "a [b] *", "back\\slash%20"])
def test_directories_of_any_name_work(site: Path, name: str) -> None:
    home = site / name
    home.mkdir()
    (home / "hello.py").write_text(HELLO)
    (home / "x.txt").write_text("a file")
    with serving(
        home, "hello.py", "--static", f"/static/={home}/", "--document-root", str(home)
    ) as served:
        assert (served.get("/y").text, served.get("/static/x.txt").text) == (
            f"|/y||{home}",
            "a file",
        )
        assert served.get("/x.txt").text == "a file"


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("other", "key is not that of the certificate"),
        ("encrypted", "is encrypted; httpd cannot"),
        ("", "name the key with"),
    ],
)
def test_keys_that_httpd_could_not_use_are_one_line(
    site: Path, certificate: Path, key: str, said: str
) -> None:
    pem = certificate.with_name("key.pem")
    command = {
        "other": ["genrsa"],
        "encrypted": ["rsa", "-aes256", "-passout", "pass:x", "-in", str(pem)],
    }
    if key:
        done = subprocess.run(["openssl", *command[key]], check=True, capture_output=True)
        (site / "key.pem").write_bytes(done.stdout)
    options = [
        "--https-certificate",
        str(certificate),
        *(["--https-key", "key.pem"] if key else []),
    ]
    done = run("serve", "hello.py", "--port", "0", *options, cwd=site)
    assert (done.returncode, done.stderr.count("\n")) == (8, 1) and said in done.stderr, done.stderr


def test_print_config_shows_what_would_run(site: Path) -> None:
    done = run("serve", "--print-config", "hello.py", "-w", "2", "-t", "9", cwd=site)
    assert (
        done.returncode == 0
        and "processes=2" in done.stdout
        and '"request-timeout=9"' in done.stdout
    )


# ---- files ----


def test_files_of_the_document_root_win_over_the_application(site: Path) -> None:
    with serving(
        site, "hello.py", "--document-root", "public", "--directory-index", "index.html"
    ) as served:
        assert served.get("/page.html").text.startswith("a page")
        assert served.get("/page.html").headers["Content-Type"] == "text/html"
        assert served.get("/sub/").text == "an index"
        assert [
            served.get(path).text.split("|")[1] for path in ("/", "/other", "/page.html/x")
        ] == [
            "/",
            "/other",
            "/page.html/x",
        ]


@pytest.mark.parametrize("path", ["/.git/config", "/.env"])
def test_hidden_files_are_not_published(site: Path, path: str) -> None:
    with serving(site, "hello.py", "--document-root", "public") as served:
        assert served.get(path).status_code == 403


def test_url_aliases_and_mount_point(site: Path) -> None:
    with serving(
        site,
        "hello.py",
        "--mount-point",
        "/app",
        "--static",
        "/static/=files",
        "--static",
        "/robots.txt=files/f.css",
    ) as served:
        assert served.url.endswith("/app")
        base = served.url.removesuffix("/app")
        assert requests.get(base + "/static/f.css", timeout=60).text == "a style"
        assert requests.get(base + "/robots.txt", timeout=60).text == "a style"
        assert requests.get(base + "/static/", timeout=60).status_code == 404  # no listing
        assert requests.get(base + "/elsewhere", timeout=60).status_code == 404
        assert served.get("/x").text.startswith("/app|/x|")


def test_compression_and_the_limit_for_bodies(site: Path) -> None:
    with serving(
        site, "hello.py", "--document-root", "public", "--compress", "--limit-request-body", "10"
    ) as served:
        assert served.get("/page.html").headers["Content-Encoding"] == "gzip"
        assert requests.post(served.url + "/x", data=b"x" * 11, timeout=60).status_code == 413


def test_included_files_have_the_last_word(site: Path) -> None:
    (site / "more.conf").write_text('<Location "/private">\nRequire all denied\n</Location>\n')
    with serving(site, "hello.py", "--include-file", "more.conf") as served:
        assert (served.get("/private").status_code, served.get("/x").status_code) == (403, 200)


# ---- addresses ----


@pytest.mark.parametrize("mpm", ["worker", "prefork"])
def test_other_mpms_serve(site: Path, mpm: str) -> None:
    with serving(site, "hello.py", "--mpm", mpm, "--max-clients", "30") as served:
        assert served.get("/x").text.startswith("|/x|")


def test_https_and_http2_on_the_address_itself(site: Path, certificate: Path) -> None:
    key = str(certificate.with_name("key.pem"))
    arguments = [
        "--https-certificate",
        str(certificate),
        "--https-key",
        key,
        "--http2",
        "--hsts",
        "max-age=60",
    ]
    with serving(site, "hello.py", *arguments) as served:
        assert served.url.startswith("https://")
        reply = served.get("/x", verify=str(certificate))
        assert (
            reply.text.startswith("|/x|")
            and reply.headers["Strict-Transport-Security"] == "max-age=60"
        )
        curl = [
            "curl",
            "-s",
            "--cacert",
            str(certificate),
            "--http2",
            "-o",
            "/dev/null",
            "-w",
            "%{http_version}",
            served.url,
        ]
        assert subprocess.run(curl, capture_output=True, text=True, check=True).stdout == "2"


def test_https_beside_http_with_a_redirect(site: Path, certificate: Path) -> None:
    key, port = str(certificate.with_name("key.pem")), free_port()
    arguments = [
        "--https-certificate",
        str(certificate),
        "--https-key",
        key,
        "--https-port",
        str(port),
        "--https-only",
    ]
    with serving(site, "hello.py", *arguments, "--document-root", "public") as served:
        reply = served.get("/a b?c=d")
        assert (reply.status_code, reply.headers["Location"]) == (
            308,
            f"https://127.0.0.1:{port}/a%20b?c=d",
        )
        secure = f"https://localhost:{port}"
        assert requests.get(secure + "/x", verify=str(certificate), timeout=60).text.startswith(
            "|/x|"
        )
        assert requests.get(
            secure + "/page.html", verify=str(certificate), timeout=60
        ).text.startswith("a page")


def test_only_the_named_hosts_are_answered(site: Path) -> None:
    with serving(
        site, "hello.py", "--server-name", "www.shop.test", "--server-alias", "*.cdn.test"
    ) as served:
        base = served.url.replace("www.shop.test", "127.0.0.1")

        def ask(host: str) -> requests.Response:
            return requests.get(
                base + "/x", headers={"Host": host}, timeout=60, allow_redirects=False
            )

        assert [
            ask(host).status_code for host in ("www.shop.test", "a.cdn.test:80", "evil.test")
        ] == [200, 200, 403]
        assert ask("shop.test").headers["Location"].startswith("http://www.shop.test")


def test_more_than_one_address(site: Path) -> None:
    port = free_port()
    process = subprocess.Popen(
        [
            *map(str, (Path(os.sys.executable).with_name("httpd-wsgi"), "serve")),
            "hello.py",
            "-b",
            f"127.0.0.1:{port}",
            "-b",
            f"[::1]:{port}",
        ],
        cwd=site,
        stderr=subprocess.DEVNULL,
    )
    try:

        def both_answer() -> bool:
            try:
                return all(
                    requests.get(f"http://{host}:{port}/x", timeout=60).ok
                    for host in ("127.0.0.1", "[::1]")
                )
            except requests.ConnectionError:
                return False

        wait_until(both_answer, "both addresses answer")
    finally:
        process.terminate()
        assert process.wait(60) == 0


# ---- logs ----


def test_logs_as_json(site: Path) -> None:
    (site / "logs.py").write_text(
        'def application(e, s):\n    print("said \\"so\\"", file=e["wsgi.errors"])\n    s("200 '
        'OK", [])\n    return [b"x"]\n'
    )
    with serving(site, "logs.py", "--log-format", "json", "--access-log", "-") as served:
        served.get("/p?q=1", headers={"User-Agent": 'a "b" \\ c'})
        wait_until(
            lambda: "/p?q=1" in served.stdout() and "said" in served.stderr(), "both logs have it"
        )
        [access] = [json.loads(line) for line in served.stdout().splitlines()]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT[0-9:.]+[+-]\d{4}", access["time"])
        assert (access["method"], access["url"], access["status"], access["user_agent"]) == (
            "GET",
            "/p?q=1",
            200,
            'a "b" \\ c',
        )
        records = [
            json.loads(line)
            for line in served.stderr().splitlines()
            if not line.startswith("httpd-wsgi:")
        ]
        [said] = [record for record in records if 'said "so"' in record["message"]]
        assert (said["level"], said["module"]) == ("error", "wsgi") and re.match(
            r"\d{4}-\d\d-\d\dT[0-9:.]+[+-]\d{4}$", said["time"]
        )
        assert said["request"] == access["request"], "both can be joined"


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (
            "[Mon Nov 30 17:54:01.377510 2026] [wsgi:error] [pid 31125:tid 31188] "
            "[client 127.0.0.1:40796]   File [x], referer: http://localhost/a",
            "17:54:01 error    File [x]",
        ),
        (
            "[Mon Nov  3 07:54:01.000001 2026] [wsgi:notice] [pid 3:tid 3] WSGI0706: x has changed",
            "07:54:01 notice WSGI0706: x has changed",
        ),
        ("[not httpd's] words", "[not httpd's] words"),
    ],
)
def test_a_terminal_gets_short_lines(line: str, shown: str) -> None:
    terminal, pipe = (relay.errors(relay.News(), "warn", False, on) for on in (True, False))
    assert [*terminal.feed(line), *terminal.flush()] == [shown]
    assert list(pipe.feed(line)) == [line]


def objects(*lines: str) -> list[dict[str, Any]]:
    errors = jsonlog.Errors()
    fed = [text for line in lines for text in errors.feed(line)]
    return [json.loads(text) for text in (*fed, *errors.flush())]


def record(message: str, tid: int = 6, level: str = "error") -> str:
    return f"2026-11-25 08:20:48.123456\twsgi\t{level}\t5\t{tid}\t127.0.0.1:9\tid{tid}\th\t-\t{message}"


ONE = ["Traceback (most recent call last):", '  File \\"a.py\\", line 1', "    x", "KeyError: 1"]
CHAIN = [*ONE, "", "The above exception was the direct cause of the following exception:", ""]


def test_an_exception_is_one_object() -> None:
    head = "WSGI0401: the application raised"
    [found] = objects(*map(record, [head, *CHAIN, *ONE[:-1], "ValueError: two", "lines"]))
    assert (found["message"], found["code"], found["request"]) == (head, "WSGI0401", "id6")
    assert found["traceback"].startswith(f'{ONE[0]}\n  File "a.py", line 1\n    x\nKeyError: 1\n\n')
    assert found["traceback"].endswith("ValueError: two\nlines")
    assert found["time"].startswith("2026-11-25T08:20:48.123456") and re.search(
        r"[+-]\d{4}$", found["time"]
    )


def test_what_is_logged_beside_an_exception_stays_apart() -> None:
    logged = ["ERROR:root:caught", *ONE, "printed", "printed, too"]
    found = objects(*map(record, logged))
    assert [one["message"] for one in found] == ["ERROR:root:caught", "printed", "printed, too"]
    assert [one.get("traceback", "")[-11:] for one in found] == ["KeyError: 1", "", ""]
    coded = objects(*map(record, ["WSGI0401: a", *ONE, "WSGI0405: b", *ONE]))
    assert [one["code"] for one in coded] == ["WSGI0401", "WSGI0405"]
    assert all(one["traceback"].count("\n") == 3 for one in coded)


def test_exceptions_of_several_threads_are_told_apart() -> None:
    lines = [record(text, tid) for text in ["WSGI0401: a", *ONE] for tid in (6, 7, 8)]
    found = objects(*lines, record("an info", 6, "info"))
    assert sorted((one["tid"], "traceback" in one) for one in found) == [
        (6, False),
        (6, True),
        (7, True),
        (8, True),
    ]


def test_an_exception_without_a_line_before_it_has_its_own_as_message() -> None:
    [found] = objects(*map(record, ONE))
    assert found["message"] == "KeyError: 1" and found["traceback"].startswith(ONE[0])


def test_logs_in_files(site: Path) -> None:
    logs = site / "logs"
    logs.mkdir()
    arguments = [
        "--error-log",
        "logs/error",
        "--access-log",
        "logs/access",
        "--access-log-format",
        "%U %>s",
    ]
    with serving(site, "hello.py", *arguments) as served:
        assert served.get("/p").ok
        wait_until(lambda: "/p 200\n" in (logs / "access").read_text(), "the request is logged")
        assert "resuming normal operations" in (logs / "error").read_text()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("plain words", {"message": "plain words"}),
        (
            "[Wed Nov 25 08:20:48.123456 2026] [wsgi:notice] [pid 5:tid 6] WSGI0706: x has changed",
            {
                "level": "notice",
                "module": "wsgi",
                "pid": 5,
                "tid": 6,
                "code": "WSGI0706",
                "message": "WSGI0706: x has changed",
            },
        ),
    ],
)
def test_lines_of_every_origin_become_objects(line: str, expected: dict[str, object]) -> None:
    [found] = objects(line)
    assert {key: found[key] for key in expected} == expected


# ---- development ----


def test_reload_notices_a_changed_module_and_a_mended_one(site: Path) -> None:
    (site / "part.py").write_text("text = 'one'")
    (site / "whole.py").write_text(
        "import part\ndef application(e, s):\n    s('200 OK', [])\n    return [part.text.encode()]\n"
    )
    with serving(site, "whole.py", "--reload") as served:
        assert served.get().text == "one"
        (site / "part.py").write_text("text = 'two'; more = 1")
        wait_until(lambda: served.get().text == "two", "the new code answers")
        (site / "part.py").write_text("text = = 1")
        wait_until(lambda: "SyntaxError" in served.stderr(), "the mistake is logged")
        (site / "part.py").write_text("text = 'three'")
        wait_until(lambda: served.get().text == "three", "the mended code answers")


def test_reload_shows_what_was_saved_last_even_when_it_does_not_load(site: Path) -> None:
    """Like the application that a browser shows, a mistake is seen as soon as it is saved."""
    (site / "saved.py").write_text(HELLO)
    with serving(site, "saved.py", "--reload") as served:
        assert served.get("/x").text.startswith("|/x|")
        (site / "saved.py").write_text(HELLO + "\n= wrong")
        wait_until(lambda: served.get("/x").status_code == 500, "the mistake is shown")
        page = served.get("/x?a=1")
        assert "SyntaxError" in page.text and "GET /x?a=1" in page.text
        assert "SyntaxError" not in served.get("/x", headers={"Host": "evil.test"}).text
        assert re.search(r"\[wsgi:notice\].* has changed: loading", served.stderr())
        (site / "saved.py").write_text(HELLO)
        wait_until(lambda: served.get("/x").status_code == 200, "the corrected code answers")


def test_reload_shows_no_traceback_where_others_can_connect(site: Path) -> None:
    (site / "saved.py").write_text("= wrong")
    with serving(site, "saved.py", "--reload", "--host", "0.0.0.0") as served:
        reply = served.get("/x", headers={"Host": "localhost"})
        assert reply.status_code == 500 and "SyntaxError" not in reply.text


@pytest.mark.parametrize("option", ["--reload", "--debug"])
def test_an_application_that_cannot_be_loaded_is_not_loaded_again_in_the_same_process(
    site: Path, option: str
) -> None:
    """Half-imported modules would hide the first mistake behind another one."""
    (site / "half.py").write_text("import sys\n")
    (site / "once.py").write_text(
        "import half\nassert not hasattr(half, 'seen'), 'a second attempt'\nhalf.seen = True\n"
        "raise ValueError('the first mistake')\n"
    )
    with serving(site, "once.py", option) as served:
        for _ in range(3):
            assert "the first mistake" in served.get().text


def test_reload_is_no_page_for_exceptions_of_requests(site: Path) -> None:
    (site / "failing.py").write_text(FAILING)
    with serving(site, "failing.py", "--reload") as served:
        assert "ValueError" not in served.get("/x").text


FAILING = """
def application(environ, start_response):
    secret = "<b>"
    if environ["PATH_INFO"] == "/late":
        start_response("200 OK", [])
        return late()
    raise ValueError("<i>" + secret)

def late():
    raise KeyError("late")
    yield b""
"""


@pytest.mark.parametrize(
    ("path", "title"),
    [("/x", "ValueError: &lt;i&gt;&lt;b&gt;"), ("/late", "KeyError: &#x27;late&#x27;")],
)
def test_debug_shows_tracebacks_in_the_browser(site: Path, path: str, title: str) -> None:
    (site / "failing.py").write_text(FAILING)
    with serving(site, "failing.py", "--debug") as served:
        reply = served.get(path)
        assert (
            reply.status_code == 500
            and title in reply.text
            and "failing.py" in reply.text
            and "<i>" not in reply.text
        )
        wait_until(
            lambda: title.split(":")[0] in served.stderr(), "the traceback is in the log, too"
        )


def test_debug_shows_nothing_to_pages_of_other_names(site: Path) -> None:
    (site / "failing.py").write_text(FAILING)
    with serving(site, "failing.py", "--debug") as served:
        reply = served.get("/x", headers={"Host": "evil.test"})
        assert (
            reply.status_code == 500
            and "ValueError" not in reply.text
            and "http://localhost/" in reply.text
        )


def test_without_debug_no_traceback_is_shown(site: Path) -> None:
    (site / "failing.py").write_text(FAILING)
    with serving(site, "failing.py") as served:
        reply = served.get("/x")
        assert reply.status_code == 500 and "ValueError" not in reply.text


def test_debug_shows_why_an_application_cannot_be_loaded_and_serves_it_when_mended(
    site: Path,
) -> None:
    (site / "failing.py").write_text("import nothing_of_this_name")
    with serving(site, "failing.py", "--debug") as served:
        assert "No module named &#x27;nothing_of_this_name&#x27;" in served.get().text
        (site / "failing.py").write_text(HELLO)
        wait_until(lambda: served.get("/x").text.startswith("|/x|"), "the mended code answers")


def test_services_run_beside_the_application(site: Path) -> None:
    (site / "beside.py").write_text("print('the service is here')\n")
    with serving(site, "hello.py", "--service", "beside=beside.py") as served:
        wait_until(lambda: "the service is here" in served.stderr(), "the service runs")


@pytest.mark.skipif(not AS_ROOT, reason="only root can become somebody else")
def test_user_and_group_are_taken_on(site: Path) -> None:
    (site / "who.py").write_text(
        "import os\ndef application(e, s):\n    s('200 OK', [])\n    return [f'{os.getuid()} {os.getgid()}'.encode()]\n"
    )
    with serving(site, "who.py", "--user", "nobody", "--group", "daemon") as served:
        assert served.get().text == "65534 1"
