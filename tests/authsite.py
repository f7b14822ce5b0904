"""One site that asks tests/apps/auth.py about everything, in each mode."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests
from harness import Httpd, free_port, wait_until

MODULES = (
    "auth_basic",
    "auth_digest",
    "authn_core",
    "authn_file",
    "authz_host",
    "authz_user",
    "headers",
    "include",
    "proxy",
    "proxy_http",
    "setenvif",
    "ssl",
    "access_compat",
)
CONF = """
Listen 127.0.0.1:{tls}
<VirtualHost 127.0.0.1:{tls}>
    SSLEngine on
    SSLCertificateFile {root}/cert.pem
    SSLCertificateKeyFile {root}/key.pem
</VirtualHost>
WSGIDaemonProcess d threads=4 {path}
WSGIDaemonProcess impatient threads=2 socket-timeout=1
DocumentRoot {root}/docs
<Directory {root}/docs>
    Require all granted
    Options +Includes
    AllowOverride AuthConfig
</Directory>
AddOutputFilter INCLUDES .shtml
WSGIScriptAlias /basic/app {app}/environ.py {group}
WSGIScriptAlias /access/app {app}/environ.py {group}
ProxyPass /access/proxied http://127.0.0.1:{port}/open/page.txt
<Location /access>
    WSGIAccessScript {app}/auth.py {group}
    SetEnv SECRET 1
    WSGIPassAuthorization On
    CGIPassAuth On
</Location>
<Location /access/denied>
    Require all denied
</Location>
<Location /access/trusting>
    WSGITrustedProxyHeaders X-Forwarded-For X-Forwarded-Host
    WSGITrustedProxies 127.0.0.0/8
</Location>
<Location /access/anybody>
    WSGITrustedProxyHeaders X-Forwarded-For
</Location>
<Location /access/named>
    HostnameLookups On
</Location>
<Location /access/interpreter>
    WSGIAccessScript {app}/auth.py application-group=%{SERVER} {group}
</Location>
<Location /access/satisfied>
    AuthType Basic
    AuthName shop
    AuthBasicProvider wsgi
    WSGIAuthUserScript {app}/auth.py {group}
    Require valid-user
    Satisfy Any
</Location>
<Location /access/nothing>
    WSGIAccessScript {app}/hello.py {group}
</Location>
<Location /access/missing>
    WSGIAccessScript {app}/missing.py {group}
</Location>
<Location /access/impatient>
    WSGIAccessScript {app}/auth.py process-group=impatient
</Location>
<Location /access/module>
    WSGIAccessScript shop_access:Rules.allow {group}
</Location>
<Location /basic>
    AuthType Basic
    AuthName shop
    AuthBasicProvider wsgi file
    AuthUserFile {root}/users
    WSGIAuthUserScript {app}/auth.py {group}
    Require valid-user
</Location>
<Location /basic/first-file>
    AuthBasicProvider file wsgi
</Location>
<Location /basic/renamed>
    Require user renamed
</Location>
<Location /basic/nothing>
    WSGIAuthUserScript {app}/hello.py {group}
</Location>
<AuthnProviderAlias wsgi other>
    WSGIAuthUserScript {app}/other.py {group}
</AuthnProviderAlias>
<Location /basic/alias>
    AuthBasicProvider other wsgi
</Location>
<Location /unset>
    AuthType Basic
    AuthName shop
    AuthBasicProvider wsgi
    Require valid-user
</Location>
<Location /digest>
    AuthType Digest
    AuthName shop
    AuthDigestProvider wsgi
    WSGIAuthUserScript {app}/auth.py {group}
    Require valid-user
</Location>
<Location /digest/nothing>
    WSGIAuthUserScript {app}/hello.py {group}
</Location>
<Location /groups>
    AuthType Basic
    AuthName shop
    AuthBasicProvider wsgi
    WSGIAuthUserScript {app}/auth.py {group}
    WSGIAuthGroupScript {app}/auth.py {group}
    Require wsgi-group staff admins
</Location>
<Location /groups/accents>
    Require wsgi-group Größe
</Location>
<Location /groups/greek>
    Require wsgi-group Ωmega
