# SPDX-License-Identifier: Apache-2.0
"""Faults A: what a client may say, and what becomes of it. Each case has a connection of its own to one daemon."""
import concurrent.futures
import contextlib
import itertools
import pathlib
import re
import resource
import select
import signal
import socket
import ssl
import struct
import time

import pytest
from tools import MAIL, Talk, certificate, descriptors, free_port, gives, implicit_tls, running, sanitizer, wait_for


@pytest.fixture(scope="module")
def w():
    def before(world):
        cert, key = certificate(world.dir)
        world.listen = f'''
            certificate = "{cert}"  key = "{key}"  auth-in-clear = no
            message-max = 64KB  recipients-max = 1000  connections-max = 2000  connections-per-client = 1500
        '''
    with running(before=before, users={"shop": ""}) as world:
        yield world


@pytest.fixture
def t(w):
    with Talk(w.port) as talk:
        yield talk


def alive(t):
    """The session goes on, and nothing of what was said before is still answered."""
    t.raw(b"NOOP\r\nQUIT\r\n")
    assert (got := t.rest()) == b"250 2.0.0 ok\r\n221 2.0.0 bye\r\n", got


BODY = b"From: <s@x.test>\r\n\r\n"

# name: lines said one by one, and what each must be answered with. Afterwards the session must still be alive.
CONVERSATIONS = {
    "A1_lines_with_bare_lf": [("+mail", "250"), ("DATA", "354"), (BODY + b"one\ntwo\r\n.\r\n", "550 5.5.2")],
    "A3_bare_cr": [("+mail", "250"), ("DATA", "354"), (BODY + b"one\rtwo\r\n.\r\n", "550 5.5.2")],
    "A4_nul_in_command": [(b"MAIL FROM:<a\0b@x.test>\r\n", "50[01]"), (b"NO\0OP\r\n", "50[01]")],
    "A5_nul_in_data": [("+mail", "250"), ("DATA", "354"), (BODY + b"a\0b\r\n.\r\n", "550 5.6.0")],
    "A6_eight_bit_bytes_in_command": [(b"\xff\xfe\r\n", "50[01]"), (b"MAIL FROM:<\xc3\x28@x.test>\r\n", "50[01]|553")],
    "A7_command_too_long": [("NOOP " + "x" * 3000, "500 5.5.2")],
    "A15_starttls_in_transaction": [("+mail", "250"), ("STARTTLS", "503")],
    "A16_starttls_with_argument": [("STARTTLS now", "501")],
    "A17_auth_before_tls": [("AUTH PLAIN AHNob3AAc2VjcmV0", "538 5.7.11"), ("AUTH LOGIN", "538 5.7.11")],
    "A23_rcpt_before_mail": [("RCPT TO:<r@a.test>", "503")],
    "A23_data_before_mail": [("DATA", "503")],
    "A23_data_before_rcpt": [("MAIL FROM:<s@x.test>", "250"), ("DATA", "503")],
    "A23_data_after_all_rcpt_failed": [("MAIL FROM:<s@x.test>", "250"), ("RCPT TO:<@>", "501"), ("DATA", "554 5.5.1"),
                                       ("+mail", "250"), ("DATA", "354"), (MAIL, "250")],
    "A25_second_mail": [("MAIL FROM:<s@x.test>", "250"), ("MAIL FROM:<s@x.test>", "503")],
    "A25_ehlo_resets": [("+mail", "250"), ("EHLO again.test", "250"), ("DATA", "503")],
    "A25_rset": [("+mail", "250"), ("RSET", "250"), ("DATA", "503"), ("+mail", "250"), ("DATA", "354"), (MAIL, "250")],
    "A26_after_refused_data": [("+mail", "250"), ("DATA", "354"), (b"no header\r\n.\r\n", "550"), ("DATA", "503"),
                               ("+mail", "250"), ("DATA", "354"), (MAIL, "250")],
    "A26_after_bdat_out_of_order": [(b"BDAT 5 LAST\r\nhello", "503"), ("+mail", "250"), ("DATA", "354"), (MAIL, "250")],
    "A28_vrfy_expn_etrn_help": [("+mail", "250"), ("VRFY r@a.test", "252"), ("EXPN all", "502"), ("ETRN a.test", "50[02]"),
                                ("TURN", "50[02]"), ("HELP me", "214"), ("NOOP junk", "250"), ("DATA", "354"),
                                (MAIL, "250")],
    "A35_spaces_and_case": [("mail from: <s@x.test>  ", "250"), ("Rcpt to:  <r@a.test>", "250"), ("data", "354"),
                            (MAIL, "250")],
    "A35_tabs": [("MAIL FROM:\t<s@x.test>\t", "250"), ("RCPT\tTO:\t<r@a.test> \t", "250"), ("DATA\t", "354"), (MAIL, "250")],
    "A32_local_part_of_10000": [(f"MAIL FROM:<{'l' * 10000}@x.test>", "500 5.5.2"), ("MAIL FROM:<s@x.test>", "250"),
                                (f"RCPT TO:<{'l' * 10000}@a.test>", "500 5.5.2"), ("RCPT TO:<r@a.test>", "250")],
    "A33_control_characters_in_quotes": [("MAIL FROM:<s@x.test>", "250"), (b'RCPT TO:<"a\x01b"@a.test>\r\n', "50[01]"),
                                         (b'RCPT TO:<"a\\\x7fb"@a.test>\r\n', "50[01]"), ("DATA", "503|554")],
    "A36_size_over_limit": [("MAIL FROM:<s@x.test> SIZE=65537", "552 5.3.4")],
    "A36_size_overflow": [("MAIL FROM:<s@x.test> SIZE=99999999999999999999999", "501|552")],
    "A36_size_negative": [("MAIL FROM:<s@x.test> SIZE=-1", "501")],
    "A36_size_twice": [("MAIL FROM:<s@x.test> SIZE=1 SIZE=2", "501")],
    "A37_unknown_parameter": [("MAIL FROM:<s@x.test> FROBNICATE=1", "555 5.5.4"), ("MAIL FROM:<s@x.test>", "250"),
                              ("RCPT TO:<r@a.test> HOLD=9", "555 5.5.4")],
    "A38_xtext": [("MAIL FROM:<s@x.test> ENVID=a+0", "501"), ("MAIL FROM:<s@x.test> ENVID=a+00b", "501"),
                  ("MAIL FROM:<s@x.test> ENVID=a+0D+0Ab", "501"), ("MAIL FROM:<s@x.test> ENVID=" + "e" * 1500, "50[01]"),
                  ("MAIL FROM:<s@x.test> ENVID=a+2Bb RET=HDRS", "250"), ("RCPT TO:<r@a.test> NOTIFY=MAYBE", "501"),
                  ("RCPT TO:<r@a.test> NOTIFY=NEVER,FAILURE", "501"), ("RCPT TO:<r@a.test> ORCPT=rfc822;a+0D+0Ab", "501"),
                  ("RCPT TO:<r@a.test> ORCPT=rfc822;old@a.test NOTIFY=FAILURE,DELAY", "250")],
    "E23_REQUIRETLS_is_refused_clearly": [("MAIL FROM:<s@x.test> REQUIRETLS", "555 5.5.4 unsupported parameter"), ("RCPT TO:<r@a.test>", "503")],
    "A37_parameters_of_extensions_that_are_not_offered": [
        ("MAIL FROM:<s@x.test> BODY=BINARYMIME", "555 5.5.4"),
        ("MAIL FROM:<s@x.test> SMTPUTF8=1", "501 5.5.4"), ("MAIL FROM:<s@x.test> BODY=", "501 5.5.4"),
        ("MAIL FROM:<s@x.test> RET=FULL RET=HDRS", "501 5.5.4"), ("MAIL FROM:<s@x.test> NOTIFY=NEVER", "555 5.5.4"),
        ("MAIL FROM:<s@x.test>", "250"), ("RCPT TO:<r@a.test> SIZE=3", "555 5.5.4"),
        ("RCPT TO:<r@a.test> NOTIFY=DELAY NOTIFY=DELAY", "501 5.5.4"), ("RCPT TO:<r@a.test> NOTIFY=DELAY,", "501 5.5.4"),
        ("RCPT TO:<r@a.test> ORCPT=;r@a.test", "501 5.5.4"), ("RCPT TO:<r@a.test> ORCPT=r@a.test", "501 5.5.4")],
    "A47_over_size_without_size": [("+mail", "250"), ("DATA", "354"),
                                   (BODY + b"x" * 70 * 1000 + b"\r\n.\r\n", "550|552")],
    "A47_over_size_in_lines": [("+mail", "250"), ("DATA", "354"), (BODY + b"x" * 70 * 1000 + b"\r\n.\r\n", "55"),
                               ("+mail", "250"), ("DATA", "354"), (BODY + (b"x" * 70 + b"\r\n") * 1000 + b".\r\n", "552 5.3.4")],
    "A49_bdat_sizes": [("BDAT 0 LAST", "503")],
    "A49_bdat_then_data": [("+mail", "250"), (b"BDAT 2\r\nFr", "250"), ("DATA", "503")],
    "A49_chunk_by_chunk": [("+mail", "250"), (b"BDAT 4\r\nFrom", "250"), (b"BDAT 9\r\n: <s@x.te", "250"),
                           (b"BDAT 7 LAST\r\nst>\r\n\r\n", "250")],
    "A49_empty_last_chunk": [("+mail", "250"), (b"BDAT 20\r\nFrom: <s@x.test>\r\n\r\n", "250"), ("BDAT 0 LAST", "250")],
    "A49_rset_between_chunks": [("+mail", "250"), (b"BDAT 5\r\nFrom:", "250"), ("MAIL FROM:<s@x.test>", "503"),
                                ("RSET", "250"), (b"BDAT 6 LAST\r\nQUIT\r\n", "503"), ("+mail", "250"),
                                (b"BDAT 20 LAST\r\nFrom: <s@x.test>\r\n\r\n", "250")],
    "A49_chunks_over_the_limit": [("+mail", "250"), (b"BDAT 20\r\nFrom: <s@x.test>\r\n\r\n", "250"),
                                  (b"BDAT 65536 LAST\r\n" + b"NOOP\r\nQUIT\r\n" * 5461 + b"rest", "552 5.3.4"),
                                  ("+mail", "250")],
    "A52_odd_ehlo": [("EHLO " + "x" * 400, "501"), (b"EHLO a\x01b\r\n", "50[01]"), ("EHLO", "501"), ("EHLO a b", "501")],
    "unknown_command": [("FROBNICATE", "500 5.5."), ("", "500")],
}


