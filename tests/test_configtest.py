"""What `apachectl configtest` says about things that are not there, cannot be reached or do not fit
together.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
from harness import APACHE_USER, AS_ROOT, MODULE, Httpd

as_root = pytest.mark.skipif(not AS_ROOT, reason="needs root to start Apache as another user")


def lines_with(output: str, code: str) -> list[str]:
    return [line for line in output.splitlines() if code in line]


def warned(httpd: Httpd, conf: str, code: str) -> str:
    """The one line with this code; the configuration is accepted."""
    status, output = httpd.configtest(conf)
    assert status == 0, output
    (line,) = lines_with(output, code)
    assert "[wsgi:warn]" in line
    return line


def test_a_configuration_without_faults_says_nothing(httpd: Httpd) -> None:
    conf = f"WSGIDaemonProcess d python-home={sys.prefix} home=/\nWSGIScriptAlias / {{app}}/hello.py process-group=d\n"
    status, output = httpd.configtest(conf)
    assert status == 0 and "WSGI0" not in output


# ---- Pythons ----


def make_missing(home: Path) -> str:
    return "does not exist; create it"


def make_file(home: Path) -> str:
    home.write_text("")
    return "is not a directory"


def make_empty(home: Path) -> str:
    home.mkdir()
    return "has no bin/python"


def make_stale(home: Path) -> str:
    (home / "bin").mkdir(parents=True)
    (home / "bin" / "python").symlink_to("/usr/bin/python3.4")
    return "leads to /usr/bin/python3.4, which does not exist any more"


@pytest.mark.parametrize("make", [make_missing, make_file, make_empty, make_stale])
@pytest.mark.parametrize(
    "line", ["WSGIDaemonProcess d python-home={root}/venv", "WSGIPythonHome {root}/venv"]
)
def test_a_home_without_python(httpd: Httpd, make: Callable[[Path], str], line: str) -> None:
    said = make(httpd.root / "venv")
    found = warned(httpd, line, "WSGI0280")
    assert (
        said in found and str(httpd.root / "venv") in found and f"{httpd.root}/httpd.conf:" in found
    )
    assert ("daemon group 'd'" if "Daemon" in line else "WSGIPythonHome") in found


def fake_venv(home: Path, version: str, configuration: str = "") -> Path:
    """The files of a virtual environment, as far as they are looked at. Returns its site-packages."""
    packages = home / "lib" / f"python{version}" / "site-packages"
    packages.mkdir(parents=True)
    (home / "bin").mkdir()
    (home / "bin" / "python").symlink_to(sys.executable)
    (home / "pyvenv.cfg").write_text(f"home = /nowhere/bin\n{configuration}")
    return packages


def real_venv(home: Path, *options: str) -> Path:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", *options, home], check=True)
    return next(home.glob("lib/python3*/site-packages"))


@pytest.mark.parametrize("version", ["3.99", "3.99t"])
def test_a_python_without_runtime_is_told_how_to_get_one(httpd: Httpd, version: str) -> None:
    home = httpd.root / "venv"
    packages = fake_venv(home, version)
    (home / "bin" / "python").unlink()
    (home / "bin" / "python").write_text("")
    conf = f"WSGIDaemonProcess d python-home={home}"
    found = warned(httpd, conf, "WSGI0281")
    assert (
        f"Python {version} in {home}" in found
        and f"{home}/bin/python -m pip install SOURCE" in found
    )
    (packages / "httpd_wsgi").mkdir()
    (packages / "httpd_wsgi" / f"_runtime.cpython-3{version[2:]}-x86_64-linux-gnu.so").touch()
    assert "WSGI0281" not in httpd.configtest(conf)[1]


@pytest.mark.parametrize("name", ["__editable___httpd_wsgi_0_finder.py", "mine.pth"])
def test_what_may_have_a_runtime_is_not_warned_of(httpd: Httpd, name: str) -> None:
    home = httpd.root / "venv"
    packages = fake_venv(home, "3.99")
    (home / "bin" / "python").unlink()
    (home / "bin" / "python").write_text("")
    (packages / "_virtualenv.pth").write_text("import _virtualenv\n")
    conf = f"WSGIDaemonProcess d python-home={home}"
    assert "WSGI0281" in httpd.configtest(conf)[1]
    (packages / name).write_text("# a directory:\n/srv/packages\n")
    assert "WSGI0281" not in httpd.configtest(conf)[1]


def test_a_real_environment_uses_the_runtime_beside_the_module(httpd: Httpd) -> None:
    real_venv(httpd.root / "venv")
    assert (
        "WSGI028"
        not in httpd.configtest(
            f"WSGIProcessGroup d\nWSGIDaemonProcess d python-home={httpd.root}/venv"
        )[1]
    )


def test_a_home_that_does_not_exist(httpd: Httpd) -> None:
    assert "home={root}/none".replace("{root}", str(httpd.root)) in warned(
        httpd, "WSGIDaemonProcess d home={root}/none", "WSGI0290"
    )


@pytest.mark.parametrize(
    "line",
    ["WSGIPythonPath {root}/none:{root}", "WSGIDaemonProcess d python-path={root}:{root}/none"],
)
def test_a_directory_of_the_python_path_that_does_not_exist(httpd: Httpd, line: str) -> None:
    found = warned(httpd, line, "WSGI0296")
    assert f": {httpd.root}/none does not exist" in found and f"{httpd.root}/httpd.conf:" in found


@pytest.mark.parametrize("home", ["", "python-home={prefix}"])
def test_the_default_python_of_a_module_without_runtime(tmp_path: Path, home: str) -> None:
    package = tmp_path / "lib" / "python3.99" / "site-packages" / "httpd_wsgi"
    package.mkdir(parents=True)
    for name in ("mod_wsgi.so", "_boot.py"):
        (package / name).write_bytes((MODULE.parent / name).read_bytes())
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python3.99").write_text("")
    (tmp_path / "bin" / "python3.99").chmod(0o755)
    (tmp_path / "bin" / "python3").symlink_to("python3.99")
    httpd = Httpd(module=package / "mod_wsgi.so")
    try:
        status, output = httpd.configtest(
            "WSGIDaemonProcess d " + home.replace("{prefix}", sys.prefix)
        )
    finally:
        httpd.finish()
    assert status == 0 and len(lines_with(output, "WSGI0295")) == (not home), output


def test_a_home_that_is_no_environment_any_more(httpd: Httpd) -> None:
    home = httpd.root / "venv"
    real_venv(home)
    conf = f"WSGIProcessGroup d\nWSGIDaemonProcess d python-home={home}"
    assert "WSGI0240" not in httpd.configtest(conf)[1]
    (home / "pyvenv.cfg").unlink()
    for line in (conf, f"WSGIPythonHome {home}"):
        found = warned(httpd, line, "WSGI0240")
        assert f"runs as the Python of {sys.base_prefix}" in found
    assert "WSGI0240" not in httpd.configtest(f"WSGIPythonHome {sys.base_prefix}")[1]


def test_a_program_instead_of_a_home_is_named_when_the_group_starts(httpd: Httpd) -> None:
    program = f"{sys.prefix}/bin/python"
    httpd.start(
        f"WSGIDaemonProcess d python-home={program}\nWSGIScriptAlias / {{app}}/hello.py process-group=d"
    )
    assert f"{program} is not a directory" in httpd.expect("WSGI0604")
    assert requests.get(httpd.url("/"), timeout=60).status_code == 503
    for code in ("WSGI0280", "WSGI0608", "WSGI0309"):
        httpd.expect(code)


@as_root
@pytest.mark.parametrize(("mode", "bits"), [(0o700, "list"), (0o711, "list"), (0o755, "")])
@pytest.mark.parametrize("line", ["WSGIPythonPath {lib}", "WSGIDaemonProcess d python-path={lib}"])
def test_a_directory_of_the_python_path_that_the_user_may_not_list(
    httpd: Httpd, mode: int, bits: str, line: str
) -> None:
    lib = httpd.app / "lib"
    lib.mkdir()
    lib.chmod(mode)
    conf = line.replace("{lib}", str(lib))
    if bits:
        found = warned(httpd, conf, "WSGI0241")
        assert f"{lib}" in found and APACHE_USER in found and "chmod o+" in found
    else:
        assert "WSGI0241" not in httpd.configtest(conf)[1]


@as_root
def test_a_missing_module_names_the_directory_that_is_closed(httpd: Httpd, mode: str) -> None:
    lib = httpd.app / "lib"
    (lib / "inner").mkdir(parents=True)
    lib.chmod(0o700)
    (httpd.app / "needs.py").write_text("import mymod\n")
    paths = {
        "daemon": "WSGIDaemonProcess d python-path={lib}\nWSGIScriptAlias / {app}/needs.py process-group=d",
        "embedded": "WSGIPythonPath {lib}\nWSGIScriptAlias / {app}/needs.py",
    }
    httpd.start(paths[mode].replace("{lib}", str(lib / "inner")))
    requests.get(httpd.url("/"), timeout=60)
    for code in ("WSGI0241", "WSGI0404", *(["WSGI0415"] * (mode == "daemon"))):
        httpd.expect(code)
    assert f"may not enter or list {lib};" in httpd.expect("found no mymod")


# ---- scripts ----


@pytest.mark.parametrize(
    ("more", "is_denied"),
    [
        ("", True),
        ("<Directory {root}/closed>\nRequire all granted\n</Directory>", False),
        ("<Directory {root}>\nRequire method GET\n</Directory>", False),
        ("<Directory {root}/other>\nRequire all granted\n</Directory>", True),
        ("<Location /shop>\nRequire all granted\n</Location>", False),
    ],
)
def test_a_script_that_nothing_grants_access_to(httpd: Httpd, more: str, is_denied: bool) -> None:
    (httpd.root / "closed").mkdir()
    (httpd.root / "closed" / "app.py").write_text("")
    conf = "<Directory />\nRequire all denied\n</Directory>\nWSGIScriptAlias /shop {root}/closed/app.py\n"
    status, output = httpd.configtest(conf + more)
    assert status == 0 and len(lines_with(output, "WSGI0297")) == is_denied, output


@pytest.mark.parametrize("url", ["/", "/d/"])
def test_a_target_that_does_not_exist(httpd: Httpd, url: str) -> None:
    line = warned(
        httpd, f"WSGIScriptAlias {url} {{root}}/none{url.rstrip('/') and '/'}", "WSGI0282"
    )
    assert f"{httpd.root}/none" in line and "404" in line


def test_path_info_behind_a_script_is_no_missing_file(httpd: Httpd) -> None:
    assert "WSGI028" not in httpd.configtest("WSGIScriptAlias / {app}/hello.py/shop")[1]


@as_root
def test_a_directory_of_scripts_must_be_enterable(httpd: Httpd) -> None:
    (httpd.app / "private").mkdir()
    (httpd.app / "private").chmod(0o711)
    conf = "WSGIDaemonProcess d\nWSGIScriptAlias /d/ {app}/private/ process-group=d"
    assert "WSGI028" not in httpd.configtest(conf)[1]
    (httpd.app / "private").chmod(0o700)
    assert f"directory {httpd.app}/private (mode 0700)" in warned(httpd, conf, "WSGI0283")


@pytest.mark.parametrize(
    "conf",
    [
        "WSGIScriptAlias / {app}/private/app.py process-group=d",
        "WSGIProcessGroup d\nWSGIScriptAlias / {app}/private/app.py",
        "WSGIProcessGroup d\nWSGIScriptAlias / {app}/link.py",
    ],
)
@pytest.mark.parametrize(
    ("mode", "file_mode", "said"),
    [
        (0o700, 0o644, "directory {app}/private (mode 0700)"),
        (0o755, 0o600, "may not read it (mode 0600)"),
        (0o755, 0o644, ""),
    ],
)
@as_root
def test_scripts_that_the_groups_user_cannot_read(
    httpd: Httpd, conf: str, mode: int, file_mode: int, said: str
) -> None:
    private = httpd.app / "private"
    private.mkdir()
    (private / "app.py").write_text("")
    (httpd.app / "link.py").symlink_to(private / "app.py")
    private.chmod(mode)
    (private / "app.py").chmod(file_mode)
    _, output = httpd.configtest("WSGIDaemonProcess d user=daemon\n" + conf)
    lines = lines_with(output, "WSGI0283")
    assert len(lines) == bool(said)
    if said:
        assert (
            said.replace("{app}", str(httpd.app)) in lines[0]
            and "user daemon of daemon group 'd'" in lines[0]
        )
        assert "chmod o+" in lines[0]
    assert len(lines_with(output, "WSGI0284")) == (mode == 0o700)


@as_root
def test_membership_counts(httpd: Httpd) -> None:
    private = httpd.app / "private"
    private.mkdir()
    (private / "app.py").write_text("")
    private.chmod(0o750)
    subprocess.run(["chgrp", "mail", private], check=True)
    conf = "WSGIDaemonProcess d user=daemon {}\nWSGIScriptAlias / {{app}}/private/app.py process-group=d"
    assert "WSGI0283" in httpd.configtest(conf.format(""))[1]
    assert "WSGI0283" not in httpd.configtest(conf.format("supplementary-groups=mail"))[1]


@as_root
def test_embedded_scripts_that_apaches_user_cannot_read(httpd: Httpd) -> None:
    (httpd.app / "secret.py").write_text("")
    (httpd.app / "secret.py").chmod(0o600)
    line = warned(httpd, "WSGIScriptAlias / {app}/secret.py", "WSGI0284")
    assert f"Apache's user {APACHE_USER} may not read it (mode 0600)" in line


@as_root
def test_a_python_in_a_private_directory(httpd: Httpd) -> None:
    private = httpd.root / "private"
    real_venv(private / "venv")
    private.chmod(0o700)
    line = warned(httpd, f"WSGIDaemonProcess d user=daemon python-home={private}/venv", "WSGI0292")
    assert f"the directory {private} (mode 0700)" in line and "user daemon" in line
    assert "its owner's alone; move it" in line  # nobody should open root's home for it


def test_a_script_outside_of_the_chroot_is_an_error(httpd: Httpd) -> None:
    (httpd.root / "jail").mkdir()
    conf = (
        "WSGIDaemonProcess d chroot={root}/jail\nWSGIScriptAlias / {app}/hello.py process-group=d"
    )
    status, output = httpd.configtest(conf)
    assert status != 0 and f"outside of chroot={httpd.root}/jail" in output and "WSGI0291" in output


# ---- groups ----


@pytest.mark.parametrize(
    "line",
    [
        "WSGIProcessGroup shpo",
        "<Location /a>\nWSGIProcessGroup shpo\n</Location>",
        "WSGIScriptAlias / {app}/hello.py process-group=shpo",
        "<WSGIInterpreterOptions process-group=shpo>\n</WSGIInterpreterOptions>",
    ],
)
def test_a_group_that_is_not_defined(httpd: Httpd, line: str) -> None:
    found = warned(httpd, "WSGIDaemonProcess shop\n" + line, "WSGI0285")
    assert "'shpo'" in found and "did you mean shop" in found and "WSGIDaemonProcess shpo" in found


def test_an_import_into_a_group_that_is_not_defined_suggests_the_nearest(httpd: Httpd) -> None:
    conf = "WSGIDaemonProcess shop\nWSGIImportScript {app}/hello.py process-group=shpo application-group=%{GLOBAL}"
    status, output = httpd.configtest(conf)
    assert status != 0 and "did you mean shop" in lines_with(output, "WSGI0222")[0]


def test_a_group_that_is_not_defined_is_suggested_with_the_request_too(httpd: Httpd) -> None:
    httpd.start("WSGIDaemonProcess shop\nWSGIScriptAlias / {app}/hello.py process-group=shpo")
    assert requests.get(httpd.url("/"), timeout=60).status_code == 500
    assert "did you mean shop" in httpd.expect("WSGI0207")


def test_a_group_of_another_virtual_host(httpd: Httpd) -> None:
    conf = (
        "<VirtualHost *:81>\nServerName one\nWSGIDaemonProcess d\n</VirtualHost>\n"
        "<VirtualHost *:81>\nServerName two\nWSGIProcessGroup d\n</VirtualHost>"
    )
    assert "outside of <VirtualHost>" in warned(httpd, conf, "WSGI0286")


def test_a_service_cannot_answer_requests(httpd: Httpd) -> None:
    conf = "WSGIDaemonProcess mails threads=0\nWSGIScriptAlias / {app}/hello.py process-group=mails"
    assert "threads=0" in warned(httpd, conf, "WSGI0288")
    httpd.start(conf)
    assert requests.get(httpd.url("/"), timeout=60).status_code == 500
    httpd.expect("WSGI0225")


@pytest.mark.parametrize(
    ("line", "is_used"),
    [
        ("", False),
        ("WSGIProcessGroup %{GLOBAL}", False),
        ("WSGIProcessGroup shop", True),
        ("WSGIProcessGroup %{ENV:group}", True),
        ("WSGIImportScript {app}/hello.py process-group=shop application-group=%{GLOBAL}", True),
    ],
)
def test_a_group_that_nothing_uses(httpd: Httpd, line: str, is_used: bool) -> None:
    status, output = httpd.configtest("LogLevel warn\nWSGIDaemonProcess shop\n" + line)
    assert status == 0 and len(lines_with(output, "WSGI0287")) == (not is_used)


GROUP = (
    "WSGIDaemonProcess shop processes=1 threads=3 user={user} env=A=1 supplementary-groups={user}"
)
HOSTS = (
    "<VirtualHost *:{port}>\nServerName {first}\n%s\nWSGIScriptAlias / {app}/hello.py "
    "process-group=shop\n</VirtualHost>\n"
    "<VirtualHost *:{port}>\nServerName {second}\n%s\nWSGIScriptAlias / {app}/hello.py "
    "process-group=shop\n</VirtualHost>\n"
)


def two_hosts(first: str, second: str) -> str:
    conf = HOSTS % (first.replace("{user}", APACHE_USER), second.replace("{user}", APACHE_USER))
    return conf.replace("{first}", "one.example.com").replace("{second}", "two.example.com")


def test_a_copied_group_is_shared_by_both_virtual_hosts(httpd: Httpd) -> None:
    httpd.start(two_hosts(GROUP, GROUP.replace(" ", "  ")))
    for host in ("one", "two"):
        assert (
            requests.get(httpd.url("/"), headers={"Host": f"{host}.example.com"}, timeout=60).text
            == "Hello World!"
        )
    assert len(httpd.supervisors()) == 1


@pytest.mark.parametrize(
    ("old", "new", "option"),
    [
        ("threads=3", "threads=4", "threads"),
        ("threads=3", "threads=3 home=/tmp", "home"),
        ("env=A=1", "env=A=2", "env"),
        ("env=A=1", "", "env"),
        ("supplementary-groups={user}", "supplementary-groups=mail", "supplementary-groups"),
        ("user={user}", "user=daemon", "user"),
        ("processes=1", "", "processes"),
        ("threads=3", "threads=3 request-timeout=5", "request-timeout"),
    ],
)
def test_different_groups_of_one_name_are_an_error(
    httpd: Httpd, old: str, new: str, option: str
) -> None:
    status, output = httpd.configtest(two_hosts(GROUP, GROUP.replace(old, new)))
    assert status != 0 and f"with another {option}=" in output
    assert output.count(f"{httpd.root}/httpd.conf") == 2


@pytest.mark.parametrize(
    "line",
    [
        "WSGIApplicationGroup %{GLOBLA}",
        "WSGIProcessGroup %{GLOBLA}",
        "WSGIScriptAlias / {app}/hello.py application-group=%{GLOBLA}",
        "<WSGIInterpreterOptions application-group=%{GLOBLA}>\n</WSGIInterpreterOptions>",
    ],
)
def test_an_expansion_that_is_none(httpd: Httpd, line: str) -> None:
    found = warned(httpd, line, "WSGI0293")
    assert (
        "%{GLOBLA} is none of %{GLOBAL}, %{SERVER}, %{HOST}, %{RESOURCE} and %{ENV:variable}, did you mean %{GLOBAL}"
        in found
    )


@pytest.mark.parametrize(
    "value", ["%{GLOBAL}", "%{SERVER}", "%{HOST}", "%{RESOURCE}", "%{ENV:a}", "a%{b}"]
)
def test_expansions_and_names_are_not_remarked_on(httpd: Httpd, value: str) -> None:
    assert "WSGI0293" not in httpd.configtest(f"WSGIApplicationGroup {value}")[1]


# ---- at a start ----


def test_a_start_puts_the_warnings_into_the_error_log_once_and_goes_on(httpd: Httpd) -> None:
    httpd.start(
        "WSGISocketRotation Off\nWSGIDaemonProcess unused threads=1\nWSGIScriptAlias /none {root}/none.py\n"
        "<VirtualHost *:{port}>\nErrorLog {root}/host_log\nWSGIScriptAlias / {app}/hello.py\n"
        "WSGIScriptAlias /other {root}/other.py\n</VirtualHost>"
    )
    assert requests.get(httpd.url("/"), timeout=60).text == "Hello World!"
    for code in ("WSGI0221", "WSGI0282", "WSGI0287"):
        assert httpd.log_text().count(code) == 1
    assert (httpd.root / "host_log").read_text().count("WSGI0282") == 1
    httpd.graceful()
    assert httpd.log_text().count("WSGI0282") == 2


@pytest.mark.parametrize(
    ("location", "target", "is_wrong"),
    [
        ("/app/", "hello.py", True),
        ("/dir/", "scripts", True),
        ("/dir/", "scripts/", False),
        ("/dir", "scripts", False),
        ("/app", "hello.py", False),
        ("/", "hello.py", False),
        ("/", "scripts", False),
    ],
)
def test_a_slash_that_only_the_url_path_of_an_alias_has(
    httpd: Httpd, location: str, target: str, is_wrong: bool
) -> None:
    (httpd.app / "scripts").mkdir()
    conf = f"WSGIScriptAlias {location} {{app}}/{target}"
    if is_wrong:
        assert "remove that / from the alias" in warned(httpd, conf, "WSGI0238")
    else:
        assert "WSGI0238" not in httpd.configtest(conf)[1]


def test_a_module_needs_no_slash(httpd: Httpd) -> None:
    assert "WSGI0238" not in httpd.configtest("WSGIScriptAlias /app/ shop:application")[1]


def test_a_file_below_an_alias_for_a_directory_is_hinted_at(httpd: Httpd) -> None:
    (httpd.app / "scripts").mkdir()
    httpd.start("WSGIScriptAlias /dir/ {app}/scripts")
    assert requests.get(httpd.url("/dir/a.py"), timeout=60).status_code == 404
    assert "remove that / from the alias" in httpd.expect("WSGI0203", containing="scriptsa.py")


TWICE = """
<VirtualHost *:{port}>
ServerName one
<IfDefine !G>
Define G
WSGIDaemonProcess web
WSGIProcessGroup web
</IfDefine>
WSGIScriptAlias / {app}/hello.py
</VirtualHost>
"""


def test_a_script_that_runs_in_a_group_here_and_embedded_there(httpd: Httpd) -> None:
    status, output = httpd.configtest(TWICE + TWICE.replace("one", "two"))
    (line,) = lines_with(output, "WSGI0239")
    assert (
        status == 0
        and "[wsgi:notice]" in line
        and "hello.py runs in Apache's own processes" in line
    )


@pytest.mark.parametrize(
    "more",
    [
        "<Location />\nWSGIProcessGroup web\n</Location>",
        "WSGIProcessGroup web",
        "WSGIScriptAlias /e {app}/facts.py",
    ],
)
def test_a_script_that_may_run_in_one_group_everywhere_is_not_noticed(
    httpd: Httpd, more: str
) -> None:
    assert "WSGI0239" not in httpd.configtest(more + TWICE)[1]
