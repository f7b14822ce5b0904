"""Slow and stuck requests, and workers that have had enough, with a fake clock."""

from __future__ import annotations

import math

from httpd_wsgi.shared.activity import Running, Seen
from httpd_wsgi.shared.watch import (
    Busy,
    Deadlocked,
    Expire,
    GiveUpRequests,
    Interrupt,
    Limits,
    Ping,
    Retire,
    Slow,
    Watch,
    scaled,
)


def request(start: float = 100.0, worker: int = 1, thread: int = 0, serial: int = 1) -> Running:
    return Running(worker, thread, serial, "GET /x", 0.5, start, start + 0.1, 0.0)


def test_a_slow_request_is_reported_once() -> None:
    watch, seen = Watch(Limits(slow=10)), [Seen(1, (request(),))]
    assert watch.look(109.9, seen) == []
    assert watch.look(110, seen) == [Slow(request())]
    assert watch.look(111, seen) == []
    other = request(101, serial=3)
    assert watch.look(112, [Seen(1, (other,))]) == [Slow(other)]


def test_the_phases_of_a_request_add_up() -> None:
    assert request().phases(112) == "queue 0.5 s, start 0.1 s, app 11.9 s, write 0.0 s"
    sending = Running(1, 0, 1, "GET /x", 0.0, 100, 101, 103)
    assert sending.phases(110) == "queue 0.0 s, start 1.0 s, app 2.0 s, write 7.0 s"


def test_request_timeout_means_the_number_that_is_given() -> None:
    watch, seen = Watch(Limits(request=30, threads=15)), [Seen(1, (request(),))]
    assert (
        watch.look(129.9, seen) == []
        and watch.look(130, seen) == [Expire(request())]
        and watch.look(131, seen) == []
    )


def test_request_timeout_as_mod_wsgi_reads_it() -> None:
    assert scaled(10, 1) == 10
    assert math.isclose(scaled(10, 5), 26.09, abs_tol=0.01) and math.isclose(
        scaled(10, 25), 42.19, abs_tol=0.01
    )


def test_interrupt_timeout_comes_before_giving_up() -> None:
    watch, seen = Watch(Limits(request=30, interrupt=5)), [Seen(1, (request(),))]
    assert watch.look(130, seen) == [Interrupt(request())]
    assert watch.look(134.9, seen) == [] and watch.next_look(134.9, seen) == 135
    assert watch.look(135, seen) == [Expire(request())]


def test_an_interrupted_request_that_ends_is_not_given_up() -> None:
    watch = Watch(Limits(request=30, interrupt=5))
    watch.look(130, [Seen(1, (request(),))])
    assert watch.look(140, [Seen(1, (request(139, serial=3),))]) == []


def test_a_worker_with_nothing_but_given_up_requests_gives_them_up() -> None:
    watch = Watch(Limits(request=30))
    watch.look(130, [Seen(1, (request(),))])
    other = request(129, thread=1)
    assert watch.look(131, [Seen(1, (request(), other), is_serving=False)]) == []
    assert watch.look(132, [Seen(1, (request(),), is_serving=False)]) == [GiveUpRequests(1)]


def test_limits_of_a_worker() -> None:
    limits = Limits(cpu=60, resident=1000, inactivity=20)
    assert Watch(limits).look(0, [Seen(1, cpu=60)]) == [Retire(1, "cpu-time-limit")]
    assert Watch(limits).look(0, [Seen(1, resident=1000)]) == [Retire(1, "memory-rss-limit")]
    assert Watch(limits).look(119, [Seen(1, touched=100)]) == []
    assert Watch(limits).look(120, [Seen(1, touched=100)]) == [Retire(1, "inactivity-timeout")]
    assert Watch(limits).look(120, [Seen(1, (request(),), touched=100)]) == []
    assert Watch(limits).look(999, [Seen(1)]) == []  # nothing has happened yet


def test_a_worker_is_retired_once() -> None:
    watch = Watch(Limits(cpu=60))
    watch.look(0, [Seen(1, cpu=60)])
    assert watch.look(1, [Seen(1, cpu=61)]) == []


def test_a_worker_that_does_not_answer_is_deadlocked() -> None:
    watch, seen = Watch(Limits(deadlock=300)), [Seen(1, (request(),))]
    assert watch.look(100.5, seen) == []
    assert watch.look(101, seen) == [Ping(1)]
    watch.answered(1)
    assert watch.look(102, seen) == [Ping(1)]
    assert (
        watch.look(401, seen) == []
        and watch.look(402, seen) == [Deadlocked(1)]
        and watch.look(900, seen) == []
    )


def test_all_threads_busy_is_said_when_it_lasts_and_not_too_often() -> None:
    queue = [3]
    watch = Watch(Limits(threads=1), lambda: queue[0])
    seen = [Seen(1, (request(100),)), Seen(2, (request(99, worker=2),))]
    assert watch.look(101, seen) == []
    assert watch.look(102, seen) == [Busy(request(99, worker=2), 3)]
    assert watch.look(120, seen) == [] and watch.look(162, seen) == [Busy(request(99, worker=2), 3)]
    queue[0] = 0  # nobody waits
    assert watch.look(300, seen) == []
    assert watch.look(300, [Seen(1, (request(100),)), Seen(2)]) == []


def test_without_requests_looks_are_rare_but_no_limit_is_missed() -> None:
    assert Watch(Limits(slow=10)).next_look(0, [Seen(1)]) == 5
    assert Watch(Limits(request=2)).next_look(0, [Seen(1)]) == 1
    assert Watch(Limits(slow=10)).next_look(103, [Seen(1, (request(100),))]) == 104
    used = Watch(Limits(inactivity=20))
    assert used.next_look(118, [Seen(1, touched=100)]) == 120
    # It is on its way out
    assert used.next_look(150, [Seen(1, touched=100, is_serving=False)]) == 155
    assert used.next_look(150, [Seen(1, (request(149),), touched=100)]) == 151
    assert Watch(Limits(slow=10)).next_look(109.5, [Seen(1, (request(100),))]) == 110
