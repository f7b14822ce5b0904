"""The supervisor's policy with a fake clock."""

from __future__ import annotations

import pytest

from httpd_wsgi.shared.reasons import RELOAD, STOP, SUPERSEDED
from httpd_wsgi.supervisor.lifecycle import (
    Drain,
    End,
    Haste,
    Kill,
    RejectVersion,
    Serve,
    Start,
    State,
)
from httpd_wsgi.supervisor.policy import BACK_OFF, Limits, Policy


def cold(processes: int = 1, **limits: float) -> Policy:
    return Policy(
        Limits(processes=processes, graceful=60, shutdown=5, **limits), jitter=lambda: 0.0
    )  # type: ignore[arg-type]


def serving(processes: int = 1, **limits: float) -> Policy:
    policy = cold(processes, **limits)
    for number in range(processes):
        policy.started(number, 0)
        policy.ready(number, 1)
    assert policy.actions(1) == []
    return policy


def states(policy: Policy) -> dict[int, State]:
    return {number: worker.state for number, worker in policy.workers.items()}


# ---- starting ----


def test_all_workers_are_started_at_once() -> None:
    assert cold(3).actions(0) == [Start()] * 3


def test_a_serving_worker_that_dies_is_replaced_at_once() -> None:
    policy = serving(2)
    policy.exited(0, 10)
    assert policy.actions(10) == [Start()] and not policy.failed


def test_workers_that_never_get_ready_are_started_ever_more_slowly() -> None:
    policy, now = cold(4), 0.0
    for number, wait in enumerate([*BACK_OFF, BACK_OFF[-1]]):
        policy.started(number, now)
        policy.exited(number, now)
        assert policy.failed and policy.actions(now) == []
        assert policy.wake_at() == now + wait
        now += wait
        assert policy.actions(now) == [Start()]


def test_a_ready_worker_ends_the_back_off() -> None:
    policy = cold(2)
    policy.started(0, 0)
    policy.exited(0, 0)
    policy.started(1, 1)
    policy.ready(1, 2)
    assert not policy.failed and policy.actions(2) == [Start()]


def test_a_start_that_takes_too_long_is_ended() -> None:
    policy = cold(startup=30)
    policy.started(0, 0)
    assert policy.actions(29) == [] and policy.actions(30) == [
        Kill(0, "startup-timeout", with_stacks=True)
    ]
    assert policy.actions(30.9) == [] and policy.actions(31) == [Kill(0, "startup-timeout")]


def test_broken_code_serves_when_nothing_else_does() -> None:
    policy = cold()
    policy.started(0, 0)
    policy.ready(0, 1, broken=1)
    assert policy.actions(1) == [Serve(0)] and not policy.stale and policy.broken == 1


# ---- reload ----


def test_a_reload_starts_the_new_before_it_drains_the_old() -> None:
    policy = serving()
    policy.reload(5)
    assert policy.actions(5) == [Start()]
    policy.started(1, 5)
    assert policy.actions(5) == [] and policy.wake_at() is None
    policy.ready(1, 6)
    assert policy.actions(6) == [Drain(0, RELOAD)]


def test_a_reload_tries_one_worker_first_then_goes_on_in_small_groups() -> None:
    policy = serving(8)
    policy.reload(5)
    assert policy.actions(5) == [Start()]
    policy.started(10, 5)
    policy.ready(10, 6)
    assert policy.actions(6) == [Drain(0, RELOAD), Start(), Start()]
    assert policy.counted(State.SERVING, State.RETIRING) == 8


def test_broken_new_code_leaves_the_old_serving() -> None:
    policy = serving(2)
    policy.reload(5)
    policy.started(2, 5)
    policy.ready(2, 6, broken=1)
    assert policy.actions(6) == [Drain(2, RELOAD), RejectVersion()]
    assert policy.stale and states(policy)[0] is states(policy)[1] is State.SERVING
    policy.exited(2, 6)
    assert policy.actions(1000) == []


