# SPDX-License-Identifier: Apache-2.0
"""mtactl warmup plan: what a curve means, before anything is sent. mtactl warmup: how it gets on, and what operators do. mtactl clear."""
import json
import re
import subprocess
import xml.etree.ElementTree

import pytest
from clock import Clock
from tools import program, running, wait_for
from world import World


def plan(*words, before=(), **env):
    return subprocess.run([program("mtactl"), *before, "warmup", "plan", *words], capture_output=True, text=True,
                          env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "COLUMNS": "100", **env})


def test_table_and_chart():
    said = plan("--volume", "3000", "--start", "2026-11-30")
    assert (said.returncode, said.stderr) == (0, "")
    lines = said.stdout.splitlines()
    assert lines[0].split() == ["DAY", "DATE", "STAGE", "CAP", "EXPECTED", "OVERFLOW"]
    assert lines[1].split() == ["1", "2026-11-30", "1/29", "200", "200", "2,800"]
    assert lines[5].split() == ["5", "2026-12-04", "5/29", "5,000", "3,000", "0"]
    assert lines[7] == ("stays at stage 5 of 29: 3,000 a day are below 90 % of its cap of 5,000, and nothing is held back")
    assert "█" in said.stdout and "\033" not in said.stdout
    assert plan("--volume", "3000", "--start", "2026-11-30", "--plain").stdout.isascii()
    assert plan("--volume", "3000", "--start", "2026-11-30", LC_ALL="C").stdout.isascii()


def test_providers_go_their_own_way():
    said = plan("--volumes", "10,20,40", "--volume", "100", "--providers", "a=40%,b=12.5%", "--json")
    answer = json.loads(said.stdout)
    rows = [{p["provider"]: (p["stage"], p["cap"], p["expected"], p["overflow"], p["warm"]) for p in row["providers"]} for row in answer["rows"]]
    assert rows == [{"a": (1, 10, 10, 30, False), "b": (1, 10, 10, 2, False), "other": (1, 10, 10, 38, False)},
                    {"a": (2, 20, 20, 20, False), "b": (2, 20, 12, 0, False), "other": (2, 20, 20, 28, False)},
                    {"a": (3, 40, 40, 0, False), "b": (2, 20, 12, 0, False), "other": (3, 40, 40, 8, False)}]
    assert [(row["expected"], row["overflow"]) for row in answer["rows"]] == [(30, 70), (52, 48), (92, 8)]


def test_picture(tmp_path):
    file = tmp_path / "plan.svg"
    said = plan("--providers", "a=40%", "--svg", str(file))
    assert said.returncode == 0 and "EXPECTED" in said.stdout
    root = xml.etree.ElementTree.parse(file).getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert plan("--providers", "a=40%", "--svg", "-").stdout == file.read_text()
    refused = plan("--svg", str(tmp_path / "none" / "plan.svg"))
    assert refused.returncode == 1 and "No such file" in refused.stderr


def test_curve_of_the_configuration(tmp_path):
    (tmp_path / "mtad.conf").write_text("hostname = mta1.example.com\nsource a { warmup = slow }\nwarmup slow { volumes = { 7, 9 } }\n")
    for words in ({"before": ("-c", str(tmp_path / "mtad.conf"), "--json")}, {}):
        said = plan("--curve", "slow", *([] if words else ["-c", str(tmp_path / "mtad.conf"), "--json"]), **words)
        assert [row["providers"][0]["cap"] for row in json.loads(said.stdout)["rows"]] == [7, 9]
    assert "there is no curve \"fast\"" in plan("--curve", "fast", before=("-c", str(tmp_path / "mtad.conf"))).stderr


@pytest.mark.parametrize("words,why", [
    ("--volumes 5,4", "each is at least the one before it"),
    ("--volumes 0", "from 1 to"),
    ("--volumes 1,x", "no number"),
    ("--volumes " + ",".join("1" * 101), "at most 100 stages"),
    ("--volumes 1 --curve brisk", "either this or --curve"),
    ("--providers a", "write google=40%"),
    ("--providers a=50%,b=51%", "no more than 100%"),
    ("--providers a=0%", "each has a part"),
    ("--providers a=5", "no percentage"),
    ("--providers " + ",".join(f"p{i}=1%" for i in range(7)), "at most six"),
    ("--volume 0", "from 1 to"),
    ("--volume 1000000001", "from 1 to"),
    ("--start 2026-02-30", "no day"),
    ("--start", "needs a value"),
    ("--rate 5", "takes no --rate"),
    ("now", "does not know what to do with"),
])
def test_refused(words, why):
    said = plan(*words.split())
    assert said.returncode == 2 and why in said.stderr and said.stdout == ""


# --- warm-ups under way ---

