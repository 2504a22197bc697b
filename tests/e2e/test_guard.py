# SPDX-License-Identifier: Apache-2.0
"""Guards: who sends too much to addresses that do not exist is stopped, alone, until an operator says so."""
import re

from tools import gives, running, submit, wait_for

SCRIPT = '''
site a { domains = { "a.test" } rule { on = rcpt match = "no*" reply = "550 5.1.1 no such user" } }
site back { domains = { "x.test" } }
'''


def ends(w, part):
    return {r["rcpt"]: r["type"] for r in w.rows() if part in r["rcpt"] and r["type"] in "dbx"}


def test_a_third_does_not_exist():
    with running(SCRIPT, users={"shop": "bounces = no", "club": ""}, listen="auth-in-clear = yes",
                 blocks="guard shop { volume-min = 20 }\n") as w:
        submit(w, [f"no{n}@a.test" if n % 3 == 0 else f"yes{n}@a.test" for n in range(30)])
        (numbers,) = wait_for("the stop", lambda: re.findall(
            r' guard from=\w+ to=stop rate=bounce events=(\d+) rcpts=(\d+) share=\d+\.\d\d% limit=10\.00% user="shop" does="holds its mail until: mtactl resume user shop"\n', w.log_text()))
        assert 7 <= int(numbers[0]) <= 10 and 20 <= int(numbers[1]) <= 30
        submit(w, [f"kept-{n}@a.test" for n in range(5)] + ["no-kept-9@a.test"])
        submit(w, ["other@a.test"], user="club")
        assert gives(w, "other@a.test")
        for run in (1, 2):
            summary = w.ctl("why", "a.test", "--json")
            row = next(r for r in summary["rows"] if r["why"] == "paused")
            assert (row["level"], row["name"], row["until_us"]) == ("user", "shop", 0) and row["recipients"] >= 6
            assert re.fullmatch(r"guard: bounces \d\d\.\d % of \d+ recipients", row["reason"]), row
            assert not ends(w, "kept-")
            if run == 1:
                w.stop()
                w.start()
        assert "`mtactl resume user shop` ends that" in w.ctl("why", "a.test")
        w.ctl("resume", "user", "shop")
        wait_for("what was kept", lambda: len(ends(w, "kept-")) == 6)
        assert ends(w, "kept-") == {**{f"kept-{n}@a.test": "d" for n in range(5)}, "no-kept-9@a.test": "b"}
        wait_for("the rest", lambda: len(ends(w, "@a.test")) == 37)
        assert re.search(r' guard_eased from=stop to=ok .* user="shop" does="all of its mail goes"\n', w.log_text())


def test_mail_of_nobody():
    """A shop's server relays everything without AUTH: all of a class is one stream. Who stopped it is said where one looks."""
    with running(SCRIPT, blocks="guard * { volume-min = 20 }\n") as w:
        for n in range(30):
            w.send("s@x.test", [f"no{n}@a.test" if n % 3 == 0 else f"yes{n}@a.test"])
        wait_for("the stop", lambda: " guard " in w.log_text() and w.ctl("status", "--json")["summary"]["stopped_by_guards"])
        assert re.search(r' warn guard from=\w+ to=stop .* stream="//normal" does="holds its mail until: mtactl resume stream //normal"\n', w.log_text())
        (row,) = w.ctl("status", "--json")["summary"]["stopped_by_guards"]
        assert (row["kind"], row["name"]) == ("stream", "//normal") and row["reason"].startswith("guard: bounces ")
        assert "stream //normal (mail without user and job) by its guard: bounces" in w.ctl("status")
        w.send("s@x.test", ["kept@a.test"])
        wait_for("it is held", lambda: "`mtactl resume stream //normal` ends that" in " ".join(w.ctl("why", "a.test").split()))
        w.ctl("resume", "stream", "//normal")
        gives(w, "kept@a.test")
        assert w.ctl("status", "--json")["summary"]["stopped_by_guards"] == []