@pytest.mark.parametrize("name", CONVERSATIONS)
def test(t, name):
    t.hello()
    for said, wanted in CONVERSATIONS[name]:
        if said == "+mail":
            t.envelope()
        else:
            t.say(said, wanted)
    alive(t)


# What is said, and the line it must leave in the log. In each list the lines are said one by one.
LOGGED = {
    "A1_bare_lf": (["+mail", b"DATA\r\n", BODY + b"a\nb\r\n.\r\n"], 'command=DATA code=550 esc=5.5.2 text="message has lines .*"$'),
    "A3_bare_cr": (["+mail", b"DATA\r\n", BODY + b"a\rb\r\n.\r\n"], 'command=DATA code=550 esc=5.5.2 text="message has a bare CR"$'),
    "A5_nul": (["+mail", b"DATA\r\n", BODY + b"a\0b\r\n.\r\n"], 'command=DATA code=550 esc=5.6.0 text="message has a NUL byte"$'),
    "A36_size": ([b"MAIL FROM:<s@x.test> SIZE=65537\r\n"], 'command=MAIL code=552 esc=5.3.4 .* said="MAIL FROM:<s@x.test> SIZE=65537"$'),
    "A47_too_large": (["+mail", b"DATA\r\n", BODY + (b"x" * 70 + b"\r\n") * 1000 + b".\r\n"], "command=DATA code=552 esc=5.3.4 "),
    "A39_too_many_recipients": (["+mail", b"RCPT TO:<r@a.test>\r\n" * 1001], "command=RCPT code=452 esc=4.5.3 "),
    "A31_A32_recipient": ([b"MAIL FROM:<s@x.test>\r\n", b"RCPT TO:<a..b@a.test>\r\n"],
                          'command=RCPT code=501 esc=5.1.3 .* said="RCPT TO:<a..b@a.test>"$'),
    "A12_early": ([b"DATA\r\nx\r\n"], 'command=DATA code=554 esc=5.5.0 text="improper pipelining: .*" said="DATA"$'),
    "A14_behind_starttls": ([b"STARTTLS\r\nEHLO evil.test\r\n"],
                            'command=STARTTLS code=554 esc=5.5.0 text="improper pipelining: .*" said="STARTTLS"$'),
    "A15_starttls_in_transaction": (["+mail", b"STARTTLS\r\n"], "command=STARTTLS code=503 "),
    "A27_other_protocol": ([b"POST / HTTP/1.1\r\n"], 'command= code=554 esc=5.5.0 text="this is a mail server" said="POST / HTTP/1.1"$'),
    "A51_proxy": ([b'PROXY TCP4 "1" 2 3 4\r\n'], r'command= code=554 esc=5.5.0 .* said="PROXY TCP4 \\"1\\" 2 3 4"$'),
    "A29_flood": ([b"NOOP\r\n" * 120], 'command=NOOP code=421 esc=4.7.0 text="too many commands without a message"'),
    "A30_errors": ([b"FROBNICATE\r\n" * 40], 'command= code=421 esc=4.7.0 text="too many errors"$'),
    "A8_endless_line": ([b"x" * 200000], 'command= code=500 esc=5.5.2 text="endless line"$'),
    "A49_bdat": (["+mail", b"BDAT -1\r\n"], 'command=BDAT code=501 esc=5.5.4 .* said="BDAT -1"$'),
    "A52_control_character": ([b"EHLO a\x01b\x1b[2J\r\n"], r'command=EHLO code=500 esc=5.5.2 .* said="EHLO a\\x01b\\x1b\[2J"$'),
    "A52_eight_bits": (["EHLO bücher\r\n".encode()], r'command=EHLO code=501 .* said="EHLO b\\xc3\\xbccher"$'),
    "A52_16_kB": ([b"EHLO " + b"x" * 16000 + b"\r\n"], r'command=EHLO code=500 esc=5.5.2 text="line is too long" said="EHLO x{150,250}"$'),
    "A52_empty": ([b"EHLO\r\n"], 'command=EHLO code=501 .* said="EHLO"$'),
}


