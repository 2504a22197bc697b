# SPDX-License-Identifier: Apache-2.0
"""The full circle: a campaign, what sites answer at once and later, and what mtad makes of it: records, suppressions, guard and
webhook agree with the simulator's ledgers, recipient by recipient."""
import base64
import collections
import contextlib
import pathlib

import pytest

from receiver import Receiver
from tools import free_port, running, wait_for

CONF = pathlib.Path(__file__).resolve().parents[2] / "conf"
FBL = "fbl@bounces.sender.test"
SITES = f"""
site big {{ domains = {{ "big.test" }}  addresses = 3
    return {{ match = "lost*"   send = dsn  after = 200ms }}
    return {{ match = "angry*"  send = complaint  to = "{FBL}"  after = 300ms }}
    return {{ match = "shy*"    send = complaint  to = "{FBL}"  redact = yes }}
    return {{ match = "bitter*" send = complaint }}
    return {{ match = "bored*"  send = unsubscribe-click  after = 100ms }}
    return {{ match = "away*"   send = auto-reply }} }}
site old {{ domains = {{ "old.test" }}  tls = none  greylist = 500ms
    rule {{ on = rcpt  match = "none*"  reply = "550 5.1.1 No such user here" }}
    return {{ match = "full*"   send = qmail  text = "552 5.2.2 mailbox full" }}
    return {{ match = "lost*"   send = exim  text = "550 5.1.1 Unknown user"  after = 400ms }}
    return {{ match = "gone*"   send = exchange }}
    return {{ match = "spam*"   send = dsn  status = "5.7.1"  text = "550 5.7.1 Message rejected as spam" }}
    return {{ match = "bored*"  send = unsubscribe-mail  after = 300ms }}
    return {{ match = "odd*"    send = unreadable }} }}
site lot {{ domains = {{ "lot.test" }}
    return {{ share = 20  send = dsn }}
    return {{ share = 20  send = complaint  to = "{FBL}"  redact = yes }}
    return {{ share = 20  send = unsubscribe-click }} }}
site bare {{ domains = {{ "bare.test" }}
    return {{ match = "lost*"   send = qmail  text = "550 5.1.1 sorry, no mailbox here by that name" }}
    return {{ match = "gone*"   send = dsn }}
    return {{ match = "shy*"    send = complaint  to = "{FBL}"  redact = yes }} }}
"""
RCPTS = ([f"{word}{n}@big.test" for word in ("lost", "angry", "shy", "bitter", "bored", "away", "fine") for n in range(15)] +
         [f"{word}{n}@old.test" for word in ("none", "full", "lost", "gone", "spam", "bored", "odd", "fine") for n in range(15)] +
         [f"r{n}@lot.test" for n in range(45)] + [f"{word}{n}@bare.test" for word in ("lost", "gone", "shy") for n in range(10)])
# What comes back is known by the token it is sent to (news), by that of the links in the header that came back (plain), or by
# the trace and Message-ID there (bare).
JOBS = {"big": "news-1", "old": "news-1", "lot": "plain-1", "bare": "bare-1"}
APPLICATION = "news@bounces.sender.test"
TYPES = {"dsn": "rb", "qmail": "rb", "exim": "rb", "exchange": "rb", "complaint": "f", "unsubscribe-mail": "u", "unsubscribe-click": "u"}
REASONS = {"rb": "hard-bounce", "f": "complaint", "u": "unsubscribe"}
CLASSES = {"full": "quota-issues", "spam": "spam-related"}  # of whom nothing follows for the address; all others: bad-mailbox


def job_of(rcpt):
    return JOBS[rcpt.partition("@")[2].partition(".")[0]]


def sender_of(rcpt):
    return "shop@x.test" if job_of(rcpt) == "news-1" else APPLICATION


