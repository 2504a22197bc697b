# SPDX-License-Identifier: Apache-2.0
"""Bounce mails (RFC 3464): who gets one, and what is in it."""
import email
import re
import time

import pytest
from tools import Talk, dsns, gives, running, wait_for

SCRIPT = '''
site back { domains = { "x.test" } }
site a { domains = { "a.test" }
    rule { on = rcpt match = "no*" reply = "550-5.1.1 no such user,\\n550 5.1.1 <b>really</b>" }
    rule { on = rcpt match = "later*" reply = "451 4.7.1 later" } }
site old { domains = { "old.test" } dsn = no }
'''


@pytest.fixture(scope="module")
def w():
    with running(SCRIPT, users={"quiet": "bounces = no"}, listen="auth-in-clear = yes", settings="retry-jitter = 0\n",
                 delivery="expire = 4s\ndelay-notice = 1s") as world:
        yield world


def submit(w, marker, rcpts, mail="", user=None, sender="s@x.test"):
    with Talk(w.port) as t:
        t.hello()
        if user:
            t.auth(user, "secret")
        t.say(f"MAIL FROM:<{sender}>{mail}", "250")
        for rcpt in rcpts:
            t.say(f"RCPT TO:{rcpt}", "250")
        t.data(f"From: <s@x.test>\r\nSubject: {marker};\r\nX-Secret: header\r\n\r\nbody of {marker};\r\n.\r\n".encode())


def report(w, marker):
    """The parsed bounce mail about the message with this marker."""
    (mail,) = wait_for("a bounce mail", lambda: [m for m in dsns(w) if marker.encode() + b";" in m])
    return email.message_from_bytes(mail), mail


def status(message):
    """Blocks of the delivery-status part."""
    return message.get_payload()[1].get_payload()


def test_content(w):
    submit(w, "content", ["<no1@a.test> ORCPT=rfc822;First+2BLast@a.test", "<no2@a.test>", "<yes@a.test>"], " ENVID=QQ+2B314159")
    message, raw = report(w, "content")
    assert message.get_content_type() == "multipart/report" and message.get_param("report-type") == "delivery-status"
    assert message["From"] == "MAILER-DAEMON@mta.sender.test" or "MAILER-DAEMON@mta.sender.test" in message["From"]
    assert "s@x.test" in message["To"] and message["Auto-Submitted"] == "auto-replied"
    assert message["Date"] and message["Message-ID"]
    assert [p.get_content_type() for p in message.get_payload()] in (
        ["text/plain", "message/delivery-status", "message/rfc822"], ["text/plain", "message/delivery-status", "text/rfc822-headers"])
    head, *rcpts = status(message)
    assert head["Reporting-MTA"] == "dns; mta.sender.test" and head["Original-Envelope-Id"] == "QQ+314159" and head["Arrival-Date"]
    by = {r["Final-Recipient"].split(";")[1].strip(): r for r in rcpts}
    assert set(by) == {"no1@a.test", "no2@a.test"}
    one = by["no1@a.test"]
    assert one["Action"] == "failed" and one["Status"] == "5.1.1" and one["Remote-MTA"] == "dns; mx1.a.mx.test"
    assert re.fullmatch(r"rfc822; ?First\+Last@a.test", one["Original-Recipient"])
    assert one["Diagnostic-Code"].startswith("smtp; 550") and "really" in one["Diagnostic-Code"]
    assert b"\n" not in raw.replace(b"\r\n", b"") and max(map(len, raw.split(b"\r\n"))) <= 998
    assert [a["from"] for a in w.arrived() if a["rcpt"] == "s@x.test"][0] == "-"
    row = gives(w, "s@x.test")
    assert row["orig"] == ""


@pytest.mark.parametrize("ret", ["FULL", "HDRS"])
def test_ret(w, ret):
    submit(w, f"ret-{ret}", ["<no@a.test>"], f" RET={ret}")
    message, raw = report(w, f"ret-{ret}")
    assert (f"body of ret-{ret};".encode() in raw) == (ret == "FULL") and b"X-Secret: header" in raw
    assert message.get_payload()[2].get_content_type() == ("message/rfc822" if ret == "FULL" else "text/rfc822-headers")