def test_new_code_that_ends_its_worker_leaves_the_old_serving() -> None:
    policy = serving()
    policy.reload(5)
    policy.started(1, 5)
    policy.exited(1, 6)
    assert policy.actions(6) == [RejectVersion()] and policy.stale and policy.actions(1000) == []


def test_mended_code_goes_live_with_the_next_reload() -> None:
    policy = serving()
    policy.reload(5)
    policy.started(1, 5)
    policy.exited(1, 6)
    policy.reload(10)
    assert Start() in policy.actions(10)
    policy.started(2, 10)
    policy.ready(2, 11)
    assert policy.actions(11) == [Drain(0, RELOAD)] and not policy.stale


def test_a_script_that_never_loaded_does_not_stop_reloads() -> None:
    policy = cold()
    policy.started(0, 0)
    policy.ready(0, 1, broken=1)
    policy.actions(1)
    policy.reload(5)
    policy.started(1, 5)
    policy.ready(1, 6, broken=1)
    assert policy.actions(6) == [Serve(1), Drain(0, RELOAD)]


def test_code_that_changes_while_it_is_loaded_is_loaded_again() -> None:
    policy = serving()
    policy.reload(5)
    policy.started(1, 5)
    policy.reload(6)
    assert policy.actions(6) == []
    policy.ready(1, 7)
    assert policy.actions(7) == [Drain(0, RELOAD), Start()]
    policy.started(2, 7)
    policy.ready(2, 8)
    assert policy.actions(8) == [Drain(1, RELOAD)]


@pytest.mark.parametrize("how", ["broken", "exited"])
def test_code_that_is_mended_while_it_is_loaded_is_not_taken_for_broken(how: str) -> None:
    policy = serving()
    policy.reload(5)
    policy.started(1, 5)
    policy.reload(6)
    if how == "broken":
        policy.ready(1, 7, broken=1)
        assert policy.actions(7) == [Drain(1, RELOAD), Start()]
    else:
        policy.exited(1, 7)
        assert policy.actions(7) == [Start()]
    assert not policy.stale and states(policy)[0] is State.RETIRING


def test_a_crash_after_a_failed_reload_takes_the_others_along_when_the_code_loads_again() -> None:
    policy = serving(2)
    policy.reload(5)
    policy.started(2, 5)
    policy.ready(2, 6, broken=1)
    policy.actions(6)
    policy.exited(2, 6)
    policy.exited(1, 20)
    assert policy.actions(20) == [Start()]
    policy.started(3, 20)
    policy.ready(3, 21)
    assert not policy.stale and states(policy)[0] is State.RETIRING


# ---- recycling ----


def test_a_worker_at_its_limit_goes_when_its_replacement_serves() -> None:
    policy = serving(2)
    policy.retire(0, "maximum_requests", 5)
    assert policy.actions(5) == [Start()]
    policy.started(2, 5)
    policy.ready(2, 6)
    assert policy.actions(6) == [Drain(0, "maximum_requests")]


def test_workers_at_their_limit_are_not_replaced_all_at_once() -> None:
    policy = serving(4)
    for number in range(4):
        policy.retire(number, "maximum_requests", 5)
    assert policy.actions(5) == [Start()]


def test_restart_interval_replaces_a_worker() -> None:
    policy = serving(restart_interval=100)
    assert policy.wake_at() == 101 and policy.actions(100) == []
    assert policy.actions(101) == [Start()]
    assert policy.workers[0].reason == "restart_interval"


def test_a_replacement_that_does_not_load_is_tried_again_and_the_old_one_serves_meanwhile() -> None:
    policy = serving()
    policy.retire(0, "maximum_requests", 5)
    policy.actions(5)
    policy.started(1, 5)
    policy.ready(1, 6, broken=1)
    assert policy.actions(6) == [Drain(1, RELOAD), RejectVersion()]
    policy.exited(1, 6)
    assert states(policy) == {0: State.RETIRING} and policy.actions(7) == [Start()]


