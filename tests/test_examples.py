"""Each file in conf/examples, started as it is: only places, ports and addresses are replaced by
those of the test.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
import yaml
from harness import AS_ROOT, Httpd, free_port, processes_marked, wait_until
from pythons import REPOSITORY

EXAMPLES = REPOSITORY / "conf" / "examples"
HELLO = (
    "def application(environ, start_response):\n    start_response('200 OK', [])\n    return [{}]\n"
)
TELLING = HELLO.format(
    "repr([environ['wsgi.url_scheme'], environ['REMOTE_ADDR'], environ['HTTP_HOST'], __file__]).encode()"
)
NODE = "import os\n" + TELLING.replace(
    "'200 OK'", "'503 Ill' if os.path.exists(os.path.dirname(__file__) + '/ill') else '200 OK'"
)
NAMED = HELLO.format("{!r}.encode()")
SECURE = ("ssl", "socache_shmcb", "headers")

Starter = Callable[..., Httpd]


def example(name: str, httpd: Httpd, **replaced: str) -> str:
    """The text of an example for this httpd. Keywords are further replacements: the first word of
    each value is the old one.
    """
    text = (EXAMPLES / name).read_text()
    for old, new in {
        "/srv/": f"{httpd.root}/srv/",
        "/var/www/": f"{httpd.root}/www/",
        "*:80": f"*:{httpd.port}",
    }.items():
        text = text.replace(old, new)
    for pair in replaced.values():
        old, new = pair.split(" ", 1)
        assert old in text, f"{name} has no {old}"
        text = text.replace(old, new)
    return text


def put(httpd: Httpd, files: dict[str, str]) -> None:
    """Writes files below the test's root, readable for Apache's user."""
    for name, content in files.items():
        path = httpd.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def put_environment(httpd: Httpd, name: str, home: Path = Path(sys.prefix)) -> None:
    (httpd.root / "srv" / name).mkdir(parents=True, exist_ok=True)
    (httpd.root / "srv" / name / "venv").symlink_to(home)


@pytest.fixture
def start() -> Iterator[Starter]:
    """Makes as many httpds as an example needs machines: start(prepare, modules); prepare(httpd)
    returns the configuration.
    """
    servers: list[Httpd] = []

    def start_one(prepare: Callable[[Httpd], str], *modules: str) -> Httpd:
        servers.append(Httpd(extra_modules=modules))
        servers[-1].start(prepare(servers[-1]))
        return servers[-1]

    yield start_one
    for server in reversed(servers):
        server.finish()


def certificate(httpd: Httpd) -> Path:
    """A certificate for shop.example.com where https.conf looks for it, below the test's root."""
    directory = httpd.root / "certificates"
    directory.mkdir()
    made = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
    ]
    named = ["-subj", "/CN=shop.example.com", "-addext", "subjectAltName=DNS:shop.example.com"]
    files = ["-out", str(directory / "fullchain.pem"), "-keyout", str(directory / "privkey.pem")]
    subprocess.run([*made, *named, *files], check=True, capture_output=True)
    return directory


def curl(url: str, port: int, authority: Path, *options: str) -> subprocess.CompletedProcess[str]:
    resolve = [
        "--resolve",
        f"shop.example.com:{port}:127.0.0.1",
        "--cacert",
        str(authority / "fullchain.pem"),
    ]
    command = ["curl", "-sS", "--noproxy", "*", "--max-time", "60", *resolve, *options, url]
    return subprocess.run(command, capture_output=True, text=True, check=True)


# ---- one machine ----


def test_hello(httpd: Httpd) -> None:
    put(httpd, {"www/wsgi/application.py": NAMED.format("Hello")})
    httpd.start(example("hello.conf", httpd))
    assert requests.get(httpd.url("/hello"), timeout=60).text == "Hello"


def test_django(httpd: Httpd) -> None:
    pytest.importorskip("django")
    put_environment(httpd, "shop")
    subprocess.run(
        [sys.executable, "-m", "django", "startproject", "shop", httpd.root / "srv" / "shop"],
        check=True,
    )
    put(httpd, {"srv/shop/static/style.css": "body {}"})
    httpd.start(example("django.conf", httpd))
    assert "The install worked successfully" in requests.get(httpd.url("/"), timeout=60).text
    assert requests.get(httpd.url("/static/style.css"), timeout=60).text == "body {}"


