"""The Debian packages, installed into this machine as an administrator does it, and removed again
without a trace.
"""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from harness import AS_ROOT, MARK, SANITIZED, Httpd, free_port, wait_until
from pythons import REPOSITORY, STATE

import httpd_wsgi

PACKAGES = ("libapache2-mod-httpd-wsgi", "python3-httpd-wsgi")
LOCK = Path("/run/lock/httpd-wsgi-packages")
SCRIPT = Path("/var/www/wsgi/application.py")
WATCHED = ("/etc/apache2", "/usr/lib/apache2/modules")
PLACES = (
    "/usr/bin",
    "/usr/lib/python3/dist-packages",
    "/usr/share",
    "/usr/share/doc",
    "/usr/share/man/man1",
)
# RUNLEVEL keeps maintainer scripts from starting or restarting the machine's own Apache.
ENVIRONMENT = {
    **os.environ,
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "RUNLEVEL": "1",
    "DEBIAN_FRONTEND": "noninteractive",
}


def run(*command: str | Path, env: dict[str, str] = ENVIRONMENT, cwd: Path | None = None) -> str:
    done = subprocess.run(command, env=env, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return str(done.stdout)


def apt(*arguments: str | Path) -> None:
    run(
        "apt-get",
        "-q",
        "-y",
        "--no-install-recommends",
        "-o",
        "DPkg::Lock::Timeout=600",
        "-o",
        "APT::Sandbox::User=root",
        *arguments,
    )


def is_in_use() -> bool:
    names = [*PACKAGES, "libapache2-mod-wsgi-py3"]
    return any(
        subprocess.run(["dpkg-query", "-W", name], capture_output=True, check=False).returncode == 0
        for name in names
    )


def why_not() -> str:
    if (
        not AS_ROOT
        or not shutil.which("dpkg-buildpackage")
        or not Path("/etc/apache2/envvars").exists()
    ):
        return "needs root on a Debian with its Apache and dpkg-dev"
    if SANITIZED:
        return "the packages are not built with sanitizers"
    return ""


pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())


def trace() -> dict[str, str]:
    """What the machine has: WSGI packages with their versions, Apache's files, and what is called
    as these packages are.
    """
    found = dict(
        line.split("\t") for line in run("dpkg-query", "-W").splitlines() if "wsgi" in line
    )
    paths = [path for top in WATCHED for path in Path(top).rglob("*")]
    paths += [path for top in PLACES for path in Path(top).glob("*httpd*wsgi*")]
    # A2enmod makes and keeps directories there
    paths += [path for path in Path("/var/lib/apache2").rglob("*") if path.is_file()]
    for path in paths:
        content = (
            os.readlink(path).encode()
            if path.is_symlink()
            else path.read_bytes()
            if path.is_file()
            else b""
        )
        found[str(path)] = hashlib.sha256(content).hexdigest()
    return found


@pytest.fixture(scope="module")
def built() -> Path:
    """The directory with the .deb files; built once per state of the sources."""
    run("make", f"STATE={STATE}", "deb", cwd=REPOSITORY)
    return STATE / "deb"


@pytest.fixture(scope="module")
def machine(built: Path) -> Iterator[dict[str, str]]:
    """The packages are installed; the value is what the machine was before. Checkouts on one
    machine take turns.
    """
    with LOCK.open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if LOCK.read_text():  # a run before was killed, maybe in the midst of installing
            run("dpkg", "--configure", "-a")
            clean_up()
        elif is_in_use() or SCRIPT.parent.exists():
            pytest.skip(f"this machine uses a WSGI module or {SCRIPT.parent} itself")
        before = trace()
        try:
            LOCK.write_text("the packages are installed by a test\n")
            SCRIPT.parent.mkdir()
            SCRIPT.write_text(
                re.findall(r"((?:    .*\n|\n)+)", readme_after(f"`{SCRIPT}`:"))[0].replace(
                    "\n    ", "\n"
                )
            )
            apt("install", *(next(built.glob(f"{name}_*.deb")) for name in PACKAGES))
            yield before
        finally:
            clean_up()


def clean_up() -> None:
    shutil.rmtree(SCRIPT.parent, ignore_errors=True)
    if is_in_use():
        apt("purge", *PACKAGES)
    LOCK.write_text("")


