# SPDX-License-Identifier: Apache-2.0
"""Namespaces of the kernel, for tests that change what the machine looks like. Only root has them."""
import contextlib
import ctypes
import os
import subprocess

CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def network(settings=None):
    """This thread and what it starts are in a network of their own: loopback and nothing else. settings: of the kernel,
    {"ipv4/ip_local_port_range": "40000 40003"}."""
    home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    if libc.unshare(CLONE_NEWNET) != 0:
        os.close(home)
        raise OSError(ctypes.get_errno(), "unshare")
    try:
        for name, value in (settings or {}).items():
            with open(f"/proc/sys/net/{name}", "w") as f:
                f.write(value)
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        yield
    finally:
        if libc.setns(home, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")
        os.close(home)
