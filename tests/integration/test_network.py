"""What a sandbox reaches of the network, on a host made for the purpose (network_world.py); needs root for that host, not for pylibos."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from tests.harness.comparison import NOBODY, PYLIBOS, ROOT, as_user, outer_environment
from tests.harness.plugin import Comparer
from tests.harness.processes import Completed, run

HERE = Path(__file__).parent
RULES = (
    "203.0.113.7:80-82,[2001:db8::7]:80,site.example:80,six.example:80,evil.example:*,metadata.example:*,*.wild.example:80,"
    "203.0.113.9:80,203.0.113.7:8000,203.0.113.7:53530/udp,127.0.0.1:8080"
)
EXPECTED = """\
address (b'site 203.0.113.7\\nping', ('203.0.113.7', 80))
name (b'site 203.0.113.7\\nping', ('203.0.113.7', 80))
name in capitals (b'site 203.0.113.7\\nping', ('203.0.113.7', 80))
IPv6 name (b'site 2001:db8::7\\nping', ('2001:db8::7', 80))
wildcard (b'site 203.0.113.7\\nping', ('203.0.113.7', 80))
mapped (b'site 203.0.113.7\\nping', ('::ffff:203.0.113.7', 80))
closed ECONNREFUSED
other name no such name
rebinding name no such name
rebinding wildcard no such name
metadata name no such name
private wildcard no such name
loopback as 127.1 ECONNREFUSED
loopback as 0x7f.1 ECONNREFUSED
loopback as 2130706433 ECONNREFUSED
loopback as 127.0.0.1 ECONNREFUSED
loopback as ::ffff:127.0.0.1 ECONNREFUSED
loopback as 0.0.0.0 ECONNREFUSED
loopback as :: ECONNREFUSED
other port EACCES
other port by name EACCES
metadata EACCES
broadcast EACCES
datagram sendto (b'echo a', ('203.0.113.7', 53530))
datagram elsewhere sendto EACCES
datagram sendmsg (b'echo a', ('203.0.113.7', 53530))
datagram elsewhere sendmsg EACCES
datagram connect (b'echo a', ('203.0.113.7', 53530))
datagram elsewhere connect EACCES
not waiting ('EINPROGRESS', 'connected', b'site 203.0.113.7\\n')
not waiting, slow ('EINPROGRESS', 'connected', b'slow\\n')
not waiting, closed ('EINPROGRESS', 'ECONNREFUSED', b'')
interrupted ('interrupted', 'EHOSTUNREACH')
own loopback b'own'
host's loopback b'host\\n'
host's loopback, shadowed b'own'
listening everywhere connected
reconnecting EACCES
interfaces ['lo', 'eth0']
canary: []
"""

pytestmark = [
    pytest.mark.guest,
    pytest.mark.skipif(os.getuid() != 0, reason="making a host with addresses and servers of its own needs root"),
]
USERS = pytest.mark.parametrize("user", [None, NOBODY], ids=["root", "nobody"])


def on_a_host(user: int | None, engine: str, flags: list[str], argv: list[str]) -> Completed:
    """pylibos run, on the host that network_world.py makes."""
    command = as_user(user, [str(PYLIBOS), "run", "--engine", engine, *flags, "--", *argv])
    world = ["unshare", "--net", "--mount", sys.executable, str(HERE / "network_world.py"), *command]
    return run(world, cwd=ROOT, env=outer_environment(), timeout=90)


@USERS
def test_the_rules_hold(comparer: Comparer, inside: str, user: int | None) -> None:
    comparer.prepare(user)
    guest = (HERE.parent / "guest/programs/network.py").read_text()
    done = on_a_host(user, inside, ["--net", RULES, "-v"], ["/usr/bin/python3", "-I", "-c", guest])
    assert done.stdout.decode() == EXPECTED, done.describe()
    assert done.status == 0, done.describe()
    assert not done.leaked, done.describe()
    said = done.stderr.decode()
    assert "denied connect 169.254.169.254:80  [rule: network: the host itself is reached only by a rule that names it]" in said
    assert "allow with: --net 203.0.113.7:7777" in said
    assert "denied resolve www.site.example:*  [rule: network: no rule]" in said
    assert "no rule for site.example" in said


def test_without_rules_nothing_is_reached(comparer: Comparer, inside: str) -> None:
    comparer.prepare(None)
    guest = (HERE.parent / "guest/programs/network.py").read_text()
    done = on_a_host(None, inside, ["-v"], ["/usr/bin/python3", "-I", "-c", guest])
    assert done.stdout.endswith(b"interfaces ['lo']\ncanary: []\n"), done.describe()
    reached = re.findall(r"^(.*)(?:site|echo a|b'host|b'slow)", done.stdout.decode(), re.MULTILINE)
    assert not [line for line in reached if "(b'" in line or "b'host" in line], done.describe()
    assert b"own loopback b'own'\n" in done.stdout


@USERS
def test_real_programs(comparer: Comparer, inside: str, user: int | None) -> None:
    comparer.prepare(user)
    script = """
        curl -sS --max-time 10 http://site.example:8000/
        python3 -c 'import urllib.request as u; print(u.urlopen("http://203.0.113.7:8000/").read().decode(), end="")'
        getent ahostsv4 site.example | head -n 1
        getent hosts www.site.example; echo $?
        grep -c nameserver /etc/resolv.conf
    """
    done = on_a_host(user, inside, ["--net", "site.example:8000"], ["/bin/sh", "-c", script])
    assert done.stdout == b"page\npage\n203.0.113.7     STREAM site.example\n2\n1\ncanary: []\n", done.describe()


def test_addresses_cannot_be_exchanged_under_a_call(comparer: Comparer, inside: str) -> None:
    comparer.prepare(None)
    program = comparer.builder.build(HERE.parent / "escape" / "race_network.c", "static", ("-pthread",))
    rules = ["--net", "203.0.113.7:80,203.0.113.7:53530", "--ro", str(program.parent)]
    done = on_a_host(None, inside, rules, [str(program), "100"])
    assert done.stdout == b"raced\ncanary: []\n", done.describe()
    assert not done.leaked, done.describe()


def test_published_ports(comparer: Comparer, inside: str) -> None:
    comparer.prepare(None)
    server = "import socket; s = socket.create_server(('127.0.0.1', 80)); c = s.accept()[0]; c.sendall(b'guest ' + c.recv(99)); c.close()"
    caller = """
