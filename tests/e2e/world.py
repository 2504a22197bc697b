# SPDX-License-Identifier: Apache-2.0
"""A world for one end-to-end test: a folder, free ports, mtasim as Internet, the real mtad, and its books.

    with World() as w:
        w.sim('site a { domains = { "a.test" } }')
        w.start()
        w.send("s@x.test", ["r@a.test"])
        w.wait_events(lambda rows: any(r["type"] == "d" for r in rows))

Everything is on loopback. A failing test keeps its folder and says where it is.
"""
import csv
import json
import os
import pathlib
import random
import shutil
import signal
import smtplib
import socket
import subprocess
import tempfile
import time

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("MTAD_BUILD", SOURCE / "build" / "release"))


given_ports = set()


def is_free(port):
    """At the address of servers, and at the first of simulated sites."""
    with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as site:
        try:
            tcp.bind(("127.0.0.1", port))
            udp.bind(("127.0.0.1", port))
            site.bind(("127.3.1.1", port))
        except OSError:
            return False
    return True


def free_port():
    """A TCP and UDP port nobody has just now. Below those the kernel gives to outgoing connections, none twice, and
    of each process of a test run others: or somebody has it by the time it is bound."""
    share = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 8
    for _ in range(1000):
        port = random.randrange(10000 + share, 32000, 8)
        if port not in given_ports and is_free(port):
            given_ports.add(port)
            return port
    raise RuntimeError("no free port")


def wait_for(what, condition, seconds=20.0):
    """The first true value of condition(), or an assertion that names what was waited for (a function, where that is known
    at the end only). What condition() takes does not count: where that is long, what is waited for takes longer too."""
    for _ in range(int(seconds / 0.05) + 1):
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"waited {seconds:.0f} s for {what() if callable(what) else what}")


def program(name):
    for path in (BUILD / name, BUILD / "tests" / name):
        if path.exists():
            return str(path)
    raise FileNotFoundError(f"{name} is not built in {BUILD}: cmake --build --preset release, or set MTAD_BUILD")


def whole_lines(path):
    """Of a file that grows: the last line may be half written."""
    if not path.exists():
        return []
    with open(path, newline="") as f:
        return [line.rstrip("\r\n") for line in f if line.endswith("\n")]


