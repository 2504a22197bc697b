# SPDX-License-Identifier: Apache-2.0
"""Webhooks and pipes: each event arrives, in order, whatever the receiver does, and mail does not wait for it."""
import collections
import contextlib
import csv
import json
import subprocess
import time

import pytest

from receiver import Receiver
from world import World, free_port, program, wait_for, whole_lines

SITE = 'site a { domains = { "a.test" } }'


@contextlib.contextmanager
def running(script=SITE, blocks=""):
    with World(settings="accounting-records = { d, b }\n", blocks=blocks) as w:
        w.sim(script)
        w.start()
        yield w


def hook(receiver, more="", name="shop-events"):
    ca = f'ca-file = "{receiver.cert}"' if receiver.cert else ""
    return f'webhook {name} {{ url = "{receiver.url}" {ca} {more} }}\n'


def state(w, name="shop-events"):
    return next(row for row in w.ctl("webhooks", "--json")["rows"] if row["name"] == name)


def send(w, count, first=0):
    for n in range(first, first + count):
        w.send("s@x.test", [f"r{n}@a.test"])


def names(count):
    return [f"r{n}@a.test" for n in range(count)]


def test_signed_over_tls(tmp_path):
    """A batch is an array of what stands in the JSON file, with the same ids; and signed."""
    secret = tmp_path / "secret"
    secret.write_text("k3y\n")
    secret.chmod(0o600)
    with Receiver(tmp_path, secret=b"k3y") as r, running(SITE, blocks=hook(r, f'secret-file = "{secret}"')) as w:
        send(w, 5)
        wait_for("the events", lambda: len(r.events()) == 5)
        wait_for("the file", lambda: len(w.events()) == 5)
        assert r.events() == w.events()
        assert len({e["id"] for e in r.events()}) == 5
        header = r.requests[0][1]
        assert header["Content-Type"] == "application/json" and header["Mtad-Webhook"] == "shop-events"
        wait_for("nothing left in the spool", lambda: w.ctl("status", "--json")["summary"]["spool"]["unreported"] == 0)
        row = state(w)
        assert row["sent"] == 5 and row["behind"] == 0 and row["failures"] == 0 and row["state"] in ("idle", "waiting")


def test_a_certificate_that_nobody_vouches_for(tmp_path):
    with Receiver(tmp_path) as r, running(SITE, blocks=f'webhook shop-events {{ url = "{r.url}" }}\n') as w:
        send(w, 1)
        wait_for("the refusal", lambda: state(w)["failures"] > 0)
        assert "certificate" in state(w)["error"] and not r.requests
        assert " warn outlet_failed " in w.log_text()


LIARS = {"reset": ["reset-before", "reset-before", "ok"], "liar": ["reset-after", "ok"], "5xx": [500, 503, "ok"],
         "408": [408, "ok"], "slow": ["slow", "ok"], "hang": ["hang", "ok"]}


@pytest.mark.parametrize("kind", LIARS)
def test_a_bad_receiver_gets_it_again(kind):
    """The same events with the same ids until they are taken, and nothing behind them before."""
    with Receiver(does=LIARS[kind]) as r, running(SITE, blocks=hook(r, "timeout = 2s")) as w:
        send(w, 3)
        wait_for("the events", lambda: len(r.events()) >= 3, 30)
        wait_for("the records", lambda: len(w.events()) == 3)
        assert r.events() == w.events()
        first, second = r.requests[0][2], r.requests[1][2]
        assert [e["id"] for e in second[:len(first)]] == [e["id"] for e in first]
        assert " outlet_failed " in w.log_text() and " outlet_recovered " in w.log_text()


def test_retry_after():
    with Receiver(does=[(429, {"Retry-After": "3"}), "ok"]) as r, running(SITE, blocks=hook(r)) as w:
        send(w, 1)
        wait_for("the event", lambda: len(r.events()) == 1, 30)
        assert 3 <= r.requests[1][0] - r.requests[0][0] < 5
        assert state(w)["error"] == ""


def test_refused_goes_to_the_dead_letter_file():
    """4xx: so many tries, then the file, an alarm, and on with what follows."""
    with Receiver(does=[400, 400, "ok"]) as r, running(SITE, blocks=hook(r, "tries = 2")) as w:
        send(w, 1)
        wait_for("the alarm", lambda: " error outlet_dead " in w.log_text(), 30)
        dead = [json.loads(line) for line in whole_lines(w.dir / "spool" / "shop-events.dead.json")]
        assert [e["rcpt"] for e in dead] == names(1) and dead == r.requests[0][2]
        assert "400: go  away" in w.log_text()
        send(w, 1, first=1)
        wait_for("the next", lambda: r.rcpts() == ["r1@a.test"])
        assert state(w)["dead"] == 1


