"""`httpd-wsgi check` and `explain`, against real configurations."""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import AS_ROOT, Httpd
from served import run

from httpd_wsgi.command.check import findings

CONF = """
WSGIDaemonProcess shop processes=2 threads=3
<VirtualHost *:{port}>
    ServerName shop.example.com
    ServerAlias *.shop.example.com
    WSGIScriptAlias /hello {app}/hello.py
    WSGIScriptAlias /inside {app}/hello.py process-group=%{GLOBAL}
    <Location /hello>
        WSGIProcessGroup shop
    </Location>
    Alias /files {app}
</VirtualHost>
"""


@pytest.fixture
def unstarted() -> Iterator[Httpd]:
    httpd = Httpd()
    yield httpd
    httpd.finish()


def line_of(httpd: Httpd, text: str) -> str:
    path = httpd.root / "httpd.conf"
    number = next(n for n, line in enumerate(path.read_text().splitlines(), 1) if text in line)
    return f"{path}:{number}"


def check(httpd: Httpd, conf: str, *arguments: str) -> tuple[int, list[dict[str, Any]]]:
    path = httpd.write_conf(conf)
    done = run("check", str(path), "--json", *arguments)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout)["findings"]


def found(items: list[dict[str, Any]], part: str) -> dict[str, Any]:
    matching = [item for item in items if part in item["cause"]]
    assert len(matching) == 1, items
    return matching[0]


def test_a_sound_configuration_has_no_findings(unstarted: Httpd) -> None:
    conf = "WSGIDaemonProcess d\nWSGIScriptAlias / {app}/hello.py process-group=d"
    code, items = check(unstarted, conf, "--import", "--strict")
    assert (code, [item for item in items if item["level"] != "note"]) == (0, [])
    done = run("check", str(unstarted.root / "httpd.conf"))
    assert "1 daemon group and 1 application checked: 0 errors" in done.stdout


def test_a_configuration_without_a_group_directive_can_be_checked(unstarted: Httpd) -> None:
    path = unstarted.write_conf(
        "WSGIDaemonProcess d\nWSGIScriptAlias / {app}/hello.py process-group=d"
    )
    path.write_text(
        "\n".join(line for line in path.read_text().splitlines() if not line.startswith("Group "))
        + "\n"
    )
    done = run("check", str(path), "--import")
    assert done.returncode == 0 and "checked: 0 errors" in done.stdout, done


def test_names_that_only_a_request_knows_are_no_mistakes(unstarted: Httpd) -> None:
    conf = (
        "WSGIDaemonProcess d\nSetEnv who d\nWSGIRestrictProcess d\nWSGIScriptAlias /a "
        "{app}/hello.py process-group=%{ENV:who}\n"
        "WSGIScriptAlias /b {app}/hello.py process-group=d application-group=%{ENV:who} callable-object=%{ENV:which}"
    )
    code, items = check(unstarted, conf, "--import")
    assert (code, [item for item in items if item["level"] == "error"]) == (0, [])


def test_scripts_that_silently_run_embedded_are_found(unstarted: Httpd) -> None:
    code, items = check(unstarted, CONF)
    item = found(items, "inside Apache's own processes")
    assert (
        item["where"] == line_of(unstarted, "/inside")
        and "process-group=" in item["cure"]
        and code == 0
    )
    assert check(unstarted, CONF, "--strict")[0] == 1


def test_shadowed_aliases_are_found(unstarted: Httpd) -> None:
    conf = CONF.replace(
        "    Alias /files", "    WSGIScriptAlias /hello/deep {app}/facts.py\n    Alias /files"
    )
    item = found(check(unstarted, conf)[1], "/hello/deep of shop.example.com")
    assert (
        item["where"] == line_of(unstarted, "/hello/deep")
        and line_of(unstarted, "WSGIScriptAlias /hello ") in item["cause"]
    )
    conf = CONF.replace("WSGIScriptAlias /inside", "WSGIScriptAlias /files/x")
    assert "Alias, RewriteRule" in found(check(unstarted, conf)[1], "/files/x of shop")["cause"]


