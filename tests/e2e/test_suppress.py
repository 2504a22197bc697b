# SPDX-License-Identifier: Apache-2.0
"""Addresses that get no more mail: how they come onto the list, where they are met, how they leave it."""
import csv
import io
import re
import time

from clock import Clock
from tools import Talk, running, submit, wait_for

SITES = """
site a { domains = { "a.test" } }
site dead { domains = { "dead.test" } rule { on = rcpt match = "gone*" reply = "550 5.1.1 no such user" } }
site full { domains = { "full.test" } rule { on = rcpt match = "full*" reply = "552 5.2.2 mailbox full" } }
site spam { domains = { "spam.test" } rule { on = rcpt match = "*" reply = "550 5.7.1 your address is on a list" } }
"""
SHOP = {"shop": "sandbox = off", "club": "sandbox = off"}
CLEAR = "auth-in-clear = yes"


def entries(w, *args):
    rows = w.ctl("suppress", "list", "--limit", "0", *args, "--json")["rows"]
    return {(r["address"], r["scope"]): r["reason"] for r in rows}


def at_rcpt(w, *addresses, user=None, sender="s@x.test"):
    """The answers."""
    with Talk(w.port) as t:
        t.hello()
        if user is not None:
            t.auth(user, "secret")
        t.say(f"MAIL FROM:<{sender}>", "250")
        return [t.say(f"RCPT TO:<{a}>") for a in addresses]


def codes(w, *addresses, **how):
    return [a[:9] if a[0] == "5" else a[:3] for a in at_rcpt(w, *addresses, **how)]


def test_refused_at_rcpt():
    with running(users=SHOP, listen=CLEAR) as w:
        assert codes(w, "Bad@A.test") == ["250"]
        assert w.ctl("suppress", "add", "Bad@A.Test", "@nowhere.test", "--note", "asked by phone") == "2 entries written\n"
        assert codes(w, "bAd@a.tesT", "good@a.test", "any@nowhere.test", '"bad"@a.test') == ["550 5.7.1", "250", "550 5.7.1", "550 5.7.1"]
        said = at_rcpt(w, "bad@a.test")[0]
        assert re.fullmatch(r"550 5\.7\.1 The recipient is suppressed: put on the list by an operator, 20\d\d-\d\d-\d\d", said)
        assert "The recipient's domain is suppressed" in at_rcpt(w, "any@nowhere.test")[0]
        # Notifications, which have the null sender, tell senders what became of their mail.
        assert codes(w, "bad@a.test", sender="") == ["250"]
        # Scopes: of one user, and allow overrides this scope and wider ones.
        w.ctl("suppress", "add", "mine@a.test", "--scope", "user shop", "--reason", "unsubscribe")
        assert codes(w, "mine@a.test", user="shop") == ["550 5.7.1"]
        assert codes(w, "mine@a.test", user="club") == codes(w, "mine@a.test") == ["250"]
        w.ctl("suppress", "allow", "bad@a.test", "--scope", "user club")
        assert codes(w, "bad@a.test", user="club") == ["250"]
        assert codes(w, "bad@a.test", user="shop") == codes(w, "bad@a.test") == ["550 5.7.1"]
        w.ctl("suppress", "allow", "@nowhere.test", "--scope", "user shop")
        assert codes(w, "x@nowhere.test", user="shop") == ["250"]
        # Shown, listed, taken off: of all scopes, or of one.
        assert "asked by phone" in w.ctl("suppress", "show", "BAD@a.test")
        assert len(w.ctl("suppress", "show", "bad@a.test", "--json")["rows"]) == 2
        assert len(w.ctl("suppress", "show", "x@nowhere.test", "--json")["rows"]) == 2  # its domain's
        assert w.ctl("suppress", "show", "good@a.test", check=False).returncode == 1
        assert entries(w, "--scope", "user shop") == {("mine@a.test", "user shop"): "unsubscribe", ("@nowhere.test", "user shop"): "allow"}
        assert entries(w, "--reason", "manual") == {("bad@a.test", "global"): "manual", ("@nowhere.test", "global"): "manual"}
        assert w.ctl("suppress", "remove", "bad@a.test", "--scope", "user club") == "1 entry removed\n"
        assert codes(w, "bad@a.test", user="club") == ["550 5.7.1"]
        w.kill()
        w.start()
        assert codes(w, "bad@a.test") == ["550 5.7.1"]
        assert w.ctl("suppress", "remove", "bad@a.test", "mine@a.test") == "2 entries removed\n"
        assert w.ctl("suppress", "remove", "bad@a.test", check=False).returncode == 1
        assert codes(w, "bad@a.test") == ["250"] and codes(w, "mine@a.test", user="shop") == ["250"]
        assert re.search(r" operator who=\S+ what=suppress-add count=2 ", w.log_text())
        for wrong, words in ((("add", "nobody"), "no mail address"), (("add", "a@b.test", "--scope", "shop"), "--scope takes"),
                             (("add", "a@b.test", "--reason", "whim"), "--reason takes"), (("add",), "which address"),
                             (("add", "a@b.test", "--expire", "soon"), "--expire takes"), (("ad", "a@b.test"), 'did you mean "add"'),
                             (("show", "nobody"), "no mail address"), (("list", "--scope", "x"), "is no scope")):
            done = w.ctl("suppress", *wrong, check=False)
            assert done.returncode in (1, 2) and words in done.stderr, (wrong, done)