def test_a_dead_receiver_does_not_fill_the_spool():
    """More than `backlog` wait: the oldest go to the dead-letter file, none is lost, mail and records go on."""
    port = free_port()
    block = f'webhook shop-events {{ url = "http://127.0.0.1:{port}/" batch = 10 backlog = 20 }}\n'
    with running(SITE, blocks=block) as w:
        send(w, 60)
        wait_for("60 records", lambda: len(w.events()) == 60)
        wait_for("the dead letters", lambda: len(whole_lines(w.dir / "spool" / "shop-events.dead.json")) >= 40, 30)
        row = state(w)
        assert row["behind"] <= 20 and "refused" in row["error"].lower() or "connect" in row["error"].lower()
        dead = [json.loads(line) for line in whole_lines(w.dir / "spool" / "shop-events.dead.json")]
        assert dead == w.events()[:len(dead)]
        wait_for("the outbox", lambda: w.ctl("status", "--json")["summary"]["spool"]["unreported"] <= 20)


def test_too_old_goes_to_the_dead_letter_file():
    block = f'webhook shop-events {{ url = "http://127.0.0.1:{free_port()}/" keep = 1s }}\n'
    with running(SITE, blocks=block) as w:
        send(w, 1)
        wait_for("the dead letter", lambda: whole_lines(w.dir / "spool" / "shop-events.dead.json"), 30)
        assert 'why="older than keep"' in w.log_text()


def test_killed_in_the_middle(tmp_path):
    """kill -9 while a receiver is slow to take: nothing is lost, what comes twice has the same id, in the file once."""
    with Receiver(does=["ok"]) as r, running(blocks=hook(r, "batch = 7")) as w:
        load = subprocess.Popen([program("mtasim-load"), "--to", f"127.0.0.1:{w.port}", "--domains", "a.test", "--rate",
                                 "150", "--messages", "450", "--sessions", "3", "--size", "300", "--quiet"],
                                stdout=subprocess.DEVNULL)
        for n in range(3):
            wait_for("some more", lambda seen=len(r.requests): len(r.requests) > seen + 2)
            if n == 1:
                r.does = ["hang"]
                time.sleep(0.3)
            w.kill()
            r.does = ["ok"]
            w.start()
        load.wait(60)
        wait_for("rest", lambda: w.ctl("status", "--json")["summary"]["recipients"] == 0)
        wait_for("every record at the receiver", lambda: {e["id"] for e in w.events()} <= {e["id"] for e in r.events()})
        ids = collections.Counter(e["id"] for e in w.events())
        assert set(ids.values()) == {1}, "once in the file"
        same = {}
        for e in r.events():
            assert same.setdefault(e["id"], e) == e
        assert set(same) == set(ids)
        firsts = list(dict.fromkeys(e["id"] for e in r.events()))
        assert firsts == [e["id"] for e in w.events()], "in order, but for repeats"


def test_positions_survive_a_stop():
    """What was taken does not come again after a stop and start; a webhook that has gone loses its place."""
    with Receiver() as r, running(SITE, blocks=hook(r)) as w:
        send(w, 3)
        wait_for("the events", lambda: len(r.events()) == 3)
        w.stop()
        w.start()
        send(w, 2, first=3)
        wait_for("two more", lambda: len(r.events()) == 5)
        assert r.events() == w.events()
        w.blocks = ""
        w.write_config()
        w.ctl("reload")
        wait_for("its end", lambda: " outlet_removed " in w.log_text())
        send(w, 1, first=5)
        wait_for("the record", lambda: len(w.events()) == 6)
        w.blocks = hook(r)
        w.write_config()
        w.ctl("reload")
        wait_for("its new begin", lambda: w.log_text().count(" outlet_added ") == 2)
        send(w, 1, first=6)
        wait_for("the one behind", lambda: sorted(r.rcpts()) == names(5) + ["r6@a.test"])


def test_each_gets_what_it_asks_for():
    """Filters; and a slow one does not hold up another, nor the accounting."""
    site = SITE + '''
site b { domains = { "b.test" } tls = none rule { on = rcpt reply = "550 5.1.1 no such user" } }'''
    with Receiver() as r, Receiver(does=["hang"]) as s, running(site, blocks=hook(r, "records = { b }") + hook(
            s, "timeout = 1m", "slow") + hook(r, 'jobs = { "none" }', "nobody")) as w:
        send(w, 20)
        w.send("s@x.test", ["x@b.test"])
        wait_for("the bounce", lambda: r.rcpts() == ["x@b.test"])
        wait_for("the records, the bounce mail's as well", lambda: len(w.events()) == 22)
        wait_for("the filtered one", lambda: state(w, "nobody")["behind"] == 0)
        assert len(s.requests) == 1 and state(w, "slow")["state"] == "sending" and state(w, "slow")["behind"] > 0


