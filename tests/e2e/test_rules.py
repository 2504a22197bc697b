# SPDX-License-Identifier: Apache-2.0
"""Reply rules: what they stop, and where."""
import datetime
import re

import pytest
from tools import gives, running, wait_for

SCRIPT = '''
site big { domains = { "big.test" } rule { on = rcpt match = "spam*" reply = "550 5.7.1 we do not want this campaign" } }
site other { domains = { "other.test" } }
site back { domains = { "x.test", "y.test" } }
'''
RULE = "rule unwanted {{ text = 'do not want this'  pause = \"{scope} {time}\" }}\n"


def paused(w):
    return [(p["kind"], p["name"], p["site"]) for p in w.ctl("pauses", "--json")["rows"]]


def send(w, rcpt, job="autumn", sender="s@x.test"):
    with w.client() as c:
        c.login("shop", "secret")
        c.sendmail(sender, [rcpt], f"From: <{sender}>\r\nX-Job: {job}\r\n\r\nhello\r\n".encode())


WHOSE = {"stream": ("shop/autumn/normal", dict(job="winter")), "sender": ("x.test", dict(sender="s@y.test"))}


@pytest.mark.parametrize("scope", WHOSE)
def test_a_pause_holds_where_it_was_asked_for(scope):
    """Mail of the same stream to another site goes, other mail to the site too; that outlives a kill; a command ends it."""
    name, other = WHOSE[scope]
    with running(SCRIPT, users={"shop": "bounces = no"}, listen="auth-in-clear = yes", blocks=RULE.format(scope=scope, time="2h")) as w:
        send(w, "spam@big.test")
        gives(w, "spam@big.test", "b")
        (pause,) = wait_for("the pause", lambda: w.ctl("pauses", "--json")["rows"])
        site = pause["site"]
        assert (pause["kind"], pause["name"]) == (scope, name) and "big" in site and pause["until_us"] > 0
        assert pause["reason"] == "rule unwanted: 550 5.7.1 we do not want this campaign"
        for run in (1, 2):
            send(w, f"kept{run}@big.test")
            send(w, f"other{run}@big.test", **other)
            send(w, f"free{run}@other.test")
            for rcpt in (f"other{run}@big.test", f"free{run}@other.test"):
                gives(w, rcpt)
            assert not [r for r in w.rows() if r["rcpt"].startswith("kept") and r["type"] != "r"]
            assert paused(w) == [(scope, name, site)]
            (row,) = [r for r in w.ctl("why", "big.test", "--json")["rows"] if r["why"] == "paused"]
            assert (row["level"], row["name"], row["at_site"], row["site"], row["recipients"]) == (scope, name, True, site, run)
            command = f"mtactl resume {scope} {name} --site {site}"
            why = " ".join(w.ctl("why", "big.test").split())
            assert f"{scope} {name} is paused at {site} until" in why and f"`{command}` ends that" in why, why
            if run == 1:
                w.kill()
                w.start()
                wait_for("the message is back", lambda: w.ctl("status", "--json")["summary"]["recipients"] == 1)
        assert site in w.ctl("pauses")
        assert w.ctl("resume", scope, name, check=False).returncode != 0, "that would be a pause at all sites"
        w.ctl(*command.split()[1:])
        assert gives(w, "kept1@big.test") and gives(w, "kept2@big.test") and paused(w) == []


def test_its_stream_says_so():
    with running(SCRIPT, users={"shop": "bounces = no"}, listen="auth-in-clear = yes", blocks=RULE.format(scope="stream", time="2h")) as w:
        send(w, "spam@big.test")
        wait_for("the pause", lambda: paused(w))
        send(w, "kept@big.test")
        wait_for("its stream", lambda: [r for r in w.ctl("streams", "--json")["rows"]
                                        if (r["why"], r["at_site"]) == ("paused", True) and "big" in r["site"]])
        assert re.search(r"paused at \S*big\S*: rule unwanted", w.ctl("streams"))


def test_it_ends_by_itself():
    with running(SCRIPT, users={"shop": "bounces = no"}, listen="auth-in-clear = yes", blocks=RULE.format(scope="stream", time="3s")) as w:
        send(w, "spam@big.test")
        gives(w, "spam@big.test", "b")
        send(w, "kept@big.test")
        gives(w, "kept@big.test")
        (end,) = [float(a["time"]) / 1e6 for a in w.arrived() if a["rcpt"] == "kept@big.test"]
        begun = datetime.datetime.fromisoformat(next(e["time"] for e in w.events() if e["event"] == "bounced")).timestamp()
        assert end - begun >= 2.9, "it went before the pause was over"


def test_operators_name_a_site():
    with running(SCRIPT, users={"shop": ""}, listen="auth-in-clear = yes") as w:
        send(w, "first@big.test")
        gives(w, "first@big.test")
        (site,) = [r["site"] for r in w.ctl("sites", "--json")["rows"] if "big" in r["site"]]
        w.ctl("pause", "user", "shop", "--site", site, "--reason", "asked by phone")
        send(w, "kept@big.test")
        send(w, "free@other.test")
        gives(w, "free@other.test")
        assert not [r for r in w.rows() if r["rcpt"] == "kept@big.test" and r["type"] != "r"]
        for kind in ("domain", "site", "source"):
            done = w.ctl("pause", kind, "big.test", "--site", site, check=False)
            assert done.returncode != 0 and f"mtactl pause site {site}" in done.stdout + done.stderr
        w.ctl("resume", "user", "shop", "--site", site)
        gives(w, "kept@big.test")


def test_long_names_outlive_a_kill():
    """Two that differ only at their end, beyond what the name of a note holds."""
    job, sites = "j" * 120, ["s" * 120 + n for n in "12"]
    with running() as w:
        for site in sites:
            w.ctl("pause", "job", job, "--site", site)
        for left in (sites, sites[1:], []):
            w.ctl("audit")  # the spool has written what was asked for before
            w.kill()
            w.start()
            wait_for("the pauses", lambda: sorted(paused(w)) == [("job", job, site) for site in left])
            if left:
                w.ctl("resume", "job", job, "--site", left[0])
