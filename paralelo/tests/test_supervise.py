"""A sync under recovery, with time, chance and processes made up. # SPEC O1, F4"""

from __future__ import annotations

import signal
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sync_rules.exits import ConfigurationError, Exit

from paralelo.outcomes import Outcome
from paralelo.policy import Policy
from paralelo.runlock import Proof
from paralelo.tests.world import KILLED, FakeJob, World


def test_a_job_that_ends_well_is_finished() -> None:
    world = World()
    supervisor = world.supervisor()
    supervisor.step()
    world.jobs[0].result = Outcome(Exit.FINISHED, "finished")
    supervisor.step()
    assert supervisor.over
    assert supervisor.phase == "done"
    assert world.kinds() == ["started", "ended", "finished"]
    assert [attempt.exit for attempt in supervisor.attempts] == [Exit.FINISHED]


def test_restarts_wait_five_minutes_then_ten_then_twenty_and_then_it_gives_up() -> None:
    world = World()
    supervisor = world.supervisor()
    for number, pause in enumerate((300, 600, 1_200), start=1):
        world.jobs[-1].result = Outcome(Exit.SOURCE_UNREACHABLE, "no answer")
        supervisor.step()
        assert supervisor.phase == "pausing"
        world.clock.at += pause - 1
        supervisor.step()
        assert len(world.jobs) == number
        world.clock.at += 1
        supervisor.step()
        assert len(world.jobs) == number + 1
    world.jobs[-1].result = Outcome(Exit.SOURCE_UNREACHABLE, "no answer")
    supervisor.step()
    assert supervisor.phase == "failed"
    assert supervisor.outcome is not None
    assert supervisor.outcome.exit is Exit.SOURCE_UNREACHABLE
    assert len(supervisor.attempts) == 4
    assert [event.pause for event in world.events if event.kind == "recovering"] == [300, 600, 1_200]


@pytest.mark.parametrize("exit_", [Exit.CONFIGURATION, Exit.CHECK_REFUSED, Exit.DATA_REFUSED, Exit.ALREADY_RUNNING])
def test_what_a_restart_cannot_mend_is_not_started_again(exit_: Exit) -> None:
    world = World()
    supervisor = world.supervisor()
    world.jobs[0].result = Outcome(exit_, "why")
    supervisor.step()
    assert supervisor.over
    assert supervisor.outcome is not None
    assert supervisor.outcome.exit is exit_
    assert len(world.jobs) == 1
    assert world.events[-1].refused is (exit_ is Exit.ALREADY_RUNNING)


def test_a_lock_still_held_after_our_own_kill_is_waited_for() -> None:
    world = World()
    supervisor = world.supervisor()
    world.jobs[0].result = KILLED
    supervisor.step()
    world.clock.at += 300
    supervisor.step()
    world.jobs[1].result = Outcome(Exit.ALREADY_RUNNING, "held by a dead run's backend")
    supervisor.step()
    assert supervisor.phase == "pausing"
    # Nobody else runs: that it never came back has to be heard of.
    while not supervisor.over:
        world.clock.at += 2_000
        supervisor.step()
        world.jobs[-1].result = Outcome(Exit.ALREADY_RUNNING, "held by a dead run's backend")
        supervisor.step()
    assert (supervisor.phase, world.events[-1].refused) == ("failed", False)


def test_plugins_that_outlive_a_killed_meltano_are_ended_before_a_restart() -> None:
    world = World()
    supervisor = world.supervisor()
    world.jobs[0].result, world.jobs[0].orphans = KILLED, True
    supervisor.step()
    assert supervisor.attempts == []
    assert world.jobs[0].heard == [signal.SIGTERM]
    supervisor.step()
    assert len(supervisor.attempts) == 1
    world.clock.at += 300
    supervisor.step()
    assert world.forced == [False, True]


