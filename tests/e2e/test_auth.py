# SPDX-License-Identifier: Apache-2.0
"""Faults A17-A22: who may send, as whom, how much. And programs people use as clients."""
import base64
import contextlib
import re
import select
import smtplib
import ssl
import subprocess
import time

import pytest
from tools import MAIL, Talk, certificate, dkim_key, gives, password_file, running, wait_for


@pytest.fixture(scope="module")
def w():
    """Nobody is trusted for his address."""
    def before(world):
        cert, key = certificate(world.dir)
        world.listen = f'networks = {{ 10.9.9.0/24 }}  certificate = "{cert}"  key = "{key}"  tls = required'
        world.blocks = f'user any {{ password-file = "{password_file(world.dir, "any", "pässwörd ünd blanks")}" }}\n'
    with running(before=before, users={
            "shop": 'senders = { "@shop.test", "boss@x.test" }',
            "small": "message-max = 2KB  recipients-max = 2  accept-rate = 2/h  connections-max = 1"}) as world:
        yield world


addresses = (f"127.0.1.{n}" for n in range(1, 255))


@pytest.fixture
def t(w):
    """From an address of its own, as failed log-ins count for the address."""
    with Talk(w.port, source=next(addresses)) as talk:
        talk.hello()
        talk.starttls()
        talk.hello()
        yield talk


def b64(text):
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


def test_plain_and_login(w, t):
    t.say("AUTH LOGIN", "334 VXNlcm5hbWU6")
    t.say(b64("any"), "334 UGFzc3dvcmQ6")
    t.say(b64("pässwörd ünd blanks"), "235 2.7.0")
    t.say("AUTH PLAIN x", "503")
    t.envelope("s@anything.test", ["login@a.test"])
    t.data(MAIL)
    assert gives(w, "login@a.test")["srcMta"] == "any"


def test_plain_with_prompt_and_authzid(t):
    t.say("AUTH PLAIN", "334")
    t.say(b64("shop\0shop\0secret"), "235")


ABUSE = {"bad_base64": ("AUTH PLAIN !!!!", "501"), "no_nul": ("AUTH PLAIN " + b64("abc"), "501"),
         "one_nul": ("AUTH PLAIN " + b64("a\0b"), "501"), "three_nuls": ("AUTH PLAIN " + b64("\0any\0a\0b"), "50|535"),
         "empty": ("AUTH PLAIN =", "535|501"), "empty_user": ("AUTH PLAIN " + b64("\0\0x"), "535"),
         "other_authzid": ("AUTH PLAIN " + b64("root\0shop\0secret"), "535"), "unknown": ("AUTH CRAM-MD5", "504"),
         "too_long": ("AUTH PLAIN " + "A" * 10000, "500"), "no_mechanism": ("AUTH", "501"),
         "no_password": ("AUTH PLAIN " + b64("\0shop\0"), "535 5.7.8"), "blanks": ("AUTH PLAIN " + b64("\0shop\0secret") + " x", "501")}

# What is said after AUTH, and the last answer.
DIALOGUES = {"plain_too_long": (["AUTH PLAIN", "A" * 3000], "500 5.5.6"),
             "user_too_long": (["AUTH LOGIN", "A" * 3000], "500 5.5.6"),
             "password_too_long": (["AUTH LOGIN", b64("shop"), "A" * 3000], "500 5.5.6"),
             "empty_password": (["AUTH LOGIN", b64("shop"), ""], "535 5.7.8"),
             "nul_in_password": (["AUTH LOGIN", b64("shop"), b64("secret\0")], "535 5.7.8"),
             "nul_in_user": (["AUTH LOGIN", b64("shop\0x"), b64("secret")], "535 5.7.8"),
             "cancelled_plain": (["AUTH PLAIN", "*"], "501 5.7.0"),
             "command_instead": (["AUTH LOGIN", "QUIT!"], "501 5.5.2")}


