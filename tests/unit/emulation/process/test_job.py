"""Job objects: membership, inheritance, accounts and limits."""

from __future__ import annotations

import pytest

from pylibos.abi.ntstatus import NtStatus
from pylibos.emulation.object_manager.errors import StatusError
from pylibos.emulation.process.job import Job, JobLimits, JobTable
from pylibos.emulation.process.process import Process
from pylibos.emulation.security.credentials import Credentials
from pylibos.monitor.fake_guests import FakeGuest
from pylibos.monitor.fake_host import FakeHost
from pylibos.monitor.host_abi import ProcessUsage


def make(host: FakeHost, pid: int, user_ns: int = 0, size: int = 0) -> Process:
    host.guests[pid] = FakeGuest(usage=ProcessUsage("S", user_ns, 1, size, 0, 2, 1, 1, 0, 0, 0))
    return Process(None, pid, pid, None, Credentials(0, 0), None)  # type: ignore[arg-type]  # a job looks at identity only


@pytest.fixture
def host() -> FakeHost:
    return FakeHost()


def test_children_are_born_into_the_job_and_the_limit_holds(host: FakeHost) -> None:
    table, job = JobTable(), Job("j", JobLimits(active_processes=2))
    parent, child, third = (make(host, pid) for pid in (10, 11, 12))
    table.assign(job, parent)
    table.forked(parent, child)
    assert table.job_of(child) is job
    with pytest.raises(StatusError) as caught:
        table.forked(child, third)
    assert caught.value.status is NtStatus.QUOTA_EXCEEDED
    table.exited(child)
    table.forked(parent, third)
    assert (job.total, sorted(job.processes)) == (3, [10, 12])


def test_a_process_has_one_job(host: FakeHost) -> None:
    table = JobTable()
    process = make(host, 10)
    table.assign(Job(), process)
    with pytest.raises(StatusError) as caught:
        table.assign(Job(), process)
    assert caught.value.status is NtStatus.ACCESS_DENIED


def test_accounts_keep_what_the_ended_used(host: FakeHost) -> None:
    table, job = JobTable(), Job()
    first, second = make(host, 10, 100, 4096), make(host, 11, 50, 4096)
    table.assign(job, first)
    table.assign(job, second)
    job.refresh(host)
    table.exited(first)
    account = job.accounting()
    assert (account.user_ns, account.system_ns, account.page_faults) == (150, 2, 6)
    assert (account.total_processes, account.active_processes, account.peak_memory) == (2, 1, 8192)


def test_process_limit_kills_one_and_job_limit_all(host: FakeHost) -> None:
    table, job = JobTable(), Job("", JobLimits(process_time_ns=100))
    small, big = make(host, 10, 10), make(host, 11, 500)
    table.assign(job, small)
    table.assign(job, big)
    assert job.enforce(host) == [big]
    assert host.signals == [(11, 0, 9)]
    assert not job.signaled
    job.limits = JobLimits(job_time_ns=200)
    assert job.enforce(host) == [small, big]
    assert job.accounting().terminated_processes == 3
    assert job.signaled


def test_signaled_when_empty_and_kill_on_close(host: FakeHost) -> None:
    table, job = JobTable(), Job("", JobLimits(kill_on_close=True))
    process = make(host, 10)
    table.assign(job, process)
    assert job.closed(host) == [process]
    table.exited(process)
    assert job.signaled
    assert table.job_of(process) is None
