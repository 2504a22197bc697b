# SPDX-License-Identifier: Apache-2.0
"""Listeners of every kind, limits, smarthosts, the background, root dropped, a disk that fails."""
import base64
import contextlib
import ctypes
import itertools
import os
import pathlib
import pwd
import re
import shutil
import signal
import smtplib
import socket
import subprocess
import sys
import threading
import time

import pytest

from namespaces import network
from test_path import PLAIN
from test_tls import NORMAL, Peer
from tools import A_TEST, ALL_RECORDS, MAIL, Talk, certificate, dkim_key, dkim_ok, gives, password_file, running
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
    with World(listen="recipients-max = 2\naccept-rate = 3/m\nmessage-max = 4KB\nconnections-per-client = 3") as w:
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


def test_smarthost_with_log_in_and_verified_tls():
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


def test_G19_dkim_check_compares_with_dns():
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


def test_G19_keys_that_receivers_would_not_find():
    """Each kind of wrong record is said with its reason, and the exit code is that of the worst."""
    records, blocks = {}, ""
    with World() as w:
        for domain in ("good.test", "other.test", "absent.test", "revoked.test", "kind.test", "servfail.test"):
            block, name, records[domain] = dkim_key(w.dir, domain, algorithm="ed25519" if domain == "kind.test" else "rsa2048")
            blocks += block
        records["other.test"] = records["good.test"]
        records["revoked.test"] = "v=DKIM1; k=rsa; p="
        records["kind.test"] = records["good.test"]
        w.blocks = blocks
        w.sim("".join(f'record "s1._domainkey.{domain}" {{ txt = "{record}" }}\n' for domain, record in records.items()
                      if domain not in ("absent.test", "servfail.test")) +
              'record "s1._domainkey.servfail.test" { fault = servfail }\n')
        w.start()
        assert w.ctl("dkim", "check", "good.test").strip() == "good s1._domainkey.good.test"
        wanted = {"other.test": "the key in DNS is another one (p=)", "revoked.test": "the key is revoked in DNS (p= is empty)",
                  "kind.test": "the key in DNS is of another kind (k=)", "absent.test": "", "servfail.test": ""}
        for domain, why in wanted.items():
            done = w.ctl("dkim", "check", domain, check=False)
            assert done.returncode == 1 and done.stdout.startswith(f"BAD  s1._domainkey.{domain} {why}"), done
        every = w.ctl("dkim", "check", check=False)
        assert every.returncode == 1 and sorted(line[:4] for line in every.stdout.splitlines()) == ["BAD "] * 5 + ["good"]