def test_a_campaign_to_dead_addresses_goes_on():
    """errors-max is for clients that do something wrong; 20 is the default, and 100 resets without a message."""
    with running() as w:
        w.ctl("suppress", "add", "@dead.test")
        with Talk(w.port) as t:
            t.hello()
            for i in range(120):
                t.say("MAIL FROM:<s@x.test>", "250")
                t.say(f"RCPT TO:<r{i}@dead.test>", "550 5.7.1")
                t.say(*(("DATA", "554") if i % 10 == 0 else ("RSET", "250")))
            t.say("MAIL FROM:<s@x.test>", "250")
            for i in range(30):
                t.say(f"RCPT TO:<r{i}@dead.test>", "550 5.7.1")
            t.say("RCPT TO:<good@a.test>", "250")


def test_found_before_the_attempt():
    with running(SITES, settings="bounce-from = b@x.test\n") as w:
        w.ctl("hold", "--domain", "a.test", "--yes", check=False)
        w.ctl("pause", "domain", "a.test")
        w.send("s@a.test", ["one@a.test", "two@a.test", "three@a.test"])
        w.send("s@a.test", ["alone@a.test"])
        w.ctl("suppress", "add", "two@a.test", "alone@a.test", "--reason", "complaint")
        w.ctl("resume", "domain", "a.test")
        for rcpt in ("two@a.test", "alone@a.test"):
            row = w.wait_row(type="b", rcpt=rcpt)
            assert "The recipient is suppressed: its owner complained" in row["dsnDiag"] and "5.7.1" in row["dsnStatus"]
        wait_for("the others", lambda: {r["rcpt"] for r in w.rows() if r["type"] == "d"} >= {"one@a.test", "three@a.test"})
        # Two bounce mails to the sender, as for other failures; nothing to those on the list.
        wait_for("bounce mails", lambda: sum(b"suppressed" in m for m in w.mails()) == 2)
        assert not {r["rcpt"] for r in w.rows() if r["type"] == "d"} & {"two@a.test", "alone@a.test"}
        # It had got as far as its site, which said nothing.
        assert "bounced at mx1.a.mx.test " in w.ctl("history", "alone@a.test", str(w.dir / "acct.jsonl"))
        assert "balance" in w.ctl("audit")


def test_recorded_instead_of_refused():
    with running(SITES, blocks='suppression * { suppressed = record }\n') as w:
        w.ctl("suppress", "add", "bad@a.test", "worse@a.test", "job@a.test", "--scope", "global")
        w.ctl("suppress", "allow", "job@a.test", "--scope", "stream /news")
        w.send("s@a.test", ["good@a.test", "bad@a.test", "worse@a.test"])
        w.send("s@a.test", ["bad@a.test"])
        w.send("s@a.test", ["job@a.test"], headers="X-Job: news\r\n")
        for rcpt in ("good@a.test", "job@a.test"):
            w.wait_row(type="d", rcpt=rcpt)
        wait_for("records", lambda: sorted(r["rcpt"] for r in w.rows() if r["type"] == "b") == ["bad@a.test", "bad@a.test", "worse@a.test"])
        assert {r["bounceCat"] for r in w.rows() if r["type"] == "b"} == {"policy-related"}
        assert len(w.arrived()) == 2  # and no bounce mail
        assert "balance" in w.ctl("audit")
        w.kill()
        w.start()
        assert "balance" in w.ctl("audit")


