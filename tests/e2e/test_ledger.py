# SPDX-License-Identifier: Apache-2.0
"""F1: the three ledgers under kill -9; the long run is tests/crash/ledger --kills 200."""
import pathlib
import subprocess


def test_F1_three_ledgers_agree_after_kills():
    ledger = pathlib.Path(__file__).resolve().parents[1] / "crash" / "ledger"
    done = subprocess.run([str(ledger), "--kills", "10", "--messages", "6000"], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