DEFAULTS = ["unshare", "-m", "sh", "-c", "for d in /etc /run /var/log /var/spool; do mount -t tmpfs none $d || exit; done; "
            'echo nameserver 127.0.0.1 >/etc/resolv.conf; exec "$@"', "sh"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change what a process sees of the machine")
def test_G17_an_empty_configuration():
    """Takes mail from this machine and nobody else, and sends it: to an MX at a public address, which ends here although no interface has it."""
    public = "203.0.114.5"
    with network(), World() as w:
        subprocess.run(["ip", "route", "add", "local", f"{public}/32", "dev", "lo"], check=True)
        w.dns_port = 53
        w.sim(f'record "a.test" {{ mx = {{ "10 mx.a.test" }} }}\nrecord "mx.a.test" {{ a = "{public}" }}')
        peer = Peer(lambda peer, connection: peer.talk(connection, NORMAL), public, 25)
        config = w.dir / "empty.conf"
        config.write_text("")
        w.port = 587
        w.daemon = subprocess.Popen([*DEFAULTS, program("mtad"), "-f", "-c", config], stderr=open(w.dir / "mtad.log", "ab"))
        wait_for("the daemon's greeting", w.greets)
        for host in (public, "127.0.0.1"):
            with socket.socket() as s:
                assert (s.connect_ex((host, 587)) == 0) == (host == "127.0.0.1")
        w.send("s@x.test", ["r@a.test"])
        accounting = pathlib.Path(f"/proc/{w.daemon.pid}/root/var/log/mtad/acct.csv")
        wait_for("its record", lambda: "\nd," in accounting.read_text())
        assert peer.heard.count(".") == 1
        w.stop()


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


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has network namespaces")
def test_K1_no_right_to_the_port():
    with network(), World() as w:
        w.port = 587
        w.dir.chmod(0o777)
        w.ca_file = "/etc/ssl/certs/ca-certificates.crt"
        config = w.write_config()
        config.chmod(0o644)
        done = subprocess.run([program("mtad"), "-f", "-c", str(config)], user="nobody", capture_output=True, text=True, timeout=20)
    assert done.returncode == 1
    assert (f"mtad: cannot start: {config}:12: listen submission cannot bind 127.0.0.1:587: Permission denied; a port below 1024 "
            "needs CAP_NET_BIND_SERVICE, or a start as root (run-as)\n") in done.stderr, done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can drop root")
def test_K1_root_is_dropped():
    """After the ports are bound: 587 is root's."""
    with network(), World(settings="run-as = nobody") as w:
        w.port = 587
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


EMPTY_ETC = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none /etc && exec "$@"', "sh"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change what a process sees of the machine")
def test_K3_a_container_without_certificates():
    with World(delivery="tls = verify\n") as w:
        w.ca_file = "/etc/ssl/certs/ca-certificates.crt"
        config = w.write_config()
        for option in ("-t", "-f"):
            done = subprocess.run([*EMPTY_ETC, program("mtad"), option, "-c", str(config)], capture_output=True, text=True,
                                  timeout=20)
            assert done.returncode == 1 and f"{config}:16: {w.ca_file} cannot be opened" in done.stderr, done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change what a process sees of the machine")
def test_K3_a_container_without_a_resolver():
    with World() as w:
        w.dns_servers = '"DNS"'
        (w.dir / "ca").mkdir()
        shutil.copy("/etc/ssl/certs/ca-certificates.crt", w.ca_file)
        config = w.write_config()
        config.write_text(config.read_text().replace('dns-servers = { "DNS" }', ""))
        w.daemon = subprocess.Popen([*EMPTY_ETC, program("mtad"), "-f", "-c", str(config)], stderr=open(w.dir / "mtad.log", "ab"))
        wait_for("a start", lambda: " started " in w.log_text())
        assert " warn resolver_missing file=/etc/resolv.conf asked=127.0.0.1" in w.log_text()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change what a process sees of the machine")
def test_K3_a_container_without_a_log_socket():
    with World(settings="log-target = syslog") as w:
        w.sim(PLAIN)
        w.start(wrapper=["unshare", "-m", "sh", "-c", 'mount -t tmpfs none /dev && exec "$@"', "sh"])
        w.send("s@x.test", ["r@a.test"])
        w.wait_row(type="d", rcpt="r@a.test")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has network namespaces")
def test_K4_no_ipv6():
    """Sites that have addresses of both families, a listener for all of them."""
    script = "".join(f'record "two{n}.test" {{ mx = {{ "10 mx.two{n}.test" }} }}\n'
                     f'record "mx.two{n}.test" {{ a = "127.3.1.1"  aaaa = "2001:db8::{n}" }}\n' for n in range(1, 6))
    with network({"ipv6/conf/all/disable_ipv6": "1", "ipv6/conf/lo/disable_ipv6": "1"}):
        extra = free_port()
        with running(script + A_TEST, blocks=f'listen all {{ address = "*:{extra}" }}\n') as w:
            for n in range(1, 6):
                with smtplib.SMTP("127.0.0.1", extra, local_hostname="c") as c:
                    c.sendmail("s@x.test", [f"r@two{n}.test"], b"From: <s@x.test>\r\n\r\nhi\r\n")
                gives(w, f"r@two{n}.test")
            assert not [r for r in w.rows() if r["type"] == "t"]
            assert not re.findall(r"(?m)^\S+ (?:error|warn) (?!clock_adrift).*", w.log_text())


def memory_holds(pid, secrets):
    """Which of these byte strings stand somewhere in the process's memory."""
    found = set()
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            fields = line.split()
            first, last = (int(x, 16) for x in fields[0].split("-"))
            if not fields[1].startswith("rw") or last - first > 1 << 30:
                continue
            with contextlib.suppress(OSError):
                memory.seek(first)
                block = memory.read(last - first)
                found |= {s for s in secrets if s in block}
    return found


def test_K5_no_core_and_no_password_in_memory_or_log():
    plain = b"Tr0ub4dor-and-3"
    secrets = [plain, base64.b64encode(b"\0shop\0" + plain)]
    with World(settings="accounting-records = { d }", listen="auth-in-clear = yes") as w:
        w.blocks = f'user shop {{ password-file = "{password_file(w.dir, "shop", plain.decode())}" }}\n'
        w.sim(A_TEST)
        w.start(wrapper=["prlimit", "--core=unlimited:unlimited", "env",
                         "ASAN_OPTIONS=" + os.environ.get("ASAN_OPTIONS", "") + ":disable_coredump=0"])
        for password, reply in ((plain, "235"), (plain + b"x", "535")):
            with Talk(w.port) as t:
                t.hello()
                t.auth("shop", password.decode(), reply)
                if reply == "235":
                    t.envelope()
                    t.data(MAIL)
        gives(w)
        wait_for("the refusal", lambda: "login_failed" in w.log_text())
        assert not any(s.decode() in w.log_text() for s in secrets)
        assert memory_holds(w.daemon.pid, [*secrets, b"mta.sender.test"]) == {b"mta.sender.test"}
        w.daemon.send_signal(signal.SIGABRT)
        status = os.waitpid(w.daemon.pid, 0)[1]
        w.daemon.returncode = -signal.SIGABRT
        assert os.WTERMSIG(status) == signal.SIGABRT and not os.WCOREDUMP(status)


def test_K6_a_hostile_environment():
    """What a shell or an init script may hand over: limits to nothing what the daemon looks up, writes or believes."""
    hostile = {"PATH": "/nonexistent", "LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8", "TZ": "../../etc/shadow", "HOME": "/nonexistent",
               "LOCALDOMAIN": "evil.test", "RES_OPTIONS": "ndots:15 timeout:1 attempts:1 use-vc", "HOSTALIASES": "/etc/passwd",
               "CARES_HOSTS": "/etc/passwd", "OPENSSL_CONF": "/etc/passwd", "SSL_CERT_FILE": "/etc/passwd", "MALLOC_PERTURB_": "170",
               "EVENT_NOEPOLL": "1", "EVENT_SHOW_METHOD": "1", "NOTIFY_SOCKET": "/nonexistent", "LISTEN_FDS": "7",
               "TMPDIR": "/nonexistent", "IFS": "/", "http_proxy": "http://192.0.2.1:1"}
    with World() as w:
        w.sim(PLAIN)
        w.start(wrapper=["/usr/bin/env", "-i", *[f"{k}={v}" for k, v in hostile.items()], "/bin/sh", "-c", 'umask 0; exec "$@"', "sh"])
        for n in range(3):
            w.send("s@x.test", [f"r{n}@a.test"])
            w.wait_row(type="d", rcpt=f"r{n}@a.test")
        for path in [w.dir / "spool", *(w.dir / "spool").iterdir(), w.dir / "acct.csv", w.dir / "acct.jsonl"]:
            assert path.stat().st_mode & 0o077 == 0, path


def test_K8_the_service_manager_hears_that_all_threads_live():
    """What happens when one does not is in tests/unit/test_watchdog.c, where 20 s pass sooner."""
    with World() as w, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(w.dir / "notify"))
        manager.settimeout(20)
        w.sim(PLAIN)
        w.start(wrapper=["env", f"NOTIFY_SOCKET={w.dir}/notify"])
        assert f"READY=1\nSTATUS=serving\nMAINPID={w.daemon.pid}" == manager.recv(1000).decode()
        assert manager.recv(1000) == b"WATCHDOG=1"
        w.daemon.send_signal(signal.SIGTERM)
        wait_for("the stop", lambda: manager.recv(1000) == b"STOPPING=1")
        assert w.daemon.wait(20) == 0