@contextlib.contextmanager
def circle(receiver):
    ports = {"reports": free_port(), "web": free_port()}

    def prepare(w):
        secret = w.dir / "secret"
        secret.write_bytes(base64.b64encode(b"s" * 32) + b"\n")
        secret.chmod(0o600)
        w.unread = w.dir / "unread"
        w.unread.mkdir()
        w.settings = w.settings.replace("{ d, b, t, r }", "{ d, b, t, rb, f, u }") + f"""
token-secret-file = "{secret}"
return-path-domain = bounces.sender.test
unsubscribe-url = https://www.sender.test/u/
unsubscribe-mailto = unsubscribe@bounces.sender.test
cfbl-address = cfbl@bounces.sender.test
report-addresses = {{ {FBL}, {APPLICATION} }}
unread-reports = "{w.unread}"
"""
        w.blocks += f"""
include("{CONF}/bounces.conf")
include("{CONF}/reports.conf")
stream news {{ jobs = {{ "news-*" }}  return-path = verp  list-unsubscribe = yes  cfbl = yes }}
stream plain {{ jobs = {{ "plain-*" }}  list-unsubscribe = yes }}
suppression * {{ soft-bounces = 0 }}
guard * {{ volume-min = 100000 }}
webhook shop-events {{ url = "{receiver.url}" }}
listen reports {{ kind = reports  address = "127.0.0.1:{ports['reports']}" }}
listen web {{ kind = unsubscribe  address = "127.0.0.1:{ports['web']}" }}
"""
    with running(SITES, ("--returns", f"127.0.0.1:{ports['reports']}", "--unsubscribe", f"127.0.0.1:{ports['web']}"), prepare,
                 users={"shop": "bounces = no"}, listen="auth-in-clear = yes", settings="retry-jitter = 0\n") as w:
        yield w


def campaign(w):
    """A message to each."""
    with w.client() as c:
        c.login("shop", "secret")
        for n, rcpt in enumerate(RCPTS):
            c.sendmail(sender_of(rcpt), [rcpt], f"From: <shop@x.test>\r\nTo: <{rcpt}>\r\nMessage-ID: <number.{n}@x.test>\r\n"
                       f"Subject: news\r\nX-Job: {job_of(rcpt)}\r\n\r\nhello\r\n".encode())


def refused(w):
    """Whom no further mail is taken for."""
    answers = {}
    for first in range(0, len(RCPTS), 5):  # who is refused too often is sent away
        with w.client() as c:
            c.login("shop", "secret")
            c.mail("shop@x.test")
            answers.update((rcpt, c.rcpt(rcpt)) for rcpt in RCPTS[first:first + 5])
    assert {answer[1][:35] for answer in answers.values() if answer[0] != 250} == {b"5.7.1 The recipient is suppressed: "}
    return {rcpt for rcpt, answer in answers.items() if answer[0] == 550}


def type_of(record):
    """Of a line of the accounting file, or of JSON."""
    return record["type"] if "type" in record else record["record"]


def of_type(records, *types):
    return [r for r in records if type_of(r) in types]


def nothing_left(w):
    """Each message has its end, and all that comes back has come."""
    stats = w.stats()
    return (len(of_type(w.rows(), "d", "b")) == len(RCPTS) and stats["returns_left"] == 0 and
            sum(s["recipients"] for s in stats["sites"].values()) == len(w.arrived()))


def expected(w):
    """(type, recipient) of each record that the ledger of returns calls for."""
    return {(TYPES[r["kind"]], r["rcpt"]) for r in w.returned() if r["kind"] in TYPES}


