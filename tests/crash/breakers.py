# SPDX-License-Identifier: Apache-2.0
"""What goes wrong around a kill: a table of breakers. Each does its harm to a World and says how it ends.

A breaker is a function of (scene); it returns the function that ends it, or None when it is over at once."""
import signal


def reload_storm(scene):
    """Twenty SIGHUPs, faster than one reload."""
    for _ in range(20):
        scene.signal(signal.SIGHUP)


def rotate(scene):
    for _ in range(3):
        scene.signal(signal.SIGUSR1)


def clock_ahead(scene):
    """A year; the clock is right again after the next start."""
    scene.set_clock(days=365)
    return lambda: scene.set_clock(days=0)


def clock_back(scene):
    scene.set_clock(days=-1)
    return lambda: scene.set_clock(days=0)


def resolver_dies(scene):
    scene.resolver.send_signal(signal.SIGSTOP)
    return lambda: scene.resolver.send_signal(signal.SIGCONT)


def disk_fails(scene):
    """Each sync is EIO: the store is shut and opened again."""
    return scene.break_disk("failing")


def disk_hangs(scene):
    return scene.break_disk("hanging")


def disk_full(scene):
    """Each write of the spool or the accounting file is ENOSPC."""
    return scene.break_disk("full")


def delete(scene):
    """An operator removes what waits for one domain."""
    scene.ctl("delete", "--domain", scene.some_domain(), "--yes")


def bounce(scene):
    scene.ctl("bounce", "--domain", scene.some_domain(), "--yes")


def hold(scene):
    scene.ctl("hold", "--domain", scene.some_domain(), "--yes")
    return lambda: (scene.wait_recovered(), scene.ctl("release", "--all", "--yes"))


def retry(scene):
    scene.ctl("retry", "--all", "--yes")


def pause(scene):
    scene.ctl("pause", "domain", scene.some_domain(), "--for", "2s")


BREAKERS = {f.__name__.replace("_", "-"): f for f in (reload_storm, rotate, clock_ahead, clock_back, resolver_dies, disk_fails,
                                                      disk_hangs, disk_full, delete, bounce, hold, retry, pause)}