def test_the_run_lock_is_passed_only_when_the_dead_are_proven_dead() -> None:
    world = World(proof=Proof(False, "process 42 of it is alive"))
    supervisor = world.supervisor()
    world.jobs[0].result = KILLED
    supervisor.step()
    world.clock.at += 300
    supervisor.step()
    assert world.forced == [False, False]
    assert world.cleaned == [False, False]


def test_after_a_kill_each_later_restart_proves_anew_that_it_may_pass() -> None:
    world = World()
    supervisor = world.supervisor()
    for outcome in (KILLED, Outcome(Exit.SOURCE_UNREACHABLE, "no answer")):
        world.jobs[-1].result = outcome
        supervisor.step()
        world.clock.at += 700
        supervisor.step()
    assert world.forced == [False, True, True]
    world.proof = Proof(False, "process 42 of it is alive")
    world.jobs[-1].result = Outcome(Exit.SOURCE_UNREACHABLE, "no answer")
    supervisor.step()
    world.clock.at += 1_300
    supervisor.step()
    assert world.forced == [False, True, True, False]
    assert world.cleaned == [False, True], "cleared once, for the one that was killed"


def test_meltano_refusing_for_a_dead_run_is_overridden_once_and_at_once() -> None:
    world = World()
    supervisor = world.supervisor()
    refused = Outcome(Exit.ALREADY_RUNNING, "Meltano holds a run of x for running", lock_only=True)
    world.jobs[0].result = refused
    supervisor.step()
    assert world.forced == [False, True]
    world.jobs[1].result = refused
    supervisor.step()
    assert supervisor.outcome is not None
    assert supervisor.outcome.exit is Exit.ALREADY_RUNNING


def test_meltano_refusing_for_a_living_run_is_the_end() -> None:
    world = World(proof=Proof(False, "process 42 of it is alive"))
    supervisor = world.supervisor()
    world.jobs[0].result = Outcome(Exit.ALREADY_RUNNING, "x", lock_only=True)
    supervisor.step()
    assert supervisor.outcome is not None
    assert supervisor.outcome.reason == "already running: process 42 of it is alive"
    assert len(world.jobs) == 1


@pytest.mark.parametrize("proof", [Proof(True), Proof(False, "heard of a second ago", ask_again=15.0)])
def test_whoever_may_have_died_this_moment_is_asked_about_once_more(proof: Proof) -> None:
    world = World(proof=Proof(False, "heard of a second ago", ask_again=15.0))
    supervisor = world.supervisor()
    refused = Outcome(Exit.ALREADY_RUNNING, "x", lock_only=True)
    world.jobs[0].result = refused
    supervisor.step()
    assert supervisor.pause_left == 15.0
    world.clock.at += 15
    supervisor.step()
    world.jobs[1].result, world.proof = refused, proof
    supervisor.step()
    assert world.forced == [False, False, *([True] if proof.gone else [])]
    assert supervisor.over is not proof.gone


def test_a_sync_that_the_target_keeps_out_after_meltano_did_is_refused_and_not_recovered() -> None:
    world = World(proof=Proof(False, "heard of a second ago", ask_again=15.0))
    supervisor = world.supervisor()
    world.jobs[0].result = Outcome(Exit.ALREADY_RUNNING, "x", lock_only=True)
    supervisor.step()
    world.clock.at += 15
    supervisor.step()
    world.jobs[1].result = Outcome(Exit.ALREADY_RUNNING, "another sync holds its lock")
    supervisor.step()
    assert supervisor.outcome == Outcome(Exit.ALREADY_RUNNING, "another sync holds its lock")
    assert world.events[-1].refused


def test_the_backend_of_a_run_that_was_proven_dead_is_waited_for() -> None:
    world = World(proof=Proof(True))
    supervisor = world.supervisor()
    world.jobs[0].result = Outcome(Exit.ALREADY_RUNNING, "x", lock_only=True)
    supervisor.step()
    world.jobs[1].result = Outcome(Exit.ALREADY_RUNNING, "the backend of an earlier, dead run still works on it")
    supervisor.step()
    assert supervisor.pause_left == 300


