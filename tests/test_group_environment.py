"""env= and env-file= of WSGIDaemonProcess."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import requests
from harness import AS_ROOT, Httpd

APP = (
    "import json, os, sys\n"
    "def application(environ, start_response):\n"
    "    start_response('200 OK', [])\n"
    "    return [json.dumps([dict(os.environ), sys.flags.utf8_mode]).encode()]\n"
)


def group(options: str) -> str:
    return f"WSGIDaemonProcess d threads=1 {options}\nWSGIScriptAlias / {{app}}/shows_env.py process-group=d\n"


def environment(httpd: Httpd, options: str) -> tuple[dict[str, str], int]:
    (httpd.app / "shows_env.py").write_text(APP)
    httpd.start(group(options))
    values, utf8 = json.loads(requests.get(httpd.url("/"), timeout=60).text)
    return values, utf8


def env_file(httpd: Httpd, text: str) -> Path:
    path = httpd.root / "group.env"
    path.write_text(text)
    path.chmod(0o600)
    return path


def test_variables_are_set_in_order_and_before_python_starts(httpd: Httpd) -> None:
    path = env_file(httpd, "COLOUR=from the file\nPYTHONUTF8=1\n")
    options = f'env=COLOUR=red env-file={path} env=SHAPE="round and # big" env=EMPTY= '
    options += 'env=HOME=/else env="SIZE=x y" env=A==b'
    values, utf8 = environment(httpd, options)
    assert [values[name] for name in ("COLOUR", "SHAPE", "EMPTY", "HOME", "SIZE", "A")] == [
        "from the file",
        "round and # big",
        "",
        "/else",
        "x y",
        "=b",
    ]
    assert utf8 == 1


def test_other_groups_do_not_see_it(httpd: Httpd) -> None:
    (httpd.app / "shows_env.py").write_text(APP)
    httpd.start(
        "WSGIDaemonProcess e threads=1\nWSGIScriptAlias /e {app}/shows_env.py process-group=e\n"
        + group("env=MINE=1")
    )
    assert "MINE" in json.loads(requests.get(httpd.url("/"), timeout=60).text)[0]
    assert "MINE" not in json.loads(requests.get(httpd.url("/e"), timeout=60).text)[0]


def test_files_are_read_as_systemd_reads_them(httpd: Httpd) -> None:
    text = (
        "# comment\n; comment\n\n   \n"
        "PLAIN=a b # c\t \n"
        "export EXPORTED=yes\n"
        "  INDENTED=1\n"
        "SINGLE='$x \"q\" \\n'\n"
        'DOUBLE="say \\"hi\\" \\$x \\\\ \\n"\n'
        "JOINED=one\\\ntwo\n"
        'LINES="one\ntwo"\n'
        "PARTS='a b'\"c\"  \n"
        "INNER=it's\n"
        "ESCAPED=\\'x\\ \n"
        "NOTHING=\n"
        "DOS=line\r\n"
        "LAST=end"
    )
    values, _ = environment(httpd, f"env-file={env_file(httpd, text)}")
    expected = {
        "PLAIN": "a b # c",
        "EXPORTED": "yes",
        "INDENTED": "1",
        "SINGLE": '$x "q" \\n',
        "DOUBLE": 'say "hi" $x \\ \\n',
        "JOINED": "onetwo",
        "LINES": "one\ntwo",
        "PARTS": "a bc",
        "INNER": "it's",
        "ESCAPED": "'x ",
        "NOTHING": "",
        "DOS": "line",
        "LAST": "end",
    }
    assert {name: values[name] for name in expected} == expected


@pytest.mark.skipif(not AS_ROOT, reason="needs root to start Apache as another user")
def test_a_file_is_read_before_privileges_are_dropped(httpd: Httpd) -> None:
    path = env_file(httpd, "SECRET=known\n")
    assert os.stat(path).st_uid == 0
    values, _ = environment(httpd, f"env-file={path}")
    assert values["SECRET"] == "known"


@pytest.mark.parametrize(
    ("options", "text", "parts"),
    [
        ("env=NOTHING", None, ["env=NOTHING is not NAME=value", "for example"]),
        ("env=1A=b", None, ["env=1A=b is not NAME=value"]),
        ("env==b", None, ["env==b is not NAME=value"]),
        ("env=", None, ["env= needs a value"]),
        ("env-file=relative", None, ["env-file=relative must be an absolute path"]),
        ("env-file={root}/none", None, ["env-file={root}/none cannot be read", "No such file"]),
        ("env-file={root}", None, ["env-file={root} is not a file"]),
        (
            "env-file={root}/group.env",
            "A=1\nB = secret\n",
            ["env-file={root}/group.env: line 2 is not NAME=value"],
        ),
        (
            "env-file={root}/group.env",
            "A='1\n2'\nsecret\n",
            ["env-file={root}/group.env: line 3 is not NAME=value"],
        ),
        ("env-file={root}/group.env", "\n\nA='secret\nB=2\n", ["line 3", "does not end"]),
        ("env-file={root}/group.env", 'A="secret\n', ["line 1", "does not end"]),
        ("env-file={root}/group.env", "A=b\0c\n", ["env-file={root}/group.env is not text"]),
    ],
)
def test_a_wrong_variable_or_file_fails_configtest(
    httpd: Httpd, options: str, text: str | None, parts: list[str]
) -> None:
    if text is not None:
        env_file(httpd, text)
    code, output = httpd.configtest(f"WSGIDaemonProcess shop {options}")
    assert (
        code != 0 and f"{httpd.root}/httpd.conf" in output and "WSGIDaemonProcess shop: " in output
    )
    assert "secret" not in output
    for part in parts:
        assert part.replace("{root}", str(httpd.root)) in output