def test_bounces_fill_it():
    with running(SITES, users=SHOP, listen=CLEAR, blocks="suppression club { scope = global  hard-expire = 1d }\n") as w:
        submit(w, ["gone1@dead.test", "full@full.test", "r@spam.test", "fine@a.test"])
        submit(w, ["gone2@dead.test"], user="club")
        for rcpt in ("gone1@dead.test", "full@full.test", "r@spam.test", "gone2@dead.test"):
            w.wait_row(type="b", rcpt=rcpt)
        # What is said of our address burns none, and once full is not for ever.
        assert entries(w) == {("gone1@dead.test", "user shop"): "hard-bounce", ("gone2@dead.test", "global"): "hard-bounce"}
        rows = {r["address"]: r for r in w.ctl("suppress", "list", "--json")["rows"]}
        assert rows["gone1@dead.test"]["class"] == "bad-mailbox" and "no such user" in rows["gone1@dead.test"]["note"]
        assert rows["gone1@dead.test"]["expires_us"] == 0
        assert abs(rows["gone2@dead.test"]["expires_us"] / 1e6 - time.time() - 86400) < 60
        assert codes(w, "gone1@dead.test", user="shop") == ["550 5.7.1"] and codes(w, "gone1@dead.test", user="club") == ["250"]
        assert codes(w, "gone2@dead.test", user="shop") == ["550 5.7.1"]
        assert "it bounced (bad-mailbox), 20" in at_rcpt(w, "gone2@dead.test")[0]
        # An allow is not taken off by a bounce.
        w.ctl("suppress", "allow", "gone3@dead.test", "--scope", "user shop")
        submit(w, ["gone3@dead.test"])
        w.wait_row(type="b", rcpt="gone3@dead.test")
        assert codes(w, "gone3@dead.test", user="shop") == ["250"]


def test_days_of_a_full_mailbox():  # and the end of an entry, by a clock that is set
    with running(SITES, settings="accounting-rotate-age = 0s\n", blocks="suppression * { soft-bounces = 2  soft-window = 3d  soft-expire = 5d }\n") as w:
        w.stop()
        clock = Clock(w)
        w.start(wrapper=clock.wrapper)

        def bounce(rcpt, days):
            before = sum(r["rcpt"] == rcpt and r["type"] == "b" for r in w.rows())
            clock.ahead(days=days)
            w.send("s@a.test", [rcpt])
            wait_for("the bounce", lambda: sum(r["rcpt"] == rcpt and r["type"] == "b" for r in w.rows()) > before)

        for rcpt in ("full1@full.test", "full1@full.test", "full2@full.test"):  # one day counts once
            bounce(rcpt, 0)
        assert entries(w) == {}
        bounce("full1@full.test", 1)
        assert entries(w) == {("full1@full.test", "global"): "soft-bounces"}
        bounce("full2@full.test", 4)  # too late: it counts anew
        assert codes(w, "full1@full.test", "full2@full.test") == ["550 5.7.1", "250"]
        clock.ahead(days=7)
        assert codes(w, "full1@full.test") == ["250"] and entries(w) == {}
        wait_for("the sweep", lambda: w.ctl("suppress", "list", "--json")["summary"]["entries"] == 0)


def test_import_and_export():
    with running() as w:
        big = w.dir / "big.csv"
        big.write_text("email,why,note\n" + "".join(f"User{i * 7919 % 100003}@d{i % 1000}.test,x,n{i}\n" for i in range(100000)))
        assert w.ctl("suppress", "import", str(big)) == "100,000 entries written, 0 lines bad\n"
        assert w.ctl("suppress", "list", "--json")["summary"]["entries"] == 100000
        assert codes(w, "uSer0@d0.test", "user0@d1.test") == ["550 5.7.1", "250"]
        w.kill()
        w.start()
        assert codes(w, "user0@d0.test") == ["550 5.7.1"]
        # Out, away, in again: the same.
        out = w.ctl("suppress", "export")
        rows = list(csv.DictReader(io.StringIO(out)))
        assert len(rows) == 100000 and list(rows[0]) == ["address", "scope", "reason", "added", "expires", "note"]
        assert {r["reason"] for r in rows} == {"import"} and {r["scope"] for r in rows} == {"global"}
        few = ('a@a.test,user shop,complaint,2026-01-02T03:04:05Z,2099-01-01,"said ""no"", twice"\n'
               "b@a.test\n@c.test,stream shop/news\n# a comment\n\nA@A.test,user shop,manual\n")
        assert w.ctl("suppress", "import", "-", "--reason", "unsubscribe", data=few) == "4 entries written, 0 lines bad\n"
        assert entries(w, "--scope", "user shop") == {("a@a.test", "user shop"): "manual"}  # the later line
        assert entries(w, "--scope", "stream shop/news") == {("@c.test", "stream shop/news"): "unsubscribe"}
        # Only a list that was cut says that there is more.
        assert w.ctl("suppress", "--reason", "complaint") == "nothing of that on the list\n"
        assert "in all" not in w.ctl("suppress", "--scope", "user shop")
        assert w.ctl("suppress", "--limit", "2").endswith("\n100,003 entries in all; mtactl suppress export writes them\n")
        assert w.ctl("suppress", "import", "-", data=few.splitlines()[0]) == "1 entry written, 0 lines bad\n"
        w.ctl("suppress", "export", str(w.dir / "out.csv"), "--scope", "user shop")
        assert (w.dir / "out.csv").read_text() == \
            'address,scope,reason,added,expires,note\na@a.test,user shop,complaint,2026-01-02T03:04:05Z,2099-01-01T00:00:00Z,"said ""no"", twice"\n'
        # Bad lines are told, the rest is there.
        bad = "good@a.test\nno address\nx@a.test,nowhere\ny@a.test,,whim\nz@a.test,,,yesterday\n\"q@a.test\n" + "l" * 9000 + "@a.test\nlast@a.test"
        done = w.ctl("suppress", "import", "-", data=bad, check=False)
        assert done.returncode == 1 and done.stdout == "2 entries written, 6 lines bad\n"
        assert [line.split(": ")[0] for line in done.stderr.splitlines()] == [f"-:{n}" for n in range(2, 8)]
        assert codes(w, "good@a.test", "last@a.test", "x@a.test") == ["550 5.7.1", "550 5.7.1", "250"]
        assert re.search(r" operator who=\S+ what=suppress-import count=100000 ", w.log_text())


