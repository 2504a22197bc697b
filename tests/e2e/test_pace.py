# SPDX-License-Identifier: Apache-2.0
"""Pace: limits at every level, pools, classes, shares. The judge is the receiver's clock.

Only "never more" is a matter of time here. Between the moment something is sent and the moment it has arrived a busy
machine may do other things, so what has arrived can be late and never early: counted from a moment before the first of
it (a resume), there is never more than the limit has let go until then. How late it is says nothing.
"""
import collections
import contextlib
import datetime
import itertools
import time

import pytest
from clock import Clock
from test_operator import reconfigure
from tools import running, wait_for
from world import World

MAIL = "From: <{sender}>\r\nTo: <{rcpt}>\r\nSubject: pace\r\n{headers}\r\n{body}\r\n"


def site(name, settings="", domains=None):
    names = ", ".join(f'"{d}"' for d in domains or [f"{name}.test"])
    return f"site {name} {{ domains = {{ {names} }} tls = none {settings} }}\n"


def source(name, last, settings=""):
    """Known to the receiver as 127.0.0.LAST."""
    return f'source {name} {{ address = "127.0.0.{last}" {settings} }}\n'


def batch(w, rcpts, sender="s@x.test", user=None, headers="", body="hello"):
    """A message to each of them, over one connection."""
    with w.client() as c:
        if user is not None:
            c.login(user, "secret")
        for rcpt in rcpts:
            to = [rcpt] if isinstance(rcpt, str) else rcpt
            c.sendmail(sender, to, MAIL.format(sender=sender, rcpt=to[0], headers=headers, body=body).encode())


PAIR = source("s1", 11) + source("s2", 12)


def rcpts(count, domain, prefix="r"):
    return [f"{prefix}{n}@{domain}" for n in range(count)]


def arrivals(w, what):
    """Those that fit, in the order of their arrival."""
    rows = [a for a in w.arrived() if what(a)]
    return sorted(rows, key=lambda a: float(a["time"]))


def of_domain(*domains):
    return lambda a: a["rcpt"].partition("@")[2] in domains


def seconds(row):
    return float(row["time"]) / 1e6


def wait_arrived(w, what, count, limit=30):
    wait_for(f"{count} arrivals", lambda: len(arrivals(w, what)) >= count, limit)
    return arrivals(w, what)


def never_more(rows, begun, per_second, at_once=1, amount=lambda row: 1):
    """At no time more than `at_once` and what the rate has let go since `begun`, before which nothing was sent."""
    total = 0
    for row in rows:
        total += amount(row)
        assert total <= at_once + per_second * (seconds(row) - begun), f"{total} after {seconds(row) - begun:.3f} s"


def no_trouble(w):
    """Nothing was deferred, nothing bounced."""
    assert not [(r["type"], r["rcpt"], r["dsnDiag"]) for r in w.rows() if r["type"] in "tb"]


@contextlib.contextmanager
def held_back(w):
    """What comes in meanwhile is there when mail begins to go. Yields a list that holds the time of that in the end."""
    begun = []
    w.ctl("pause", "all")
    yield begun
    begun.append(time.time())
    w.ctl("resume", "all")


# --- limits of a time, at each level ---

def each(*names):
    return [n + ".test" for n in names]


# What is limited: its blocks, what is sent (domains, user, pool), limit a second, at once, what one arrival counts.
RATE = 20
LEVELS = {
    "lane": dict(blocks='domain "lane.test" { rate = 20/s }\n', domains=each("lane")),
    "site": dict(blocks=source("s1", 11) + source("s2", 12) + "pool both { sources = { s1, s2 } }\n"
                 'domain "both.test" { site-rate = 20/s  pool = both }\n', domains=each("both"), clients={"127.0.0.11", "127.0.0.12"}),
    "source": dict(blocks=source("s3", 13, "rate = 20/s") + "pool one { sources = { s3 } }\n", domains=each("one", "two"), pool="one"),
    "pool": dict(blocks=source("s4", 14) + source("s5", 15) + "pool pair { sources = { s4, s5 }  rate = 20/s }\n",
                 domains=each("three", "four"), pool="pair", clients={"127.0.0.14", "127.0.0.15"}),
    "user": dict(domains=each("five", "six"), user="slow"),
    "recipients": dict(blocks='domain "group.test" { recipient-rate = 20/s }\n', domains=each("group"), group=4, at_once=4),
}
FREE = {"nobody": dict(domains=each("free")), "another user": dict(domains=each("five"), user="quick")}


