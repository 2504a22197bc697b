# SPDX-License-Identifier: Apache-2.0
"""Limits set by hand for a time: mtactl set and unset. The judge is the receiver's clock, as in test_pace.py."""
import collections
import time

import pytest
from clock import Clock
from test_operator import reconfigure
from test_pace import batch, held_back, never_more, of_domain, rcpts, seconds, site, source, wait_arrived
from tools import running, wait_for

BLOCKS = (source("s1", 11) + source("s2", 12) + "pool default { sources = { s1 } }\npool both { sources = { s1, s2 } }\n"
          'provider google { domains = { "g.test" } }\n'
          'domain "tight.test" { rate = 1/h }\n'
          'domain "pair.test" { pool = both  connections = 4 }\n')
SITES = "".join(map(site, ("g", "a", "tight"))) + site("pair", "rule { on = dot delay = 1s do = accept }")


def known(w, domain):
    """Its site, once mail has gone there; it has a block of its own."""
    w.send("s@x.test", [f"first@{domain}"])
    w.wait_row(type="d", rcpt=f"first@{domain}")
    return f"mx1.{domain.removesuffix('.test')}.mx.test@{domain}"


def overrides(w):
    """In whatever order they were set or found."""
    return sorted(w.ctl("set", "--json")["rows"], key=lambda r: (r["level"], r["setting"]))


def limits(w, level, unit="messages"):
    return [r for r in w.ctl("limits", "--level", level, "--json")["rows"] if r["unit"] == unit]


@pytest.fixture(scope="module")
def w():
    with running(SITES, blocks=BLOCKS, users={"shop": ""}, listen="auth-in-clear = yes") as world:
        world.send("s@x.test", ["first@a.test"])
        world.wait_row(type="d", rcpt="first@a.test")
        yield world


# --- what it does ---

def test_lowers_and_lifts_at_once(w):
    """A provider without a limit; none of its mail waits when it is lifted."""
    with held_back(w) as begun:
        batch(w, rcpts(40, "g.test", "low"))
        w.ctl("set", "site", "google", "rate=10/s", "connections=2", "--for", "1h", "--reason", "deferred since noon")
    rows = wait_arrived(w, of_domain("g.test"), 15)
    never_more(rows, begun[0], 10)
    why = w.ctl("why", "g.test")
    assert "Limited by site google" in why and "set by root(0) until" in why and ": deferred since noon" in why
    assert "`mtactl unset site google " in " ".join(why.split())
    limit, = limits(w, "site")
    assert limit["override"]["reason"] == "deferred since noon" and limit["override"]["value"] == "10/s"
    assert "set by root(0) until" in w.ctl("limits") and "BY HAND" in w.ctl("limits")
    assert w.ctl("status", "--json")["summary"]["overrides"] == 2
    assert "2 lifted" in w.ctl("unset", "site", "google")
    lifted = time.time()
    rows = wait_arrived(w, of_domain("g.test"), 40)
    # 15 at least were left, which are more than a second at the limit.
    assert seconds(rows[-1]) < lifted + 1.2 and not limits(w, "site")
    assert "BY HAND" not in w.ctl("limits") and overrides(w) == []


def test_raises_at_once_and_ends_by_itself(w):
    """The configuration lets one go in an hour; while it is set by hand, all."""
    name = known(w, "tight.test")
    batch(w, rcpts(3, "tight.test"))
    wait_for("the limit", lambda: w.ctl("why", "tight.test", "--json")["rows"][0]["why"] == "rate")
    w.ctl("set", "lane", "*", "tight.test", "rate=none", "--for", "3s")
    end = time.time() + 3
    wait_arrived(w, of_domain("tight.test"), 4)
    row, = overrides(w)
    assert row["name"] == name and row["source"] == "*" and row["value"] == "none" and row["until_us"] <= end * 1e6
    wait_for("the end", lambda: overrides(w) == [])
    assert time.time() > row["until_us"] / 1e6
    assert f'override_ended level=lane setting=rate value="none" source="*" name="{name}" set-by=root(0) ended-by=time' in w.log_text()
    batch(w, rcpts(2, "tight.test", "late"))  # the window that was not counted begins anew
    wait_for("the limit again", lambda: w.ctl("why", "tight.test", "--json")["rows"][0]["why"] == "rate")
    w.ctl("delete", "--domain", "tight.test", "--yes")


