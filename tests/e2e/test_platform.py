# SPDX-License-Identifier: Apache-2.0
"""Listeners of every kind, limits, smarthosts, the background, root dropped, a disk that fails."""
import base64
import os
import pwd
import shutil
import smtplib
import socket
import subprocess
import time

import pytest

from test_path import PLAIN
from tools import certificate, running
from world import World, free_port, program, wait_for


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as s:
            s.bind(("::1", 0))
        return True
    except OSError:
        return False


def test_unix_socket_and_second_listener():
    with World() as w:
        extra = free_port()
        addresses = [f'"{w.dir}/submit"', f'"127.0.0.1:{extra}"'] + ([f'"[::1]:{extra}"'] if has_ipv6() else [])
        w.blocks = f'listen other {{ address = {{ {", ".join(addresses)} }} }}\n'
        w.sim(PLAIN)
        w.start()
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(str(w.dir / "submit"))
            f = s.makefile("rwb")
            assert f.readline().startswith(b"220")
            for line in (b"HELO c", b"MAIL FROM:<s@x.test>", b"RCPT TO:<unix@a.test>", b"DATA",
                         b"From: <s@x.test>\r\n\r\nhi\r\n."):
                f.write(line + b"\r\n")
                f.flush()
                assert f.readline()[:1] in b"23"
        hosts = ["127.0.0.1"] + (["::1"] if has_ipv6() else [])
        for n, host in enumerate(hosts):
            with smtplib.SMTP(host, extra, local_hostname="c") as c:
                c.sendmail("s@x.test", [f"r{n}@a.test"], b"From: <s@x.test>\r\n\r\nhi\r\n")
        w.wait_row(type="d", rcpt="unix@a.test")
        for n in range(len(hosts)):
            w.wait_row(type="d", rcpt=f"r{n}@a.test")


def test_limits_of_a_listener():
    with World(listen="recipients-max = 2\nmessage-rate = 3/m\nmessage-max = 4KB\nconnections-per-client = 3") as w:
        w.sim(PLAIN)
        w.start()
        with w.client() as c:
            c.ehlo()
            assert c.mail("s@x.test", ["SIZE=5000"])[0] == 552
            c.mail("s@x.test")
            assert [c.rcpt(f"r{n}@a.test")[0] for n in range(3)] == [250, 250, 452]
            c.rset()
            c.mail("s@x.test")
            c.rset()
            assert c.mail("s@x.test")[0] in (250, 451)
            c.rset()
            assert c.mail("s@x.test")[0] == 451
        held = [socket.create_connection(("127.0.0.1", w.port)) for _ in range(3)]
        time.sleep(0.3)
        with socket.create_connection(("127.0.0.1", w.port), timeout=5) as s:
            assert s.recv(100).startswith(b"421 4.3.2")
        for s in held:
            s.close()


def user_block(w, name, extra=""):
    secret = w.dir / f"{name}.hash"
    secret.write_text(subprocess.run([program("mtactl"), "passwd"], input="pw\n", capture_output=True, text=True,
                                     check=True).stdout)
    secret.chmod(0o600)
    return f'user {name} {{ password-file = "{secret}" {extra} }}\n'


def test_user_without_bounce_mails():
    with World(listen="auth-in-clear = yes") as w:
        w.blocks = user_block(w, "quiet", "bounces = no")
        w.sim('site home { domains = { "x.test" } tls = none }\n'
              'site a { domains = { "a.test" } tls = none rule { on = rcpt reply = "550 5.1.1 gone" } }\n')
        w.start()
        with w.client() as c:
            c.login("quiet", "pw")
            c.sendmail("s@x.test", ["r@a.test"], b"From: <s@x.test>\r\n\r\nhi\r\n")
        assert w.wait_row(type="b", rcpt="r@a.test")["srcMta"] == "quiet"
        time.sleep(1)
        assert w.ctl("audit", "--json")["summary"]["accepted"] == 1


