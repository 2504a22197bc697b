# SPDX-License-Identifier: Apache-2.0
"""Faults D: what receiving sites do. One world, a site for each habit; then worlds of their own where time matters."""
import collections
import contextlib
import json
import os
import re
import socket
import subprocess
import threading
import time

import pytest
from namespaces import network
from tools import gives, running, wait_for

HABITS = {
    # name: (lines of the site, type of the first record that is not "r", what its code or words begin with, delivered in the end)
    "D1_refuses_connections": ('host { number = 1 fault = refuse }', "t", "x-mtad;.*(?i:refused)", False),
    "D4_reset_after_accept": ('rule { on = connect do = reset count = 1 }', "t", "x-mtad;", True),
    "D5_no_greeting": ('rule { on = connect do = stall count = 1 }', "t", "x-mtad;.*timeout", True),
    "D6_greeting_dribbles": ('rule { on = connect drip = 1s count = 1 }', "t", "x-mtad;.*timeout", True),
    "D6_rcpt_reply_dribbles": ('pipelining = no rule { on = rcpt drip = 1s count = 1 }', "t", "x-mtad;.*timeout in rcpt", True),
    "D7_554_greeting": ('rule { on = connect reply = "554 5.7.1 no mail from {client}" count = 1 }', "t", "smtp;554 5.7.1 no", True),
    "D8_421_greeting": ('rule { on = connect reply = "421 4.3.2 busy" count = 1 }', "t", "smtp;421 4.3.2", True),
    "D9_huge_reply": ('rule { on = rcpt do = huge bytes = 3000000 count = 1 }', "t", "x-mtad;endless reply in rcpt", True),
    "D10_huge_greeting": ('rule { on = connect do = huge bytes = 3000000 count = 1 }', "t", "", True),
    "D11_garbage_at_connect": ('rule { on = connect do = garbage count = 1 }', "t", "x-mtad;", True),
    "D11_garbage_at_mail": ('rule { on = mail do = garbage count = 1 }', "t", "x-mtad;", True),
    "D11_garbage_at_rcpt": ('rule { on = rcpt do = garbage count = 1 }', "t", "x-mtad;", True),
    "D11_garbage_at_dot": ('rule { on = dot do = garbage count = 1 }', "t", "", True),
    "D13_ehlo_500_then_helo": ('rule { on = ehlo reply = "500 5.5.1 what?" }', "d", "smtp;250", True),
    "D13_ehlo_closes_then_helo": ('rule { on = ehlo do = drop }', "d", "smtp;250", True),
    "D13_ehlo_421": ('rule { on = ehlo reply = "421 4.3.2 later" count = 1 }', "t", "smtp;421 4.3.2", True),
    "D17_mail_451": ('rule { on = mail reply = "451 4.3.0 later" count = 1 }', "t", "smtp;451", True),
    "D17_mail_550": ('rule { on = mail reply = "550 5.7.1 not you" }', "b", "smtp;550", False),
    "D18_rcpt_451": ('rule { on = rcpt reply = "451 4.7.1 later" count = 1 }', "t", "smtp;451", True),
    "D18_rcpt_550": ('rule { on = rcpt reply = "550 5.1.1 no such user" }', "b", "smtp;550", False),
    "D19_data_451": ('rule { on = data reply = "451 4.3.0 later" count = 1 }', "t", "smtp;451", True),
    "D24_drop_in_body": ('rule { on = body do = drop bytes = 10 count = 1 }', "t", "x-mtad;", True),
    "D24_reset_in_body": ('rule { on = body do = reset bytes = 10 count = 1 }', "t", "x-mtad;", True),
    "D24_drop_at_mail": ('rule { on = mail do = drop count = 1 }', "t", "x-mtad;", True),
    "D24_drop_at_rcpt": ('rule { on = rcpt do = drop count = 1 }', "t", "x-mtad;", True),
    "D24_drop_at_data": ('rule { on = data do = drop count = 1 }', "t", "x-mtad;", True),
    "D25_no_reply_to_the_dot": ('rule { on = dot do = stall count = 1 }', "t", "x-mtad;", True),
    "D26_drop_at_dot": ('rule { on = dot do = drop count = 1 }', "t", "x-mtad;", True),
    "D26_reset_at_dot": ('rule { on = dot do = reset count = 1 }', "t", "x-mtad;", True),
    "D28_dot_451": ('rule { on = dot reply = "451 4.3.0 later" count = 1 }', "t", "smtp;451", True),
    "D28_dot_554": ('rule { on = dot reply = "554 5.7.1 spam" }', "b", "smtp;554", False),
    "D29_mail_421": ('rule { on = mail reply = "421 4.7.0 closing" count = 1 }', "t", "smtp;421", True),
    "D29_rcpt_421": ('rule { on = rcpt reply = "421 4.7.0 closing" count = 1 }', "t", "smtp;421", True),
    "D29_data_421": ('rule { on = data reply = "421 4.7.0 closing" count = 1 }', "t", "smtp;421", True),
    "D29_dot_421": ('rule { on = dot reply = "421 4.7.0 closing" count = 1 }', "t", "smtp;421", True),
    "D31_quit_stalls": ('rule { on = quit do = stall }', "d", "smtp;250", True),
    "D37_enhanced_code_contradicts": ('rule { on = rcpt reply = "550 4.2.2 full" }', "b", "smtp;550 4.2.2", False),
    "D38_hostile_reply_text": ('rule { on = rcpt reply = "550 5.1.1 =HYPERLINK(a),\\"<b>x</b>\\",\x07\\tend" }', "b", "smtp;550", False),
    "D39_reads_nothing": ('rule { on = body do = stall bytes = 10 count = 1 }', "t", "x-mtad;", True),
    "D45_251": ('rule { on = rcpt reply = "251 2.1.5 will forward" }', "d", "smtp;250", True),
    "D45_551": ('rule { on = rcpt reply = "551 5.1.6 moved to x@y.test" }', "b", "smtp;551", False),
    "no_pipelining": ('pipelining = no', "d", "smtp;250", True),
    "no_extensions": ('pipelining = no eightbit = no size = no enhanced = no chunking = no dsn = no', "d", "smtp;250", True),
    "D15_size": ('size-max = 100B', "b", "x-mtad;552 5.3.4", False),
    "slow_replies": ('tarpit = 100ms', "d", "smtp;250", True),
    "far_away": ('latency = 100ms', "d", "smtp;250", True),
}


