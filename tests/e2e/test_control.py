# SPDX-License-Identifier: Apache-2.0
"""Faults H: the operator's command and its socket. What is common stands in test_operator.py."""
import collections
import concurrent.futures
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import struct
import subprocess
import time

import pytest
from tools import Talk, cpu_seconds, gives, lean, memory, program, running, wait_for

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


def test_queue_by_site_and_state(w):
    rows = {r["site"]: r for r in w.ctl("queue", "--by", "site", "--json")["rows"]}
    domains = {r["domain"]: r for r in w.ctl("queue", "--json")["rows"]}
    a, one, two = rows["mx1.a.mx.test"], domains["a.test"], domains["aa.test"]
    assert (a["waiting"], a["domains"], rows["mx1.b.mx.test"]["waiting"]) == (2, 2, 2)
    assert a["next_us"] == min(one["next_us"], two["next_us"]) and a["oldest_us"] == min(one["oldest_us"], two["oldest_us"])
    whole = w.ctl("queue", "--json", "--limit", "1")
    assert [r["domain"] for r in whole["rows"]] == ["b.test"] and whole["summary"]["domains"] == 3
    assert whole["summary"]["recipients"] == whole["summary"]["waiting"] == 4
    assert re.search(r"(?m)^3 domains .* 4 ", w.ctl("queue", "--limit", "1")) and "2 more" in w.ctl("queue", "--limit", "1")
    assert re.search(r"(?m)^2 sites .* 4 ", w.ctl("queue", "--by", "site"))
    w.ctl("hold", "--domain", "a.test")
    w.ctl("pause", "all")
    w.send("s@x.test", ["r5@x.test"])
    def states():
        return {r["state"]: (r["recipients"], r["domains"]) for r in w.ctl("queue", "--by", "state", "--json")["rows"] if r["recipients"]}
    wait_for("each in its state", lambda: states() == {"waiting": (3, 2), "held": (1, 1), "paused": (1, 1)})


def test_show_has_the_state_of_each_recipient(w):
    w.ctl("pause", "domain", "x.test")
    w.send("s@x.test", ["h1@a.test", "h2@b.test", "h3@x.test"])
    wait_for("two deferrals", lambda: sum(r["type"] == "t" for r in w.rows()) == 6)
    id = next(r["id"] for r in w.ctl("list", "--domain", "x.test", "--json")["rows"])
    w.ctl("hold", f"{id}/0")
    assert {r["rcpt"]: r["state"] for r in w.ctl("show", id, "--json")["rows"]} == {
        "h1@a.test": "held", "h2@b.test": "waiting", "h3@x.test": "paused"}
    w.ctl("delete", f"{id}/0")
    gives(w, "h1@a.test", "b")
    assert [r["rcpt"] for r in w.ctl("show", id, "--json")["rows"]] == ["h2@b.test", "h3@x.test"]


def test_null_sender_is_a_filter(w):
    assert listed(w, "--sender", "<>") == ["r4@b.test"]
    assert listed(w, "--sender", "<t@x.test>") == ["r3@b.test"]
    assert w.ctl("hold", "--sender", "<>", "--json")["summary"]["count"] == 1
    assert listed(w, "--held") == ["r4@b.test"]
    assert w.ctl("release", "--sender", "<>", "--json")["summary"]["count"] == 1
    assert w.ctl("retry", "--sender", "<>", "--json")["summary"]["count"] == 1
    wait_for("it waits again", lambda: summary(w)["waiting"] == 4)
    w.ctl("delete", "--sender", "<>", "--domain", "b.test")
    gives(w, "r4@b.test", "b")
    assert listed(w) == ["r1@a.test", "r2@aa.test", "r3@b.test"]
    assert w.ctl("list", "--sender", "", check=False).returncode == 1


def test_a_cut_list_says_so(w):
    assert "2 of 4 shown" in w.ctl("list", "--limit", "2")
    assert "shown" not in w.ctl("list") and "shown" not in w.ctl("list", "--limit", "4")
    found = w.ctl("list", "--sender", "s@x.test", "--limit", "1", "--json")
    assert len(found["rows"]) == 1 and found["summary"]["cut"]
    assert "there are more" in w.ctl("list", "--sender", "s@x.test", "--limit", "1")
    assert not w.ctl("list", "--sender", "t@x.test", "--limit", "1", "--json")["summary"]["cut"]