def test_pipe(tmp_path):
    """A run for each batch; 0 is taken, anything else is not, and comes again."""
    out, flag = tmp_path / "out.jsonl", tmp_path / "fails"
    flag.write_text("")
    tool = tmp_path / "take"
    tool.write_text(f"#!/bin/sh\ncat >> {out}\nls -l /proc/self/fd > {tmp_path}/fds\n[ -e {flag} ] && rm {flag} && exit 1\nexit 0\n")
    tool.chmod(0o755)
    with running(SITE, blocks=f'pipe archive {{ command = "{tool}" }}\n') as w:
        send(w, 4)
        wait_for("the events", lambda: {json.loads(line)["rcpt"] for line in whole_lines(out)} == set(names(4)), 30)
        lines = [json.loads(line) for line in whole_lines(out)]
        assert len(lines) > 4 or not flag.exists()
        assert list(dict.fromkeys(e["id"] for e in lines)) == [e["id"] for e in w.events()]
        assert "exit status 1" in w.log_text()
        assert "control" not in (tmp_path / "fds").read_text() and "spool" not in (tmp_path / "fds").read_text()


def test_a_pipe_of_csv(tmp_path):
    """Each run gets the names and its records; what is given up is kept the same way; columns change with a reload."""
    runs = tmp_path / "runs"
    runs.mkdir()
    block = (f'pipe archive {{ command = "f=$(mktemp {runs}/XXXXXX); cat > $f; chmod 644 $f; ! grep -q refuse@ $f || exit 65"\n'
             'format = csv times = unix user-string = "a, b" tries = 1 batch = %s fields = { %s } }\n')
    def rows(path):
        return list(csv.reader(path.read_text().splitlines()))
    def got():
        return [row for path in runs.iterdir() for row in rows(path)[1:]]
    with running(SITE, blocks=block % (1, "rcpt, type, userString, timeLogged")) as w:
        send(w, 2)
        wait_for("the events", lambda: len(got()) == 2)
        assert all(rows(path)[0] == ["rcpt", "type", "userString", "timeLogged"] for path in runs.iterdir())
        assert {row[0] for row in got()} == set(names(2)) and all(row[1:3] == ["d", "a, b"] and row[3].isdigit() for row in got())
        w.send("s@x.test", ["refuse@a.test"])
        dead = w.dir / "spool" / "archive.dead.csv"
        wait_for("it is given up", lambda: dead.exists() and len(rows(dead)) == 2)
        assert rows(dead)[0][0] == "rcpt" and rows(dead)[1][0] == "refuse@a.test"
        for path in runs.iterdir():
            path.unlink()
        w.blocks = block % (5, "type, rcpt, eventId, userString")
        w.write_config()
        w.ctl("reload")
        w.send("s@x.test", ["after@a.test"])
        wait_for("the event", lambda: got())
        assert got()[0][:2] == ["d", "after@a.test"] and got()[0][2] == w.events()[-1]["id"]
        for path in runs.iterdir():
            path.unlink()
        w.ctl("webhook", "test", "archive")
        assert got()[0][:2] == ["d", "test@example.invalid"]


@pytest.mark.parametrize("command, why", [("exit 65", "refused too often"), ("sleep 30", "killed"), ("kill -SEGV $$", "signal 11")])
def test_a_bad_program(command, why):
    with running(SITE, blocks=f'pipe archive {{ command = "{command}" timeout = 1s tries = 2 keep = 3s }}\n') as w:
        send(w, 1)
        wait_for("it is given up", lambda: whole_lines(w.dir / "spool" / "archive.dead.json"), 30)
        assert why in w.log_text()
        assert subprocess.run(["pgrep", "-f", f"^{command}$"], capture_output=True).returncode == 1


def test_the_test_event():
    with Receiver(does=[503, "ok"]) as r, running(SITE, blocks=hook(r)) as w:
        done = w.ctl("webhook", "test", "shop-events", check=False)
        assert done.returncode == 1 and "503: go  away" in done.stdout + done.stderr
        assert "200" in w.ctl("webhook", "test", "shop-events")
        assert r.rcpts() == ["test@example.invalid"] and "id" not in r.events()[0]
        done = w.ctl("webhook", "test", "shop-event", check=False)
        assert done.returncode != 0 and "shop-events" in done.stdout + done.stderr