@pytest.mark.parametrize("name", DIALOGUES)
def test_A18_dialogue(t, name):
    lines, wanted = DIALOGUES[name]
    for line in lines[:-1]:
        t.say(line, "334 ")
    t.say(lines[-1], wanted)
    t.say("MAIL FROM:<s@x.test>", "530")
    t.auth("shop", "secret")
    t.envelope("s@shop.test")
    t.say("AUTH PLAIN " + b64("\0shop\0secret"), "503 5.5.1")


def test_A50_chunk_of_a_stranger_is_no_command(t):
    t.say("MAIL FROM:<s@x.test>", "530 5.7.0")
    chunk = b"AUTH PLAIN " + b64("\0shop\0secret").encode() + b"\r\nQUIT\r\n"
    for last in (b"", b" LAST"):
        t.say(b"BDAT %d%s\r\n" % (len(chunk), last) + chunk, "503 5.5.1")
    t.say("MAIL FROM:<s@x.test>", "530 5.7.0")


@pytest.mark.parametrize("name", ABUSE)
def test_A18_abuse(t, name):
    said, wanted = ABUSE[name]
    t.say(said, wanted)
    t.say("NOOP", "250")
    t.say("MAIL FROM:<s@x.test>", "530")


def test_A18_cancelled(t):
    t.say("AUTH LOGIN", "334")
    t.say("*", "501")
    t.say("AUTH LOGIN", "334")
    t.say(b64("shop"), "334")
    t.say("*", "501")
    t.auth("shop", "secret")


@pytest.mark.parametrize("said", [["AUTH PLAIN "], ["AUTH PLAIN", ""], ["AUTH LOGIN", ""], ["AUTH LOGIN", b64("shop"), ""]],
                         ids=["at_once", "plain", "user", "password"])
def test_A18_a_megabyte_of_base64(w, t, said):
    for line in said[:-1]:
        t.say(line, "334")
    seen = len(w.log_text())
    with contextlib.suppress(OSError):
        t.raw(said[-1] + "A" * (1 << 20) + "\r\n")
        t.rest()
    wait_for("its end", lambda: 'text="endless line"' in w.log_text()[seen:])
    assert w.ctl("status", "--json")["summary"]["memory_bytes"] < 1 << 20


def test_A18_what_is_no_login_counts_as_a_failed_one():
    with running(users={"shop": ""}, listen="auth-in-clear = yes  errors-max = 1000  networks = { 10.9.9.0/24 }") as w, \
            Talk(w.port) as t:
        t.hello()
        failed = [["AUTH PLAIN !!!!"], ["AUTH PLAIN " + b64("abc")], ["AUTH PLAIN " + b64("\0\0x")], ["AUTH PLAIN ="],
                  ["AUTH PLAIN " + b64("root\0shop\0secret")], ["AUTH PLAIN", "*"], ["AUTH LOGIN", "*"],
                  ["AUTH LOGIN", b64("shop"), "*"], ["AUTH LOGIN", b64("shop"), "A" * 5000], ["AUTH LOGIN", b64("shop"), ""]]
        for n in range(20):
            t.say("AUTH CRAM-MD5", "504")  # asked for what there is, and no try
            *begin, last = failed[n % len(failed)]
            for line in begin:
                t.say(line, "334")
            t.say(last, "5")
            assert w.log_text().count(" login_failed client=127.0.0.1 failures=") == n + 1
        assert re.search(r'login_failed client=127.0.0.1 failures=20 why="[^"]+" user=""\n', w.log_text())
        t.auth("shop", "secret", "421 4.7.0")
        assert "login_failed client=127.0.0.1 why=\"too many failures\"" in w.log_text()


def test_A20_login_belongs_to_the_connection(w, t):
    t.auth("any", "pässwörd ünd blanks")
    with Talk(w.port) as other:
        other.hello()
        other.starttls()
        other.hello()
        other.say("MAIL FROM:<s@x.test>", "530 5.7.0")
    t.envelope()
    t.say("RSET", "250")


