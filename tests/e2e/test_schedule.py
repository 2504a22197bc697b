# SPDX-License-Identifier: Apache-2.0
"""What a message may ask for itself: a later time, a limit, a notice, a class. One daemon for what can share it."""
import datetime
import email.utils
import re
import time

import pytest
from tools import MAIL, Talk, free_port, gives, running, wait_for

LATER = 'rule { on = rcpt reply = "451 4.7.1 later" }'
SITES = f'''
site a {{ domains = {{ "a.test" }} }}
site b {{ domains = {{ "b.test" }} {LATER} }}
site x {{ domains = {{ "x.test" }} }}
site d {{ domains = {{ "d.test" }} deliverby = yes  mt-priority = yes }}
'''
STRANGERS = 'listen strangers {{ address = {{ "127.0.0.1:{port}" }} trusted = no }}\n'


@pytest.fixture(scope="module")
def w():
    def before(world):
        world.other_port = free_port()
        world.blocks += STRANGERS.format(port=world.other_port)
    with running(SITES, before=before) as world:
        yield world


def submit(t, rcpt, params="", headers="", pattern="250"):
    """The id of the message, or the refusal of it."""
    t.envelope(rcpts=[rcpt], params=params)
    reply = t.data(headers.encode() + MAIL, pattern)
    return reply.split()[-1] if reply.startswith("250") else reply


def row_of(w, rcpt):
    return next((r for r in w.ctl("list", "--json")["rows"] if r["rcpt"] == rcpt), None)


def stamp(seconds):
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def reports(w, envid, seconds=20):
    """What the sender was told of the message with that ENVID."""
    def have():
        return [m for m in w.mails() if f"Original-Envelope-Id: {envid}\r\n".encode() in m]
    return wait_for("the report", have, seconds) if seconds else have()


def arrival(w, rcpt, seconds=20):
    """When the site had it, seconds since the epoch."""
    wait_for(f"the mail to {rcpt}", lambda: any(r["rcpt"] == rcpt for r in w.arrived()), seconds)
    return float(next(r["time"] for r in w.arrived() if r["rcpt"] == rcpt))


def test_what_is_offered(w, t):
    offered = t.hello()
    interval, until = re.search(r"250-FUTURERELEASE (\d+) (\S+)", offered).groups()
    ahead = datetime.datetime.fromisoformat(until.replace("Z", "+00:00")) - datetime.datetime.now(datetime.timezone.utc)
    assert interval == "2592000" and abs(ahead - datetime.timedelta(days=30)) < datetime.timedelta(minutes=5)
    assert "250-DELIVERBY\n" in offered and "250-MT-PRIORITY MIXER\n" in offered
    with Talk(w.other_port) as other:
        offered = other.hello()
        assert "FUTURERELEASE" not in offered and "250-DELIVERBY\n" in offered and "250-MT-PRIORITY MIXER\n" in offered


def test_offered_after_the_login():
    with running(listen="auth = required  auth-in-clear = yes", users={"shop": ""}) as w, Talk(w.port) as t:
        assert "FUTURERELEASE" not in t.hello()
        t.auth("shop", "secret")
        assert "FUTURERELEASE" in t.hello()
        t.say("MAIL FROM:<s@x.test> HOLDFOR=60", "250")


