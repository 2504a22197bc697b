# SPDX-License-Identifier: Apache-2.0
"""What comes back to the report listener: who may write to it, whose mail it is about, what is recorded, what is kept."""
import contextlib
import pathlib
import re
import smtplib
import tempfile
import threading
import time

import dkim
import pytest
from test_token import NEWS, VERP, issuing, link, rows
from tools import A_TEST, Talk, dkim_key, free_port, wait_for

BACK = "bounces.sender.test"
SHIPPED = pathlib.Path(__file__).resolve().parents[2] / "conf"


@contextlib.contextmanager
def listening(blocks=NEWS, settings="", listen="", **options):
    """mtad with all that answers go to; w.back: the port of the report listener, w.unread: its folder."""
    port = free_port()
    top = f"cfbl-address = cfbl@{BACK}\nreport-addresses = {{ fbl@{BACK}, shop@x.test }}\n{settings}"
    blocks += f'listen back {{ kind = reports  address = "127.0.0.1:{port}"  {listen} }}\n'
    with issuing(blocks, settings=top, **options) as w:
        w.back, w.unread = port, w.dir / "spool" / "unread"
        yield w


def accounting(w):
    """All records, and the rules mtad comes with."""
    w.blocks += f'suppression * {{ }}\ninclude("{SHIPPED}/bounces.conf")\ninclude("{SHIPPED}/reports.conf")\n'
    w.settings = w.settings.replace("{ d, b, t, u }", "{ d, b, t, u, f, rb }")


def bring(w, rcpt, mail, sender=""):
    """Hands it in as a site would; the reply's code."""
    with smtplib.SMTP("127.0.0.1", w.back, timeout=30) as s:
        s.ehlo("mx.a.test")
        try:
            s.sendmail(sender, [rcpt], mail.replace("\r\n", "\n").replace("\n", "\r\n").encode())
        except smtplib.SMTPRecipientsRefused as e:
            return e.recipients[rcpt][0]
        except smtplib.SMTPResponseException as e:
            return e.smtp_code
        return 250


def delivered(w, rcpts, job="news-1", sender="shop@x.test", headers=""):
    """Each in a message of its own; the mail as it went out, by recipient."""
    before = len(rows(w, "d"))
    for rcpt in rcpts:
        w.send(sender, [rcpt], headers=f"X-Job: {job}\r\nMessage-ID: <{rcpt.partition('@')[0]}@shop.test>\r\n{headers}")
    wait_for("all mail", lambda: len(rows(w, "d")) == before + len(rcpts))
    found = {}
    for mail in w.mails():
        text = mail.decode(errors="replace").replace("\r\n", "\n")
        found[re.search(r"(?m)^To: <?([^>\n]*)", text)[1]] = text
    return found


def path(w, rcpt):
    return next(a["from"] for a in w.arrived() if a["rcpt"] == rcpt)


def header(mail):
    return mail.partition("\n\n")[0] + "\n"


def dsn(rcpt, mail, status="5.1.1", text="550 5.1.1 no such user here", action="failed"):
    return f"""From: MAILER-DAEMON@mx.a.test
To: whoever@{BACK}
Subject: Undelivered Mail Returned to Sender
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b1"

--b1
Content-Type: text/plain

It could not be delivered.

--b1
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.a.test
Arrival-Date: Mon, 30 Nov 2026 10:00:00 +0000

Final-Recipient: rfc822; {rcpt}
Action: {action}
Status: {status}
Diagnostic-Code: smtp; {text}

--b1
Content-Type: text/rfc822-headers

{header(mail)}
--b1--
"""


def arf(mail, rcpt="", type="abuse", fields=""):
    who = f"Original-Rcpt-To: {rcpt}\n" if rcpt else ""
    return f"""From: feedback@a.test
To: fbl@{BACK}
Subject: FW: your mail
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary="b2"

--b2
Content-Type: text/plain

This is an abuse report.

--b2
Content-Type: message/feedback-report

Feedback-Type: {type}
User-Agent: a.test-feedback/1.0
Version: 1
Source-IP: 192.0.2.10
{who}{fields}
--b2
Content-Type: message/rfc822

{mail}
--b2--
"""