def test_a_lane_of_its_own(w):
    """One source to one site; the other source goes by the configuration."""
    known(w, "pair.test")
    w.ctl("set", "lane", "s1", "pair.test", "connections=1", "messages-per-connection=2", "--for", "ever")

    def lanes():
        return {r["source"]: r["connections_max"] for r in w.ctl("lanes", "--json")["rows"] if "pair" in r["site"]}
    with held_back(w):
        batch(w, rcpts(24, "pair.test"))
    wait_for("both lanes", lambda: lanes() == {"s1": 1, "s2": 4})
    rows = wait_arrived(w, of_domain("pair.test"), 25)
    of_connection = collections.Counter(a["connection"] for a in rows if a["client"] == "127.0.0.11" and "first" not in a["rcpt"])
    assert max(of_connection.values()) <= 2
    w.ctl("unset", "lane", "s1", "pair.test")


# --- how long it holds ---

def test_outlives_kill_and_reload():
    with running(SITES, blocks=BLOCKS) as w:
        w.ctl("set", "site", "google", "rate=5/s", "--for", "1h", "--reason", "for a while")
        w.ctl("set", "all", "rate=100/s", "connections=50", "--for", "ever")
        w.ctl("set", "pool", "both", "byte-rate=1KB/h", "--for", "3s")
        # Its 250 comes after what was written before it.
        w.send("s@x.test", ["first@a.test"])
        before = overrides(w)
        assert [(r["level"], r["setting"]) for r in before] == [
            ("all", "connections"), ("all", "rate"), ("pool", "byte-rate"), ("site", "rate")]
        ending = before.pop(2)
        w.kill()
        time.sleep(max(0.0, ending["until_us"] / 1e6 - time.time()))  # while nobody runs
        w.start()
        wait_for("the end of one", lambda: overrides(w) == before)
        assert "ended-by=time" in w.log_text()
        reconfigure(w, 'domain "tight.test" { rate = 1/h }', 'domain "tight.test" { rate = 2/h }')
        assert overrides(w) == before
        limit, = limits(w, "all")
        assert limit["limit"] == 100 and limit["override"]["until_us"] == 0
        with held_back(w) as begun:
            batch(w, rcpts(12, "g.test"))
        never_more(wait_arrived(w, of_domain("g.test"), 12), begun[0], 5)
        w.ctl("unset", "all")
        w.send("s@x.test", ["second@a.test"])
        w.kill()
        w.start()
        assert [r["level"] for r in overrides(w)] == ["site"]


def test_what_is_left_stays_when_the_clock_is_set():
    with running(SITES, blocks=BLOCKS, before=lambda w: setattr(w, "time", Clock(w))) as w:
        w.kill()
        w.start(wrapper=w.time.wrapper)
        w.ctl("set", "site", "google", "rate=5/s", "--for", "1h")

        def left():
            answer = w.ctl("set", "--json")
            return [(r["until_us"] - answer["summary"]["now_us"]) / 1e6 for r in answer["rows"]]
        for step in (86400, -2 * 86400):
            w.time.ahead(seconds=step)
            wait_for("the clock", lambda: w.log_text().count("clock_set") >= (1 if step > 0 else 2))
            assert len(left()) == 1 and 3500 < left()[0] <= 3600


def test_every_level(w):
    """Each is taken, listed as what it is about, and lifted by the same words."""
    cases = [("lane", "s1", "a.test", "connect-rate=10/m"), ("site", "a.test", "recipients-per-transaction=3"), ("source", "s2", "connections=3"),
             ("pool", "both", "recipient-rate=9/s"), ("pool", "default", "rate=9/s"), ("user", "shop", "connections=2"),
             ("stream", "shop/spring/bulk", "byte-rate=9MB/s"), ("stream", "//normal", "rate=90/s"), ("all", "connections=99")]
    for case in cases:
        w.ctl("set", *case, "--for", "1h")
        row, = overrides(w)
        assert row["level"] == case[0] and f'{row["setting"]}={row["value"]}' == case[-1]
        assert row["name"] == {"a.test": "mx1.a.mx.test", "all": ""}.get(case[-2], case[-2]) and row["who"] == "root(0)"
        text = w.ctl("set", "list")
        assert case[-1] in text and ("60m" in text or "59m" in text)
        w.ctl("unset", *case[:-1], row["setting"])
        assert overrides(w) == []
    assert w.log_text().count("operator who=root(0) what=unset") >= len(cases)


