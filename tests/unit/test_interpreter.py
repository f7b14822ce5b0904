"""Script modules, sys.path and tracebacks as each interpreter sees them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from httpd_wsgi.interpreter import context, loader, modules, setup, tracebacks


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(context, "settings", {"process_group": ""})
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "shop.wsgi"
    path.write_text(
        "VALUE = 1\n\ndef application(environ, start_response):\n    raise ValueError('boom')\n"
    )
    return path


def rewrite(script: Path, text: str) -> None:
    """With a modification time of its own, however fast the test is."""
    later = script.stat().st_mtime_ns + 1_000_000
    script.write_text(text)
    os.utime(script, ns=(later, later))


def test_a_script_becomes_a_module_with_the_documented_attributes(script: Path) -> None:
    module = loader.load(str(script), 0, True)
    assert (
        module.__name__ == loader.module_name(str(script))
        and sys.modules[module.__name__] is module
    )
    assert module.__file__ == str(script) and module.__package__ is None and module.__spec__
    assert module.__dict__["__cached__"] is None
    assert module.__dict__["__mtime__"] == script.stat().st_mtime_ns // 1000
    assert str(script.parent) not in sys.path


def test_the_name_is_the_md5_of_the_path() -> None:
    assert loader.module_name("/srv/app.wsgi") == "_mod_wsgi_295f8766fc4bd953ab4cd252da58a6a3"


def test_an_unchanged_script_is_loaded_once(script: Path) -> None:
    assert loader.load(str(script), 0, True) is loader.load(str(script), 0, True)


def test_a_changed_script_is_executed_again_when_embedded(script: Path) -> None:
    old = loader.load(str(script), 0, True)
    rewrite(script, "VALUE = 2\n")
    new = loader.load(str(script), 0, True)
    assert new is not old and (old.VALUE, new.VALUE) == (1, 2)


def test_a_changed_script_makes_a_daemon_stale(
    script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(context, "settings", {"process_group": "shop"})
    old = loader.load(str(script), 0, True)
    rewrite(script, "VALUE = 2\n")
    with pytest.raises(loader.Stale):
        loader.load(str(script), 0, True)
    assert loader.load(str(script), 0, False) is old


def test_a_removed_mtime_forces_a_reload(script: Path) -> None:
    old = loader.load(str(script), 0, True)
    del old.__dict__["__mtime__"]
    assert loader.load(str(script), 0, True) is not old


@pytest.mark.parametrize(
    ("text", "error"),
    [("1 +\n", SyntaxError), ("1 / 0\n", ZeroDivisionError), ("raise SystemExit\n", SystemExit)],
)
def test_a_script_that_fails_leaves_no_module(
    script: Path, text: str, error: type[BaseException]
) -> None:
    script.write_text(text)
    with pytest.raises(error):
        loader.load(str(script), 0, True)
    assert loader.module_name(str(script)) not in sys.modules


def test_a_traceback_shows_the_script_and_not_this_package(script: Path) -> None:
    rewrite(script, "1 / 0\n")
    with pytest.raises(ZeroDivisionError) as caught:
        loader.load(str(script), 0, True)
    caught.value.__traceback__ = caught.tb.tb_next  # without the frame of this test
    lines = tracebacks.format_exception(caught.value)
    assert (
        lines[0] == "Traceback (most recent call last):"
        and lines[-1] == "ZeroDivisionError: division by zero"
    )
    assert f'  File "{script}", line 1, in <module>' in lines and "    1 / 0" in lines
    assert not any("httpd_wsgi/interpreter/" in line for line in lines)


def test_a_cause_is_stripped_and_shown_too(script: Path) -> None:
    try:
        try:
            loader.load(str(script.parent / "missing.wsgi"), 0, True)
        except OSError as exc:
            raise RuntimeError("no shop") from exc
    except RuntimeError as exc:
        lines = tracebacks.format_exception(exc)
    assert (
        any(line.startswith("FileNotFoundError") for line in lines)
        and lines[-1] == "RuntimeError: no shop"
    )
    assert not any("httpd_wsgi/interpreter/" in line for line in lines)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="exception groups came with Python 3.11")
def test_the_members_of_an_exception_group_are_stripped_too(script: Path) -> None:
    try:
        loader.load(str(script.parent / "missing.wsgi"), 0, True)
    except OSError as exc:
        group = BaseExceptionGroup("several", [exc])  # noqa: F821
    lines = tracebacks.format_exception(group)
    assert any("FileNotFoundError" in line for line in lines)
    assert not any("httpd_wsgi/interpreter/" in line for line in lines)


def test_the_callables_a_script_defines_itself_are_named(script: Path) -> None:
    script.write_text(
        "from os import getcwd\nclass App: pass\ndef main(): pass\ndef _private(): pass\nVALUE = 1\n"
    )
    assert (
        loader.describe_callables(loader.load(str(script), 0, True), "application")
        == "it defines App, main"
    )
    rewrite(script, "VALUE = 1\n")
    assert (
        loader.describe_callables(loader.load(str(script), 0, True), "application")
        == "it defines no callable"
    )


def test_the_python_path_goes_to_the_front_with_its_pth_files_and_home_before_it(
    tmp_path: Path,
) -> None:
    first, second, extra, home = (tmp_path / name for name in ("first", "second", "extra", "home"))
    for directory in (first, second, extra, home):
        directory.mkdir()
    (first / "more.pth").write_text(f"{extra}\n")
    before = list(sys.path)
    setup.add_paths(f"{first}:{second}", str(home))
    assert sys.path == [str(home), str(first), str(extra), str(second), *before]


def test_the_modules_for_applications_know_their_place() -> None:
    settings = {"process_group": "shop", "processes": 2, "threads": 5}
    mod_wsgi = modules.mod_wsgi_module("a|/x", settings)
    assert (
        mod_wsgi.version == (6, 1, 1)
        and mod_wsgi.process_group == "shop"
        and mod_wsgi.application_group == "a|/x"
    )
    assert (mod_wsgi.maximum_processes, mod_wsgi.threads_per_process) == (2, 5)
    assert issubclass(mod_wsgi.RequestTimeout, BaseException) and not issubclass(
        mod_wsgi.RequestTimeout, Exception
    )


# ---- what is said of callables and modules that are missing ----


class App:
    def __call__(self, environ: object, start_response: object) -> list[bytes]:
        return []


def test_objects_made_by_the_script_count_as_its_callables_and_imports_do_not(script: Path) -> None:
    module = loader.load(str(script), 0, True)
    vars(module).update(app=App(), getcwd=os.getcwd, App=App, VALUE=1, main=None)
    assert (
        loader.describe_callables(module, "aplication")
        == "it defines app, application; did you mean application?"
    )
    del vars(module)["application"], vars(module)["app"]
    assert loader.describe_callables(module, "application") == "it defines no callable"


@pytest.mark.parametrize("spec", ["shop_target:aplication", "shop_target:aplication()"])
def test_a_target_without_the_callable_is_told_what_there_is(tmp_path: Path, spec: str) -> None:
    (tmp_path / "shop_target.py").write_text(
        "def application(*_):\n    pass\n\ndef other():\n    pass\n"
    )
    sys.path.insert(0, str(tmp_path))
    with pytest.raises(
        AttributeError,
        match=r"'aplication'; it defines application, other; did you mean application\?",
    ):
        loader.load_target(spec, 0, True)


def test_a_module_that_is_missing_is_followed_by_where_it_was_looked_for(script: Path) -> None:
    rewrite(script, "import a_module_that_is_not_there\n")
    with pytest.raises(ModuleNotFoundError) as caught:
        loader.load(str(script), 0, True)
    *_, error, place = tracebacks.format_exception(caught.value)
    assert error == "ModuleNotFoundError: No module named 'a_module_that_is_not_there'"
    assert sys.prefix in place and sys.path[-1] in place and "python-home=" in place


def test_tracebacks_begin_with_the_applications_own_lines(tmp_path: Path) -> None:
    (tmp_path / "shop_broken.py").write_text(
        "import importlib\nimportlib.import_module('shop_worse')\n"
    )
    (tmp_path / "shop_worse.py").write_text("1 / 0\n")
    sys.path.insert(0, str(tmp_path))
    with pytest.raises(ZeroDivisionError) as caught:
        loader.load_target("shop_broken:application", 0, True)
    # Without the frame of this test, which a worker does not have
    assert caught.value.__traceback__
    shown = tracebacks.format_exception(
        caught.value.with_traceback(caught.value.__traceback__.tb_next)
    )
    files = [line for line in shown if line.startswith("  File")]
    assert "shop_broken.py" in files[0] and "importlib" in files[1] and "shop_worse.py" in files[-1]
