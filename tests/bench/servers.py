# SPDX-License-Identifier: Apache-2.0
"""The servers that are measured: each is started in a folder of its own for one scenario, and stopped again."""
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from world import program, wait_for  # noqa: E402

CONNECTIONS = 20  # to one destination at once

MTAD_CONF = """\
hostname = mta.test
spool-dir = "{folder}/spool"
control-socket = "{folder}/control"
accounting-file = "{folder}/acct.csv"
dns-servers = {{ "127.0.0.1:{dns_port}" }}
log-level = warn
{settings}
listen submission {{ address = {{ "127.0.0.1:{port}" }} }}
{dkim}
domain "*" {{ port = {site_port}  allow-private = yes  connections = {connections}  tls = {tls}
    messages-per-connection = 0  {delivery} }}
"""

# What an administrator of a dedicated bulk relay would set; durability as shipped (it syncs before 250).
POSTFIX_MAIN = """\
compatibility_level = 3.6
queue_directory = {folder}/spool
data_directory = {folder}/data
meta_directory = {folder}/conf
mail_owner = postfix
setgid_group = postdrop
shlib_directory = /usr/lib/postfix
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
maillog_file = {folder}/mail.log
maillog_file_prefixes = {folder}
myhostname = mta.test
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
local_recipient_maps =
relay_domains =
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_recipient_restrictions =
smtpd_peername_lookup = no
smtpd_client_connection_count_limit = 0
smtpd_tls_security_level = none
smtp_tls_security_level = {tls}
smtp_tls_session_cache_database = btree:{folder}/data/smtp_scache
smtp_tls_connection_reuse = yes
smtp_host_lookup = dns
default_process_limit = 150
qmgr_message_active_limit = 100000
qmgr_message_recipient_limit = 100000
default_destination_concurrency_limit = {connections}
initial_destination_concurrency = {connections}
in_flow_delay = 0
{milter}
"""
POSTFIX_MASTER = """\
{port} inet n - n - - smtpd
postlog unix-dgram n - n - 1 postlogd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
tlsproxy unix - - n - 0 tlsproxy
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
"""
OPENDKIM_CONF = """\
Mode s
Domain client.test
Selector s1
KeyFile {key}
Canonicalization relaxed/relaxed
SignatureAlgorithm {algorithm}
InternalHosts 127.0.0.0/8
Socket inet:{port}@127.0.0.1
PidFile {folder}/opendkim.pid
UserID opendkim
Syslog no
RequireSafeKeys no
"""
MILTER_PORT = 2700


def greets(port):
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as s:
            return s.recv(3) == b"220"
    except OSError:
        return False


def end(child, seconds=30):
    if child is None or child.poll() is not None:
        return
    child.send_signal(signal.SIGTERM)
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def start_simulator(folder, net, sites, *options):
    """mtasim with these sites; its ledger and counts are arrived.tsv and stats.json in the folder."""
    (folder / "sites.sim").write_text(sites)
    simulator = subprocess.Popen(
        [program("mtasim"), "--dns", f"127.0.0.1:{net['dns_port']}", "--port", str(net["site_port"]), "--ledger",
         str(folder / "arrived.tsv"), "--stats", str(folder / "stats.json"), *map(str, options), str(folder / "sites.sim")],
        stdout=subprocess.PIPE, stderr=open(folder / "mtasim.log", "wb"))
    if simulator.stdout.readline().strip() != b"ready":
        raise RuntimeError("mtasim does not start: " + (folder / "mtasim.log").read_text())
    return simulator


def start_load(folder, net, *arguments):
    """mtasim-load against the server; what it prints at the end is one JSON object."""
    return subprocess.Popen([program("mtasim-load"), "--to", f"127.0.0.1:{net['port']}", "--quiet", *map(str, arguments)],
                            stdout=subprocess.PIPE, stderr=open(folder / "load.log", "ab"), text=True)


def new_key(folder, algorithm):
    path = folder / "dkim.pem"
    kind = ["RSA", "-pkeyopt", "rsa_keygen_bits:2048"] if algorithm == "rsa" else ["ed25519"]
    subprocess.run(["openssl", "genpkey", "-algorithm", *kind, "-out", str(path)], check=True, capture_output=True)
    path.chmod(0o600)
    return path


