# SPDX-License-Identifier: Apache-2.0
"""What mtasim sends back: each form by the judgement of Python's parser and of `mtactl feedback read`, and its ledger."""
import contextlib
import email
import email.policy
import http.server
import json
import pathlib
import smtplib
import subprocess
import threading

import pytest
from aiosmtpd.controller import Controller

from world import World, free_port, program, wait_for

REPORTS = pathlib.Path(__file__).resolve().parents[2] / "conf" / "reports.conf"
KINDS = ("dsn", "qmail", "exim", "exchange", "complaint", "redacted", "unsubscribe-mail", "unsubscribe-click", "auto-reply",
         "unreadable")
SCRIPT = "site a { domains = { \"a.test\" }\n" + "".join(
    f'return {{ match = "{kind}-*"  send = {kind.replace("redacted", "complaint")}' +
    {"complaint": '  to = "fbl@bounces.test"', "redacted": '  to = "fbl@bounces.test"  redact = yes',
     "qmail": '  text = "552 5.2.2 mailbox full"', "exim": '  text = "550 5.1.1 Unknown user"'}.get(kind, "") + " }\n"
    for kind in KINDS) + "}\n"
HEADERS = ("X-Job: news-1\r\nList-Unsubscribe: <https://www.sender.test/u/abc>,\r\n <mailto:leave+abc@bounces.test?subject=off>\r\n"
           "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n")


class Mailboxes:
    """An SMTP server that keeps what comes; `puts_off` of the first mails get 451."""

    def __init__(self, port, puts_off=0):
        self.mails, self.puts_off = [], puts_off
        self.controller = Controller(self, hostname="127.0.0.1", port=port)

    async def handle_DATA(self, server, session, envelope):
        if self.puts_off > 0:
            self.puts_off -= 1
            return "451 4.3.0 come again"
        self.mails.append((envelope.mail_from.strip("<>"), envelope.rcpt_tos, envelope.content))
        return "250 2.0.0 kept" if b"Subject: off" not in envelope.content else "550 5.7.1 not here"

    def __enter__(self):
        self.controller.start()
        return self

    def __exit__(self, *_):
        self.controller.stop()


