#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The run of contrib/tryout: mtasim, mtad, a load, a live table, and at the end the books.

What the table shows comes from three places that know nothing of each other: the ledger of the load source (what
was acknowledged), the accounting file of the daemon (what became of it), and the simulator's ledger (what arrived).
"""
import argparse
import collections
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

SOURCE = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(SOURCE / "tests" / "e2e"))
from world import free_port, program, wait_for  # noqa: E402

# Where the mail goes, in the order of the table. The sites are those of tests/sim/providers.sim.
SITES = [
    ("gmail.test", "big, likes TLS, some mailboxes full or gone"),
    ("yahoo.test", "closes after 20 messages"),
    ("outlook.test", "at most 10 connections, sometimes busy"),
    ("icloud.test", "5 messages a connection"),
    ("orange.test", "2 connections"),
    ("gmx.test", "no enhanced codes"),
    ("greylist.test", "new senders wait 10 s"),
    ("fullbox.test", "most mailboxes are full"),
    ("oldlist.test", "a third of the users is unknown"),
    ("deadmx.test", "its only host is down"),
    ("halfdead.test", "two of three hosts are down"),
    ("badtls.test", "STARTTLS breaks"),
    ("expired.test", "certificate ran out"),
    ("museum.test", "HELO only, no TLS"),
    ("tarpit.test", "each reply takes 0.2 s"),
    ("flaky.test", "connections break anywhere"),
    ("nomail.test", "says that it takes no mail"),
    ("nowhere.test", "does not exist"),
    ("shaky.test", "DNS is ill for 20 s"),
]
SENDER_DOMAIN = "client.test"
RATE = 250          # messages a second from the load source, so that there is something to watch
EXPIRE_S = 30       # what cannot be delivered is given up after that
DEADLINE_S = 110    # a run that takes longer has failed
TERMINAL = ("delivered", "bounced", "expired", "dropped")

CONFIG = """\
# The configuration of one try-out. It sends to loopback only.
hostname = mta.{sender}
spool-dir = "{dir}/spool"
control-socket = "{dir}/control"
accounting-file = "{dir}/acct.csv"
accounting-json = "{dir}/acct.jsonl"
accounting-records = {{ d, b, t, r }}
dns-servers = {{ "127.0.0.1:{dns_port}" }}
dns-retry = 3s
tls-ca-file = "{dir}/ca/ca.pem"
log-level = info