@pytest.mark.parametrize("name", LOGGED)
def test_logged(w, t, name):
    lines, wanted = LOGGED[name]
    t.hello()
    seen = len(w.log_text())
    with contextlib.suppress(ConnectionError):
        for line in lines:
            if line == "+mail":
                t.envelope()
            else:
                t.raw(line)
                if line is not lines[-1]:
                    t.reply()
    found = wait_for(wanted, lambda: re.findall(rf"(?m) rejected client=127.0.0.1 user= {wanted}", w.log_text()[seen:]))
    assert len(found) == 1 and w.log_text().isascii()


def test_A17_A52_a_refused_line_with_a_password_is_not_logged(w, t):
    """Clients go on with the dialogue although AUTH was refused: their words are no commands."""
    t.hello()
    seen = len(w.log_text())
    for line in ("AUTH PLAIN AHNob3AAYTE3c2VjcmV0", "AUTH LOGIN", "YTE3c2VjcmV0", "a17secret"):
        t.say(line, "538|500")
    t.say("QUIT", "221")
    log = w.log_text()[seen:]
    assert log.count("rejected client=127.0.0.1 user= command=AUTH code=538 esc=5.7.11") == 2
    assert not re.search("a17secret|YTE3c2VjcmV0|AHNob3AA", log)


