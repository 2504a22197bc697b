# SPDX-License-Identifier: Apache-2.0
"""mtactl report and mtactl history: what they say of the accounting files is what the simulator saw, across rotations,
packed files, and without a daemon."""
import collections
import csv
import gzip
import io
import json
import os
import re
import shutil
import subprocess

import pytest

from tools import gives, program, running, wait_for
from world import World

SITES = """site a { domains = { "a.test" }  greylist = 1s  greylist-reply = "451 4.7.1 come back"
    rule { on = rcpt match = "no*" reply = "550 5.1.1 no such user" } }
site b { domains = { "b.test" }  rule { on = rcpt match = "full*" reply = "552 5.2.2 mailbox full" } }
"""


def mtactl(w, *arguments, code=0, **environment):
    """By the configuration, not by the socket: it need not run. With --json the decoded value."""
    done = subprocess.run([program("mtactl"), "-c", str(w.dir / "mtad.conf"), *arguments], capture_output=True, text=True,
                          timeout=60, env=os.environ | environment)
    assert done.returncode == code, f"{arguments}: {done.returncode} {done.stdout} {done.stderr}"
    return json.loads(done.stdout) if "--json" in arguments else done.stdout + done.stderr


def pack(path):
    """As gzip does: under another name, with the same time."""
    with open(path, "rb") as plain, gzip.open(f"{path}.gz", "wb") as packed:
        shutil.copyfileobj(plain, packed)
    shutil.copystat(path, f"{path}.gz")
    path.unlink()


@pytest.fixture(scope="module")
def campaign():
    """Three jobs, of which one bounces a lot, over two rotations; the first files of each kind are packed. From the null
    sender, who gets no bounce mails."""
    with running(SITES) as w:
        for n in range(12):
            job = f"X-Job: job{n % 3}\r\n"
            w.send("", [f"r{n}@a.test", f"q{n}@b.test"], headers=job)
            if n % 3 == 1:
                w.send("", [f"no{n}@a.test", f"full{n}@b.test"], headers=job)
            if n in (3, 7):
                wait_for("the files", lambda: len(w.arrived()) >= n)
                w.ctl("rotate")
        wait_for("the end", lambda: w.ctl("audit", "--json")["summary"]["queued"] == 0)
        wait_for("the records", lambda: sum(r["type"] in "db" for r in all_rows(w)) == 32)
        for pattern in ("acct.csv.2*", "acct.jsonl.2*"):
            pack(sorted(w.dir.glob(pattern))[0])
        w.stop()
        yield w


def all_rows(w):
    for path in sorted(w.dir.glob("acct.csv*")):
        yield from csv.DictReader(path.read_text().splitlines())


def counts(rows, key):
    return {r[key]: (r["received"], r["sent"], r["delivered"], r["bounced"]) for r in rows}


def test_numbers_are_those_of_the_ledger(campaign):
    w = campaign
    arrived = collections.Counter(row["rcpt"].split("@")[1] for row in w.arrived() if row["outcome"] == "ok")
    assert arrived == {"a.test": 12, "b.test": 12}
    deferred = sum(site["deferred"] for site in w.stats()["sites"].values())
    for files in ([], [str(path) for path in w.dir.glob("acct.csv*")]):
        answer = mtactl(w, "--json", "report", "--by", "domain", *files)
        assert counts(answer["rows"], "domain") == {"a.test": (16, 16, arrived["a.test"], 4),
                                                    "b.test": (16, 16, arrived["b.test"], 4)}
        summary = answer["summary"]
        assert summary["sent"] == summary["received"] == 32 and summary["delivered"] == sum(arrived.values())
        assert summary["files"] == 3 and summary["foreign_lines"] == 0 and summary["notes"] == []
        assert sum(c["bounced"] for c in summary["classes"]) == 8
        assert sum(h["delivered"] for h in summary["hours"]) == 24
        assert summary["deferred"] == deferred >= 12
        greylisted = next(r for r in answer["rows"] if r["domain"] == "a.test")
        assert greylisted["deferred"] == summary["deferred"] and greylisted["median_us"] >= 900000


@pytest.mark.parametrize("key, wanted", [
    ("job", {"job0": (8, 8, 8, 0), "job1": (16, 16, 8, 8), "job2": (8, 8, 8, 0)}),
    ("stream", {"/job0": (8, 8, 8, 0), "/job1": (16, 16, 8, 8), "/job2": (8, 8, 8, 0)}),
    ("source", {"default": (0, 32, 24, 8)}), ("user", {"": (32, 32, 24, 8)}), ("provider", {"other": (0, 32, 24, 8)}),
    ("site", {"mx1.a.mx.test": (0, 16, 12, 4), "mx1.b.mx.test": (0, 16, 12, 4)})])
