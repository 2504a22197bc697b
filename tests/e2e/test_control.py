# SPDX-License-Identifier: Apache-2.0
"""Faults H: the operator's command and its socket. What is common stands in test_operator.py."""
import concurrent.futures
import os
import socket
import struct
import subprocess
import time

import pytest
from tools import Talk, gives, program, running, wait_for

LATER = '''
site a { domains = { "a.test", "aa.test" } rule { on = rcpt reply = "451 4.7.1 later" } }
site b { domains = { "b.test" } rule { on = rcpt reply = "451 4.7.1 later" } }
site x { domains = { "x.test" } }
'''


@pytest.fixture
def w():
    with running(LATER, delivery="retry = { 1h }") as world:
        with world.client() as c:
            for n, (sender, rcpt, job) in enumerate([("s@x.test", "r1@a.test", "one"), ("s@x.test", "r2@aa.test", "two"),
                                                     ("t@x.test", "r3@b.test", "one"), ("", "r4@b.test", "three")]):
                c.sendmail(sender, [rcpt], f"From: <s@x.test>\r\nX-Job: {job}\r\n\r\nhello\r\n".encode())
        wait_for("deferrals", lambda: sum(r["type"] == "t" for r in world.rows()) == 4)
        wait_for("all four waiting", lambda: summary(world)["waiting"] == 4)
        yield world


def summary(w):
    return w.ctl("status", "--json")["summary"]


def listed(w, *filter):
    return sorted(r["rcpt"] for r in w.ctl("list", "--json", *filter)["rows"])


FILTERS = {("--domain", "a.test"): ["r1@a.test"], ("--site", "mx1.b.mx.test"): ["r3@b.test", "r4@b.test"],
           ("--sender", "T@x.test"): ["r3@b.test"], ("--job", "one"): ["r1@a.test", "r3@b.test"],
           ("--job", "one", "--domain", "b.test"): ["r3@b.test"], ("--job", "none"): [], ("--waiting",): [
               "r1@a.test", "r2@aa.test", "r3@b.test", "r4@b.test"], ("--held",): []}


def test_filters_and_tables(w):
    for filter, wanted in FILTERS.items():
        assert listed(w, *filter) == wanted, filter
        assert w.ctl("delete", *filter, "--dry-run", "--json") == {"count": len(wanted)}
    assert len(w.ctl("list", "--json", "--limit", "2")["rows"]) == 2
    for command in ("status", "queue", "sites", "list", "audit", "pauses"):
        assert w.ctl(command) and isinstance(w.ctl(command, "--json"), dict)
    row = next(r for r in w.ctl("queue", "--json")["rows"] if r["domain"] == "b.test")
    assert row["waiting"] == 2 and row["code"] == 451 and "later" in row["reply"] and row["next_us"] > time.time() * 1e6
    first = w.ctl("list", "--json", "--domain", "a.test")["rows"][0]
    shown = w.ctl("show", first["id"], "--json")
    assert shown["summary"]["sender"] == "s@x.test" and shown["rows"][0]["rcpt"] == "r1@a.test"
    assert "451 4.7.1 later" in shown["rows"][0]["reply"] and "From: <s@x.test>" in shown["summary"]["text"]
    assert "hello" in w.ctl("show", first["id"], "--body") and "hello" not in w.ctl("show", first["id"])


def test_bounce_and_delete_leave_records_and_the_books_balance(w):
    w.ctl("bounce", "--domain", "a.test", "--reason", "no longer wanted")
    row = gives(w, "r1@a.test", "b")
    assert row["bounceCat"] == "admin" and "no longer wanted" in row["dsnDiag"]
    gives(w, "s@x.test", "d")
    w.ctl("delete", "--job", "two")
    assert gives(w, "r2@aa.test", "b")["bounceCat"] == "admin"
    w.ctl("delete", "--all", "--yes")
    gives(w, "r4@b.test", "b")
    names = {e["rcpt"]: e["event"] for e in w.events() if e["record"] == "b"}
    assert names["r2@aa.test"] == names["r3@b.test"] == "dropped"
    audit = w.ctl("audit", "--json")["summary"]
    assert audit["balanced"] and audit["queued"] == 0
    assert sum(r["type"] == "d" for r in w.rows()) == 1, "a deletion tells nobody"


def test_H3_retry_now(w):
    before = len(w.rows())
    w.ctl("retry", "--domain", "b.test", "--yes")
    wait_for("two more attempts", lambda: sum(r["type"] == "t" and "b.test" in r["rcpt"] for r in w.rows()) == 4)
    assert len(w.rows()) == before + 2


def test_H13_many_need_a_yes(w):
    done = w.ctl("delete", "--job", "one", check=False, data="")
    assert done.returncode == 2 and "--yes" in done.stderr
    assert w.ctl("delete", check=False).returncode == 2
    assert w.ctl("delete", "zzz", check=False).returncode == 2
    assert w.ctl("frobnicate", check=False).returncode == 2
    assert len(listed(w)) == 4


def test_H18_pause_lifts_itself(w):
    w.ctl("pause", "domain", "c.test", "--for", "1s", "--reason", "test")
    w.ctl("pause", "job", "held-job")
    kinds = {(p["kind"], p["name"]) for p in w.ctl("pauses", "--json")["rows"]}
    assert kinds == {("domain", "c.test"), ("job", "held-job")}
    wait_for("the end of the pause", lambda: len(w.ctl("pauses", "--json")["rows"]) == 1)
    w.send("s@x.test", ["p@x.test"], headers="X-Job: held-job\r\n")
    w.send("s@x.test", ["q@x.test"])
    gives(w, "q@x.test")
    assert not [r for r in w.rows() if r["rcpt"] == "p@x.test" and r["type"] == "d"]
    w.ctl("resume", "job", "held-job")
    gives(w, "p@x.test")
    assert w.ctl("pause", "nonsense", "x", check=False).returncode != 0
    assert w.ctl("resume", "domain", "never-paused.test", check=False).returncode != 0