WRONG = {("statsu",): "status", ("queue", "--by", "sites"): "site", ("queue", "--limt", "3"): "limit", ("pause", "domian", "x"): "domain",
         ("queue", "--job", "x"): "takes no --job", ("status", "now"): "now", ("delete", "--job"): "needs a value",
         ("queue", "--limit", "many"): "number", ("show",): "id", ("pause", "domain", "x", "--for", "soon"): "30m"}


def test_wrong_words_are_refused_with_the_nearest():
    for arguments, words in WRONG.items():
        done = subprocess.run([program("mtactl"), "--socket", "/nonexistent", *arguments], capture_output=True, text=True)
        assert done.returncode == 2 and words in done.stderr and "usage" not in done.stderr, (arguments, done.stderr)


def test_tables_fit_the_terminal(w):
    for columns in 80, 120:
        for command in ("status", "queue", "sites", "list", "audit"):
            done = subprocess.run([program("mtactl"), "--socket", str(w.dir / "control"), command], capture_output=True, text=True,
                                  env={**os.environ, "COLUMNS": str(columns)})
            assert max(map(len, done.stdout.splitlines())) <= columns, done.stdout
            assert not re.search(r"(?m) $", done.stdout), "spaces at the end"


def test_status_watch_shows_rates(w):
    watching = subprocess.Popen([program("mtactl"), "--socket", str(w.dir / "control"), "status", "--watch", "--json"],
                                stdout=subprocess.PIPE, text=True)
    assert "rates" not in json.loads(watching.stdout.readline())["summary"]
    for n in range(60):
        w.send("s@x.test", [f"w{n}.{k}@x.test" for k in range(5)])
    rates = [json.loads(watching.stdout.readline())["summary"]["rates"] for _ in range(3)]
    watching.kill()
    assert max(r["accepted"] for r in rates) > 20 and max(r["delivered"] for r in rates) > 0
    assert watching.wait() != 0


def test_bounce_and_delete_leave_records_and_the_books_balance(w):
    w.ctl("bounce", "--domain", "a.test", "--reason", "no longer wanted")
    row = gives(w, "r1@a.test", "b")
    assert row["bounceCat"] == "admin" and "no longer wanted" in row["dsnDiag"]
    gives(w, "s@x.test", "d")
    w.ctl("delete", "--job", "two")
    assert gives(w, "r2@aa.test", "b")["bounceCat"] == "admin"
    w.ctl("delete", "--all", "--yes")
    gives(w, "r4@b.test", "b")
    for rcpt in ("r2@aa.test", "r3@b.test"):
        wait_for("its event", lambda: (rcpt, "dropped") in {(e["rcpt"], e["event"]) for e in w.events() if e["record"] == "b"})
    audit = w.ctl("audit", "--json")["summary"]
    assert audit["balanced"] and audit["queued"] == 0
    assert sum(r["type"] == "d" for r in w.rows()) == 1, "a deletion tells nobody"


def test_H3_retry_now(w):
    before = len(w.rows())
    w.ctl("retry", "--domain", "b.test", "--yes")
    wait_for("two more attempts", lambda: sum(r["type"] == "t" and "b.test" in r["rcpt"] for r in w.rows()) == 4)
    assert len(w.rows()) == before + 2


def test_H3_retry_everything_within_the_limits():
    """Sixty recipients become due at once; the site sees no more connections, and no more mail on each, than ever."""
    script = 'site a { domains = { "a.test" } latency = 20ms rule { on = rcpt reply = "451 4.7.1 later" count = 60 } }'
    limits = "connections = 3\nmessages-per-connection = 5\nrecipients-per-transaction = 1\nretry = { 1h }"
    with running(script, delivery=limits) as w:
        with w.client() as c:
            for n in range(60):
                c.sendmail("s@x.test", [f"r{n}@a.test"], b"From: <s@x.test>\r\n\r\nhello\r\n")
        wait_for("sixty that wait", lambda: summary(w)["waiting"] == 60)
        assert w.ctl("retry", "--all", "--yes", "--json")["summary"]["count"] == 60
        wait_for("sixty deliveries", lambda: sum(r["type"] == "d" for r in w.rows()) == 60)
        wait_for("the site's counts", lambda: w.stats()["sites"]["a"]["messages"] == 60)
        (client,) = w.stats()["sites"]["a"]["clients"].values()
        assert client["peak_open"] == 3, client
        per_connection = collections.Counter(a["connection"] for a in w.arrived())
        assert len(w.arrived()) == 60 and max(per_connection.values()) <= 5
        assert sum(r["type"] == "t" for r in w.rows()) == 60, "each was tried once more"