listen submission {{ address = {{ "127.0.0.1:{port}" }} }}
dkim {sender} {{ selector = try  key = "{dir}/dkim.pem" }}
domain "*" {{
    port = {site_port}
    allow-private = yes
    connect-timeout = 3s
    retry = {{ 3s, 4s, 5s, 8s }}
    uncertain-retry = 5s
    expire = {expire}s
}}
"""


def fail(text):
    print(f"tryout: {text}", file=sys.stderr)
    sys.exit(1)


class Tail:
    """The whole lines of a growing file, each once."""

    def __init__(self, path):
        self.path, self.file, self.rest = path, None, ""

    def lines(self):
        if self.file is None:
            if not self.path.exists():
                return []
            self.file = open(self.path, errors="replace")
        *whole, self.rest = (self.rest + self.file.read()).split("\n")
        return whole


class Site:
    def __init__(self):
        self.accepted = 0
        self.waiting = set()                   # (message, number): deferred and not yet ended
        self.counts = collections.Counter()
        self.attempts = 0
        self.reasons = collections.defaultdict(collections.Counter)  # by kind of event
        self.seen = 0                          # terminal events at the last look, for the rate
        self.rate = 0.0

    @property
    def ended(self):
        return sum(self.counts[kind] for kind in TERMINAL)

    @property
    def failed(self):
        return self.ended - self.counts["delivered"]

    def why(self):
        """What happened most, in a few words; what was given up is told by what it had waited for."""
        def top(kind):
            return self.reasons[kind].most_common(1)[0][0] if self.reasons[kind] else ""
        if self.counts["expired"] > self.counts["bounced"]:
            return f"given up after {EXPIRE_S} s: {top('deferred') or top('expired')}"
        return top("bounced") or top("deferred")


def cut(text, width):
    """Whole words of a text, and "..." for the rest."""
    return text if len(text) <= width else (text[:width - 3].rpartition(" ")[0] + " ...").strip()


def short_reason(event):
    """A reply in a few words: code, enhanced code, the beginning without addresses and links."""
    text = event.get("reply", "")
    text = re.sub(r"<?[^\s<>]+@[^\s<>]+>?:?|https?://\S+", "", text)
    text = re.sub(r"^\d{3}[ -]?(\d\.\d+\.\d+)?\s*", "", text)
    text = re.sub(r"\s+", " ", text).strip(" -:;,")
    words = " ".join(x for x in (str(event["code"]) if event.get("code") else "", event.get("status", ""), text) if x)
    return cut(words, 60)


class Books:
    """What the accounting file and the load source's ledger have said so far."""

    def __init__(self, folder):
        self.events, self.acked = Tail(folder / "acct.jsonl"), Tail(folder / "acked.tsv")
        self.sites = {name: Site() for name, _ in SITES}
        self.sites[SENDER_DOMAIN] = Site()
        self.terminal = collections.Counter()  # (message, number) -> terminal records; each must be 1
        self.acked_rcpts = collections.Counter()
        self.ended_rcpts = collections.Counter()

    def site(self, rcpt):
        return self.sites.setdefault(rcpt.rpartition("@")[2], Site())

    def update(self):
        for line in self.acked.lines():
            fields = line.split("\t")
            if fields[1] == "acked":
                self.acked_rcpts[fields[3]] += 1
        for line in self.events.lines():
            self.note(json.loads(line))

    def note(self, event):
        kind, site = event["event"], self.site(event["rcpt"])
        key = (event["message"], event["recipient_number"])
        if kind == "received":
            site.accepted += 1
            return
        site.counts[kind] += 1
        if kind == "deferred":
            site.waiting.add(key)
            site.attempts += 1
        elif kind in TERMINAL:
            site.waiting.discard(key)
            site.attempts += kind in ("delivered", "bounced")
            self.terminal[key] += 1
            self.ended_rcpts[event["rcpt"]] += 1
        if kind != "delivered":
            site.reasons[kind][short_reason(event)] += 1

    def total(self, what):
        return sum(what(s) for s in self.sites.values())

    def problems(self):
        """What does not balance, in words."""
        twice = sum(1 for n in self.terminal.values() if n != 1)
        lost = sum((self.acked_rcpts - self.ended_rcpts).values())
        if twice:
            yield f"{twice} recipients have more than one final record"
        if lost:
            yield f"{lost} acknowledged recipients have no final record"


class Screen:
    """One table in place on a terminal; a line every two seconds elsewhere."""

    def __init__(self, plain):
        size = shutil.get_terminal_size((100, 24))
        self.width = size.columns
        self.live = not plain and sys.stdout.isatty() and os.environ.get("TERM") != "dumb" and \
            size.lines >= len(SITES) + 3 and size.columns >= 75
        self.colour = not plain and sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        self.height, self.last = 0, 0.0

    def paint(self, code, text):
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour else text

    def cell(self, code, value, width=10):
        text = f"{value:>{width}}"
        return self.paint(code, text) if value not in (0, "0", "") else self.paint("2", text)

    def show(self, books, seconds, now=False):
        wait = 0.5 if self.live else 2.0
        if seconds - self.last < (0.1 if now else wait):
            return
        elapsed, self.last = max(seconds - self.last, 0.1), seconds
        for site in books.sites.values():
            site.rate = 0.6 * site.rate + 0.4 * (site.counts["delivered"] - site.seen) / elapsed
            site.seen = site.counts["delivered"]
        accepted, delivered = books.total(lambda s: s.accepted), books.total(lambda s: s.counts["delivered"])
        failed, waiting = books.total(lambda s: s.failed), books.total(lambda s: len(s.waiting))
        if not self.live:
            print(f"{seconds:5.0f} s  accepted {accepted}  delivered {delivered}  deferred {waiting}  "
                  f"bounced {failed}  queued {accepted - delivered - failed}", flush=True)
            return
        lines = [self.paint("1", f"{'site':<16}{'queued':>8}{'delivered':>10}{'deferred':>10}{'bounced':>10}{'rate/s':>8}")]
        for name, what in SITES:
            s = books.sites[name]
            lines.append(f"{name:<16}" + self.cell("0", s.accepted - s.ended, 8) + self.cell("32", s.counts["delivered"]) +
                         self.cell("33", len(s.waiting)) + self.cell("31", s.failed) + self.cell("0", f"{s.rate:.0f}", 8) +
                         self.paint("2", "  " + cut(what, self.width - 65)))
        lines.append(self.paint("1", f"{'all':<16}{accepted - delivered - failed:>8}{delivered:>10}{waiting:>10}{failed:>10}"
                                     f"{books.total(lambda s: s.rate):>8.0f}  {seconds:.0f} s"))
        up = f"\x1b[{self.height}A" if self.height else ""
        sys.stdout.write(up + "".join(f"\x1b[2K{line}\n" for line in lines))
        sys.stdout.flush()
        self.height = len(lines)