def test_flask(httpd: Httpd) -> None:
    pytest.importorskip("flask")
    put_environment(httpd, "notes")
    put(
        httpd,
        {
            "srv/notes/notes.py": "import flask\napp = flask.Flask('notes')\n"
            "app.add_url_rule('/', view_func=lambda: 'notes')\n"
        },
    )
    httpd.start(example("flask.conf", httpd))
    assert requests.get(httpd.url("/"), timeout=60).text == "notes"


def test_fastapi_through_an_adapter(httpd: Httpd) -> None:
    pytest.importorskip("a2wsgi")
    put_environment(httpd, "items")
    items = "import fastapi\napp = fastapi.FastAPI()\n"
    items += "@app.post('/items/{n}')\nasync def item(n: int, body: dict):\n    return [n, body]\n"
    put(
        httpd,
        {
            "srv/items/items.py": items,
            "srv/items/wsgi.py": (EXAMPLES / "fastapi_wsgi.py").read_text(),
        },
    )
    httpd.start(example("fastapi.conf", httpd))
    assert requests.post(httpd.url("/items/3"), json={"a": 1}, timeout=60).json() == [3, {"a": 1}]
    assert requests.post(httpd.url("/items/x"), json={}, timeout=60).status_code == 422


def test_two_pythons(httpd: Httpd, environments: dict[str, Path]) -> None:
    homes = {"old": next(iter(environments.values())), "new": list(environments.values())[-1]}
    for name, home in homes.items():
        put_environment(httpd, name, home)
        put(httpd, {f"srv/{name}/app.py": HELLO.format("__import__('sys').version.encode()")})
    httpd.start(example("two-pythons.conf", httpd))
    for name, home in homes.items():
        version = subprocess.check_output(
            [home / "bin" / "python", "-c", "import sys; print(sys.version)"], text=True
        )
        assert requests.get(httpd.url(f"/{name}"), timeout=60).text == version.strip()


def test_handler(start: Starter) -> None:
    def prepare(httpd: Httpd) -> str:
        handler = "def handle_request(environ, start_response):\n    start_response('200 OK', [])\n"
        handler += "    return [open(environ['SCRIPT_FILENAME'], 'rb').read().upper()]\n"
        put(
            httpd,
            {
                "srv/tools/markdown.py": handler,
                "srv/docs/page.md": "text",
                "srv/docs/page.txt": "text",
            },
        )
        return example("handler.conf", httpd)

    httpd = start(prepare, "dir")
    assert [
        requests.get(httpd.url(f"/page.{kind}"), timeout=60).text for kind in ("md", "txt")
    ] == ["TEXT", "text"]


def test_auth(start: Starter) -> None:
    def prepare(httpd: Httpd) -> str:
        users = "def check_password(environ, user, password):\n    return password == 'secret'\n"
        users += (
            "def groups_for_user(environ, user):\n    return ['staff'] if user == 'anna' else []\n"
        )
        put(httpd, {"srv/auth/users.py": users, "srv/intranet/index.html": "inside"})
        return example("auth.conf", httpd)

    httpd = start(prepare, "dir", "auth_basic", "authn_core", "authz_user")
    visitors = [("anna", "secret"), ("bob", "secret"), ("anna", "guessed")]
    anna, bob, wrong = (
        requests.get(httpd.url("/index.html"), auth=visitor, timeout=60) for visitor in visitors
    )
    assert (anna.text, bob.status_code, wrong.status_code) == ("inside", 401, 401)


def test_https_speaks_http2_and_plain_http_only_leads_there(start: Starter) -> None:
    port = free_port()

    def prepare(httpd: Httpd) -> str:
        put_environment(httpd, "shop")
        put(httpd, {"srv/shop/wsgi.py": TELLING})
        files = f"/etc/letsencrypt/live/shop.example.com {certificate(httpd)}"
        return f"Listen 127.0.0.1:{port}\n" + example(
            "https.conf", httpd, port=f"*:443 *:{port}", files=files
        )

    httpd = start(prepare, *SECURE, "http2")
    plain = requests.get(httpd.url("/a"), allow_redirects=False, timeout=60)
    assert (plain.status_code, plain.headers["Location"]) == (301, "https://shop.example.com/a")
    told = curl(
        f"https://shop.example.com:{port}/",
        port,
        httpd.root / "certificates",
        "--http2",
        "-w",
        "\n%{http_version}",
    ).stdout
    assert told.startswith("['https', '127.0.0.1'") and told.endswith("\n2")