def test_H13_many_need_a_yes(w):
    done = w.ctl("delete", "--job", "one", check=False, data="")
    assert done.returncode == 2 and "--yes" in done.stderr
    assert w.ctl("delete", check=False).returncode == 2
    assert w.ctl("delete", "zzz", check=False).returncode == 2
    assert w.ctl("frobnicate", check=False).returncode == 2
    assert len(listed(w)) == 4


def test_H18_pause_lifts_itself(w):
    w.ctl("pause", "domain", "c.test", "--for", "6s", "--reason", "test")
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


# {kind: (name, recipient, user, job, pool)}; what each message has besides is of no pause.
PAUSED = {"domain": ("b.test", "r1@b.test", "other", "autumn", "first"), "site": ("mx1.c.mx.test", "r2@c.test", "other", "autumn", "first"),
          "source": ("two", "r3@a.test", "other", "autumn", "second"), "job": ("spring", "r4@a.test", "other", "spring", "first"),
          "user": ("shop", "r5@a.test", "shop", "autumn", "first")}


def test_H18_each_kind_lifts_itself():
    """A message for each pause waits until its time is over, one that none is for goes at once."""
    blocks = "source one { }\nsource two { }\npool first { sources = { one } }\npool second { sources = { two } }\n"
    script = "".join(f'site {n} {{ domains = {{ "{n}.test" }} }}\n' for n in "abc")

    def send(rcpt, user, job, pool):
        with w.client() as c:
            c.login(user, "secret")
            c.sendmail("s@x.test", [rcpt], f"From: <s@x.test>\r\nX-Job: {job}\r\nX-Virtual-MTA: {pool}\r\n\r\nhello\r\n".encode())
    with running(script, users={"shop": "", "other": ""}, blocks=blocks, listen="auth-in-clear = yes") as w:
        send("first@c.test", "other", "autumn", "first")  # the site is known from now on
        gives(w, "first@c.test")
        begun = time.time()
        for kind, (name, *_) in PAUSED.items():
            w.ctl("pause", kind, name, "--for", "12s")
        for message in [m[1:] for m in PAUSED.values()] + [("free@a.test", "other", "autumn", "first")]:
            send(*message)
        for rcpt in ["free@a.test", *(m[1] for m in PAUSED.values())]:
            gives(w, rcpt)
        waited = {a["rcpt"]: int(a["time"]) / 1e6 - begun for a in w.arrived()}
        assert waited["free@a.test"] < 12, waited
        assert all(waited[m[1]] >= 12 for m in PAUSED.values()), waited
        wait_for("no pause", lambda: w.ctl("pauses", "--json")["rows"] == [])


@pytest.mark.parametrize("operation", ["delete", "bounce", "hold"])
def test_H1_in_flight(operation):
    """A recipient being delivered just now ends once: as delivered, or, where that fails, as the operator wants."""
    script = '''site a { domains = { "a.test" } rule { on = dot delay = 1s } }
        site b { domains = { "b.test" } rule { on = dot reply = "451 4.3.0 later" delay = 1s } }\nsite x { domains = { "x.test" } }'''
    with running(script, delivery="retry = { 1h }") as w:
        w.send("s@x.test", ["r@a.test", "r@b.test"])
        wait_for("both in flight", lambda: summary(w)["leased"] == 2)
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
        assert time.monotonic() - begun < 20
        for s in silent:
            s.close()


def frame(**request):
    body = json.dumps(request).encode()
    return struct.pack("<II", 0x6d746300 | 1, len(body)) + body


