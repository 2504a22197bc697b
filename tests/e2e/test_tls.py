# SPDX-License-Identifier: Apache-2.0
"""Faults E: TLS on both sides, and sites (written here) that do what no site should."""
import datetime
import math
import smtplib
import socket
import ssl
import subprocess
import threading
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from clock import Clock
from tools import A_TEST, MAIL, Talk, certificate, cpu_seconds, free_port, gives, implicit_tls, program, running, wait_for
from world import World

HABITS = {
    "good": "",
    "none_offered": "tls = none",
    "expired": "tls = expired",
    "self_signed": "tls = self-signed",
    "wrong_name": "tls = wrong-name",
    "broken_handshake": "tls = broken",
    "refused_454": 'rule { on = starttls reply = "454 4.7.0 not now" }',
    "refused_502": 'rule { on = starttls reply = "502 5.5.1 what?" }',
    "closes": "rule { on = starttls do = drop }",
    "garbage": "rule { on = starttls do = garbage }",
    "stalls": "rule { on = starttls do = stall }",
    "tls_12": "tls-12-only = yes",
    "required": "tls-required = yes",
}
# What tls = verify says of their certificates.
UNPROVEN = {"expired": "certificate has expired", "self_signed": "self-signed certificate", "wrong_name": "hostname mismatch"}
ENCRYPTED = {"may": ("good", "expired", "self_signed", "wrong_name", "tls_12", "required"),
             "encrypt": ("good", "expired", "self_signed", "wrong_name", "tls_12", "required"),
             "verify": ("good", "tls_12", "required")}


@pytest.fixture(scope="module")
def w():
    script = "".join(f'site {n.replace("_", "")}{p} {{ domains = {{ "{n.replace("_", "-")}.{p}.test" }} {lines} }}\n'
                     for n, lines in HABITS.items() for p in ENCRYPTED)
    blocks = "".join(f'domain "*.{p}.test" {{ tls = {p} }}\n' for p in ENCRYPTED)
    with running(script, blocks=blocks, delivery="command-timeout = 1s  retry = { 1s, 1s, 1h }") as world:
        for p in ENCRYPTED:
            for n in HABITS:
                world.send("", [f"r@{n.replace('_', '-')}.{p}.test"])
        yield world


@pytest.mark.parametrize("policy", ENCRYPTED)
@pytest.mark.parametrize("habit", HABITS)
def test_E1_E2_E3_E6_E21_policy(w, habit, policy):
    rcpt = f"r@{habit.replace('_', '-')}.{policy}.test"
    if habit in ENCRYPTED[policy]:
        gives(w, rcpt)
        (arrived,) = [a for a in w.arrived() if a["rcpt"] == rcpt]
        assert arrived["tls"] == ("TLSv1.2" if habit == "tls_12" else "TLSv1.3")
        (event,) = [e for e in w.events() if e["rcpt"] == rcpt and e["event"] == "delivered"]
        assert event["tls"].startswith(arrived["tls"])
    elif policy == "may":
        gives(w, rcpt)
        (arrived,) = [a for a in w.arrived() if a["rcpt"] == rcpt]
        assert arrived["tls"] == "-"
        if habit in ("broken_handshake", "closes", "garbage", "stalls"):
            assert f" warn tls_fallback site=mx1.{habit.replace('_', '')}may.mx.test " in w.log_text()
        if habit not in ENCRYPTED[policy]:
            assert not [r for r in w.rows() if r["rcpt"] == rcpt and r["type"] == "t"], "clear text in the same attempt"
    else:
        row = gives(w, rcpt, "t")
        assert row["dsnStatus"].startswith("4.") and UNPROVEN.get(habit, "") in row["dsnDiag"], row
        assert not [a for a in w.arrived() if a["rcpt"] == rcpt], "sent although TLS was demanded"


def test_E28_no_ca_file():
    with running() as w:
        w.ca_file, w.delivery = w.dir / "absent.pem", "tls = verify"
        done = subprocess.run([program("mtad"), "-t", "-c", str(w.write_config())], capture_output=True, text=True)
        assert done.returncode == 1 and "absent.pem cannot be opened" in done.stderr
        assert w.ctl("reload", check=False).returncode == 1


def test_tls_none_never_encrypts():
    with running(A_TEST, delivery="tls = none") as w:
        w.send("s@x.test", ["r@a.test"])
        gives(w)
        assert w.arrived()[0]["tls"] == "-"


# --- the listening side ---

def listening(listen, **options):
    def before(w):
        cert, key = certificate(w.dir)
        w.listen = f'certificate = "{cert}"  key = "{key}"  ' + listen
    return running(before=before, users={"shop": ""}, **options)


def test_E25_implicit_tls_port():
    with running(before=implicit_tls) as w:
        with smtplib.SMTP_SSL("127.0.0.1", w.tls_port, context=ssl._create_unverified_context(), timeout=10) as c:
            c.sendmail("s@x.test", ["r@a.test"], b"From: <s@x.test>\r\n\r\nhello\r\n")
        gives(w)
        assert b" with ESMTPS id " in w.mails()[0]
        with Talk(w.tls_port, greeting=False) as t:
            t.raw(b"EHLO client.test\r\n" * 20)
            assert b"250" not in t.rest()


