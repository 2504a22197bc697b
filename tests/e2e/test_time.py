# SPDX-License-Identifier: Apache-2.0
"""Faults J: a wall clock that is set, a machine that slept, a wrong clock at the start."""
import contextlib
import datetime
import re
import time

from clock import Clock
from tools import gives, wait_for
from world import World

LATER = 'rule { on = rcpt reply = "451 4.7.1 later" }'
SITES = f'site a {{ domains = {{ "a.test" }} }}\nsite b {{ domains = {{ "b.test" }} {LATER} }}\nsite x {{ domains = {{ "x.test" }} }}\n'


@contextlib.contextmanager
def clocked(script=SITES, at=None, before=None, **world):
    """A World whose daemon reads w.clock."""
    world["settings"] = "accounting-records = { d, b, t, r }\naccounting-rotate-age = 0s\n" + world.get("settings", "")
    with World(**world) as w:
        if before is not None:
            before(w)
        w.clock = Clock(w)
        if at is not None:
            w.clock.at(at)
        w.sim(script)
        w.start(wrapper=w.clock.wrapper)
        yield w


def start_again(w):
    w.stop()
    w.start(wrapper=w.clock.wrapper)


def attempts(w, rcpt):
    return sum(r["type"] == "t" and r["rcpt"] == rcpt for r in w.rows())


def row_of(w, rcpt):
    (row,) = [r for r in w.ctl("list", "--json")["rows"] if r["rcpt"] == rcpt]
    return row


def clock_set(w):
    return [line for line in w.log_text().splitlines() if " clock_set " in line]


def passes(w, rcpt="later@a.test"):
    """Mail goes its way."""
    w.send("s@x.test", [rcpt])
    gives(w, rcpt)


def test_J1_a_year_ahead_expires_nothing():
    with clocked(delivery="expire = 1d\nretry = { 1h }") as w:
        w.send("s@x.test", [f"r{n}@b.test" for n in range(20)])
        wait_for("20 deferrals", lambda: sum(attempts(w, f"r{n}@b.test") for n in range(20)) == 20)
        with w.client() as talk:
            talk.ehlo()
            w.clock.ahead(days=365)
            wait_for("a word about it", lambda: clock_set(w))
            assert re.search(r"Z warn clock_set by=\+3153\d{7}ms", clock_set(w)[0])
            talk.noop()
            talk.sendmail("s@x.test", ["open@a.test"], b"From: <s@x.test>\r\n\r\nhello\r\n")
        gives(w, "open@a.test")
        time.sleep(1.5)  # two turns of the queue at least
        assert not [r for r in w.rows() if r["type"] == "b"]
        assert sum(attempts(w, f"r{n}@b.test") for n in range(20)) == 20
        row = row_of(w, "r7@b.test")
        assert 0 < row["due_us"] / 1e6 - w.clock.now() < 3600 * 1.3
        assert w.ctl("status", "--json")["summary"]["uptime_s"] < 1000
        w.clock.right()
        passes(w)
        assert len(clock_set(w)) == 2 and w.ctl("audit", "--json")["summary"]["balanced"]


def test_J1_J4_a_start_with_a_wrong_clock_expires_nothing_at_once():
    with clocked(delivery="expire = 1d\nretry = { 1h }") as w:
        w.send("s@x.test", ["r@b.test"])
        gives(w, "r@b.test", "t")
        w.clock.ahead(days=365)
        start_again(w)
        wait_for("a word about it", lambda: " warn expiry_held rcpts=1" in w.log_text())
        # It is due, so it is tried, and goes on waiting.
        wait_for("an attempt", lambda: attempts(w, "r@b.test") == 2)
        assert not [r for r in w.rows() if r["type"] == "b"]
        w.clock.right()
        wait_for("the correction", lambda: clock_set(w))
        passes(w)
        assert w.ctl("status", "--json")["summary"]["recipients"] == 1


def test_J2_a_day_back_stalls_nothing():
    with clocked(delivery="retry = { 2s }", listen="message-rate = 1000/m") as w:
        w.send("s@x.test", ["r@b.test"])
        gives(w, "r@b.test", "t")
        w.ctl("pause", "domain", "a.test", "--for", "3s")
        w.send("s@x.test", ["paused@a.test"])
        w.clock.ahead(days=-1)
        before = attempts(w, "r@b.test")
        wait_for("retries", lambda: attempts(w, "r@b.test") >= before + 2)
        gives(w, "paused@a.test")
        assert re.search(r"warn clock_set by=-864\d{5}ms", clock_set(w)[0])
        for row in w.ctl("list", "--json")["rows"]:
            assert row["arrived_us"] / 1e6 <= w.clock.now() + 1
        assert "-" not in re.sub(r"\S*@\S*", "", w.ctl("list").splitlines()[1])
        passes(w)


def test_J3_time_zone_and_daylight_saving_are_nobody_s_business():
    """Over the night in which New York's clocks go back."""
    with World() as w:
        clock = Clock(w)
        clock.at("2026-11-01T05:59:58")
        w.sim(SITES)
        w.start(wrapper=[*clock.wrapper, "TZ=America/New_York"])
        begun = clock.now()
        for n in range(3):
            passes(w, f"r{n}@a.test")
            time.sleep(1)
        stamps = re.findall(r"(?m)^(\S+) (?:info|debug|warn) ", w.log_text())
        assert stamps and all(s.endswith("Z") for s in stamps)
        times = [datetime.datetime.fromisoformat(s[:-1] + "+00:00").timestamp() for s in stamps]
        assert all(begun - 60 < t < begun + 60 for t in times)
        assert times == sorted(times) or all(b - a > -0.5 for a, b in zip(times, times[1:]))
        for row in w.rows():
            logged = datetime.datetime.fromisoformat(row["timeLogged"])
            assert logged.utcoffset() == datetime.timedelta(0) and abs(logged.timestamp() - begun) < 60
        assert not clock_set(w)