def test_a_long_import_says_the_same_as_its_lines():
    """Frames are on their way at once: the last of the lines about an address wins all the same."""
    n = 9000
    lines = [f"r{i}@a.test,{reason}\n" for reason in ("complaint", "unsubscribe", "allow") for i in range(n)]
    again = [f"same@a.test,{reason}\n" for reason in ("complaint", "allow") * 2500] + ["same@a.test,manual\n"]
    with running(settings="suppression-storage = hashed\n") as w:
        with open(f"{w.dir}/list.csv", "w") as f:
            f.write("address,reason\n" + "".join(lines + again))
        assert w.ctl("suppress", "import", f"{w.dir}/list.csv", "--json") == {"lines": 1 + 3 * n + 5001, "written": 3 * n + 5001, "bad": 0}
        assert w.ctl("suppress", "list", "--json", "--limit", "1")["summary"]["entries"] == n + 1
        assert w.ctl("suppress", "show", "same@a.test", "--json")["rows"][0]["reason"] == "manual"
        assert len(entries(w, "--reason", "allow")) == n


def test_hashed():
    with running(settings="suppression-storage = hashed\n") as w:
        w.ctl("suppress", "add", "secret.person@a.test", "--note", "by phone")
        w.ctl("suppress", "import", "-", data="hidden.person@a.test\n@hidden-domain.test\n")
        assert codes(w, "Secret.Person@A.test", "hidden.person@a.test", "x@hidden-domain.test", "other@a.test") == \
            ["550 5.7.1"] * 3 + ["250"]
        out = w.ctl("suppress", "export")
        assert all(re.match(r"[0-9a-f]{32},global,", line) for line in out.splitlines()[1:]) and out.count("\n") == 4
        w.stop()
        for file in (w.dir / "spool").iterdir():
            content = file.read_bytes() if file.is_file() else b""
            assert b"person@a.test" not in content and b"hidden-domain" not in content
        w.start()
        assert w.ctl("suppress", "remove", "secret.person@a.test") == "1 entry removed\n"
        assert codes(w, "secret.person@a.test", "hidden.person@a.test") == ["250", "550 5.7.1"]
        assert w.ctl("suppress", "import", "-", data=out) == "3 entries written, 0 lines bad\n"  # hashes
        assert codes(w, "secret.person@a.test") == ["550 5.7.1"]


def test_text_becomes_hashes():
    with running() as w:
        w.ctl("suppress", "add", "old@a.test", "--note", "old@a.test wrote")
        w.ctl("suppress", "allow", "kept@a.test")
        w.settings += "suppression-storage = hashed\n"
        w.write_config()
        w.ctl("reload")
        wait_for("hashes", lambda: all(re.fullmatch("[0-9a-f]{32}", a) for a, _ in entries(w)))
        assert sorted(entries(w).values()) == ["allow", "manual"]
        assert codes(w, "old@a.test", "kept@a.test") == ["550 5.7.1", "250"]