SITES = """
site g { domains = { "g.test" } }
site o { domains = { "o.test" } }
"""
BLOCKS = """
source old { address = { "127.0.0.8" } }
source new { address = { "127.0.0.9" }  warmup = small }
source later { address = { "127.0.0.10" }  warmup = small  warmup-start = 2038-01-01 }
pool default { sources = { new } }
pool rest { sources = { later } }
provider google { domains = { "g.test" } }
provider future { domains = { "f.test" }  pool = rest }
warmup small { volumes = { 96, 120, 960 } }
"""


def warmups(w, *words):
    return {(r["source"], r["group"]): r for r in w.ctl("warmup", *words, "--json")["rows"]}


def sends(w, count, domain):
    for n in range(count):
        w.send("s@x.test", [f"r{n}@{domain}"])


def delivered(w, domain):
    return sum(r["type"] == "d" and r["rcpt"].endswith("@" + domain) for r in w.rows())


@pytest.fixture(scope="module")
def w():
    """Two mails arrived towards google and the rest of them waits for its hour; then a day and an operator's act passed."""
    with World(settings="accounting-records = { d, b, t, r }\naccounting-rotate-age = 0s\n", blocks=BLOCKS) as world:
        world.clock = Clock(world)
        world.clock.at("2026-11-30T08:00:00")
        world.sim(SITES)
        world.start(wrapper=world.clock.wrapper)
        sends(world, 5, "g.test")
        sends(world, 1, "o.test")
        # A quarter of an hour at once: 96 / 12 / 4.
        wait_for("two and one", lambda: (delivered(world, "g.test"), delivered(world, "o.test")) == (2, 1))
        yield world


def test_status(w):
    rows = warmups(w)
    assert set(rows) == {("new", "google"), ("new", "other"), ("later", "")}
    row = rows["new", "google"]
    assert (row["state"], row["stage"], row["stages"], row["cap"], row["sent"], row["left"]) == ("going", 1, 3, 96, 2, 94)
    assert 2 < row["wanted"] <= 5  # as many as were there when it was last asked
    assert (row["delivered"], row["today"], row["last_day"], row["history"], row["rate"]) == (2, "2026-11-30", None, [], "")
    assert [(d["date"], d["stage"], d["sent"], d["step"]) for d in row["forecast"]] == [
        ("2026-11-30", 1, row["wanted"], "little")]
    assert (rows["later", ""]["state"], rows["later", ""]["start"]) == ("new", "2038-01-01")
    lines = w.ctl("warmup").splitlines()
    assert lines[0].split() == ["SOURCE", "TOWARDS", "STAGE", "CAP", "SENT", "LEFT", "HEALTH", "LAST", "DAY", "STATE"]
    assert "new google 1/3 96 2 94 good - going".split() in [line.split() for line in lines]
    assert any(re.fullmatch(r"later +- .*no mail yet; starts on 2038-01-01", line) for line in lines)
    assert set(warmups(w, "--provider", "other")) == {("new", "other")}
    assert "`mtactl warmup` shows" in w.ctl("why", "g.test")


@pytest.mark.parametrize("words,why", [
    ("--source none", "there is no source none; there are old, new, later"),
    ("--source old", "source old does not warm up; those that do: "),
    ("--provider yahoo", "nothing warms up towards yahoo; there is: "),
    ("hold none", "there is no source none"),
    ("hold new yahoo", "nothing warms up towards yahoo from new; there is: "),
    ("hold", "warmup hold of which source or @domain?"),
    ("hodl new", 'did you mean "hold"?'),
    ("hold new --source new", "takes SOURCE or @DOMAIN [PROVIDER]"),
    ("skip new", "add --yes to skip the warm-up of new"),
    ("restart new", "add --yes to restart"),
    ("finish new google", "add --yes to finish"),
    ("--yes", "are for hold"),
    ("--svg x.svg", "--svg draws one warm-up"),
])
def test_not_done(w, words, why):
    done = w.ctl("warmup", *words.split(), check=False)
    assert done.returncode in (1, 2) and why in done.stderr, done.stderr
    assert {r["act"] for r in warmups(w).values() if r["group"]} <= {""}


