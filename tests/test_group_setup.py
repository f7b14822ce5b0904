"""What options of WSGIDaemonProcess make of a worker's process."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import socket
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from harness import APACHE_USER, AS_ROOT, SANITIZED, Httpd, wait_until

import httpd_wsgi

as_root = pytest.mark.skipif(not AS_ROOT, reason="needs root to start Apache as another user")


def conf(options: str, script: str = "process.py") -> str:
    return f"WSGIDaemonProcess d threads=2 {options}\nWSGIScriptAlias / {{app}}/{script} process-group=d\n"


def facts(httpd: Httpd, options: str, more: str = "") -> dict[str, Any]:
    httpd.start(conf(options) + more)
    return dict(requests.get(httpd.url("/"), timeout=60).json())


# ---- identity and place ----


@as_root
def test_user_and_groups(httpd: Httpd) -> None:
    found = facts(httpd, "user=daemon group=#12345 supplementary-groups=mail,#54321")
    assert (found["uid"], found["gid"]) == (pwd.getpwnam("daemon").pw_uid, 12345)
    assert sorted(found["groups"]) == sorted([12345, grp.getgrnam("mail").gr_gid, 54321])


@as_root
def test_a_user_of_its_own_starts_at_home_with_apaches_group_and_its_own(httpd: Httpd) -> None:
    found = facts(httpd, "user=daemon")
    own = pwd.getpwnam("daemon")
    assert (found["cwd"], found["gid"]) == (own.pw_dir, grp.getgrnam(APACHE_USER).gr_gid)
    assert own.pw_gid in found["groups"]


@as_root
def test_a_home_that_does_not_exist_is_a_warning(httpd: Httpd) -> None:
    assert not Path(pwd.getpwnam("nobody").pw_dir).exists()
    assert facts(httpd, "user=nobody")["cwd"] == "/"
    assert "home=" in httpd.expect("WSGI0612")


def test_a_home_that_is_given_and_cannot_be_entered_gives_503(httpd: Httpd) -> None:
    httpd.start(conf("home={root}/none"))
    assert f"home={httpd.root}/none" in httpd.expect("WSGI0611")
    httpd.expect("WSGI0608")
    assert requests.get(httpd.url("/"), timeout=60).status_code == 503
    httpd.expect("WSGI0309")


@as_root
def test_apaches_user_counts_wherever_it_is_written(httpd: Httpd) -> None:
    found = facts(httpd, "", "User daemon\nGroup mail\n")
    assert (found["uid"], found["gid"], found["cwd"]) == (
        pwd.getpwnam("daemon").pw_uid,
        grp.getgrnam("mail").gr_gid,
        "/",
    )


def python_for(root: Path) -> None:
    """A Python in root/py, with its libraries and this package."""
    binary, stdlib = Path(sys.executable).resolve(), Path(sysconfig.get_path("stdlib"))
    python = root / "py" / "bin" / "python"
    python.parent.mkdir(parents=True)
    shutil.copy(binary, python)
    skipped = shutil.ignore_patterns(
        "test", "tests", "idlelib", "tkinter", "lib2to3", "ensurepip", "*-packages", "config-*"
    )
    library = root / "py" / "lib" / stdlib.name
    shutil.copytree(stdlib, library, ignore=skipped, symlinks=False, ignore_dangling_symlinks=True)
    listed = subprocess.run(
        ["ldd", binary, *library.rglob("*.so")], capture_output=True, text=True, check=False
    ).stdout
    for line in listed.splitlines():
        source = next(
            (word for word in line.split() if word.startswith("/") and not word.endswith(":")), ""
        )
        if source and not source.startswith(str(root)):
            target = root / source.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
    code = "import site; print(site.getsitepackages()[0])"
    packages = Path(
        subprocess.run(
            [python, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
    )
    shutil.copytree(Path(httpd_wsgi.__file__).parent, packages / "httpd_wsgi")


@pytest.mark.skipif(SANITIZED, reason="the sanitizers' libraries are not in there")
@as_root
def test_chroot(httpd: Httpd) -> None:
    jail = httpd.root / "jail"
    python_for(jail)
    (jail / "srv").mkdir()
    shutil.copy(httpd.app / "process.py", jail / "srv")
    (jail / "srv" / "process.py").write_text(
        (httpd.app / "environ.py").read_text() + "import os\nassert os.listdir('/srv')\n"
    )
    httpd.start(
        f"<Directory {jail}>\nRequire all granted\n</Directory>\n"
        f"WSGIDaemonProcess d threads=1 chroot={jail}/ python-home=/py home=/srv\n"
        f"WSGIScriptAlias /in {jail}/srv/process.py process-group=d\n"
        "WSGIScriptAlias /out {app}/hello.py\n<Location /out>\nWSGIProcessGroup d\n</Location>\n"
    )
    environ = requests.get(httpd.url("/in"), timeout=60).json()
    assert environ["SCRIPT_FILENAME"] == "/srv/process.py" and "DOCUMENT_ROOT" not in environ
    assert requests.get(httpd.url("/out"), timeout=60).status_code == 500
    assert f"chroot={jail}" in httpd.expect("WSGI0223")


@as_root
def test_a_chroot_that_does_not_exist_gives_503(httpd: Httpd) -> None:
    httpd.start(conf("chroot={root}/none").replace("{app}", "{root}/none"))
    assert f"chroot={httpd.root}/none cannot be entered" in httpd.expect("WSGI0614")
    httpd.expect("WSGI0608")


# ---- limits and settings of the process ----


@pytest.mark.skipif(SANITIZED, reason="the sanitizers need more address space")
def test_memory_limits_are_the_workers_and_not_the_supervisors(httpd: Httpd) -> None:
    found = facts(httpd, "memory-limit=700M virtual-memory-limit=4G")
    assert (found["data"], found["address_space"]) == ([700 << 20] * 2, [4 << 30] * 2)
    limits = [Path(f"/proc/{pid}/limits").read_text() for pid in ("self", found["ppid"])]
    assert limits[0].splitlines()[3] == limits[1].splitlines()[3] and limits[0].splitlines()[
        3
    ].startswith("Max data size")
    assert requests.get(httpd.url("/memory"), timeout=60).status_code == 507


def test_workers_are_called_after_their_group_and_notices_are_logged_at_any_level(
    httpd: Httpd,
) -> None:
    httpd.start(
        "LogLevel warn\nWSGIDaemonProcess shop threads=1\nWSGIDaemonProcess named threads=1 display-name=other\n"
        "WSGIScriptAlias /shop {app}/process.py process-group=shop\nWSGIScriptAlias /named "
        "{app}/process.py process-group=named\n"
    )
    for url, title in (("/shop", b"(wsgi:shop)"), ("/named", b"other")):
        pid = requests.get(httpd.url(url), timeout=60).json()["pid"]
        assert Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0") == title
    os.utime(httpd.app / "process.py", (1, 1))
    assert requests.get(httpd.url("/shop"), timeout=60).status_code == 200
    httpd.expect("WSGI0706")


def test_cpu_priority(httpd: Httpd) -> None:
    assert facts(httpd, "cpu-priority=5")["priority"] == 5


@as_root
def test_a_better_cpu_priority_than_apaches_is_set_as_root(httpd: Httpd) -> None:
    found = facts(httpd, "cpu-priority=-5")
    assert found["priority"] == -5 and found["uid"] != 0


@pytest.mark.skipif(SANITIZED, reason="the sanitizers reserve memory on each stack")
def test_stack_size(httpd: Httpd) -> None:
    assert facts(httpd, "stack-size=512K")["stack"] in range(512 << 10, (512 << 10) + 8192)


def test_python_eggs(httpd: Httpd) -> None:
    assert facts(httpd, "python-eggs=/tmp/eggs")["eggs"] == "/tmp/eggs"


def test_locale_is_that_of_the_process(httpd: Httpd) -> None:
    assert facts(httpd, "locale=C.UTF-8")["numeric_locale"] == "C.UTF-8"


def test_a_locale_that_is_not_installed_is_a_warning(httpd: Httpd) -> None:
    assert facts(httpd, "locale=xx_XX.UTF-8")["numeric_locale"] == "C"
    assert "locale=xx_XX.UTF-8" in httpd.expect("WSGI0621")


# ---- sockets ----


def test_buffers_of_the_sockets(httpd: Httpd) -> None:
    """An embedded application in the same Apache child looks at the child's end while a request is
    held.
    """
    if AS_ROOT:
        httpd.root.chmod(0o777)
    go = httpd.root / "go"
    more = "WSGIScriptAlias /embedded {app}/process.py\n"
    httpd.start("ServerLimit 1\n" + more + conf("send-buffer-size=20000 receive-buffer-size=30000"))
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(requests.get, httpd.url(f"/hold?{go}"), timeout=60)
        wait_until(Path(f"{go}.held").exists, "the request runs")
        apache = requests.get(httpd.url("/embedded"), timeout=60).json()["sockets"]
        go.touch()
        worker = held.result().json()["sockets"]
    assert 40000 in [size for _, size in worker]  # the kernel doubles it
    assert 60000 in [size for _, size in apache]


@as_root
def test_socket_user(httpd: Httpd) -> None:
    more = "WSGIScriptAlias /embedded {app}/process.py\n"
    httpd.start("ServerLimit 1\n" + more + conf("socket-user=daemon"))
    owners = [
        owner
        for owner, size in requests.get(httpd.url("/embedded"), timeout=60).json()["sockets"]
        if size is None
    ]
    assert owners == [pwd.getpwnam("daemon").pw_uid]
    assert requests.get(httpd.url("/"), timeout=60).status_code == 503
    assert "Permission denied" in httpd.expect("WSGI0309")


@as_root
def test_a_changed_socket_user_counts_after_a_graceful_restart(httpd: Httpd) -> None:
    httpd.start(conf(""))
    assert requests.get(httpd.url("/"), timeout=60).status_code == 200
    httpd.write_conf(conf("socket-user=daemon"))
    httpd.graceful()
    wait_until(
        lambda: requests.get(httpd.url("/"), timeout=60).status_code == 503,
        "the socket is another user's",
    )
    httpd.expect("WSGI0309")


@pytest.mark.parametrize("buffer", ["0", "64M"])
def test_response_socket_timeout_ends_responses_to_clients_that_take_nothing(
    httpd: Httpd, buffer: str
) -> None:
    if AS_ROOT:
        httpd.root.chmod(0o777)
    ended = httpd.root / "ended"
    (httpd.app / "endless.py").write_text(
        "import itertools, time\n"
        "def application(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    try:\n"
        "        yield bytes(8 << 20)\n"
        "        while True:\n"
        "            time.sleep(0.05)\n"
        "            yield bytes(1000)\n"
        "    finally:\n"
        f"        open({str(ended)!r}, 'w').close()\n"
    )
    httpd.start(conf(f"response-socket-timeout=300ms response-buffer-size={buffer}", "endless.py"))
    with socket.create_connection(("127.0.0.1", httpd.port)) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        wait_until(ended.exists, "the application is told that the client has gone")


# ---- whose scripts ----


@pytest.mark.parametrize(
    ("option", "path", "owner", "group", "mode", "said"),
    [
        ("script-user", "own/app.py", "daemon", "root", 0o644, ""),
        ("script-user", "own/app.py", "mail", "root", 0o644, "own/app.py belongs to uid"),
        ("script-user", "own", "mail", "root", 0o755, "own/ belongs to uid"),
        ("script-user", "own/app.py", "daemon", "root", 0o664, "chmod go-w"),
        ("script-user", "own", "daemon", "root", 0o775, "chmod go-w"),
        ("script-user", "own", "daemon", "root", 0o757, "chmod go-w"),
        ("script-group", "own/app.py", "root", "daemon", 0o664, ""),
        ("script-group", "own/app.py", "root", "mail", 0o644, "own/app.py belongs to gid"),
        ("script-group", "own", "root", "mail", 0o755, "own/ belongs to gid"),
        ("script-group", "own/app.py", "root", "daemon", 0o646, "chmod o-w"),
        ("script-group", "own", "root", "daemon", 0o757, "chmod o-w"),
    ],
)
@as_root
def test_scripts_of_others_are_not_run(
    httpd: Httpd, option: str, path: str, owner: str, group: str, mode: int, said: str
) -> None:
    own = httpd.app / "own"
    own.mkdir()
    shutil.copy(httpd.app / "hello.py", own / "app.py")
    for each in (own, own / "app.py"):
        shutil.chown(each, "daemon", "daemon")
        each.chmod(0o755 if each.is_dir() else 0o644)
    shutil.chown(httpd.app / path, owner, group)
    os.chmod(httpd.app / path, mode)
    httpd.start(conf(f"{option}=daemon", "own/app.py"))
    assert requests.get(httpd.url("/"), timeout=60).status_code == (403 if said else 200)
    if said:
        assert said in httpd.expect("WSGI0224")
        assert said in httpd.expect("WSGI0254")
    assert "WSGI0201" not in httpd.log_text()


def test_a_module_is_no_script_of_a_known_owner(httpd: Httpd) -> None:
    user = pwd.getpwuid(os.getuid()).pw_name
    group = f"WSGIDaemonProcess d script-user={user} python-path={{app}}\n"
    httpd.start(group + "WSGIScriptAlias / hello:application process-group=d")
    assert requests.get(httpd.url("/"), timeout=60).status_code == 403
    assert "module" in httpd.expect("WSGI0224")
    httpd.expect("WSGI0254")