def connected(w):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(20)
    s.connect(str(w.dir / "control"))
    return s


LARGEST = 2**63 - 1
ODD = [{}, {"command": 1}, {"command": "nonsense"}, {"command": "show"}, {"command": "show", "id": -1}, {"command": "show", "id": "1"},
       {"command": "count"}, {"command": "count", "all": False}, {"command": "count", "id": 1, "n": LARGEST},
       {"command": "delete", "domain": ""}, {"command": "delete", "sender": ""}, {"command": "delete", "surprise": True, "all": True},
       {"command": "hold", "domain": "x" * 5000}, {"command": "pause", "kind": "all", "name": "", "for_us": LARGEST},
       {"command": "pause", "kind": "all", "name": "", "for_us": -1}, {"command": "pause", "kind": "domain", "name": "a" * 5000},
       {"command": "resume", "kind": "job", "name": ""}, {"command": "pause", "kind": "source", "name": "none"}]
HARMLESS = [{"command": "list", "limit": -5}, {"command": "queue", "limit": LARGEST, "by": 7}, {"command": "sites", "limit": -LARGEST},
            {"command": "list", "limit": LARGEST, "sender": "<"}, {"command": "count", "id": LARGEST}]


def answer(w, request):
    with connected(w) as s:
        s.sendall(frame(**request))
        got, texts = b"", []
        while more := s.recv(65536):
            got += more
    while got:
        length = struct.unpack_from("<II", got)[1]
        texts.append(json.loads(got[8:8 + length]))
        got = got[8 + length:]
    return texts


def test_H8_odd_requests_are_refused():
    with running() as w:
        for request in ODD:
            texts = answer(w, request)
            assert any("error" in t for t in texts) and texts[-1]["end"] != 0, (request, texts)
        for request in HARMLESS:
            assert answer(w, request)[-1] == {"end": 0}, request
        assert w.ctl("pauses", "--json")["rows"] == [] and w.daemon.poll() is None


def test_H8_H12_slow_reader_gets_all_and_holds_up_nobody():
    """An answer that its client does not read waits in the daemon by the portion; one that leaves is forgotten."""
    domain = ".".join([letter * 60 for letter in "abc"] + ["a.test"])
    with running(LATER, delivery="retry = { 1h }", wrapper=lean()) as w:
        w.ctl("pause", "all")
        with w.client() as c:
            for n in range(100):
                c.sendmail("s@x.test", [f"{'r' * 50}.{n}.{k}@{domain}" for k in range(100)], b"From: <s@x.test>\r\n\r\nx\r\n")
        wait_for("10,000 recipients", lambda: summary(w)["recipients"] == 10000)
        w.ctl("list", "--limit", "0")
        before = memory(w)
        leavers = [connected(w) for _ in range(20)]
        with connected(w) as reader:
            for s in [*leavers, reader]:
                s.sendall(frame(command="list", limit=20000))
            answer = b""
            while got := reader.recv(4096):
                answer += got
        # One answer is read, twenty wait: a portion of each, and not the whole.
        assert answer.count(b'"rcpt"') == 10000 and b'"end"' in answer
        assert memory(w) - before < len(answer) * 20 // 2, f"{before} -> {memory(w)}, {len(answer)} each"
        assert summary(w)["recipients"] == 10000
        for s in leavers:
            s.close()
        assert summary(w)["recipients"] == 10000 and w.ctl("audit", "--json")["summary"]["balanced"]


