# SPDX-License-Identifier: Apache-2.0
"""What the daemon does when the machine is short of something: time of its disk, descriptors, memory."""
import contextlib
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time

import pytest
from clock import Clock
from namespaces import network
from tools import MAIL, Talk, cpu_seconds, dsns, gives, implicit_tls, lean, running, sanitizer
from world import World, program, wait_for

ACCEPTING = 'site a { domains = { "*.test" } }'


def load(w, messages, sessions=20):
    subprocess.run([program("mtasim-load"), "--to", f"127.0.0.1:{w.port}", "--domains", "a.test,b.test,c.test",
                    "--sessions", str(sessions), "--messages", str(messages), "--size", "500", "--quiet"], check=True,
                   stdout=subprocess.DEVNULL)


def test_a_hanging_disk_bounds_what_a_crash_would_repeat():
    """Deliveries the spool cannot record must stop soon, or a crash would send all of them again."""
    with running(ACCEPTING, disk=True) as w:
        w.ctl("pause", "all")
        load(w, 6000)
        w.disk.becomes("hanging")
        w.ctl("resume", "all")
        time.sleep(3)
        first = len(w.arrived())
        time.sleep(3)
        assert len(w.arrived()) == first, "deliveries go on although nothing is recorded"
        assert 0 < first < 4000, f"{first} of 6000 delivered and none of them recorded"
        w.disk.becomes("well")
        wait_for("all deliveries", lambda: len(w.arrived()) == 6000, 60)
        wait_for("books in balance", lambda: w.ctl("audit", check=False).returncode == 0)


def test_I1_clients_leave_descriptors_to_deliveries():
    with World(settings="connections-total = 40\n", listen="    connections-per-client = 1000") as w:
        w.sim(ACCEPTING)
        w.start(wrapper=["prlimit", "--nofile=356:356"])  # 256 of its own, 40 for deliveries, 60 for clients
        with Talk(w.port) as early:
            early.hello()
            clients, refused = [], 0
            for _ in range(200):
                t = Talk(w.port, greeting=False)
                if t.reply().startswith("421 4.3.2"):
                    refused += 1
                    t.close()
                else:
                    clients.append(t)
            assert refused > 100 and 50 <= len(clients) <= 60
            for n in range(30):
                early.envelope(rcpts=[f"r{n}@{'abc'[n % 3]}.test"])
                early.data("From: <s@x.test>\r\n\r\nhello\r\n.\r\n".encode())
            wait_for("deliveries", lambda: len(w.arrived()) == 30)
            assert w.ctl("audit", "--json")["summary"]["balanced"]
            for t in clients:
                t.close()

            def admitted():
                with Talk(w.port, greeting=False) as again:
                    return again.reply().startswith("220")
            wait_for("room", admitted)
        assert " accept_failed " not in w.log_text()


def test_I1_a_low_limit_is_told_and_shared():
    with World() as w:
        w.sim(ACCEPTING)
        w.start(wrapper=["prlimit", "--nofile=456:456"])
        w.send("s@x.test", ["r@a.test"])
        wait_for("the delivery", lambda: len(w.arrived()) == 1)
        assert " warn descriptors_few deliveries=150 clients=50 connections-total=2000" in w.log_text()


def test_I2_memory_max_refuses_early_and_lets_go():
    with running(ACCEPTING, settings="memory-max = 16MB", listen="message-max = 4MB") as w:
        clients, refused = [], 0
        for n in range(10):  # each sends 3 MB and keeps the end for itself
            t = Talk(w.port)
            t.hello()
            t.envelope(rcpts=[f"r{n}@a.test"])
            t.say("DATA", "354")
            clients.append(t)
        for t in clients:
            t.raw(b"From: <s@x.test>\r\n\r\n" + (b"x" * 70 + b"\r\n") * 43000)
        wait_for("most of it", lambda: w.ctl("status", "--json")["summary"]["memory_bytes"] > 12 << 20)
        for t in clients:
            reply = t.say(b".\r\n")
            assert reply.startswith(("250 ", "452 4.3.1 ")), reply
            refused += reply.startswith("452")
        assert 1 <= refused <= 8 and " memory_full " in w.log_text()
        wait_for("what was accepted", lambda: len(w.arrived()) == 10 - refused)
        wait_for("memory given back", lambda: w.ctl("status", "--json")["summary"]["memory_bytes"] < 1 << 20)
        for t in clients:
            t.envelope(rcpts=["again@a.test"])
            t.data(b"From: <s@x.test>\r\n\r\nhello\r\n.\r\n")
            t.close()
        wait_for("the rest", lambda: len(w.arrived()) == 20 - refused)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has network namespaces")