def test_K10_others_read_nothing():
    """What the daemon makes under the most generous umask, and a key that is too generous itself."""
    with World() as w:
        w.blocks = dkim_key(w.dir, "x.test")[0] + user_block(w, "shop")
        w.sim(PLAIN)
        w.start(wrapper=["sh", "-c", 'umask 0; exec "$@"', "sh"])
        w.send("s@x.test", ["r@a.test"])
        w.wait_row(type="d", rcpt="r@a.test")
        spool = w.dir / "spool"
        modes = {p: p.stat().st_mode & 0o7777 for p in (spool, *spool.rglob("*"), w.dir / "acct.csv", w.dir / "acct.jsonl")}
        assert len(modes) >= 5 and modes[spool] == 0o700
        assert all(mode == (0o700 if p.is_dir() else 0o600) for p, mode in modes.items()), modes
        w.stop()
        for secret in (w.dir / "x.test.s1.pem", w.dir / "shop.hash"):
            for mode in (0o640, 0o604):
                secret.chmod(mode)
                done = subprocess.run([program("mtad"), "-t", "-c", str(w.dir / "mtad.conf")], capture_output=True, text=True)
                assert done.returncode == 1 and str(secret) in done.stderr, (secret, oct(mode), done)
            secret.chmod(0o600)