def test_refused_commands_fill_no_log():
    """Ten lines between two messages; whole messages and the end of a session always have one."""
    with running(listen="errors-max = 1000") as w, Talk(w.port) as t:
        t.hello()

        def refused(command):
            return len(re.findall(rf" rejected client=127.0.0.1 user= command={command} ", w.log_text()))
        for wanted in (10, 20):
            for _ in range(90):
                t.say("EHLO a b", "501")
                t.say("MAIL FROM:<@>", "501")
                t.say("FROBNICATE", "500")
            assert refused("EHLO") == refused("MAIL") == wanted // 2 and refused("") == 0
            t.envelope()
            t.data(BODY + b"a\nb\r\n.\r\n", "550")
            assert refused("DATA") == wanted // 10
            t.envelope()
            t.data(MAIL)
        t.raw(b"NOOP\r\n" * 101)
        assert b"421 4.7.0" in t.rest()
        assert refused("NOOP") == 1


ENDINGS = {"LF.LF": b"\n.\n", "LF.CRLF": b"\n.\r\n", "CRLF.LF": b"\r\n.\n", "CR.CR": b"\r.\r", "CR.LF": b"\r.\n",
           "LF.CR": b"\n.\r", "CRLF-NUL.CRLF": b"\r\n\0.\r\n", "CR.CRLF": b"\r.\r\n", "CRLF.CRCRLF": b"\r\n.\r\r\n",
           "CRLF.CR": b"\r\n.\r"}
SMUGGLED = b"MAIL FROM:<evil@x.test>\r\nRCPT TO:<victim@a.test>\r\nDATA\r\nFrom: <evil@x.test>\r\n\r\nsmuggled\r\n.\r\n"


@pytest.mark.parametrize("ending", ENDINGS)
def test_A2_false_ending(w, t, ending):
    t.hello()
    t.envelope(rcpts=["a2@a.test"])
    t.data(BODY + b"hello" + ENDINGS[ending] + SMUGGLED, "550 5.[56]")
    alive(t)
    assert not [a for a in w.arrived() if "victim" in a["rcpt"] or "evil" in a["from"]]


def test_A2_false_endings_where_bare_lf_is_normalised():
    with running(listen="bare-lf = normalise") as w:
        for n, ending in enumerate((b"\n.\n", b"\n.\r\n", b"\r\n.\n")):
            with Talk(w.port) as t:
                t.hello()
                t.envelope(rcpts=[f"n{n}@a.test"])
                t.data(BODY + b"hello" + ending + SMUGGLED, "250|550")
                alive(t)
        with Talk(w.port) as t:
            t.hello()
            t.envelope(rcpts=["last@a.test"])
            t.data(BODY + b"one\ntwo\r\n.\r\n", "250")
        gives(w, "last@a.test")
        assert any(m.endswith(b"\r\n\r\none\r\ntwo\r\n") for m in w.mails())
        assert not [a for a in w.arrived() if "victim" in a["rcpt"] or "evil" in a["from"]]
        assert not [m for m in w.mails() if b"\n" in m.replace(b"\r\n", b"")]


def test_A8_endless_line(w):
    with Talk(w.port) as t:
        with pytest.raises(ConnectionError):
            for _ in range(2000):
                t.raw(b"x" * 65536)
        memory = w.ctl("status", "--json")["summary"]["memory_bytes"]
        assert memory < 1 << 20


def dribble(t, bytes_forever, seconds=20):
    """Ten bytes a second until something is answered; all that comes then."""
    end = time.monotonic() + seconds
    while not select.select([t.socket], [], [], 0.1)[0]:
        assert time.monotonic() < end, "each byte renews the timer"
        t.raw(bytes([next(bytes_forever)]))
    return t.rest()


def test_A9_a_byte_at_a_time_is_no_command():
    """The time is that of a whole command; then the place is somebody else's."""
    with running(listen="command-timeout = 4s  data-timeout = 1h  connections-max = 2") as w:
        wait_for("the end of the start's own connection", lambda: "client_closed" in w.log_text())
        with Talk(w.port) as before_ehlo, Talk(w.port) as in_mail:
            in_mail.hello()
            in_mail.envelope()
            with Talk(w.port, greeting=False) as other:
                other.expect("421 4.3.2")
            for t in (before_ehlo, in_mail):
                assert dribble(t, itertools.chain(b"NOOP ", itertools.repeat(ord("x")))).startswith(b"421 4.4.2 ")

            def served():
                with Talk(w.port, greeting=False) as t:
                    return t.reply().startswith("220") and t.hello()
            wait_for("a place", served)


def test_A10_data_at_ten_bytes_a_second():
    """Whoever sends a block of 4 KB in the time goes on, byte by byte is too slow, whatever the message is."""
    with running(listen="command-timeout = 1h  data-timeout = 4s") as w, Talk(w.port) as slow, Talk(w.port) as chunk, \
            Talk(w.port) as fast:
        for t in (slow, chunk, fast):
            t.hello()
            t.envelope()
        slow.say("DATA", "354")
        fast.say("DATA", "354")
        chunk.raw(b"BDAT 50000\r\n")
        fast.raw(BODY)
        with concurrent.futures.ThreadPoolExecutor() as pool:
            ends = [pool.submit(dribble, t, itertools.repeat(ord("y"))) for t in (slow, chunk)]
            for _ in range(6):
                fast.raw((b"z" * 98 + b"\r\n") * 42)
                time.sleep(1)
            assert [end.result() for end in ends] == [b"421 4.4.2 Timeout, closing connection\r\n"] * 2
        fast.say(".", "250")
        gives(w)
        assert len(w.arrived()) == 1


def test_A9_every_answered_command_renews_the_timer():
    with running(listen="command-timeout = 5s  data-timeout = 5s") as w, Talk(w.port) as idle, Talk(w.port) as chunks:
        idle.hello()
        chunks.hello()
        chunks.envelope()
        for byte in b"From: ":
            time.sleep(1)
            idle.say("NOOP", "250")
            chunks.say(b"BDAT 1\r\n%c" % byte, "250")


