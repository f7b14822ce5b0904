"""The supervisor's policy with a fake clock."""

from __future__ import annotations

from httpd_wsgi.policy import BACK_OFF, Drain, Event, Kill, Policy, Start, State


def serving(processes: int = 1) -> Policy:
    policy = Policy(processes=processes, shutdown_timeout=5)
    for number in range(processes):
        policy.started(number, 0)
        policy.happened(number, Event.READY, 1)
    return policy


def test_all_workers_are_started_at_once() -> None:
    assert Policy(processes=3, shutdown_timeout=5).actions(0) == [Start()] * 3


def test_a_serving_worker_that_dies_is_replaced_at_once() -> None:
    policy = serving(2)
    policy.happened(0, Event.EXITED, 10)
    assert policy.actions(10) == [Start()] and not policy.failed


def test_workers_that_never_get_ready_are_started_ever_more_slowly() -> None:
    policy, now = Policy(processes=4, shutdown_timeout=5), 0.0
    for number, wait in enumerate([*BACK_OFF, BACK_OFF[-1]]):
        policy.started(number, now)
        policy.happened(number, Event.EXITED, now)
        assert policy.failed and policy.actions(now) == []
        assert policy.wake_at() == now + wait
        now += wait
        assert policy.actions(now) == [Start()]


def test_a_ready_worker_ends_the_back_off() -> None:
    policy = Policy(processes=2, shutdown_timeout=5)
    policy.started(0, 0)
    policy.happened(0, Event.EXITED, 0)
    policy.started(1, 1)
    policy.happened(1, Event.READY, 2)
    assert not policy.failed and policy.actions(2) == [Start()]


def test_a_stale_worker_is_drained_only_when_its_replacement_serves() -> None:
    policy = serving()
    policy.happened(0, Event.STALE, 5)
    assert policy.actions(5) == [Start()]
    policy.started(1, 5)
    assert policy.actions(5) == []
    policy.happened(1, Event.READY, 6)
    assert policy.actions(6) == [Drain(0)]


def test_a_drained_worker_is_killed_after_its_time() -> None:
    policy = serving()
    policy.stop()
    assert policy.actions(1) == [Drain(0)]
    policy.happened(0, Event.DRAIN, 1)
    assert policy.actions(5.9) == [] and policy.actions(6) == [Kill(0)]
    policy.happened(0, Event.EXITED, 6)
    assert policy.done


def test_events_that_make_no_sense_change_nothing() -> None:
    policy = serving()
    policy.happened(0, Event.DRAIN, 1)
    policy.happened(0, Event.READY, 2)
    assert policy.workers[0].state is State.DRAINING


def test_a_start_that_takes_too_long_is_ended() -> None:
    policy = Policy(processes=1, shutdown_timeout=5, startup_timeout=30)
    policy.started(0, 0)
    assert policy.actions(29) == [] and policy.actions(30) == [Kill(0)]