def readme_after(heading: str) -> str:
    return (REPOSITORY / "README.md").read_text().partition(heading)[2]


class SystemApache(Httpd):
    """Debian's Apache with a copy of /etc/apache2, in which only the port and the places for logs
    and the like are others.
    """

    def __init__(self) -> None:
        super().__init__()
        self.etc = self.root / "apache2"
        self.log = self.root / "error.log"

    def write_conf(self, conf: str) -> Path:
        shutil.copytree("/etc/apache2", self.etc, symlinks=True)
        (self.etc / "ports.conf").write_text(f"Listen 127.0.0.1:{self.port}\n")
        with (self.etc / "envvars").open("a") as envvars:
            envvars.write(
                f"export APACHE_PID_FILE={self.root}/pid APACHE_RUN_DIR={self.root} APACHE_LOCK_DIR={self.root}\n"
            )
            envvars.write(f"export APACHE_LOG_DIR={self.root}\n")
        (self.etc / "sites-available" / "hello.conf").write_text(conf)
        run("a2ensite", "-q", "hello", env=self.environment())
        return self.etc

    def environment(self) -> dict[str, str]:
        state = self.root / "state"
        return {
            **ENVIRONMENT,
            MARK: self.mark,
            "APACHE_CONFDIR": str(self.etc),
            "APACHE_STATE_DIRECTORY": str(state),
        }

    def command(self, *arguments: str) -> list[str]:
        return [
            "sh",
            "-c",
            '. "$APACHE_CONFDIR/envvars" && exec apache2 -d "$APACHE_CONFDIR" "$@"',
            "sh",
            *arguments,
        ]


def serve_the_readmes_site() -> None:
    """In a daemon group as the README has it, and embedded, as it is without a group; both with the
    distribution's Python.
    """
    apache = SystemApache()
    site = readme_after("line to paste. Then:").partition("`/var/www")[0].replace("\n    ", "\n")
    site = site.replace(" python-home=/srv/shop/venv", "").replace("*:80", f"*:{apache.port}")
    embedded = f"    WSGIScriptAlias /embedded {SCRIPT} process-group=%{{GLOBAL}}\n"
    site = site.replace("    WSGIProcessGroup", embedded + "    WSGIProcessGroup")
    assert f"WSGIScriptAlias /hello {SCRIPT}" in site
    try:
        apache.start(site)
        for path in ("/hello", "/embedded"):
            answer = requests.get(
                apache.url(path), headers={"Host": "shop.example.com"}, timeout=60
            )
            assert (answer.status_code, answer.text) == (200, "Hello World!"), apache.log_text()
    finally:
        apache.finish()


def test_the_packages_are_built_of_this_version(built: Path) -> None:
    changelog = (REPOSITORY / "debian" / "changelog").read_text()
    assert changelog.startswith(f"httpd-wsgi ({httpd_wsgi.__version__}-")
    assert {
        path.name.partition("_")[0] for path in built.glob("*.deb") if "dbgsym" not in path.name
    } == set(PACKAGES)


def test_apt_lets_the_module_take_the_place_of_mod_wsgi(built: Path) -> None:
    package = next(built.glob(f"{PACKAGES[0]}_*.deb"))
    fields = {
        name: run("dpkg-deb", "-f", package, name).strip()
        for name in ("Provides", "Conflicts", "Replaces", "Depends")
    }
    assert fields["Provides"] == "httpd-wsgi3" and fields["Replaces"] == "libapache2-mod-wsgi-py3"
    assert fields["Conflicts"] == "libapache2-mod-wsgi, libapache2-mod-wsgi-py3"
    assert (
        f"{PACKAGES[1]} (= {httpd_wsgi.__version__}-" in fields["Depends"]
        and "libpython3." in fields["Depends"]
    )


@pytest.mark.skipif(shutil.which("lintian") is None, reason="lintian is not installed")
def test_lintian_finds_no_error(built: Path) -> None:
    (changes,) = built.glob("*.changes")
    run(
        "lintian",
        "--allow-root",
        "--fail-on",
        "error",
        "--suppress-tags",
        "bad-distribution-in-changes-file",
        changes,
    )


def test_the_installed_module_is_enabled_and_serves_the_readmes_site(
    machine: dict[str, str],
) -> None:
    assert "enabled" in run("a2query", "-m", "wsgi")
    serve_the_readmes_site()