# name: parameters of MAIL, and the reply
REFUSED = {
    "both": ("HOLDFOR=60 HOLDUNTIL=2026-12-24T08:00:00Z", "501 5.5.4 HOLDFOR or HOLDUNTIL, not both"),
    "too_far": ("HOLDFOR=2592001", "501 5.5.4 HOLDFOR or HOLDUNTIL is beyond what EHLO offers"),
    "too_far_a_date": ("HOLDUNTIL=9999-12-31T23:59:59Z", "501 5.5.4 HOLDFOR or HOLDUNTIL is beyond what EHLO offers"),
    "no_number": ("HOLDFOR=1h", "501 5.5.4 HOLDFOR is a number of seconds"),
    "no_date": ("HOLDUNTIL=tomorrow", "501 5.5.4 HOLDUNTIL is a date"),
    "return_at_once": ("BY=0;R", "501 5.5.4 BY with R"),
    "no_mode": ("BY=3600", "501 5.5.4 BY is seconds;R"),
    "over_before_it_goes": ("HOLDFOR=60 BY=60;R", "501 5.5.4 the time of BY is over"),
    "priority": ("MT-PRIORITY=10", "501 5.5.4 MT-PRIORITY is a whole number"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(t, name):
    params, wanted = REFUSED[name]
    t.say(f"MAIL FROM:<s@x.test> {params}", wanted)
    t.say("MAIL FROM:<s@x.test>", "250")


HEADERS_REFUSED = {
    "no_time": ("X-Schedule: tomorrow\r\n", "554 5.6.0 Field X-Schedule: write 2026-12-24T08:00:00"),
    "too_far": ("X-Mtad-Schedule: after 31d\r\n", "554 5.6.0 Field X-Mtad-Schedule: it goes up to 30 days"),
    "class": ("X-Mtad-Class: high\r\n", "554 5.6.0 Field X-Mtad-Class: the classes are urgent, normal and bulk"),
    "priority": ("MT-Priority: high\r\n", "554 5.6.0 Field MT-Priority: "),
}


@pytest.mark.parametrize("name", HEADERS_REFUSED)
def test_header_refused(w, t, name):
    header, wanted = HEADERS_REFUSED[name]
    submit(t, f"{name}@a.test", headers=header, pattern=wanted)
    # The next one on the same connection is taken, and is the only one that goes.
    submit(t, f"after-{name}@a.test")
    gives(w, f"after-{name}@a.test")
    assert not any(r["rcpt"] == f"{name}@a.test" for r in w.rows())


def test_not_before(w, t):
    """Four ways to say it, all at once: each has its whole time in which to be looked at."""
    begun = time.time()
    date = email.utils.format_datetime(email.utils.localtime() + datetime.timedelta(seconds=9))
    ways = {"holdfor": ("HOLDFOR=8", ""), "holduntil": (f"HOLDUNTIL={stamp(9)}", ""), "header": ("", f"X-Schedule: {date}\r\n"),
            "header_after": ("", "X-Schedule: after 8s\r\n")}
    ids = {f"{how}@a.test": submit(t, f"{how}@a.test", *way) for how, way in ways.items()}
    for rcpt, mid in ids.items():
        row = row_of(w, rcpt)
        assert row["state"] == "scheduled" and row["attempts"] == 0 and row["due_us"] > begun * 1e6
        shown = w.ctl("show", mid)
        assert re.search(r"(?m)^ *scheduled +goes in [1-9]s$", shown) and " scheduled " in shown
    for rcpt in ids:
        assert arrival(w, rcpt) >= begun + 8 - 0.001
    assert not any(b"X-Schedule" in m for m in w.mails())


def test_a_past_time_means_at_once(w, t):
    submit(t, "past@a.test", f"HOLDUNTIL={stamp(-3600)}")
    submit(t, "past-header@a.test", headers="X-Schedule: Mon, 01 Jan 2001 00:00:00 +0000\r\n")
    gives(w, "past@a.test")
    gives(w, "past-header@a.test")


def test_retry_lets_only_the_named_one_go(w, t):
    submit(t, "stays@a.test", "HOLDFOR=3600")
    mid = submit(t, "goes@a.test", "HOLDFOR=3600")
    w.ctl("retry", "--domain", "a.test", "--yes")
    w.ctl("retry", "--all", "--yes")
    assert row_of(w, "stays@a.test")["state"] == row_of(w, "goes@a.test")["state"] == "scheduled"
    w.ctl("retry", mid)
    gives(w, "goes@a.test")
    assert row_of(w, "stays@a.test")["state"] == "scheduled"


def test_hold_and_release_keep_the_time(w, t):
    mid = submit(t, "held@a.test", "HOLDFOR=3600")
    w.ctl("hold", mid)
    assert row_of(w, "held@a.test")["state"] == "held"
    w.ctl("release", mid)
    assert row_of(w, "held@a.test")["state"] == "scheduled"


def test_a_kill_in_between():
    """What was accepted for later is there after kill -9, and still goes later and not before."""
    with running(SITES) as w:
        begun = time.time()
        with Talk(w.port) as t:
            t.hello()
            mid = submit(t, "r@a.test", "HOLDFOR=6 MT-PRIORITY=4")
        w.kill()
        w.start()
        wait_for("the mail of the spool", lambda: row_of(w, "r@a.test"))
        assert row_of(w, "r@a.test")["state"] == "scheduled"
        assert w.ctl("show", mid, "--json")["summary"]["class"] == "urgent"
        assert arrival(w, "r@a.test") >= begun + 6 - 0.001
        w.stop()


def test_by_with_return(w, t):
    """The site says "later" for longer than the message has."""
    submit(t, "return@b.test", "BY=2;R ENVID=by-return")
    row = gives(w, "return@b.test", "b")
    assert row["dsnStatus"] == "5.4.7" and row["bounceCat"] == "message-expired" and "451 4.7.1 later" in row["dsnDiag"]
    report = reports(w, "by-return")[0]
    assert b"Status: 5.4.7" in report and b"Action: failed" in report and b"\r\nDeliver-By-Date: " in report


def test_by_with_notify(w, t):
    submit(t, "notify@b.test", "BY=1;N ENVID=by-notify")
    report = reports(w, "by-notify")[0]
    assert b"Action: delayed" in report and b"Status: 4.4.7" in report and b"451 4.7.1 later" in report
    assert row_of(w, "notify@b.test") is not None
    assert not any(r["rcpt"] == "notify@b.test" and r["type"] == "b" for r in w.rows())


# name: to whom, with which parameters, and whether the sender is told of the hand-over (RFC 2852 4.1.4)
HANDED_OVER = {
    "return": ("a.test", "BY=3600;R", False),
    "notify": ("a.test", "BY=3600;N", True),
    "notify_by_the_site": ("d.test", "BY=3600;N", False),
    "traced": ("d.test", "BY=3600;RT", True),
}


@pytest.mark.parametrize("name", HANDED_OVER)
def test_by_and_a_hand_over(w, t, name):
    domain, params, is_told = HANDED_OVER[name]
    submit(t, f"by-{name}@{domain}", f"{params} ENVID=by-over-{name}")
    gives(w, f"by-{name}@{domain}")
    if is_told:
        assert b"Action: relayed" in reports(w, f"by-over-{name}")[0]
    # What comes after it came to the site: no report is on its way any more.
    submit(t, f"after-by-{name}@x.test")
    gives(w, f"after-by-{name}@x.test")
    assert len(reports(w, f"by-over-{name}", 0)) == is_told


def test_a_report_tells_what_was_asked_for(w, t):
    """RFC 4865 5.1.2."""
    submit(t, "hold@b.test", "HOLDFOR=1 BY=3;R ENVID=hold-report")
    report = reports(w, "hold-report")[0]
    assert re.search(rb"\r\nArrival-Date: .*\r\nDeliver-By-Date: .*\r\nFuture-Release-Request: for;1\r\n\r\n", report)


def test_by_is_never_longer_than_expire():
    with running(SITES, delivery="expire = 2s") as w, Talk(w.port) as t:
        t.hello()
        submit(t, "r@b.test", "BY=999999999;R")
        assert gives(w, "r@b.test", "b")["dsnStatus"] != "5.4.7"


CLASSES = {
    "urgent": ("MT-PRIORITY=1", "", "urgent"),
    "bulk": ("MT-PRIORITY=-4", "", "bulk"),
    "normal": ("MT-PRIORITY=-3", "", "normal"),
    "header": ("", "X-Mtad-Class: bulk\r\n", "bulk"),
    "header_of_rfc": ("", "MT-Priority: -4 (not urgent)\r\n", "bulk"),
    "parameter_first": ("MT-PRIORITY=4", "MT-Priority: -4\r\n", "urgent"),
    "header_first": ("MT-PRIORITY=4", "X-Mtad-Class: bulk\r\nMT-Priority: 4\r\n", "bulk"),
}


@pytest.mark.parametrize("name", CLASSES)
def test_class(w, t, name):
    params, headers, wanted = CLASSES[name]
    mid = submit(t, f"class-{name}@a.test", params + " HOLDFOR=3600", headers)
    shown = w.ctl("show", mid, "--json")["summary"]
    assert shown["class"] == wanted
    assert "X-Mtad-Class" not in shown["text"] and "MT-Priority" not in shown["text"]
    priority = params.partition("=")[2] or (re.findall("MT-Priority: (-?[0-9])", headers) or [""])[0]
    assert (f"PRIORITY {priority};" in shown["text"]) == bool(priority)


def test_a_client_that_is_not_trusted(w):
    """It may ask for a class, which does not count; for a time it must hear that it does not."""
    with Talk(w.other_port) as t:
        t.hello()
        t.say("MAIL FROM:<s@x.test> HOLDFOR=60", "555 5.5.4 HOLDFOR and HOLDUNTIL are not offered")
        t.say("MAIL FROM:<s@x.test> MT-PRIORITY=0", "250 2.1.0")
        t.say("RSET", "250")
        t.say("MAIL FROM:<s@x.test> MT-PRIORITY=9", "250 2.3.6 0 ")
        t.say("RCPT TO:<stranger@a.test>", "250")
        t.data(b"X-Mtad-Class: high\r\nX-Schedule: after 1d\r\nX-Mark: stranger\r\n" + MAIL)
        gives(w, "stranger@a.test")
        (mail,) = [m for m in w.mails() if b"X-Mark: stranger" in m]
        assert b"PRIORITY" not in mail and b"X-Mtad-Class" not in mail and b"X-Schedule" not in mail