def check_records(w, may_repeat):
    rows, want = w.rows(), expected(w)
    got = of_type(rows, "rb", "f", "u")
    assert collections.Counter((r["type"], r["rcpt"]) for r in got) == dict.fromkeys(want, 1)
    refused = {r for r in RCPTS if r.startswith("none")}
    # Killed before a delivery was on disk, and what came back of it was there before the next attempt.
    too_late = {r["rcpt"] for r in of_type(rows, "b") if "The recipient is suppressed" in r["dsnDiag"]}
    assert too_late <= {rcpt for _, rcpt in want} and (may_repeat or not too_late)
    assert {r["rcpt"] for r in of_type(rows, "b")} == refused | too_late
    assert {r["rcpt"] for r in of_type(rows, "d")} == set(RCPTS) - refused - too_late
    assert {a["rcpt"] for a in w.arrived()} == set(RCPTS) - refused
    assert all((r["jobId"], r["orig"]) == (job_of(r["rcpt"]), sender_of(r["rcpt"])) for r in got)
    assert {r["rcpt"]: r["bounceCat"] for r in of_type(got, "rb")} == \
        {rcpt: CLASSES.get(rcpt[:4], "bad-mailbox") for type, rcpt in want if type == "rb"}
    ids = {r["rcpt"]: r["id"].strip("<>") for r in w.returned()}
    events = of_type(w.events(), "rb", "f", "u")
    assert {(type_of(e), e["rcpt"]) for e in events} == want and len(events) == len(want)
    assert all(e["message_id"] == ids[e["rcpt"]] and e["user"] == "shop" for e in events)


def suppressed(w):
    return {rcpt: REASONS[type] for type, rcpt in expected(w) if type != "rb" or rcpt[:4] not in CLASSES} | \
        {rcpt: "hard-bounce" for rcpt in RCPTS if rcpt.startswith("none")}


def check_suppressions(w):
    rows = w.ctl("suppress", "list", "--limit", "0", "--json")["rows"]
    assert {r["address"]: r["reason"] for r in rows} == suppressed(w)
    assert {r["scope"] for r in rows} == {"user shop"} and len(rows) == len(suppressed(w))


def check_guard(w):
    (row,) = w.ctl("user", "show", "shop", "--json")["rows"]
    assert row["guard_recipients"] == len(RCPTS)
    assert row["complaints"] == sum(reason == "complaint" for reason in suppressed(w).values())
    assert row["bounces"] == sum(reason == "hard-bounce" for reason in suppressed(w).values())


def check_unread(w, may_repeat):
    """Each that nobody understood is there for the operator, and nothing else is."""
    mails = [path.read_bytes() for path in pathlib.Path(w.unread).rglob("*") if path.is_file()]
    odd = {r["to"] for r in w.returned() if r["kind"] == "unreadable"}
    assert len(odd) == 15
    assert {to for to in odd if any(to.encode() in mail for mail in mails)} == odd
    assert all(b"category 17" in mail for mail in mails) and len(mails) >= len(odd)
    assert len(mails) == len(odd) or may_repeat  # killed between the file and the 250


def check_webhook(w, receiver):
    wait_for("every record at the receiver", lambda: {e["id"] for e in w.events()} <= {e["id"] for e in receiver.events()})
    by_id = {e["id"]: e for e in receiver.events()}
    assert by_id == {e["id"]: e for e in w.events()}
    assert {(type_of(e), e["rcpt"]) for e in of_type(by_id.values(), "rb", "f", "u")} == expected(w)


@pytest.mark.parametrize("kills", [(), (20, 60, 100)], ids=["undisturbed", "killed"])
def test_full_circle(kills):
    """Killed: while reports come in, after so many of them. What is told again then is not counted again."""
    with Receiver() as receiver, circle(receiver) as w:
        campaign(w)
        for count in kills:
            wait_for(f"{count} returns", lambda many=count: len(w.returned()) >= many, 60)
            w.kill()
            w.start()
        wait_for("the end of all mail, and all that comes back", lambda: nothing_left(w), 90)
        wait_for("their records", lambda: len(of_type(w.rows(), "rb", "f", "u")) >= len(expected(w)))
        assert {r["outcome"] for r in w.returned()} == {"delivered"}
        assert {r["kind"] for r in w.returned()} == {*TYPES, "auto-reply", "unreadable"}
        check_suppressions(w)
        if not kills:
            check_guard(w)
        check_webhook(w, receiver)
        assert refused(w) == set(suppressed(w))
        w.ctl("audit")
        w.stop()
        check_records(w, bool(kills))
        check_unread(w, bool(kills))