# ---- generations ----


def test_behind_an_older_supervisor_one_worker_is_tried_before_the_others() -> None:
    policy = Policy(Limits(processes=3), predecessor_broken=0)
    assert policy.actions(0) == [Start()]
    policy.started(0, 0)
    assert policy.actions(0) == [] and not policy.can_take_over
    policy.ready(0, 1)
    assert policy.actions(1) == [Start(), Start()]
    for number in (1, 2):
        policy.started(number, 1)
        policy.ready(number, 2)
    assert policy.can_take_over


def test_behind_an_older_supervisor_broken_code_waits_for_a_change() -> None:
    policy = Policy(Limits(), predecessor_broken=0)
    policy.started(0, 0)
    policy.ready(0, 1, broken=1)
    policy.actions(1)
    policy.exited(0, 1)
    assert policy.on_hold and policy.stale and not policy.failed and policy.wake_at() is None
    policy.reload(50)
    assert policy.actions(50) == [Start()]


def test_when_the_older_supervisor_goes_broken_code_is_better_than_none() -> None:
    policy = Policy(Limits(), predecessor_broken=0)
    policy.started(0, 0)
    policy.ready(0, 1, broken=1)
    policy.actions(1)
    policy.exited(0, 1)
    policy.predecessor_gone(60)
    assert policy.actions(60) == [Start()]
    policy.started(1, 60)
    policy.ready(1, 61, broken=1)
    assert policy.actions(61) == [Serve(1)] and policy.can_take_over


# ---- the end ----


def test_a_drained_worker_is_told_to_end_then_killed() -> None:
    policy = serving()
    policy.reload(5)
    policy.started(1, 5)
    policy.ready(1, 6)
    assert policy.actions(6) == [Drain(0, RELOAD)]
    assert policy.actions(65.9) == [] and policy.actions(66) == [End(0, is_given_up=False)]
    assert policy.actions(70.9) == [] and policy.actions(71) == [Kill(0, "shutdown-timeout")]


def test_a_drained_worker_with_nothing_worth_waiting_for_is_ended_sooner() -> None:
    policy = serving()
    policy.drained(0, 5, "request_timeout")
    policy.give_up_requests(0, 10)
    assert policy.actions(10)[0] == End(0, is_given_up=True)
    assert Kill(0, "shutdown-timeout") in policy.actions(15)


def test_an_evicted_worker_has_eviction_timeout_for_its_requests() -> None:
    policy = serving(eviction=3)
    policy.retire(0, "eviction_signal", 10)
    assert policy.actions(10) == [Start()]
    policy.started(1, 10)
    policy.ready(1, 11)
    assert policy.actions(11) == [Drain(0, "eviction_signal")]
    assert policy.actions(13.9) == [] and policy.actions(14) == [End(0, is_given_up=False)]


def test_stop_gives_requests_the_shutdown_timeout() -> None:
    policy = serving()
    policy.stop(1)
    assert policy.actions(1) == [Drain(0, STOP)]
    assert policy.actions(5.9) == [] and policy.actions(6) == [Kill(0, "shutdown-timeout")]
    policy.exited(0, 6)
    assert policy.done


def test_a_worker_that_is_not_ready_has_no_requests_to_wait_for() -> None:
    policy = cold()
    policy.started(0, 0)
    policy.superseded(1)
    assert policy.actions(1) == [Drain(0, SUPERSEDED)] and policy.wake_at() == 6


def test_a_stop_shortens_a_long_drain() -> None:
    policy = serving()
    policy.superseded(1)
    assert policy.actions(1) == [Drain(0, SUPERSEDED)]
    policy.stop(10)
    assert policy.actions(15) == [Kill(0, "shutdown-timeout")]


def test_a_worker_that_drains_by_itself_is_replaced_meanwhile() -> None:
    policy = serving()
    policy.drained(0, 5, STOP)
    assert policy.actions(5) == [Start()] and policy.wake_at() is not None