def event(w, type):
    found = rows(w, type)
    assert len(found) == 1, found
    return found[0]


def test_a_bounce_to_its_return_path():
    with listening(before=accounting) as w:
        mail = delivered(w, ["gone@a.test", "here@a.test"])
        assert bring(w, path(w, "gone@a.test"), dsn("gone@a.test", mail["gone@a.test"])) == 250
        # It was on disk before the 250, with what it means.
        w.kill()
        w.start()
        wait_for("its record", lambda: rows(w, "rb"))
        row = event(w, "rb")
        assert (row["rcpt"], row["orig"], row["jobId"], row["bounceCat"]) == ("gone@a.test", "shop@x.test", "news-1", "bad-mailbox")
        assert (row["dsnStatus"], row["dsnDiag"]) == ("5.1.1", "smtp;550 5.1.1 no such user here")
        (told,) = [e for e in w.events() if e["record"] == "rb"]
        assert (told["host"], told["peer_ip"], told["local_ip"]) == ("mx.a.test", "127.0.0.1", "127.0.0.1")
        entry, = w.ctl("suppress", "list", "--json")["rows"]
        assert (entry["address"], entry["reason"]) == ("gone@a.test", "hard-bounce")
        with Talk(w.port) as t:
            t.hello()
            t.say("MAIL FROM:<shop@x.test>", "250")
            t.say("RCPT TO:<gone@a.test>", "550 5.7.1")
            t.say("RCPT TO:<here@a.test>", "250")
        # Told again, it counts once.
        assert bring(w, path(w, "gone@a.test"), dsn("gone@a.test", mail["gone@a.test"])) == 250
        w.stop()
        assert len(rows(w, "rb")) == 1


def test_whose_mail_it_is():
    """The token it came to; one in the header that came back; our Received; Message-ID and Date; nobody's."""
    with listening(before=accounting) as w:
        mail = delivered(w, [f"r{n}@a.test" for n in range(5)])
        own = delivered(w, ["own0@a.test", "own1@a.test"], job="orders")
        assert "List-Unsubscribe" not in own["own0@a.test"] and path(w, "own0@a.test") == "shop@x.test"
        fbl = f"fbl@{BACK}"
        assert bring(w, path(w, "r0@a.test"), arf("Subject: nothing is left of it\n\nx\n")) == 250
        assert bring(w, fbl, arf(mail["r1@a.test"].replace("r1@a.test", "[redacted]"))) == 250
        only = "".join(f"{f}\n" for f in re.findall(r"(?m)^Received: by .*(?:\n[ \t].*)*", mail["r2@a.test"])) + "\nx\n"
        assert bring(w, fbl, arf(only)) == 250
        bare = "".join(re.findall(r"(?m)^(?:Message-ID|Date): .*\n", own["own0@a.test"])) + "\nx\n"
        assert bring(w, fbl, arf(bare, "own0@a.test")) == 250
        # An address alone is anybody's to write: it is kept for a person.
        assert bring(w, fbl, arf("Subject: x\nFeedback-ID: spring:shop:news:mtad\n\nx\n", "victim@a.test")) == 250
        assert bring(w, fbl, dsn("victim@a.test", "Subject: x\n\nx\n")) == 250
        assert len(list(w.unread.iterdir())) == 2
        # The application's own return path.
        assert bring(w, "shop@x.test", dsn("own1@a.test", own["own1@a.test"])) == 250
        wait_for("all records", lambda: len(rows(w, "f")) == 4 and rows(w, "rb"))
        found = {r["rcpt"]: r for r in rows(w, "f")}
        assert set(found) == {"r0@a.test", "r1@a.test", "r2@a.test", "own0@a.test"}
        assert [found[r]["jobId"] for r in sorted(found)] == ["orders", "news-1", "news-1", "news-1"]
        assert (rows(w, "rb")[0]["rcpt"], rows(w, "rb")[0]["jobId"]) == ("own1@a.test", "orders")
        listed = {(e["address"], e["reason"]) for e in w.ctl("suppress", "list", "--json")["rows"]}
        assert listed == {("r0@a.test", "complaint"), ("r1@a.test", "complaint"), ("r2@a.test", "complaint"),
                          ("own0@a.test", "complaint"), ("own1@a.test", "hard-bounce")}


