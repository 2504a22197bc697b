# SPDX-License-Identifier: Apache-2.0
"""Faults J: a wall clock that is set, a machine that slept, a wrong clock at the start."""
import contextlib
import datetime
import email
import re
import signal
import time

from clock import Clock
from tools import dkim_key, dkim_ok, gives, wait_for
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


def signs(records):
    """For before=: x.test has a key, whose record comes into records."""
    def before(w):
        block, name, record = dkim_key(w.dir, "x.test")
        w.blocks += block
        records[name] = record
    return before


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
    with clocked(delivery="retry = { 2s }", listen="accept-rate = 1000/m") as w:
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


def test_J4_what_a_wrong_clock_wrote_is_put_right_at_the_next_start():
    """A retry and a pause of a life whose clock was a year ahead, and that ended before it was mended."""
    with clocked(delivery="retry = { 2s }") as w:
        w.clock.ahead(days=365)
        wait_for("the step", lambda: clock_set(w))
        w.send("s@x.test", ["r@b.test"])
        gives(w, "r@b.test", "t")
        w.ctl("pause", "domain", "a.test", "--for", "4s")
        w.send("s@x.test", ["paused@a.test"])
        w.kill()
        w.clock.right()
        before = len(w.rows())
        w.start(wrapper=w.clock.wrapper)
        assert 0 < w.ctl("pauses", "--json")["rows"][0]["until_us"] / 1e6 - w.clock.now() <= 4
        gives(w, "paused@a.test")
        wait_for("another attempt", lambda: any(r["rcpt"] == "r@b.test" for r in w.rows()[before:]))


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


def test_J5_a_machine_that_slept_is_in_no_hurry():
    """The monotonic clock stands still meanwhile, so for the daemon it is a step ahead."""
    with clocked(delivery="expire = 1d\nretry = { 1h }") as w:
        w.send("s@x.test", [f"r{n}@b.test" for n in range(50)])
        wait_for("50 deferrals", lambda: sum(r["type"] == "t" for r in w.rows()) == 50)
        due = sorted(r["due_us"] for r in w.ctl("list", "--json", "--limit", "100")["rows"])
        for n in range(3):
            w.clock.ahead(seconds=7200)
            passes(w)
            wait_for("a word about it", lambda: len(clock_set(w)) == n + 1)
        assert sum(r["type"] == "t" for r in w.rows()) == 50
        later = sorted(r["due_us"] for r in w.ctl("list", "--json", "--limit", "100")["rows"])
        assert len(later) == 50 and all(abs(b - a - 3 * 7200e6) < 5e6 for a, b in zip(due, later))


def test_J5_stopped_and_continued():
    """What came due meanwhile is tried once, not once for each time it would have been."""
    with clocked(delivery="retry = { 1s }") as w:
        w.send("s@x.test", [f"r{n}@b.test" for n in range(20)])
        wait_for("20 deferrals", lambda: sum(r["type"] == "t" for r in w.rows()) >= 20)
        w.daemon.send_signal(signal.SIGSTOP)
        before, seen = {n: attempts(w, f"r{n}@b.test") for n in range(20)}, len(w.log_text())
        time.sleep(4)
        w.daemon.send_signal(signal.SIGCONT)
        passes(w)
        wait_for("the next round", lambda: all(attempts(w, f"r{n}@b.test") > before[n] + 1 for n in range(20)))
        for n in range(20):
            stamps = re.findall(rf'(?m)^(\S+) info deferred .*rcpt="r{n}@b.test"', w.log_text()[seen:])
            times = [datetime.datetime.fromisoformat(s[:-1]) for s in stamps]
            assert len(times) > 1 and all((b - a).total_seconds() > 0.5 for a, b in zip(times, times[1:])), times
        assert not clock_set(w) and " watchdog " not in w.log_text()


def test_J6_a_limit_per_hour_is_not_renewed_by_a_jump():
    with clocked(listen="accept-rate = 3/h") as w:
        for n in range(3):
            w.send("s@x.test", [f"r{n}@a.test"])
        for days in (1, -2, 365):
            w.clock.ahead(days=days)
            with w.client() as c:
                c.ehlo()
                assert c.mail("s@x.test")[0] == 451