# ---- several machines ----


def prepare_node(proxy: str) -> Callable[[Httpd], str]:
    def prepare(httpd: Httpd) -> str:
        put_environment(httpd, "shop")
        put(httpd, {"srv/shop/wsgi.py": NODE})
        return example("behind-a-proxy.conf", httpd, proxy=f"10.0.0.5 {proxy}")

    return prepare


def test_the_application_behind_a_reverse_proxy_sees_the_client(start: Starter) -> None:
    port = free_port()
    node = start(prepare_node("127.0.0.1"))

    def prepare(httpd: Httpd) -> str:
        files = f"/etc/letsencrypt/live/shop.example.com {certificate(httpd)}"
        replaced = {
            "files": files,
            "port": f"*:443 *:{port}",
            "node": f"10.0.0.11:80 127.0.0.1:{node.port}",
        }
        return f"Listen 127.0.0.1:{port}\n" + example("reverse-proxy.conf", httpd, **replaced)

    proxy = start(prepare, *SECURE, "proxy", "proxy_http")
    forged = ["-H", "X-Forwarded-For: 192.0.2.1", "-H", "X-Forwarded-Host: evil.example.com"]
    told = curl(
        f"https://shop.example.com:{port}/", port, proxy.root / "certificates", *forged
    ).stdout
    assert told.startswith(f"['https', '127.0.0.1', 'shop.example.com:{port}'")


def test_a_client_that_is_not_the_proxy_cannot_make_up_an_address(start: Starter) -> None:
    node = start(prepare_node("10.0.0.5"))
    headers = {
        "X-Forwarded-For": "192.0.2.1",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "evil.example.com",
    }
    told = requests.get(node.url("/"), headers=headers, timeout=60).text
    assert told.startswith(f"['http', '127.0.0.1', '127.0.0.1:{node.port}'")


def nodes_that_answer(
    front: Httpd, session: Callable[[], requests.Session] = requests.Session
) -> set[str]:
    return {session().get(front.url("/"), timeout=60).text for _ in range(8)}


def drain(front: Httpd, node: Httpd) -> None:
    """As an administrator does it on the page."""
    manager = front.url("/balancer-manager")
    page = requests.get(manager, timeout=60).text
    nonce = re.search(r"nonce=([\w-]+)", page)
    assert nonce
    form = {"b": "shop", "w": f"http://127.0.0.1:{node.port}", "w_status_N": "1", "nonce": nonce[1]}
    assert (
        requests.post(manager, data=form, headers={"Referer": manager}, timeout=60).status_code
        == 200
    )


@pytest.fixture
def balanced(start: Starter) -> tuple[Httpd, Httpd, Httpd]:
    one, two = start(prepare_node("127.0.0.1")), start(prepare_node("127.0.0.1"))

    def prepare(httpd: Httpd) -> str:
        replaced = {
            "one": f"10.0.0.11:80 127.0.0.1:{one.port}",
            "two": f"10.0.0.12:80 127.0.0.1:{two.port}",
        }
        return example(
            "balancer.conf",
            httpd,
            **replaced,
            seconds="hcinterval=5 hcinterval=1",
            fails="hcfails=2 hcfails=1",
        )

    modules = (
        "headers",
        "status",
        "authz_host",
        "slotmem_shm",
        "watchdog",
        "proxy",
        "proxy_http",
        "proxy_balancer",
        "proxy_hcheck",
    )
    front = start(prepare, *modules, "lbmethod_bybusyness", "lbmethod_byrequests")
    return front, one, two


def test_a_balancer_uses_both_nodes_and_spares_one_that_drains(
    balanced: tuple[Httpd, Httpd, Httpd],
) -> None:
    front, one, two = balanced
    wait_until(lambda: len(nodes_that_answer(front)) == 2, "both nodes answer")
    drain(front, one)
    assert all(str(two.root) in told for told in nodes_that_answer(front))


