# SPDX-License-Identifier: Apache-2.0
"""What operators see of pace: mtactl why, lanes, sources, streams, limits. One world in which mail waits for many reasons."""
import json
import os
import re
import subprocess

import pytest
from tools import program, running, wait_for

SCRIPT = """
site g { domains = { "g.test", "g2.test" } }
site busy { domains = { "busy.test" } rule { on = dot do = stall } }
site grey { domains = { "grey.test" } rule { on = rcpt reply = "451 4.7.1 Greylisted for 300 seconds" } }
site off { domains = { "off.test" } host { number = 1 fault = refuse } }
site p { domains = { "paused.test", "other.test" } }
site ill { domains = { "ill.test" } dns { fault = servfail on = mx } }
site s { domains = { "s.test" } }
site full { domains = { "full.test" } rule { on = dot do = stall } }
"""
BLOCKS = """
source ip-a { address = { "127.0.0.8" }  ehlo = a.sender.test }
source ip-b { address = { "127.0.0.9" } }
pool default { sources = { ip-a } }
pool two { sources = { ip-b:3 } }
provider google { domains = { "g.test", "g2.test" }
    rate = 3/d
}
domain busy.test { connections = 1  overlap = no }
domain full.test { site-connections = 1  overlap = no }
domain other.test { pool = two }
stream spring { jobs = { spring }
    recipient-rate = 1/d
}
"""
REASON = {"why", "level", "name", "source", "site", "pool", "block", "unit", "limit", "per_us", "since_us", "until_us", "reason",
          "sandbox", "at_site"}


def line_of(w, text):
    lines = (w.dir / "mtad.conf").read_text().splitlines()
    return next(n for n, line in enumerate(lines, 1) if text in line)


@pytest.fixture(scope="module")
def w():
    with running(SCRIPT, settings="dns-retry = 1h\n", delivery="retry = { 12m }", blocks=BLOCKS) as world:
        world.ctl("pause", "domain", "paused.test", "--for", "2h", "--reason", "asked by phone")
        world.ctl("pause", "source", "ip-b", "--reason", "blocked")
        for domain, count in (("g.test", 8), ("busy.test", 3), ("full.test", 2), ("paused.test", 1), ("other.test", 1)):
            for n in range(count):
                world.send("s@x.test", [f"r{n}@{domain}"])
        world.send("s@x.test", ["a@grey.test", "b@off.test", "c@ill.test", "d@g2.test"])
        for n in range(3):
            world.send("s@x.test", [f"r{n}@s.test"], headers="X-Job: spring\r\n")
        world.send("s@x.test", ["second@grey.test"])
        wait_for("the site's replies", lambda: sum("Greylisted" in r["dsnDiag"] for r in world.rows()) == 2)
        wait_for("the refused connection", lambda: [r for r in world.rows() if r["rcpt"] == "b@off.test" and r["type"] == "t"])
        wait_for("both connections", lambda: all(world.ctl("why", d, "--json")["summary"]["leased"] == 1
                                                 for d in ("busy.test", "full.test")))
        wait_for("three deliveries", lambda: sum(r["type"] == "d" and "g.test" in r["rcpt"] for r in world.rows()) == 3)
        yield world


def why(w, *what):
    answer = w.ctl("why", *what, "--json")
    return answer["rows"], answer["summary"]