def test_acts_and_days(w, tmp_path):
    """In their order: each is a part of the same days."""
    assert w.ctl("warmup", "hold", "new", "google", "--reason", "list is old") == "hold new towards google: done\n"
    row = warmups(w)["new", "google"]
    assert (row["state"], row["act"], row["held"]) == ("held", "hold", True)
    assert re.fullmatch(r".+\(\d+\): list is old", row["act_words"])
    again = w.ctl("warmup", "hold", "new", "google", check=False)
    assert again.returncode == 1 and "nothing to do: it is held" in again.stdout
    assert sorted(w.ctl("warmup", "hold", "new").splitlines()) == [
        "hold new towards google: nothing to do: it is held", "hold new towards other: done"]
    w.ctl("warmup", "release", "new")
    assert {r["state"] for k, r in warmups(w).items() if k[0] == "new"} == {"going"}
    assert re.search(r'operator who=\S+ what=warmup-hold count=1 args=".*list is old', w.log_text())

    w.ctl("warmup", "skip", "new", "google", "--yes")
    assert (warmups(w)["new", "google"]["stage"], warmups(w)["new", "other"]["stage"]) == (2, 1)
    w.clock.ahead(days=1)
    wait_for("the next day", lambda: warmups(w)["new", "google"]["today"] == "2026-12-01")
    row = warmups(w)["new", "google"]
    day = row["last_day"]
    assert (day["date"], day["stage"], day["cap"], day["words"], day["act"]) == (
        "2026-11-30", 2, 120, "held: too little mail", "skip")
    assert row["history"] == [day] and day["sent"] >= 2
    text = w.ctl("warmup", "--source", "new", "--provider", "google")
    assert re.search(r"2026-11-30 +2 +120 +\d+ +\d +held: too little mail; operator: skip\n", text), text
    assert f"ahead, with {row['forecast_wanted']} recipients a day in good health:" in text
    assert "skipped a stage 2026-11-30" in text
    assert "Warm-up of new towards google" in text
    # Without a selection days are shown when they are asked for.
    assert "in good health" not in w.ctl("warmup") and "in good health" in w.ctl("warmup", "--history")

    file = tmp_path / "new.svg"
    w.ctl("warmup", "--source", "new", "--provider", "google", "--svg", str(file))
    assert "held: too little mail; operator: skip" in file.read_text() and "today, and what is expected" in file.read_text()
    assert xml.etree.ElementTree.parse(file).getroot().tag == "{http://www.w3.org/2000/svg}svg"

    w.ctl("warmup", "finish", "new", "google", "--yes", "--reason", "known well")
    row = warmups(w)["new", "google"]
    assert (row["state"], row["warm"], row["cap"], row["forecast"]) == ("warm", True, 0, [])
    sends(w, 30, "g.test")
    wait_for("all of it", lambda: delivered(w, "g.test") == 35)
    assert w.ctl("warmup", "skip", "new", "google", "--yes", check=False).returncode == 1
    w.ctl("warmup", "restart", "new", "google", "--yes")
    assert (warmups(w)["new", "google"]["stage"], warmups(w)["new", "google"]["cap"]) == (1, 96)
    assert w.ctl("warmup", "hold", "later", check=False).stdout.startswith("hold later: not done: no mail has gone")

    # After a start the schedule knows the days and the curve, before there is mail.
    w.stop()
    w.start(wrapper=w.clock.wrapper)
    row = warmups(w)["new", "google"]
    assert (row["state"], row["stage"], row["history"], row["act"]) == ("going", 1, [day], "restart")
    w.ctl("warmup", "hold", "new", "google")
    assert warmups(w)["new", "google"]["state"] == "held"


SENDER_BLOCKS = """
source one { address = { "127.0.0.8" } }
source two { address = { "127.0.0.9" } }
pool default { sources = { one, two } }
provider google { domains = { "g.test" } }
sender new.test { warmup = small }
sender own.new.test { }
sender later.test { warmup = small  warmup-start = 2038-01-01 }
warmup small { volumes = { 96, 120, 960 } }
"""


def sends_from(w, author, count, who):
    """With an envelope of its own, as VERP and services have it."""
    for n in range(count):
        with w.client() as c:
            c.sendmail(f"v+{n}@bounces.esp.test", [f"{who}{n}@g.test"], f"From: News <{author}>\r\nSubject: t\r\n\r\nhello\r\n".encode())


def arrived(w, who):
    return sorted(r["rcpt"] for r in w.rows() if r["type"] == "d" and r["rcpt"].startswith(who))