def test_A21_senders_of_a_user(w, t):
    t.auth("shop", "secret")
    for sender in ("s@other.test", "s@sub.shop.test", "s@shop.test.evil.test", "Boss@x.test.evil"):
        t.say(f"MAIL FROM:<{sender}>", "553 5.7.1")
    t.say("MAIL FROM:<boss@x.test>", "250")
    t.say("RSET", "250")
    t.say("MAIL FROM:<>", "250")
    t.say("RSET", "250")
    t.envelope("news@SHOP.test", ["owned@a.test"])
    t.data(b"From: <boss@x.test>\r\n\r\nhello\r\n.\r\n")
    gives(w, "owned@a.test")


def test_A21_from_of_a_user(w, t):
    t.auth("shop", "secret")
    for sender, from_field, wanted in (("s@shop.test", "Boss <boss@X.test>", "250"), ("", "s@shop.test", "250"),
                                       ("s@shop.test", "ceo@other.test", "553 5.7.1"),
                                       ("s@shop.test", "s@shop.test, ceo@other.test", "553 5.7.1"),
                                       ("", "Team: s@shop.test;", "553 5.7.1")):
        t.envelope(sender, ["from@a.test"])
        t.data(f"From: {from_field}\r\n\r\nhello\r\n.\r\n".encode(), wanted)


RELAY = ["victim@other.test", "victim%other.test@a.test", "@a.test:victim@other.test", "other.test!victim",
         '"victim@other.test"', '"victim@other.test"@a.test', "victim@[127.0.0.1]", "victim@other.test@a.test", "postmaster"]


@pytest.mark.parametrize("sender", ["s@x.test", "", "postmaster@mta.sender.test", "s@localhost"])
def test_A22_no_open_relay(w, t, sender):
    for rcpt in RELAY:
        t.say(f"MAIL FROM:<{sender}>", "530 5.7.0")
        t.say(f"RCPT TO:<{rcpt}>", "503|501|421|530")
        if rcpt == RELAY[5]:
            t.say("RSET", "250")
    assert not [r for r in w.rows() if "other" in r["rcpt"]]


def test_limits_of_a_user(w, t):
    t.auth("small", "secret")
    with Talk(w.port) as other:
        other.hello()
        other.starttls()
        other.hello()
        other.auth("small", "secret", "454 4.7.0|421")
    t.say("MAIL FROM:<s@x.test> SIZE=3000", "552 5.3.4")
    t.say("MAIL FROM:<s@x.test>", "250")
    t.say("RCPT TO:<s1@a.test>", "250")
    t.say("RCPT TO:<s2@a.test>", "250")
    t.say("RCPT TO:<s3@a.test>", "452 4.5.3")
    t.data(b"From: <s@x.test>\r\n\r\n" + b"x" * 900 + b"\r\n" + b"x" * 900 + b"\r\n" + b"x" * 900 + b"\r\n.\r\n", "552 5.3.4")
    replies = []
    for _ in range(3):
        replies.append(t.say("MAIL FROM:<s@x.test>")[:9])
        t.say("RSET", "250")
    assert replies[-1] == "451 4.7.1"


def test_A39_recipients_above_the_limit_of_a_user_cost_nothing():
    with running(users={"few": "recipients-max = 5"}, listen="auth-in-clear = yes  errors-max = 5") as w, \
            Talk(w.port) as t:
        t.hello()
        t.auth("few", "secret")
        t.say("MAIL FROM:<s@x.test>", "250")
        t.raw("".join(f"RCPT TO:<r{n}@a.test>\r\n" for n in range(50)))
        assert [t.reply()[:9] for _ in range(50)] == ["250 2.1.5"] * 5 + ["452 4.5.3"] * 45
        t.data(MAIL)


def test_B13_size_limit_of_a_user_is_exact():
    with running(users={"small": "message-max = 1KB"}, listen="auth-in-clear = yes") as w, Talk(w.port) as t:
        t.hello()
        t.auth("small", "secret")
        for over, wanted in ((-1, "250"), (0, "250"), (1, "552 5.3.4")):
            message = b"From: <s@x.test>\r\n\r\n" + b"x" * 600 + b"\r\n"
            message += b"y" * (1024 + over - len(message) - 2) + b"\r\n"
            t.envelope()
            t.data(message + b".\r\n", wanted)