def test_tls_required_before_mail_and_auth():
    with listening("tls = required") as w, Talk(w.port) as t:
        t.hello()
        t.say("MAIL FROM:<s@x.test>", "530 5.7.0")
        t.auth("shop", "secret", "530 5.7.0|538")
        t.starttls()
        t.hello()
        t.auth("shop", "secret")
        t.envelope()
        t.data(MAIL)
        gives(w)
        assert b" with ESMTPSA id " in w.mails()[0]


def with_longer_name(hello, old, new):
    """A record with a ClientHello, its server name replaced and the lengths around that made right."""
    at, more = hello.index(old), len(new) - len(old)

    def longer(data, where, bytes):
        return data[:where] + (int.from_bytes(data[where:where + bytes], "big") + more).to_bytes(bytes, "big") + data[where + bytes:]
    # Behind record header (5), handshake header (4), version and random (34): session id, ciphers, compression.
    extensions = 43 + 1 + hello[43]
    extensions += 2 + int.from_bytes(hello[extensions:extensions + 2], "big")
    extensions += 1 + hello[extensions]
    # Name, list of names, extension; all extensions; handshake; record.
    for where, bytes in ((at - 2, 2), (at - 5, 2), (at - 7, 2), (extensions, 2), (6, 3), (3, 2)):
        hello = longer(hello, where, bytes)
    return hello[:at] + new + hello[at + len(old):]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", ["old_version", "random", "split_in_bytes", "half_and_gone", "huge", "unknown_name", "long_name"])
def test_E24_bad_client_hellos(name):
    with listening("") as w:
        t = Talk(w.port)
        t.hello()
        t.say("STARTTLS", "220")
        if name == "old_version":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1
            context.set_ciphers("ALL:@SECLEVEL=0")
            with pytest.raises((ssl.SSLError, ConnectionError)):
                context.wrap_socket(t.socket)
        elif name == "random":
            t.raw(b"\x16\x03\x01\x00\x05nonsense and no TLS at all" * 50)
            assert b"250" not in t.rest()
        elif name == "split_in_bytes":
            inside, outside = ssl.MemoryBIO(), ssl.MemoryBIO()
            context = ssl._create_unverified_context()
            tls = context.wrap_bio(inside, outside, server_hostname="mta.sender.test")
            with pytest.raises(ssl.SSLWantReadError):
                tls.do_handshake()
            for byte in outside.read():
                t.raw(bytes([byte]))
            while True:
                inside.write(t.socket.recv(65536))
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    continue
            t.raw(outside.read())
            tls.write(b"EHLO client.test\r\n")
            t.raw(outside.read())
        elif name == "huge":
            # 16 MB, in records of their largest size.
            hello, sent = b"\x01\xff\xff\xff\x03\x03" + b"x" * (16384 - 6), 0
            with pytest.raises(ConnectionError):
                while sent < 16 << 20:
                    t.raw(b"\x16\x03\x01\x40\x00" + hello)
                    hello, sent = b"x" * 16384, sent + 16384
        elif name == "unknown_name":
            context = ssl._create_unverified_context()
            t.socket = context.wrap_socket(t.socket, server_hostname="somebody.else.test")
            t.hello()
        elif name == "long_name":
            # RFC 6066 3: a name of 300 bytes; all else is a hello as it should be.
            inside, outside = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = ssl._create_unverified_context().wrap_bio(inside, outside, server_hostname="n" * 63 + ".test")
            with pytest.raises(ssl.SSLWantReadError):
                tls.do_handshake()
            t.raw(with_longer_name(outside.read(), b"n" * 63 + b".test", b"n" * 300))
            assert t.socket.recv(1) == b"\x15", "an alert"
            assert b"250" not in t.rest()
        else:
            t.raw(b"\x16\x03\x01\x02\x00\x01\x00")
        t.close()
        with Talk(w.port) as other:
            other.hello()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_E12_a_ticket_of_one_listener_is_none_of_another(version):
    """Though they have the same certificate: what one demands of its clients need not be what the other does."""
    def before(w):
        implicit_tls(w)
        w.other_port = free_port()
        w.blocks += w.blocks.replace("listen tls", "listen other").replace(str(w.tls_port), str(w.other_port))
    context = ssl._create_unverified_context()
    context.minimum_version = context.maximum_version = version

    def connect(port, session=None):
        with socket.create_connection(("127.0.0.1", port), timeout=20) as s:
            with context.wrap_socket(s, session=session) as tls:
                assert tls.recv(100).startswith(b"220 ")
                return tls.session_reused, tls.session
    with running(before=before) as w:
        _, session = connect(w.tls_port)
        # Each of the daemon's threads has tickets of its own, so ask until it is the one that made it.
        wait_for("a session that is resumed", lambda: connect(w.tls_port, session)[0])
        assert not any(connect(w.other_port, session)[0] for _ in range(20))
        wait_for("a session that is resumed", lambda: connect(w.tls_port, session)[0])