def domain(name):
    return re.sub(r"[^a-z0-9]", "-", name.lower()) + ".test"


@pytest.fixture(scope="module")
def w():
    script = "".join(f'site {re.sub("[^A-Za-z0-9]", "", n)} {{ domains = {{ "{domain(n)}" }} tls = none\n {lines[0]}\n}}\n'
                     for n, lines in HABITS.items())
    delivery = """connect-timeout = 1s  greeting-timeout = 1s  command-timeout = 2s  dot-timeout = 1s  data-timeout = 1s
        uncertain-retry = 2s"""
    with running(script + 'site x { domains = { "x.test" } }\n', delivery=delivery) as world:
        body = ("z" * 76 + "\r\n") * 40000
        for n in HABITS:
            world.send("s@x.test", [f"r@{domain(n)}"], body=body if "D39" in n else "hello\r\n")
        yield world


@pytest.mark.parametrize("name", HABITS)
def test_habit(w, name):
    _, kind, words, is_delivered = HABITS[name]
    rcpt = f"r@{domain(name)}"

    def rows():
        return [r for r in w.rows() if r["rcpt"] == rcpt and r["type"] != "r"]
    wait_for("a record", rows)
    first = rows()[0]
    assert first["type"] == kind and re.match(words, first["dsnDiag"]), first
    if is_delivered:
        gives(w, rcpt, "d")
        arrived = [a["outcome"] for a in w.arrived() if a["rcpt"] == rcpt]
        assert arrived.count("ok") == 1
    assert all(len(r["dsnDiag"]) < 700 for r in rows())
    events = [e for e in w.events() if e["rcpt"] == rcpt and e["event"] != "received"]
    uncertain = [bool(e.get("uncertain")) for e in events]
    # What the kernel has taken of a body may include the final dot: then nobody knows what the site made of it.
    if "body" not in name and name not in ("D39_reads_nothing", "D11_garbage_at_dot"):
        assert any(uncertain) == (name in ("D25_no_reply_to_the_dot", "D26_drop_at_dot", "D26_reset_at_dot"))
    if is_delivered:
        assert rows()[-1]["type"] == "d" and sum(r["type"] in "db" for r in rows()) == 1


