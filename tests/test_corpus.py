"""Existing sites move over unchanged: configurations in tests/corpus start and answer as their
tables say (README.md there).
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests
import urllib3
from harness import APACHE_USER, MODULE, Httpd, free_port, modules_directory, wait_until
from requests.auth import HTTPDigestAuth

CORPUS = Path(__file__).parent / "corpus"
# Another module to run the corpus with, for comparison
PEER = os.environ.get("HTTPD_WSGI_PEER", "")
MODULES = (
    "access_compat actions auth_basic auth_digest authn_core authn_file authz_host authz_user "
    "autoindex deflate dir expires "
    "filter headers log_config macro negotiation proxy proxy_http remoteip reqtimeout rewrite "
    "setenvif socache_shmcb ssl status "
    "substitute version"
).split()
SHORT = {
    "group": "mod_wsgi.process_group",
    "interpreter": "mod_wsgi.application_group",
    "callable": "mod_wsgi.callable_object",
    "user": "REMOTE_USER",
}
# What httpd itself says of a private server that has certificates for no name and none of the
# documented ports.
HARMLESS = re.compile(
    r"AH10159|AH0(0558|1909|1906|2292|1882|3490)|ssl:warn|NameVirtualHost has no effect|:notice\]|Init: "
)


def names() -> list[str]:
    return sorted(path.stem for path in CORPUS.glob("*.conf"))


@pytest.fixture(scope="module")
def certificate() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        pair = Path(name)
        command = [
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
        files = [
            "-subj",
            "/CN=localhost",
            "-keyout",
            str(pair / "site.key"),
            "-out",
            str(pair / "site.crt"),
        ]
        subprocess.run([*command, *files], check=True, capture_output=True)
        yield pair


@dataclass
class Exchange:
    line: str
    method: str
    url: str
    status: int
    asked: dict[str, str] = field(default_factory=dict)
    expected: dict[str, str] = field(default_factory=dict)


class Site(Httpd):
    """The configuration `name` of the corpus, with its files in place."""

    def __init__(self, name: str, certificate: Path) -> None:
        super().__init__(extra_modules=tuple(MODULES))
        self.ports = {"port": self.port, "port2": free_port(), "tls": free_port()}
        self.conf = self.fill((CORPUS / f"{name}.conf").read_text())
        if PEER and "WSGISocketPrefix" not in self.conf:
            self.conf += f"\nWSGISocketPrefix {self.root}/run/wsgi\n"
        self.exchanges: list[Exchange] = []
        self.logged: list[tuple[str, str]] = []
        self.whole = self.open = False
        self.ours = ""
        for directory in ("var/log/apache2", "var/log/httpd", "var/run", "run", "etc/ssl"):
            self.put(self.root / directory / "README", "")
        for part in ("site.crt", "site.key"):
            shutil.copy(certificate / part, self.root / "etc/ssl")
        for path in (CORPUS / name).rglob("*"):
            if path.is_file():
                self.put(self.root / path.relative_to(CORPUS / name), self.fill(path.read_text()))
        for line in (CORPUS / f"{name}.expect").read_text().splitlines():
            if line and not line.startswith("#"):
                self.read(line)

    def fill(self, text: str) -> str:
        """The placeholders; everything else is as an administrator has it."""
        known = {
            "root": str(self.root),
            **{name: str(port) for name, port in self.ports.items()},
            **{"user": APACHE_USER, "user2": "daemon", "user3": "games"},
            **{
                "venv": sys.prefix,
                "modules": str(modules_directory()),
                "module": PEER or str(MODULE),
            },
            "site-packages": str(MODULE.parent.parent),
        }
        return re.sub(
            r"(?<![$%])\{([a-z0-9-]+)\}", lambda found: known.get(found[1], found[0]), text
        )

    def put(self, path: Path, text: str) -> None:
        for parent in reversed(path.parents):
            if self.root in parent.parents and not parent.exists():
                parent.mkdir(mode=0o755)
        path.write_text(text)
        path.chmod(0o644)

    def read(self, line: str) -> None:
        words = shlex.split(self.fill(line))
        if words[0] == "file":  # its text is taken as it is
            words[2:] = re.findall(r'^file (?:"[^"]*"|\S+) (.*)', self.fill(line))
        if words[0] == "whole":
            self.whole = True
        elif words[0] == "open":
            self.open = True
        elif words[0] == "ours":
            self.ours = " ".join(words[1:])
        elif words[0] in ("app", "hook"):
            for path in words[1:]:
                self.put(
                    self.root / path.lstrip("/"),
                    (CORPUS / ("app.py" if words[0] == "app" else "hooks.py")).read_text(),
                )
        elif words[0] == "file":
            self.put(self.root / words[1].lstrip("/"), words[2].replace("\\n", "\n") + "\n")
        elif words[0] == "log":
            self.logged.append((words[1], " ".join(words[2:])))
        elif words[0] != "ours" or not PEER:
            arrow = words.index("=>")
            pairs = [
                dict(word.partition("=")[::2] for word in part)
                for part in (words[2:arrow], words[arrow + 2 :])
            ]
            self.exchanges.append(Exchange(line, words[0], words[1], int(words[arrow + 1]), *pairs))

    def base_conf(self) -> str:
        if self.whole:
            return ""
        common = [
            "ServerLimit 2",
            "ThreadsPerChild 8",
            "MinSpareThreads 4",
            "MaxRequestWorkers 16",
            "DocumentRoot {root}/var/www/html",
        ]
        denied = [] if self.open else ["<Directory />", "    Require all denied", "</Directory>"]
        (self.root / "var/www/html").mkdir(parents=True, exist_ok=True)
        usual = super().base_conf().replace(str(MODULE), PEER or str(MODULE))
        return self.fill("\n".join([usual, *common, *denied, "DocumentRoot {root}/var/www/html"]))

    def environment(self) -> dict[str, str]:
        debian = {"LOG": "var/log/apache2", "RUN": "var/run", "LOCK": "var/run"}
        found = {f"APACHE_{name}_DIR": str(self.root / path) for name, path in debian.items()}
        return {
            **super().environment(),
            **found,
            "APACHE_RUN_USER": APACHE_USER,
            "APACHE_RUN_GROUP": APACHE_USER,
        }

    def records(self) -> list[str]:
        logs = [
            path
            for path in self.root.rglob("*")
            if path.is_file() and re.search(r"error[^/]*$", path.name)
        ]
        return [line for path in logs for line in path.read_text(errors="replace").splitlines()]

    # ---- checks ----

    def ask(self, exchange: Exchange) -> requests.Response:
        asked = dict(exchange.asked)
        port = self.ports[asked.pop("at", "port")]
        scheme = "https" if port == self.ports["tls"] else "http"
        headers = {"Host": asked.pop("host", f"localhost:{port}")}
        headers |= {name[:-1]: asked.pop(name) for name in list(asked) if name.endswith(":")}
        auth = tuple(asked.pop("auth").split(":")) if "auth" in asked else None
        digest = HTTPDigestAuth(*asked.pop("digest").split(":")) if "digest" in asked else None
        body = asked.pop("body", None)
        assert not asked, f"unknown: {asked}"
        return requests.request(
            exchange.method,
            f"{scheme}://127.0.0.1:{port}{exchange.url}",
            headers=headers,
            auth=digest or auth,
            data=body,
            verify=False,
            allow_redirects=False,
            timeout=60,
        )

    def check(self, exchange: Exchange) -> None:
        response = self.ask(exchange)
        assert (
            response.status_code == exchange.status
        ), f"{exchange.line}\n{response.text[:2000]}\n{self.log_text()[-3000:]}"
        for name, value in exchange.expected.items():
            if name.endswith(":"):
                assert response.headers.get(name[:-1]) == value, exchange.line
            elif name == "text":
                assert value in response.text, exchange.line
            elif PEER and name == "title":  # cut to the length of httpd's own
                assert response.json()[name].strip() in value, exchange.line
            elif name.startswith("!"):
                assert SHORT.get(name[1:], name[1:]) not in response.json(), exchange.line
            elif name.endswith("~"):
                assert (
                    value in response.json()[name[:-1]]
                ), f"{exchange.line}\n{response.json()[name[:-1]]}"
            else:
                assert (
                    response.json().get(SHORT.get(name, name)) == value
                ), f"{exchange.line}\n{response.json()}"

    def check_logs(self) -> None:
        """What the table expects is there, and nothing else from warn up; obsolete directives are
        named with their place.
        """
        for code, text in self.logged if not PEER else []:
            wait_until(
                lambda c=code, t=text: any(c in line and t in line for line in self.records()),
                f"{code} {text}",
            )
            self.expected.add(code)
        for line in self.records():
            severe = re.search(r":(warn|error|crit|alert|emerg)\]", line)
            known = any(code in line and text in line for code, text in self.logged)
            assert known or not severe or PEER or HARMLESS.search(line), f"unexpected: {line}"
            if obsolete := re.search(r"WSGI0221: (\S+):(\d+): (\w+) has no effect", line):
                assert (
                    Path(obsolete[1]).read_text().splitlines()[int(obsolete[2]) - 1].split()[0]
                    == obsolete[3]
                ), line


@pytest.mark.parametrize("name", names())
def test_an_existing_configuration_works(
    name: str, certificate: Path, recwarn: pytest.WarningsRecorder
) -> None:
    urllib3.disable_warnings()
    site = Site(name, certificate)
    try:
        if PEER and site.ours:
            pytest.skip(site.ours)
        site.start(site.conf)
        for exchange in site.exchanges:
            site.check(exchange)
        assert site.exchanges, "an empty table"
        site.check_logs()
    finally:
        site.expected |= set(re.findall(r"WSGI\d{4}", site.log_text())) if PEER else set()
        site.finish()


@pytest.mark.skipif(not PEER, reason="needs mod_wsgi-express, see make peer")
def test_a_server_root_of_mod_wsgi_express_needs_only_another_module(certificate: Path) -> None:
    site = Site("tutorial", certificate)
    try:
        site.put(site.root / "srv/site.wsgi", (site.app / "hello.py").read_text())
        site.put(site.root / "srv/static/a.txt", "static")
        express = next(
            parent / "bin/mod_wsgi-express"
            for parent in Path(PEER).parents
            if (parent / "bin").exists()
        )
        user = f"--user {APACHE_USER} --group {APACHE_USER}"
        options = f"--server-root {site.root} --host 127.0.0.1 --port {site.port} {user}"
        more = f"--processes 2 --locale C.UTF-8 --url-alias /static {site.root}/srv/static --reload-on-changes"
        command = [
            express,
            "setup-server",
            site.root / "srv/site.wsgi",
            *options.split(),
            *more.split(),
        ]
        subprocess.run(command, check=True, capture_output=True)
        conf = site.root / "httpd.conf"
        assert PEER in conf.read_text()
        conf.write_text(conf.read_text().replace(PEER, str(MODULE)))
        site.process = subprocess.Popen(
            [site.root / "apachectl", "start", "-DFOREGROUND"], env=site.environment()
        )
        wait_until(site.is_listening, "httpd listens")
        assert requests.get(site.url("/x"), timeout=60).text == "Hello World!"
        assert requests.get(site.url("/static/a.txt"), timeout=60).text.strip() == "static"
    finally:
        site.finish()


def test_the_corpus_is_as_large_as_it_claims() -> None:
    assert len(names()) >= 70
    assert {path.stem for path in CORPUS.glob("*.expect")} == set(names())