def test_a_balancer_passes_over_a_node_that_is_down(balanced: tuple[Httpd, Httpd, Httpd]) -> None:
    front, one, two = balanced
    one.stop()
    assert all(str(two.root) in told for told in nodes_that_answer(front))


def test_a_balancer_leaves_out_a_node_that_says_it_is_not_well(
    balanced: tuple[Httpd, Httpd, Httpd],
) -> None:
    front, one, two = balanced
    put(one, {"srv/shop/ill": ""})
    wait_until(lambda: "DISABLING" in front.log_text(), "the health check takes the node out")
    assert all(str(two.root) in told for told in nodes_that_answer(front))
    (one.root / "srv/shop/ill").unlink()
    wait_until(lambda: len(nodes_that_answer(front)) == 2, "the node is back")


# ---- services, containers, logs ----


def test_systemd_unit(tmp_path: Path) -> None:
    unit = EXAMPLES / "shop.service"
    settings = dict(re.findall(r"^(\w+)=(.*)$", unit.read_text(), re.MULTILINE))
    if shutil.which("systemd-analyze"):
        known = (
            unit.read_text()
            .replace("User=shop", "User=root")
            .replace("/srv/shop/venv/bin/httpd-wsgi", "/bin/true")
        )
        (tmp_path / "shop.service").write_text(known.replace("/srv/shop", "/"))
        checked = subprocess.run(
            ["systemd-analyze", "verify", tmp_path / "shop.service"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert "shop.service" not in checked.stderr, checked.stderr
    port = free_port()
    (tmp_path / "wsgi.py").write_text(NAMED.format("served"))
    command = [
        Path(sys.prefix, "bin", "httpd-wsgi"),
        *shlex.split(settings["ExecStart"].replace(":8000", f":{port}"))[1:],
    ]
    process = subprocess.Popen(command, cwd=tmp_path)
    try:
        wait_until(lambda: answers(port), "the service answers")
        subprocess.run(
            ["sh", "-c", settings["ExecReload"]],
            env={"MAINPID": str(process.pid), "PATH": "/usr/bin:/bin"},
            check=True,
        )
        assert requests.get(f"http://127.0.0.1:{port}/", timeout=60).text == "served"
    finally:
        process.terminate()
        assert process.wait(60) == 0


def answers(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/", timeout=60).ok
    except requests.ConnectionError:
        return False


def instructions() -> list[tuple[str, str]]:
    lines = [
        line
        for line in (EXAMPLES / "Dockerfile").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines)]


def test_the_dockerfile_has_valid_instructions_and_starts_a_server_as_its_command_says(
    tmp_path: Path,
) -> None:
    known = {"FROM", "RUN", "COPY", "WORKDIR", "USER", "EXPOSE", "STOPSIGNAL", "CMD"}
    assert {word for word, _ in instructions()} <= known
    for word, rest in instructions():
        assert (
            word != "RUN" or subprocess.run(["sh", "-n", "-c", rest], check=False).returncode == 0
        )
    port = free_port()
    (tmp_path / "wsgi.py").write_text(NAMED.format("served"))
    (command,) = [json.loads(rest) for word, rest in instructions() if word == "CMD"]
    arguments = [word.replace("0.0.0.0:8000", f"127.0.0.1:{port}") for word in command[1:]]
    process = subprocess.Popen(
        [Path(sys.prefix, "bin", "httpd-wsgi"), *arguments], cwd=tmp_path, stdout=subprocess.PIPE
    )
    try:
        wait_until(lambda: answers(port), "the server answers")
    finally:
        process.terminate()
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and b'"GET / HTTP/1.1" 200' in out


def test_the_compose_file_fits_the_dockerfile() -> None:
    (service,) = yaml.safe_load((EXAMPLES / "compose.yaml").read_text())["services"].values()
    assert (
        service["build"] == "."
        and service["ports"] == ["8000:8000"]
        and ("EXPOSE", "8000") in instructions()
    )
    assert service["healthcheck"]["test"][1].startswith("/srv/venv/") and "/tmp" in service["tmpfs"]
    compile(service["healthcheck"]["test"][3], "healthcheck", "exec")


@pytest.mark.skipif(
    shutil.which("logrotate") is None or not AS_ROOT,
    reason="needs logrotate, and root for its files",
)
def test_logrotate_moves_logs_and_the_server_goes_on_with_new_ones(httpd: Httpd) -> None:
    put(httpd, {"srv/shop/wsgi.py": NAMED.format("x")})
    server = httpd.root / "srv" / "shop" / "server"
    setup = [
        Path(sys.prefix, "bin", "httpd-wsgi"),
        "setup",
        "wsgi.py",
        "--server-root",
        server,
        "--port",
        str(httpd.port),
    ]
    subprocess.run([*setup, "--access-log", server / "access_log"], cwd=server.parent, check=True)
    (httpd.root / "rules").write_text(example("httpd-wsgi.logrotate", httpd))
    subprocess.run([server / "apachectl", "start"], env=httpd.environment(), check=True)
    try:
        wait_until(lambda: answers(httpd.port), "the server answers")
        assert requests.get(httpd.url("/before"), timeout=60).ok
        subprocess.run(
            ["logrotate", "--force", "--state", httpd.root / "state", httpd.root / "rules"],
            check=True,
        )
        wait_until(
            lambda: (server / "access_log").exists() and (server / "error_log").exists(),
            "new logs are there",
        )
        assert requests.get(httpd.url("/after"), timeout=60).ok
        wait_until(
            lambda: "/after" in (server / "access_log").read_text(), "the new log is written to"
        )
        wait_until(
            lambda: "/before" in (server / "access_log.1").read_text(),
            "the old log has what was before",
        )
        assert (server / "error_log.1").exists()
    finally:
        subprocess.run([server / "apachectl", "stop"], env=httpd.environment(), check=True)
        wait_until(lambda: not processes_marked(httpd.mark), "the server has stopped")


def test_the_status_is_what_prometheus_is_told_to_fetch(start: Starter) -> None:
    def prepare(httpd: Httpd) -> str:
        put(httpd, {"srv/shop/wsgi.py": NAMED.format("x")})
        return example("status.conf", httpd)

    (job,) = yaml.safe_load((EXAMPLES / "prometheus.yml").read_text())["scrape_configs"]
    httpd = start(prepare, "authz_host", "log_config")
    assert requests.get(httpd.url("/item"), timeout=60).text == "x"
    sample = 'wsgi_requests_total{group="shop",status="2xx"} 1'
    wait_until(
        lambda: sample
        in requests.get(httpd.url(job["metrics_path"]), params=job["params"], timeout=60).text,
        "it is counted",
    )
    log = httpd.root / "srv" / "shop" / "access_log"
    wait_until(lambda: log.exists() and "/item" in log.read_text(), "the request is logged")
    # Requests for the status are in the log, too, perhaps before
    line = next(line for line in log.read_text().splitlines() if "/item" in line)
    assert re.search(r" 200 1 \d+ shop \d+ \d+ \d+$", line)


def test_the_tutorial_does_what_it_says(httpd: Httpd) -> None:
    pytest.importorskip("flask")
    text = (REPOSITORY / "docs" / "tutorial.md").read_text()
    named = re.findall(r"^`(/\S+)`:\n\n((?:    .*\n|\n)+)", text, re.MULTILINE)
    (script, first), (_, site), (_, second) = [
        (path[1:], block.replace("\n    ", "\n")[4:]) for path, block in named
    ]
    put_environment(httpd, "hello")
    put(httpd, {script: first})
    httpd.start(site.replace("/srv/", f"{httpd.root}/srv/").replace("*:80", f"*:{httpd.port}"))
    assert requests.get(httpd.url("/you"), timeout=60).text == "Hello you!\n"
    put(httpd, {script: first.replace("    start", "    1 / 0\n    start", 1)})
    assert requests.get(httpd.url("/you"), timeout=60).status_code == 500
    httpd.expect("WSGI0401")
    put(httpd, {script: second})
    assert requests.get(httpd.url("/you"), timeout=60).json() == {"hello": "you"}


def test_every_example_is_started() -> None:
    source = Path(__file__).read_text()
    assert [path.name for path in EXAMPLES.iterdir() if f'"{path.name}"' not in source] == []