# domain: (why, recipients, members of the row, words of the sentences)
EXPECTED = {
    "g.test": ("rate", 5, {"level": "lane", "name": "google", "source": "ip-a", "unit": "messages", "limit": 3, "per_us": 86400000000,
                           "pool": "default", "site": "google"},
               r"5: Limited by the lane ip-a -> google: 3 messages/d, used up; more at .*Raise `rate` in provider google "
               r"\(.*mtad.conf:{rate = 3/d}\), or add a source to pool default\."),
    "busy.test": ("busy", 2, {"level": "lane", "source": "ip-a", "limit": 1},
                  r"2: All connections of the lane ip-a -> .* are at work: 1\. Raise `connections` in domain busy.test "
                  r"\(.*mtad.conf:{connections = 1  overlap}\)"),
    "full.test": ("connections", 1, {"level": "site", "limit": 1},
                  r"1: Limited by site .*: 1 connections at once, all in use\. Raise `site-connections` in domain full.test "
                  r"\(.*mtad.conf:{site-connections}\)"),
    "grey.test": ("retry", 2, {"reason": "451 4.7.1 Greylisted for 300 seconds"},
                  r"2: Deferred; next attempt \S+ \(in 1[0-9]m\): 451 4.7.1 Greylisted for 300 seconds\. "
                  r"`mtactl retry --domain grey.test` tries now\."),
    "off.test": ("retry", 1, {}, r"1: Deferred; next attempt .*Connection refused"),
    "ill.test": ("route", 1, {}, r"1: No route: .* It is looked up again .*; `mtactl retry --domain ill.test` does so now\."),
    "paused.test": ("paused", 1, {"level": "domain", "name": "paused.test", "reason": "asked by phone"},
                    r"1: domain paused.test is paused until \S+ \(in 1..m\): asked by phone\. "
                    r"`mtactl resume domain paused.test` ends that\."),
    "other.test": ("paused", 1, {"level": "source", "source": "ip-b", "reason": "blocked", "until_us": 0},
                   r"1: source ip-b is paused until it is resumed: blocked\. `mtactl resume source ip-b` ends that\."),
    "s.test": ("rate", 2, {"level": "stream", "name": "/spring/normal", "block": "spring", "unit": "recipients", "limit": 1},
               r"2: Limited by stream /spring/normal: 1 recipient/d, used up; .*Raise `recipient-rate` in stream spring "
               r"\(.*mtad.conf:{recipient-rate}\)"),
}


@pytest.mark.parametrize("domain", EXPECTED)
def test_domain(w, domain):
    word, count, members, words = EXPECTED[domain]
    rows, summary = why(w, domain)
    row = next(r for r in rows if r["why"] != "leased")
    assert (row["why"], row["recipients"]) == (word, count) and all(row[k] == v for k, v in members.items()), rows
    assert set(row) == REASON | {"recipients", "limit_each_us"}
    assert summary["domain"] == domain and summary["ready"] + summary["waiting"] == count
    words = re.sub(r"\{(\D.*?)\}", lambda m: str(line_of(w, m[1])), words)
    assert re.search(words, w.ctl("why", domain)), w.ctl("why", domain)


def test_time_to_empty(w):
    _, summary = why(w, "g.test")
    assert summary["delivered_per_hour"] > 0
    # Five and the one of g2.test share the lane. Its limit says more than the last minute does: three a day.
    assert (summary["limit_each_us"], summary["empty_us"]) == (8 * 3600 * 1000000, 48 * 3600 * 1000000)
    assert "Empty in about 2d at this limit." in w.ctl("why", "g.test")
    rows, summary = why(w, "--site", "google")
    assert sum(r["recipients"] for r in rows) == 6 and summary["site_ready"] == 6


def test_message(w):
    rows, summary = why(w, "g.test")
    message = next(r["id"] for r in w.ctl("list", "--json", "--domain", "off.test")["rows"])
    rows, summary = why(w, message)
    assert [(r["rcpt"], r["why"], r["attempts"]) for r in rows] == [
        ("a@grey.test", "retry", 1), ("b@off.test", "retry", 1), ("c@ill.test", "route", 0), ("d@g2.test", "rate", 0)]
    assert (summary["id"], summary["sender"], summary["recipients"]) == (message, "s@x.test", 4)
    assert REASON < set(rows[0]) and rows[0]["reply"].startswith("451 4.7.1")
    text = w.ctl("why", message)
    assert re.search(rf"a@grey.test  1 attempt, the last reply means policy-related\n    Deferred; .*`mtactl retry {message}/0` tries now", text), text
    assert [r["n"] for r in why(w, message + "/3")[0]] == [3]
    w.ctl("hold", message + "/0")
    assert [r["why"] for r in why(w, message + "/0")[0]] == ["held"]
    assert f"`mtactl release {message}/0`" in w.ctl("why", message + "/0")
    w.ctl("release", message + "/0")


