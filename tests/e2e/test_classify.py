# SPDX-License-Identifier: Apache-2.0
"""Why a recipient failed: the class of a reply in the records, and what it changes."""
import json
import glob
import os
import subprocess

import pytest
from tools import gives, running, submit, wait_for
from world import BUILD

SCRIPT = '''
site a { domains = { "a.test" }
    rule { on = rcpt match = "gone*" reply = "550 5.1.1 no such user" }
    rule { on = rcpt match = "listed*" reply = "550 5.7.1 Client host blocked using zen.example.org" }
    rule { on = rcpt match = "fast*" reply = "550 Ip frequency limited" }
    rule { on = rcpt match = "unknown*" reply = "450 4.1.1 user unknown" }
    rule { on = rcpt match = "full*" reply = "452 4.2.2 mailbox full" }
}
site back { domains = { "x.test" } }
'''
BOUNCES = os.path.join(os.path.dirname(__file__), "../../conf/bounces.conf")
INCLUDE = f'include("{os.path.abspath(BOUNCES)}")\n'


def test_records():
    with running(SCRIPT, users={"shop": "bounces = no"}, listen="auth-in-clear = yes", blocks=INCLUDE) as w:
        submit(w, ["gone@a.test", "listed@a.test", "fast@a.test", "full@a.test", "yes@a.test"])
        assert gives(w, "gone@a.test", "b")["bounceCat"] == "bad-mailbox"
        assert gives(w, "listed@a.test", "b")["bounceCat"] == "spam-related"
        assert gives(w, "fast@a.test", "t")["bounceCat"] == "policy-related", "a 550 that asks to come back"
        assert gives(w, "full@a.test", "t")["bounceCat"] == "quota-issues"
        assert gives(w, "yes@a.test")["bounceCat"] == ""
        classes = wait_for("the events", lambda: (lambda c: len(c) == 5 and c)({e["rcpt"]: e.get("class") for e in w.events() if e["record"] != "r"}))
        assert classes == {"gone@a.test": "bad-mailbox", "listed@a.test": "spam-block", "fast@a.test": "rate-limited",
                           "full@a.test": "quota-issues", "yes@a.test": None}
        log = wait_for("the log", lambda: w.log_text() if "rcpt=\"full@a.test\"" in w.log_text() else None)
        assert " bounced " in log and "esc=5.7.1 class=spam-block " in log and "class=rate-limited " in log
        (row,) = [r for r in w.ctl("list", "--json")["rows"] if r["rcpt"] == "full@a.test"]
        assert row["class"] == "quota-issues"
        shown = w.ctl("show", row["id"], "--json")
        assert {r["rcpt"]: r["class"] for r in shown["rows"]} == {"full@a.test": "quota-issues"}
        assert "the last reply means quota-issues" in w.ctl("why", row["id"])


def test_being_listed_is_no_bounce():
    """A guard that would stop at a third of dead addresses does not stop for a block list: the list may be a good one."""
    with running(SCRIPT, users={"shop": "bounces = no"}, listen="auth-in-clear = yes",
                 blocks=INCLUDE + "guard shop { volume-min = 20 }\n") as w:
        submit(w, [f"listed{n}@a.test" if n % 3 == 0 else f"yes{n}@a.test" for n in range(30)])
        wait_for("all of them", lambda: len([r for r in w.rows() if r["type"] in "bd"]) == 30)
        assert " guard " not in w.log_text()
        submit(w, [f"gone{n}@a.test" for n in range(15)])
        wait_for("dead addresses do", lambda: " guard " in w.log_text())


@pytest.mark.parametrize("attempts, ends", [(3, True), (0, False)])
def test_unknown_with_a_4xx(attempts, ends):
    with running(SCRIPT, users={"shop": "bounces = no"}, listen="auth-in-clear = yes", blocks=INCLUDE,
                 delivery=f"unknown-user-attempts = {attempts}  unknown-user-wait = 1s") as w:
        submit(w, ["unknown@a.test", "full@a.test"])
        wait_for("attempts", lambda: len([r for r in w.rows() if r["rcpt"] == "full@a.test" and r["type"] != "r"]) >= 4)
        rows = [r for r in w.rows() if r["rcpt"] == "unknown@a.test" and r["type"] != "r"]
        if ends:
            assert [r["type"] for r in rows] == ["t", "t", "b"] and rows[-1]["bounceCat"] == "bad-mailbox"
        else:
            assert {r["type"] for r in rows} == {"t"} and len(rows) >= 3
        assert "b" not in {r["type"] for r in w.rows() if r["rcpt"] == "full@a.test"}


# --- mtactl classify: no daemon ---

@pytest.fixture
def conf(tmp_path):
    file = tmp_path / "mtad.conf"
    file.write_text("hostname = mta1.example.com\nprovider a { mx = *.a.example }\n"
                    "bounce mine { class = inactive-mailbox  text = 'has left us' }\n"
                    "bounce for-a { class = quota-issues  providers = a  text = 'odd words' }\n" + INCLUDE)
    return str(file)