def test_stopping_ends_the_job_and_starts_nothing_more() -> None:
    world = World()
    supervisor = world.supervisor()
    supervisor.stop()
    assert not supervisor.over
    supervisor.step()
    assert supervisor.phase == "stopped"
    assert world.kinds()[-1] == "stopped"
    assert world.jobs[0].heard == [signal.SIGTERM]


def test_stopping_twice_kills() -> None:
    world = World()
    supervisor = world.supervisor()
    world.jobs[0].stubborn = True
    supervisor.stop()
    supervisor.stop()
    assert world.jobs[0].heard == [signal.SIGTERM, signal.SIGKILL]
    supervisor.step()
    assert supervisor.phase == "stopped"
    assert world.cleaned == [False, True], "the plugins' settings, which hold passwords, and Meltano's run lock"


def test_stopping_between_attempts_is_at_once() -> None:
    world = World()
    supervisor = world.supervisor()
    world.jobs[0].result = Outcome(Exit.TARGET_UNREACHABLE, "gone")
    supervisor.step()
    supervisor.stop()
    assert supervisor.phase == "stopped"


def test_a_job_that_finishes_while_it_is_stopped_is_finished() -> None:
    world = World()
    supervisor = world.supervisor()
    world.jobs[0].stubborn = True
    supervisor.stop()
    world.jobs[0].result = Outcome(Exit.FINISHED, "finished")
    supervisor.step()
    assert supervisor.phase == "done"


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        ConfigurationError("no Meltano"),
        PermissionError(13, "Permission denied", "/srv/paralelo/.paralelo"),
        OSError(30, "Read-only file system", "/srv/paralelo/.paralelo"),
    ],
)
def test_an_attempt_that_cannot_be_started_has_failed_and_another_may_follow(error: Exception) -> None:
    world = World()
    working = world.start

    def broken(attempt: int, force: bool) -> FakeJob:
        raise error

    world.start = broken  # type: ignore[method-assign]  # a port is whatever is called
    supervisor = world.supervisor()
    assert "it could not be started: " in supervisor.attempts[0].reason
    if not isinstance(error, OSError) or error.errno != 28:
        assert supervisor.phase == "failed"
        assert supervisor.attempts[0].exit is Exit.CONFIGURATION
        return
    assert supervisor.phase == "pausing"
    world.jobs.append(FakeJob(KILLED))
    supervisor.ports = replace(supervisor.ports, start=working)
    world.clock.at += 300
    supervisor.step()
    world.jobs[-1].result = Outcome(Exit.FINISHED, "finished")
    supervisor.step()
    assert supervisor.phase == "done"


@given(restart=st.integers(1, 3), chance=st.floats(0, 1))
def test_jitter_stays_within_its_share(restart: int, chance: float) -> None:
    policy = Policy()
    middle = 300 * 2 ** (restart - 1)
    assert 0.9 * middle <= policy.pause(restart, chance) <= 1.1 * middle + 1e-6


def test_a_policy_that_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        Policy(max_restarts=-1)
    with pytest.raises(ConfigurationError):
        Policy(stall=0)
    with pytest.raises(ConfigurationError):
        Policy(max_restarts=2_000)
    for delay in (1e300, float("nan")):
        with pytest.raises(ConfigurationError):
            Policy(delay=delay)


@given(st.lists(st.sampled_from([*Exit]), min_size=1, max_size=12))
def test_never_more_than_three_restarts_whatever_happens(ends: list[Exit]) -> None:
    world = World()
    supervisor = world.supervisor()
    for exit_ in ends:
        if supervisor.over:
            break
        world.jobs[-1].result = Outcome(exit_, "as told")
        supervisor.step()
        world.clock.at += 5_000
        supervisor.step()
    assert len(world.jobs) <= 4