class World:
    def __init__(self, settings="", delivery="", listen="", blocks=""):
        """settings: top level; delivery: inside domain "*"; listen: inside the listener; blocks: further blocks."""
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="mtad-e2e-"))
        self.port, self.dns_port, self.site_port = free_port(), free_port(), free_port()
        self.settings, self.delivery, self.listen, self.blocks = settings, delivery, listen, blocks
        self.dns_servers = f'"127.0.0.1:{self.dns_port}"'
        self.ca_file = self.dir / "ca" / "ca.pem"
        self.daemon = self.simulator = None
        self.logs = []
        self.failed = False

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.failed = self.failed or kind is not None
        self.close()

    def close(self):
        for process in (self.daemon, self.simulator):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()
        if self.failed:
            print(f"kept: {self.dir}")
            for name in ("mtad.log", "mtasim.log"):
                path = self.dir / name
                if path.exists():
                    print(f"--- {name}\n" + "\n".join(path.read_text(errors="replace").splitlines()[-40:]))
        else:
            shutil.rmtree(self.dir, ignore_errors=True)

    # --- the Internet -----------------------------------------------------------------------------------------

    def sim(self, script, *options):
        """Starts mtasim with this script (text, or the path of a .sim file)."""
        path = self.dir / "sites.sim"
        if isinstance(script, pathlib.Path):
            path = script
        else:
            path.write_text(script)
        log = open(self.dir / "mtasim.log", "ab")
        self.simulator = subprocess.Popen(
            [program("mtasim"), "--dns", f"127.0.0.1:{self.dns_port}", "--port", str(self.site_port), "--ledger",
             str(self.dir / "arrived.tsv"), "--returned", str(self.dir / "returned.tsv"), "--stats",
             str(self.dir / "stats.json"), "--mbox", str(self.dir / "mbox"), "--ca", str(self.dir / "ca"), *options, str(path)],
            stdout=subprocess.PIPE, stderr=log)
        line = self.simulator.stdout.readline()
        assert line.strip() == b"ready", f"mtasim did not start: {line!r} {(self.dir / 'mtasim.log').read_text()}"

    def arrived(self):
        """The simulator's ledger: a list of dicts."""
        names = ("time", "site", "from", "rcpt", "id", "bytes", "body_bytes", "crc", "connection", "message", "tls",
                 "client", "outcome")
        return [dict(zip(names, line.split("\t"))) for line in whole_lines(self.dir / "arrived.tsv")]

    def returned(self):
        """What the simulator sent back and is done with: a list of dicts."""
        names = ("time", "site", "kind", "rcpt", "id", "to", "tries", "outcome", "answer")
        return [dict(zip(names, line.split("\t"))) for line in whole_lines(self.dir / "returned.tsv")]

    def stats(self):
        """The simulator's counts, half a second old at most."""
        return json.loads((self.dir / "stats.json").read_text())

    def mails(self):
        """Whole messages as they arrived, as bytes."""
        return [p.read_bytes() for p in sorted((self.dir / "mbox").glob("*.eml"))]

    # --- the daemon -------------------------------------------------------------------------------------------

    def write_config(self):
        (self.dir / "mtad.conf").write_text(f"""
hostname = mta.sender.test{"" if "sandbox" in self.settings else "  sandbox = off"}
spool-dir = "{self.dir}/spool"
control-socket = "{self.dir}/control"
accounting-file = "{self.dir}/acct.csv"
accounting-json = "{self.dir}/acct.jsonl"
dns-servers = {{ {self.dns_servers} }}
tls-ca-file = "{self.ca_file}"
log-level = debug
{"" if "io-threads" in self.settings else "io-threads = 2"}
{self.settings}
listen submission {{
    address = {{ "127.0.0.1:{self.port}" }}
{self.listen}
}}
domain "*" {{
    port = {self.site_port}
{"" if "allow-private" in self.delivery else "    allow-private = yes"}
{"" if "retry = {" in self.delivery else "    retry = { 1s, 2s }"}
{self.delivery}
}}
{"" if "suppression " in self.blocks else "suppression * { hard-bounces = no  soft-bounces = 0 }"}
{self.blocks}
""")
        return self.dir / "mtad.conf"

    def start(self, wrapper=()):
        if not (self.dir / "ca").exists():
            (self.dir / "ca").mkdir()
        if not (self.dir / "ca" / "ca.pem").exists():
            shutil.copy("/etc/ssl/certs/ca-certificates.crt", self.dir / "ca" / "ca.pem")
        config = self.write_config()
        self.log = open(self.dir / "mtad.log", "ab")
        self.daemon = subprocess.Popen([*wrapper, program("mtad"), "-f", "-c", str(config)], stdout=self.log,
                                       stderr=self.log)
        wait_for("the daemon's greeting", self.greets)

    def greets(self):
        if self.daemon.poll() is not None:
            raise AssertionError("mtad ended at start: " + (self.dir / "mtad.log").read_text()[-2000:])
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as s:
                return s.recv(4).startswith(b"220")
        except OSError:
            return False

    def kill(self):
        self.daemon.send_signal(signal.SIGKILL)
        self.daemon.wait()

    def stop(self, seconds=40):
        self.daemon.send_signal(signal.SIGTERM)
        assert self.daemon.wait(timeout=seconds) == 0, "mtad's exit code"

    def log_text(self):
        return (self.dir / "mtad.log").read_text(errors="replace")

    def ctl(self, *arguments, check=True, data=None):
        """mtactl; its output. With --json the decoded value."""
        done = subprocess.run([program("mtactl"), "--socket", str(self.dir / "control"), *arguments],
                              capture_output=True, text=True, timeout=60, input=data)
        if check:
            assert done.returncode == 0, f"mtactl {arguments}: {done.returncode} {done.stdout} {done.stderr}"
        if "--json" in arguments and done.returncode == 0:
            return json.loads(done.stdout)
        return done.stdout if check else done

    # --- mail -------------------------------------------------------------------------------------------------

    def client(self, **options):
        return smtplib.SMTP("127.0.0.1", self.port, local_hostname="client.test", timeout=20, **options)

    def send(self, sender, rcpts, body="hello\r\n", headers="", ledger_id=None, mail_options=(), rcpt_options=()):
        text = f"From: <{sender or 'postmaster@sender.test'}>\r\nTo: <{rcpts[0]}>\r\nSubject: test\r\n{headers}"
        if ledger_id:
            text += f"X-Ledger-Id: {ledger_id}\r\n"
        with self.client() as c:
            return c.sendmail(sender, rcpts, (text + "\r\n" + body).encode(), mail_options, rcpt_options)

    def rows(self):
        """The accounting file so far."""
        return list(csv.DictReader(whole_lines(self.dir / "acct.csv")))

    def events(self):
        return [json.loads(line) for line in whole_lines(self.dir / "acct.jsonl")]

    def wait_row(self, seconds=20, **wanted):
        """The first accounting record whose fields hold these texts; type= must be equal."""
        def find():
            for row in self.rows():
                if all(row[k] == v if k == "type" else v in row[k] for k, v in wanted.items()):
                    return row
            return None
        return wait_for(lambda: f"a record {wanted}; have {[(r['type'], r['rcpt'], r['dsnDiag']) for r in self.rows()][:20]}",
                        find, seconds)