def test_A19_wrong_passwords_cost_time_and_are_logged():
    with running(users={"shop": ""}, listen="auth-in-clear = yes  networks = { 10.9.9.0/24 }") as w:
        with Talk(w.port) as t, Talk(w.port) as other:
            t.hello()
            times = []
            for n, password in enumerate(("wrong", "also wrong")):
                begun = time.monotonic()
                t.raw("AUTH PLAIN " + b64(f"\0shop\0{password}") + "\r\n")
                if n == 1:
                    other.hello()
                    assert not select.select([t.socket], [], [], 0)[0], "others wait too"
                t.expect("535 5.7.8")
                times.append(time.monotonic() - begun)
            assert times[0] >= 0.9 and times[1] >= 1.9
            t.auth("nobody", "secret", "535 5.7.8")
            t.auth("shop", "secret")
        log = w.log_text()
        assert log.count("login_failed") == 3 and 'client=127.0.0.1' in log and "secret" not in log and "wrong" not in log


def test_A19_guessing_at_once_is_limited_and_stops_no_mail():
    def before(world):
        world.blocks = dkim_key(world.dir, "x.test")[0]
    with running(before=before, users={"shop": ""}, listen="auth-in-clear = yes") as w, Talk(w.port) as t, \
            contextlib.ExitStack() as stack:
        t.hello()
        crowd = [stack.enter_context(Talk(w.port, timeout=60)) for _ in range(150)]
        for guesser in crowd:
            guesser.hello()
            guesser.raw("AUTH PLAIN " + b64("\0shop\0wrong") + "\r\n")
        begun = time.monotonic()
        t.envelope()
        t.data(MAIL)
        assert time.monotonic() - begun < 1.5 or w.log_text().count("login_failed") < 20, "mail waits for the passwords of others"
        replies = [guesser.reply()[:9] for guesser in crowd]
        assert 20 <= replies.count("535 5.7.8") <= 22 and replies.count("421 4.7.0") >= 128, replies
        t.auth("shop", "secret", "421 4.7.0")


def test_A19_one_user_is_guessed_at_from_many_addresses():
    """After fifty failures a user's password is worth nothing from where it is not known; at home all goes on."""
    with running(users={"shop": "", "other": ""}, listen="auth-in-clear = yes  networks = { 10.9.9.0/24 }") as w, \
            contextlib.ExitStack() as stack:
        def guesser(source):
            talk = stack.enter_context(Talk(w.port, source=source, timeout=60))
            talk.hello()
            return talk
        home, away = guesser("127.0.2.1"), guesser("127.0.2.2")
        home.auth("shop", "secret")
        crowd = [guesser(f"127.0.3.{n}") for n in range(1, 50)]
        for talk in crowd:
            talk.raw("AUTH PLAIN " + b64("\0shop\0guess") + "\r\n")
        for talk in crowd:
            talk.expect("535 5.7.8")
        guesser("127.0.2.3").auth("shop", "secret")  # one failure below the bound
        away.auth("shop", "guess", "535 5.7.8")
        away.auth("shop", "secret", "535 5.7.8 Authentication failed$")
        away.auth("shop", "guess", "535 5.7.8 Authentication failed$")
        away.auth("other", "secret")
        home = guesser("127.0.2.1")
        home.auth("shop", "guess", "535 5.7.8")
        home.auth("shop", "secret")
        home.envelope()
        home.data(MAIL)
        log = w.log_text()
        assert re.findall(r' login_failed client=127.0.2.2 failures=\d why="(.*)" user="shop"\n', log) == [
            "authentication failed", "too many failures of this user, although it was the password",
            "too many failures of this user"]
        assert len(re.findall(r' login_failed client=127.0.3.\d+ failures=1 why="authentication failed" user="shop"\n', log)) == 49
        assert "secret" not in log.replace(str(w.dir), "") and "guess" not in log


