# SPDX-License-Identifier: Apache-2.0
"""mtactl warmup plan: what a curve means, before anything is sent."""
import json
import subprocess
import xml.etree.ElementTree

import pytest
from tools import program


def plan(*words, before=(), **env):
    return subprocess.run([program("mtactl"), *before, "warmup", "plan", *words], capture_output=True, text=True,
                          env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "COLUMNS": "100", **env})


def test_table_and_chart():
    said = plan("--volume", "3000", "--start", "2026-11-30")
    assert (said.returncode, said.stderr) == (0, "")
    lines = said.stdout.splitlines()
    assert lines[0].split() == ["DAY", "DATE", "STAGE", "CAP", "EXPECTED", "OVERFLOW"]
    assert lines[1].split() == ["1", "2026-11-30", "1/29", "200", "200", "2,800"]
    assert lines[5].split() == ["5", "2026-12-04", "5/29", "5,000", "3,000", "0"]
    assert lines[7] == ("stays at stage 5 of 29: 3,000 a day are below 90 % of its cap of 5,000, and nothing is held back")
    assert "█" in said.stdout and "\033" not in said.stdout
    assert plan("--volume", "3000", "--start", "2026-11-30", "--plain").stdout.isascii()
    assert plan("--volume", "3000", "--start", "2026-11-30", LC_ALL="C").stdout.isascii()


def test_providers_go_their_own_way():
    said = plan("--volumes", "10,20,40", "--volume", "100", "--providers", "a=40%,b=12.5%", "--json")
    answer = json.loads(said.stdout)
    rows = [{p["provider"]: (p["stage"], p["cap"], p["expected"], p["overflow"], p["warm"]) for p in row["providers"]} for row in answer["rows"]]
    assert rows == [{"a": (1, 10, 10, 30, False), "b": (1, 10, 10, 2, False), "other": (1, 10, 10, 38, False)},
                    {"a": (2, 20, 20, 20, False), "b": (2, 20, 12, 0, False), "other": (2, 20, 20, 28, False)},
                    {"a": (3, 40, 40, 0, False), "b": (2, 20, 12, 0, False), "other": (3, 40, 40, 8, False)}]
    assert [(row["expected"], row["overflow"]) for row in answer["rows"]] == [(30, 70), (52, 48), (92, 8)]


def test_picture(tmp_path):
    file = tmp_path / "plan.svg"
    said = plan("--providers", "a=40%", "--svg", str(file))
    assert said.returncode == 0 and "EXPECTED" in said.stdout
    root = xml.etree.ElementTree.parse(file).getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert plan("--providers", "a=40%", "--svg", "-").stdout == file.read_text()
    refused = plan("--svg", str(tmp_path / "none" / "plan.svg"))
    assert refused.returncode == 1 and "No such file" in refused.stderr


def test_curve_of_the_configuration(tmp_path):
    (tmp_path / "mtad.conf").write_text("hostname = mta1.example.com\nsource a { warmup = slow }\nwarmup slow { volumes = { 7, 9 } }\n")
    for words in ({"before": ("-c", str(tmp_path / "mtad.conf"), "--json")}, {}):
        said = plan("--curve", "slow", *([] if words else ["-c", str(tmp_path / "mtad.conf"), "--json"]), **words)
        assert [row["providers"][0]["cap"] for row in json.loads(said.stdout)["rows"]] == [7, 9]
    assert "there is no curve \"fast\"" in plan("--curve", "fast", before=("-c", str(tmp_path / "mtad.conf"))).stderr


@pytest.mark.parametrize("words,why", [
    ("--volumes 5,4", "each is at least the one before it"),
    ("--volumes 0", "from 1 to"),
    ("--volumes 1,x", "no number"),
    ("--volumes " + ",".join("1" * 101), "at most 100 stages"),
    ("--volumes 1 --curve brisk", "either this or --curve"),
    ("--providers a", "write google=40%"),
    ("--providers a=50%,b=51%", "no more than 100%"),
    ("--providers a=0%", "each has a part"),
    ("--providers a=5", "no percentage"),
    ("--providers " + ",".join(f"p{i}=1%" for i in range(7)), "at most six"),
    ("--volume 0", "from 1 to"),
    ("--volume 1000000001", "from 1 to"),
    ("--start 2026-02-30", "no day"),
    ("--start", "needs a value"),
    ("--rate 5", "takes no --rate"),
    ("now", "does not know what to do with"),
])
def test_refused(words, why):
    said = plan(*words.split())
    assert said.returncode == 2 and why in said.stderr and said.stdout == ""
