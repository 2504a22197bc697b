# SPDX-License-Identifier: Apache-2.0
"""Reply rules: what they stop, and where."""
import datetime
import re

import pytest
from test_tls import Peer
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


ANSWERS = {"EHLO": "250 peer\r\n", "MAIL": "250 ok\r\n", "RCPT": "250 ok\r\n", "DATA": "354 go\r\n", ".": "250 ok\r\n"}


def end_of_session(how):
    """A site that takes a message and says 421 then: at once, to the next command, or to QUIT."""
    def serve(peer, connection):
        connection.sendall(b"220 peer\r\n")
        in_data, is_over = False, False
        for line in connection.makefile("rb"):
            verb = "." if in_data else line.split()[0].decode().upper()
            if in_data and line != b".\r\n":
                continue
            peer.heard.append(verb)
            if is_over:
                connection.sendall(b"421 4.7.0 you have sent too much\r\n")
                return
            in_data, is_over = verb == "DATA", verb == "."
            connection.sendall(ANSWERS[verb].encode())
            if is_over and how == "idle":
                connection.sendall(b"421 4.7.0 you have sent too much\r\n")
                return
    return serve


@pytest.mark.parametrize("how, phase", [("idle", "idle"), ("quit", "idle"), ("mail", "mail"), ("idle", "rcpt")])
def test_a_421_that_no_message_is_told(how, phase):
    peer = Peer(end_of_session(how))
    rule = f"rule enough {{ phase = {phase}  text = 'sent too much'  slow = 50%  pause = {{ \"site 1h\", \"stream 1h\" }} }}\n"
    delivery = "pipelining = no  connections = 1  " + ("idle = 0s" if how == "quit" else "idle = 1m")
    with running(delivery=delivery, blocks=peer.route() + "\n" + rule) as w:
        w.send("s@x.test", ["r1@a.test"])
        gives(w, "r1@a.test")
        if how == "mail":
            w.send("s@x.test", ["r2@a.test"])
        wait_for("the end of the session", lambda: " session_down " in w.log_text())
        w.ctl("status")  # what the end led to is done by now
        fired = re.findall(r' rule rule=enough at=\S+ source=\S+ site=(\S+) does=.* text="421 4.7.0 you have sent too much"\n', w.log_text())
        if phase == "rcpt":
            assert fired == [] and paused(w) == []
            return
        wait_for("the pause", lambda: paused(w))
        (site,) = re.findall(r" rule rule=enough at=\S+ source=\S+ site=(\S+) does=", w.log_text())
        assert paused(w) == [("site", site, "")], "a stream is of a message, and there was none"
        assert [r["type"] for r in w.rows() if r["rcpt"] == "r2@a.test" and r["type"] != "r"] == [], "its message was not tried"


def test_G8_an_expression_that_gives_up():
    script = f'site big {{ domains = {{ "big.test" }} rule {{ on = rcpt reply = "451 {"a" * 60}!" }} }}\n'
    with running(script, blocks="rule fine { text = 'nothing'  note = x }\nrule slow-one { text = '(a|aa)+$'  retry = 1h }\n") as w:
        assert w.ctl("status", "--json")["summary"]["rules_gave_up"] == []
        for n in range(3):
            w.send("s@x.test", [f"r{n}@big.test"])
            gives(w, f"r{n}@big.test", "t")
        told = wait_for("it is told", lambda: re.findall(r" warn rule_gave_up rule=(\S+) at=(\S+):(\d+) count=\d+\n", w.log_text()))
        config = (w.dir / "mtad.conf").read_text().splitlines()
        assert [t[0] for t in told] == ["slow-one"] and config[int(told[0][2]) - 1].startswith("rule slow-one"), told
        (row,) = w.ctl("status", "--json")["summary"]["rules_gave_up"]
        assert row["rule"] == "slow-one" and row["count"] >= 3 and row["at"] == f"{told[0][1]}:{told[0][2]}"
        assert f"slow-one ({row['at']}) gave up" in w.ctl("status")


def test_D34_a_site_says_when():
    """Its time is used for the attempt it was said for; the next goes by the schedule."""
    script = '''site a { domains = { "a.test" } rule { on = rcpt reply = "451 4.7.1 come back in 12 seconds" count = 1 }
        rule { on = rcpt reply = "451 4.7.1 not yet" count = 1 } }'''
    with running(script, settings="retry-jitter = 0\n", delivery="retry = { 1s, 2s, 2s }",
                 blocks="rule when { text = 'come back in'  retry = hint }\n") as w:
        w.send("s@x.test", ["r@a.test"])
        gives(w, "r@a.test")
        first, second, end = [datetime.datetime.fromisoformat(e["time"]).timestamp() for e in w.events()
                              if e["event"] in ("deferred", "delivered")]
        assert 11.5 <= second - first and 1.5 <= end - second < 11.5


def test_D35_a_rate_reply_stops_the_lane_for_a_time():
    """What came behind it was not tried meanwhile, and all of it goes afterwards."""
    reply = "421 4.7.28 Our system has detected an unusual rate of mail"
    script = f'site a {{ domains = {{ "a.test" }} rule {{ on = rcpt reply = "{reply}" count = 1 }} }}\n'
    with running(script, delivery="connections = 1", blocks="rule rate { enhanced = 4.7.28  pause = \"lane 4s\" }\n") as w:
        w.send("s@x.test", ["r0@a.test"])
        gives(w, "r0@a.test", "t")
        (said,) = [datetime.datetime.fromisoformat(e["time"]).timestamp() for e in w.events() if e["event"] == "deferred"]
        for n in range(1, 5):
            w.send("s@x.test", [f"r{n}@a.test"])
        assert "rule rate" in w.ctl("lanes")
        for n in range(5):
            gives(w, f"r{n}@a.test")
        assert min(float(a["time"]) / 1e6 for a in w.arrived() if a["outcome"] == "ok") - said >= 3.5
        assert [r["rcpt"] for r in w.rows() if r["type"] == "t"] == ["r0@a.test"]


def test_D36_a_blocked_address_is_left_for_another():
    """Only from there to that site; the recipient is not blamed, although the code is permanent."""
    reply = "550 5.7.1 [{client}] is on our block list"
    script = f'site a {{ domains = {{ "a.test" }} rule {{ on = rcpt reply = "{reply}" count = 1 }} }}\nsite b {{ domains = {{ "b.test" }} }}\n'
    blocks = """source one { address = "127.0.0.8" }\nsource two { address = "127.0.0.9" }\npool both { sources = { one, two } }
        rule block { text = 'block list'  treat = temporary  pause = "lane 1h"  next-source = yes }\n"""
    with running(script, blocks=blocks, listen="pool = both") as w:
        w.send("s@x.test", ["r@a.test"])
        assert gives(w, "r@a.test", "t")["dlvSourceIp"] != gives(w, "r@a.test")["dlvSourceIp"]
        stopped = {(r["source"], r["why"]) for r in w.ctl("lanes", "--json")["rows"] if r["why"] == "stopped"}
        assert len(stopped) == 1
        for n in range(4):
            w.send("s@x.test", [f"r{n}@b.test"])
        assert len({gives(w, f"r{n}@b.test")["dlvSourceIp"] for n in range(4)}) == 2