@pytest.mark.parametrize("operation", ["delete", "bounce", "hold"])
def test_H1_in_flight(operation):
    """A recipient being delivered just now ends once: as delivered, or, where that fails, as the operator wants."""
    script = '''site a { domains = { "a.test" } rule { on = dot delay = 1s } }
        site b { domains = { "b.test" } rule { on = dot reply = "451 4.3.0 later" delay = 1s } }\nsite x { domains = { "x.test" } }'''
    with running(script, delivery="retry = { 1h }") as w:
        w.send("s@x.test", ["r@a.test", "r@b.test"])
        wait_for("both in flight", lambda: summary(w)["in_flight"] == 2)
        w.ctl(operation, "--all", "--yes")
        gives(w, "r@a.test")
        if operation == "hold":
            wait_for("held", lambda: summary(w)["held"] == 1)
        else:
            assert gives(w, "r@b.test", "b")["bounceCat"] == "admin"
        ends = [r for r in w.rows() if r["type"] in "db" and r["rcpt"] in ("r@a.test", "r@b.test")]
        assert len(ends) == (1 if operation == "hold" else 2)
        assert w.ctl("audit", "--json")["summary"]["balanced"]


def test_H7_many_at_once(w):
    def one(n):
        return w.ctl(("hold", "release", "list", "status")[n % 4], *(["--all", "--yes"] if n % 4 < 2 else []), "--json")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert all(list(pool.map(one, range(40))))
    w.ctl("release", "--all", "--yes")
    assert summary(w)["recipients"] == 4 and w.ctl("audit", "--json")["summary"]["balanced"]


GARBAGE = {"text": b"GET / HTTP/1.1\r\n\r\n" * 100, "zeros": b"\0" * 100000, "ones": b"\xff" * 100000, "random": os.urandom(100000),
           "huge_length": struct.pack(">I", 0x7fffffff) * 10, "empty": b""}


@pytest.mark.parametrize("name", GARBAGE)
def test_H8_garbage_on_the_socket(name):
    with running() as w:
        for cut in (len(GARBAGE[name]), 3, 9):
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(5)
                s.connect(str(w.dir / "control"))
                try:
                    s.sendall(GARBAGE[name][:cut])
                    s.shutdown(socket.SHUT_WR)
                    while s.recv(65536):
                        pass
                except OSError:
                    pass
        assert summary(w)["recipients"] == 0 and w.daemon.poll() is None


def test_H8_silent_clients_stall_nobody():
    with running() as w:
        silent = [socket.socket(socket.AF_UNIX) for _ in range(30)]
        for s in silent:
            s.connect(str(w.dir / "control"))
        begun = time.monotonic()
        summary(w)
        w.send("s@x.test", ["r@a.test"])
        gives(w)
        assert time.monotonic() - begun < 5
        for s in silent:
            s.close()


def test_H9_others_are_refused():
    with running() as w:
        assert (w.dir / "spool").stat().st_mode & 0o077 == 0
        if os.getuid() == 0:
            w.dir.chmod(0o755)
            done = subprocess.run(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", program("mtactl"),
                                   "--socket", str(w.dir / "control"), "status"], capture_output=True, text=True)
            assert done.returncode != 0 and "queued" not in done.stdout


def test_H5_stop_by_command_and_second_signal():
    with running('site a { domains = { "a.test" } rule { on = dot do = stall } }', settings="stop-timeout = 30s\n") as w:
        w.send("s@x.test", ["r@a.test"])
        wait_for("a session at the dot", lambda: summary(w)["in_flight"] == 1)
        time.sleep(0.3)
        w.daemon.terminate()
        time.sleep(0.5)
        begun = time.monotonic()
        w.daemon.terminate()
        assert w.daemon.wait(timeout=10) == 0 and time.monotonic() - begun < 5
        w.start()
        assert summary(w)["recipients"] == 1
        w.ctl("stop")
        assert w.daemon.wait(timeout=10) == 0


def test_H5_stop_under_load_loses_nothing():
    with running('site a { domain-pattern = "d%02d.test" domains-count = 20 latency = 20ms }', settings="stop-timeout = 5s\n") as w:
        acknowledged = set()
        for round in range(3):
            with Talk(w.port) as t:
                t.hello()
                w.daemon.terminate() if round < 2 else None
                try:
                    for n in range(100):
                        rcpt = f"r{round}.{n}@d{n % 20:02d}.test"
                        t.say("MAIL FROM:<s@x.test>", "250")
                        t.say(f"RCPT TO:<{rcpt}>", "250")
                        t.data(b"From: <s@x.test>\r\n\r\nhello\r\n.\r\n")
                        acknowledged.add(rcpt)
                except (AssertionError, EOFError, ConnectionError):
                    pass
            if round < 2:
                assert w.daemon.wait(timeout=20) == 0
                w.start()
        wait_for("all delivered", lambda: {r["rcpt"] for r in w.rows() if r["type"] == "d"} >= acknowledged)
        assert len(w.arrived()) == len({a["rcpt"] for a in w.arrived()}), "delivered twice"