def test_D47_smarthost_with_log_in_and_verified_tls():
    """One mtad as the smarthost of another."""
    with World() as inner, World() as outer:
        inner.sim(PLAIN)
        cert, key = certificate(inner.dir)
        inner.listen = f'networks = {{ "192.0.2.0/24" }}\ncertificate = "{cert}"\nkey = "{key}"\ntls = required'
        inner.blocks = user_block(inner, "relay")
        inner.start()
        secret = outer.dir / "relay.pw"
        secret.write_text("pw\n")
        secret.chmod(0o600)
        (outer.dir / "ca").mkdir()
        shutil.copy(cert, outer.dir / "ca" / "ca.pem")
        outer.blocks = (f'route smart {{ domains = {{ "*" }} hosts = {{ "127.0.0.1:{inner.port}" }} user = relay '
                        f'password-file = "{secret}" tls = encrypt }}\n')
        outer.start()
        outer.send("s@x.test", ["r@a.test"])
        outer.wait_row(type="d", rcpt="r@a.test")
        inner.wait_row(type="d", rcpt="r@a.test")


def test_dkim_check_compares_with_dns():
    with World() as w:
        key = w.dir / "k.pem"
        made = subprocess.run([program("mtactl"), "--json", "dkim", "keygen"], capture_output=True, text=True)
        assert made.returncode == 2 or made.returncode == 1
        subprocess.run([program("mtactl"), "dkim", "keygen", "x.test", "--selector", "s1", "--out", str(key)], check=True,
                       capture_output=True)
        again = subprocess.run([program("mtactl"), "dkim", "keygen", "x.test", "--selector", "s1", "--out", str(key)],
                               capture_output=True, text=True)
        assert again.returncode == 1  # never over an existing key
        public = subprocess.run(["openssl", "rsa", "-in", str(key), "-pubout", "-outform", "DER"], check=True,
                                capture_output=True).stdout
        w.blocks = f'dkim x.test {{ selector = s1 key = "{key}" }}\n'
        w.sim(f'record "s1._domainkey.x.test" {{ txt = "v=DKIM1; k=rsa; p={base64.b64encode(public).decode()}" }}\n' + PLAIN)
        w.start()
        assert "good" in w.ctl("dkim", "check", "x.test")
        missing = w.ctl("dkim", "check", "other.test", check=False)
        assert missing.returncode == 1


def test_background_start_and_stop():
    with World() as w:
        w.sim(PLAIN)
        (w.dir / "ca").mkdir(exist_ok=True)
        config = w.write_config()
        done = subprocess.run([program("mtad"), "-c", str(config)], stdout=subprocess.DEVNULL,
                              stderr=open(w.dir / "mtad.log", "ab"), timeout=30)
        assert done.returncode == 0
        pid = w.ctl("status", "--json")["summary"]["pid"]
        w.send("s@x.test", ["r@a.test"])
        w.wait_row(type="d", rcpt="r@a.test")
        w.ctl("stop")
        wait_for("the end of the daemon", lambda: not os.path.exists(f"/proc/{pid}"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can drop root")
def test_K1_root_is_dropped():
    with World(settings="run-as = nobody") as w:
        w.dir.chmod(0o777)
        w.sim(PLAIN)
        (w.dir / "ca").chmod(0o755)
        w.start()
        nobody = pwd.getpwnam("nobody").pw_uid
        assert os.stat(f"/proc/{w.daemon.pid}/fd").st_uid in (nobody, 0)
        status = open(f"/proc/{w.daemon.pid}/status").read()
        assert f"Uid:\t{nobody}\t{nobody}\t{nobody}\t{nobody}" in status
        assert os.stat(w.dir / "spool").st_uid == nobody and os.stat(w.dir / "spool").st_mode & 0o777 == 0o700
        w.send("s@x.test", ["r@a.test"])
        w.wait_row(type="d", rcpt="r@a.test")


def test_F4_failed_fsync_fails_the_spool_until_it_is_verified():
    with running(PLAIN, disk=True, delivery="retry = { 1h }") as w:
        w.send("s@x.test", ["r1@a.test"])
        w.wait_row(type="d", rcpt="r1@a.test")
        w.disk.becomes("failing")
        with pytest.raises((smtplib.SMTPDataError, smtplib.SMTPSenderRefused)) as refused:
            w.send("s@x.test", ["r2@a.test"])
        assert refused.value.smtp_code in (451, 452)
        wait_for("the alarm", lambda: "spool_failed" in w.log_text())
        assert w.ctl("status", "--json")["summary"]["spool"]["failed"]
        w.disk.becomes("well")
        wait_for("recovery", lambda: "spool_recovered" in w.log_text())
        w.send("s@x.test", ["r3@a.test"])
        w.wait_row(type="d", rcpt="r3@a.test")
        assert not [a for a in w.arrived() if a["rcpt"] == "r2@a.test"]
        assert w.ctl("audit", "--json")["summary"]["balanced"]