def test_D40_each_recipients_reply_has_a_time_of_its_own():
    with running('site a { domains = { "a.test" } tarpit = 300ms }', delivery="command-timeout = 1s") as w:
        w.send("s@x.test", [f"r{n}@a.test" for n in range(8)])
        wait_for("8 records", lambda: sum(r["type"] == "d" for r in w.rows()) == 8)
        assert not [r for r in w.rows() if r["type"] == "t"]


def test_D26_a_refused_recipient_does_not_hide_the_host():
    """One recipient of the transaction is refused, the other's end is uncertain: it comes again at the same host."""
    equals = ", ".join(f'"10 mx{n}.a.mx.test"' for n in range(1, 31))
    script = f"""record "a.test" {{ mx = {{ {equals} }} }}
        site a {{ domains = {{ "a.test" }} addresses = 30 spread = no
            rule {{ on = rcpt match = "z*@*" reply = "550 5.1.1 no" }}  rule {{ on = dot do = drop count = 1 }} }}"""
    with running(script, delivery="uncertain-retry = 1s  idle = 0s") as w:
        w.send("s@x.test", ["r@a.test", "z@a.test"])
        gives(w, "z@a.test", "b")
        first = gives(w, "r@a.test", "t")
        assert gives(w, "r@a.test")["dsnMta"] == first["dsnMta"]


@pytest.mark.parametrize("other", ["nothing", "a session at another host"])
def test_D26_the_same_host_and_source_again(other):
    equals = ", ".join(f'"10 mx{n}.a.mx.test"' for n in range(1, 31))
    script = f"""record "a.test" {{ mx = {{ {equals} }} }}
        site a {{ domains = {{ "a.test" }} addresses = 30 spread = no rule {{ on = dot do = drop count = 1 }} }}"""
    delivery = "hosts-max = 1  uncertain-retry = 1s  connections = 1  idle = 30s"
    with running(script, delivery=delivery, blocks='source one { address = { "127.0.0.8" } }\n') as w:
        w.send("s@x.test", ["r@a.test"])
        first = gives(w, type="t")
        if other != "nothing":
            w.send("s@x.test", ["second@a.test"])
            gives(w, "second@a.test")
        row = gives(w)
        assert (row["dsnMta"], row["dlvSourceIp"]) == (first["dsnMta"], first["dlvSourceIp"])
        assert row["dlvSourceIp"] == "127.0.0.8"
        assert len([r for r in w.rows() if r["type"] in "tdb"]) == (2 if other == "nothing" else 3)


def test_D42_no_local_address_for_one_family():
    """The source's IPv6 address is not of this machine: that is no reason not to use IPv4."""
    script = """record "a.test" { mx = { "10 h.a.test" } }
        record "h.a.test" { a = "127.3.1.1" aaaa = "::1" }
        site good { domains = { "a.test" } }"""
    blocks = 'source one { address = { "127.0.0.1", "2001:db8::1" } }\n'
    with running(script, delivery="family = prefer-v6  retry = { 1h }", blocks=blocks) as w:
        w.send("s@x.test", ["r@a.test"])
        assert gives(w)["dlvDestinationIp"] == "127.3.1.1"
        assert 'source_degraded source=one address="2001:db8::1"' in w.log_text()


def test_D13_a_bad_moment_costs_tls_only_once():
    with running('site a { domains = { "a.test" } rule { on = ehlo do = drop count = 1 } }', delivery="idle = 0s") as w:
        for n in range(2):
            w.send("s@x.test", [f"r{n}@a.test"])
            gives(w, f"r{n}@a.test")
        assert [a["tls"] for a in w.arrived()] == ["-", "TLSv1.3"]


def test_D31_stop_does_not_wait_for_quit():
    with running('site q { domains = { "q.test" } rule { on = quit do = stall } }') as w:
        w.send("s@x.test", ["r@q.test"])
        gives(w, "r@q.test")
        w.stop(seconds=20)