def test_E26_certificate_renewed_and_mismatched_at_reload():
    with listening("") as w:
        def subject():
            with Talk(w.port) as t:
                t.hello()
                t.starttls()
                return ssl.DER_cert_to_PEM_cert(t.socket.getpeercert(True))
        first = subject()
        certificate(w.dir)
        w.ctl("reload")
        second = wait_for("the new certificate", lambda: (s := subject()) != first and s)
        _, key = certificate(w.dir, stem="other")
        (w.dir / "server.key").write_bytes(key.read_bytes())
        assert w.ctl("reload", check=False).returncode == 1
        assert subject() == second


def ends(w, event):
    return [line for line in w.log_text().splitlines() if f" {event} listen=submission at=" in line]


def test_E26_own_certificate_expires():
    """Said by mtad -t, at the start, each day and at a reload, with the file; mail is never refused for it."""
    def before(w):
        cert, key = certificate(w.dir, days=30)
        w.listen = f'certificate = "{cert}"  key = "{key}"'

    def check(w):
        done = subprocess.run([*clock.wrapper, program("mtad"), "-t", "-c", str(w.dir / "mtad.conf")], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stderr

    def says_hello():
        with Talk(w.port) as t:
            t.hello()
            t.starttls()
            t.hello()
    with World() as w:
        before(w)
        clock = Clock(w)
        clock.ahead(days=15)
        w.start(wrapper=clock.wrapper)
        assert check(w) == "" and not ends(w, "warn certificate_ends")
        clock.ahead(days=2)
        (line,) = wait_for("a warning", lambda: ends(w, "warn certificate_ends"))
        assert line.endswith(f"file={w.dir}/server.pem"), line
        assert f"mtad.conf:12: warning: the certificate of listen submission, {w.dir}/server.pem, will expire at 20" in check(w)
        clock.ahead(days=14)
        wait_for("the alarm", lambda: ends(w, "error certificate_expired"))
        assert "has expired at 20" in check(w)
        says_hello()
        assert "has expired at 20" in w.ctl("reload")
        assert len(ends(w, "error certificate_expired")) == 2
        w.stop()
        w.start(wrapper=clock.wrapper)
        wait_for("the alarm at the start", lambda: len(ends(w, "error certificate_expired")) == 3)
        clock.right()
        certificate(w.dir)
        assert "certificate" not in w.ctl("reload")
        says_hello()
        assert len(ends(w, "error certificate_expired")) == 3
        w.stop()


# --- sites of our own making, reached by a route ---

class Peer:
    """A listening thread that runs serve(connection file, socket) for each connection."""

    def __init__(self, serve, host="127.0.0.1", port=0):
        self.listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.port = self.listener.getsockname()[1]
        self.connections, self.heard = 0, []
        self.serve = serve
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            connection, _ = self.listener.accept()
            self.connections += 1
            threading.Thread(target=self.one, args=(connection,), daemon=True).start()

    def one(self, connection):
        try:
            self.serve(self, connection)
        except OSError:
            pass
        connection.close()

    def route(self, more=""):
        return f'route peer {{ domains = {{ "*" }} hosts = {{ "127.0.0.1:{self.port}" }} {more} }}'

    def talk(self, connection, answers, greeting="220 peer\r\n", count=100):
        """Answers each command by its verb; a dot by "." until it says so no more."""
        connection.sendall(greeting.encode())
        f = connection.makefile("rb")
        in_data = False
        for line in f:
            if in_data:
                if line != b".\r\n":
                    continue
                verb, in_data = ".", False
            else:
                verb = line.split(b" ")[0].strip().decode(errors="replace").upper()
            self.heard.append(verb)
            answer = answers.get(verb, "250 ok\r\n")
            if answer is None:
                return
            connection.sendall(answer if isinstance(answer, bytes) else answer.encode())
            if verb == "DATA" and answer.startswith("354"):
                in_data = True


NORMAL = {"EHLO": "250-peer\r\n250 PIPELINING\r\n", "DATA": "354 go\r\n", "QUIT": "221 bye\r\n"}
ODD = {
    "D22_250_to_data": {"DATA": "250 fine\r\n"},
    "D22_354_to_rcpt": {"RCPT": "354 go on\r\n"},
    "D23_three_replies_to_rcpt": {"RCPT": "250 ok\r\n250 ok\r\n250 ok\r\n"},
    "D23_two_replies_to_rcpt_no_pipelining": {"EHLO": "250 peer\r\n", "RCPT": "250 ok\r\n250 ok\r\n"},
    "D22_354_twice": {"DATA": "354 go\r\n354 go\r\n"},
    "D22_250_before_the_dot": {"DATA": "354 go\r\n250 ok\r\n"},
    "D11_code_25": {"MAIL": "25 ok\r\n"},
    "D11_code_999": {"MAIL": "999 ok\r\n"},
    "D11_code_2x0": {"MAIL": "2x0 ok\r\n"},
    "D11_nul": {"MAIL": b"250 o\0k\r\n250\0"},
    "D11_code_changes": {"MAIL": "250-a\r\n451 b\r\n"},
    "D11_no_end": {"MAIL": "250-a\r\n"},
    "D12_http": {"MAIL": "HTTP/1.1 400 Bad Request\r\n\r\n"},
    "D46_reflects_commands": {"MAIL": "MAIL FROM:<>\r\n", "RCPT": "RCPT TO:<>\r\n"},
    "D14_ehlo_1000_keywords": {"EHLO": "".join(f"250-KEYWORD{n} {'x' * 50}\r\n" for n in range(1000)) + "250 PIPELINING\r\n"},
    "D14_ehlo_long_keyword": {"EHLO": "250-peer\r\n250-" + "K" * 512 + "\r\n250-SIZE 99999999999999999999999\r\n250 \r\n"},
    "D27_closes_after_250": {".": "250 ok\r\n", "QUIT": None},
    "D51_byte_by_byte": {},
}
FINE = ("D14_ehlo_1000_keywords", "D14_ehlo_long_keyword", "D27_closes_after_250", "D51_byte_by_byte")


@pytest.mark.parametrize("name", ODD)
def test_odd_site(name):
    answers = NORMAL | ODD[name]

    def serve(peer, connection):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if name != "D51_byte_by_byte":
            peer.talk(connection, answers)
            return

        class Slow:
            makefile = connection.makefile

            def sendall(self, data):
                for byte in data:
                    connection.sendall(bytes([byte]))
                    time.sleep(0.001)
        peer.talk(Slow(), answers)
    peer = Peer(serve)
    with running(blocks=peer.route(), delivery="command-timeout = 1s") as w:
        w.send("", ["r@a.test"])
        kind = "d" if name in FINE else None
        row = wait_for("a record", lambda: next((r for r in w.rows() if r["rcpt"] == "r@a.test" and r["type"] in "dbt"), None))
        if kind == "d":
            assert row["type"] == "d", row
        elif name == "D11_code_changes":
            assert row["type"] in "td"
        else:
            assert row["type"] == "t", row
        assert w.daemon.poll() is None


@pytest.mark.parametrize("works", ["127.0.0.9", "::1"])
def test_D42_one_family_works(works):
    """The host has addresses of both families and is deaf on one: the other one, in the same attempt."""
    script = 'record "a.test" { mx = { "10 h.a.test" } }\nrecord "h.a.test" { a = "127.0.0.9" aaaa = "::1" }'
    family = "prefer-v6" if works == "127.0.0.9" else "prefer-v4"
    with running(script, delivery=f"family = {family}") as w:
        Peer(lambda peer, connection: peer.talk(connection, NORMAL), works, w.site_port)
        w.send("", ["r@a.test"])
        assert gives(w)["dlvDestinationIp"] == works
        assert not [r for r in w.rows() if r["type"] == "t"]


@pytest.mark.parametrize("at", ["EHLO", "MAIL", "RCPT", "DATA"])
def test_D6_endless_lines_do_not_renew_the_timer(at):
    def serve(peer, connection):
        lines = connection.makefile("rb")
        connection.sendall(b"220 peer\r\n")
        for line in lines:
            peer.heard.append(line.split()[0].decode())
            while line.startswith(at.encode()):
                connection.sendall(b"354-more\r\n" if at == "DATA" else b"250-more\r\n")
                time.sleep(0.3)
            connection.sendall(b"250 ok\r\n")
    peer = Peer(serve)
    with running(blocks=peer.route(), delivery="command-timeout = 1s  retry = { 1h }") as w:
        w.send("", ["r@a.test"])
        if at == "EHLO":
            wait_for("HELO instead", lambda: "HELO" in peer.heard)
        else:
            assert f"timeout in {at.lower()}" in gives(w, "r@a.test", "t")["dsnDiag"]


def over_tls(serve, version=None, ehlo="250-peer\r\n250 STARTTLS\r\n"):
    """A Peer that offers STARTTLS and then runs serve(peer, TLS socket)."""
    def greet(peer, connection):
        connection.sendall(b"220 peer\r\n")
        for line in connection.makefile("rb"):
            verb = line.split()[0]
            if verb == b"EHLO":
                connection.sendall(ehlo.encode())
            elif verb == b"STARTTLS":
                connection.sendall(b"220 ready\r\n")
                serve(peer, peer.context.wrap_socket(connection, server_side=True))
                return
            else:
                peer.talk(connection, NORMAL, greeting="250 ok\r\n")
                return
    peer = Peer(greet)
    peer.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if version is not None:
        peer.context.minimum_version = peer.context.maximum_version = version
        peer.context.set_ciphers("ALL:@SECLEVEL=0")
    return peer


def with_certificate(peer):
    def before(w):
        peer.context.load_cert_chain(*certificate(w.dir, "peer.test"))
    return before


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("policy", ["may", "encrypt"])
def test_E2_site_with_tls_1_0_only(policy):
    peer = over_tls(lambda peer, s: None, ssl.TLSVersion.TLSv1)
    with running(before=with_certificate(peer), delivery=f"tls = {policy}  retry = {{ 1h }}", blocks=peer.route()) as w:
        w.send("", ["r@a.test"])
        if policy == "may":
            gives(w)
            assert peer.connections == 2 and not [r for r in w.rows() if r["type"] == "t"], "in the same attempt"
        else:
            row = gives(w, "r@a.test", "t")
            assert row["dsnStatus"] == "4.7.5" and "protocol version" in row["dsnDiag"] and peer.connections == 1


@pytest.mark.parametrize("policy", ["may", "encrypt"])
@pytest.mark.parametrize("habit", ["stalls", "dribbles"])
def test_E3_handshake_that_does_not_end(habit, policy):
    """Behind "220 ready" nothing comes, or a byte now and then: one deadline for all of it."""
    def serve(peer, connection):
        connection.sendall(b"220 peer\r\n")
        for line in connection.makefile("rb", buffering=0):
            verb = line.split()[0]
            if verb != b"STARTTLS" and "MAIL" not in peer.heard:
                peer.heard.append(verb.decode())
            if verb == b"EHLO":
                connection.sendall(b"250-peer\r\n250 STARTTLS\r\n")
            elif verb == b"STARTTLS":
                connection.sendall(b"220 ready\r\n")
                tls = peer.context.wrap_bio(inside := ssl.MemoryBIO(), outside := ssl.MemoryBIO(), server_side=True)
                inside.write(connection.recv(65536))
                with pytest.raises(ssl.SSLWantReadError):
                    tls.do_handshake()
                for byte in outside.read() if habit == "dribbles" else ():
                    connection.sendall(bytes([byte]))
                    time.sleep(0.2)
                connection.recv(1)  # until the other side has enough
                return
            else:
                peer.talk(connection, NORMAL, greeting="250 ok\r\n")
                return
    peer = Peer(serve)
    peer.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with running(before=with_certificate(peer), blocks=peer.route(),
                 delivery=f"tls = {policy}  command-timeout = 2s  retry = {{ 1h }}") as w:
        w.send("", ["r@a.test"])
        if policy == "may":
            gives(w)
            assert peer.connections == 2 and not [r for r in w.rows() if r["type"] == "t"], "in clear, in the same attempt"
        else:
            row = gives(w, "r@a.test", "t")
            assert row["dsnStatus"] == "4.7.5" and "TLS handshake: timeout" in row["dsnDiag"] and "MAIL" not in peer.heard, row


def with_purpose(directory, purpose):
    """A self-signed certificate of peer.test that is for this alone; (certificate path, key path)."""
    cert, key = directory / "purpose.pem", directory / "purpose.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
                    "-subj", "/CN=peer.test", "-addext", "subjectAltName=DNS:peer.test", "-addext", f"extendedKeyUsage={purpose}",
                    "-keyout", key, "-out", cert], check=True, capture_output=True)
    return cert, key