def test_H2_interrupted_removal_ends_and_says_how_far():
    with running(LATER, disk=True, delivery="retry = { 1h }") as w:
        w.ctl("pause", "all")
        def send(k):
            with w.client() as c:
                for n in range(700):
                    c.sendmail("s@x.test", [f"r{k}.{n}@a.test"], b"From: <s@x.test>\r\n\r\nx\r\n")
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            list(pool.map(send, range(4)))
        w.disk.becomes("hanging")
        removing = subprocess.Popen([program("mtactl"), "--socket", str(w.dir / "control"), "delete", "--all", "--yes"],
                                    stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        time.sleep(1.5)
        assert removing.poll() is None, "it waits for the spool"
        removing.send_signal(signal.SIGINT)
        removing.wait()
        line = wait_for("its line in the log", lambda: re.search(r"what=delete broken_off=yes count=(\d+)", w.log_text()))
        w.disk.becomes("well")
        removed = int(line[1])
        assert 0 < removed < 2800
        wait_for("all recorded", lambda: w.ctl("audit", "--json")["summary"]["dropped"] == removed)
        time.sleep(0.5)
        audit = w.ctl("audit", "--json")["summary"]
        assert audit["queued"] == 2800 - removed and audit["balanced"]


def test_audit_waits_for_what_the_spool_has_not_recorded():
    with running(LATER, disk=True, delivery="retry = { 1h }") as w:
        w.ctl("pause", "all")
        for n in range(3):
            w.send("s@x.test", [f"r{n}@a.test"])
        w.disk.becomes("hanging")
        w.ctl("pause", "domain", "b.test")
        w.ctl("delete", "2")
        audit = w.ctl("audit", "--json")["summary"]
        assert (audit["queued"], audit["scheduled"], audit["schedule"], audit["balanced"]) == (3, 2, "moving", True)
        w.disk.becomes("well")
        wait_for("all recorded", lambda: w.ctl("audit", "--json")["summary"]["schedule"] == "right")


def words_of_help():
    text = subprocess.run([program("mtactl"), "--help"], capture_output=True, text=True, check=True).stdout
    commands = {line[8:].split()[0] for line in text.split("FILTER  ID")[0].splitlines()[1:]}
    return commands, set(re.findall(r"--([a-z-]+)", text))


def test_help_manual_and_completion_agree():
    here = pathlib.Path(__file__).resolve().parents[2]
    manual = (here / "mtad/man/mtactl.8").read_text()
    completion = (here / "contrib/completion/mtactl.bash").read_text()
    commands, options = words_of_help()
    assert len(commands) > 15 and len(options) > 15
    for command in commands:
        assert re.search(rf"(?m)^\.It Ic {command}\b", manual) and re.search(rf"\b{command}\b", completion), command
    for option in options:
        assert re.search(rf"Fl -{option}\b", manual) and f"--{option}" in completion, option
    assert set(re.findall(r"Fl -([a-z-]+)", manual)) - options <= {"version", "help"}


COMPLETED = {"mtactl st": {"status", "stop", "streams"}, "mtactl queue --b": {"--by"}, "mtactl queue --by s": {"site", "state"},
             "mtactl stop --n": {"--no-wait"}, "mtactl status --w": {"--watch"}, "mtactl list --se": {"--sender"},
             "mtactl explain st": {"stream"}, "mtactl explain su": {"suppression"}, "mtactl pause s": {"site", "source", "stream", "sender"},
             "mtactl pause stream x --s": {"--site"}, "mtactl resume site x --s": set(), "mtactl dkim k": {"keygen"},
             "mtactl rules t": {"test"}, "mtactl rules list --p": {"--provider", "--phase"},
             "mtactl rules test --phase r": {"rcpt"},
             "mtactl la": {"lanes"}, "mtactl why --s": {"--site"}, "mtactl limits --level s": {"site", "source", "stream"},
             "mtactl streams --u": {"--user"}, "mtactl cl": {"classify", "clear"}, "mtactl clear x --s": {"--source"},
             "mtactl set s": {"site", "source", "stream"}, "mtactl set site x re": {"recipient-rate=", "recipients-per-transaction="},
             "mtactl unset all m": set(), "mtactl unset lane a b m": {"messages-per-connection"}, "mtactl set all --f": {"--for"},
             "mtactl set all --for e": {"ever"},
             "mtactl warmup re": {"release", "restart"}, "mtactl warmup hold a --r": {"--reason"},
             "mtactl report --by do": {"domain"}, "mtactl report --by st": {"stream"}, "mtactl report --cs": {"--csv"},
             "mtactl history x --l": {"--limit"},
             "mtactl warmup --hi": {"--history"}, "mtactl warmup hold @new.test --r": {"--reason"}, "mtactl warmup plan --curve b": {"brisk"}}


@pytest.mark.parametrize("line", COMPLETED)
def test_completion(line):
    here = pathlib.Path(__file__).resolve().parents[2]
    script = f"""source {here}/contrib/completion/mtactl.bash
        COMP_WORDS=({line}) COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 )); _mtactl; printf '%s\\n' "${{COMPREPLY[@]}}" """
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True)
    assert set(done.stdout.split()) == COMPLETED[line], done.stderr