class Mtad:
    """settings: top level; delivery: inside domain "*"; wrapper: what the command begins with."""
    name = "mtad"

    def __init__(self, folder, net, tls="none", dkim=None, settings="", delivery="", wrapper=()):
        self.folder, self.net, self.wrapper = folder, net, wrapper
        block = f'dkim client.test {{ selector = s1  key = "{new_key(folder, dkim)}" }}' if dkim else ""
        (folder / "mtad.conf").write_text(MTAD_CONF.format(folder=folder, connections=CONNECTIONS, tls=tls, dkim=block,
                                                           settings=settings, delivery=delivery, **net))
        self.start()

    def start(self):
        self.child = subprocess.Popen([*self.wrapper, program("mtad"), "-f", "-c", str(self.folder / "mtad.conf")],
                                      stderr=open(self.folder / "server.log", "ab"))
        self.pids = [self.child.pid]
        wait_for("mtad's greeting", lambda: greets(self.net["port"]), 60)

    def ctl(self, *arguments):
        return subprocess.run([program("mtactl"), "--socket", str(self.folder / "control"), *arguments], check=True,
                              capture_output=True, text=True).stdout

    def stop(self):
        end(self.child, 120)


class Postfix:
    """main, master: lines after those of the bulk relay; transports: {domain: transport}."""
    name = "postfix"

    def __init__(self, folder, net, tls="none", dkim=None, main="", master="", transports=None):
        self.conf, self.milter = folder / "conf", None
        owner = pwd.getpwnam("postfix")
        folder.chmod(0o755)
        for name in ("conf", "spool", "data"):
            (folder / name).mkdir()
        os.chown(folder / "data", owner.pw_uid, owner.pw_gid)
        shutil.copy("/etc/postfix/postfix-files", self.conf)
        milter = f"smtpd_milters = inet:127.0.0.1:{MILTER_PORT}" if dkim else ""
        if transports:
            (self.conf / "transport").write_text("".join(f"{domain} {name}:\n" for domain, name in transports.items()))
            main += f"transport_maps = texthash:{self.conf}/transport\n"
        (self.conf / "main.cf").write_text(
            POSTFIX_MAIN.format(folder=folder, tls=tls, connections=CONNECTIONS, milter=milter) + main)
        (self.conf / "master.cf").write_text(POSTFIX_MASTER.format(port=net["port"]) + master)
        if dkim:
            self.start_milter(folder, dkim)
        with open(folder / "server.log", "wb") as log:
            subprocess.run(["postfix", "-c", str(self.conf), "start"], check=True, stdout=log, stderr=log)
        pid_file = folder / "spool" / "pid" / "master.pid"
        wait_for("Postfix", lambda: pid_file.exists() and pid_file.read_text().strip())
        self.pids = [int(pid_file.read_text())] + ([self.milter.pid] if self.milter else [])
        wait_for("Postfix's greeting", lambda: greets(net["port"]))

    def start_milter(self, folder, algorithm):
        """OpenDKIM, as Debian ships it; it needs keys as PKCS #1."""
        key, owner = new_key(folder, algorithm), pwd.getpwnam("opendkim")
        if algorithm == "rsa":
            subprocess.run(["openssl", "rsa", "-traditional", "-in", str(key), "-out", str(key)], check=True, capture_output=True)
        os.chown(key, owner.pw_uid, owner.pw_gid)
        kind = "rsa-sha256" if algorithm == "rsa" else "ed25519-sha256"
        (folder / "opendkim.conf").write_text(OPENDKIM_CONF.format(folder=folder, key=key, algorithm=kind, port=MILTER_PORT))
        self.milter = subprocess.Popen(["opendkim", "-f", "-x", str(folder / "opendkim.conf")], stderr=open(folder / "milter.log", "wb"))
        wait_for("opendkim", lambda: self.listens(MILTER_PORT))

    def listens(self, port):
        if self.milter.poll() is not None:
            raise RuntimeError("opendkim ended")
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", port)) == 0

    def stop(self):
        subprocess.run(["postfix", "-c", str(self.conf), "stop"], capture_output=True)
        end(self.milter)