@pytest.mark.parametrize(
    ("conf", "cause", "cure", "code"),
    [
        (
            "WSGIDaemonProcess unused",
            "nothing uses the daemon group 'unused'",
            "process-group=unused",
            0,
        ),
        (
            "WSGIScriptAlias / {app}/nowhere.py process-group=d\nWSGIDaemonProcess d",
            "nowhere.py does not exist",
            "",
            1,
        ),
        (
            "WSGIRestrictEmbedded On\nWSGIScriptAlias /x {app}/hello.py",
            "get status 500",
            "httpd-wsgi explain http://localhost",
            1,
        ),
        ("WSGIDaemonProcess d procesess=2", "did you mean processes", "correct that line", 1),
        (
            "WSGIScriptAlias / {app}/hello.py process-group=missing",
            "the daemon group 'missing'",
            "WSGIDaemonProcess missing",
            1,
        ),
    ],
)
def test_mistakes_are_found_with_their_cure(
    unstarted: Httpd, conf: str, cause: str, cure: str, code: int
) -> None:
    status, items = check(unstarted, conf)
    item = found(items, cause)
    assert cure in item["cure"] and status == code, items
    # Where and how httpd was asked is no cause
    assert "Syntax error" not in item["cause"] and "failed" not in item["cause"]


def test_a_configuration_without_the_module_says_what_to_paste(unstarted: Httpd) -> None:
    path = unstarted.write_conf("")
    path.write_text(
        "\n".join(
            line
            for line in path.read_text().splitlines()
            if "WSGI" not in line and "wsgi_" not in line
        )
    )
    done = run("check", str(path))
    assert (
        done.returncode == 1
        and "does not load httpd-wsgi" in done.stdout
        and "module-config" in done.stdout
    )