def test_a_service_never_runs_twice() -> None:
    policy = Policy(Limits(is_service=True, shutdown=5), predecessor_broken=0)
    assert policy.actions(0) == []
    policy.predecessor_gone(1)
    assert policy.actions(1) == [Start()]
    policy.started(0, 1)
    policy.ready(0, 2)
    policy.reload(3)
    assert policy.actions(3) == [Drain(0, RELOAD)]
    policy.exited(0, 4)
    assert policy.actions(4) == [Start()]


def test_a_service_that_ends_is_started_a_second_later() -> None:
    policy = serving(is_service=True)
    policy.exited(0, 5)
    assert policy.actions(5) == [] and policy.wake_at() == 6 and policy.actions(6) == [Start()]


def test_events_that_make_no_sense_change_nothing() -> None:
    policy = serving()
    policy.drained(0, 1, STOP)
    policy.ready(0, 2)
    policy.retire(0, RELOAD, 3)
    assert policy.workers[0].state is State.DRAINING


# ---- halted by hand ----


def test_a_halted_group_drains_and_starts_nothing_until_it_is_reloaded() -> None:
    policy = serving(2)
    policy.halt(10)
    assert [type(action) for action in policy.actions(10)] == [Drain, Drain] and policy.failed
    policy.exited(0, 11)
    policy.exited(1, 12)
    assert (
        policy.actions(13) == [] and policy.failed and policy.wake_at() is None and not policy.done
    )
    policy.reload(20)
    assert policy.actions(20) == [Start()] * 2 and not policy.failed


def test_a_worker_of_a_halted_group_that_takes_too_long_is_ended() -> None:
    policy = serving(1)
    policy.halt(10)
    policy.actions(10)
    assert policy.wake_at() == 70


@pytest.mark.parametrize("end", ["superseded", "halt"])
def test_nothing_is_due_while_workers_that_were_told_to_end_have_time(end: str) -> None:
    policy = serving(restart_interval=100)
    policy.limits = Limits(graceful=600)
    getattr(policy, end)(10)
    policy.actions(10)
    assert policy.actions(150) == [] and policy.wake_at() == 610


def test_when_old_code_answers_nobody_its_workers_go_with_the_first_that_has_loaded_the_new() -> (
    None
):
    policy = serving(3, starts_at_once=1)
    policy.reload(10, Haste.USELESS)
    assert policy.actions(10) == [Start()]
    policy.started(10, 10)
    policy.ready(10, 11)
    assert policy.actions(11) == [Drain(0, RELOAD), Drain(1, RELOAD), Drain(2, RELOAD), Start()]


def test_new_code_that_answers_alone_is_loaded_by_as_many_as_there_are_processors_for() -> None:
    policy = serving(4, starts_at_once=2)
    policy.reload(10, Haste.USELESS)
    policy.started(10, 10)
    policy.ready(10, 11)
    assert policy.actions(11).count(Start()) == 2


def test_where_old_code_answers_some_requests_its_workers_go_one_for_one_but_soon() -> None:
    policy = serving(4, starts_at_once=2)
    policy.reload(10, Haste.URGENT)
    policy.started(10, 10)
    policy.ready(10, 11)
    assert policy.actions(11) == [Drain(0, RELOAD), Start(), Start()]
    assert policy.counted(State.RETIRING) == 3
    policy.started(11, 11)
    policy.started(12, 11)
    policy.ready(11, 12)
    assert policy.actions(12) == [Drain(1, RELOAD), Start()]


def test_a_worker_at_its_limit_is_replaced_before_it_goes_also_after_such_a_reload() -> None:
    policy = serving()
    policy.reload(10, Haste.USELESS)
    policy.started(10, 10)
    policy.ready(10, 11)
    assert policy.actions(11) == [Drain(0, RELOAD)]
    policy.exited(0, 12)
    policy.retire(10, "maximum_requests", 20)
    assert policy.actions(20) == [Start()]
