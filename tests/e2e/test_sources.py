# SPDX-License-Identifier: Apache-2.0
"""Sources whose addresses come and go: in a network of the test's own, where it can give and take them."""
import contextlib
import os
import re
import subprocess
import time

import pytest

from namespaces import network
from tools import running
from world import wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root has network namespaces")

SITES = 'site a { domains = { "a.test" } }\nsite b { domains = { "b.test" } }'
ONE = 'source lost { address = "192.0.2.77" }\n'
TWO = ONE + 'source here { address = "127.0.0.12" }\npool both { sources = { lost:9, here } }\npool alone { sources = { lost } }\n'


def address(verb, text="192.0.2.77/32"):
    subprocess.run(["ip", "address", verb, text, "dev", "lo", *(["nodad"] if ":" in text and verb == "add" else [])], check=True)


def events(w, name):
    return re.findall(rf"(?m)^\S+ \w+ {name} (.*)$", w.log_text())


def source(w, name="lost"):
    return next(r for r in w.ctl("sources", "--json")["rows"] if r["source"] == name)


def no_attempts(w):
    assert {r["attempts"] for r in w.ctl("list", "--json")["rows"]} <= {0}
    assert not [r for r in w.rows() if r["type"] in "tb"]


@contextlib.contextmanager
def lost(script=SITES, blocks=ONE, **more):
    with network(), running(script, blocks=blocks, **more) as w:
        yield w


def test_missing_at_the_start_and_then_there():
    with lost() as w:
        wait_for("the start", lambda: events(w, "started"))
        assert w.log_text().index(" source_down ") < w.log_text().index(" started "), "known before its first use"
        assert re.fullmatch(r'source=lost address="192.0.2.77" since=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ '
                            r'why="cannot bind 192.0.2.77: Cannot assign requested address"', events(w, "source_down")[0])
        w.send("s@x.test", ["r@a.test", "r@b.test"])
        time.sleep(2)
        no_attempts(w)
        row = source(w)
        assert (row["state"], row["why"], row["reason"]) == ("down", "down", "cannot bind 192.0.2.77: Cannot assign requested address")
        assert 0 < row["since_us"] <= row["until_us"] and abs(row["next_probe_us"] - row["until_us"]) < 1000
        assert re.search(r"(?m)^lost is down since \d\d:\d\d, cannot bind 192.0.2.77: Cannot assign requested address, next try ",
                         w.ctl("sources"))
        assert re.search(r"(?m)^sources +1 of 1 down, 0 degraded", w.ctl("status"))
        assert w.ctl("status", "--json")["summary"]["sources"] == {"all": 1, "degraded": 0, "down": 1}
        why = w.ctl("why", "a.test")
        assert "lost is down since " in why and "cannot bind 192.0.2.77: Cannot assign requested address" in why, why
        address("add")
        wait_for("both", lambda: len(w.arrived()) == 2, 70)
        assert {a["client"] for a in w.arrived()} == {"192.0.2.77"}
        assert re.fullmatch(r"source=lost after=\d+s", events(w, "source_up")[0])
        assert source(w)["state"] == "up" and "sources" not in w.ctl("status")
        assert len(events(w, "source_down")) == 1, "not one a site"