def test_I1_no_descriptors_for_the_control_socket():
    with running() as w:
        limits = resource.prlimit(w.daemon.pid, resource.RLIMIT_NOFILE)
        used = max(int(fd) for fd in os.listdir(f"/proc/{w.daemon.pid}/fd")) + 1
        holes = used - len(os.listdir(f"/proc/{w.daemon.pid}/fd"))
        resource.prlimit(w.daemon.pid, resource.RLIMIT_NOFILE, (used, limits[1]))
        waiting = [connected(w) for _ in range(holes + 3)]
        wait_for("the failed accept", lambda: "accept_failed listen=control" in w.log_text())
        before = cpu_seconds(w)
        time.sleep(1.5)
        assert cpu_seconds(w) - before < 0.5, "it spins"
        resource.prlimit(w.daemon.pid, resource.RLIMIT_NOFILE, limits)
        assert summary(w)["recipients"] == 0
        for s in waiting:
            s.close()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be another")
def test_H9_others_are_refused():
    """By who they are: everybody may connect to the socket."""
    with running() as w:
        assert (w.dir / "spool").stat().st_mode & 0o077 == 0
        w.dir.chmod(0o755)
        shutil.copy(program("mtactl"), w.dir / "mtactl")  # the build may lie where nobody else looks

        def as_nobody(*words):
            return subprocess.run([w.dir / "mtactl", "--socket", w.dir / "control", *words], user="nobody", group="nogroup",
                                  extra_groups=[], capture_output=True, text=True, timeout=20)
        for words in (["status"], ["delete", "--all", "--yes"], ["stop"]):
            done = as_nobody(*words)
            assert done.returncode == 2 and done.stdout == "", done
            assert done.stderr == "mtactl: permission denied: only root, the daemon's account and control-users may use mtactl\n"
        config = w.dir / "mtad.conf"
        config.write_text("control-users = { nobody }\n" + config.read_text())
        w.ctl("reload")
        assert "mtad " in as_nobody("status").stdout


def test_H5_stop_by_command_and_second_signal():
    with running('site a { domains = { "a.test" } rule { on = dot do = stall } }', settings="stop-timeout = 30s\n") as w:
        w.send("s@x.test", ["r@a.test"])
        wait_for("a session at the dot", lambda: summary(w)["leased"] == 1)
        time.sleep(0.3)
        w.daemon.terminate()
        time.sleep(0.5)
        begun = time.monotonic()
        w.daemon.terminate()
        assert w.daemon.wait(timeout=60) == 0 and time.monotonic() - begun < 20
        w.start()
        assert summary(w)["recipients"] == 1
        assert w.ctl("stop").strip() == "stopped"
        assert w.daemon.wait(timeout=20) == 0


def test_H5_stop_waits_and_reload_is_refused_meanwhile():
    with running('site a { domains = { "a.test" } rule { on = dot do = stall } }', settings="stop-timeout = 3s\n") as w:
        w.send("s@x.test", ["r@a.test"])
        wait_for("a session at the dot", lambda: summary(w)["leased"] == 1)
        w.ctl("rotate")
        assert w.ctl("stop", "--no-wait").strip() == "stopping"
        assert summary(w)["stopping"]
        refused = w.ctl("reload", check=False)
        assert refused.returncode == 1 and "stopping" in refused.stderr
        assert w.daemon.wait(timeout=15) == 0
        for what in ("stop", "rotate"):
            assert f"what={what} " in w.log_text()
        w.start()
        w.send("s@x.test", ["r2@a.test"])
        wait_for("a session at the dot", lambda: summary(w)["leased"] == 1)
        begun = time.monotonic()
        assert w.ctl("stop", "--json")["summary"]["stopped"] and time.monotonic() - begun > 1
        assert w.daemon.wait(timeout=20) == 0


def test_H5_H14_stop_under_load_loses_nothing():
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
