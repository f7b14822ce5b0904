"""docs/migrating.md: nothing that mod_wsgi 4, 5 and 6 know is left out, and no code is named that
is never logged.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "migrating.md").read_text()

DIRECTIVES = {
    f"WSGI{name}"
    for name in (
        "AcceptMutex AccessScript ApplicationGroup AuthGroupScript AuthUserScript CallableObject "
        "CaseSensitivity ChunkedRequest "
        "DaemonProcess DestroyInterpreter DispatchScript DontWriteBytecode EnableSendfile ErrorOverride FreeThreading "
        "GroupAuthoritative HandlerScript IgnoreActivity ImportScript InterpreterOptions "
        "LazyInitialization MapHEADToGET "
        "NewRelicConfigFile NewRelicEnvironment PassApacheRequest PassAuthorization "
        "PerInterpreterGIL ProcessGroup PythonEggs "
        "PythonHashSeed PythonHome PythonOptimize PythonPath PythonWarnings RestrictEmbedded "
        "RestrictProcess RestrictSignal "
        "RestrictStdin RestrictStdout ScriptAlias ScriptAliasMatch ScriptReloading ServerMetrics "
        "SlowRequests SocketPrefix "
        "SocketRotation SwitchInterval TelemetryOptions TelemetryService TrustedProxies "
        "TrustedProxyHeaders UserAuthoritative "
        "VerboseDebugging"
    ).split()
}
OPTIONS = set(
    "processes threads user group supplementary-groups umask chroot home lang locale python-home "
    "python-path python-eggs "
    "switch-interval stack-size display-name maximum-requests startup-timeout shutdown-timeout deadlock-timeout "
    "inactivity-timeout request-timeout interrupt-timeout graceful-timeout eviction-timeout "
    "restart-interval connect-timeout "
    "socket-timeout queue-timeout listen-backlog socket-user send-buffer-size receive-buffer-size header-buffer-size "
    "response-buffer-size response-socket-timeout response-flush-delay script-user script-group "
    "cpu-time-limit cpu-priority "
    "memory-limit virtual-memory-limit server-metrics".split()
)


def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "reference_of_migrating", ROOT / "docs" / "reference.py"
    )
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_every_directive_of_mod_wsgi_is_accepted_and_in_the_table() -> None:
    known, obsolete = reference().directives()
    assert {row.name.lstrip("<") for row in [*known, *obsolete]} >= DIRECTIVES
    assert set(re.findall(r"`<?(WSGI[A-Za-z]+)", section("Every directive"))) >= DIRECTIVES


def test_every_option_of_mod_wsgi_is_accepted_and_in_the_table() -> None:
    assert {row.name for row in reference().options()} >= OPTIONS
    assert (
        set(re.findall(r"`([a-z]+(?:-[a-z]+)*)`", section("Every option of WSGIDaemonProcess")))
        >= OPTIONS
    )


def test_every_code_is_one_that_is_logged() -> None:
    files = [
        path
        for folder in ("apache", "src")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".c", ".h", ".py")
    ]
    logged = {code for path in files for code in re.findall(r"WSGI\d{4}", path.read_text())}
    ours = [
        row.rsplit("|", 2)[1]
        for row in section("What you grep for in the log").splitlines()
        if row.startswith("| ")
    ]
    named = {code for cell in ours for code in re.findall(r"WSGI\d{4}", cell)}
    assert len(named) > 40 and named <= logged
