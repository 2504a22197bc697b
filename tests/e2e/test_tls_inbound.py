# SPDX-License-Identifier: Apache-2.0
"""Faults E3, inbound: clients whose TLS handshake does not come to an end."""
import contextlib
import select
import socket
import ssl
import time

import pytest
from tools import MAIL, Talk, certificate, implicit_tls, running, wait_for


@contextlib.contextmanager
def serving(limits):
    def before(world):
        cert, key = certificate(world.dir)
        world.listen = f'certificate = "{cert}"  key = "{key}"  data-timeout = 1h  {limits}'
        implicit_tls(world)
        world.blocks = world.blocks.replace("tls = implicit", f"tls = implicit  data-timeout = 1h  {limits}")
    with running(before=before) as world:
        yield world


@pytest.fixture(scope="module")
def w():
    with serving("command-timeout = 2s") as world:
        yield world


def client_hello():
    outside = ssl.MemoryBIO()
    tls = ssl._create_unverified_context().wrap_bio(ssl.MemoryBIO(), outside, server_hostname="mta.sender.test")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outside.read()


HABITS = {"says_nothing": lambda hello: b"", "stops_in_its_hello": lambda hello: hello[:len(hello) // 2],
          "says_hello_and_no_more": lambda hello: hello}


def open_session(w, way):
    if way == "implicit":
        return socket.create_connection(("127.0.0.1", w.tls_port), timeout=20)
    t = Talk(w.port)
    t.hello()
    t.say("STARTTLS", "220")
    return t.socket


def rest(s):
    got = b""
    with contextlib.suppress(ConnectionError):
        while more := s.recv(65536):
            got += more
    return got


def is_tls_or_nothing(got):
    return got == b"" or got[0] in (20, 21, 22, 23)


@pytest.mark.parametrize("way", ["starttls", "implicit"])
@pytest.mark.parametrize("habit", HABITS)
def test_E3_client_whose_handshake_stalls(w, way, habit):
    with open_session(w, way) as s:
        seen = len(w.log_text())
        s.sendall(HABITS[habit](client_hello()))
        # Ends: recv() has a deadline of 20 s. Nothing is said in clear to somebody who expects TLS.
        assert is_tls_or_nothing(rest(s))
    wait_for("why", lambda: "client_closed client=127.0.0.1 why=timeout" in w.log_text()[seen:])


@pytest.mark.parametrize("way", ["starttls", "implicit"])
def test_E3_client_that_dribbles_its_handshake(w, way):
    """The time is that of the whole handshake, not of a byte; and then the place is free."""
    with open_session(w, way) as s:
        end = time.monotonic() + 20
        for byte in client_hello():
            if select.select([s], [], [], 0.1)[0]:
                break
            assert time.monotonic() < end, "each byte renews the timer"
            s.sendall(bytes([byte]))
        else:
            pytest.fail("its hello was waited for, byte by byte")
        assert is_tls_or_nothing(rest(s))


@pytest.mark.parametrize("way", ["starttls", "implicit"])
def test_E3_stalled_handshakes_give_their_places_back(way):
    with serving("command-timeout = 5s  connections-max = 3") as w, contextlib.ExitStack() as stack:
        wait_for("the end of the start's own connection", lambda: "client_closed" in w.log_text())
        port = w.port if way == "starttls" else w.tls_port
        before = w.log_text().count("client_connected")
        for _ in range(3):
            stack.enter_context(open_session(w, way))
        # Each thread accepts for itself: the fourth could come before the third.
        wait_for("the three", lambda: w.log_text().count("client_connected") >= before + 3)
        with socket.create_connection(("127.0.0.1", port), timeout=20) as s:
            assert rest(s).startswith(b"421 4.3.2")

        def served():
            t = Talk(port, greeting=False)
            try:
                if way == "implicit":
                    t.wrap()
                t.expect("220")
                t.hello()
                if way == "starttls":
                    t.starttls()
                    t.hello()
                t.envelope()
                t.data(MAIL)
                return True
            except (OSError, EOFError, AssertionError):
                return False
            finally:
                t.close()
        wait_for("a place", served)
