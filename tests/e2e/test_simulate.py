# SPDX-License-Identifier: Apache-2.0
"""mtactl simulate: a real daemon's queue under another configuration. Nothing it does may reach the mail."""
import re
import subprocess

import pytest
from tools import program, running, wait_for

SCRIPT = """
site g { domains = { "g.test" } }
site s { domains = { "s.test" } }
site p { domains = { "paused.test", "kept.test" } }
"""
BLOCKS = """
source ip-a { address = { "127.0.0.8" } }
source ip-b { address = { "127.0.0.9" } }
pool default { sources = { ip-a } }
provider big { domains = { "g.test" }
    rate = 2/d
}
domain s.test { rate = 1/h }
"""
DAY = 86400 * 1000000


@pytest.fixture(scope="module")
def w():
    with running(SCRIPT, blocks=BLOCKS) as world:
        world.ctl("pause", "domain", "paused.test", "--for", "2h")
        for domain, count in (("g.test", 8), ("s.test", 5), ("paused.test", 3)):
            for n in range(count):
                world.send("s@x.test", [f"r{n}@{domain}"])
        world.ctl("pause", "domain", "kept.test")
        world.send("s@x.test", ["r@kept.test"])
        world.ctl("hold", "--domain", "kept.test", "--yes")
        world.ctl("resume", "domain", "kept.test")
        wait_for("what the limits let go", lambda: sum(r["type"] == "d" for r in world.rows()) == 3)
        yield world


def other(w, *changes, name="other.conf"):
    text = (w.dir / "mtad.conf").read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (w.dir / name).write_text(text)
    return str(w.dir / name)


def simulate(w, conf, *options):
    answer = w.ctl("simulate", conf, *options, "--json")
    return {r["site"].split("@")[0]: r for r in answer["rows"]}, answer


def test_nothing_changes(w):
    rows, answer = simulate(w, other(w))
    assert sum(r["recipients"] for r in rows.values()) == 6 + 4 + 3 == answer["total"]["recipients"]
    assert all(r["difference_us"] == 0 for r in rows.values()), rows
    assert answer["total"]["difference_us"] == 0
    big = rows["big"]
    # Two of eight have gone today; two a day: six are through on the third day after.
    assert big["now"]["end"] == "empty" and 2 * DAY < big["now"]["empty_us"] < 3 * DAY
    assert (big["now"]["why"], big["now"]["limit"], big["now"]["unit"]) == ("rate", 2, "messages")
    text = w.ctl("simulate", other(w))
    assert re.search(r"^big +6 .* none +limit 2 messages/d", text, re.M), text
    assert re.search(r"^all sites +13 ", text, re.M) and "Assumed: no mail comes in" in text
    assert answer["summary"]["held"] == 1 and "Not counted: 1 held" in text


def test_higher_rate(w):
    rows, _ = simulate(w, other(w, ("rate = 2/d", "rate = 500/m")))
    assert rows["big"]["then"]["empty_us"] < 60 * 1000000
    assert rows["big"]["difference_us"] == rows["big"]["then"]["empty_us"] - rows["big"]["now"]["empty_us"] < -DAY
    assert all(r["difference_us"] == 0 for site, r in rows.items() if site != "big")


def test_more_sources(w):
    rows, _ = simulate(w, other(w, ("sources = { ip-a }", "sources = { ip-a, ip-b }")))
    # The new one has its two of today left: two at once, then four a day.
    assert rows["big"]["then"]["empty_us"] < rows["big"]["now"]["empty_us"] - DAY // 2


def test_pause_holds(w):
    rows, _ = simulate(w, other(w))
    row = next(r for r in rows.values() if r["recipients"] == 3)
    assert 0.9 * DAY / 12 < row["now"]["empty_us"] < DAY / 11
    assert row["then"]["why"] == "paused"


def test_running_settings_and_not_the_file(w):
    """What is in force is compared, though its file was edited meanwhile."""
    path = w.dir / "mtad.conf"
    before = path.read_text()
    path.write_text(before.replace("rate = 2/d", "rate = 100/s"))
    try:
        rows, _ = simulate(w, str(path))
    finally:
        path.write_text(before)
    assert rows["big"]["now"]["empty_us"] > DAY and rows["big"]["then"]["empty_us"] < 60 * 1000000


def test_a_new_provider_takes_the_site(w):
    answer = w.ctl("sites", "--json")
    host = next(r["site"] for r in answer["rows"] if "paused" not in r["site"] and r["site"].split("@")[0] != "big")
    rows, _ = simulate(w, other(w, ("domain s.test { rate = 1/h }", "provider small { domains = s.test rate = 4/d }")))
    row = rows[host.split("@")[0]]
    # The site's limits are new under another name: nothing is used up yet.
    assert row["then"]["empty_us"] < row["now"]["empty_us"]


def test_days_and_top(w):
    conf = other(w)
    rows, answer = simulate(w, conf, "--days", "1", "--top", "1")
    assert list(rows) == ["big"] and answer["summary"]["sites"] == 3
    assert rows["big"]["now"]["end"] == "later" and rows["big"]["difference_us"] is None
    assert rows["big"]["now"]["left"] == 4
    text = w.ctl("simulate", conf, "--days", "1", "--top", "1")
    assert "more than 1d" in text and "... and 2 more (--top 0 shows all)" in text
    text = w.ctl("simulate", other(w, ("rate = 2/d", "rate = 3/d")), "--days", "1", "--top", "1")
    assert "2 fewer left" in text, text


@pytest.mark.parametrize("arguments, words, code", [
    ([], "simulate which configuration", 2),
    (["{conf}", "--days", "0"], "--days takes a number from 1", 2),
    (["{conf}", "--top", "x"], "--top takes a number", 2),
    (["{conf}", "more"], "does not know what to do with", 2),
    (["{dir}/none.conf"], "none.conf: cannot be opened", 1),
    (["{bad}"], "bad.conf:{line}: ", 1),
])
def test_wrong(w, arguments, words, code):
    bad = other(w, ("rate = 2/d", "rat = 2/d"), name="bad.conf")
    line = next(n for n, text in enumerate(open(bad).read().splitlines(), 1) if "rat = 2/d" in text)
    arguments = [a.format(conf=w.dir / "mtad.conf", dir=w.dir, bad=bad) for a in arguments]
    run = subprocess.run([program("mtactl"), "-c", str(w.dir / "mtad.conf"), "simulate", *arguments], capture_output=True, text=True)
    assert run.returncode == code and words.format(line=line) in run.stderr, run.stderr


def test_mail_is_not_touched(w):
    before = w.ctl("queue", "--json")["rows"]
    simulate(w, other(w, ("rate = 2/d", "rate = 500/m")))
    after = w.ctl("queue", "--json")["rows"]
    assert [(r["domain"], r["ready"], r["waiting"]) for r in before] == [(r["domain"], r["ready"], r["waiting"]) for r in after]
    assert sum(r["type"] == "d" for r in w.rows()) == 3


def test_what_an_operator_has_set_holds_in_both(w):
    before = simulate(w, other(w))[0]["big"]["now"]
    w.ctl("set", "site", "big", "rate=1/d", "--for", "90d")
    try:
        big = simulate(w, other(w, ("rate = 2/d", "rate = 100/d")))[0]["big"]
    finally:
        w.ctl("unset", "site", "big")
    assert before["end"] == big["now"]["end"] == big["then"]["end"] == "empty"
    assert big["now"]["empty_us"] >= before["empty_us"] + 2 * DAY
    assert big["then"]["empty_us"] > 4 * DAY  # today's one goes at once, for the 2 a day are not used up there