def test_the_packages_bring_command_and_manual_page(machine: dict[str, str]) -> None:
    assert run("/usr/bin/httpd-wsgi", "--version") == f"httpd-wsgi {httpd_wsgi.__version__}\n"
    assert 'LoadModule wsgi_module "/usr/lib/' in run("/usr/bin/httpd-wsgi", "module-config")
    page = gzip.decompress(Path("/usr/share/man/man1/httpd-wsgi.1.gz").read_bytes()).decode()
    assert "httpd\\-wsgi \\- serve Python" in page and "module\\-config" in page


def test_the_packages_bring_what_pip_builds_the_runtime_for_other_pythons_of(
    machine: dict[str, str],
) -> None:
    command = run(
        "/usr/bin/python3",
        "-c",
        "from httpd_wsgi import _boot; print(_boot.install_command('PYTHON'))",
    )
    archive = command.removeprefix("PYTHON -m pip install ").strip()
    with tarfile.open(archive) as tar:
        packed = {name.partition("/")[2] for name in tar.getnames()}
    sources = [
        path
        for top in ("apache", "src")
        for path in (REPOSITORY / top).rglob("*")
        if path.suffix in (".c", ".h", ".py")
    ]
    assert {str(path.relative_to(REPOSITORY)) for path in sources} <= packed
    told = run(
        sys.executable,
        "-m",
        "pip",
        "install",
        "--dry-run",
        "--ignore-installed",
        "--no-build-isolation",
        archive,
    )
    assert f"Would install httpd-wsgi-{httpd_wsgi.__version__}" in told


def test_links_of_the_installed_pages_lead_somewhere(machine: dict[str, str]) -> None:
    top = Path("/usr/share/doc", PACKAGES[0])
    pages = list(top.rglob("*.md"))
    links = [
        (page, link)
        for page in pages
        for link in re.findall(r"\]\((?!https?://)([^)#\s]+)", page.read_text())
    ]
    assert (
        len(pages) > 20
        and [f"{page}: {link}" for page, link in links if not (page.parent / link).exists()] == []
    )


def test_the_installed_command_serves_with_the_distributions_python(
    machine: dict[str, str],
) -> None:
    port = free_port()
    process = subprocess.Popen(
        ["/usr/bin/httpd-wsgi", "serve", "--demo", "--port", str(port)], env=ENVIRONMENT
    )
    try:
        wait_until(lambda: answers(port), "the demonstration answers")
    finally:
        process.terminate()
        assert process.wait(60) == 0


def answers(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/", timeout=60).ok
    except requests.ConnectionError:
        return False


def test_an_upgrade_keeps_the_administrators_settings_and_serves(
    machine: dict[str, str], built: Path, tmp_path: Path
) -> None:
    conf = Path("/etc/apache2/mods-available/wsgi.conf")
    conf.write_text(conf.read_text() + "# changed by the administrator\n")
    newer = []
    for name in PACKAGES:
        tree = tmp_path / name
        run("dpkg-deb", "-R", next(built.glob(f"{name}_*.deb")), tree)
        control = tree / "DEBIAN" / "control"
        control.write_text(
            control.read_text().replace(
                f"{httpd_wsgi.__version__}-", f"{httpd_wsgi.__version__}+newer-"
            )
        )
        newer.append(tmp_path / f"{name}.deb")
        run("dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "-b", tree, newer[-1])
    apt("install", *newer)
    assert "+newer-" in run("dpkg-query", "-W", PACKAGES[0])
    assert "changed by the administrator" in conf.read_text() and "enabled" in run(
        "a2query", "-m", "wsgi"
    )
    serve_the_readmes_site()


def test_a_module_that_the_administrator_disabled_stays_so_after_an_upgrade(
    machine: dict[str, str], built: Path
) -> None:
    run("a2dismod", "-q", "wsgi")
    apt(
        "install",
        "--reinstall",
        "--allow-downgrades",
        *(next(built.glob(f"{name}_*.deb")) for name in PACKAGES),
    )
    assert not Path("/etc/apache2/mods-enabled/wsgi.load").exists()
    run("a2enmod", "-q", "wsgi")


def test_purging_leaves_the_machine_as_it_was(machine: dict[str, str]) -> None:
    apt("purge", *PACKAGES)
    assert trace() == machine