def ctl(conf, *args, stdin=None, code=0):
    run = subprocess.run([f"{BUILD}/mtactl", "-c", conf, *args], input=stdin, capture_output=True, text=True, timeout=20)
    assert run.returncode == code, run.stderr
    return run


def test_one_reply(conf):
    said = ctl(conf, "classify", "550 5.1.1 user unknown").stdout
    assert "bad-mailbox, of the group suppress" in said and "permanent; it is about the recipient" in said and "bounces.conf:" in said
    (row,) = json.loads(ctl(conf, "--json", "classify", "550 5.7.1 she has left us").stdout)["rows"]
    assert (row["class"], row["group"], row["verdict"], row["category"], row["rule"]) == (
        "inactive-mailbox", "suppress", "permanent", "inactive-mailbox", "mine")
    assert row["at"].endswith("mtad.conf:3"), "one's own stands in front"


def test_several_and_lines(conf):
    said = ctl(conf, "classify", "550 no such user", "450 greylisted").stdout
    assert "no such user" in said and "greylisted" in said and "temporary" in said
    rows = json.loads(ctl(conf, "--json", "classify", "-", stdin="550 no such user\n\n451 try again later\n").stdout)["rows"]
    assert [r["class"] for r in rows] == ["bad-mailbox", "system-error"]
    for provider, want in (("a", "quota-issues"), (None, "quota-issues")):
        option = ["--provider", provider] if provider else []
        (row,) = json.loads(ctl(conf, "--json", "classify", *option, "550 odd words").stdout)["rows"]
        assert row["class"] == want
    assert "there is no provider" in ctl(conf, "classify", "--provider", "b", "550 x", code=2).stderr


def test_tsv(conf, tmp_path):
    file = tmp_path / "replies.tsv"
    file.write_text("B1\t550 5.1.1 no such user\nB2\t550\x1b[31m\nno tab\nB3\tConnection refused\n")
    done = ctl(conf, "classify", "--tsv", str(file))
    assert done.stderr.endswith("replies.tsv:3: no tab between a name and a reply\n")
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert [(line[0], line[1]) for line in lines] == [("B1", "bad-mailbox"), ("B2", "other"), ("B3", "no-answer-from-host")]
    assert all(len(line) == 3 for line in lines)
    assert "No such file" in ctl(conf, "classify", "--tsv", str(tmp_path / "none"), code=2).stderr
    ctl(conf, "classify", code=2)


def test_without_blocks(tmp_path):
    file = tmp_path / "mtad.conf"
    file.write_text("hostname = mta1.example.com\n")
    run = ctl(str(file), "classify", "550 5.1.1 whatever")
    assert "has no bounce rules" in run.stderr and "bad-mailbox" in run.stdout and "by its codes" in run.stdout


def test_bad_expression_changes_nothing():
    with running(SCRIPT, users={"shop": "bounces = no"}, listen="auth-in-clear = yes", blocks=INCLUDE) as w:
        with open(w.dir / "mtad.conf", "a", encoding="utf-8") as f:
            f.write("bounce bad {\n class = other\n text = 'a(' }\n")
        said = w.ctl("reload", check=False)
        assert said.returncode != 0 and 'is no regular expression' in said.stdout + said.stderr
        submit(w, ["gone@a.test"])
        assert gives(w, "gone@a.test", "b")["bounceCat"] == "bad-mailbox"


CORPUS = next(iter(glob.glob(os.path.join(os.environ.get("MTAD_BOUNCE_CORPUS", ""), "corpus*.tsv"))), "")


@pytest.mark.skipif(not CORPUS, reason="no corpus: MTAD_BOUNCE_CORPUS names no folder with labelled replies")
def test_quality():
    score = os.path.join(os.path.dirname(__file__), "../bounce/score")
    out = subprocess.run([score, CORPUS, "--mtactl", f"{BUILD}/mtactl"], check=True, capture_output=True, text=True).stdout
    numbers = {line.split()[0]: dict(word.split("=") for word in line.split()[1:]) for line in out.splitlines()}
    assert float(numbers["work"]["accuracy"]) > .94 and float(numbers["validate"]["accuracy"]) > .80
    assert float(numbers["validate"]["suppress_precision"]) > .94


def test_known_replies():
    """Replies of postmaster pages, servers and logs, each with the class it has by its words (tests/bounce/replies.tsv)."""
    here = os.path.join(os.path.dirname(__file__), "../bounce")
    out = subprocess.run([f"{here}/score", f"{here}/replies.tsv", "--part", "whole", "--errors", "--mtactl", f"{BUILD}/mtactl"], check=True,
                         capture_output=True, text=True).stdout
    numbers = dict(word.split("=") for word in out.splitlines()[0].split()[1:])
    assert float(numbers["accuracy"]) > .90 and float(numbers["by_group"]) > .96, out
    assert float(numbers["suppress_precision"]) > .97 and float(numbers["suppress_recall"]) > .96, out
