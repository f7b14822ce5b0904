from __future__ import annotations

import resource
import threading

import pytest

from httpd_wsgi.shared.settings import GroupSettings
from httpd_wsgi.worker import limits


def test_a_limit_that_is_refused_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "setrlimit", refuse)
    limits.apply(GroupSettings(group="shop", where="shop.conf:3", memory_limit=5))
    written = capfd.readouterr()
    assert (
        "WSGI0620: group shop (shop.conf:3): memory-limit=5 cannot be set: not allowed"
        in written.err + written.out
    )


def test_the_stack_size_counts_only_inside(capfd: pytest.CaptureFixture[str]) -> None:
    before = threading.stack_size()
    with limits.stack_size(GroupSettings(stack_size=1 << 19)):
        assert threading.stack_size() == 1 << 19
    assert threading.stack_size() == before
    with limits.stack_size(GroupSettings(stack_size=1)):
        assert threading.stack_size() == before
    written = capfd.readouterr()
    assert "WSGI0622" in written.err + written.out