def test_A9_the_end_is_told():
    def before(world):
        cert, key = certificate(world.dir)
        world.listen = f'command-timeout = 1s  certificate = "{cert}"  key = "{key}"'
    with running(before=before) as w, Talk(w.port) as clear, Talk(w.port) as tls:
        clear.hello()
        tls.hello()
        tls.starttls()
        tls.hello()
        for t in (clear, tls):
            assert t.rest().startswith(b"421 4.4.2")


def test_A9_a_stranger_has_no_longer_for_a_chunk():
    """Its bytes are thrown away, but each 4 KB of them renewed the timer of messages."""
    listen = 'command-timeout = 3s  data-timeout = 60s  auth = required  auth-in-clear = yes'
    with running(listen=listen, users={"shop": ""}) as w, Talk(w.port) as t:
        t.hello()
        t.raw(b"BDAT 50000000\r\n")
        begun = time.monotonic()
        with contextlib.suppress(OSError):
            while time.monotonic() < begun + 50:
                t.raw(b"z" * 8192)
                if select.select([t.socket], [], [], 0.2)[0] and t.socket.recv(4096) == b"":
                    break
        assert time.monotonic() < begun + 40


def test_stop_during_a_handshake():
    with running(before=implicit_tls) as w, socket.create_connection(("127.0.0.1", w.tls_port), timeout=20) as s:
        wait_for("its connection", lambda: "client_connected client=127.0.0.1 listen=tls" in w.log_text())
        w.daemon.send_signal(signal.SIGTERM)
        wait_for("the stop", lambda: "stopping" in w.log_text())
        with contextlib.suppress(OSError):
            ssl._create_unverified_context().wrap_socket(s)
        assert w.daemon.wait(timeout=10) == 0


def test_stop_waits_for_a_message_and_not_for_its_client():
    with running() as w, Talk(w.port) as idle, Talk(w.port) as busy, Talk(w.port) as undecided:
        for t in (idle, busy, undecided):
            t.hello()
        busy.envelope()
        busy.say("DATA", "354")
        undecided.envelope()
        w.daemon.send_signal(signal.SIGTERM)
        idle.expect("421 4.3.2")
        undecided.say("RSET", "250")
        undecided.expect("421 4.3.2")
        busy.say(MAIL, "250")
        busy.expect("421 4.3.2")
        assert all(t.is_closed() for t in (idle, busy, undecided))
        assert w.daemon.wait(timeout=10) == 0


def test_A11_talks_before_the_greeting(w):
    w.daemon.send_signal(signal.SIGSTOP)
    try:
        t = Talk(w.port, greeting=False)
        t.raw(b"EHLO client.test\r\nMAIL FROM:<s@x.test>\r\n")
    finally:
        w.daemon.send_signal(signal.SIGCONT)
    got = t.rest()
    t.close()
    assert b"554 5.5.0" in got and b"250" not in got


@pytest.mark.parametrize("early", ["EHLO", "DATA"])
def test_A12_illegal_pipelining(w, t, early):
    if early == "EHLO":
        t.raw(b"EHLO client.test\r\nMAIL FROM:<s@x.test>\r\nRCPT TO:<early@a.test>\r\n")
    else:
        t.hello()
        t.envelope(rcpts=["early@a.test"])
        t.raw(b"DATA\r\n" + MAIL)
    assert b"554 5.5.0" in t.rest()
    assert not [a for a in w.arrived() if a["rcpt"] == "early@a.test"]


def test_A13_a_thousand_recipients_in_one_segment(w, t):
    t.hello()
    t.raw("MAIL FROM:<s@x.test>\r\n" + "".join(f"RCPT TO:<p{n}@a.test>\r\n" for n in range(1000)) + "DATA\r\n")
    for _ in range(1001):
        t.expect("250")
    t.expect("354")
    t.say(MAIL, "250")
    wait_for("1000 records", lambda: sum(r["type"] == "d" and re.match(r"p\d+@", r["rcpt"]) is not None for r in w.rows())
             == 1000)


def test_A14_bytes_behind_starttls(t):
    t.hello()
    t.raw(b"STARTTLS\r\nEHLO evil.test\r\nMAIL FROM:<evil@x.test>\r\n")
    assert b"250" not in t.rest(), "commands in clear were taken behind STARTTLS"


def test_A15_A16_starttls_forgets_and_comes_once(t):
    t.hello()
    t.starttls()
    t.say("MAIL FROM:<s@x.test>", "503")
    t.hello()
    t.say("STARTTLS", "503")
    t.auth("shop", "secret")
    t.say("STARTTLS", "503")
    alive(t)


def test_A16_starttls_without_certificate():
    with running() as w, Talk(w.port) as t:
        assert "STARTTLS" not in t.hello()
        t.say("STARTTLS", "502|454")
        alive(t)


@pytest.mark.parametrize("first", [b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n",
                                   b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\nMAIL FROM:<s@x.test>\r\n",
                                   bytes.fromhex("16030100c8010000c40303") + b"\0" * 190],
                         ids=["http", "ssh", "A51_proxy", "tls"])
def test_A27_other_protocols(t, first):
    t.raw(first)
    assert t.rest().startswith(b"554 5.5.0")


def test_A51_xclient(t):
    t.hello()
    t.say("XCLIENT ADDR=10.0.0.1", "50[0-3]")
    alive(t)