</Location>
<Location /groups/variable>
    SetEnvIf Request_URI . WANTED=staff
    Require wsgi-group %{reqenv:WANTED}
</Location>
<Location /groups/forbidden>
    AuthzSendForbiddenOnFailure On
</Location>
<Location /groups/none>
    <RequireAll>
        Require valid-user
        <RequireNone>
            Require wsgi-group staff
        </RequireNone>
    </RequireAll>
</Location>
<Location /groups/nothing>
    WSGIAuthGroupScript {app}/hello.py {group}
</Location>
<Location /groupless>
    AuthType Basic
    AuthName shop
    AuthBasicProvider wsgi
    WSGIAuthUserScript {app}/auth.py {group}
    Require wsgi-group staff
</Location>
"""
PAGES = [*re.findall(r"<Location (/\S+)>", CONF), "/open"]


def put(path: Path, text: str) -> Path:
    """A file that Apache's user can read."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o644)
    return path


def change(path: Path, text: str) -> None:
    """With a modification time of its own, however fast the test is."""
    later = path.stat().st_mtime_ns + 5_000_000_000
    put(path, text)
    os.utime(path, ns=(later, later))


class Site(Httpd):
    def __init__(self, mode: str) -> None:
        super().__init__(extra_modules=MODULES)
        self.mode = mode
        self.tls = free_port()

    def conf(self) -> str:
        daemon = self.mode == "daemon"
        given = {
            "{group}": "process-group=d" if daemon else "",
            "{path}": "python-path={root}/library" if daemon else "",
            "{tls}": str(self.tls),
        }
        conf = "ServerLimit 1\nWSGIPythonPath {root}/library\n" + CONF
        for placeholder, value in given.items():
            conf = conf.replace(placeholder, value)
        return conf


def prepare(httpd: Site) -> None:
    for place in PAGES:
        put(httpd.root / f"docs{place}" / "page.txt", "the page")
    parts = [
        f"<!--#include virtual='/access/page.txt?{result}' -->" for result in ("True", "False")
    ]
    put(httpd.root / "docs" / "parts.shtml", f"[{'|'.join(parts)}]")
    put(
        httpd.root / "users",
        f"filed:{{SHA}}{base64.b64encode(hashlib.sha1(b'secret').digest()).decode()}\n",
    )
    other = "def check_password(environ, user, password):\n    return True if password == 'other' else None\n"
    put(httpd.app / "other.py", other)
    rules = "class Rules:\n    allow = staticmethod(lambda environ, host: environ['QUERY_STRING'] == 'yes')\n"
    put(httpd.root / "library" / "shop_access.py", rules)
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        "key.pem",
        "-out",
        "cert.pem",
        "-days",
        "2",
    ]
    subprocess.run(
        [*command, "-subj", "/CN=localhost"], cwd=httpd.root, check=True, capture_output=True
    )


@contextlib.contextmanager
def running_site(mode: str) -> Iterator[Site]:
    site = Site(mode)
    prepare(site)
    site.start(site.conf())
    wait_until(lambda: len(site.workers()) == 2, "the workers of both groups are ready")
    yield site
    site.finish()


def get(
    site: Httpd, path: str, auth: tuple[str | bytes, str | bytes] | None = None, **headers: str
) -> requests.Response:
    return requests.get(
        site.url(path),
        auth=auth,
        headers={k.replace("_", "-"): v for k, v in headers.items()},
        timeout=60,
    )  # type: ignore[arg-type]


def status(site: Httpd, path: str, auth: tuple[str | bytes, str | bytes] | None = None) -> int:
    return get(site, path, auth).status_code


def shown(site: Httpd) -> dict[str, Any]:
    """What describe() of the script said last."""
    record = site.expect("ENVIRON")
    return dict(json.loads(base64.b64decode(record.split("ENVIRON ")[1].split(", referer")[0])))


@contextlib.contextmanager
def said(site: Httpd, code: str, *parts: str) -> Iterator[None]:
    """A new record with this code and these parts."""
    before = site.log_text().count(code)
    yield
    wait_until(lambda: site.log_text().count(code) > before, f"a new {code} is logged")
    record = site.expect(code)
    for part in parts:
        assert part in record, record
