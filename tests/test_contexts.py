"""Where each directive is accepted: mod_wsgi's classes of directives, in every context of httpd."""

from __future__ import annotations

import re

import pytest
import requests
from harness import Httpd
from tables import reference

G, S, D, FILEINFO, AUTHCONFIG, OBSOLETE = (
    "global",
    "server",
    "directory",
    "FileInfo",
    "AuthConfig",
    "obsolete",
)

CLASSES = {
    G: [
        "WSGIPythonHome /usr",
        "WSGIPythonEggs /tmp",
        "WSGIPythonPath /usr",
        "WSGIPythonOptimize 1",
        "WSGIPythonHashSeed 1",
        "WSGIPythonWarnings error",
        "WSGIDontWriteBytecode On",
        "WSGIDestroyInterpreter On",
        "WSGICaseSensitivity On",
        "WSGIServerMetrics On",
        "WSGISwitchInterval 0.1",
        "WSGIRestrictStdin On",
        "WSGIRestrictStdout On",
        "WSGIRestrictSignal On",
        "WSGIPerInterpreterGIL Off",
        "WSGIFreeThreading Off",
        "<WSGIInterpreterOptions application-group=a>\n</WSGIInterpreterOptions>",
        "WSGISocketPrefix {root}/wsgi",
        "WSGIRestrictEmbedded Off",
        "WSGITelemetryService unix:/x interval=2",
        "WSGITelemetryOptions All",
        "WSGISlowRequests 1",
    ],
    S: [
        "WSGIScriptAlias /a {app}/hello.py",
        "WSGIScriptAliasMatch ^/b {app}/hello.py",
        "WSGIDaemonProcess other",
        "WSGIImportScript {app}/hello.py process-group=%{GLOBAL} application-group=%{GLOBAL}",
    ],
    D: [
        "WSGIProcessGroup %{GLOBAL}",
        "WSGIApplicationGroup a",
        "WSGIHandlerScript report {app}/hello.py",
        "WSGIDispatchScript {app}/hello.py",
        "WSGIRestrictProcess %{GLOBAL}",
        "WSGIPassApacheRequest Off",
    ],
    FILEINFO: [
        "WSGICallableObject application",
        "WSGIPassAuthorization On",
        "WSGIScriptReloading On",
        "WSGIChunkedRequest On",
        "WSGIRequestBuffering On",
        "WSGIResponseBuffering On",
        "WSGIErrorOverride Off",
        "WSGIEnableSendfile Off",
        "WSGIMapHEADToGET Auto",
        "WSGITrustedProxyHeaders X-Forwarded-For",
        "WSGITrustedProxies 10.0.0.0/8",
        "WSGIIgnoreActivity On",
    ],
    AUTHCONFIG: [
        "WSGIAccessScript {app}/allows.py",
        "WSGIAuthUserScript {app}/allows.py",
        "WSGIAuthGroupScript {app}/allows.py",
    ],
    OBSOLETE: [
        "WSGIAcceptMutex default",
        "WSGISocketRotation Off",
        "WSGILazyInitialization On",
        "WSGINewRelicConfigFile /x",
        "WSGINewRelicEnvironment x",
        "WSGIUserAuthoritative On",
        "WSGIGroupAuthoritative On",
        "WSGIVerboseDebugging On",
    ],
}

CONTEXTS = {
    "server": "%s",
    "virtual host": "<VirtualHost *:81>\n%s\n</VirtualHost>",
    "Directory": "<Directory /srv>\n%s\n</Directory>",
    "Location": "<Location /x>\n%s\n</Location>",
    "Files": "<Files x>\n%s\n</Files>",
    "If": '<If "true">\n%s\n</If>',
}
SERVERS = {"server", "virtual host"}
SECTIONS = set(CONTEXTS) - SERVERS
WHERE = {
    G: {"server"},
    S: SERVERS,
    D: SERVERS | SECTIONS,
    FILEINFO: SERVERS | SECTIONS,
    AUTHCONFIG: SECTIONS,
    OBSOLETE: SERVERS | SECTIONS,
}
REFUSED = [
    (line, context)
    for kind, lines in CLASSES.items()
    for line in lines
    for context in CONTEXTS
    if context not in WHERE[kind]
]


def name_of(line: str) -> str:
    return line.split()[0].lstrip("<")


def test_the_table_has_every_directive() -> None:
    current, obsolete = reference().directives()
    table = {kind: {name_of(line) for line in lines} for kind, lines in CLASSES.items()}
    assert table[OBSOLETE] == {row.name for row in obsolete}
    assert set().union(*table.values()) - table[OBSOLETE] == {row.name for row in current}


@pytest.mark.parametrize("context", CONTEXTS)
def test_what_is_accepted(httpd: Httpd, context: str) -> None:
    lines = [line for kind, lines in CLASSES.items() if context in WHERE[kind] for line in lines]
    (httpd.app / "allows.py").write_text("")
    status, output = httpd.configtest(CONTEXTS[context].replace("%s", "\n".join(lines)))
    assert status == 0, output


@pytest.mark.parametrize(
    ("line", "context"), REFUSED, ids=lambda value: value.split()[0].strip("<>")
)
def test_what_is_refused(httpd: Httpd, line: str, context: str) -> None:
    status, output = httpd.configtest(CONTEXTS[context].replace("%s", line))
    assert status != 0
    assert f"{httpd.root}/httpd.conf" in output
    assert re.search(rf"{name_of(line)}>? (not allowed|cannot occur within)", output)


def test_htaccess(httpd: Httpd) -> None:
    """Files in directories whose .htaccess has one directive each, under every AllowOverride."""
    (httpd.app / "allows.py").write_text("def allow_access(environ, host):\n    return True\n")
    conf, cases = (
        [
            f"Alias /h {httpd.root}/h",
            f"<Directory {httpd.root}/h>\nRequire all granted\nWSGIRestrictProcess %{{GLOBAL}}\n</Directory>",
        ],
        {},
    )
    for allowed in ("None", "FileInfo", "AuthConfig", "All"):
        conf.append(f"<Directory {httpd.root}/h/{allowed}>\nAllowOverride {allowed}\n</Directory>")
        for kind, lines in CLASSES.items():
            for line in lines:
                directory = httpd.root / "h" / allowed / name_of(line)
                directory.mkdir(parents=True)
                text = line.replace("{app}", str(httpd.app)).replace("{root}", str(httpd.root))
                (directory / ".htaccess").write_text(text + "\n")
                (directory / "file").write_text("served")
                accepted = (
                    allowed == "None"
                    or kind == OBSOLETE
                    or (kind in (FILEINFO, AUTHCONFIG) and allowed in (kind, "All"))
                )
                cases[f"/h/{allowed}/{directory.name}/file"] = 200 if accepted else 500
    httpd.start("\n".join(conf))
    with requests.Session() as session:
        assert {
            path: session.get(httpd.url(path), timeout=60).status_code for path in cases
        } == cases
    assert "WSGI0221" not in httpd.log_text()