def test_A29_noop_flood(t):
    t.hello()
    t.raw(b"NOOP\r\n" * 150)
    assert b"421 4.7.0" in t.rest()


def test_A30_too_many_errors(t):
    t.hello()
    t.raw(b"FROBNICATE\r\n" * 40)
    got = t.rest().split(b"\r\n")
    assert sum(g.startswith(b"500") for g in got) <= 21
    assert got[-2].startswith(b"421 4.7.0")


BAD_RCPT = ["<>", "<@>", "<a>", "<a@>", "<@a.test>", "a b@a.test", "<a@a.test", "<a@a.test>>", "<(c)a@a.test>", "<x:a@a.test>",
            "<a..b@a.test>", "<.a@a.test>", "<a@a..test>", "<a@-a.test>", f"<{'l' * 65}@a.test>", f"<{'l' * 255}@a.test>",
            f"<a@{'d' * 64}.test>", f"<a@{'.'.join(['d' * 50] * 6)}.test>", "<\"a@a.test>", "<a\"@a.test>", "<a;b@a.test>",
            "<a|b@ a.test>"]


@pytest.mark.parametrize("rcpt", BAD_RCPT, ids=[f"A31_A32_{n}" for n in range(len(BAD_RCPT))])
def test_bad_address(t, rcpt):
    t.hello()
    if rcpt != "<>":
        t.say(f"MAIL FROM:{rcpt}", "501 5.1.7|501 5.5.4")
    t.say("MAIL FROM:<>", "250")
    t.say(f"RCPT TO:{rcpt}", "501 5.1.3|553 5.1.3|501 5.5.4")
    t.say("RCPT TO:<good@a.test>", "250")
    alive(t)


GOOD_LOCAL = ['"a@b"', '"a\\"b"', '"a b"', "a+b", "$x", "`id`", "a|b", "x" * 64, "{a}", "o'neil", '";id"', '"$(id)"', '"`id`"', '"|id"',
              '"(a)"', '"<a>"', '"a\\\\b"', '"a,b:c"']


@pytest.mark.parametrize("local", GOOD_LOCAL, ids=[f"A33_{n}" for n in range(len(GOOD_LOCAL))])
def test_odd_but_legal_recipient_is_delivered_literally(w, t, local):
    t.hello()
    t.envelope(rcpts=[f"{local}@a.test"])
    t.data(MAIL)
    wait_for("its arrival", lambda: any(a["rcpt"] == f"{local}@a.test" for a in w.arrived()))


def test_A34_utf8_address_without_smtputf8(t):
    t.hello()
    t.say("MAIL FROM:<jürgen@x.test>".encode() + b"\r\n", "553 5.6.7")
    t.say("MAIL FROM:<s@x.test>", "250")
    t.say("RCPT TO:<jürgen@a.test>".encode() + b"\r\n", "553 5.6.7")


def test_A39_too_many_recipients(w, t):
    t.hello()
    t.say("MAIL FROM:<s@x.test>", "250")
    t.raw("".join(f"RCPT TO:<m{n}@a.test>\r\n" for n in range(1003)))
    got = [t.reply() for _ in range(1003)]
    assert all(g.startswith("250") for g in got[:1000])
    assert all(g.startswith("452 4.5.3") for g in got[1000:])
    t.data(MAIL)


def test_A40_the_same_recipient_twice(w, t):
    t.hello()
    t.envelope(rcpts=["twice@a.test", "twice@A.Test", "twice@a.test", '"twice@x"@a.test', "Twice@a.test"])
    t.say("RSET", "250")
    t.say("MAIL FROM:<s@x.test> SMTPUTF8", "250")
    for rcpt, wanted in (("b@bücher.test", ".*ok$"), ("b@xn--bcher-kva.test", ".*given before"), ("b@BÜCHER.test", ".*given before")):
        t.say(f"RCPT TO:<{rcpt}>".encode() + b"\r\n", "250 2.1.5" + wanted)
    t.say("RSET", "250")
    t.envelope(rcpts=["twice@a.test", "twice@A.Test", "twice@a.test", '"twice@x"@a.test', "Twice@a.test"])
    t.data(MAIL)
    gives(w, "Twice@a.test")
    assert sorted(a["rcpt"] for a in w.arrived() if "wice" in a["rcpt"]) == [
        '"twice@x"@a.test', "Twice@a.test", "twice@a.test"]


def test_A41_messages_per_connection():
    with running(listen="messages-per-connection = 2") as w, Talk(w.port) as t:
        assert "LIMITS" in t.hello()
        for _ in range(2):
            t.envelope()
            t.data(MAIL)
        t.say("MAIL FROM:<s@x.test>", "421 4.7.0")
        assert t.is_closed()


def test_A42_connections_of_one_client():
    with running(listen="connections-per-client = 2") as w:
        wait_for("the end of the start's own connection", lambda: "client_closed" in w.log_text())
        with Talk(w.port) as one, Talk(w.port) as two:
            with Talk(w.port, greeting=False) as three:
                three.expect("421 4.3.2")
                assert three.is_closed()
            one.hello()
            two.say("QUIT", "221")
            two.is_closed()

            def admitted():
                with Talk(w.port, greeting=False) as again:
                    return again.reply().startswith("220")
            wait_for("a free place", admitted)