def test_K11_signals_at_any_time():
    """Stops, which interrupt every thread, and those that it handles itself, while mail comes and goes."""
    with running('site a { domains = { "*.test" } }', settings="stop-timeout = 10s\n") as w:
        done = threading.Event()

        def disturb():
            for n in itertools.count():
                if done.is_set():
                    return
                for number in (signal.SIGSTOP, signal.SIGCONT, signal.SIGPIPE, signal.SIGUSR1 if n % 20 == 0 else signal.SIGCONT,
                               signal.SIGHUP if n % 20 == 10 else signal.SIGWINCH):
                    w.daemon.send_signal(number)
                time.sleep(0.005)
        thread = threading.Thread(target=disturb)
        thread.start()
        try:
            subprocess.run([program("mtasim-load"), "--to", f"127.0.0.1:{w.port}", "--domains", "a.test,b.test", "--sessions", "10",
                            "--messages", "500", "--size", "20000", "--quiet"], check=True, stdout=subprocess.DEVNULL)
            wait_for("all of it", lambda: len(w.arrived()) >= 500, 40)
        finally:
            done.set()
            thread.join()
        w.daemon.send_signal(signal.SIGCONT)
        wait_for("books in balance", lambda: w.ctl("audit", check=False).returncode == 0)
        assert len(w.arrived()) == 500 and " error " not in w.log_text()
        w.stop()


def low_port():
    """One that only an account with a right to it can have."""
    for port in range(700, 1000):
        with socket.socket() as s, contextlib.suppress(OSError):
            s.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no free port")


def clock_is_adrift():
    timex = (ctypes.c_int * 100)()
    ctypes.CDLL(None).adjtimex(timex)
    return timex[10] & 0x40 != 0  # status, STA_UNSYNC


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can build the sandbox")
def test_K2_in_the_sandbox_of_the_unit_file():
    """What contrib/mtad.service takes away is nothing the daemon needs: a low port, TLS, signatures, log-in, reload, stop."""
    uid = 64018
    with World(settings=ALL_RECORDS, listen="auth-in-clear = yes") as w:
        w.port = low_port()
        block, name, record = dkim_key(w.dir, "x.test")
        w.blocks = block + user_block(w, "shop")
        w.sim(A_TEST)
        for path in (w.dir, *w.dir.rglob("*")):
            os.chown(path, uid, uid)
        w.start(wrapper=["env", "ASAN_OPTIONS=detect_leaks=0", sys.executable, str(pathlib.Path(__file__).parent / "sandbox.py"),
                         str(uid), str(w.dir)])
        status = open(f"/proc/{w.daemon.pid}/status").read()
        for line in ("NoNewPrivs:\t1", "Seccomp:\t2", f"Uid:\t{uid}\t{uid}\t{uid}\t{uid}", "CapEff:\t0000000000000400",
                     "CapBnd:\t0000000000000400"):
            assert f"{line}\n" in status, line
        with w.client() as c:
            c.login("shop", "pw")
            c.sendmail("s@x.test", ["r@a.test"], b"From: <s@x.test>\r\n\r\nhello\r\n")
        wait_for("the mail", lambda: len(w.arrived()) == 1)
        assert w.arrived()[0]["tls"].startswith("TLS")
        assert dkim_ok(w.mails()[0], {name: record})
        w.ctl("reload")
        w.ctl("rotate")
        w.send("s@x.test", ["again@a.test"])
        wait_for("the second mail", lambda: len(w.arrived()) == 2)
        assert w.ctl("audit", "--json")["summary"]["balanced"] and " error " not in w.log_text()
        assert (" warn clock_adrift " in w.log_text()) == clock_is_adrift(), "it may ask"
        w.stop()