def test_J7_beyond_2038(monkeypatch):
    records = {}
    with clocked(at="2038-01-19T03:14:05", before=signs(records), delivery="expire = 30d\nretry = { 1d }") as w:
        w.send("s@x.test", ["r@b.test"])
        gives(w, "r@b.test", "t")
        wait_for("the end of 32 bits", lambda: w.clock.now() > 2**31 + 1)
        passes(w)
        w.clock.ahead(days=20)
        start_again(w)
        passes(w, "again@a.test")
        gives(w, "r@b.test", "t")
        wait_for("the second attempt", lambda: attempts(w, "r@b.test") == 2)
        row = row_of(w, "r@b.test")
        assert row["due_us"] / 1e6 > w.clock.now() + 3600
        assert {r["timeLogged"][:4] for r in w.rows()} == {"2038"}
        assert "\n2038-01-19T03:14:09" in w.log_text()
        for mail in w.mails():
            header = email.message_from_bytes(mail)
            assert " 2038 " in header["Date"] and " 2038 " in header["Received"]
            assert int(re.search(r"\bt=(\d+)", header["DKIM-Signature"])[1]) > 2**31 - 5
        now = w.clock.now()
        monkeypatch.setattr(time, "time", lambda: now)  # the judge's
        assert dkim_ok(w.mails()[-1], records)


def test_J8_leap_second_and_smear():
    """A second more or less, again and again: no word about it, no wait that is longer for it."""
    with clocked(delivery="retry = { 2s }") as w:
        w.send("s@x.test", ["r@b.test"])
        gives(w, "r@b.test", "t")
        for n in range(6):
            w.clock.ahead(seconds=(1, -1)[n % 2])
            passes(w, f"r{n}@a.test")
            time.sleep(0.3)
        wait_for("retries", lambda: attempts(w, "r@b.test") >= 3)
        assert not clock_set(w)


def test_J9_a_signature_of_a_wrong_clock_does_not_expire():
    records = {}
    with clocked(at="1999-01-01T00:00:00", before=signs(records)) as w:
        passes(w)
        (mail,) = w.mails()
        signature = re.sub(r"\s", "", email.message_from_bytes(mail)["DKIM-Signature"])
        assert ";x=" not in signature and ";t=9151488" in signature
        assert dkim_ok(mail, records)


def test_J10_ids_are_unique_on_a_clock_that_goes_back():
    with clocked(delivery="retry = { 1h }") as w:
        with w.client() as c:
            for n in range(30):
                if n % 5 == 4:
                    w.clock.ahead(seconds=-1 - n)
                c.sendmail("s@x.test", [f"r{n}@a.test"], b"From: <s@x.test>\r\n\r\nhello\r\n")
        wait_for("30 arrivals", lambda: len(w.mails()) == 30)
        headers = [email.message_from_bytes(m) for m in w.mails()]
        assert len({h["Message-ID"] for h in headers}) == 30
        assert len({re.search(r" id (\S+);", h["Received"])[1] for h in headers}) == 30
        received = re.findall(r" received msg=(\S+)", w.log_text())
        assert len(set(received)) == 30
        w.clock.ahead(days=-1)
        start_again(w)
        passes(w)
        assert re.findall(r" received msg=(\S+)", w.log_text())[-1] not in received


def test_J9_nobody_keeps_the_clock():
    """A daemon that runs says so once a day, and each start does."""
    def said():
        return w.log_text().count(" warn clock_adrift ")
    with clocked() as w:
        w.ctl("status")  # who answers has looked, at the start
        w.clock.kept(False)
        w.clock.ahead(days=1)
        wait_for("the warning", lambda: said() == 1)
        w.clock.ahead(days=1)
        wait_for("that of the next day", lambda: said() == 2)
        start_again(w)
        wait_for("that of the start", lambda: said() == 3)


def test_J4_a_clock_that_begins_at_1970():
    """No battery: mail of yesterday, a start in 1970, then somebody tells the time."""
    with clocked(before=signs({}), delivery="expire = 2d\nretry = { 1h }") as w:
        w.send("s@x.test", ["old@b.test"])
        gives(w, "old@b.test", "t")
        w.stop()
        w.clock.at("1970-01-01T00:01:00")
        w.start(wrapper=w.clock.wrapper)
        w.send("s@x.test", ["new@b.test", "r@a.test"])
        gives(w, "r@a.test")
        gives(w, "new@b.test", "t")
        row = row_of(w, "old@b.test")
        assert row["due_us"] / 1e6 < w.clock.now() + 1.3 * 86400
        w.clock.right()
        wait_for("a word about it", lambda: clock_set(w))
        passes(w)
        time.sleep(1.2)
        assert w.ctl("status", "--json")["summary"]["recipients"] == 2
        assert not [r for r in w.rows() if r["type"] == "b"]
        start_again(w)
        wait_for("both tried or waiting", lambda: w.ctl("status", "--json")["summary"]["recipients"] == 2)
        time.sleep(0.5)
        assert not [r for r in w.rows() if r["type"] == "b"]
