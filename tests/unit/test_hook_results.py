"""What the results of scripts that Apache asks mean, without Apache."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from httpd_wsgi.interpreter import context, hooks


class Doubtful:
    """Like an array: neither true nor false."""

    def __bool__(self) -> bool:
        raise ValueError("ambiguous")

    def __eq__(self, other: object) -> Any:
        raise ValueError("ambiguous")

    def __hash__(self) -> int:
        return 1


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    records: list[str] = []
    monkeypatch.setattr(hooks._runtime, "log", lambda level, text: records.append(text))
    monkeypatch.setattr(context, "settings", {"process_group": ""})
    return records


def call(
    tmp_path: Path, kind: str, text: str, user: bytes = b"", argument: bytes = b""
) -> tuple[int, bytes]:
    script = tmp_path / "script.py"
    script.write_text(text)
    return hooks.call(kind, str(script), True, {"REMOTE_ADDR": "192.0.2.1"}, user, argument)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("josé", "josé".encode()),
        ("josé".encode().decode("latin-1"), "josé".encode()),
        ("Ωmega", "Ωmega".encode()),
        ("plain", b"plain"),
    ],
)
def test_a_name_is_text_or_bytes_in_a_native_string(text: str, expected: bytes) -> None:
    assert hooks.native_bytes(text) == expected


def test_a_result_that_is_neither_true_nor_false_is_explained(
    tmp_path: Path, logged: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builtins.doubtful", Doubtful(), raising=False)
    for kind, function in (
        ("access", "allow_access"),
        ("password", "check_password"),
        ("digest", "get_realm_hash"),
    ):
        assert (
            call(tmp_path, kind, f"def {function}(*arguments):\n    return doubtful\n")[0]
            == hooks.FAILED
        )
        assert "WSGI0813" in logged[-1] and "a value of type Doubtful" in logged[-1]


def test_a_forgotten_await_is_explained(tmp_path: Path, logged: list[str]) -> None:
    text = "async def allow_access(environ, host):\n    return True\n"
    with pytest.warns(RuntimeWarning, match="never awaited"):
        assert call(tmp_path, "access", text)[0] == hooks.FAILED
    assert "of type coroutine" in logged[-1]


def test_secrets_are_not_logged(tmp_path: Path, logged: list[str]) -> None:
    text = "def check_password(environ, user, password):\n    return password.encode()\n"
    assert call(tmp_path, "password", text, b"anna", b"hunter2")[0] == hooks.FAILED
    text = "def check_password(environ, user, password):\n    raise KeyError(user)\n"
    assert call(tmp_path, "password", text, b"anna", b"hunter2")[0] == hooks.FAILED
    assert (
        len(logged) == 2
        and "KeyError: 'anna'" in logged[1]
        and not any("hunter2" in record for record in logged)
    )


def test_names_have_an_end(tmp_path: Path, logged: list[str]) -> None:
    assert (
        call(tmp_path, "password", "def check_password(*a):\n    return 'x' * 1025\n")[0]
        == hooks.FAILED
    )
    dispatch = (
        "def process_group(environ):\n    return 'x' * 1024\n"
        "application_group = callable_object = process_group\n"
    )
    verdict, text = call(tmp_path, "dispatch", dispatch)
    assert verdict == hooks.TEXT and len(text) < 4096  # WIRE_VERDICT_MAX


def test_a_dispatch_script_need_not_define_anything(tmp_path: Path, logged: list[str]) -> None:
    assert call(tmp_path, "dispatch", "") == (hooks.TEXT, b"-\n-\n-")


@pytest.mark.parametrize(
    ("argument", "groups", "verdict"),
    [
        (b"staff\nadmins", "['ADMINS']", hooks.YES),
        ("größe".encode(), "['größe']", hooks.YES),
        ("größe".encode("latin-1"), "['größe']", hooks.YES),
        ("größe".encode(), "['größe'.encode().decode('latin-1')]", hooks.YES),
        ("日本".encode(), "['日本']", hooks.YES),
        (b"??", "['日本']", hooks.NO),
        (b"staff", "{'staff': 1}", hooks.YES),
        (b"staff", "b'staff'", hooks.FAILED),
        (b"", "['staff']", hooks.NO),
        (b"", "''.split(',')", hooks.NO),
    ],
)
def test_groups(
    tmp_path: Path, logged: list[str], argument: bytes, groups: str, verdict: int
) -> None:
    text = f"def groups_for_user(environ, user):\n    return {groups}\n"
    assert call(tmp_path, "groups", text, b"anna", argument)[0] == verdict


def test_a_script_that_failed_to_load_is_tried_again(tmp_path: Path, logged: list[str]) -> None:
    assert call(tmp_path, "access", "raise ValueError('boom')\n")[0] == hooks.FAILED
    assert (
        "WSGI0810" in logged[-1]
        and "ValueError: boom" in logged[-1]
        and "hooks.py" not in logged[-1]
    )
    assert (
        call(
            tmp_path, "access", "def allow_access(environ, host):\n    return host == '192.0.2.1'\n"
        )[0]
        == hooks.YES
    )