def test_A42_connections_of_a_listener():
    """Whoever they are; another listener has its own."""
    def before(world):
        world.other = free_port()
        world.blocks = f'listen other {{ address = "127.0.0.1:{world.other}" }}'
    with running(before=before, listen="connections-max = 2  connections-per-client = 2") as w:
        wait_for("the end of the start's own connection", lambda: "client_closed" in w.log_text())
        with Talk(w.port, source="127.0.0.2"), Talk(w.port, source="127.0.0.3") as two:
            for n in range(4, 24):
                with Talk(w.port, source=f"127.0.0.{n}", greeting=False) as refused:
                    refused.expect("421 4.3.2")
                    assert refused.is_closed()
            with Talk(w.other) as t:
                t.hello()
            two.hello()
            assert len(re.findall(r" client_refused client=127.0.0.\d+ listen=submission", w.log_text())) == 20
            two.say("QUIT", "221")
            two.is_closed()

            def admitted():
                with Talk(w.port, source="127.0.0.30", greeting=False) as again:
                    return again.reply().startswith("220")
            wait_for("a free place", admitted)


def test_A42_refusal_with_a_long_hostname():
    name = ".".join(["h" * 49] * 5 + ["hh"])

    def before(world):
        def write_config(write=world.write_config):
            path = write()
            path.write_text(path.read_text().replace("mta.sender.test", name))
            return path
        world.write_config = write_config
    with running(before=before, listen="connections-per-client = 1") as w:
        wait_for("the end of the start's own connection", lambda: "client_closed" in w.log_text())
        with Talk(w.port), Talk(w.port, greeting=False) as two:
            two.expect(f"421 4.3.2 {name} Too many connections, try again later$")


@pytest.mark.parametrize("how", ["fin", "rst"])
@pytest.mark.parametrize("where", ["before_354", "in_data", "after_dot"])
def test_A43_A44_client_vanishes(w, where, how):
    rcpt = f"gone-{where}-{how}@a.test"
    t = Talk(w.port)
    t.hello()
    t.envelope(rcpts=[rcpt])
    if where != "before_354":
        t.say("DATA", "354")
        t.raw(MAIL if where == "after_dot" else MAIL[:30])
    if how == "rst":
        t.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if where == "after_dot":
            time.sleep(0.2)
    t.close()
    if where == "after_dot":
        gives(w, rcpt)
    else:
        w.send("s@x.test", [f"after-{where}-{how}@a.test"])
        gives(w, f"after-{where}-{how}@a.test")
        assert not [r for r in w.rows() if r["rcpt"] == rcpt]


def abort(t):
    """RST instead of FIN."""
    t.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    t.close()


@pytest.mark.parametrize("end", [Talk.close, abort], ids=["fin", "rst"])
def test_A43_reply_that_is_lost_is_logged(end):
    """The disk takes its time, and the client does not wait for the 250: it may send the message again."""
    with running(disk=True) as w, Talk(w.port) as t:
        t.hello()
        t.envelope()
        t.say("DATA", "354")
        w.disk.becomes("hanging")
        t.raw(MAIL)
        wait_for("the message in the daemon", lambda: w.ctl("status", "--json")["summary"]["memory_bytes"] > 0)
        closed = w.log_text().count("client_closed client=127.0.0.1")
        end(t)
        wait_for("the client's end", lambda: w.log_text().count("client_closed client=127.0.0.1") > closed)
        assert "reply_lost" not in w.log_text()
        w.disk.becomes("well")
        gives(w)
        assert re.search(r" warn reply_lost msg=[0-9a-f]+ client=127.0.0.1\n", w.log_text())


def test_A44_clients_that_vanish_leave_no_descriptor():
    with running() as w:
        w.ctl("pause", "all")
        wait_for("the end of the start's own connection", lambda: "client_closed" in w.log_text())
        with Talk(w.port) as one:
            one.hello()
            before = descriptors(w) - 1
        for end in (Talk.close, abort) * 5:
            talks = [Talk(w.port) for _ in range(5)]
            for t in talks[1:]:
                t.hello()
                t.envelope()
            for t in talks[2:]:
                t.say("DATA", "354")
            talks[3].raw(MAIL[:30])
            talks[4].raw(MAIL)
            for t in talks:
                end(t)
        wait_for("as many descriptors as before", lambda: descriptors(w) <= before)


def test_A45_half_close_after_pipelined_quit(w, t):
    t.hello()
    t.raw(b"MAIL FROM:<s@x.test>\r\nRCPT TO:<half@a.test>\r\nRSET\r\nQUIT\r\n")
    t.socket.shutdown(socket.SHUT_WR)
    assert [line[:3] for line in t.rest().decode().split("\r\n")] == ["250", "250", "250", "221", ""]


DOTS = {"A48_first_line_a_dot": b".\r\n", "A48_two_dots": b"..\r\n", "A48_only_dots": b".\r\n..\r\n...\r\n",
        "A48_dot_in_the_middle": b"a\r\n.b\r\n.\r\nc\r\n", "A48_empty_body": b"", "A48_blank_lines": b"\r\n\r\n\r\n",
        "A48_blanks_at_line_ends": b"a \r\n\t\r\n  b\t \r\n\r\n"}