@pytest.fixture(scope="module")
def w():
    names = sorted({d.removesuffix(".test") for level in [*LEVELS.values(), *FREE.values()] for d in level["domains"]} | {"bytes", "fresh"})
    blocks = "source first { }\n" + "".join(level.get("blocks", "") for level in LEVELS.values())
    blocks += 'domain "bytes.test" { byte-rate = 200KB/s }\n'
    blocks += 'domain "fresh.test" { connect-rate = 5/s  messages-per-connection = 1  idle = 0s }\n'
    with running("".join(map(site, names)), blocks=blocks, users={"slow": "rate = 20/s", "quick": ""},
                 listen="auth-in-clear = yes") as world:
        yield world


def submit_level(w, name, level, count):
    group = level.get("group", 1)
    for domain in level["domains"]:
        names = rcpts(count // len(level["domains"]), domain, name.split()[0] + "-")
        grouped = [names[n:n + group] for n in range(0, len(names), group)]
        batch(w, grouped, user=level.get("user"), headers=f"X-Mtad-Pool: {level['pool']}\r\n" if "pool" in level else "")


def of_level(name):
    return lambda a: a["rcpt"].startswith(name.split()[0] + "-")


@pytest.fixture(scope="module")
def levels(w):
    """Two seconds of mail for each level, all at once, and mail that none of them is about."""
    count = 2 * RATE
    with held_back(w) as begun:
        for name, level in [*LEVELS.items(), *FREE.items()]:
            submit_level(w, name, level, count)
    for name in [*LEVELS, *FREE]:
        wait_arrived(w, of_level(name), count)
    no_trouble(w)
    return begun[0]


@pytest.mark.parametrize("name", LEVELS)
def test_rate_of_each_level(w, levels, name):
    rows, level = arrivals(w, of_level(name)), LEVELS[name]
    assert len(rows) == 2 * RATE
    never_more(rows, levels, RATE, level.get("at_once", 1))
    assert {r["client"] for r in rows} == level.get("clients", {r["client"] for r in rows})


@pytest.mark.parametrize("name", FREE)
def test_others_are_not_slowed(w, levels, name):
    """They are done while what is limited still goes."""
    end = seconds(arrivals(w, of_level(name))[-1])
    assert all(end < seconds(arrivals(w, of_level(limited))[-1]) for limited in LEVELS)


def test_byte_rate(w):
    """A message that has begun is sent whole, so one may be on top."""
    body = ("z" * 76 + "\r\n") * 500
    with held_back(w) as begun:
        batch(w, rcpts(12, "bytes.test"), body=body)
    rows = wait_arrived(w, of_domain("bytes.test"), 12)
    never_more(rows, begun[0], 200 * 1024, at_once=len(body) + 2000, amount=lambda r: int(r["bytes"]))


def test_connect_rate(w):
    with held_back(w) as begun:
        batch(w, rcpts(12, "fresh.test"))
    rows = wait_arrived(w, of_domain("fresh.test"), 12)
    assert len({r["connection"] for r in rows}) == 12
    never_more(rows, begun[0], 5)


def test_rate_of_all_by_reload(w):
    """A limit that a reload brings holds at once, for mail that is queued already."""
    with held_back(w) as begun:
        batch(w, rcpts(20, "free.test", "a-") + rcpts(20, "one.test", "a-"))
        reconfigure(w, "\nlisten submission", "\nrate-total = 20/s\nlisten submission")
    rows = wait_arrived(w, of_level("a"), 40)
    never_more(rows, begun[0], RATE)
    reconfigure(w, "rate-total = 20/s\n", "")


# --- limits of connections ---

CONNECTIONS = {
    "lane": 'domain "lane.test" { connections = 3 }\n',
    "all": 'pool all { sources = { s1, s2 } }\ndomain "all.test" { site-connections = 3  pool = all }\n',
    "one": 'pool one { sources = { s3 } }\ndomain "one.test" { pool = one }\n',
}


def test_connections_of_each_level():
    """Sites that hold each message for a while."""
    blocks = "source first { }\n" + PAIR + source("s3", 13, "connections = 3") + "".join(CONNECTIONS.values())
    slow = "rule { on = dot delay = 100ms do = accept }"
    with running("".join(site(n, slow) for n in CONNECTIONS), blocks=blocks) as w:
        with held_back(w):
            for n in CONNECTIONS:
                batch(w, rcpts(12, f"{n}.test"))
        for n in CONNECTIONS:
            rows = wait_arrived(w, of_domain(f"{n}.test"), 12)
            # Whoever has had a message in this tenth of a second had a connection all that time.
            held = [len({r["connection"] for r in rows if 0 <= seconds(r) - seconds(first) < 0.09}) for first in rows]
            assert max(held) <= 3, (n, held)
        no_trouble(w)


def test_connections_of_a_pool():
    """Those it may have are busy and become free: what waits goes over them."""
    slow = "rule { on = dot delay = 100ms do = accept }"
    with running(site("a", slow) + site("b", slow), blocks=PAIR + "pool pair { sources = { s1, s2 }  connections = 3 }\n",
                 delivery="pool = pair") as w:
        with held_back(w):
            batch(w, rcpts(10, "a.test") + rcpts(10, "b.test"))
        rows = wait_arrived(w, lambda a: True, 20)
        held = [len({r["connection"] for r in rows if 0 <= seconds(r) - seconds(first) < 0.09}) for first in rows]
        assert max(held) <= 3, held
        no_trouble(w)


# --- long windows ---

HOURLY = 'site a { domains = { "a.test" } tls = none }\n'


@contextlib.contextmanager
def hourly(rate):
    """At twenty past, so that no hour ends meanwhile."""
    with World(settings="accounting-records = { d, b, t, r }\n", blocks=f'domain "a.test" {{ rate = {{ {rate} }} }}\n') as w:
        w.clock = Clock(w)
        w.clock.at(datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:20:00"))
        w.sim(HOURLY)
        w.start(wrapper=w.clock.wrapper)
        yield w


def test_an_hour_has_what_it_has():
    with hourly("30/h") as w:
        batch(w, rcpts(100, "a.test"))
        wait_arrived(w, of_domain("a.test"), 30)
        assert w.ctl("status", "--json")["summary"]["recipients"] == 70
        w.clock.ahead(seconds=3600)
        wait_for("the step", lambda: " clock_set " in w.log_text())
        time.sleep(1)
        assert len(w.arrived()) == 30, "a clock that is set begins no new hour"
        w.stop()
        w.start(wrapper=w.clock.wrapper)
        wait_arrived(w, of_domain("a.test"), 60)
        time.sleep(1)
        assert len(w.arrived()) == 60
        reconfigure(w, "30/h", "1000/h")
        wait_arrived(w, of_domain("a.test"), 100)
        assert len(w.arrived()) == 100
        no_trouble(w)


def test_an_hour_over_kills():
    """Each kill may cost what was under way and what the disk was told ahead, which is never too much."""
    kills = 3
    with hourly("10/s, 30/h") as w:
        batch(w, rcpts(100, "a.test"))
        for n in range(kills):
            wait_arrived(w, of_domain("a.test"), 6 * (n + 1))
            w.kill()
            w.start(wrapper=w.clock.wrapper)
        wait_arrived(w, of_domain("a.test"), 30 - 2 * kills)
        time.sleep(1)
        assert 30 - 2 * kills <= len(w.arrived()) <= 30
        reconfigure(w, "{ 10/s, 30/h }", "1000/h")
        wait_for("each of them", lambda: len({a["rcpt"] for a in w.arrived()}) == 100)
        wait_for("balance", lambda: w.ctl("audit", "--json")["summary"]["queued"] == 0)
        assert sum(r["type"] == "d" for r in w.rows()) == 100
        assert len(w.arrived()) <= 100 + kills, "what was under way may come twice, and no more"
        no_trouble(w)


HOURS = {  # each with blocks, and the settings of a user
    "source": source("s1", 11, "rate = { 10/s, 12/h }") + 'pool one { sources = { s1 } }\ndomain "source.test" { pool = one }\n',
    "pool": source("s2", 12) + "pool two { sources = { s2 }  rate = { 10/s, 12/h } }\n" 'domain "pool.test" { pool = two }\n',
    "site": 'domain "site.test" { site-rate = { 10/s, 12/h } }\n',
    "stream": 'stream jobs { jobs = { "stream" }  rate = { 10/s, 12/h } }\n',
    "user": "",
}


def test_an_hour_of_each_level_over_kills():
    kills = 2
    blocks = "source first { }\n" + "".join(HOURS.values())
    with running("".join(map(site, HOURS)), blocks=blocks, users={"shop": "rate = { 10/s, 12/h }"}, listen="auth-in-clear = yes") as w:
        with held_back(w):
            for level in HOURS:
                batch(w, rcpts(24, level + ".test"), user="shop" if level == "user" else None,
                      headers="X-Job: stream\r\n" if level == "stream" else "")
        for n in range(kills):
            wait_arrived(w, lambda a: True, 20 * (n + 1))
            w.kill()
            w.start()
        for level in HOURS:
            wait_arrived(w, of_domain(level + ".test"), 12 - 2 * kills)
        time.sleep(1)
        counts = {level: len(arrivals(w, of_domain(level + ".test"))) for level in HOURS}
        assert all(12 - 2 * kills <= count <= 12 for count in counts.values()), counts
        assert "limit_forgotten" not in w.log_text()


# --- pools ---

def by_client(rows):
    return collections.Counter(r["client"] for r in rows)


def test_weights_of_a_pool():
    """Over as many sites as messages, and at one site."""
    script = 'site many { domain-pattern = "d%02d.test" domains-count = 80 addresses = 80 tls = none }\n' + site("one")
    with running(script, blocks=PAIR + "pool pair { sources = { s1, s2:3 }  rate = 50/s }\n", delivery="pool = pair") as w:
        batch(w, [f"r@d{n:02d}.test" for n in range(80)])
        many = by_client(wait_arrived(w, lambda a: a["site"].startswith("many"), 80))
        assert abs(many["127.0.0.11"] - 20) <= 4 and sum(many.values()) == 80, many
        with held_back(w):
            batch(w, rcpts(80, "one.test"))
        one = by_client(wait_arrived(w, of_domain("one.test"), 80))
        assert abs(one["127.0.0.11"] - 20) <= 4 and sum(one.values()) == 80, one
        no_trouble(w)


@pytest.mark.parametrize("limit", ["one.test", "all"])
def test_weights_at_a_limit(limit):
    """What keeps the mail of both sources is the site's limit, or that of all: weights say whose turn it is."""
    settings, blocks = ("rate-total = 40/s\n", "") if limit == "all" else ("", 'domain "one.test" { site-rate = 40/s }\n')
    with running(site("one"), settings=settings, blocks=PAIR + "pool pair { sources = { s1, s2:3 } }\n" + blocks,
                 delivery="pool = pair") as w:
        with held_back(w):
            batch(w, rcpts(48, "one.test"))
        found = by_client(wait_arrived(w, of_domain("one.test"), 48))
        assert abs(found["127.0.0.11"] - 12) <= 3, found


def test_a_source_that_cannot_send():
    """Paused, or with an address this machine does not have: mail leaves by the others, or waits."""
    blocks = PAIR + ('source lost { address = "192.0.2.77" }\npool pair { sources = { s1, s2 } }\npool half { sources = { lost:9, s2 } }\n'
                     'pool none { sources = { lost } }\npool asleep { sources = { s1 } }\n')
    with running(site("a") + site("b"), blocks=blocks) as w:
        w.ctl("pause", "source", "s1")
        for pool in ("pair", "half", "none", "asleep"):
            batch(w, rcpts(10, "a.test", pool + "-"), headers=f"X-Mtad-Pool: {pool}\r\n")
        for pool in ("pair", "half"):
            assert set(by_client(wait_arrived(w, of_level(pool), 10))) == {"127.0.0.12"}
        time.sleep(1.2)  # another try of the lost address
        rows = {r["rcpt"]: r for r in w.ctl("list", "--json")["rows"]}
        assert set(rows) == {r for pool in ("none", "asleep") for r in rcpts(10, "a.test", pool + "-")}
        assert {r["attempts"] for r in rows.values()} == {0}
        assert "source_down source=lost" in w.log_text()
        no_trouble(w)
        w.ctl("resume", "source", "s1")
        assert set(by_client(wait_arrived(w, of_level("asleep"), 10))) == {"127.0.0.11"}
        reconfigure(w, "192.0.2.77", "127.0.0.13")
        assert set(by_client(wait_arrived(w, of_level("none"), 10))) == {"127.0.0.13"}
        no_trouble(w)


CHOICES = {  # sender, user, header, domain: source
    "header": ("s@x.test", None, "X-Mtad-Pool: p3\r\n", "plain.test", 13),
    "user": ("s@x.test", "shop", "", "plain.test", 14),
    "header before user": ("s@x.test", "shop", "X-Mtad-Pool: p3\r\n", "plain.test", 13),
    "sender": ("s@news.test", None, "", "plain.test", 15),
    "user before sender": ("s@news.test", "shop", "", "plain.test", 14),
    "provider": ("s@x.test", None, "", "theirs.test", 16),
    "sender before provider": ("s@news.test", None, "", "theirs.test", 15),
    "none": ("s@x.test", None, "", "plain.test", 12),
}


def test_who_chooses_the_pool():
    blocks = "".join(source(f"s{n}", 10 + n) + f"pool p{n} {{ sources = {{ s{n} }} {'senders = { @news.test }' if n == 5 else ''} }}\n"
                     for n in range(2, 7))
    blocks += 'provider big { mx = { "*.theirs.mx.test" }  pool = p6 }\n'
    with running(site("plain") + site("theirs"), blocks=blocks, users={"shop": "pool = p4"}, listen="auth-in-clear = yes") as w:
        for n, (sender, user, headers, domain, _) in enumerate(CHOICES.values()):
            batch(w, [f"r{n}@{domain}"], sender, user, headers)
        rows = {r["rcpt"]: r["client"] for r in wait_arrived(w, lambda a: True, len(CHOICES))}
        assert {name: rows[f"r{n}@{c[3]}"] for n, (name, c) in enumerate(CHOICES.items())} == {
            name: f"127.0.0.{c[4]}" for name, c in CHOICES.items()}


def test_a_domain_with_a_rate_of_its_own():
    """It is a site of its own beside its site-mates."""
    with running(site("a", domains=each("slow", "quick", "other")), blocks='domain "slow.test" { rate = 5/s }\n') as w:
        with held_back(w) as begun:
            for name in ("slow", "quick", "other"):
                batch(w, rcpts(10, name + ".test"))
        wait_arrived(w, of_domain("quick.test", "other.test"), 20)
        names = {r["site"] for r in w.ctl("sites", "--json")["rows"]}
        slow = wait_arrived(w, of_domain("slow.test"), 10)
        never_more(slow, begun[0], 5)
        assert seconds(arrivals(w, of_domain("quick.test", "other.test"))[-1]) < seconds(slow[-1])
        assert names == {"mx1.a.mx.test", "mx1.a.mx.test@slow.test"}


# --- classes and shares ---

def test_urgent_overtakes():
    """Of two thousand at twenty a second none but what is under way is before it."""
    with running(site("a"), blocks='domain "a.test" { rate = 20/s  recipients-per-transaction = 1 }\n') as w:
        batch(w, [rcpts(500, "a.test", f"b{n}-") for n in range(4)], headers="X-Mtad-Class: bulk\r\n")
        wait_arrived(w, of_domain("a.test"), 20)
        for n in range(5):
            batch(w, [f"urgent{n}@a.test"], headers="X-Mtad-Class: urgent\r\n")
            accepted = time.time()
            (urgent,) = wait_arrived(w, lambda a, rcpt=f"urgent{n}@a.test": a["rcpt"] == rcpt, 1)
            between = [r for r in w.arrived() if accepted < seconds(r) < seconds(urgent)]
            assert len(between) <= 20, f"{len(between)} bulk messages went first"
        assert len(w.arrived()) < 1000, "the queue was empty, and this shows nothing"
        no_trouble(w)


def test_shares_of_users():
    with running(site("a"), blocks='domain "a.test" { rate = 50/s }\n', users={"one": "", "three": "weight = 3"},
                 listen="auth-in-clear = yes") as w:
        with held_back(w):
            for user, count in (("one", 50), ("three", 90)):
                batch(w, rcpts(count, "a.test", user + "-"), user=user)
        rows = wait_arrived(w, of_domain("a.test"), 100)[:100]
        shares = collections.Counter(r["rcpt"].partition("-")[0] for r in rows)
        assert abs(shares["one"] - 25) <= 5, shares


def test_quota_of_a_user():
    """It holds mail and refuses none."""
    with running(site("a") + site("b"), users={"shop": "recipient-rate = 10/d", "other": ""}, listen="auth-in-clear = yes") as w:
        batch(w, list(itertools.chain(*zip(rcpts(8, "a.test"), rcpts(8, "b.test")))), user="shop")
        wait_arrived(w, lambda a: True, 10)
        batch(w, rcpts(5, "a.test", "other-"), user="other")
        wait_arrived(w, of_level("other"), 5)
        time.sleep(1)
        assert len(w.arrived()) == 15
        rows = w.ctl("list", "--json")["rows"]
        assert len(rows) == 6 and {(r["state"], r["attempts"]) for r in rows} == {("quota", 0)}
        assert len([line for line in w.ctl("list").splitlines() if ".test" in line]) >= 6
        no_trouble(w)


# --- all of it, killed ---

def test_a_kill_loses_nothing():
    blocks = PAIR + ('pool pair { sources = { s1, s2:3 }  rate = 40/s }\ndomain "a.test" { site-rate = 30/s }\n'
                     'stream news { jobs = { "news*" }  rate = 20/s  weight = 2 }\n')
    with running(site("a") + site("b"), blocks=blocks, delivery="pool = pair") as w:
        sent = []
        for n, (job, klass) in enumerate([("news1", "bulk"), ("news2", "normal"), ("bills", "urgent")]):
            for domain in ("a.test", "b.test"):
                sent += rcpts(20, domain, f"k{n}-")
                batch(w, rcpts(20, domain, f"k{n}-"), headers=f"X-Job: {job}\r\nX-Mtad-Class: {klass}\r\n")
        for n in range(2):
            wait_arrived(w, lambda a: True, 30 * (n + 1))
            w.kill()
            w.start()
        wait_for("each of them", lambda: {a["rcpt"] for a in w.arrived()} == set(sent))
        wait_for("balance", lambda: w.ctl("audit", "--json")["summary"]["queued"] == 0)
        assert collections.Counter(r["rcpt"] for r in w.rows() if r["type"] == "d") == collections.Counter(sent)
        no_trouble(w)