def test_A19_stop_does_not_wait_for_those_who_guessed_wrong():
    with running(users={"shop": ""}, listen="auth-in-clear = yes") as w, contextlib.ExitStack() as stack:
        guessers = [stack.enter_context(Talk(w.port)) for _ in range(6)]
        for guesser in guessers:
            guesser.hello()
            guesser.raw("AUTH PLAIN " + b64("\0shop\0wrong") + "\r\n")
        wait_for("six failures", lambda: w.log_text().count("login_failed") == 6)
        w.stop()
        assert not all(b"535" in guesser.rest() for guesser in guessers), "it waited until each had its answer"


def test_A9_strangers_have_one_time_to_log_in():
    with running(users={"shop": ""}, listen="auth-in-clear = yes  networks = { 10.9.9.0/24 }  command-timeout = 2s") as w, \
            Talk(w.port) as stranger, Talk(w.port) as user:
        user.hello()
        user.auth("shop", "secret")
        stranger.hello()
        begun = time.monotonic()
        with pytest.raises((EOFError, AssertionError)):
            while time.monotonic() - begun < 20:
                stranger.say("NOOP", "250")
                user.say("NOOP", "250")
                time.sleep(0.2)
        assert 1.5 < time.monotonic() - begun < 15
        user.say("NOOP", "250")


def test_accept_rate_of_a_client():
    with running(listen="accept-rate = 3/h") as w, Talk(w.port) as t:
        t.hello()
        replies = []
        for _ in range(5):
            replies.append(t.say("MAIL FROM:<s@x.test>")[:9])
            t.say("RSET", "250")
        assert replies[0].startswith("250") and replies[-1] == "451 4.7.1"


# --- programs ---

@pytest.fixture(scope="module")
def office():
    def before(world):
        cert, key = certificate(world.dir)
        world.cert = cert
        world.listen = f'networks = {{ 10.9.9.0/24 }}  certificate = "{cert}"  key = "{key}"'
    with running(before=before, users={"shop": ""}) as world:
        yield world


def test_smtplib(office):
    context = ssl.create_default_context(cafile=str(office.cert))
    context.check_hostname = False
    with smtplib.SMTP("127.0.0.1", office.port, timeout=10) as c:
        c.starttls(context=context)
        c.login("shop", "secret")
        c.sendmail("s@x.test", ["smtplib@a.test"], b"From: <s@x.test>\r\n\r\n.hello\r\n")
    gives(office, "smtplib@a.test")


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_swaks(office, mechanism):
    subprocess.run(["swaks", "--server", "127.0.0.1", "--port", str(office.port), "--tls", "--auth", mechanism, "--auth-user",
                    "shop", "--auth-password", "secret", "--from", "s@x.test", "--to", f"swaks-{mechanism}@a.test", "--helo",
                    "client.test", "--body", "hello\\n.\\nworld"], check=True, capture_output=True, timeout=30)
    gives(office, f"swaks-{mechanism}@a.test")


def test_msmtp(office):
    subprocess.run(["msmtp", "-C", "/dev/null", "--host=127.0.0.1", f"--port={office.port}", "--tls=on", "--tls-certcheck=off",
                    "--auth=plain", "--user=shop", "--passwordeval=echo secret", "--from=s@x.test", "msmtp@a.test"],
                   input=b"From: <s@x.test>\nSubject: hi\n\nhello\n.\nend\n", check=True, capture_output=True, timeout=30)
    gives(office, "msmtp@a.test")
    assert any(m.endswith(b"\r\n\r\nhello\r\n.\r\nend\r\n") for m in office.mails())


def test_s_nail(office):
    done = subprocess.run(["s-nail", "-:/", "-Sv15-compat", f"-Smta=smtp://shop:secret@127.0.0.1:{office.port}",
                           "-Ssmtp-use-starttls", "-Stls-verify=ignore", "-Ssmtp-auth=login", "-Sfrom=s@x.test", "-Shostname=x.test",
                           "-Ssendwait", "-Ssendcharsets=utf-8", "-s", "Grüße", "nail@a.test"], input="hello\n.two\n".encode(), capture_output=True,
                          timeout=30, env={"HOME": str(office.dir), "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"})
    assert done.returncode == 0, done.stderr
    gives(office, "nail@a.test")