def test_by(campaign, key, wanted):
    rows = mtactl(campaign, "--json", "report", "--by", key)["rows"]
    assert counts(rows, key) == wanted
    assert [r["sent"] for r in rows] == sorted((r["sent"] for r in rows), reverse=True)


def test_provider_of_the_configuration(campaign):
    """Also by the host, which is all that CSV has."""
    config = campaign.dir / "other.conf"
    config.write_text((campaign.dir / "mtad.conf").read_text() + 'provider big { mx = { "*.b.mx.test" } }\n')
    rows = json.loads(subprocess.run([program("mtactl"), "-c", config, "--json", "report", "--by", "provider",
                                      *campaign.dir.glob("acct.csv*")], capture_output=True, check=True).stdout)["rows"]
    assert counts(rows, "provider") == {"big": (0, 16, 12, 4), "other": (0, 16, 12, 4)}


def test_by_time_and_filter(campaign):
    w = campaign
    for key in ("day", "hour"):
        rows = mtactl(w, "--json", "report", "--by", key)["rows"]
        assert [r[key] for r in rows] == sorted(r[key] for r in rows) and sum(r["sent"] for r in rows) == 32
    assert mtactl(w, "--json", "report", "--job", "job1", "--domain", "A.test")["summary"]["bounced"] == 4
    assert mtactl(w, "--json", "report", "--from", "1h")["summary"]["sent"] == 32
    assert mtactl(w, "--json", "report", "--to", "1h")["summary"]["sent"] == 0
    moment = max(r["timeLogged"] for r in all_rows_packed(w))  # greylisting lasts a second, so others were before
    parts = [mtactl(w, "--json", "report", option, moment[:19])["summary"]["records"] for option in ("--from", "--to")]
    assert min(parts) > 0 and sum(parts) == mtactl(w, "--json", "report")["summary"]["records"]
    assert "No records of that in 3 files" in mtactl(w, "report", "--job", "job9")


def all_rows_packed(w):
    for path in w.dir.glob("acct.csv*"):
        with (gzip.open if path.suffix == ".gz" else open)(path, "rt") as f:
            yield from csv.DictReader(f)


def test_csv_is_read_by_programs(campaign):
    rows = list(csv.DictReader(io.StringIO(mtactl(campaign, "report", "--by", "job", "--csv"))))
    assert rows[0]["job"] == "job1" and {r["job"] for r in rows[1:]} == {"job0", "job2"}
    assert rows[0]["bounce_rate"] == "0.500000" and rows[0]["sent"] == "16"
    classes = list(rows[0])[list(rows[0]).index("p95_us") + 1:]
    assert sum(int(rows[0][c]) for c in classes) == 8


@pytest.mark.parametrize("columns", ["80", "120"])
def test_table_and_chart(campaign, columns):
    text = mtactl(campaign, "report", "--by", "job", COLUMNS=columns, LC_ALL="C.UTF-8")
    assert re.search(r"(?m)^JOB +.*SENT +DELIVERED", text) and re.search(r"(?m)^job1 +.*50\.0%", text)
    assert re.search(r"(?m)^all +", text) and "CLASS" in text and "Recipients (an hour, UTC)" in text and "\u2588" in text
    assert max(map(len, text.splitlines())) <= int(columns)
    assert mtactl(campaign, "report", "--svg", "-").startswith("<svg") or "<svg" in mtactl(campaign, "report", "--svg", "-")


def test_foreign_and_missing_files(campaign, tmp_path):
    (tmp_path / "acct.csv").write_text("type,rcpt\nd,a@b.test\nhello\nd,half@b.te")
    answer = mtactl(campaign, "--json", "report", str(tmp_path / "acct.csv"))
    assert answer["summary"]["delivered"] == 1 and answer["summary"]["notes"] == ["1 lines are no records"]
    said = mtactl(campaign, "report", str(tmp_path / "acct.csv"), str(tmp_path / "none"), code=1)
    assert "none: No such file" in said and "all" in said


@pytest.mark.parametrize("words, said", [
    (["report", "--by", "jobs"], "did you mean \"job\"?"), (["report", "--by", "state"], "--by takes job, stream"),
    (["report", "--from", "yesterday"], "--from: write 2026-11-01"), (["report", "--held"], "report takes no --held"),
    (["report", "--from", "1h", "--to", "2h"], "--from is not before --to"), (["queue", "--csv"], "queue takes no --csv"),
    (["history"], "history of what?"), (["history", "hello"], "\"hello\" is no address")])
def test_wrong_command_lines(campaign, words, said):
    assert said in mtactl(campaign, *words, code=2)


