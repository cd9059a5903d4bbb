"""What counts as a stall, and what becomes of it. # SPEC O1"""

from __future__ import annotations

import signal
from dataclasses import replace

from sync_rules.exits import Exit

from paralelo.supervise import Sign
from paralelo.tests.world import QUICK, World


def test_a_stall_ends_the_whole_group_and_starts_again() -> None:
    world = World()
    supervisor = world.supervisor()
    world.clock.at += 899
    world.sign = Sign("loading", 5)
    supervisor.step()
    assert world.heard_after(899, supervisor) == []
    assert world.heard_after(1, supervisor) == [signal.SIGTERM]
    supervisor.step()
    assert supervisor.attempts[0].exit is Exit.STALLED
    assert "900 seconds" in supervisor.attempts[0].reason
    world.clock.at += 300
    supervisor.step()
    assert len(world.jobs) == 2


def test_a_process_that_does_not_hear_is_killed_after_the_grace() -> None:
    world = World()
    supervisor = world.supervisor()
    world.jobs[0].stubborn = True
    supervisor.step()
    world.clock.at += 900
    supervisor.step()
    supervisor.step()
    assert world.heard_after(29, supervisor) == [signal.SIGTERM]
    assert world.heard_after(1, supervisor) == [signal.SIGTERM, signal.SIGKILL]
    supervisor.step()
    assert supervisor.attempts[0].exit is Exit.STALLED
    assert world.cleaned == [False, True], "the killed Meltano's lock and settings are cleared"


def test_the_first_query_of_an_attempt_is_given_its_own_time() -> None:
    world = World()
    world.sign = Sign("starting", 500)
    supervisor = world.supervisor(replace(QUICK, first_stall=3_660))
    supervisor.step()
    world.sign = Sign("reading", 500)
    supervisor.step()
    assert world.heard_after(3_659, supervisor) == [], "what earlier attempts committed is no commit of this one"
    world.sign = Sign("reading", 600)
    supervisor.step()
    assert world.heard_after(900, supervisor) == [signal.SIGTERM]


def test_activation_is_given_more_time_than_reading() -> None:
    world = World(sign=Sign("activating", 9))
    supervisor = world.supervisor()
    supervisor.step()
    assert world.heard_after(3_599, supervisor) == []
    assert world.heard_after(1, supervisor) == [signal.SIGTERM]


def test_time_in_which_nobody_could_look_does_not_count_as_a_stall() -> None:
    world = World(sign=Sign("reading", 5))
    supervisor = world.supervisor()
    supervisor.step()
    world.clock.at += 600
    supervisor.step()
    world.sign = Sign("starting", 0, seen=False)
    for _ in range(3_600):
        world.clock.at += 1
        supervisor.step()
    assert supervisor.phase == "reading", "what was seen last"
    world.sign = Sign("reading", 5)
    assert world.heard_after(299, supervisor) == []
    assert world.heard_after(1, supervisor) == [signal.SIGTERM]


def test_meltanos_own_start_is_given_its_time_however_impatient_the_policy() -> None:
    world = World(sign=Sign("starting", 0))
    supervisor = world.supervisor(replace(QUICK, stall=5, start_stall=180))
    assert world.heard_after(179, supervisor) == []
    assert world.heard_after(1, supervisor) == [signal.SIGTERM]