def test_another_module_in_our_place_is_named_with_its_line(
    unstarted: Httpd, tmp_path: Path
) -> None:
    """No mod_wsgi is needed here: any module that httpd can load under this name will do."""
    source = tmp_path / "mod_other.c"
    source.write_text(
        '#include "httpd.h"\n#include "http_config.h"\n'
        'const char version[] = "mod_wsgi/4.9.4";\n'
        "module AP_MODULE_DECLARE_DATA wsgi_module = {STANDARD20_MODULE_STUFF};\n"
    )
    flags = shlex.split(
        subprocess.run(
            ["apr-1-config", "--cppflags", "--includes"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    )
    other = unstarted.root / "mod_other.so"
    command = ["cc", "-shared", "-fPIC", *flags, "-I/usr/include/apache2", source, "-o", other]
    subprocess.run(command, check=True)
    path = unstarted.write_conf("")
    lines = [line for line in path.read_text().splitlines() if "WSGI" not in line]
    number = next(i for i, line in enumerate(lines, 1) if line.startswith("LoadModule wsgi_module"))
    lines[number - 1] = f"LoadModule wsgi_module {other}"
    path.write_text("\n".join(lines))
    done = run("check", str(path))
    assert f"error: {path}:{number}: mod_wsgi 4.9.4 is loaded, not httpd-wsgi" in done.stdout
    assert "replace that line" in done.stdout and done.returncode == 1


@pytest.mark.skipif(
    not AS_ROOT or not Path("/usr/sbin/apache2ctl").exists(),
    reason="needs root and Debian's Apache",
)
def test_an_ordinary_user_may_check_the_machines_apache() -> None:
    """Who has no /usr/sbin on the path. The configuration uses variables of /etc/apache2/envvars."""
    done = run("check", user=33, group=33, extra_groups=[], env={"PATH": "/usr/bin:/bin"}, cwd="/")
    assert "AH00111" not in done.stdout and "is not defined" not in done.stdout, done.stdout


def test_a_misspelt_directive_is_answered_with_the_nearest(unstarted: Httpd) -> None:
    code, items = check(unstarted, "WSGIDeamonProcess shop")
    item = found(items, "Invalid command 'WSGIDeamonProcess'")
    assert code == 1 and item["cure"] == "did you mean WSGIDaemonProcess?"


def test_a_module_of_another_httpd_is_recognised(unstarted: Httpd) -> None:
    fake = unstarted.root / "mod_wsgi.so"
    fake.write_bytes(b"no library")
    path = unstarted.write_conf("")
    text = path.read_text()
    start = text.index("LoadModule wsgi_module")
    path.write_text(
        text[:start] + f"LoadModule wsgi_module {fake}" + text[text.index("\n", start) :]
    )
    done = run("check", str(path))
    assert done.returncode == 1 and done.stdout.startswith("error: ") and str(fake) in done.stdout


def test_a_python_without_the_runtime_is_found(unstarted: Httpd) -> None:
    home = unstarted.root / "home" / "bin"
    home.mkdir(parents=True)
    (home / "python").write_text("#!/bin/sh\nexit 78\n")
    (home / "python").chmod(0o755)
    conf = f"WSGIDaemonProcess d python-home={home.parent}\nWSGIScriptAlias / {{app}}/hello.py process-group=d"
    code, items = check(unstarted, conf)
    assert code == 1 and any(
        "has no runtime" in item["cause"] and "pip install SOURCE" in item["cure"] for item in items
    ), items


def test_import_shows_the_traceback_of_the_application(unstarted: Httpd) -> None:
    (unstarted.app / "broken.py").write_text(
        "import os\nraise RuntimeError(os.environ['WHY'] + str(os.getuid()))\n"
    )
    conf = "WSGIDaemonProcess d env=WHY=because\nWSGIScriptAlias / {app}/broken.py process-group=d"
    code, items = check(unstarted, conf, "--import")
    uid = 33 if AS_ROOT else os.getuid()
    item = found(items, "cannot be loaded")
    assert (
        code == 1
        and item["cause"].endswith(f"RuntimeError: because{uid}")
        and "Traceback" in item["detail"]
    )
    assert check(unstarted, conf)[0] == 0  # without --import nothing of it runs


def test_a_variable_of_setenv_that_is_missing_in_os_environ_is_explained(
    unstarted: Httpd,
) -> None:
    (unstarted.app / "wants.py").write_text("import os\nDSN = os.environ['DSN']\n")
    conf = "WSGIDaemonProcess d\nSetEnv DSN x\nWSGIScriptAlias / {app}/wants.py process-group=d"
    code, items = check(unstarted, conf, "--import")
    item = found(items, "KeyError: 'DSN'")
    assert code == 1 and f"({line_of(unstarted, 'SetEnv DSN')})" in item["cure"]
    assert "env=DSN=" in item["cure"]


def test_projects_that_share_a_group_are_noted(unstarted: Httpd) -> None:
    for name in ("one", "two"):
        (unstarted.app / name).mkdir()
        (unstarted.app / name / "wsgi.py").write_text("def application(e, s): ...\n")
    shared = "WSGIScriptAlias /{0} {{app}}/{0}/wsgi.py process-group=d\n"
    code, items = check(
        unstarted, "WSGIDaemonProcess d\n" + shared.format("one") + shared.format("two")
    )
    item = found(items, "in the same processes")
    assert (item["level"], item["where"]) == ("note", line_of(unstarted, "WSGIDaemonProcess d"))
    assert "one/wsgi.py and" in item["cause"] and code == 0


def test_explain_names_the_line_of_a_handler_script(unstarted: Httpd) -> None:
    path = unstarted.write_conf(
        "WSGIDaemonProcess tools\nWSGIHandlerScript report {app}/hello.py process-group=tools "
        "application-group=%{GLOBAL}\nAlias /files {app}\n"
        "<Location /files>\nSetHandler report\n</Location>"
    )
    done = run("explain", f"localhost:{unstarted.port}/files/kitchen.py", str(path))
    where = line_of(unstarted, "WSGIHandlerScript report")
    assert done.stdout.count(where) >= 2, done.stdout
    assert "known only with a request" not in done.stdout and "%{RESOURCE}" not in done.stdout


def test_import_finds_a_missing_callable_and_modules(unstarted: Httpd) -> None:
    (unstarted.app / "other.py").write_text("import mod_wsgi\ndef app(e, s): pass\n")
    conf = (
        "WSGIDaemonProcess d python-path={app}\nWSGIScriptAlias /a {app}/other.py process-group=d\n"
    )
    code, items = check(
        unstarted, conf + "WSGIScriptAlias /b other:app process-group=d", "--import"
    )
    assert code == 1 and "it defines app" in found(items, "cannot be loaded")["cause"]


def test_ports_taken_by_others_are_found(unstarted: Httpd) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", unstarted.port))
        taken.listen()
        code, items = check(unstarted, "")
        assert (
            code == 1
            and f"(process {os.getpid()}) listens there already"
            in found(items, f":{unstarted.port}")["cause"]
        )


def test_selinux_and_apparmor_are_looked_at(tmp_path: Path) -> None:
    assert not list(findings.of_apparmor(tmp_path)) and not list(
        findings.of_selinux({"servers": []}, tmp_path)
    )
    profiles = tmp_path / "sys/kernel/security/apparmor/profiles"
    profiles.parent.mkdir(parents=True)
    profiles.write_text("/usr/sbin/cupsd (enforce)\n/usr/sbin/apache2 (enforce)\n")
    [finding] = findings.of_apparmor(tmp_path)
    assert "/usr/sbin/apache2" in finding.cause and "DENIED" in finding.cure


# ---- explain ----


@pytest.mark.parametrize("host", ["shop.example.com", "x.shop.example.com"])
def test_explain_says_what_serves_a_url_and_where_that_is_written(
    unstarted: Httpd, host: str
) -> None:
    path = unstarted.write_conf(CONF)
    done = run("explain", f"http://{host}:{unstarted.port}/hello/a%20b?x=1", str(path))
    lines = [line.strip() for line in done.stdout.splitlines()]
    assert done.returncode == 0, done
    for value, why in (
        (f"virtual host  shop.example.com:{unstarted.port}", line_of(unstarted, "<VirtualHost")),
        (f"script        {unstarted.app}/hello.py", line_of(unstarted, "WSGIScriptAlias /hello")),
        (
            "daemon group  shop, defined in " + line_of(unstarted, "WSGIDaemonProcess"),
            line_of(unstarted, "WSGIProcessGroup"),
        ),
    ):
        assert lines[lines.index(value) + 1].startswith(why), done.stdout
    assert (
        "PATH_INFO     /a b" in lines
        and f"interpreter   sub-interpreter shop.example.com:{unstarted.port}|/hello" in lines
    )


def test_explain_knows_the_main_interpreter_of_a_group_with_one_application(
    unstarted: Httpd,
) -> None:
    path = unstarted.write_conf(
        "WSGIDaemonProcess d\nWSGIScriptAlias / {app}/hello.py process-group=d"
    )
    done = run("explain", f"http://localhost:{unstarted.port}/", str(path), "--json")
    rows = {row["what"]: row for row in json.loads(done.stdout)}
    assert (
        rows["interpreter"]["value"].startswith("main interpreter")
        and "only application" in rows["interpreter"]["why"]
    )
    assert (
        rows["daemon group"]["why"]
        == rows["script"]["why"]
        == line_of(unstarted, "WSGIScriptAlias")
    )


def test_explain_says_that_no_application_serves_a_file(unstarted: Httpd) -> None:
    path = unstarted.write_conf(CONF)
    done = run("explain", f"http://shop.example.com:{unstarted.port}/files/hello.py", str(path))
    assert (
        done.returncode == 1
        and f"{unstarted.app}/hello.py" in done.stdout
        and "no WSGIScriptAlias" in done.stdout
    )


def test_explain_says_when_nothing_listens_on_the_port(unstarted: Httpd) -> None:
    path = unstarted.write_conf(
        f"WSGIDaemonProcess d\nWSGIScriptAlias / {unstarted.app}/hello.py process-group=d\n"
    )
    done = run("explain", "http://localhost/", str(path))
    assert "nothing listens on 80, which a URL without a port means" in done.stdout
    assert f"Listen says 127.0.0.1:{unstarted.port}" in done.stdout and done.returncode == 0
    assert (
        "nothing listens"
        not in run("explain", f"http://localhost:{unstarted.port}/", str(path)).stdout
    )
    refused = run("explain", "http://localhost:99999/", str(path))
    assert (
        refused.returncode == 2
        and "http://localhost:99999/: not a URL: port out of range" in refused.stderr
    )


def test_explain_knows_set_handler(unstarted: Httpd) -> None:
    path = unstarted.write_conf(
        "WSGIScriptAlias / {app}/hello.py\nAlias /id {app}/kitchen.py\n"
        "<Location /id>\nSetHandler wsgi-script\nOptions +ExecCGI\n</Location>\n"
        "<Location /own>\nSetHandler default-handler\n</Location>\n<Location /none>\nSetHandler None\n</Location>"
    )
    for url, script in (("/id/x", "kitchen.py"), ("/none", "hello.py"), ("/own", None)):
        done = run("explain", f"http://localhost:{unstarted.port}{url}", str(path))
        assert (script is None) == (done.returncode == 1), done.stdout
        assert (
            script is None or f"app/{script}" in done.stdout.split("script", 1)[1].splitlines()[0]
        )


def test_explain_says_why_a_request_is_refused(unstarted: Httpd) -> None:
    path = unstarted.write_conf("WSGIRestrictEmbedded On\nWSGIScriptAlias / {app}/hello.py")
    done = run("explain", f"http://localhost:{unstarted.port}/", str(path))
    assert done.returncode == 1 and "status 500" in done.stdout and "WSGI0206" in done.stderr


def test_explain_takes_an_address_without_a_scheme_as_http(unstarted: Httpd) -> None:
    path = unstarted.write_conf("WSGIDaemonProcess d\nWSGIScriptAlias / {app}/hello.py")
    done = run("explain", f"localhost:{unstarted.port}/x", str(path))
    assert done.returncode == 0 and "hello.py" in done.stdout, done.stderr


@pytest.mark.parametrize("url", ["/shop", "ftp://x/", "http://"])
def test_explain_wants_a_whole_url(unstarted: Httpd, url: str) -> None:
    done = run("explain", url, str(unstarted.write_conf("")))
    assert done.returncode == 2 and f"{url}: expected a URL" in done.stderr


# ---- the dump ----


def test_the_dump_hides_values_of_variables_unless_asked(unstarted: Httpd) -> None:
    unstarted.write_conf("WSGIDaemonProcess d env=SECRET=hush")
    for define, shown in (("DUMP_WSGI", False), ("DUMP_WSGI_ENV", True)):
        command = unstarted.command("-t", "-D", "DUMP_WSGI", "-D", define)
        dump = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert ("hush" in dump) == shown and "SECRET" in dump and json.loads(dump)["format"] == 1


def test_the_dump_is_json_whatever_the_configuration_holds(unstarted: Httpd) -> None:
    path = unstarted.write_conf("WSGIDaemonProcess d")
    path.write_bytes(
        path.read_bytes() + b'WSGIScriptAlias "/a\\"b\xe9\xc3\xa9\t" /x.py process-group=d\n'
    )
    dump = subprocess.run(
        unstarted.command("-t", "-D", "DUMP_WSGI"), capture_output=True, check=True
    ).stdout
    assert json.loads(dump)["servers"][0]["aliases"][0]["location"] == '/a"b\u00e9\u00e9\t'


@pytest.mark.parametrize("target", ["{app}/odd.py", "odd:application"])
@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("application = None\n", "not callable"),
        ("async def application(scope, receive, send):\n    pass\n", "looks like ASGI"),
    ],
)
def test_an_object_that_is_no_application_is_an_error(
    unstarted: Httpd, target: str, code: str, text: str
) -> None:
    (unstarted.app / "odd.py").write_text(code)
    conf = f"WSGIDaemonProcess d python-path={{app}}\nWSGIScriptAlias / {target} process-group=d"
    status, items = check(unstarted, conf, "--import")
    assert status == 1 and any(text in str(item) for item in items)
