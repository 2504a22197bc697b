# SPDX-License-Identifier: Apache-2.0
"""New users: a sandbox holds what is more than it allows, an operator ends it; quotas that refuse instead of holding."""
import re
import time

from tools import A_TEST, Talk, running, submit, wait_for

DAY_US = 86400 * 10**6


def delivered(w, part=""):
    return sorted(r["rcpt"] for r in w.rows() if r["type"] == "d" and part in r["rcpt"])


def user(w, name="shop"):
    return next(r for r in w.ctl("user", "--json")["rows"] if r["user"] == name)


def sandboxed(sandbox="{ 20/s, 3/d }", users=None, **world):
    world["settings"] = f"sandbox = {sandbox}\n" + world.get("settings", "")
    return running(A_TEST, users=users or {"shop": "", "club": "sandbox = off"}, listen="auth-in-clear = yes", **world)


def midnight_us():
    return (int(time.time() * 10**6) // DAY_US + 1) * DAY_US


def test_a_new_user_is_held_and_let_out():
    with sandboxed() as w:
        submit(w, [f"r{n}@a.test" for n in range(8)])
        submit(w, [f"club{n}@a.test" for n in range(8)], user="club")
        wait_for("the sandbox's share", lambda: len(delivered(w, "r")) == 3 and len(delivered(w, "club")) == 8)
        w.send("s@x.test", ["nobody@a.test"])  # mail without a user has none
        wait_for("mail of nobody", lambda: delivered(w, "nobody"))
        row = user(w)
        assert (row["state"], row["today"], row["today_limit"], row["ready"]) == ("sandbox", 3, 3, 5)
        assert row["full_until_us"] == midnight_us() and row["quotas"][0]["sandbox"] is True
        assert user(w, "club")["state"] == "exempt" and user(w, "club")["today"] is None
        # Told once, with the command that ends it.
        submit(w, ["late@a.test"])
        assert re.findall(r' sandbox_full user="shop" rcpts=3 until=\d{4}-\d\d-\d\dT00:00:00Z mail=held '
                          r'why="a new user; mtactl user lift shop ends it"\n', w.log_text())
        assert w.log_text().count(" sandbox_full ") == 1
        # Seen as what it is, everywhere.
        why = w.ctl("why", "a.test")
        assert "User shop is in its sandbox: 3 recipients/d, used up; more at " in why
        assert "`mtactl user lift shop` ends that." in why
        assert "sandbox of user: 3 recipients/d" in w.ctl("streams")
        assert {r["state"] for r in w.ctl("list", "--json")["rows"]} == {"quota"}
        states = {r["state"]: r["recipients"] for r in w.ctl("queue", "--by", "state", "--json")["rows"]}
        assert states["quota"] == 6 and states["ready"] == 0
        assert w.ctl("queue", "--json")["summary"]["quota"] == 6
        assert re.search(r"(?m)^a\.test .* \(quota\)$", w.ctl("queue"))
        # It outlives a crash; then it is lifted, and its mail goes at once.
        w.kill()
        w.start()
        wait_for("the index", lambda: user(w)["ready"] == 6)
        assert user(w)["today"] == 3 and len(delivered(w, "r")) == 3
        assert w.ctl("user", "lift", "shop", "--reason", "they \"paid\"") == "user shop is out of its sandbox\n"
        wait_for("all of it", lambda: len(delivered(w, "r")) + len(delivered(w, "late")) == 9, seconds=5)
        for again in (False, True):
            row = user(w)
            assert (row["state"], row["reason"], row["today"]) == ("lifted", "they \"paid\"", None) and row["since_us"] > 0
            assert "let out of its sandbox 20" in w.ctl("user", "show", "shop") and 'they "paid"' in w.ctl("user", "show", "shop")
            submit(w, [f"more{again}{n}@a.test" for n in range(5)])
            wait_for("mail of one that is out", lambda: len(delivered(w, f"more{again}")) == 5)
            if not again:
                w.kill()
                w.start()
        w.ctl("user", "sandbox", "shop")
        submit(w, [f"in{n}@a.test" for n in range(5)])
        for again in (False, True):  # what it had before it was let out counts on
            row = wait_for("the index", lambda: user(w)["ready"] == 5 and user(w))
            assert (row["state"], row["today"], row["full_until_us"]) == ("sandbox", 3, midnight_us())
            if not again:
                w.stop()
                w.start()
        assert not delivered(w, "in")
        assert re.search(r" operator who=\S+ what=user-lift count=1 .*shop", w.log_text())
        assert re.search(r" operator who=\S+ what=user-sandbox count=1 .*shop", w.log_text())
        assert w.ctl("audit", "--json")["summary"]["balanced"]


def test_the_default_is_one_a_second():
    with sandboxed("{ 1/s, 200/d }") as w:
        begun = time.monotonic()
        submit(w, [f"r{n}@a.test" for n in range(4)])
        assert user(w)["today_limit"] == 200
        wait_for("four", lambda: len(delivered(w)) == 4)
        assert time.monotonic() - begun > 2.5
        assert "sandbox_full" not in w.log_text()


def test_the_tighter_of_both_holds():
    with sandboxed("{ 100/d }", users={"shop": "recipient-rate = { 2/d, 5/h }", "club": "recipient-rate = 200/d"}) as w:
        submit(w, [f"r{n}@a.test" for n in range(4)])
        wait_for("two", lambda: user(w)["today"] == 2)
        row = user(w)
        assert [(q["limit"], q["sandbox"]) for q in row["quotas"]] == [(5, False), (2, False)]
        assert [(q["limit"], q["sandbox"]) for q in user(w, "club")["quotas"]] == [(100, True)]
        assert "Raise `recipient-rate` in user shop" in w.ctl("why", "a.test") and "sandbox_full" not in w.log_text()
        w.ctl("user", "lift", "shop")
        time.sleep(0.5)
        assert len(delivered(w)) == 2  # its own limit is as it was


def test_over_quota_is_refused():
    with sandboxed("{ 2/d }", users={"shop": "over-quota = refuse", "club": "over-quota = refuse recipient-rate = 9/h"}) as w:
        with Talk(w.port) as t:
            t.hello()
            t.auth("shop", "secret")
            for n in range(2):
                t.say("MAIL FROM:<s@x.test>", "250")
                t.say(f"RCPT TO:<r{n}@a.test>", "250")
                t.data(b"From: <s@x.test>\r\n\r\nhello\r\n.\r\n")
            wait_for("two", lambda: len(delivered(w)) == 2)
            reply = t.say("MAIL FROM:<s@x.test>", "451")
            assert re.fullmatch(r"451 4\.7\.1 Recipient quota of this user is used up until \d{4}-\d\d-\d\d 00:00 UTC, try again then",
                                reply), reply
            assert "; new mail is refused with 451" in w.ctl("user", "show", "shop")
            # The same connection goes on as soon as there is room.
            w.ctl("user", "lift", "shop")
            t.say("MAIL FROM:<s@x.test>", "250")
            t.say("RSET", "250")
            w.ctl("user", "sandbox", "shop")
            t.say("MAIL FROM:<s@x.test>", "451")
        submit(w, ["club@a.test"], user="club")  # nobody else is concerned
        assert re.search(r" sandbox_full user=\"shop\" rcpts=2 until=\S+ mail=refused ", w.log_text())
        assert re.search(r" rejected .*user=shop command=MAIL code=451 esc=4\.7\.1", w.log_text())


def test_refused_after_a_restart_and_by_a_reload():
    with sandboxed("off", users={"shop": "over-quota = refuse recipient-rate = 2/d"}) as w:
        submit(w, ["r1@a.test", "r2@a.test"])
        wait_for("two", lambda: len(delivered(w)) == 2)
        w.stop()
        w.start()  # nothing of it is in the queue
        for limit, code in ((2, "451"), (5, "250"), (2, "451")):
            w.blocks = re.sub(r"recipient-rate = \d", f"recipient-rate = {limit}", w.blocks)
            w.write_config()
            w.ctl("reload")
            with Talk(w.port) as t:
                t.hello()
                t.auth("shop", "secret")
                t.say("MAIL FROM:<s@x.test>", code)


def test_words():
    with sandboxed() as w:
        for arguments, code, words in (
                (("lift",), 2, "user lift which user?"), (("show",), 2, "user show which user?"),
                (("list", "shop"), 2, "user list takes no name"), (("lfit", "shop"), 2, 'did you mean "lift"?'),
                (("show", "shop", "more"), 2, 'does not know what to do with "more"'),
                (("list", "--reason", "x"), 2, "--reason is for lift and sandbox"),
                (("show", "shpo"), 1, 'there is no user shpo; did you mean "shop"?'),
                (("lift", "nobody-of-that-name"), 1, "there is no user nobody-of-that-name in the configuration"),
                (("lift", "club"), 1, "user club has no sandbox to be let out of: sandbox = off holds for it"),
                (("sandbox", "club"), 1, "user club has no sandbox to be put in"),
                (("sandbox", "shop"), 1, "user shop is in its sandbox already")):
            done = w.ctl("user", *arguments, check=False)
            assert done.returncode == code and words in done.stderr, (arguments, done)
        w.ctl("user", "lift", "shop")
        done = w.ctl("user", "lift", "shop", check=False)
        assert done.returncode == 1 and "user shop is out of its sandbox already" in done.stderr
        table = w.ctl("user").splitlines()
        assert table[0].split()[:3] == ["USER", "STATE", "TODAY"] and [line.split()[1] for line in table[1:]] == ["lifted", "exempt"]