def test_who_may_write_to_it():
    with listening(settings="", before=accounting) as w:
        delivered(w, ["r@a.test"])
        good = path(w, "r@a.test")
        token = VERP.fullmatch(good)[1]
        forged = good.replace(token, token[:-1] + ("a" if token[-1] != "a" else "b"))
        with Talk(w.back) as t:
            assert t.hello().count("AUTH") == 0
            t.say("MAIL FROM:<>", "250")
            for rcpt in (good, good.upper(), f"fbl@{BACK}", f"FBL+yahoo@{BACK}", f"cfbl@{BACK}", f"postmaster@{BACK}", "shop@x.test", "postmaster"):
                t.say(f"RCPT TO:<{rcpt}>", "250")
                t.say("RSET", "250")
                t.say("MAIL FROM:<>", "250")
            t.say(f"RCPT TO:<{forged}>", "550 5.1.1")
            for rcpt in ("r@a.test", f"bounce@{BACK}", f"unsubscribe@{BACK}", f"bounce+{token}@a.test", f"nobody@{BACK}", "fbl@a.test", f"unsubscribe+{token}@{BACK}"):
                t.say(f"RCPT TO:<{rcpt}>", "550 5.")
            t.say(f"RCPT TO:<{good}>", "250")
            t.say(f"RCPT TO:<fbl@{BACK}>", "452 4.5.3")


def test_unsubscribing_by_mail():
    with listening(before=accounting) as w:
        mail = delivered(w, ["r@a.test", "s@a.test", "t@a.test"])
        to = {r: f"unsubscribe+{link(mail[r].encode())}@{BACK}" for r in mail}
        assert bring(w, to["r@a.test"], "From: r@a.test\nSubject: unsubscribe\n\n", "r@a.test") == 250
        # A program that answers is nobody's wish.
        assert bring(w, to["s@a.test"], "From: s@a.test\nAuto-Submitted: auto-replied\nSubject: I am away\n\nBack soon.\n", "s@a.test") == 250
        assert bring(w, to["t@a.test"], "From: MAILER-DAEMON@a.test\nSubject: hello\n\n?\n") == 250
        wait_for("its record", lambda: rows(w, "u"))
        assert event(w, "u")["rcpt"] == "r@a.test"
        assert [e["address"] for e in w.ctl("suppress", "list", "--json")["rows"]] == ["r@a.test"]
        assert " report_ignored client=127.0.0.1 kind=auto-reply" in w.log_text()
        assert len(list(w.unread.glob("*.eml"))) == 1


def test_what_is_no_bounce():
    with listening(before=accounting) as w:
        mail = delivered(w, ["r@a.test"])
        to = path(w, "r@a.test")
        assert bring(w, to, dsn("r@a.test", mail["r@a.test"], "4.4.1", "451 4.4.1 still trying", "delayed")) == 250
        assert bring(w, to, dsn("r@a.test", mail["r@a.test"], "2.0.0", "250 2.0.0 ok", "delivered")) == 250
        assert bring(w, to, "From: r@a.test\nAuto-Submitted: auto-replied\nSubject: Out of office\n\nBack on Monday.\n", "r@a.test") == 250
        assert bring(w, f"fbl@{BACK}", arf(mail["r@a.test"], "r@a.test", "not-spam")) == 250
        w.stop()
        assert not rows(w, "rb") and not rows(w, "f")
        assert re.findall(r" report_ignored client=127.0.0.1 kind=(\S+)", w.log_text()) == ["delay", "delivered", "auto-reply", "not-spam"]
        assert not w.unread.exists()


