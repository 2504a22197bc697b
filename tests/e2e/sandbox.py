#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs a program as contrib/mtad.service has systemd run it, without systemd: the account, its one capability, the system
read-only but for one folder, devices, /proc, the filter of system calls and address families. For root.

    sandbox.py UID FOLDER PROGRAM [ARGUMENT...]
"""
import ctypes
import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys

UNIT = pathlib.Path(__file__).resolve().parents[2] / "contrib" / "mtad.service"
NUMBERS = "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"
CLONE_NEWNS, AT_FDCWD, AT_RECURSIVE, MOUNT_ATTR_RDONLY, MOUNT_SETATTR = 0x20000, -100, 0x8000, 1, 442
EPERM, EAFNOSUPPORT = 1, 97
FAMILIES = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10}
libc = ctypes.CDLL(None, use_errno=True)

# As the account: no way back, no memory that is written and executed, the filter, the program.
SECOND = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
class Filter(ctypes.Structure):
    _fields_ = [("count", ctypes.c_ushort), ("code", ctypes.c_char_p)]
code = open(sys.argv[1], "rb").read()
os.umask(0o077)
libc.prctl(65, 1, 0, 0, 0)
if libc.prctl(22, 2, ctypes.byref(Filter(len(code) // 8, code)), 0, 0) != 0:
    sys.exit("no filter: " + os.strerror(ctypes.get_errno()))
os.execv(sys.argv[2], sys.argv[2:])
"""


def settings(name):
    return re.findall(rf"(?m)^{name}=(.*)$", UNIT.read_text())


def calls_of(name, groups):
    return set().union(*(calls_of(n, groups) for n in groups[name])) if name.startswith("@") else {name}


def allowed_calls():
    groups, now = {}, None
    for line in subprocess.run(["systemd-analyze", "syscall-filter"], check=True, capture_output=True, text=True).stdout.splitlines():
        word = line.strip()
        if line.startswith("@"):
            now = groups.setdefault(word, [])
        elif word and not word.startswith("#") and now is not None:
            now.append(word)
    allowed = set()
    for text in settings("SystemCallFilter"):
        names = set().union(*(calls_of(n, groups) for n in text.lstrip("~").split()))
        allowed = allowed - names if text.startswith("~") else allowed | names
    return allowed


def program_of_filter():
    """Classic BPF over struct seccomp_data: number at 0, architecture at 4, first argument at 16."""
    def load(at):
        return struct.pack("=HBBI", 0x20, 0, 0, at)

    def unless(value):
        return struct.pack("=HBBI", 0x15, 0, 1, value)  # else skips one

    def answer(value):
        return struct.pack("=HBBI", 0x06, 0, 0, value)
    allow, refuse = 0x7FFF0000, 0x00050000
    numbers = {m[1]: int(m[2]) for m in re.finditer(r"#define __NR_(\w+) (\d+)", open(NUMBERS).read())}
    families = [FAMILIES[f] for f in settings("RestrictAddressFamilies")[0].split()]
    allowed = sorted(numbers[name] for name in allowed_calls() & set(numbers))
    sockets = load(16) + b"".join(unless(f) + answer(allow) for f in families) + answer(refuse | EAFNOSUPPORT)
    code = load(4) + struct.pack("=HBBI", 0x15, 1, 0, 0xC000003E) + answer(0) + load(0)
    code += struct.pack("=HBBI", 0x15, 0, len(sockets) // 8, numbers["socket"]) + sockets
    return code + b"".join(unless(n) + answer(allow) for n in allowed) + answer(refuse | EPERM)


def read_only(path, on, flags=0):
    attributes = struct.pack("=QQQQ", MOUNT_ATTR_RDONLY if on else 0, 0 if on else MOUNT_ATTR_RDONLY, 0, 0)
    if libc.syscall(MOUNT_SETATTR, AT_FDCWD, str(path).encode(), flags, attributes, len(attributes)) != 0:
        raise OSError(ctypes.get_errno(), f"mount_setattr {path}")


def mount(*arguments):
    subprocess.run(["mount", *arguments], check=True)


def private_devices():
    mount("-t", "tmpfs", "-o", "mode=755", "none", "/mnt")
    for name in ("null", "zero", "full", "random", "urandom"):
        pathlib.Path("/mnt", name).touch()
        mount("--bind", f"/dev/{name}", f"/mnt/{name}")
    mount("--move", "/mnt", "/dev")


def main():
    uid, folder, command = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3:]
    # A checkout may lie where no other account looks.
    shutil.copy(command[0], folder / "program")
    command[0] = str(folder / "program")
    (folder / "filter").write_bytes(program_of_filter())
    if libc.unshare(CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    mount("--make-rprivate", "/")
    private_devices()
    mount("-t", "proc", "-o", "hidepid=invisible,subset=pid", "none", "/proc")
    mount("--bind", str(folder), str(folder))
    read_only("/", True, AT_RECURSIVE)
    read_only(folder, False)
    capability = "-all,+" + settings("CapabilityBoundingSet")[0].removeprefix("CAP_").lower()
    os.chdir("/")
    os.execvp("setpriv", ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", f"--inh-caps={capability}",
                          f"--ambient-caps={capability}", f"--bounding-set={capability}", "--no-new-privs", sys.executable,
                          "-c", SECOND, str(folder / "filter"), *command])


if __name__ == "__main__":
    main()