def test_D18_pipelined_recipients_have_their_own_results():
    script = '''site a { domains = { "a.test" } tls = none
        rule { on = rcpt match = "later*" reply = "451 4.7.1 later" count = 3 }
        rule { on = rcpt match = "no*" reply = "550 5.1.1 no" } }\nsite x { domains = { "x.test" } }'''
    with running(script) as w:
        names = [f"{kind}{n}@a.test" for n in range(3) for kind in ("yes", "no", "later")]
        w.send("s@x.test", names)
        for n in range(3):
            assert gives(w, f"no{n}@a.test", "b")["dsnStatus"] == "5.1.1"
            gives(w, f"later{n}@a.test", "d")
            gives(w, f"yes{n}@a.test", "d")
        final = collections.Counter(r["rcpt"] for r in w.rows() if r["type"] in "db" and r["rcpt"].endswith("a.test"))
        assert set(final.values()) == {1} and len(final) == 9
        assert len([r for r in w.rows() if r["type"] == "t"]) == 3


def test_D20_more_recipients_than_the_site_takes_at_once():
    with running('site a { domains = { "a.test" } rcpt-max = 4 }', delivery="retry = { 1h }") as w:
        w.send("s@x.test", [f"r{n}@a.test" for n in range(22)])
        wait_for("22 records", lambda: sum(r["type"] == "d" for r in w.rows()) == 22)
        assert not [r for r in w.rows() if r["type"] == "t"], "the rest waits although it was not refused"


def test_D20_a_site_that_names_its_limit_is_not_asked_for_more():
    with running('site a { domains = { "a.test" } rcpt-max = 4 limits = yes }') as w:
        w.send("s@x.test", [f"r{n}@a.test" for n in range(22)])
        wait_for("22 records", lambda: sum(r["type"] == "d" for r in w.rows()) == 22)
        sizes = collections.Counter((a["connection"], a["message"]) for a in w.arrived())
        assert sorted(sizes.values()) == [2, 4, 4, 4, 4, 4]
        w.simulator.terminate()
        assert json.loads(w.simulator.communicate()[0])["sites"]["a"]["deferred"] == 0, "it had to say 452"


def test_many_recipients_go_in_one_transaction_for_each_site():
    script = '''site a { domains = { "a.test", "b.test", "c.test" } }\nsite d { domains = { "d.test" } }'''
    with running(script) as w:
        w.send("s@x.test", [f"r{n}@{d}.test" for n in range(5) for d in "abcd"])
        wait_for("20 records", lambda: sum(r["type"] == "d" for r in w.rows()) == 20)
        transactions = collections.defaultdict(set)
        for a in w.arrived():
            transactions[a["site"]].add((a["connection"], a["message"]))
        assert {s: len(t) for s, t in transactions.items()} == {"a": 1, "d": 1}


def test_recipients_per_transaction():
    with running(delivery="recipients-per-transaction = 3") as w:
        w.send("s@x.test", [f"r{n}@a.test" for n in range(10)])
        wait_for("10 records", lambda: sum(r["type"] == "d" for r in w.rows()) == 10)
        sizes = collections.Counter((a["connection"], a["message"]) for a in w.arrived())
        assert max(sizes.values()) <= 3 and len(sizes) == 4


def test_D50_connections_of_a_host_are_shared_and_capped():
    """Whatever the domain: two hundred of them, three connections."""
    script = '''site a { domain-pattern = "d%03d.test" domains-count = 200 spread = no latency = 20ms connections-max = 3
        connections-reply = "421 4.3.2 too many connections" }'''
    with running(script, delivery="connections = 3  messages-per-connection = 10") as w:
        with w.client() as c:
            for n in range(400):
                c.sendmail("s@x.test", [f"r@d{n % 200:03d}.test"], b"From: <s@x.test>\r\n\r\nhello\r\n")
        wait_for("400 records", lambda: sum(r["type"] == "d" for r in w.rows()) == 400)
        assert not [r for r in w.rows() if r["type"] == "t"], "the site saw more than three connections"
        messages = collections.defaultdict(set)
        for a in w.arrived():
            messages[a["connection"]].add(a["message"])
        assert max(len(m) for m in messages.values()) <= 10
        assert len(messages) <= 60, f"{len(messages)} connections for 400 messages"