def test_domain_of_a_sender(tmp_path):
    """It warms up over all sources, by the domain in From with its subdomains; other mail does not wait for it. What waits, and
    what is counted, is known after kill -9."""
    with World(settings="accounting-records = { d, b, t, r }\naccounting-rotate-age = 0s\n", blocks=SENDER_BLOCKS) as w:
        w.clock = Clock(w)
        w.clock.at("2026-11-30T08:00:00")
        w.sim(SITES)
        w.start(wrapper=w.clock.wrapper)
        sends_from(w, "a@mail.New.test", 5, "new")
        sends_from(w, "a@own.new.test", 4, "own")
        sends_from(w, "a@old.test", 4, "old")
        wait_for("all that may", lambda: [len(arrived(w, who)) for who in ("new", "own", "old")] == [2, 4, 4])
        rows = warmups(w)
        assert set(rows) == {("@new.test", "google"), ("@later.test", "")}
        row = rows["@new.test", "google"]
        assert (row["state"], row["stage"], row["cap"], row["sent"], row["left"]) == ("going", 1, 96, 2, 94)
        assert 2 < row["wanted"] <= 5  # as many as were there when it was last asked
        assert (rows["@later.test", ""]["state"], rows["@later.test", ""]["start"]) == ("new", "2038-01-01")
        said = w.ctl("why", "g.test")
        assert "@new.test warms up towards google" in said and "No other source helps" in said
        reason = [r for r in w.ctl("why", "g.test", "--json")["rows"] if r["why"] == "warmup"]
        assert [(r["source"], r["name"], r["recipients"]) for r in reason] == [("@new.test", "google", 3)]
        assert "@new.test google 1/3 96 2 94 good - going".split() in [line.split() for line in w.ctl("warmup").splitlines()]

        file = tmp_path / "new.svg"
        w.ctl("warmup", "--source", "@new.test", "--svg", str(file))
        assert "Warm-up of @new.test towards google" in file.read_text()
        for words, why in (("--source @none.test", "@none.test does not warm up; those that do: @new.test, @later.test"),
                           ("hold new.test", "there is no source new.test"), ("finish @new.test", "add --yes to finish the warm-up of @new.test")):
            assert why in w.ctl("warmup", *words.split(), check=False).stderr
        assert w.ctl("warmup", "hold", "@new.test", "google", "--reason", "new list") == "hold @new.test towards google: done\n"
        assert w.ctl("warmup", "hold", "@later.test", check=False).stdout.startswith("hold @later.test: not done: no mail has gone")

        wait_for("the note", lambda: warmups(w)["@new.test", "google"]["state"] == "held")
        w.stop()
        w.start(wrapper=w.clock.wrapper)
        row = warmups(w)["@new.test", "google"]
        assert (row["state"], row["sent"], row["left"]) == ("held", 2, 94)
        w.kill()
        w.start(wrapper=w.clock.wrapper)
        row = warmups(w)["@new.test", "google"]
        # What the last record had asked for ahead counts as sent: a sixth of the day.
        assert row["state"] == "held" and 2 <= row["sent"] <= 2 + 17
        assert len(arrived(w, "new")) <= 4
        w.ctl("warmup", "finish", "@new.test", "--yes")
        wait_for("all of it", lambda: arrived(w, "new") == [f"new{n}@g.test" for n in range(5)])


def test_ill_health():
    """Every tenth recipient bounces: the table says what against which limit."""
    site = 'site g { domains = { "g.test" } rule { on = rcpt match = "bad*" reply = "550 5.1.1 no such user" } }'
    blocks = 'source new { warmup = small }\npool default { sources = { new } }\nwarmup small { volumes = { 9600 } hold-bounced = 9% }\n'
    with running(site, blocks=blocks) as w:
        w.send("", [f"{'bad' if n % 10 == 0 else 'r'}{n}@g.test" for n in range(60)])
        wait_for("all tried", lambda: delivered(w, "g.test") == 54 and sum(r["type"] == "b" for r in w.rows()) == 6)
        row = warmups(w)["new", "other"]
        assert (row["delivered"], row["bounced"], row["rate"], row["rate_ppm"], row["rate_limit_ppm"]) == (
            54, 6, "bounces", 100000, 90000)
        assert "bounces 10.00 % of 9.00 %" in w.ctl("warmup")


def test_clear():
    """A rule stops a lane for hours; what it knows is forgotten and mail goes."""
    site = 'site a { domains = { "a.test" } rule { on = mail reply = "421 4.7.0 too fast" count = 1 } }'
    rule = "rule fast { text = 'too fast'  pause = \"lane 2h\" }\n"
    with running(site, blocks=rule + "source one { }\nsource two { }\npool default { sources = { one } }\n") as w:
        w.send("s@x.test", ["r@a.test"])
        stopped = wait_for("the stop", lambda: [r for r in w.ctl("lanes", "--json")["rows"] if r["why"] == "stopped"])
        name = stopped[0]["site"]
        w.ctl("retry", "--all", "--yes")
        assert "`mtactl clear" in w.ctl("why", "a.test") and w.rows()[-1]["type"] == "t"
        for words, why in (([], "clear which site?"), (["none"], "mtactl sites lists"), ([name, "--source", "x"], "no source x; there are one, two")):
            refused = w.ctl("clear", *words, check=False)
            assert refused.returncode != 0 and why in refused.stderr
        assert w.ctl("clear", name, "--source", "two").startswith("nothing to forget")
        assert w.ctl("clear", name) == "1 lane made new\n"
        wait_for("the mail", lambda: [r for r in w.rows() if r["type"] == "d"])
        assert re.search(r"operator who=\S+ what=clear count=1 ", w.log_text())
        assert w.ctl("clear", name, "--json")["summary"]["count"] == 0
