# SPDX-License-Identifier: Apache-2.0
"""The machine under a benchmark: a network namespace, a journaled file system, and what processes have used."""
import contextlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from world import free_port  # noqa: E402

INSIDE = "MTAD_BENCH_NAMESPACE"


def is_inside():
    return os.environ.get(INSIDE) == "yes"


def enter_namespace():
    """Runs this script again where ports 25 and 53 are free, the resolver is the simulator, and the source ports are
    many; its exit code."""
    with tempfile.NamedTemporaryFile("w", prefix="mtad-resolv-", delete=False) as f:
        f.write("nameserver 127.0.0.1\n")
    inner = ('ip link set lo up && mount --bind "$0" /etc/resolv.conf && echo 1024 65535 >/proc/sys/net/ipv4/ip_local_port_range '
             '&& exec "$@"')
    child = subprocess.Popen(["unshare", "--net", "--mount", "sh", "-c", inner, f.name, sys.executable, *sys.argv],
                             env={**os.environ, INSIDE: "yes"})
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    try:
        return child.wait()
    finally:
        os.unlink(f.name)


def ports():
    """Of the simulator's DNS and sites, and of the server."""
    if is_inside():
        return {"dns_port": 53, "site_port": 25, "port": 2600}
    return {"dns_port": free_port(), "site_port": free_port(), "port": free_port()}


@contextlib.contextmanager
def journaled(below, megabytes=3000):
    """A folder on an ext4 with a journal in an image of its own (root only), and its block device's name.

    Many virtual machines have a root without a journal and with online discard: there a server with a file for each
    message is slower than on any real disk, and no sync pays for a journal. The image is written, not only allocated,
    so that no extent is converted while something is measured."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="mtad-bench-", dir=below))
    folder.chmod(0o755)  # Postfix's own users go through it
    image, mount, device = folder / "disk.img", folder / "disk", None
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ended like by ^C, servers and disk put away
    mount.mkdir()
    try:
        subprocess.run(["dd", "if=/dev/zero", f"of={image}", "bs=1M", f"count={megabytes}", "conv=fsync", "status=none"], check=True)
        subprocess.run(["mkfs.ext4", "-q", "-F", "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0", image], check=True)
        device = subprocess.run(["losetup", "--find", "--show", "--direct-io=on", image], check=True, capture_output=True,
                                text=True).stdout.strip()
        subprocess.run(["mount", "-o", "noatime,nodiscard", device, mount], check=True)
        mount.chmod(0o755)
        yield mount, pathlib.Path(device).name
    finally:
        if device:
            subprocess.run(["umount", mount], capture_output=True)
            subprocess.run(["losetup", "-d", device], capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)


def written_to(device):
    """Bytes the block device has been given, journal and metadata included; 0 without one."""
    if not device:
        return 0
    os.sync()
    return 512 * int(pathlib.Path(f"/sys/block/{device}/stat").read_text().split()[6])


def family(pids):
    """The processes and their living descendants."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError, IndexError):
                parents[int(entry)] = int(pathlib.Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[1])
    found, fresh = set(pids), set(pids)
    while fresh:
        fresh = {child for child, parent in parents.items() if parent in fresh} - found
        found |= fresh
    return found


def cpu_seconds(pids):
    """Of these processes, their descendants, and those that have ended and been waited for."""
    ticks = 0
    for one in family(pids):
        with contextlib.suppress(OSError):
            ticks += sum(map(int, pathlib.Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def thread_seconds(pid, name):
    """CPU of this process's threads whose names begin so."""
    total = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        if (task / "comm").read_text().startswith(name):
            total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def memory_mb(pids):
    """Proportional set size: shared pages count once over all that share them."""
    total = 0
    for one in family(pids):
        with contextlib.suppress(OSError):
            rollup = pathlib.Path(f"/proc/{one}/smaps_rollup").read_text()
            total += int(re.search(r"^Pss:\s+(\d+)", rollup, re.M)[1])
    return total / 1024


def own_memory_mb(pid):
    """What belongs to the process alone, without the pages of the spool that happen to be mapped."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"^RssAnon:\s+(\d+)", status, re.M)[1]) / 1024


class Profile:
    """Where the CPU of one process goes, by sampling, as text; does nothing without a file."""

    def __init__(self, pid, text_file):
        self.text_file, self.data, self.child = text_file, None, None
        if text_file:
            self.data = tempfile.mktemp(prefix="mtad-profile-")
            self.child = subprocess.Popen(["perf", "record", "-q", "-F", "997", "-p", str(pid), "-o", self.data],
                                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def close(self, title):
        if not self.child:
            return
        self.child.terminate()
        self.child.wait()
        with open(self.text_file, "a") as out:
            out.write(f"{title}\n\n")
            for sort, least in (("comm", "0.5"), ("dso", "1"), ("dso,symbol", "0.7")):
                done = subprocess.run(["perf", "report", "-i", self.data, "--stdio", "-q", "--no-children", "--percent-limit", least,
                                       "--sort", sort], capture_output=True, text=True)
                out.write("\n".join(line.rstrip() for line in done.stdout.splitlines() if line.strip()) + "\n\n")
        os.unlink(self.data)


def rsa_ms():
    """CPU of one raw RSA-2048 signature on this machine, now."""
    done = subprocess.run(["openssl", "speed", "-seconds", "2", "rsa2048"], capture_output=True, text=True, check=True)
    return 1000 * float(re.search(r"rsa 2048 bits ([0-9.]+)s", done.stdout)[1])