@pytest.mark.parametrize("how", ["D30_closes_silently", "D32_says_421"])
def test_site_ends_the_session_after_some_messages(how):
    reply = "" if "D30" in how else 'messages-reply = "421 4.7.0 enough"'
    with running(f'site a {{ domains = {{ "a.test" }} messages-per-connection = 3 {reply} }}', delivery="connections = 1") as w:
        with w.client() as c:
            for n in range(20):
                c.sendmail("s@x.test", [f"r{n}@a.test"], b"From: <s@x.test>\r\n\r\nhello\r\n")
        wait_for("20 records", lambda: sum(r["type"] == "d" for r in w.rows()) == 20)
        assert not [r for r in w.rows() if r["type"] == "t"], "a dead session must cost no attempt"
        assert len([a for a in w.arrived() if a["outcome"] == "ok"]) == 20


@pytest.mark.parametrize("meanwhile", ["nothing", "a restart"])
def test_D33_greylisting(meanwhile):
    """From the same of two sources again: from the other one the time would begin anew."""
    blocks = """source one { address = { "127.0.0.8" } }
        source two { address = { "127.0.0.9" } }
        pool both { sources = { one, two } }
        """
    script = 'site a { domains = { "a.test" } greylist = 2s }\nsite b { domains = { "b.test" } }\n'
    with running(script, blocks=blocks, listen="pool = both", settings="retry-jitter = 0\n", delivery="retry = { 3s, 1h }") as w:
        w.send("s@x.test", ["r@b.test"])  # so that the sources' turns would come out otherwise after a restart
        gives(w, "r@b.test")
        for n in range(8):
            w.send("s@x.test", [f"r{n}@a.test"])
        wait_for("8 deferrals", lambda: sum(r["type"] == "t" for r in w.rows()) == 8)
        if meanwhile != "nothing":
            w.stop()
            w.start()
        wait_for("8 deliveries", lambda: sum(r["type"] == "d" for r in w.rows()) == 9)
        sources = {kind: {r["rcpt"]: r["dlvSourceIp"] for r in w.rows() if r["type"] == kind and "@a" in r["rcpt"]} for kind in "td"}
        assert sources["t"] == sources["d"] and len(set(sources["d"].values())) == 2


def test_retries_follow_the_schedule_and_mail_expires():
    script = 'site a { domains = { "a.test" } rule { on = rcpt reply = "451 4.7.1 later" } }\nsite x { domains = { "x.test" } }'
    with running(script, settings="retry-jitter = 0\n", delivery="retry = { 1s, 2s }\nexpire = 6s") as w:
        w.send("s@x.test", ["r@a.test"])
        row = gives(w, "r@a.test", "b")
        assert row["bounceCat"] == "message-expired" and row["dsnStatus"] in ("4.4.7", "4.7.1")
        (expired,) = [e for e in w.events() if e["event"] == "expired"]
        times = [e["time"] for e in w.events() if e["event"] == "deferred"]
        # After 0, 1, 3 and 5 s. The successor of the last would come after the end: it is given up with its reply.
        assert len(times) == 3 and expired["attempts"] == 4
        seconds = [float(t[17:-1]) + 60 * float(t[14:16]) for t in times]
        gaps = [(b - a) % 3600 for a, b in zip(seconds, seconds[1:])]
        assert 0.95 <= gaps[0] <= 1.9 and 1.95 <= gaps[1] <= 2.9, gaps
        gives(w, "s@x.test", "d")


def test_D21_second_mx_takes_what_the_first_does_not():
    script = '''record "two.test" { mx = { "10 mx1.first.mx.test", "20 mx1.second.mx.test" } }
        site first { domains = { "first.test" } rule { on = connect reply = "421 4.3.2 busy" } }
        site second { domains = { "second.test", "two.test" } }'''
    with running(script) as w:
        w.send("s@x.test", ["r@two.test"])
        row = gives(w, "r@two.test")
        assert row["dsnMta"].startswith("mx1.second.mx.test") and not [r for r in w.rows() if r["type"] == "t"]