def test_what_is_not_understood_is_kept():
    with listening(settings="unread-reports-max = 3\n", before=accounting) as w:
        for n in range(5):
            assert bring(w, f"postmaster@{BACK}", f"From: someone@a.test\nSubject: question {n}\n\nHow are you?\n", "someone@a.test") == 250
        kept = sorted(w.unread.iterdir())
        assert [re.search(r"question (\d)", f.read_text())[1] for f in kept] == ["2", "3", "4"]
        assert kept[0].read_text().startswith(f"Return-Path: <someone@a.test>\nDelivered-To: postmaster@{BACK}\nReceived: from mx.a.test ([127.0.0.1])\n")
        assert kept[0].stat().st_mode & 0o777 == 0o600 and w.unread.stat().st_mode & 0o777 == 0o700
        assert w.log_text().count(" report_unread client=127.0.0.1 file=") == 5
        assert w.log_text().count(" report_trimmed ") == 2
        reports = w.ctl("status", "--json")["summary"]["reports"]
        assert (reports["unknown"], reports["unread"], reports["trimmed"], reports["unread_folder"]) == (5, 5, 2, str(w.unread))
        assert re.search(rf"(?m)^reports +0 bounces, 5 kept unread\nunread +mtactl feedback read {w.unread}$", w.ctl("status"))
        # Where it cannot be kept it is not taken.
        for f in kept:
            f.unlink()
        w.unread.rmdir()
        w.unread.write_text("in the way")
        assert bring(w, f"postmaster@{BACK}", "From: someone@a.test\n\n?\n", "someone@a.test") == 451
        assert " report_failed " in w.log_text()


def test_cfbl():
    with listening("stream news { jobs = { \"news-*\" }  cfbl = yes }\n", before=accounting) as w:
        mail = delivered(w, ["r@a.test"])["r@a.test"]
        assert re.search(rf"(?m)^CFBL-Address: cfbl@{BACK}; report=arf\nCFBL-Feedback-ID: [a-z2-7]{{40}}$", mail)
        # RFC 9477 3.5: with no more of the message than these.
        some = "".join(re.findall(r"(?m)^(?:CFBL-.*|From: .*)\n", mail))
        report = arf(some + "\nx\n").replace("message/rfc822", "text/rfc822-headers")
        assert bring(w, f"cfbl@{BACK}", report) == 250
        wait_for("its record", lambda: rows(w, "f"))
        assert (event(w, "f")["rcpt"], event(w, "f")["jobId"]) == ("r@a.test", "news-1")


