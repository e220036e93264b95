"""Goals and tables of made-up figures: what counts as reached, and what a mistake in the judgement's file says."""

import json
import sys

import pytest

from tug.__main__ import main
from tug.report import Looked, goals, merge, read_looked, render

OURS, COARSE, FIELD = "net fp32, 4 steps", "net int8, 4 steps", "net fp32, interpolated"


def case(index: int, **methods: dict[str, float]) -> dict:
    rows = {name: {"outside": 0.0, **row} for name, row in methods.items()}
    return {"name": f"case {index}", "group": f"photo {index}", "digest": "", "figures": rows}


def synthetic(gain: float, hole: float = 0.7, sharp: float = 1.0, coarse: float = 0.0) -> dict:
    """Ten cases that differ a little; our PSNR is `gain` above the classical warp's."""
    cases = []
    for i in range(10):
        base = {"psnr": 15.0 + i, "perceptual": 0.5, "perceptual_hole": 1.0, "epe_in_place": 4.0}
        ours = {"psnr": 15.0 + i + gain + 0.01 * i, "perceptual": 0.4, "perceptual_hole": hole, "epe_in_place": 2.0}
        ours |= {"sharpness_hole": sharp, "seam": 1.0}
        methods = {"naive warp": base, "ARAP": base, OURS: ours, FIELD: base}
        methods[COARSE] = {**ours, "psnr": ours["psnr"] - coarse}
        cases.append(case(i, **methods))
    return {"cases": cases, "ours": [OURS, COARSE], "gflop": 87.0}


def user(distance: float) -> dict:
    rows = [case(i, **{"no edit": {"distance": 40.0}, "ARAP": {"distance": 5.0}}) for i in range(10)]
    for each in rows:
        each["figures"][OURS] = {"outside": 0.0, "distance": distance}
    return {"cases": rows, "ours": [OURS], "gflop": 87.0}


def verdicts(results: dict, looked: dict[str, Looked] | None = None) -> dict[str, str]:
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in goals(results, looked or {})[2:]]
    return {title: verdict for title, _, verdict in cells}


def reached(results: dict, part: str, looked: dict[str, Looked] | None = None) -> str:
    return next(verdict for title, verdict in verdicts(results, looked).items() if part in title)


def test_a_goal_is_reached_or_missed_with_its_whole_interval():
    assert reached({"synthetic": synthetic(1.5)}, "1.0 dB above") == "yes"
    assert reached({"synthetic": synthetic(0.5)}, "1.0 dB above") == "no"
    assert reached({"synthetic": synthetic(0.955)}, "1.0 dB above") == "undecided"
    assert reached({"synthetic": synthetic(1.5)}, "0.80 ×") == "yes"
    assert reached({"synthetic": synthetic(1.5, hole=0.9)}, "0.80 ×") == "no"
    assert reached({"synthetic": synthetic(1.5, sharp=0.3)}, "sharpness") == "no"
    assert reached({"synthetic": synthetic(1.5)}, "at most 0.6 × interpolated") == "yes"


def test_what_int8_loses():
    assert reached({"synthetic": synthetic(1.5, coarse=0.05)}, "int8, 4 steps loses") == "yes"
    assert reached({"synthetic": synthetic(1.5, coarse=0.2)}, "int8, 4 steps loses") == "no"


def test_distances_and_what_was_looked_at():
    names = [f"case {i}" for i in range(10)]
    results = {"user": user(3.0)}
    assert reached(results, "0.08 × no edit") == "yes"
    assert reached({"user": user(4.0)}, "0.08 × no edit") == "no"
    good = {"user": Looked("net", "ARAP", better=names[:8])}
    bad = {"user": Looked("net", "ARAP", names[:8], names[8:9], names[:2])}
    assert reached(results, "better in 8 of 10", good) == "yes"
    assert reached(results, "better in 8 of 10", bad) == "no"
    assert (reached(results, "left behind", good), reached(results, "left behind", bad)) == ("yes", "no")


def test_a_change_outside_the_mask_is_told():
    results = {"synthetic": synthetic(1.5)}
    assert reached(results, "outside the mask") == "yes"
    results["synthetic"]["cases"][3]["figures"][OURS]["outside"] = 2.0
    assert reached(results, "outside the mask") == "no"
    assert "largest change 2 grey levels" in render(results)


def test_the_report_of_two_runs_is_one_file(tmp_path, monkeypatch):
    for name, found in {"synthetic": synthetic(1.5), "user": user(3.0)}.items():
        (tmp_path / f"{name}.json").write_text(json.dumps({name: found}))
    files = [tmp_path / "user.json", tmp_path / "synthetic.json"]
    assert set(merge(files)) == {"synthetic", "user"}
    looked = tmp_path / "looked.toml"
    looked.write_text(
        '[user]\nbundle = "net fp32, 4 steps"\nagainst = "ARAP"\nbetter = ["case 1"]\nnotes = """\nSeen.\n"""\n'
    )
    out = tmp_path / "quality.md"
    monkeypatch.setattr(sys, "argv", ["tug", "report", *map(str, files), "--looked", str(looked), "--out", str(out)])
    main()
    text = out.read_text()
    assert (
        text.index("## Goals") < text.index("## Synthetic") < text.index("## Drags drawn by hand") < text.index("Seen.")
    )
    assert "better 1, level 9, worse 0 of 10" in text and "`case 1`" in text


def test_a_case_that_is_not_there_or_judged_twice_is_refused(tmp_path):
    file, results = tmp_path / "looked.toml", {"user": user(3.0)}
    file.write_text('[user]\nbundle = "net fp32, 4 steps"\nagainst = "ARAP"\nworse = ["case 99"]\n')
    with pytest.raises(ValueError, match="case 99"):
        read_looked(file, results)
    file.write_text('[user]\nbundle = "net fp32, 4 steps"\nagainst = "ARAP"\nworse = ["case 1"]\nbetter = ["case 1"]\n')
    with pytest.raises(ValueError, match="case 1"):
        read_looked(file, results)
    file.write_text('[user]\nbundle = "another fp32, 4 steps"\nagainst = "ARAP"\n')
    with pytest.raises(ValueError, match="of another fp32"):
        read_looked(file, results)
    file.write_text('[single]\nbundle = "net fp32, 4 steps"\nagainst = "ARAP"\n')
    with pytest.raises(ValueError, match="the set single"):
        read_looked(file, results)