@pytest.mark.parametrize("fault", ["refuse", "hang", "nxdomain", "servfail"])
def test_D1_D2_dead_hosts_then_a_good_one(fault):
    script = 'site a { domains = { "a.test" } addresses = 3 spread = no\n' + "".join(
        f"host {{ number = {n} fault = {fault} }}\n" for n in (1, 2)) + "}"
    with running(script, delivery="connect-timeout = 1s") as w:
        w.send("s@x.test", ["r@a.test"])
        row = gives(w)
        assert "mx3" in row["dsnMta"] and not [r for r in w.rows() if r["type"] == "t"]


# What the kernel says of the first host's address: how it is brought to say so, its words.
UNREACHABLE = {"no_route": (None, "Network is unreachable"), "no_v6_route": (None, "Network is unreachable"),
               "unreachable": ("unreachable", "No route to host"), "blackhole": ("blackhole", "Invalid argument")}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes networks")
@pytest.mark.parametrize("how", UNREACHABLE)
def test_D3_no_way_to_the_first_host(how):
    """The next one in the same attempt; where there is none, mail waits and says why."""
    kind, words = UNREACHABLE[how]
    address = 'aaaa = "2600::1"' if how == "no_v6_route" else 'a = "5.5.5.1"'
    script = f"""record "a.test" {{ mx = {{ "10 far.test", "20 mx1.near.mx.test" }} }}
        record "b.test" {{ mx = {{ "10 far.test" }} }}
        record "far.test" {{ {address} }}
        site near {{ domains = {{ "near.test" }} }}"""
    with network():
        if kind is not None:
            subprocess.run(["ip", "route", "add", kind, "5.5.5.0/24"], check=True)
        with running(script, delivery="retry = { 1s, 1h }") as w:
            w.send("", ["r@a.test", "r@b.test"])
            row = gives(w)
            assert row["dsnMta"].startswith("mx1.near.mx.test")
            assert not [r for r in w.rows() if r["rcpt"] == "r@a.test" and r["type"] == "t"], "no attempt of its own"
            row = gives(w, "r@b.test", "t")
            assert row["dsnStatus"] == "4.4.1" and words in row["dsnDiag"], row
            wait_for("the second attempt", lambda: sum(r["type"] == "t" for r in w.rows()) == 2)
            assert not [r for r in w.rows() if r["type"] == "b"]


def test_D41_many_dead_hosts():
    """A bound for one attempt, and other addresses in the next, until the only one that lives has had its turn."""
    script = 'site a { domains = { "a.test" } addresses = 8 spread = no\n' + "".join(
        f"host {{ number = {n} fault = refuse }}\n" for n in range(1, 8)) + "}"
    # Two new ones in each attempt at least, so the fourth delivers; a fifth that fails would have the site called dead for
    # a minute. Of one thread: each learns for itself.
    with running(script, settings="io-threads = 1\n", delivery="hosts-max = 3  retry = { 1s }") as w:
        w.send("s@x.test", ["r@a.test"])
        first = wait_for("an attempt", lambda: [r for r in w.rows() if r["type"] in "td"])[0]
        tried = re.findall(r"session_failed .* peer=(\S+) ", w.log_text())
        # The last of an attempt is drawn: one time in ten it is the one that lives.
        assert len(tried) == len(set(tried)) == 3 - (first["type"] == "d")
        gives(w, "r@a.test", "d", seconds=60)
        tried = re.findall(r"session_failed .* peer=(\S+) ", w.log_text())
        assert len(set(tried)) >= len(tried) - 3, tried


def test_D42_the_family_that_works_is_learnt():
    script = """record "a.test" { mx = { "10 h.a.test" } }
        record "h.a.test" { a = "127.3.1.1" aaaa = "::1" }
        site good { domains = { "a.test" } }"""
    with running(script, settings="io-threads = 1\n", delivery="family = prefer-v6  idle = 0s") as w:
        for n in range(3):
            w.send("s@x.test", [f"r{n}@a.test"])
            assert gives(w, f"r{n}@a.test")["dlvDestinationIp"] == "127.3.1.1"
        assert w.log_text().count("session_failed") == 1  # nobody listens at ::1


