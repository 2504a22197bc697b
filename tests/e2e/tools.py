# SPDX-License-Identifier: Apache-2.0
"""What several end-to-end tests need beside a World: a running one in a line, a client that says any bytes, keys."""
import base64
import contextlib
import functools
import os
import pathlib
import re
import socket
import ssl
import subprocess
import sys

import dkim

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from disk import Disk  # noqa: E402
from world import World, free_port, program, wait_for  # noqa: E402

__all__ = ["A_TEST", "MAIL", "Talk", "certificate", "cpu_seconds", "descriptors", "dkim_key", "dkim_ok", "dsns", "free_port", "gives",
           "implicit_tls", "lean", "memory", "password_file", "program", "running", "sanitizer", "wait_for"]

A_TEST = 'site a { domains = { "a.test" } }\n'
MAIL = b"From: <s@x.test>\r\nTo: <r@a.test>\r\nSubject: test\r\n\r\nhello\r\n.\r\n"
ALL_RECORDS = "accounting-records = { d, b, t, r }\n"


@contextlib.contextmanager
def running(script=A_TEST, sim_options=(), before=None, users=None, disk=False, wrapper=(), **world):
    """A World with mtasim on this script and mtad on these settings. before(w): makes files and adds to settings;
    users: what stands in the block of each besides the password, which is "secret"; disk: w.disk is a Disk; wrapper: of mtad."""
    world["settings"] = ALL_RECORDS + world.get("settings", "")
    with World(**world) as w:
        if before is not None:
            before(w)
        for name, settings in (users or {}).items():
            w.blocks += f'user {name} {{ password-file = "{password_file(w.dir, name, "secret")}"  {settings} }}\n'
        w.disk = Disk(w) if disk else None
        w.sim(script, *sim_options)
        w.start(wrapper=w.disk.wrapper if disk else wrapper)
        yield w


class Talk:
    """An SMTP client that says what it is told, right or wrong."""

    def __init__(self, port, greeting=True, host="127.0.0.1", timeout=20, source=""):
        self.socket = socket.create_connection((host, port), timeout=timeout, source_address=(source, 0))
        self.buffer = b""
        if greeting:
            self.expect("220")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def raw(self, data):
        self.socket.sendall(data if isinstance(data, bytes) else data.encode())

    def line(self):
        while b"\n" not in self.buffer:
            got = self.socket.recv(65536)
            if not got:
                raise EOFError(f"closed; left: {self.buffer!r}")
            self.buffer += got
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line.rstrip(b"\r").decode(errors="replace")

    def reply(self):
        """One whole reply as text, its lines joined by LF."""
        lines = [self.line()]
        while lines[-1][3:4] == "-":
            lines.append(self.line())
        return "\n".join(lines)

    def expect(self, pattern):
        got = self.reply()
        assert re.match(pattern, got), f"expected {pattern}, got {got!r}"
        return got

    def say(self, text, pattern=None):
        """A command (or bytes as they are) and its reply."""
        self.raw(text if isinstance(text, bytes) else text + "\r\n")
        return self.expect(pattern) if pattern is not None else self.reply()

    def rest(self):
        """All that comes until the peer closes."""
        with contextlib.suppress(ConnectionError):
            while got := self.socket.recv(65536):
                self.buffer += got
        rest, self.buffer = self.buffer, b""
        return rest

    def is_closed(self):
        return self.rest() == b""

    def hello(self):
        return self.say("EHLO client.test", "250")

    def envelope(self, sender="s@x.test", rcpts=("r@a.test",), params=""):
        self.say(f"MAIL FROM:<{sender}> {params}".rstrip(), "250")
        for rcpt in rcpts:
            self.say(f"RCPT TO:<{rcpt}>", "250")

    def data(self, data, pattern="250"):
        self.say("DATA", "354")
        return self.say(data, pattern)

    def starttls(self):
        self.say("STARTTLS", "220")
        self.wrap()

    def wrap(self):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.socket = context.wrap_socket(self.socket, server_hostname="mta.sender.test")

    def auth(self, user, password, pattern="235"):
        return self.say("AUTH PLAIN " + base64.b64encode(f"\0{user}\0{password}".encode()).decode(), pattern)