def test_I4_ephemeral_ports_used_up():
    """Six ports for everybody: what finds none waits and is no failed attempt at the site."""
    with network({"ipv4/ip_local_port_range": "40000 40005"}), running(
            'site a { domains = { "*.test" } rule { on = dot delay = 300ms do = accept } }',
            blocks='source one { address = { "127.0.0.1" } }\n') as w:
        with w.client() as c:
            for n in range(12):
                c.sendmail("s@x.test", [f"r{n}@d{n}.test"], b"From: <s@x.test>\r\n\r\nhello\r\n")
            held = []
            with contextlib.suppress(OSError):
                while len(held) < 10:
                    held.append(socket.create_connection(("127.3.1.1", w.site_port)))
            c.sendmail("s@x.test", ["late@a.test"], b"From: <s@x.test>\r\n\r\nhello\r\n")
            wait_for("the lack", lambda: " source_hindered source=one " in w.log_text())
            for s in held:
                s.close()
        wait_for("all of them", lambda: len({a["rcpt"] for a in w.arrived()}) == 13, 40)
        assert not [r for r in w.rows() if r["type"] == "b"] and " source_down " not in w.log_text()
        assert w.ctl("audit", "--json")["summary"]["balanced"]


def test_I5_a_thousand_dead_sites_hold_up_nobody():
    script = ACCEPTING + '\nsite dead { domain-pattern = "dead%03d.example"  domains-count = 1000  addresses = 100  spread = yes\n' + (
        "".join(f"host {{ number = {n} fault = hang }}\n" for n in range(1, 101)) + "}")
    with running(script, settings="connections-total = 50", delivery="connect-timeout = 1s  retry = { 1h }") as w:
        for n in range(10):
            w.send("s@x.test", [f"r@dead{n}{k:02}.example" for k in range(100)])
        wait_for("all sessions at work", lambda: w.ctl("status", "--json")["summary"]["sessions"]["delivering"] >= 40)
        for n in range(3):
            w.send("s@x.test", [f"r{n}@a.test"])
            wait_for("live mail", lambda: len(w.arrived()) == n + 1)
        assert sum(r["type"] == "t" for r in w.rows()) < 900, "it waited for them"
        assert w.ctl("status", "--json")["summary"]["recipients"] >= 900


def test_I6_a_long_queue_for_one_site_costs_nothing_while_it_waits():
    """10,000 recipients behind one connection that hangs, 5,000 that wait for their time, 5,000 behind a pause."""
    script = '''site slow { domains = { "slow.test" } rule { on = mail do = stall } }
        site later { domains = { "later.test" } rule { on = connect reply = "421 4.3.2 busy" } }'''
    with running(script, delivery="retry = { 1h }",
                 blocks='domain "slow.test" { connections = 1 }\n') as w:
        w.ctl("pause", "domain", "paused.test")
        with w.client() as c:
            for domain, messages in (("slow.test", 10), ("later.test", 5), ("paused.test", 5)):
                for n in range(messages):
                    c.sendmail("s@x.test", [f"r{n}.{k}@{domain}" for k in range(1000)], b"From: <s@x.test>\r\n\r\nhello\r\n")
        wait_for("sites that were asked", lambda: w.ctl("status", "--json")["summary"]["leased"] > 0)
        time.sleep(1)
        before, used = cpu_seconds(w), []
        for _ in range(4):
            time.sleep(0.5)
            used.append(cpu_seconds(w) - before)
            before = cpu_seconds(w)
        assert min(used) < 0.03, used
        assert w.ctl("status", "--json")["summary"]["recipients"] == 20000


