"""Directives for interpreters and processes, in both modes, with their wrong values."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from harness import Httpd, wait_until

GROUP = "WSGIDaemonProcess d threads=2\n"


def alias(mode: str, options: str = "", script: str = "facts.py", mount: str = "/") -> str:
    return f"WSGIScriptAlias {mount} {{app}}/{script}{' process-group=d' * (mode == 'daemon')} {options}\n"


def facts(
    httpd: Httpd, mode: str, conf: str, options: str = "application-group=%{GLOBAL}"
) -> dict[str, Any]:
    httpd.start("ServerLimit 1\n" + GROUP + conf + "\n" + alias(mode, options))
    return dict(requests.get(httpd.url("/"), timeout=60).json())


@pytest.mark.parametrize(
    ("line", "key", "value"),
    [
        ("WSGIPythonOptimize 2", "optimize", 2),
        ("WSGIDontWriteBytecode On", "bytecode", True),
        (
            "WSGIPythonWarnings error::BytesWarning\nWSGIPythonWarnings default",
            "warnings",
            ["error::BytesWarning", "default"],
        ),
        ("WSGIPythonHashSeed random", "hash_randomization", 1),
        ("WSGISwitchInterval 0.25", "switch", 0.25),
        (
            "WSGIRestrictStdin On",
            "stdin",
            "sys.stdin is not available to WSGI applications here (WSGIRestrictStdin On)",
        ),
        (
            "WSGIRestrictStdout On",
            "stdout",
            "sys.stdout is not available to WSGI applications here (WSGIRestrictStdout On)",
        ),
        ("WSGIRestrictStdin Off", "stdin", "str"),
    ],
)
def test_options_of_the_interpreter(
    httpd: Httpd, mode: str, line: str, key: str, value: object
) -> None:
    assert facts(httpd, mode, line)[key] == value


def test_a_hash_seed_is_used(httpd: Httpd, mode: str) -> None:
    command = [sys.executable, "-c", "print(hash('a string'))"]
    expected = subprocess.run(
        command, env={"PYTHONHASHSEED": "42"}, capture_output=True, text=True, check=True
    ).stdout
    assert facts(httpd, mode, "WSGIPythonHashSeed 42")["hash"] == int(expected)


def test_signal_handlers_of_applications(httpd: Httpd) -> None:
    assert facts(httpd, "daemon", "")["signal"] == "ignored"
    assert "WSGI0804" in httpd.expect("WSGI0804")


def test_signal_handlers_may_be_allowed(httpd: Httpd) -> None:
    assert facts(httpd, "daemon", "WSGIRestrictSignal Off")["signal"] == "installed"


def test_apache_request_is_passed_in_embedded_mode_only(httpd: Httpd, mode: str) -> None:
    assert facts(httpd, mode, "WSGIPassApacheRequest On")["capsule"] == (
        "PyCapsule" if mode == "embedded" else "NoneType"
    )


def test_sections_override_for_the_interpreters_they_name(httpd: Httpd, mode: str) -> None:
    group = "d" if mode == "daemon" else "%{GLOBAL}"
    for name in ("base", "mine", "other"):
        (httpd.app / name).mkdir()
    conf = (
        "WSGIRestrictStdin On\nWSGIPythonPath {app}/base\n"
        f"<WSGIInterpreterOptions process-group={group} application-group=one>\n"
        "WSGIRestrictStdin Off\nWSGIPythonPath {app}/mine\n</WSGIInterpreterOptions>\n"
        "<WSGIInterpreterOptions process-group=elsewhere>\nWSGIRestrictStdin Off\nWSGIPythonPath {app}/other\n"
        "</WSGIInterpreterOptions>\n"
    )
    httpd.start(
        "ServerLimit 1\n"
        + GROUP
        + conf
        + alias(mode, "application-group=one", mount="/one")
        + alias(mode, "application-group=two", mount="/two")
    )
    one, two = (requests.get(httpd.url(path), timeout=60).json() for path in ("/one", "/two"))
    assert one["stdin"] == "str" and two["stdin"].startswith("sys.stdin is not available")
    assert one["path"][0] == str(httpd.app / "mine")
    assert not any("other" in Path(entry).name for entry in one["path"] + two["path"])
    if mode == "embedded":
        assert one["path"][1] == two["path"][0] == str(httpd.app / "base")


def test_restrict_process(httpd: Httpd, mode: str) -> None:
    allowed = "d" if mode == "embedded" else "%{GLOBAL} other"
    aliases = alias(mode, mount="/a") + alias(mode, mount="/b")
    httpd.start(GROUP + aliases + f"<Location /a>\nWSGIRestrictProcess {allowed}\n</Location>")
    assert requests.get(httpd.url("/a"), timeout=60).status_code == 500
    assert requests.get(httpd.url("/b"), timeout=60).status_code == 200
    httpd.expect("WSGI0209")


def test_import_scripts_are_loaded_before_the_first_request(httpd: Httpd, mode: str) -> None:
    (httpd.app / "early.py").write_text(
        "import sys\nsys.modules['loaded_early'] = sys\nprint('early is here')\n"
    )
    group = "d" if mode == "daemon" else "%{GLOBAL}"
    line = (
        f"WSGIImportScript {{app}}/early.py process-group={group} application-group=%{{GLOBAL}}\n"
    )
    httpd.start("ServerLimit 1\n" + GROUP + line + alias(mode, "application-group=%{GLOBAL}"))
    assert "[client" not in httpd.expect("early is here")
    assert requests.get(httpd.url("/"), timeout=60).json()["imported"] == ["loaded_early"]


def test_a_service_script_runs_again_and_again_and_ends_with_apache(httpd: Httpd) -> None:
    mark = httpd.root / "mark"
    mark.touch()
    mark.chmod(0o666)
    (httpd.app / "service.py").write_text(f"open({str(mark)!r}, 'a').write('ran\\n')\n")
    (httpd.app / "loop.py").write_text(
        "import time\nprint('looping')\nwhile True:\n    time.sleep(0.1)\n"
    )
    httpd.start(
        "WSGIDaemonProcess once threads=0\nWSGIDaemonProcess loop threads=0\n"
        "WSGIImportScript {app}/service.py process-group=once application-group=%{GLOBAL}\n"
        "WSGIImportScript {app}/loop.py process-group=loop application-group=%{GLOBAL}\n"
    )
    httpd.expect("looping")
    wait_until(lambda: mark.read_text().count("ran") >= 2, "the service has run twice")


@pytest.mark.skipif(sys.version_info < (3, 12), reason="needs Python 3.12")
def test_interpreters_with_a_lock_of_their_own(httpd: Httpd, mode: str) -> None:
    assert facts(httpd, mode, "WSGIPerInterpreterGIL On", "application-group=own")["group"] == "own"


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="needs an older Python")
def test_a_lock_of_their_own_needs_a_newer_python(httpd: Httpd, mode: str) -> None:
    aliases = alias(mode, "application-group=a", mount="/a") + alias(
        mode, "application-group=b", mount="/b"
    )
    httpd.start("ServerLimit 1\nWSGIPerInterpreterGIL On\n" + GROUP + aliases)
    with ThreadPoolExecutor(2) as pool:
        groups = pool.map(
            lambda path: requests.get(httpd.url(path), timeout=60).json()["group"], ("/a", "/b")
        )
    assert list(groups) == ["a", "b"]
    httpd.expect("WSGI0802")


def test_case_sensitivity(httpd: Httpd, mode: str) -> None:
    conf = f"WSGICaseSensitivity Off\n{GROUP}{alias(mode, mount='/Shop')}"
    httpd.start("ServerLimit 1\n" + conf)
    assert requests.get(httpd.url("/Shop"), timeout=60).json()["group"].endswith("|/shop")


def test_destroy_interpreter_off_skips_atexit(httpd: Httpd, mode: str) -> None:
    hello = (httpd.app / "hello.py").read_text()
    (httpd.app / "bye.py").write_text("import atexit\natexit.register(print, 'good bye')\n" + hello)
    httpd.start("WSGIDestroyInterpreter Off\n" + GROUP + alias(mode, script="bye.py"))
    assert requests.get(httpd.url("/"), timeout=60).status_code == 200
    httpd.stop()
    assert "good bye" not in httpd.log_text()


@pytest.mark.parametrize(
    ("conf", "parts"),
    [
        ("WSGIPythonOptimize 3", ["expected 0, 1 or 2"]),
        ("WSGIPythonHashSeed 4294967296", ["expected random or a number"]),
        ("WSGISwitchInterval 0", ["greater than 0", "0.005"]),
        ("WSGISwitchInterval 1s", ["greater than 0"]),
        ("WSGIRestrictStdin yes", ["On or Off"]),
        ("WSGIDaemonProcess x switch-interval=-1", ["switch-interval=-1", "greater than 0"]),
        (
            "<VirtualHost *:81>\nWSGIPythonOptimize 1\n</VirtualHost>",
            ["WSGIPythonOptimize", "VirtualHost"],
        ),
        ("<Directory />\nWSGIRestrictSignal On\n</Directory>", ["WSGIRestrictSignal"]),
        (
            "WSGIImportScript {app}/hello.py process-group=d",
            ["needs a file, process-group= and application-group="],
        ),
        ("WSGIImportScript {app}/hello.py proces-group=d", ["did you mean process-group="]),
        (
            "WSGIImportScript {app}/hello.py process-group=no application-group=%{GLOBAL}",
            ["WSGI0222", "does not exist"],
        ),
        (
            "WSGIScriptAlias /x {app}/hello.py process-group=no application-group=a",
            ["WSGI0222", "'no'"],
        ),
        (
            "WSGIScriptAlias /x {app}/hello.py process-group = d",
            ["process-group", "without space around"],
        ),
        (
            "<WSGIInterpreterOptions proces-group=d>\n</WSGIInterpreterOptions>",
            ["did you mean process-group="],
        ),
    ],
)
def test_a_wrong_value_fails_the_configuration_test(
    httpd: Httpd, conf: str, parts: list[str]
) -> None:
    code, output = httpd.configtest(conf)
    assert code != 0
    for part in parts:
        assert part in output


OUTSIDE = (
    "WSGIPythonOptimize 1|WSGIRestrictEmbedded On|WSGIScriptAlias /x {app}/hello.py|WSGIPythonHome /usr|"
    "WSGIDaemonProcess x|WSGIProcessGroup d|WSGICallableObject app|WSGISocketRotation On|"
    "WSGIDestroyInterpreter Off|LogLevel debug|<Location /x>\nWSGIRestrictSignal On\n</Location>"
).split("|")


@pytest.mark.parametrize("line", OUTSIDE)
def test_a_section_for_interpreters_takes_only_their_directives(httpd: Httpd, line: str) -> None:
    conf = f"<WSGIInterpreterOptions process-group=g>\nWSGIRestrictStdin On\n{line}\n</WSGIInterpreterOptions>"
    code, output = httpd.configtest(GROUP.replace(" d ", " g ") + conf)
    assert code != 0
    number = (httpd.root / "httpd.conf").read_text().split("\n").index(
        line.split("\n")[0].replace("{app}", str(httpd.app))
    ) + 1
    assert f"Syntax error on line {number} of" in output
    assert (
        f"{line.split()[0]}{'>' * line.startswith('<')} cannot be used in <WSGIInterpreterOptions>"
        in output
    )
    assert "WSGISwitchInterval" in output, "the directives that can be used are named"


def test_a_typing_error_in_a_section_for_interpreters_is_understood(httpd: Httpd) -> None:
    code, output = httpd.configtest(
        "<WSGIInterpreterOptions application-group=a>\nWSGIRestrictStdn On\n</WSGIInterpreterOptions>"
    )
    assert code != 0 and "did you mean WSGIRestrictStdin" in output


def test_a_section_for_interpreters_takes_all_of_their_directives(httpd: Httpd) -> None:
    lines = [
        "WSGIPerInterpreterGIL Off",
        "WSGIFreeThreading Off",
        "<IfModule wsgi_module>",
        "WSGISwitchInterval 0.1",
        "WSGIPythonPath /usr",
        "</IfModule>",
        "WSGIRestrictStdin On",
        "WSGIRestrictStdout On",
        "WSGIRestrictSignal On",
    ]
    code, output = httpd.configtest(
        "\n".join(["<WSGIInterpreterOptions>", *lines, "</WSGIInterpreterOptions>"])
    )
    assert code == 0, output


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("WSGISocketRotation Perhaps", "expected On or Off"),
        (
            "WSGIAcceptMutex nonsense",
            "expected default, flock, fcntl, sysvsem, posixsem or pthread",
        ),
        ("WSGIGroupAuthoritative Perhaps", "expected On or Off"),
        ("WSGIUserAuthoritative 1", "expected On or Off"),
        ("WSGILazyInitialization yes", "expected On or Off"),
        ("WSGIVerboseDebugging", "takes one argument"),
        ("WSGINewRelicEnvironment a b", "takes one argument"),
        ("WSGIPythonEggs", "takes one argument"),
    ],
)
def test_the_value_of_a_directive_without_effect_is_checked(
    httpd: Httpd, line: str, expected: str
) -> None:
    code, output = httpd.configtest(line)
    assert code != 0 and expected in output, output


@pytest.mark.parametrize("word", ["default", "Flock", "fcntl", "sysvsem", "posixsem", "pthread"])
def test_each_mutex_of_mod_wsgi_is_known(httpd: Httpd, word: str) -> None:
    assert httpd.configtest(f"WSGIAcceptMutex {word}")[0] == 0


def test_python_eggs_of_embedded_applications(httpd: Httpd, mode: str) -> None:
    (httpd.app / "eggs.py").write_text(
        "import os\n"
        "def application(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return [os.environ.get('PYTHON_EGG_CACHE', 'none').encode()]\n"
    )
    aliases = "".join(
        alias(mode, f"application-group={name}", "eggs.py", f"/{name}") for name in ("a", "b")
    )
    httpd.start(f"ServerLimit 1\nWSGIPythonEggs /tmp/eggs\n{GROUP}{aliases}")
    seen = [requests.get(httpd.url(path), timeout=60).text for path in ("/a", "/b")]
    assert seen == ["/tmp/eggs" if mode == "embedded" else "none"] * 2


@pytest.mark.parametrize(
    ("more", "switch"),
    [
        ("WSGISwitchInterval 0.02", 0.03),
        ("<WSGIInterpreterOptions>\nWSGISwitchInterval 0.02\n</WSGIInterpreterOptions>", 0.03),
        (
            "<WSGIInterpreterOptions process-group=d>\nWSGISwitchInterval 0.05\n</WSGIInterpreterOptions>",
            0.05,
        ),
        (
            "<WSGIInterpreterOptions application-group=%{GLOBAL}>\nWSGISwitchInterval 0.05\n"
            "</WSGIInterpreterOptions>",
            0.05,
        ),
    ],
)
@pytest.mark.parametrize("group", ["%{GLOBAL}", "other"])
def test_the_switch_interval_that_says_more_wins(
    httpd: Httpd, more: str, switch: float, group: str
) -> None:
    httpd.start(
        f"WSGIDaemonProcess d switch-interval=0.03\n{more}\n"
        + alias("daemon", "application-group=%{GLOBAL}", mount="/main")
        + alias("daemon", f"application-group={group}", mount="/it")
    )
    for path in ("/main", "/it", "/main"):
        assert requests.get(httpd.url(path), timeout=60).json()["switch"] == pytest.approx(switch)


OBSOLETE = (
    "WSGIAcceptMutex default|WSGISocketRotation Off|WSGILazyInitialization "
    "On|WSGIVerboseDebugging On|"
    "WSGINewRelicConfigFile /x|WSGINewRelicEnvironment x|WSGIUserAuthoritative On|WSGIGroupAuthoritative On"
).split("|")


@pytest.mark.parametrize("line", OBSOLETE)
def test_directives_of_old_are_accepted_and_explained(httpd: Httpd, line: str) -> None:
    code, output = httpd.configtest(line)
    assert code == 0, output
    assert (
        f"WSGI0221: {httpd.root}/httpd.conf:" in output
        and f"{line.split()[0]} has no effect" in output
    )


def test_option_values_may_be_quoted(httpd: Httpd, mode: str) -> None:
    (httpd.app / "with space").mkdir()
    script = httpd.app / "with space" / "app.py"
    script.write_text((httpd.app / "facts.py").read_text())
    os.chmod(script, 0o644)
    group = ' process-group="d"' * (mode == "daemon")
    httpd.start(
        GROUP + f"WSGIScriptAlias / '{{app}}/with space/app.py'{group} application-group=\"a b\"\n"
    )
    assert requests.get(httpd.url("/"), timeout=60).json()["group"] == "a b"