def submit(w, rcpts, user="shop"):
    """As a user, a message to each."""
    with Talk(w.port) as t:
        t.hello()
        t.auth(user, "secret")
        for rcpt in rcpts:
            t.envelope(rcpts=[rcpt])
            t.data(b"From: <s@x.test>\r\n\r\nhello\r\n.\r\n")


@functools.cache
def sanitizer():
    """Of the daemon: "a", "t" or "" (address, thread, none)."""
    found = re.search(rb"__([at])san_init", pathlib.Path(program("mtad")).read_bytes())
    return found[1].decode() if found else ""


def lean(options=""):
    """Wrapper of a daemon whose memory is measured or bounded: AddressSanitizer keeps what was freed, to find its users."""
    return ["env", f"ASAN_OPTIONS={os.environ.get('ASAN_OPTIONS', '')}:quarantine_size_mb=0:thread_local_quarantine_size_kb=0:{options}"]


def memory(w):
    """Of the daemon, in bytes. Nothing to go by under ThreadSanitizer, which keeps several for each: 0."""
    if sanitizer() == "t":
        return 0
    return int(open(f"/proc/{w.daemon.pid}/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def cpu_seconds(w):
    """Of the daemon so far. What costs nothing else but time is measured in these: a busy machine does not change them."""
    fields = open(f"/proc/{w.daemon.pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def descriptors(w):
    return len(os.listdir(f"/proc/{w.daemon.pid}/fd"))


def gives(w, rcpt="r@a.test", type="d", seconds=20):
    """The record of this type for this recipient."""
    return w.wait_row(seconds, type=type, rcpt=rcpt)


def certificate(directory, name="mta.sender.test", stem="server", days=30):
    """A self-signed certificate; (certificate path, key path), the key with mode 0600."""
    cert, key = directory / f"{stem}.pem", directory / f"{stem}.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
                    str(days), "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name},IP:127.0.0.1", "-keyout", str(key), "-out",
                    str(cert)], check=True, capture_output=True)
    key.chmod(0o600)
    return cert, key


def implicit_tls(w):
    """A second listener, on w.tls_port, where TLS begins with the first byte."""
    cert, key = certificate(w.dir)
    w.tls_port = free_port()
    w.blocks += (f'listen tls {{ address = "127.0.0.1:{w.tls_port}"  tls = implicit  certificate = "{cert}"  '
                 f'key = "{key}" }}\n')


def password_file(directory, name, password):
    """The yescrypt hash as mtactl passwd prints it."""
    done = subprocess.run([program("mtactl"), "passwd"], input=password + "\n", capture_output=True, text=True, check=True)
    path = directory / f"{name}.hash"
    path.write_text(done.stdout)
    path.chmod(0o600)
    return path


def dkim_key(directory, domain="sender.test", selector="s1", algorithm="rsa2048"):
    """mtactl dkim keygen; (the dkim block, DNS name, TXT record)."""
    path = directory / f"{domain}.{selector}.pem".replace("*", "any")
    done = subprocess.run([program("mtactl"), "dkim", "keygen", domain, "--selector", selector, "--algorithm",
                           algorithm, "--out", str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    record = "".join(re.findall(r'"([^"]*)"', re.search(r"(?m)^publish .*$", done.stdout).group(0)))
    return f'dkim {domain} {{ selector = {selector}  key = "{path}" }}\n', f"{selector}._domainkey.{domain}", record


def dkim_ok(mail, records, index=0):
    """dkimpy's judgement of the signature with this number, with these TXT records."""
    def dns(name, timeout=5):
        return records.get(name.decode().rstrip("."), "").encode()
    try:
        return dkim.DKIM(mail, minkey=1024).verify(idx=index, dnsfunc=dns)
    except dkim.DKIMException:
        return False


def dsns(w):
    """Arrived mails that are delivery reports."""
    return [m for m in w.mails() if b"report-type=delivery-status" in m]