import socket, time
for attempt in range(1000):
    try:
        with socket.create_connection(("127.0.0.1", 9080)) as one:
            one.sendall(b"caller")
            if got := one.recv(99):
                print(got)
                break
    except OSError:
        pass
    time.sleep(0.05)
"""
    run_it = f"{PYLIBOS} run --engine {inside} --publish 9080:80 -- /usr/bin/python3 -I -c \"$1\" & /usr/bin/python3 -I -c \"$2\"; wait"
    world = ["unshare", "--net", "--mount", sys.executable, str(HERE / "network_world.py"), "/bin/sh", "-c", run_it, "sh", server, caller]
    done = run(world, cwd=ROOT, env=outer_environment(), timeout=90)
    assert done.stdout == b"b'guest caller'\ncanary: []\n", done.describe()
    assert not done.leaked


def test_a_port_that_is_taken_is_an_error_at_the_start(comparer: Comparer, inside: str) -> None:
    comparer.prepare(None)
    done = on_a_host(None, inside, ["--publish", "8080:80"], ["/bin/true"])
    assert done.status == 125, done.describe()
    assert b"--publish 8080:80: cannot listen on 127.0.0.1:8080: Address already in use" in done.stderr
    assert not done.leaked


def test_the_network_ends_with_a_killed_supervisor(comparer: Comparer, inside: str) -> None:
    comparer.prepare(None)
    script = f"mkfifo $1/f; exec 3<>$1/f; {PYLIBOS} run --engine {inside} --net 203.0.113.7:80 -- /bin/sh -c 'echo up; sleep 30' >&3 & "
    script += "read line <$1/f; kill -9 $!; wait; echo $line"
    scratch = comparer.arena.work
    scratch.mkdir(parents=True, exist_ok=True)
    world = ["unshare", "--net", "--mount", sys.executable, str(HERE / "network_world.py"), "/bin/bash", "-c", script, "sh", str(scratch)]
    done = run(world, cwd=ROOT, env=outer_environment(), timeout=60)
    assert done.stdout.endswith(b"up\ncanary: []\n"), done.describe()
    assert not done.leaked, done.describe()