def test_of_one_setting_the_last_holds(w):
    w.ctl("set", "site", "google", "rate=5/s", "byte-rate=5MB/s", "--for", "1h", "--reason", "one")
    w.ctl("set", "site", "google", "rate=6/s", "--for", "ever", "--reason", "two")
    assert {(r["setting"], r["value"], r["reason"]) for r in overrides(w)} == {("rate", "6/s", "two"), ("byte-rate", "5MB/s", "one")}
    w.ctl("unset", "site", "google", "rate")
    assert [r["setting"] for r in overrides(w)] == ["byte-rate"]
    w.ctl("unset", "site", "google")


# --- what is refused, and nothing happens ---

FOR = ("--for", "1h")
BAD = {
    ("set", "sites", "google", "rate=1/s", *FOR): (1, 'there is no level "sites"; did you mean "site"?'),
    ("set", "site", "gogle", "rate=1/s", *FOR): (1, 'no mail goes to a site or domain gogle now; did you mean "google"?'),
    ("set", "site", "never.test", "rate=1/s", *FOR): (1, "mtactl sites lists"),
    ("set", "pool", "boht", "rate=1/s", *FOR): (1, 'there is no pool "boht"; did you mean "both"?'),
    ("set", "source", "s9", "rate=1/s", *FOR): (1, "there is no source s9"),
    ("set", "lane", "s9", "google", "rate=1/s", *FOR): (1, "there is no source s9"),
    ("set", "lane", "google", "rate=1/s", *FOR): (1, "a lane has two names"),
    ("set", "user", "shpo", "rate=1/s", *FOR): (1, 'there is no user "shpo"; did you mean "shop"?'),
    ("set", "stream", "shop", "rate=1/s", *FOR): (1, "is no stream: USER/JOB/CLASS"),
    ("set", "stream", "shop/x/fast", "rate=1/s", *FOR): (1, "is no stream: USER/JOB/CLASS"),
    ("set", "stream", "shpo/x/bulk", "rate=1/s", *FOR): (1, 'there is no user "shpo"'),
    ("set", "all", "x", "rate=1/s", *FOR): (1, "all has no name"),
    ("set", "site", *FOR): (1, "which site?"),
    ("set", "site", "google", *FOR): (1, "set what?"),
    ("set", "site", "google", "rates=1/s", *FOR): (1, 'did you mean "rate"?'),
    ("set", "user", "shop", "weight=3", *FOR): (1, 'unknown setting "weight"'),
    ("set", "user", "shop", "connect-rate=3/s", *FOR): (1, 'unknown setting "connect-rate" at level user'),
    ("set", "site", "google", "rate=10", *FOR): (1, 'rate: "10" is no rate; write 100/s'),
    ("set", "site", "google", "rate=0/s", *FOR): (1, "would never send; to stop use `mtactl pause`"),
    ("set", "site", "google", "rate=", *FOR): (1, "rate: write a value"),
    ("set", "site", "google", "1/s", *FOR): (1, "one name too many"),
    ("set", "site", "google", "rate=1/s", "rate=2/s", *FOR): (1, "rate is given twice"),
    ("set", "site", "google", "rate=1/s", "connections=x", *FOR): (1, 'connections: "x" is no number'),
    ("set", "site", "google", "rate=1/s"): (1, "for how long? --for 2h, or --for ever"),
    ("set", "site", "google", "rate=1/s", "--for", "soon"): (2, "--for: "),
    ("set", "site", "google", "rate=1/s", "--for", "0s"): (1, "for how long?"),
    ("set", "site", "google", "rate=1/s", "--for", "4000d"): (1, "ten years at most"),
    ("set", "site", "google", "rate=1/s", "--for", "1h", "--reason", "x" * 200): (1, "at most 199 bytes"),
    ("set", "site", "google", "x" * 300 + "=1/s", *FOR): (1, "is no setting with a value"),
    ("set", "site", "y" * 300, "rate=1/s", *FOR): (1, "cannot be kept"),
    ("unset",): (2, "unset LEVEL NAME"),
    ("unset", "site", "google"): (1, "site google: nothing of it is set by hand"),
    ("unset", "site", "google", "rates"): (1, 'did you mean "rate"?'),
    ("unset", "site", "google", "rate", "--for", "1h"): (2, "unset takes no --for"),
}


@pytest.mark.parametrize("words", BAD, ids=lambda words: " ".join(words)[:60])
def test_refused(w, words):
    code, text = BAD[words]
    done = w.ctl(*words, check=False)
    assert done.returncode == code and text in done.stderr, done.stderr
    assert overrides(w) == []