def test_what_is_not_there(w):
    done = w.ctl("why", "gone.test", check=False)
    assert done.returncode == 1 and f"accounting file, {w.dir}/acct.csv" in done.stderr
    for what, words in ((["ffff"], "message ffff is not"), (["1/9"], "recipient 1/9 is not"), (["--site", "none"], "mtactl sites"),
                        (["a b"], "is no domain")):
        done = w.ctl("why", *what, check=False)
        assert done.returncode == 1 and words in done.stderr, done
    for wrong in ([], ["1", "2"], ["a.test", "--site", "x"], ["a.test", "--user", "u"]):
        assert w.ctl("why", *wrong, check=False).returncode == 2, wrong


def test_lanes(w):
    rows = w.ctl("lanes", "--json")["rows"]
    google = next(r for r in rows if r["site"] == "google")
    assert (google["why"], google["ready"], google["source"], google["connections_max"]) == ("rate", 6, "ip-a", 10)
    assert [r["site"] for r in w.ctl("lanes", "--site", "google", "--json")["rows"]] == ["google"]
    assert len(w.ctl("lanes", "--limit", "2", "--json")["rows"]) == 2
    assert re.search(r"(?m)^google +ip-a +0/./10 +6  limit 3 messages/d +\d+[hms]$", w.ctl("lanes"))
    assert re.search(r"(?m) ip-b +0/0/10 +1  source paused: blocked +-$", w.ctl("lanes"))


def test_sources(w):
    rows = {r["source"]: r for r in w.ctl("sources", "--json")["rows"]}
    assert set(rows) == {"ip-a", "ip-b"}
    assert rows["ip-a"]["addresses"] == ["127.0.0.8"] and rows["ip-a"]["ehlo"] == "a.sender.test"
    assert rows["ip-b"]["pools"] == [{"pool": "two", "weight": 3}] and rows["ip-b"]["ehlo"] == "mta.sender.test"
    assert (rows["ip-a"]["why"], rows["ip-b"]["why"]) == ("going", "paused") and rows["ip-a"]["sessions"] >= 2
    assert re.search(r"(?m)^ip-b +127.0.0.9 +mta.sender.test +two:3 +0/- +paused: blocked +-$", w.ctl("sources"))


def test_streams(w):
    rows = {(r["user"], r["job"], r["class"]): r for r in w.ctl("streams", "--json")["rows"]}
    spring = rows["", "spring", "normal"]
    assert (spring["ready"], spring["why"], spring["level"], spring["weight"]) == (2, "rate", "stream", 1)
    assert spring["user_weight"] == 1
    assert rows["", "", "normal"]["why"] == "going" and rows["", "", "normal"]["leased"] == 2
    queued = w.ctl("status", "--json")["summary"]["recipients"]
    assert sum(r["recipients"] for r in rows.values()) == queued
    assert w.ctl("streams", "--user", "nobody", "--json")["rows"] == []
    assert re.search(r"(?m)^- +spring +normal +1 +1 +2 +- +- +-  limit 1 recipient/d of stream +\d+[hms]$", w.ctl("streams"))