class Tryout:
    def __init__(self, options):
        self.options = options
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="mtad-tryout-"))
        self.children = []
        self.port = free_port()
        self.books = Books(self.dir)
        self.screen = Screen(options.ci)

    def start(self, name, *arguments, **more):
        # A session of its own: Ctrl-C is for us alone, we end the children in order.
        log = open(self.dir / f"{name}.log", "ab")
        child = subprocess.Popen([program(name), *map(str, arguments)], stderr=log, start_new_session=True,
                                 **{"stdout": log, **more})
        self.children.append(child)
        return child

    def start_simulator(self):
        key, sites = self.dir / "dkim.pem", self.dir / "sites.sim"
        subprocess.run(["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", str(key)],
                       check=True, capture_output=True)
        key.chmod(0o600)
        public = subprocess.run(["openssl", "pkey", "-in", str(key), "-pubout"], check=True, capture_output=True,
                                text=True).stdout
        record = "".join(line for line in public.splitlines() if not line.startswith("-"))
        sites.write_text(f'record "try._domainkey.{SENDER_DOMAIN}" {{ txt = "v=DKIM1; k=rsa; p={record}" }}\n'
                         f'include("{SOURCE}/tests/sim/providers.sim")\n')
        dns_port, site_port = free_port(), free_port()
        child = self.start("mtasim", "--dns", f"127.0.0.1:{dns_port}", "--port", site_port, "--ledger",
                           self.dir / "arrived.tsv", "--stats", self.dir / "stats.json", "--ca", self.dir / "ca", sites,
                           stdout=subprocess.PIPE)
        if child.stdout.readline().strip() != b"ready":
            fail("mtasim does not start:\n" + self.log("mtasim"))
        return dns_port, site_port

    def start_daemon(self, dns_port, site_port):
        config = self.dir / "mtad.conf"
        config.write_text(CONFIG.format(sender=SENDER_DOMAIN, dir=self.dir, dns_port=dns_port, site_port=site_port,
                                        port=self.port, expire=EXPIRE_S))
        self.daemon = self.start("mtad", "-f", "-c", config)
        try:
            wait_for("mtad", lambda: self.daemon.poll() is not None or self.ctl("status").returncode == 0, 15)
        except AssertionError:
            fail("mtad does not answer:\n" + self.log("mtad"))
        if self.daemon.poll() is not None:
            fail("mtad does not start:\n" + self.log("mtad"))

    def start_load(self, messages, rate, ledger):
        return self.start("mtasim-load", "--to", f"127.0.0.1:{self.port}", "--messages", messages, "--rate", rate,
                          "--domains", ",".join(name for name, _ in SITES), "--size", 4096, "--from",
                          f"news@{SENDER_DOMAIN}", "--job", "tryout", "--ledger", ledger, "--quiet")

    def log(self, name):
        path = self.dir / f"{name}.log"
        return path.read_text(errors="replace")[-2000:] if path.exists() else ""

    def ctl(self, *arguments):
        return subprocess.run([program("mtactl"), "--socket", str(self.dir / "control"), *arguments],
                              capture_output=True, text=True, timeout=30)

    def watch(self):
        """Until everything acknowledged has ended, bounce mails included."""
        begun = time.monotonic()
        load = self.start_load(self.options.messages, RATE, self.dir / "acked.tsv")
        quiet = 0
        while quiet < 5:
            time.sleep(0.2)
            seconds = time.monotonic() - begun
            self.books.update()
            self.screen.show(self.books, seconds)
            if self.daemon.poll() is not None:
                fail(f"mtad ended with {self.daemon.returncode}:\n" + self.log("mtad"))
            if load.poll() not in (None, 0):
                fail("mtasim-load failed:\n" + self.log("mtasim-load"))
            if seconds > DEADLINE_S:
                print(f"tryout: not done after {DEADLINE_S} s", file=sys.stderr)
                break
            done = load.poll() == 0 and self.books.total(lambda s: s.accepted - s.ended) == 0
            quiet = quiet + 1 if done else 0
        self.screen.show(self.books, time.monotonic() - begun, now=True)
        return time.monotonic() - begun

    def table(self):
        print("\n" + self.screen.paint("1", f"{'site':<16}{'accepted':>9}{'delivered':>10}{'deferrals':>10}{'bounced':>9}"
                                            f"{'attempts':>9}  why"))
        wide = self.screen.width if sys.stdout.isatty() else 140
        narrow = wide < 110
        for name, what in SITES + [(SENDER_DOMAIN, "bounce mails to the sender")]:
            s = self.books.sites[name]
            if s.accepted == 0:
                continue
            line = (f"{name:<16}{s.accepted:>9}" + self.screen.cell("32", s.counts["delivered"]) +
                    self.screen.cell("33", s.counts["deferred"]) + self.screen.cell("31", s.failed, 9) + f"{s.attempts:>9}")
            why = s.why() or (what if not narrow else "")
            if why:
                line += ("\n    " if narrow else "  ") + self.screen.paint("2", cut(why, wide - (5 if narrow else 66)))
            print(line)

    def arrivals(self):
        """Recipients of the load that the simulator has, by its own ledger: (all, different)."""
        rcpts = [line.split("\t")[3] for line in (self.dir / "arrived.tsv").read_text().splitlines()]
        mine = [rcpt for rcpt in rcpts if not rcpt.endswith("@" + SENDER_DOMAIN)]
        return len(mine), len(set(mine))

    def verdict(self, seconds):
        """Prints the books; true when they balance."""
        audit = self.ctl("audit")
        arrived, different = self.arrivals()
        problems = list(self.books.problems())
        if audit.returncode != 0:
            problems.append("mtactl audit says no")
        print(f"\n{self.screen.paint('1', 'mtactl audit')}\n" + (audit.stdout + audit.stderr).strip())
        submitted = sum(self.books.acked_rcpts.values())
        twice = f" ({arrived - different} twice: the connection broke after the final dot)" if arrived > different else ""
        print(f"\n{submitted} messages acknowledged to the application, {different} arrived by the simulator's own ledger"
              f"{twice}, {seconds:.0f} s")
        if problems:
            print(self.screen.paint("31", "The books do not balance: " + "; ".join(problems)))
        else:
            print(self.screen.paint("32", "The books balance: each acknowledged recipient has exactly one final record."))
        return not problems

    def stay(self):
        ctl = f"{os.path.relpath(program('mtactl'))} --socket {self.dir}/control"
        self.start_load(1000000, 5, self.dir / "trickle.tsv")
        print(f"""
Everything goes on, with 5 messages a second. In another terminal:

    {ctl} status
    {ctl} queue
    {ctl} list --domain deadmx.test
    {ctl} pause domain gmail.test --for 1m --reason "trying it out"
    {ctl} audit

Configuration, log and accounting are in {self.dir}
Ctrl-C ends it and removes that folder.""", flush=True)
        while self.daemon.poll() is None:
            time.sleep(0.5)
        fail(f"mtad ended with {self.daemon.returncode}:\n" + self.log("mtad"))

    def run(self):
        print(f"{self.options.messages} messages to {len(SITES)} simulated providers; nothing leaves this machine.\n")
        self.start_daemon(*self.start_simulator())
        seconds = self.watch()
        self.table()
        good = self.verdict(seconds)
        if self.options.keep:
            self.stay()
        if not self.options.ci:
            print("""
Next
    contrib/tryout --keep       the same, and the daemon stays: look around with mtactl
    README                      ten lines of configuration for real mail
    conf/mtad.conf              every setting, explained""")
        return 0 if good else 1

    def close(self):
        for child in reversed(self.children):
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)
                try:
                    child.wait(8)
                except subprocess.TimeoutExpired:
                    child.kill()
                    child.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(prog="contrib/tryout")
    parser.add_argument("--messages", type=int)
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--ci", action="store_true")
    options = parser.parse_args()
    if options.messages is None:
        options.messages = 800 if options.ci else 4000
    if options.messages < 1:
        parser.error("--messages wants a positive number")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda got, _: sys.exit(128 + got))
    tryout = Tryout(options)
    try:
        return tryout.run()
    except KeyboardInterrupt:
        print("\ntryout: stopped, cleaning up")
        return 0 if options.keep else 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    finally:
        # Neither a second Ctrl-C nor a terminal that goes away must leave processes behind.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        tryout.close()


sys.exit(main())