def test_who_signed_a_complaint():
    """A complaint about a mail nobody knows is believed when a trusted reporter wrote and signed it; the record says who did."""
    with tempfile.TemporaryDirectory() as folder:
        _, name, record = dkim_key(pathlib.Path(folder), domain="reporter.test")
        key = pathlib.Path(folder, "reporter.test.s1.pem").read_bytes()
        script = A_TEST + f'record "{name}" {{ txt = "{record}" }}\n'
        settings = "trusted-reporters = { Feedback@fbl.reporter.test, other@a.test }\n"
        with listening(settings=settings, script=script, before=accounting) as w:
            known = delivered(w, ["known@a.test"])["known@a.test"]

            def bring_from(sender, mail, rcpt, domain=b"reporter.test", spoil="", more=""):
                mail = arf(mail, rcpt).replace("From: feedback@a.test", f"From: Reports <{sender}>").replace("\n", "\r\n").encode()
                signature = dkim.sign(mail, b"s1", domain, key, include_headers=[b"From", b"Subject"]) if domain else b""
                assert bring(w, f"fbl@{BACK}", more + (signature + mail).decode() + spoil) == 250
            reporter, nothing = "feedback@FBL.reporter.test", "Subject: x\n\nx\n"
            bring_from(reporter, nothing, "true@a.test")
            bring_from(reporter, nothing, "spoilt@a.test", spoil="more\r\n")
            bring_from(reporter, nothing, "unsigned@a.test", domain=None)
            bring_from(reporter, nothing, "of-another@a.test", domain=b"reporter2.test")
            bring_from("somebody@fbl.reporter.test", nothing, "of-a-mailbox@a.test")
            bring_from("other@a.test", nothing, "of-another-domain@a.test")
            bring_from("somebody@fbl.reporter.test", nothing, "two-froms@a.test", more=f"From: {reporter}\r\n")
            bring_from(reporter, nothing, "@a.test")
            assert len(list(w.unread.iterdir())) == 7
            # Whose mail it is about is known without that.
            bring_from(reporter, known, "known@a.test", spoil="more\r\n")
            wait_for("the records", lambda: len(rows(w, "f")) == 2)
            auth = {e["rcpt"]: e["report"]["auth"] for e in w.events() if e["record"] == "f"}
            assert auth == {"true@a.test": "dkim=pass d=reporter.test spf=none", "known@a.test": "dkim=fail spf=none"}
            listed = {(e["address"], e["scope"], e["reason"]) for e in w.ctl("suppress", "list", "--json")["rows"]}
            assert listed == {(r, "global", "complaint") for r in auth}


def test_crash_between_report_and_record():
    """Killed at any moment, a report has its record exactly once: who got no answer brings it again."""
    with listening(before=accounting) as w:
        rcpts = [f"r{n}@a.test" for n in range(40)]
        mail = delivered(w, rcpts)
        paths = {a["rcpt"]: a["from"] for a in w.arrived()}
        left, killed = list(rcpts), threading.Event()

        def kill_now_and_then():
            for _ in range(4):
                time.sleep(0.15)
                w.kill()
                w.start()
            killed.set()
        killer = threading.Thread(target=kill_now_and_then)
        killer.start()
        deadline = time.monotonic() + 60
        while left or not killed.is_set():
            rcpt = left[0] if left else rcpts[0]  # also what is on record already
            with contextlib.suppress(OSError, smtplib.SMTPException):
                if bring(w, paths[rcpt], dsn(rcpt, mail[rcpt])) == 250 and left:
                    left.pop(0)
            assert time.monotonic() < deadline
        killer.join()
        w.stop()
        assert sorted(r["rcpt"] for r in rows(w, "rb")) == sorted(rcpts)


@pytest.mark.parametrize("size", [0, 1, 3_000_000])
def test_odd_mail(size):
    with listening(before=accounting) as w:
        delivered(w, ["r@a.test"])
        assert bring(w, path(w, "r@a.test"), "x" * size) == 250
        kept, = w.unread.iterdir()
        assert kept.stat().st_size < 300_000


def test_complaints_stop_a_campaign():
    """What guards see of it: complaints above the threshold hold the rest of the stream."""
    with listening(NEWS + "guard * { volume-min = 20 }\n", before=accounting) as w:
        mail = delivered(w, [f"r{n}@a.test" for n in range(20)])
        for n in range(8):
            assert bring(w, f"fbl@{BACK}", arf(mail[f"r{n}@a.test"])) == 250
        wait_for("the stop", lambda: w.ctl("status", "--json")["summary"]["stopped_by_guards"])
        (row,) = w.ctl("status", "--json")["summary"]["stopped_by_guards"]
        assert (row["kind"], row["name"]) == ("stream", "/news-1/normal") and row["reason"].startswith("guard: complaints ")
        # A second report of one of them changes nothing.
        assert bring(w, f"fbl@{BACK}", arf(mail["r0@a.test"])) == 250
        assert w.ctl("status", "--json")["summary"]["stopped_by_guards"] == [row]
        w.stop()
        assert len(rows(w, "f")) == 8