def test_D49_route_with_hosts_in_order():
    def before(w):
        w.blocks = f'route smarthost {{ domains = {{ "*" }} hosts = {{ "127.0.0.1:1", "127.3.1.1:{w.site_port}" }} }}'
    with running('site a { domains = { "*.test" } }', before=before) as w:
        w.send("s@x.test", ["r@a.test", "r@b.test"])
        assert gives(w, "r@a.test")["dlvDestinationIp"] == "127.3.1.1"
        gives(w, "r@b.test")
        assert len({(a["connection"], a["message"]) for a in w.arrived()}) == 1


def test_D7_all_mx_say_554():
    with running('site a { domains = { "a.test" } rule { on = connect reply = "554 5.7.1 no" } }', delivery="expire = 2s") as w:
        w.send("s@x.test", ["r@a.test"])
        assert "554" in gives(w, "r@a.test", "t")["dsnDiag"]
        gives(w, "r@a.test", "b")


def test_D52_a_site_that_always_breaks_is_not_hammered():
    with running('site a { domains = { "a.test" } rule { on = data do = drop } }', delivery="retry = { 1s }\nexpire = 4s") as w:
        with w.client() as c:
            for n in range(20):
                c.sendmail("s@x.test", [f"r{n}@a.test"], b"From: <s@x.test>\r\n\r\nhello\r\n")
        wait_for("20 ends", lambda: sum(r["type"] == "b" and r["rcpt"].endswith("a.test") for r in w.rows()) == 20)
        attempts = collections.Counter(r["rcpt"] for r in w.rows() if r["type"] == "t")
        assert max(attempts.values()) <= 5


def test_per_domain_settings_win():
    blocks = 'domain "b.test" { retry = { 1h }  expire = 1d }\nprovider p { domains = { "c.test" }  expire = 1s  retry = { 1s } }'
    script = 'site a { domains = { "*.test" } rule { on = rcpt reply = "451 4.7.1 later" } }'
    with running(script, blocks=blocks, delivery="expire = 2s") as w:
        w.send("", ["r@a.test", "r@b.test", "r@c.test"])
        gives(w, "r@a.test", "b")
        gives(w, "r@c.test", "b")
        assert [r["type"] for r in w.rows() if r["rcpt"] == "r@b.test"] == ["r", "t"]


class SlowReader(threading.Thread):
    """A site that takes the envelope and then reads so many bytes a second, for ever."""

    def __init__(self, bytes_a_second):
        super().__init__(daemon=True)
        self.each = bytes_a_second // 10
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.listen()
        self.port = self.socket.getsockname()[1]
        self.start()

    def run(self):
        while True:
            peer, _ = self.socket.accept()
            with peer, contextlib.suppress(OSError):
                self.talk(peer, peer.makefile("rb", buffering=0))

    def talk(self, peer, lines):
        peer.sendall(b"220 slow.test\r\n")
        while line := lines.readline():
            if line.startswith(b"EHLO"):
                peer.sendall(b"250-slow.test\r\n250 SIZE 0\r\n")
            elif line.startswith(b"DATA"):
                peer.sendall(b"354 go on\r\n")
                while peer.recv(self.each):
                    time.sleep(0.1)
            else:
                peer.sendall(b"250 ok\r\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="wants root, for a namespace")
def test_D39_a_reader_slower_than_the_floor():
    """It always takes some bytes within data-timeout, but never 16 KB: the connection ends, and its place is free."""
    with network({"ipv4/tcp_wmem": "4096 4096 4096"}):  # or the kernel takes megabytes and says nothing for minutes
        slow = SlowReader(4000)
        blocks = f'route slow {{ domains = {{ "slow.test" }} hosts = {{ "127.0.0.1:{slow.port}" }} }}\n'
        with running(blocks=blocks, delivery="data-timeout = 3s  retry = { 1h }") as w:
            w.send("s@x.test", ["r@slow.test"], body=("z" * 76 + "\r\n") * 2000)
            row = gives(w, "r@slow.test", "t")
            assert "timeout" in row["dsnDiag"] and not [e for e in w.events() if e.get("uncertain")], row
            wait_for("the session's end", lambda: w.ctl("status", "--json")["summary"]["sessions"]["delivering"] == 0)
