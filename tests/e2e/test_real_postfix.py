# SPDX-License-Identifier: Apache-2.0
"""A real Postfix as the receiving site, with its own folder and port: mail goes through a route, in clear and by STARTTLS."""
import os
import pathlib
import shutil
import subprocess

import pytest

from tools import certificate
from world import World, free_port, wait_for

MAIN = """
compatibility_level = 3.6
queue_directory = {dir}/queue
data_directory = {dir}/data
maillog_file = {dir}/maillog
maillog_file_prefixes = {dir}
mail_owner = postfix
setgid_group = postdrop
inet_interfaces = 127.0.0.1
myhostname = receiver.test
mydestination =
relay_domains = anywhere.test
relay_transport = discard:
default_transport = discard:
smtpd_relay_restrictions = permit_auth_destination, reject
smtpd_recipient_restrictions = check_recipient_access inline:{{no@anywhere.test=REJECT}}, permit_auth_destination
smtpd_tls_security_level = may
smtpd_tls_cert_file = {cert}
smtpd_tls_key_file = {key}
alias_maps =
"""
MASTER = """
127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
discard unix - - n - - discard
error unix - - n - - error
postlog unix-dgram n - n - 1 postlogd
anvil unix - - n - 1 anvil
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
flush unix n - n 1000? 0 flush
showq unix n - n - - showq
scache unix - - n - 1 scache
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start Postfix")
@pytest.mark.parametrize("tls", ["none", "encrypt"])
def test_mail_goes_to_a_real_postfix(tls):
    port = free_port()
    with World(blocks=f'route all {{ domains = {{ "*" }} hosts = {{ "127.0.0.1:{port}" }} tls = {tls} }}\n') as w:
        base = pathlib.Path(w.dir)
        base.chmod(0o755)
        cert, key = certificate(w.dir)
        etc = base / "postfix"
        (etc / "queue").mkdir(parents=True)
        (etc / "data").mkdir()
        shutil.chown(etc / "data", "postfix")
        (etc / "main.cf").write_text(MAIN.format(dir=etc, cert=cert, key=key))
        (etc / "master.cf").write_text(MASTER.format(port=port))
        started = subprocess.run(["/usr/sbin/postfix", "-c", str(etc), "start"], capture_output=True, text=True)
        log = etc / "maillog"
        try:
            assert started.returncode == 0, started.stderr + (log.read_text() if log.exists() else "")
            w.start()
            for n in range(10):
                w.send("s@x.test", [f"r{n}@anywhere.test"], body="x" * 60 + "\r\n.dot\r\n")
            w.send("", ["no@anywhere.test"])
            for n in range(10):
                row = w.wait_row(type="d", rcpt=f"r{n}@anywhere.test")
                assert "queued as" in row["dsnDiag"]
            w.wait_row(type="b", rcpt="no@anywhere.test")
            wait_for("Postfix to have ten", lambda: log.read_text().count("status=sent") == 10)
        finally:
            subprocess.run(["/usr/sbin/postfix", "-c", str(etc), "stop"], capture_output=True)