@pytest.mark.parametrize("way", ["data", "bdat", "bdat_without_last_crlf"])
@pytest.mark.parametrize("name", DOTS)
def test_dots(w, t, name, way):
    rcpt = f"{name}-{way}@a.test"
    body = DOTS[name]
    message = f"From: <s@x.test>\r\nX-Case: {name}-{way};\r\n\r\n".encode() + body
    t.hello()
    t.envelope(rcpts=[rcpt])
    if way == "data":
        t.data(re.sub(rb"(?m)^\.", b"..", message) + b".\r\n")
    else:
        if way == "bdat_without_last_crlf":
            message += b"no line end"
        t.say(f"BDAT {len(message)} LAST\r\n".encode() + message, "250")
    gives(w, rcpt)
    mail = [m for m in w.mails() if f"X-Case: {name}-{way};".encode() in m]
    assert len(mail) == 1
    wanted = message + (b"\r\n" if way == "bdat_without_last_crlf" else b"")
    assert mail[0].endswith(wanted), mail[0]


def test_A46_client_that_never_reads():
    """Each chunk has an answer; when nobody takes them, nothing more is read, and the timer of the command runs on."""
    with running(listen="command-timeout = 2s  data-timeout = 2s") as w, Talk(w.port, timeout=20) as t:
        t.hello()
        t.envelope()
        chunks = b"BDAT 2\r\n\r\n" * 10000
        with pytest.raises(ConnectionError):
            for _ in range(5000):
                t.raw(chunks)
        assert "why=timeout state=" in w.log_text()
        with Talk(w.port) as other:
            other.hello()


@pytest.mark.parametrize("size", ["2147483648", "9223372036854775808", "99999999999999999999999", "-1", "0x10", "", "5 FIRST"])
def test_A49_bdat_sizes_that_are_none(t, size):
    t.hello()
    t.envelope()
    t.raw(f"BDAT {size}\r\n")
    assert t.reply()[:3] in ("500", "501", "552")
    assert b"250" not in t.rest() if size != "" else True


def test_A49_many_small_chunks(w, t):
    t.hello()
    t.envelope(rcpts=["chunks@a.test"])
    message = BODY + b"x" * 500 + b"\r\n"
    t.raw(b"".join(b"BDAT 1%s\r\n%c" % (b" LAST" if n == len(message) - 1 else b"", byte) for n, byte in enumerate(message)))
    for _ in message:
        t.expect("250")
    gives(w, "chunks@a.test")


def test_A53_mapped_address_is_its_ipv4():
    """An IPv4 client is one to every listener: "[::]" does not take it as ::ffff:a.b.c.d, past the networks it is in or
    out of."""
    def before(world):
        world.both, world.v6 = free_port(), free_port()
        world.blocks = (f'listen both {{ address = "*:{world.both}"  networks = {{ 127.0.0.0/8 }}  auth = optional }}'
                        f'listen v6 {{ address = "[::]:{world.v6}"  networks = {{ 127.0.0.0/8 }} }}')
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")
    with running(before=before) as w:
        for host, wanted in (("127.0.0.1", "250"), ("::ffff:127.0.0.1", "250"), ("::1", "530 5.7.0")):
            with Talk(w.both, host=host) as t:
                t.hello()
                t.say("MAIL FROM:<s@x.test>", wanted)
        with Talk(w.v6, host="::1") as t:
            t.hello()
            t.say("MAIL FROM:<s@x.test>", "530 5.7.0")
        for host in ("127.0.0.1", "::ffff:127.0.0.1"):
            with pytest.raises(ConnectionRefusedError):
                Talk(w.v6, host=host)
        assert "client_connected client=127.0.0.1 listen=both" in w.log_text() and "ffff" not in w.log_text()


IDLE, WORKERS, IDLE_BYTES = 3000, 20, 16 << 10


@pytest.fixture
def many_descriptors():
    had = resource.getrlimit(resource.RLIMIT_NOFILE)
    if had[1] < IDLE + 1000:
        pytest.skip("too few descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (had[1], had[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, had)


def test_A54_many_idle_connections(many_descriptors):
    """Those that say nothing keep nobody from working, and each has a bounded share of memory: 16 KB, where no sanitizer
    surrounds each piece with as much again."""
    def resident():
        return int(re.search(r"(?m)^RssAnon:\s+(\d+) kB", pathlib.Path(f"/proc/{w.daemon.pid}/status").read_text())[1]) << 10
    with running(listen="connections-max = 5000  connections-per-client = 5000") as w, contextlib.ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(Talk(w.port)).hello()
        before = resident()
        for _ in range(IDLE):
            stack.enter_context(Talk(w.port)).hello()
        each = (resident() - before) // IDLE
        assert 0 < each < IDLE_BYTES * (8 if sanitizer() else 1), each

        def work(n):
            with Talk(w.port) as t:
                t.hello()
                for m in range(10):
                    t.envelope(rcpts=[f"w{n}.{m}@a.test"])
                    t.data(MAIL)
        begun = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
            list(pool.map(work, range(WORKERS)))
        assert time.monotonic() - begun < 20
        wait_for("all of it", lambda: len(w.arrived()) == WORKERS * 10, 60)


def test_HELO_client_is_served(w, t):
    t.say("HELO old.test", "250 ")
    t.envelope(rcpts=["helo@a.test"])
    t.data(MAIL)
    gives(w, "helo@a.test")
    assert any(re.search(rb"^Received: by mta.sender.test with SMTP id", m) for m in w.mails())


def test_unix_socket_listener():
    def before(world):
        world.blocks = f'listen local {{ address = {{ "{world.dir}/smtp" }} }}'
    with running(before=before) as w:
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(str(w.dir / "smtp"))
            t = Talk.__new__(Talk)
            t.socket, t.buffer = s, b""
            t.expect("220")
            t.hello()
            t.envelope()
            t.data(MAIL)
        gives(w)