def test_limits(w):
    rows = w.ctl("limits", "--json")["rows"]
    assert all(set(r) == {"level", "name", "source", "unit", "limit", "per_us", "used", "left", "until_us", "waiters"} for r in rows)
    assert [r["waiters"] for r in rows] == sorted((r["waiters"] for r in rows), reverse=True)
    lane = next(r for r in rows if r["level"] == "lane")
    assert (lane["name"], lane["source"], lane["used"], lane["left"], lane["waiters"]) == ("google", "ip-a", 3, 0, 1)
    site = next(r for r in rows if r["level"] == "site")
    assert (site["unit"], site["limit"], site["per_us"], site["used"], site["waiters"]) == ("connections", 1, 0, 1, 1)
    stream = w.ctl("limits", "--level", "stream", "--json")["rows"]
    assert [(r["name"], r["unit"], r["left"], r["waiters"]) for r in stream] == [("/spring/normal", "recipients", 0, 1)]
    assert w.ctl("limits", "--level", "all", "--json")["rows"][0]["limit"] == 2000
    assert re.search(r"(?m)^lane +ip-a -> google +messages +3/d +3 +0 +\d+[hms] +1$", w.ctl("limits"))
    done = w.ctl("limits", "--level", "lanes", check=False)
    assert done.returncode == 1 and "--level takes lane, site" in done.stderr


def test_sites_say_how_much_they_take(w):
    rows = {r["site"]: r for r in w.ctl("sites", "--json")["rows"]}
    assert 0 < rows["google"]["delivered_per_hour"] <= 180 and "RATE/H" in w.ctl("sites")


@pytest.mark.parametrize("columns", [60, 80, 140])
def test_lines_fit_the_terminal(w, columns):
    for command in (["why", "grey.test"], ["lanes"], ["limits"], ["streams"], ["sources"])[:1 if columns < 80 else 5]:
        done = subprocess.run([program("mtactl"), "--socket", str(w.dir / "control"), *command], capture_output=True, text=True,
                              env=dict(os.environ, COLUMNS=str(columns)))
        assert done.returncode == 0 and max(len(line) for line in done.stdout.splitlines()) <= columns, done.stdout


def test_watch(w):
    watcher = subprocess.Popen([program("mtactl"), "--socket", str(w.dir / "control"), "--json", "why", "g.test", "--watch"],
                               stdout=subprocess.PIPE, text=True)
    try:
        seen = [json.loads(watcher.stdout.readline()) for _ in range(2)]
    finally:
        watcher.kill()
        watcher.wait()
    assert all(s["rows"][0]["why"] == "rate" for s in seen)


def test_more_lanes_than_a_portion():
    """Rows come 256 at a time; lanes, their limits and the parts of a stream are each met once."""
    count = 200
    script = "".join(f'site s{n} {{ domains = {{ "d{n}.test" }} }}\n' for n in range(count))
    blocks = 'source one { address = { "127.0.0.8" } }\nsource two { address = { "127.0.0.9" } }\npool default { sources = { one, two } }\n'
    with running(script, delivery="rate = 1000/h", blocks=blocks) as w:
        w.ctl("pause", "source", "one")
        w.ctl("pause", "source", "two")
        w.send("s@x.test", [f"r@d{n}.test" for n in range(count)])
        wait_for("the lanes", lambda: w.ctl("lanes", "--json", "--limit", "1")["summary"]["lanes"] == 2 * count)
        assert len({(r["site"], r["source"]) for r in w.ctl("lanes", "--json")["rows"]}) == 2 * count
        assert len(w.ctl("lanes").splitlines()) == 42 and len(w.ctl("lanes", "--limit", "0").splitlines()) == 2 * count + 1
        lanes = [r for r in w.ctl("limits", "--json")["rows"] if r["level"] == "lane"]
        assert len({(r["name"], r["source"]) for r in lanes}) == 2 * count and all(r["left"] == 1000 for r in lanes)
        assert [r["ready"] for r in w.ctl("streams", "--json")["rows"]] == [count]
        rows, summary = why(w, "1")
        assert (len(rows), summary["recipients"]) == (100, count) and {r["why"] for r in rows} == {"paused"}
        assert len(why(w, "1", "--limit", "0")[0]) == count