def test_I7_domains_and_sites_that_are_done_are_forgotten():
    """And those that are not cost a bounded amount."""
    script = '''site many { domain-pattern = "d%04d.test"  domains-count = 1000  addresses = 20  tls = none  dns { ttl = 1m } }'''
    with World(settings="dns-cache-max = 500\n", delivery="idle = 0s") as w:
        clock = Clock(w)
        w.sim(script)
        w.start(wrapper=clock.wrapper)
        w.ctl("pause", "all")
        with w.client() as c:
            for n in range(10):
                c.sendmail("s@x.test", [f"r@d{n:02}{k:02}.test" for k in range(100)], b"From: <s@x.test>\r\n\r\nhello\r\n")
        full = w.ctl("status", "--json")["summary"]
        assert full["domains"] == 1000 and full["schedule_bytes"] / 1000 < 1500
        w.ctl("resume", "all")
        wait_for("all of it", lambda: len(w.arrived()) == 1000)

        def forgotten():
            clock.ahead(seconds=30)  # what is less than a minute is no jump
            s = w.ctl("status", "--json")["summary"]
            return s["domains"] == s["sites"] == 0 and s["schedule_bytes"] < full["schedule_bytes"] / 4
        wait_for("nothing left of them", forgotten)


def test_I8_a_tenth_of_a_processor():
    """Stopped for 90 ms of each 100: late, but no session is given up for it and nothing is sent twice."""
    with running(ACCEPTING, delivery="connect-timeout = 2s\ngreeting-timeout = 2s\ncommand-timeout = 2s\ndot-timeout = 2s") as w:
        starved = threading.Event()

        def starve():
            while not starved.is_set():
                w.daemon.send_signal(signal.SIGSTOP)
                time.sleep(0.09)
                w.daemon.send_signal(signal.SIGCONT)
                time.sleep(0.01)
        thread = threading.Thread(target=starve)
        thread.start()
        try:
            for n in range(10):
                w.send("s@x.test", [f"r{n}.{k}@d{k}.test" for k in range(10)])
            wait_for("all of it", lambda: len(w.arrived()) >= 100, 60)
        finally:
            starved.set()
            thread.join()
        assert len(w.arrived()) == 100
        wait_for("the records", lambda: sum(r["type"] == "d" for r in w.rows()) == 100)
        assert not [r for r in w.rows() if r["type"] == "t"] and " session_failed " not in w.log_text()


def test_I9_signing_that_is_slower_than_intake_holds_the_clients_back():
    """Two signatures of 4096 bits on one thread: bodies pile up to what is in the clients' hands, and no more."""
    def before(w):
        key = w.dir / "big.pem"
        subprocess.run(["openssl", "genrsa", "-out", str(key), "4096"], check=True, capture_output=True)
        key.chmod(0o600)
        w.blocks += "".join(f'dkim x.test {{ selector = s{n}  key = "{key}" }}\n' for n in (1, 2))
    with running(ACCEPTING, before=before, settings="sign-threads = 1\n") as w:
        w.ctl("pause", "all")  # what is signed stays until its first attempt, or it could not be told from what waits
        load = subprocess.Popen([program("mtasim-load"), "--to", f"127.0.0.1:{w.port}", "--domains", "a.test", "--from", "s@x.test",
                                 "--sessions", "20", "--messages", "300", "--size", "50000", "--quiet"], stdout=subprocess.DEVNULL)
        samples = []
        while load.poll() is None:
            summary = w.ctl("status", "--json")["summary"]
            samples.append((summary["memory_bytes"], summary["messages"]))
            time.sleep(0.05)
        summary = w.ctl("status", "--json")["summary"]
        assert load.returncode == 0 and summary["messages"] == 300
        one = summary["memory_bytes"] / 300
        unsigned = [memory / one - messages for memory, messages in samples]
        assert 2 < max(unsigned) < 25, unsigned
        w.ctl("resume", "all")
        wait_for("all of it", lambda: len(w.arrived()) == 300, 60)
        assert all(m.count(b"DKIM-Signature: ") == 2 for m in w.mails()[:20])