def test_accounting_blocks(tmp_path):
    """What the simple files have no records of is put together from blocks, of which two have the same events."""
    blocks = f'''
accounting ones {{ path = "{tmp_path}/ones.jsonl" format = json records = {{ b, r }} jobs = {{ "*1" }} }}
accounting few {{ path = "{tmp_path}/few.csv" records = {{ b }} jobs = {{ "job1", "job2" }} times = unix
    fields = {{ type, timeLogged, timeQueued, rcpt, jobId, eventId, bounceClass, dsnDiag, message }} }}
'''
    with World(settings="accounting-records = { d }\n", blocks=blocks) as w:
        w.sim(SITES)
        w.start()
        for n in range(4):
            w.send("", [f"r{n}@b.test", f"no{n}@a.test", f"full{n}@b.test"], headers=f"X-Job: job{n}\r\n")
        wait_for("the end", lambda: w.ctl("audit", "--json")["summary"]["queued"] == 0)
        wait_for("the records", lambda: len(w.events()) == 4 and len((tmp_path / "few.csv").read_text().splitlines()) == 5 and
                 len((tmp_path / "ones.jsonl").read_text().splitlines()) == 5)
        answer = mtactl(w, "--json", "report", "--by", "job")
        assert counts(answer["rows"], "job") == {
            "job0": (0, 1, 1, 0), "job1": (3, 3, 1, 2), "job2": (0, 3, 1, 2), "job3": (0, 1, 1, 0)}
        assert any(note.startswith("of b, r only some records are known") for note in answer["summary"]["notes"])
        assert {c["class"] for c in answer["summary"]["classes"]} == {"bad-mailbox", "quota-issues"}
        rows = mtactl(w, "--json", "history", "no1@a.test")["rows"]
        assert [row["event"] for row in rows] == ["received", "bounced"]
        assert [row["event"] for row in mtactl(w, "--json", "history", "full2@b.test")["rows"]] == ["bounced"]
        # With an error in the file the simple settings are read still.
        w.blocks += "nonsense = 1\n"
        w.write_config()
        assert mtactl(w, "--json", "report")["summary"]["sent"] == 4


def test_history_of_an_address():
    """Deferred, rotated, delivered; then another message that waits, and no daemon any more."""
    with running(SITES) as w:
        w.send("s@x.test", ["Some.One@a.test", "other@b.test"], headers="X-Job: spring\r\n")
        gives(w, "Some.One@a.test", "t")
        w.ctl("rotate")
        gives(w, "Some.One@a.test")
        pack(sorted(w.dir.glob("acct.jsonl.2*"))[0])
        answer = mtactl(w, "--json", "history", "some.one@A.TEST")
        events = [row["event"] for row in answer["rows"]]
        assert events[:2] == ["received", "deferred"] and events[-1] == "delivered" and set(events[2:-1]) <= {"deferred"}
        assert answer["rows"][-1]["host"] == "mx1.a.mx.test" and answer["summary"]["asked"] and answer["queued"] == []
        assert [row["time_us"] for row in answer["rows"]] == sorted(row["time_us"] for row in answer["rows"])
        message = answer["rows"][0]["message"]
        assert {row["rcpt"] for row in mtactl(w, "--json", "history", message)["rows"]} == {"Some.One@a.test", "other@b.test"}
        assert {row["rcpt"] for row in mtactl(w, "--json", "history", f"{message}/1")["rows"]} == {"other@b.test"}
        text = mtactl(w, "history", "some.one@a.test")
        assert re.search(rf"(?m)^[-0-9]+ [:0-9]+  {message}/0 +received from <s@x.test>, job spring$", text)
        assert "451 4.7.1 come back" in text and "delivered to mx1.a.mx.test (127.3.1.1)" in text
        csv_files = [str(path) for path in w.dir.glob("acct.csv*")]
        assert "delivered to mx1.a.mx.test (127.3.1.1)" in mtactl(w, "history", "some.one@a.test", *csv_files)
        assert "records of CSV have no message id" in mtactl(w, "history", message, *csv_files, code=1)
        w.ctl("pause", "domain", "a.test")
        w.send("s@x.test", ["some.one@a.test"])
        text = mtactl(w, "history", "some.one@a.test")
        assert re.search(r"(?m)^now +\w+/0 is queued: paused.*mtactl why \w+/0 says more$", text)
        assert len(mtactl(w, "--json", "history", "some.one@a.test")["queued"]) == 1
        w.stop()
        text = mtactl(w, "history", "some.one@a.test")
        assert "the daemon does not answer" in text and "is queued" not in text
        assert "No record of nobody@a.test in 2 files" in mtactl(w, "history", "nobody@a.test", code=1)
