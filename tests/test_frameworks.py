"""Real applications, as their users deploy them."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys

import pytest
import requests
from harness import SANITIZED, Httpd

HOME = f"python-home={sys.prefix}"
SITE = f"WSGIPythonHome {sys.prefix}\nWSGIDaemonProcess d threads=4 {HOME} python-path={{app}}\n"


def needs(module: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(
        importlib.util.find_spec(module) is None, reason=f"{module} is not installed"
    )


def conf(mode: str, script: str) -> str:
    path = "" if mode == "daemon" else "WSGIPythonPath {app}\n"
    return (
        SITE
        + path
        + "WSGIScriptAlias / {app}/"
        + script
        + (" process-group=d" if mode == "daemon" else "")
    )


@needs("django")
def test_django_admin_login_form_and_static_files(httpd: Httpd, mode: str) -> None:
    site = httpd.app / "shop"
    subprocess.run(
        [sys.executable, "-m", "django", "startproject", "shop", str(httpd.app)], check=True
    )
    manage = [sys.executable, str(httpd.app / "manage.py")]
    (site / "settings.py").write_text(
        (site / "settings.py").read_text()
        + "\nALLOWED_HOSTS = ['*']\nSTATIC_ROOT = BASE_DIR / 'static'\nSTATIC_URL = '/static/'\n"
        + "DATABASES['default']['NAME'] = BASE_DIR / 'data' / 'db.sqlite3'\n"
    )
    (httpd.app / "data").mkdir()
    (httpd.app / "classic.py").write_text(
        "import os, sys\n"
        "os.environ['DJANGO_SETTINGS_MODULE'] = 'shop.settings'\n"
        "from django.core.wsgi import get_wsgi_application\n"
        "application = get_wsgi_application()\n"
    )
    for command in (["migrate"], ["collectstatic", "--noinput"]):
        subprocess.run([*manage, *command], check=True, stdout=subprocess.DEVNULL)
    create = "from django.contrib.auth.models import User; User.objects.create_superuser('root', '', 'secret')"
    subprocess.run([*manage, "shell", "-c", create], check=True)
    for path in (httpd.app, *httpd.app.rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o666)
    httpd.start("Alias /static/ {app}/static/\n" + conf(mode, "classic.py"))
    session = requests.Session()
    page = session.get(httpd.url("/admin/login/"), timeout=60)
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
    assert page.status_code == 200 and token
    form = {
        "csrfmiddlewaretoken": token.group(1),
        "username": "root",
        "password": "secret",
        "next": "/admin/",
    }
    inside = session.post(httpd.url("/admin/login/"), data=form, timeout=60)
    assert inside.status_code == 200 and "Site administration" in inside.text
    assert requests.get(httpd.url("/static/admin/css/base.css"), timeout=60).status_code == 200


@needs("flask")
def test_flask(httpd: Httpd, mode: str) -> None:
    (httpd.app / "notes.py").write_text(
        "from flask import Flask, request\n"
        "application = Flask(__name__)\n"
        "@application.post('/add')\n"
        "def add():\n"
        "    return {'sum': sum(request.get_json()['numbers'])}\n"
    )
    httpd.start(conf(mode, "notes.py"))
    response = requests.post(httpd.url("/add"), json={"numbers": [1, 2, 3]}, timeout=60)
    assert response.json() == {"sum": 6}
    assert requests.get(httpd.url("/nowhere"), timeout=60).status_code == 404


@needs("webapp2")
def test_webapp2(httpd: Httpd, mode: str) -> None:
    (httpd.app / "page.py").write_text(
        "import webapp2\n"
        "class Page(webapp2.RequestHandler):\n"
        "    def get(self):\n"
        "        self.response.headers['Content-Type'] = 'text/plain'\n"
        "        self.response.write('Hello ' + self.request.get('name'))\n"
        "application = webapp2.WSGIApplication([('/', Page)])\n"
    )
    httpd.start(conf(mode, "page.py"))
    assert requests.get(httpd.url("/?name=you"), timeout=60).text == "Hello you"


@pytest.mark.skipif(
    SANITIZED, reason="Zope's own extensions crash under AddressSanitizer, without this server"
)
@needs("Zope2")
def test_zope(httpd: Httpd) -> None:
    instance = httpd.root / "instance"
    make = [f"{sys.prefix}/bin/mkwsgiinstance", "-d", str(instance), "-u", "admin:admin"]
    subprocess.run(make, check=True, stdout=subprocess.DEVNULL)
    for path in (instance, *instance.rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o666)
    configuration = str(instance / "etc" / "zope.conf")
    (httpd.app / "zserver.py").write_text(
        "from Zope2.Startup.run import make_wsgi_app\n"
        f"application = make_wsgi_app({{}}, {configuration!r})\n"
    )
    httpd.start(conf("daemon", "zserver.py"))
    assert "Zope" in requests.get(httpd.url("/"), timeout=60).text


@needs("numpy")
def test_numpy_works_in_a_group_with_one_application(httpd: Httpd) -> None:
    (httpd.app / "array.py").write_text(
        "import numpy\n"
        "def application(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return [str(int(numpy.arange(10).sum())).encode()]\n"
    )
    httpd.start(conf("daemon", "array.py"))
    assert [requests.get(httpd.url("/"), timeout=60).text for _ in range(3)] == ["45"] * 3