@pytest.mark.parametrize("habit", ["silent", "garbage", "half a ClientHello", "opened and closed"])
def test_I11_flood_of_handshakes(habit):
    """They count as connections of their client from the first byte, so who floods shuts out nobody but himself."""
    def before(w):
        implicit_tls(w)
        w.blocks = w.blocks.replace("tls = implicit", "tls = implicit  connections-per-client = 20")
    with running(before=before) as w:
        wait_for("nobody is connected", lambda: submitting(w) == 0)  # who looked for the port at the start counts, too
        flood = [socket.create_connection(("127.0.0.1", w.tls_port), timeout=20) for _ in range(150)]
        for s in flood:
            with contextlib.suppress(ConnectionError):
                if habit == "garbage":
                    s.sendall(os.urandom(100))
                elif habit == "half a ClientHello":
                    s.sendall(bytes.fromhex("1603010200010001fc0303"))
                elif habit == "opened and closed":
                    s.close()
        begun = time.monotonic()
        with contextlib.closing(Talk.__new__(Talk)) as t:
            t.socket, t.buffer = socket.create_connection(("127.0.0.1", w.tls_port), 20, ("127.0.0.2", 0)), b""
            t.wrap()
            t.expect("220")
            t.hello()
            t.envelope()
            t.data(MAIL)
            if habit in ("silent", "half a ClientHello"):
                wait_for("twenty of them and us", lambda: submitting(w) == 21)
        assert time.monotonic() - begun < 15
        gives(w)
        for s in flood:
            s.close()
        wait_for("the end of the flood", lambda: submitting(w) == 0)


def submitting(w):
    return w.ctl("status", "--json")["summary"]["sessions"]["submitting"]


def test_I12_a_storm_of_bounces():
    """One report for a transaction with 100 recipients, none for the null sender, none for a report."""
    script = '''site dead { domains = { "*.dead.test" } rule { on = rcpt reply = "550 5.1.1 who" } }
        site home { domains = { "x.test" } }
        site gone { domains = { "gone.test" } rule { on = rcpt reply = "550 5.1.1 nor she" } }'''
    # What sends so much to nobody would be stopped.
    with running(script, blocks='guard "*" { bounce-slow = 100% bounce-stop = 100% }\n') as w:
        with w.client() as c:
            for sender in ("s@x.test", "", "s@gone.test"):
                for n in range(5):
                    c.sendmail(sender, [f"r{n}.{k}@d{k % 3}.dead.test" for k in range(300)],
                               b"From: <s@x.test>\r\n\r\nhello\r\n")
        wait_for("all failures", lambda: sum(r["type"] == "b" and "dead" in r["rcpt"] for r in w.rows()) == 3 * 5 * 300, 40)
        wait_for("an empty queue", lambda: w.ctl("status", "--json")["summary"]["recipients"] == 0)
        reports = dsns(w)
        assert 15 <= len(reports) <= 25  # sites take 100 recipients at a time
        told = re.findall(rb"(?mi)^Final-Recipient: *rfc822; *(\S+)", b"".join(reports).replace(b"\r", b""))
        assert len(told) == len(set(told)) == 1500
        assert 15 <= sum(r["type"] == "b" and r["rcpt"] == "s@gone.test" for r in w.rows()) <= 25
        assert not [a for a in w.arrived() if a["from"] != "-"] and w.ctl("audit", "--json")["summary"]["balanced"]


DEEP = 200_000


