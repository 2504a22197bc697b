# SPDX-License-Identifier: Apache-2.0
"""F1: the three ledgers under kill -9; the long run is tests/crash/ledger --kills 200 --break all."""
import pathlib
import subprocess

import pytest

LEDGER = pathlib.Path(__file__).resolve().parents[1] / "crash" / "ledger"


@pytest.mark.parametrize("options", [["--kills", "10"], ["--kills", "10", "--break", "all"]], ids=["kills", "kills and what breaks"])
def test_F1_three_ledgers_agree(options):
    done = subprocess.run([str(LEDGER), "--messages", "5000", *options], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