NONE = {"null_sender": dict(sender=""), "notify_never": dict(rcpt="<no@a.test> NOTIFY=NEVER"),
        "notify_success_only": dict(rcpt="<no@a.test> NOTIFY=SUCCESS"), "user_without_bounces": dict(user="quiet"),
        "delay_not_asked_for": dict(rcpt="<yes@a.test> NOTIFY=FAILURE")}


def test_no_bounce_mail(w):
    for name, case in NONE.items():
        submit(w, f"none-{name}", [case.get("rcpt", "<no@a.test>")], sender=case.get("sender", "s@x.test"), user=case.get("user"))
    wait_for("records", lambda: sum(r["type"] == "b" and r["rcpt"] == "no@a.test" for r in w.rows()) >= 4)
    submit(w, "none-last", ["<no@a.test>"])
    report(w, "none-last")
    time.sleep(0.3)
    assert not [m for m in dsns(w) if re.search(rb"none-(?!last)", m)]


def test_success_is_told_where_the_site_cannot(w):
    submit(w, "relayed", ["<r@old.test> NOTIFY=SUCCESS,FAILURE"])
    message, _ = report(w, "relayed")
    _, rcpt = status(message)
    assert rcpt["Action"] == "relayed" and rcpt["Status"].startswith("2.")
    submit(w, "passed-on", ["<r@a.test> NOTIFY=SUCCESS"])
    gives(w, "r@a.test")
    time.sleep(0.3)
    assert not [m for m in dsns(w) if b"passed-on" in m]


def test_delayed_then_expired(w):
    submit(w, "slow", ["<later@a.test>"])
    two = wait_for("two reports", lambda: len(m := [m for m in dsns(w) if b"slow;" in m]) == 2 and m)
    actions = [status(email.message_from_bytes(m))[1]["Action"] for m in two]
    assert sorted(actions) == ["delayed", "failed"]
    failed = next(m for m in two if b"Action: failed" in m)
    rcpt = status(email.message_from_bytes(failed))[1]
    assert rcpt["Status"].startswith("4.") and rcpt["Remote-MTA"] == "dns; mx1.a.mx.test"
    assert rcpt["Diagnostic-Code"] == "smtp; 451 4.7.1 later"  # what it waited for, not only that time is over
    assert gives(w, "later@a.test", "b")["bounceCat"] == "message-expired"


def test_utf8_and_8_bit_in_a_report(w):
    with Talk(w.port) as t:
        t.hello()
        t.envelope("s@x.test", ["no@a.test"])
        t.data("From: <s@x.test>\r\nSubject: eight-bit;\r\n\r\nGrüße und ein Gruß\r\n.\r\n".encode())
    message, raw = report(w, "eight-bit")
    assert message.get_content_type() == "multipart/report"


def test_utf8_sender_is_told(w):
    sender = "jörg@x.test"
    with w.client() as c:
        c.ehlo()
        c.mail(sender, ["SMTPUTF8"])
        assert c.rcpt("no@a.test")[0] == 250
        assert c.data("From: <jörg@x.test>\r\nSubject: utf8-sender;\r\n\r\nx\r\n".encode())[0] == 250
    message, raw = report(w, "utf8-sender")
    assert sender.encode() in raw and gives(w, sender)["type"] == "d"


def test_bounce_of_a_bounce_ends_it():
    with running('site a { domains = { "*.test" } rule { on = rcpt reply = "550 5.1.1 no" } }') as w:
        w.send("s@x.test", ["r@a.test"])
        gives(w, "r@a.test", "b")
        gives(w, "s@x.test", "b")
        time.sleep(0.5)
        assert sum(r["type"] == "b" for r in w.rows()) == 2
        assert w.ctl("audit", "--json")["summary"]["queued"] == 0
