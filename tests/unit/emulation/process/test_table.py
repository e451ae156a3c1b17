from __future__ import annotations

import pytest

from pylibos.abi.process import CLONE_FS, CLONE_PARENT, CLONE_THREAD, CLONE_VM
from pylibos.emulation.outcome import ExecPlan, ImagePlan
from pylibos.emulation.process.process import Process
from pylibos.emulation.process.thread import Thread
from pylibos.emulation.security.credentials import Credentials
from pylibos.monitor.host_abi import HostStream
from tests.guest_world import World

THREAD = CLONE_THREAD | CLONE_VM


def plan(path: bytes, **fields: object) -> ExecPlan:
    image = ImagePlan(HostStream(1), True, 0, 0, 1, [])
    return ExecPlan(path, image, None, **fields)  # type: ignore[arg-type]


def test_root_is_found_under_all_its_names() -> None:
    world = World()
    root = world.root
    assert world.table.thread(1) is root
    assert world.table.thread_by_host(1001) is root
    assert world.table.process(1) is root.process
    assert world.table.process_by_host(1001) is root.process
    assert world.table.guest_pid(1001) == 1
    assert world.table.host_pid(1) == 1001
    assert world.table.init is root.process
    assert (root.process.pgid, root.process.sid, root.process.parent_pid) == (1, 1, 0)


def test_fork_copies_credentials_and_context() -> None:
    world = World()
    root = world.root
    root.comm = root.process.comm = b"parent"
    root.process.personality = 0x40000
    child = world.fork(root)
    assert child.process.parent is root.process
    assert root.process.children == {2: child.process}
    assert child.process.credentials == root.process.credentials
    assert child.process.credentials is not root.process.credentials
    assert child.process.fs is not root.process.fs
    assert child.comm == child.process.comm == b"parent"
    assert child.process.personality == 0x40000
    assert child.process.forked_without_exec
    assert (child.process.pgid, child.process.sid) == (1, 1)


def test_clone_fs_shares_the_context() -> None:
    world = World()
    assert world.fork(world.root, CLONE_FS).process.fs is world.root.process.fs


def test_clone_parent_makes_a_sibling() -> None:
    world = World()
    child = world.fork(world.root)
    sibling = world.fork(child, CLONE_PARENT)
    assert sibling.process.parent is world.root.process
    assert world.fork(world.root, CLONE_PARENT).process.parent is world.root.process


def test_a_thread_joins_its_process() -> None:
    world = World()
    world.root.comm = b"worker"
    thread = world.fork(world.root, THREAD)
    assert thread.process is world.root.process
    assert thread.process.threads == {1: world.root, 2: thread}
    assert thread.comm == b"worker"
    assert world.table.process(2) is None
    assert world.table.process_of_task(2) is world.root.process


def test_exec_by_another_thread_takes_over_the_leaders_name() -> None:
    world = World()
    other = world.fork(world.root, THREAD)
    third = world.fork(world.root, THREAD)
    seen: list[Thread] = []
    world.table.exec_committed(
        other, plan(b"/usr/bin/a-name-longer-than-fifteen", executable_path=b"/usr/bin/x", argument_prefix=[b"i"], commit=[seen.append])
    )
    process = world.root.process
    assert process.threads == {1: other}
    assert (other.tid, other.host_tid) == (1, 1001)
    assert world.table.thread(1) is other
    assert world.table.thread_by_host(third.host_tid) is None
    assert world.table.thread(2) is None
    assert other.comm == process.comm == b"a-name-longer-t"
    assert process.executable_path == b"/usr/bin/x"
    assert process.argument_prefix == [b"i"]
    assert seen == [other]


def test_exec_gives_the_prepared_credentials_and_ends_the_setpgid_window() -> None:
    world = World()
    child = world.fork(world.root)
    new = Credentials(5, 5)
    world.table.exec_committed(child, plan(b"/bin/sh", credentials=new))
    assert child.process.credentials is new
    assert not child.process.forked_without_exec
    assert child.comm == b"sh"


def test_a_process_ends_with_its_last_thread_and_reports_its_leader() -> None:
    world = World()
    ended: list[Process] = []
    world.table.on_process_exit.append(ended.append)
    child = world.fork(world.root)
    thread = world.fork(child, THREAD)
    assert world.table.thread_exited(child.host_tid, 0x700) is None
    assert not child.process.is_zombie
    assert world.table.thread_exited(thread.host_tid, 0) is child.process
    assert child.process.exit_status == 0x700
    assert ended == [child.process]
    assert world.table.process(child.process.pid) is child.process


def test_orphans_go_to_the_first_process_or_a_subreaper() -> None:
    world = World()
    reaper = world.fork(world.root)
    reaper.process.child_subreaper = True
    middle = world.fork(reaper)
    leaf = world.fork(middle)
    world.end(middle)
    assert leaf.process.parent is reaper.process
    assert reaper.process.children[leaf.process.pid] is leaf.process
    world.end(reaper)
    assert leaf.process.parent is world.root.process


def test_orphans_of_the_first_process_have_no_parent() -> None:
    world = World()
    child = world.fork(world.root)
    world.end(world.root)
    assert child.process.parent is None
    assert child.process.parent_pid == 0


def test_a_zombie_exists_until_the_host_forgets_it() -> None:
    world = World()
    child = world.fork(world.root)
    world.end(child)
    assert world.table.exists(child.process)
    world.reap(child.process.host_pid)
    assert not world.table.exists(child.process)
    assert world.table.process(child.process.pid) is None
    assert world.root.process.children == {}


def test_reaped_zombies_do_not_pile_up() -> None:
    world = World()
    for _ in range(1000):
        child = world.fork(world.root)
        world.end(child)
        world.reap(child.host_tid)
    assert len(world.table) <= 130


def test_a_reused_number_replaces_the_dead_process() -> None:
    world = World()
    child = world.fork(world.root)
    world.end(child)
    again = world.table.fork(world.root, child.host_tid, child.tid, 0)
    assert world.table.process(child.tid) is again.process
    assert world.root.process.children == {child.tid: again.process}


def test_reaped_is_ignored_for_the_living() -> None:
    world = World()
    world.table.reaped(1001)
    assert world.table.process(1) is world.root.process


def test_exit_object_is_signalled_before_and_after() -> None:
    world = World()
    child = world.fork(world.root)
    early = world.table.exit_object(child.process)
    states = [early.signaled]
    world.end(child, 9)
    assert [*states, early.signaled] == [False, True]
    assert early.status == 9
    assert world.table.exit_object(child.process) is early
    late = world.fork(world.root)
    world.end(late, 0x100)
    assert world.table.exit_object(late.process).signaled


@pytest.mark.parametrize("pgid", [1, 2])
def test_groups_and_sessions(pgid: int) -> None:
    world = World()
    child = world.fork(world.root)
    child.process.pgid = 2
    assert [process.pid for process in world.table.group(pgid)] == [pgid]
    assert world.table.group_session(pgid) == 1
    assert world.table.group_session(77) is None
    assert world.table.start_session(child.process) == 2
    assert (child.process.sid, child.process.pgid) == (2, 2)


def test_processes_are_listed_by_number_without_the_reaped() -> None:
    world = World()
    first, second = world.fork(world.root), world.fork(world.root)
    world.end(first)
    world.end(second)
    world.reap(first.host_tid)
    assert [process.pid for process in world.table.processes()] == [1, second.tid]
    assert world.table.thread_count() == 1
