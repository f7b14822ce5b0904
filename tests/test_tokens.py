"""Everybody gets his own answer, whatever others do on the same workers meanwhile: upload, leave,
fail, reload, kill.
"""

from __future__ import annotations

import os
import random
import signal

from conftest import conf_for
from harness import Httpd, wait_until
from visitors import Visitors

LONG = "HTTPD_WSGI_LONG" in os.environ
ANSWERS = 200_000 if LONG else 400
CLIENTS = 40 if LONG else 10
CONF = "ThreadsPerChild 25\nMaxRequestWorkers 100\nMaxKeepAliveRequests 0\nListenBacklog 1000\n"
FAILURES = {"WSGI0401", "WSGI0404", "WSGI0405"}


def start(httpd: Httpd, mode: str) -> None:
    httpd.start(CONF + conf_for(mode, "tokens.py"))
    httpd.expected |= FAILURES


def all_kinds(visitors: Visitors) -> None:
    """How far each client gets in its list of questions depends on the machine."""
    kinds = {"200", "500", "cut off"}
    wait_until(
        lambda: kinds <= set(visitors.outcomes) or bool(visitors.wrong),
        "answers of all kinds come",
        300,
    )


def more(visitors: Visitors, answers: int) -> None:
    end = visitors.outcomes.total() + answers
    wait_until(
        lambda: visitors.outcomes.total() >= end or bool(visitors.wrong),
        "answers come",
        3600 if LONG else 300,
    )


def test_every_answer_carries_its_own_token(httpd: Httpd, mode: str) -> None:
    start(httpd, mode)
    with Visitors(httpd.port, CLIENTS) as visitors:
        more(visitors, ANSWERS)
        all_kinds(visitors)
    assert not visitors.wrong, visitors.wrong[:5]
    assert set(visitors.outcomes) == {"200", "500", "cut off"}, visitors.outcomes


def test_no_answer_is_lost_or_mixed_up_while_workers_are_replaced(httpd: Httpd) -> None:
    start(httpd, "daemon")
    with Visitors(httpd.port, CLIENTS, seed=1000) as visitors:
        for number in range(100 if LONG else 3):
            more(visitors, ANSWERS // 50)
            if number % 2:
                os.utime(httpd.app / "tokens.py", (number, number))
            else:
                httpd.graceful()
        more(visitors, ANSWERS // 50)
        all_kinds(visitors)
    assert not visitors.wrong, visitors.wrong[:5]
    assert set(visitors.outcomes) == {"200", "500", "cut off"}, visitors.outcomes


def test_killed_workers_mix_up_no_answers(httpd: Httpd) -> None:
    start(httpd, "daemon")
    wait_until(lambda: len(httpd.workers()) == 2, "both workers are ready")
    chance = random.Random(5)
    with Visitors(httpd.port, CLIENTS, seed=2000) as visitors:
        for _ in range(50 if LONG else 2):
            more(visitors, ANSWERS // 50)
            victim = chance.choice(httpd.workers())
            os.kill(victim, signal.SIGKILL)
            httpd.expect("WSGI0702", f"worker {victim} ")
            wait_until(lambda: len(httpd.workers()) == 2, "it is replaced")
        more(visitors, ANSWERS // 50)
    httpd.expected.add("WSGI0310")
    assert not visitors.wrong, visitors.wrong[:5]
    assert set(visitors.outcomes) <= {"200", "500", "502", "cut off"}, visitors.outcomes