@pytest.mark.parametrize("name", ["comment in From", "groups in To", "MIME parts", "control request", "configuration", "aliases"])
def test_I13_deep_nesting(name):
    """Nothing recurses as deep as a stranger says: all goes on with a stack of 256 KB (ThreadSanitizer needs more for itself)."""
    script = '''site a { domains = { "a.test" } }
        site loop { domains = { "loop.test" } dns { records = cname  cname-length = 30 } }'''
    with World() as w:
        w.sim(script)
        w.start(wrapper=["prlimit", f"--stack={1 << 20 if sanitizer() == 't' else 1 << 18}"])
        with Talk(w.port) as t:
            t.hello()
            if name == "configuration":
                bad = w.dir / "deep.conf"
                bad.write_text("domain x { " * DEEP)
                done = subprocess.run([program("mtad"), "-t", "-c", str(bad)], capture_output=True, text=True, timeout=20)
                assert done.returncode == 1 and f"{bad}:1:" in done.stderr
            elif name == "control request":
                with socket.socket(socket.AF_UNIX) as s:
                    s.connect(str(w.dir / "control"))
                    s.settimeout(20)
                    with contextlib.suppress(ConnectionError):
                        s.sendall(b'{"command": ' + b"[" * DEEP)
                        s.shutdown(socket.SHUT_WR)
                        while s.recv(65536):
                            pass
            elif name == "aliases":
                t.envelope(rcpts=["r@loop.test"])
                t.data(MAIL)
            else:
                fold = "\r\n "
                text = {"comment in From": "From: " + fold.join(["(" * 900] * (DEEP // 1000)) + " <s@x.test>\r\n\r\n",
                        "groups in To": "From: <s@x.test>\r\nTo: " + fold.join(["a:" * 450] * (DEEP // 1000)) + ";\r\n\r\n",
                        "MIME parts": "From: <s@x.test>\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" +
                                      "--b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" * (DEEP // 50)}[name]
                t.envelope()
                assert t.data((text + "\r\n.\r\n").encode(), "[25]")
            t.say("RSET", "250")
            t.envelope(rcpts=["last@a.test"])
            t.data(MAIL)
        gives(w, "last@a.test")


@pytest.mark.skipif(os.geteuid() != 0, reason="root's own threads are not limited, and only root can be another account")
def test_I14_too_few_threads():
    """With each number of threads it starts, or says that it cannot."""
    outcomes = set()
    for limit in range(1, 14):
        with World() as w:
            w.dir.chmod(0o777)
            w.sim(ACCEPTING)
            (w.dir / "ca").chmod(0o755)
            config = w.write_config()
            copy = shutil.copy(program("mtad"), w.dir)  # a build may lie where no other account looks
            w.daemon = subprocess.Popen(
                ["setpriv", "--reuid=64017", "--regid=64017", "--clear-groups", "prlimit", f"--nproc={limit}:{limit}",
                 copy, "-f", "-c", str(config)], stdout=open(w.dir / "mtad.log", "ab"), stderr=subprocess.STDOUT)
            wait_for("an end or a greeting", lambda: w.daemon.poll() is not None or " started " in w.log_text())
            if w.daemon.poll() is None:
                w.send("s@x.test", ["r@a.test"])
                gives(w)
                w.stop()
                outcomes.add("runs")
            else:
                assert w.daemon.returncode == 1 and "mtad: cannot start: " in w.log_text(), w.log_text()
                outcomes.add("says so")
    assert outcomes == {"runs", "says so"}


@contextlib.contextmanager
def memory_group():
    """A control group for memory, of the one or the other version: its folder, and the file of its limit."""
    old, new = pathlib.Path("/sys/fs/cgroup/memory"), pathlib.Path("/sys/fs/cgroup")
    group = (old if old.is_dir() else new) / f"mtad-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as e:
        pytest.skip(f"no control groups: {e}")
    try:
        limits = [f for f in (group / "memory.limit_in_bytes", group / "memory.max") if f.exists()]
        if not limits:
            pytest.skip("no control group for memory")
        yield group, limits[0]
    finally:
        group.rmdir()


def pages_read(w):
    """From the disk, because the daemon touched them."""
    return int(open(f"/proc/{w.daemon.pid}/stat").read().rsplit(")", 1)[1].split()[9])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may limit a control group")
def test_I16_pages_of_the_spool_are_evicted():
    """A spool of 120 MB and a few MB of memory for its pages: what is read of it comes from the disk, page by page. The threads
    go on answering, and none is so slow that the watchdog tells."""
    if sanitizer() == "t":
        pytest.skip("ThreadSanitizer keeps several bytes for each, of pages too")
    with memory_group() as (group, limit):
        inside = ["sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "sh", *lean()]
        with running(ACCEPTING, wrapper=inside, delivery="connections = 4") as w:
            own = int(re.search(r"RssAnon:\s+(\d+)", pathlib.Path(f"/proc/{w.daemon.pid}/status").read_text())[1]) << 10
            w.ctl("pause", "domain", "a.test")
            for n in range(120):
                w.send("s@x.test", [f"r{n}@a.test"], body=("x" * 70 + "\r\n") * 14000)
            w.kill()
            limit.write_text(str(own + (56 << 20)))
            w.start(wrapper=inside)
            wait_for("the queue", lambda: w.ctl("status", "--json")["summary"]["recipients"] == 120)
            w.ctl("resume", "domain", "a.test")
            slowest = 0
            while len(w.arrived()) < 120:
                asked = time.monotonic()
                w.ctl("status")
                slowest = max(slowest, time.monotonic() - asked)
                assert slowest < 20
            w.send("s@x.test", ["last@a.test"])
            wait_for("a message of now", lambda: len(w.arrived()) == 121)
            assert pages_read(w) > 20000
            assert " watchdog " not in w.log_text()
            wait_for("books in balance", lambda: w.ctl("audit", check=False).returncode == 0)
            w.stop()


def test_I3_no_memory_for_what_comes_in():
    """Sessions and messages fail, the daemon does not, and nothing it said 250 to is lost. Every allocation in turn is for
    tests/crash; this is the machine that has no more."""
    if sanitizer() == "t":
        pytest.skip("ThreadSanitizer ends a program that has no memory")
    with World(delivery="retry = { 1s }") as w:
        w.sim(ACCEPTING)
        if sanitizer() == "a":  # its allocator takes all addresses at once, so a limit of those says nothing
            w.start(wrapper=lean("allocator_may_return_null=1:soft_rss_limit_mb=260"))
        else:
            w.start()
            size = int(re.search(r"VmSize:\s+(\d+)", open(f"/proc/{w.daemon.pid}/status").read())[1]) << 10
            resource.prlimit(w.daemon.pid, resource.RLIMIT_AS, (size + (40 << 20),) * 2)
        # Of the many that follow it may take none.
        submit = [program("mtasim-load"), "--to", f"127.0.0.1:{w.port}", "--domains", "a.test,b.test", "--quiet", "--ledger"]
        subprocess.run([*submit, str(w.dir / "few.tsv"), "--messages", "20"], check=True, stdout=subprocess.DEVNULL)
        load = subprocess.Popen([*submit, str(w.dir / "many.tsv"), "--id-prefix", "many", "--sessions", "60", "--messages", "100000",
                                 "--size", "2000000"], stdout=subprocess.DEVNULL)
        try:
            wait_for("refusals", lambda: len(re.findall("code=45[12]", w.log_text())) > 50)
            time.sleep(0.5)
        finally:
            load.terminate()
            load.wait(20)
        assert w.daemon.poll() is None
        w.kill()
        w.start()
        sent = [line.split("\t") for name in ("few.tsv", "many.tsv") for line in (w.dir / name).read_text().splitlines()]
        acked = {(s[2], s[3]) for s in sent if s[1] == "acked"}
        assert len(acked) >= 20
        # What could not be loaded then waits a minute.
        wait_for("all of it", lambda: acked <= {(a["id"], a["rcpt"]) for a in w.arrived()}, 100)
        wait_for("books in balance", lambda: w.ctl("audit", check=False).returncode == 0)


def test_A55_a_burst_of_connections():
    """More at once than the backlog holds, each reset before it is served: who comes next is served."""
    with running() as w:
        burst = []
        for n in range(3000):
            s = socket.socket()
            s.setblocking(False)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            with contextlib.suppress(BlockingIOError):
                s.connect(("127.0.0.1", w.port))
            burst.append(s)
        for s in burst:
            s.close()
        w.send("s@x.test", ["r@a.test"])
        gives(w)
        wait_for("the end of the burst", lambda: submitting(w) == 0)


def test_I10_a_pipe_for_accounting_is_refused():
    """Its reader could stop the daemon by not reading."""
    def before(w):
        os.mkfifo(w.dir / "acct.csv")
    with pytest.raises(AssertionError, match="accounting: not a regular file: .*acct.csv"), running(before=before):
        pass