@pytest.mark.parametrize("policy,purpose", [("verify", "serverAuth"), ("verify", "clientAuth"), ("may", "clientAuth")])
def test_E6_a_certificate_for_another_purpose(policy, purpose):
    """Its name and its authority are right: one that proves a client is no proof of a server."""
    peer = over_tls(inside)

    def before(w):
        w.ca_file, key = with_purpose(w.dir, purpose)
        peer.context.load_cert_chain(w.ca_file, key)
        w.blocks = f'route peer {{ domains = {{ "*" }} hosts = {{ "peer.test:{peer.port}" }} }}'
    with running('record "peer.test" { a = "127.0.0.1" }', before=before, delivery=f"tls = {policy}  retry = {{ 1h }}") as w:
        w.send("", ["r@a.test"])
        if policy == "may" or purpose == "serverAuth":
            gives(w)
            assert peer.connections == 1, "under TLS"
        else:
            row = gives(w, "r@a.test", "t")
            assert row["dsnStatus"] == "4.7.5" and "certificate verify failed: unsuitable certificate purpose" in row["dsnDiag"], row


@pytest.mark.parametrize("policy", ["may", "encrypt"])
def test_E2_no_signature_scheme_in_common(policy):
    """A site that signs its handshake with SHA-1 alone. OpenSSL's own server, as Python's cannot be told so."""
    def serve(peer, connection):
        connection.sendall(b"220 peer\r\n")
        for line in connection.makefile("rb", buffering=0):
            verb = line.split()[0]
            if verb == b"EHLO":
                connection.sendall(b"250-peer\r\n250 STARTTLS\r\n")
            elif verb == b"STARTTLS":
                connection.sendall(b"220 ready\r\n")
                with socket.create_connection(("127.0.0.1", peer.server_port)) as server:
                    server.sendall(connection.recv(65536))
                    while got := server.recv(65536):
                        peer.heard.append(got[0])
                        connection.sendall(got)
                return
            else:
                peer.talk(connection, NORMAL, greeting="250 ok\r\n")
                return
    peer = Peer(serve)
    peer.server_port = free_port()
    with World() as w:
        cert, key = w.dir / "rsa.pem", w.dir / "rsa.key"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=peer.test",
                        "-keyout", key, "-out", cert], check=True, capture_output=True)
        server = ["openssl", "s_server", "-accept", f"127.0.0.1:{peer.server_port}", "-cert", cert, "-key", key, "-tls1_2", "-quiet",
                  "-cipher", "DEFAULT:@SECLEVEL=0", "-sigalgs", "RSA+SHA1"]
        with subprocess.Popen(server, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as s:
            try:
                wait_for("the server", lambda: accepts(peer.server_port))
                w.settings = "accounting-records = { d, b, t, r }"
                w.delivery, w.blocks = f"tls = {policy}  retry = {{ 1h }}", peer.route()
                w.start()
                w.send("", ["r@a.test"])
                row = gives(w, "r@a.test", "d" if policy == "may" else "t")
            finally:
                s.kill()
        assert peer.heard[0] == 0x15, "an alert, and no handshake"
        if policy == "may":
            assert peer.connections == 2 and not [r for r in w.rows() if r["type"] == "t"], "in the same attempt"
        else:
            assert row["dsnStatus"] == "4.7.5" and "handshake failure" in row["dsnDiag"], row


def accepts(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def test_E12_resumption_ends_with_the_authorities():
    resumed = []

    def serve(peer, s):
        resumed.append(s.session_reused)
        peer.talk(s, NORMAL, greeting="")
    peer = over_tls(serve)

    def before(w):
        with_certificate(peer)(w)
        w.ca_file = w.dir / "mine.pem"
        w.ca_file.write_bytes((w.dir / "server.pem").read_bytes())
        w.blocks = f'route peer {{ domains = {{ "*" }} hosts = {{ "peer.test:{peer.port}" }} }}'
    with running('record "peer.test" { a = "127.0.0.1" }', before=before,
                 delivery="tls = verify  idle = 0s  retry = { 1h }") as w:
        for n in range(3):
            w.send("", [f"r{n}@a.test"])
            gives(w, f"r{n}@a.test")
        assert resumed == [False, False, True], "each of two threads has a memory of its own"
        certificate(w.dir, "peer.test", "other")
        w.ca_file.write_bytes((w.dir / "other.pem").read_bytes())
        w.ctl("reload")
        w.send("", ["r3@a.test"])
        assert "certificate verify failed" in gives(w, "r3@a.test", "t")["dsnDiag"]


@pytest.mark.parametrize("name", ["E10_reply_cut_off", "E29_garbage_in_the_body", "D21_552_in_the_body"])
def test_tls_that_ends_badly(name):
    def serve(peer, s):
        lines, in_data = s.makefile("rb"), False
        for line in lines:
            if in_data:
                if line != b".\r\n":
                    continue
                s.sendall(b"250 ok")
                break
            verb = line.split()[0].decode()
            s.sendall(NORMAL.get(verb, "250 ok\r\n").encode())
            in_data = verb == "DATA"
            if in_data and name != "E10_reply_cut_off":
                break
        if "552" in name:
            s.sendall(b"552 5.3.4 too big\r\n")
        raw = socket.socket(fileno=s.detach())
        if "garbage" in name:
            raw.sendall(b"\x17\x03\x03\x00\x20" + b"garbage!" * 4)
        time.sleep(0.2)
        raw.close()
    peer = over_tls(serve)
    body = "hello\r\n" if "E10" in name else ("z" * 76 + "\r\n") * 100000
    with running(before=with_certificate(peer), blocks=peer.route(), delivery="retry = { 1h }") as w:
        w.send("", ["r@a.test"], body=body)
        row = gives(w, "r@a.test", "b" if "552" in name else "t")
        assert "552" not in name or row["dsnDiag"] == "smtp;552 5.3.4 too big"
        (event,) = [e for e in w.events() if e["event"] != "received"]
        assert bool(event.get("uncertain")) == ("E10" in name)


def test_E4_bytes_glued_behind_220_ready():
    def serve(peer, connection):
        peer.talk(connection, NORMAL | {"EHLO": "250-peer\r\n250 STARTTLS\r\n", "STARTTLS": "220 ready\r\n250-evil\r\n250 PIPELINING\r\n"})
    peer = Peer(serve)
    with running(blocks=peer.route(), delivery="command-timeout = 1s") as w:
        w.send("", ["r@a.test"])
        row = wait_for("a record", lambda: next((r for r in w.rows() if r["rcpt"] == "r@a.test" and r["type"] in "dbt"), None))
        assert row["type"] == "t" and "bytes behind the reply" in row["dsnDiag"], row


def test_D16_site_that_breaks_with_pipelining():
    """Takes one command a segment and throws away the rest: after the first break, mail goes without."""
    def serve(peer, connection):
        connection.sendall(b"220 peer\r\n")
        in_data, tail = False, b""
        while got := connection.recv(65536):
            if in_data:
                tail = (tail + got)[-5:]
                if tail == b"\r\n.\r\n":
                    connection.sendall(b"250 ok\r\n")
                    in_data = False
                continue
            verb = got.split(b"\r\n")[0].split(b" ")[0].upper()
            peer.heard.append(got.count(b"\r\n"))
            connection.sendall({b"EHLO": b"250-peer\r\n250 PIPELINING\r\n", b"DATA": b"354 go\r\n"}.get(verb, b"250 ok\r\n"))
            in_data, tail = verb == b"DATA", b""
    peer = Peer(serve)
    with running(blocks=peer.route(), delivery="command-timeout = 1s  retry = { 1s }") as w:
        w.send("", ["r@a.test"])
        gives(w)
        assert sum(r["type"] == "t" for r in w.rows()) <= 4, "each of two threads learns twice"


@pytest.mark.parametrize("tls", ["may", "verify"])
def test_E22_login_goes_only_over_tls_that_is_proven(tls):
    """The smarthost's certificate is nobody's: with the default (verify) no password leaves."""
    def before(w):
        w.cert, w.key = certificate(w.dir, "smart.test")
        (w.dir / "pw").write_text("geheim\n")
        (w.dir / "pw").chmod(0o600)
        peer.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        peer.context.load_cert_chain(w.cert, w.key)
        w.blocks = peer.route(f'user = "me" password-file = "{w.dir}/pw"' + (" tls = may" if tls == "may" else ""))

    def serve(peer, connection):
        connection.sendall(b"220 smart\r\n")
        f = connection.makefile("rb")
        for line in f:
            if line.startswith(b"STARTTLS"):
                connection.sendall(b"220 ready\r\n")
                inner = peer.context.wrap_socket(connection, server_side=True)
                peer.talk(inner, NORMAL | {"EHLO": "250-smart\r\n250 AUTH PLAIN LOGIN\r\n", "AUTH": "235 welcome\r\n"}, greeting="")
                return
            connection.sendall(b"250-smart\r\n250 STARTTLS\r\n")
    peer = Peer(serve)
    with running(before=before) as w:
        w.send("", ["r@a.test"])
        if tls == "may":
            gives(w)
            assert "AUTH" in peer.heard
        else:
            gives(w, "r@a.test", "t")
            assert "AUTH" not in peer.heard


@pytest.mark.parametrize("tls", ["none", "encrypt"])
def test_D48_smarthost_refuses_the_login(tls):
    """Or would get it in clear (E22): mail waits and does not bounce."""
    answers = NORMAL | {"EHLO": "250-smart\r\n250 AUTH PLAIN LOGIN\r\n", "AUTH": "535 5.7.8 wrong\r\n"}
    if tls == "none":
        peer = Peer(lambda peer, connection: peer.talk(connection, answers))
    else:
        peer = over_tls(lambda peer, s: peer.talk(s, answers, greeting=""))

    def before(w):
        (w.dir / "pw").write_text("geheim\n")
        (w.dir / "pw").chmod(0o600)
        if tls == "encrypt":
            with_certificate(peer)(w)
        w.blocks = peer.route(f'user = "me" password-file = "{w.dir}/pw" tls = {tls}')
    with running(before=before) as w:
        w.send("", ["r@a.test"])
        row = wait_for("a record", lambda: next((r for r in w.rows() if r["type"] in "tb"), None))
        assert row["type"] == "t" and ("AUTH" in peer.heard) == (tls == "encrypt")
        assert (" error login_refused site=route:peer " in w.log_text()) == (tls == "encrypt")
        assert row["dsnDiag"] == "smtp;535 5.7.8 wrong" if tls == "encrypt" else "password not sent" in row["dsnDiag"]


def inside(peer, s):
    peer.talk(s, NORMAL, greeting="")


def test_E5_what_was_offered_in_clear_is_forgotten():
    peer = over_tls(inside, ehlo="250-peer\r\n250-SIZE 10\r\n250-SMTPUTF8\r\n250 STARTTLS\r\n")
    with running(before=with_certificate(peer), blocks=peer.route(), delivery="retry = { 1h }") as w:
        w.send("", ["r@a.test"])  # larger than 10 bytes
        gives(w)
        with w.client() as c:
            c.ehlo()
            c.sendmail("", ["jörg@a.test"], b"From: <s@x.test>\r\n\r\nx\r\n", mail_options=["SMTPUTF8"])
        assert "SMTPUTF8" in gives(w, "jörg@a.test", "b")["dsnDiag"]


@pytest.mark.parametrize("host,want", [("bücher.test", "xn--bcher-kva.test"), ("plain.test", "plain.test"), ("127.0.0.1", None)])
def test_E7_server_name(host, want):
    """RFC 6066 3: A-labels, and no addresses."""
    names = []
    peer = over_tls(inside)
    peer.context.sni_callback = lambda s, name, context: names.append(name)
    route = f'route peer {{ domains = {{ "*" }} hosts = {{ "{host}:{peer.port}" }} }}'
    with running(f'record "{want}" {{ a = "127.0.0.1" }}', before=with_certificate(peer), blocks=route) as w:
        w.send("", ["r@a.test"])
        gives(w)
        assert names == [want]


def chain(directory, length, padding):
    """A certificate of peer.test under so many authorities, each with so many bytes more; the path of chain and key."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.NameOID.COMMON_NAME
    now, out = datetime.datetime.now(), b""
    for n in range(length + 1):
        subject, issuer = (x509.Name([x509.NameAttribute(name, f"authority {k}" if k else "peer.test")]) for k in (n, n + 1))
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key()).serial_number(
            n + 1).not_valid_before(now - datetime.timedelta(1)).not_valid_after(now + datetime.timedelta(1)).add_extension(
            x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.55555.1"), b"x" * padding), critical=False)
        out += builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    out += key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = directory / "chain.pem"
    path.write_bytes(out)
    return path


@pytest.mark.parametrize("policy", ["may", "verify"])
@pytest.mark.parametrize("length,padding", [(100, 0), (1, 60000), (99, 2000)])
def test_E8_endless_chains(policy, length, padding):
    """They cost neither time nor mail: what is not to be verified goes out, the other is told why."""
    peer = over_tls(inside)

    def before(w):
        peer.context.load_cert_chain(chain(w.dir, length, padding))
    with running(before=before, blocks=peer.route(), delivery=f"tls = {policy}  retry = {{ 1h }}") as w:
        before = cpu_seconds(w)
        w.send("", ["r@a.test"])
        row = gives(w, "r@a.test", "d" if policy == "may" else "t")
        assert cpu_seconds(w) - before < 5
        assert policy == "may" or row["dsnStatus"] == "4.7.5", row


def certificate_16384(directory):
    """One of peer.test, and its key of 16,384 bits without a search: the primes are those of RFC 3526 7 and RFC 7919 A.5,
    whose middles are digits of pi and e."""
    one = 1 << 8192

    def arctan(x):
        return sum((-1) ** n * (one // (x ** (2 * n + 1) * (2 * n + 1))) for n in range(1800))
    pi, e = 4 * (4 * arctan(5) - arctan(239)), sum(one // math.factorial(n) for n in range(1000))
    p, q = (2**8192 - 2**8128 - 1 + ((middle >> 130) + more) * 2**64 for middle, more in ((pi, 4743158), (e, 10965728)))
    d = pow(65537, -1, (p - 1) * (q - 1))
    numbers = (0, p * q, 65537, d, p, q, d % (p - 1), d % (q - 1), pow(q, -1, p))
    (directory / "numbers").write_text("asn1=SEQUENCE:key\n[key]\n" + "".join(f"{i}=INTEGER:0x{n:x}\n" for i, n in enumerate(numbers)))
    key, cert = directory / "16384.key", directory / "16384.pem"
    for command in (["asn1parse", "-noout", "-genconf", directory / "numbers", "-out", directory / "16384.der"],
                    ["rsa", "-inform", "DER", "-in", directory / "16384.der", "-out", key],
                    ["req", "-x509", "-new", "-key", key, "-subj", "/CN=peer.test", "-addext", "subjectAltName=DNS:peer.test",
                     "-days", "2", "-out", cert]):
        subprocess.run(["openssl", *command], check=True, capture_output=True)
    return cert, key


def test_E8_a_key_of_16384_bits():
    """The largest OpenSSL takes: one signature to be verified, and mail goes on."""
    peer = over_tls(inside)

    def before(w):
        w.ca_file, key = certificate_16384(w.dir)
        peer.context.load_cert_chain(w.ca_file, key)
        w.blocks = f'route peer {{ domains = {{ "*" }} hosts = {{ "peer.test:{peer.port}" }} }}'
    with running('record "peer.test" { a = "127.0.0.1" }', before=before, delivery="tls = verify  retry = { 1h }") as w:
        before = cpu_seconds(w)
        w.send("", ["r@a.test"])
        gives(w)
        assert cpu_seconds(w) - before < 5


def test_E9_client_certificate_asked_for():
    peer = over_tls(inside)

    def before(w):
        with_certificate(peer)(w)
        peer.context.load_verify_locations(w.dir / "server.pem")
        peer.context.verify_mode = ssl.CERT_OPTIONAL
    with running(before=before, blocks=peer.route(), delivery="tls = encrypt") as w:
        w.send("", ["r@a.test"])
        gives(w)


def test_E30_early_data_is_not_taken():
    """It could be sent again by others (RFC 8446 8)."""
    with running(before=implicit_tls) as w:
        session, early = w.dir / "session.pem", w.dir / "early"
        early.write_bytes(b"EHLO early.test\r\n")

        def client(*options):
            with subprocess.Popen(["openssl", "s_client", "-connect", f"127.0.0.1:{w.tls_port}", "-tls1_3", *options],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as s:
                said = ""
                while "220 " not in said:  # it comes behind the tickets
                    said += s.stdout.readline()
                s.stdin.write("QUIT\n")
                s.stdin.close()
                return said + s.stdout.read()
        assert "Max Early Data: 0" in client("-sess_out", str(session))
        for _ in range(20):  # each of the daemon's threads has tickets of its own
            again = client("-sess_in", str(session), "-early_data", str(early))
            assert "Early data was not sent" in again, again
            if "Reused, TLSv1.3" in again:
                break
        else:
            pytest.fail("no session was resumed")


def test_D44_a_site_that_goes_on_after_quit():
    """It says good-bye, talks on and never closes: our side does."""
    def serve(peer, connection):
        peer.talk(connection, NORMAL | {"QUIT": None})
        connection.sendall(b"221 bye\r\n")
        try:
            while True:
                connection.sendall(b"250 and by the way\r\n" * 100)
                time.sleep(0.01)
        finally:
            peer.heard.append("closed")
    peer = Peer(serve)
    with running(blocks=peer.route(), delivery="idle = 0s") as w:
        w.send("", ["r@a.test"])
        gives(w)
        wait_for("our end of it", lambda: "closed" in peer.heard)
        wait_for("no session", lambda: w.ctl("status", "--json")["summary"]["sessions"]["delivering"] == 0)