def test_goes_away_under_load():
    """What finds out costs the mail nothing; the others of its pool take it; and it comes back when the address does."""
    with network():
        address("add")
        with running(SITES, blocks=TWO, delivery="idle = 0s") as w:
            def send(pool, name):
                w.send("s@x.test", [f"{name}{n}@{d}.test" for n in range(5) for d in "ab"], headers=f"X-Mtad-Pool: {pool}\r\n")

            def clients(name):
                return {a["client"] for a in w.arrived() if a["rcpt"].startswith(name)}

            send("alone", "first")
            wait_for("the first", lambda: len(w.arrived()) == 10)
            assert not events(w, "source_down")
            address("del")
            send("alone", "waits")
            wait_for("the alarm", lambda: events(w, "source_down"))
            send("both", "other")
            wait_for("those that may go by another", lambda: len(w.arrived()) == 20)
            assert clients("other") == {"127.0.0.12"} and clients("waits") == set()
            assert len(events(w, "source_down")) == 1
            no_attempts(w)
            # Lanes have learned nothing bad of their sites.
            assert not events(w, "lane")
            # Nor does an operator's pause hide it, or end it.
            w.ctl("pause", "source", "lost")
            w.ctl("resume", "source", "lost")
            assert source(w)["why"] == "down"
            address("add")
            wait_for("the rest", lambda: len(w.arrived()) == 30)
            assert clients("waits") == {"192.0.2.77"} and len(events(w, "source_up")) == 1


def test_a_reload_looks_at_once():
    with lost() as w:
        w.send("s@x.test", ["r@a.test"])
        wait_for("a long wait for the next look", lambda: source(w)["until_us"] - source(w)["since_us"] > 15e6, 25)
        address("add")
        w.ctl("reload")
        wait_for("it", lambda: w.arrived(), 10)


def test_it_gets_too_old():
    with lost(delivery="expire = 5s  retry = { 1s }") as w:
        w.send("s@x.test", ["r@a.test"])
        wait_for("its end", lambda: [r for r in w.rows() if r["type"] in "be"], 30)
        assert not w.arrived() and w.ctl("audit", "--json")["summary"]["balanced"]


def test_one_family_missing():
    """Degraded, not down: sites of the other family are reached; those of this one are not blamed."""
    script = """record "six.test" { mx = { "10 h.six.test" } }
        record "h.six.test" { aaaa = "::1" }
        site a { domains = { "a.test" } }"""
    with lost(script, blocks='source lost { address = { "127.0.0.12", "2001:db8::77" } }\n') as w:
        w.send("s@x.test", ["r@a.test"])
        wait_for("by the other", lambda: len(w.arrived()) == 1)
        assert len(events(w, "source_degraded")) == 1 and not events(w, "source_down")
        row = source(w)
        assert (row["state"], row["why"], row["problem"]) == (
            "degraded", "going", "cannot bind 2001:db8::77: Cannot assign requested address")
        assert "lost is degraded since " in w.ctl("sources")
        assert w.ctl("status", "--json")["summary"]["sources"] == {"all": 1, "degraded": 1, "down": 0}
        w.send("s@x.test", ["r@six.test"])
        time.sleep(2)
        no_attempts(w)
        assert not events(w, "lane") and not events(w, "session_failed")


def test_no_route():
    """A machine without IPv6, or with its network gone: connect() says so at once, and it is not the site that
    failed; the mail is tried again, and its sender told, as of any other attempt."""
    script = """record "six.test" { mx = { "10 h.six.test" } }
        record "h.six.test" { aaaa = "2001:db8:1::1" }
        record "four.test" { mx = { "10 h.four.test" } }
        record "h.four.test" { a = "203.0.113.9" }
        site a { domains = { "a.test" } }"""
    with lost(script, blocks="source any { }\n") as w:
        w.send("s@x.test", ["r@six.test", "r@four.test", "r@a.test"])
        wait_for("what can go", lambda: len(w.arrived()) == 1)
        wait_for("a word about the route", lambda: events(w, "source_hindered"))
        for name in ("six", "four"):
            row = w.wait_row(type="t", rcpt=f"r@{name}.test")
            assert row["dsnStatus"] == "4.4.1" and "unreachable" in row["dsnDiag"], row
        time.sleep(8)
        assert not events(w, "lane") and not events(w, "session_failed")
        assert re.fullmatch(r'source=any site=\S+ why="Network is unreachable"', events(w, "source_hindered")[0])
        assert len(events(w, "source_hindered")) == 1, "IPv4 is worth a word, that there is no IPv6 is not"
        assert "Network is unreachable" in w.ctl("why", "six.test")