class Clicks(http.server.BaseHTTPRequestHandler):
    """503 to the first request, 200 to all others."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.append((self.path, self.headers["Host"], self.headers["Content-Type"], body))
        self.send_response(503 if len(self.server.seen) == 1 else 200)
        self.end_headers()

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def clicks():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Clicks) as server:
        server.seen = []
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield server
        server.shutdown()


@contextlib.contextmanager
def sim(script, mail_port, web_port=1):
    with World() as w:
        w.sim(script, "--returns", f"127.0.0.1:{mail_port}", "--unsubscribe", f"127.0.0.1:{web_port}")
        yield w


def send(w, *rcpts, sender="bounce+{}@bounces.test", host="127.3.1.1", headers=HEADERS):
    """To the first site, a message to each."""
    with smtplib.SMTP(host, w.site_port, timeout=20) as c:
        for rcpt in rcpts:
            local = rcpt.split("@")[0]
            c.sendmail(sender.format(local), [rcpt], f"Message-ID: <{local}@x.test>\r\nFrom: <s@x.test>\r\nTo: <{rcpt}>\r\n"
                       f"Subject: Grüße\r\n{headers}\r\nhello\r\n".encode())


def parsed(mail):
    assert mail.isascii() and b"\n" not in mail.replace(b"\r\n", b"")
    message = email.message_from_bytes(mail, policy=email.policy.SMTP)
    assert not [d for part in message.walk() for d in part.defects] and message["Date"] and message["Message-ID"]
    return message


def understood(folder):
    """What mtactl makes of the files of a folder, by name."""
    conf = folder.parent / "read.conf"
    conf.write_text(f'hostname = mta.example.com\ninclude("{REPORTS}")\n')
    done = subprocess.run([program("mtactl"), "-c", conf, "--json", "feedback", "read", folder], capture_output=True, text=True,
                          check=False)
    assert done.returncode in (0, 1), done.stderr
    return {pathlib.Path(row["file"]).name: row for row in json.loads(done.stdout)["rows"]}


@pytest.fixture(scope="module")
def all_kinds():
    """(the ledger, mails, requests), by the kind that stands in the recipient."""
    port = free_port()
    with clicks() as web, Mailboxes(port) as boxes, sim(SCRIPT, port, web.server_port) as w:
        send(w, *(f"{kind}-1@a.test" for kind in KINDS), "nobody@a.test")
        wait_for("all returns", lambda: len(w.returned()) == len(KINDS))
        (w.dir / "mails").mkdir()
        mails = {}
        for line in (r for r in w.returned() if r["kind"] != "unsubscribe-click"):
            kind = line["rcpt"].split("-1@")[0]
            (mails[kind],) = [m for m in boxes.mails if m[1] == [line["to"]] and ("redacted@" in m[2].decode()) ==
                              (kind == "redacted")]
            (w.dir / "mails" / kind).write_bytes(mails[kind][2])
        assert len(boxes.mails) == len(mails)
        yield {r["rcpt"].split("-1@")[0]: r for r in w.returned()}, mails, web.seen, understood(w.dir / "mails")


def test_the_ledger(all_kinds):
    ledger, _, _, _ = all_kinds
    assert set(ledger) == set(KINDS)
    for kind, line in ledger.items():
        assert (line["site"], line["id"], line["rcpt"]) == ("a", f"<{kind}-1@x.test>", f"{kind}-1@a.test")
        assert line["kind"] == kind.replace("redacted", "complaint")
        if kind == "unsubscribe-mail":
            assert (line["to"], line["tries"], line["outcome"], line["answer"]) == \
                ("leave+abc@bounces.test", "1", "refused", "550 5.7.1 not here")
        elif kind == "unsubscribe-click":
            assert (line["to"], line["tries"], line["outcome"], line["answer"]) == ("www.sender.test/u/abc", "2", "delivered", "200 OK")
        else:
            assert line["to"] == ("fbl@bounces.test" if "complaint" in line["kind"] else f"bounce+{kind}-1@bounces.test")
            assert (line["tries"], line["outcome"], line["answer"]) == ("1", "delivered", "250 2.0.0 kept")


def test_bounces(all_kinds):
    _, mails, _, rows = all_kinds
    for kind, status, code in (("dsn", "5.1.1", 550), ("qmail", "5.2.2", 552), ("exim", "5.1.1", 550), ("exchange", "5.1.1", 550)):
        sender, rcpts, raw = mails[kind]
        message = parsed(raw)
        assert (sender, rcpts) == ("", [f"bounce+{kind}-1@bounces.test"])
        assert f"<{kind}-1@x.test>".encode() in raw and b"Subject: Gr????e" in raw and b"hello" not in raw
        assert (message.get_content_type() == "multipart/report") == (kind == "dsn")
        (rcpt,) = rows[kind]["recipients"]
        assert (rows[kind]["kind"], rcpt["address"], rcpt["status"], rcpt["code"]) == ("bounce", f"{kind}-1@a.test", status, code)
        assert rows[kind]["original"]["message_id"] == f"{kind}-1@x.test"
    message = parsed(mails["dsn"][2])
    assert message.get_param("report-type") == "delivery-status"
    assert [p.get_content_type() for p in message.iter_parts()] == ["text/plain", "message/delivery-status", "text/rfc822-headers"]
    _, block = message.get_payload()[1].get_payload()
    assert (block["Final-Recipient"], block["Action"], block["Status"], block["Diagnostic-Code"]) == \
        ("rfc822; dsn-1@a.test", "failed", "5.1.1", "smtp; 550 5.1.1 No such user here")


def test_complaints(all_kinds):
    _, mails, _, rows = all_kinds
    for kind, shown in (("complaint", "complaint-1@a.test"), ("redacted", "redacted@a.test")):
        sender, rcpts, raw = mails[kind]
        message = parsed(raw)
        assert (sender, rcpts) == ("", ["fbl@bounces.test"]) and message.get_param("report-type") == "feedback-report"
        text, report, original = message.iter_parts()
        assert report.get_content_type() == "message/feedback-report"
        fields = report.get_payload()[0] if report.is_multipart() else email.message_from_string(report.get_payload())
        assert (fields["Feedback-Type"], fields["Version"], fields["Original-Rcpt-To"]) == ("abuse", "1", f"<{shown}>")
        assert fields["Original-Mail-From"] == f"<bounce+{kind}-1@bounces.test>"
        inner = original.get_payload()[0]
        assert shown in inner["To"] and inner["List-Unsubscribe"]
        assert rows[kind]["kind"] == "complaint" and rows[kind]["original"]["message_id"] == f"{kind}-1@x.test"
        assert [r["address"] for r in rows[kind]["recipients"]] == [shown]
    assert b"redacted-1@a.test" not in mails["redacted"][2]


def test_unsubscriptions(all_kinds):
    _, mails, seen, _ = all_kinds
    sender, rcpts, raw = mails["unsubscribe-mail"]
    assert (sender, rcpts, parsed(raw)["Subject"]) == ("unsubscribe-mail-1@a.test", ["leave+abc@bounces.test"], "off")
    assert seen == [("/u/abc", "www.sender.test", "application/x-www-form-urlencoded", b"List-Unsubscribe=One-Click")] * 2


def test_what_is_no_report(all_kinds):
    _, mails, _, rows = all_kinds
    assert parsed(mails["auto-reply"][2])["Auto-Submitted"] == "auto-replied" and rows["auto-reply"]["kind"] == "auto-reply"
    assert mails["auto-reply"][0] == "" and mails["auto-reply"][1] == ["bounce+auto-reply-1@bounces.test"]
    parsed(mails["unreadable"][2])
    assert rows["unreadable"]["kind"] == "unknown"


def test_put_off_and_nobody_there():
    """Twice 451, and before that no server at all."""
    port = free_port()
    with sim('site a { domains = { "a.test" }  return { send = dsn } }\n', port) as w:
        send(w, "r@a.test")
        wait_for("the message", w.arrived)
        with Mailboxes(port, puts_off=2) as boxes:
            (line,) = wait_for("the return", w.returned)
            assert line["outcome"] == "delivered" and int(line["tries"]) >= 3 and line["answer"] == "250 2.0.0 kept"
            assert boxes.puts_off == 0 and len(boxes.mails) == 1


def test_what_waits_at_the_end():
    with sim('site a { domains = { "a.test" }  return { send = dsn  match = "late*"  after = 1h }  return { send = qmail } }\n',
             free_port()) as w:
        send(w, "late@a.test", "r@a.test")
        send(w, "null@a.test", sender="")
        wait_for("the messages", lambda: len(w.arrived()) == 3)
        w.simulator.terminate()
        assert w.simulator.wait(20) == 0
        by = {r["rcpt"]: r for r in w.returned()}
        assert (by["late@a.test"]["outcome"], by["late@a.test"]["tries"]) == ("waiting", "0")
        assert by["r@a.test"]["outcome"] == "waiting"
        assert by["null@a.test"]["outcome"] == "nowhere" and len(w.returned()) == 3


def test_a_share_by_address():
    """Who sends something back is the same in each run, and about as many as the share; more than have a connection at once."""
    script, port = 'site a { domains = { "a.test" }  return { send = dsn  share = 30 } }\n', free_port()
    rcpts = [f"r{n}@a.test" for n in range(200)]
    with sim(script, port) as w:
        send(w, *rcpts)
        w.simulator.terminate()
        assert w.simulator.wait(20) == 0
        found = sorted(r["rcpt"] for r in w.returned())
    assert 40 <= len(found) <= 80
    with Mailboxes(port) as boxes, sim(script, port) as w:
        send(w, *rcpts)
        wait_for("the returns", lambda: sorted(r["rcpt"] for r in w.returned()) == found)
        assert len(boxes.mails) == len(found) and {r["tries"] for r in w.returned()} == {"1"}


def test_no_server_for_returns():
    with World() as w:
        (w.dir / "x.sim").write_text('site a { return { send = unsubscribe-click } }\n')
        done = subprocess.run([program("mtasim"), "--dns", "none", "--port", str(w.site_port), str(w.dir / "x.sim")],
                              capture_output=True, text=True, check=False)
        assert done.returncode == 1 and "site a sends back unsubscribe-click: --unsubscribe is missing" in done.stderr
