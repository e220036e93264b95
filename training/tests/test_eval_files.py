"""Files that evaluation reads and writes: DragBench's pickles, mask shapes, the hand-drawn set, parcels, sheets."""

import json
import os
import pickle
import tarfile

import cv2
import numpy as np
import pytest

from tug.dragbench import load_meta, read_dragbench
from tug.packing import join, pack_data, split
from tug.sheets import draw_edit, tile, write_sheets
from tug.testsets import EVAL, load_set, load_single_cases, load_user_cases, rasterise


def test_dragbench_folders_are_read(tmp_path):
    folder = tmp_path / "animals" / "JH_1"
    folder.mkdir(parents=True)
    photo = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
    cv2.imwrite(str(folder / "original_image.png"), photo[..., ::-1])
    mask = np.zeros((40, 60), np.uint8)
    mask[10:30, 20:50] = 1
    meta = {"prompt": "a dog", "points": [(25, 15), (40, 20), (30, 25), (30, 25)], "mask": mask}
    (folder / "meta_data.pkl").write_bytes(pickle.dumps(meta))
    (label, case), *rest = read_dragbench(tmp_path)
    assert label == "animals/JH_1" and not rest
    assert np.array_equal(case.source, photo) and case.mask.sum() == 600
    assert case.drags.tolist() == [[25.5, 15.5, 40.5, 20.5], [30.5, 25.5, 30.5, 25.5]]
    assert [item.name for item in load_set(str(tmp_path), tmp_path)] == ["animals/JH_1"]


def test_a_pickle_that_would_run_code_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path}/ran",)

    with pytest.raises(pickle.UnpicklingError, match="system is not allowed"):
        load_meta(pickle.dumps({"points": [], "mask": Evil()}))
    assert not (tmp_path / "ran").exists()
    with pytest.raises(pickle.UnpicklingError, match="expected"):
        load_meta(pickle.dumps([1, 2]))


def test_mask_shapes_are_a_union():
    shapes = [
        {"box": [2, 2, 8, 8]},
        {"polygon": [[20, 20], [30, 20], [30, 30], [20, 30]]},
        {"ellipse": [50, 20, 8, 4, 0]},
        {"stroke": [[5, 40], [55, 40]], "width": 6},
    ]
    mask = rasterise(shapes, 50, 64)
    assert mask[5, 5] == mask[25, 25] == mask[20, 56] == mask[41, 30] == 1
    assert mask[12, 12] == mask[26, 50] == 0 and set(np.unique(mask)) == {0, 1}
    with pytest.raises(ValueError, match="unknown mask shape"):
        rasterise([{"star": 1}], 4, 4)


def test_the_hand_drawn_set_is_whole():
    rows = json.loads((EVAL / "user_drags.json").read_text())["cases"]
    assert len(rows) >= 60 and len({row["id"] for row in rows}) == len(rows)
    assert {"turn", "stretch", "open", "lower", "lengthen", "shift"} <= {row["kind"] for row in rows}
    pinned = 0
    for row in rows:
        lengths = [np.hypot(d[2] - d[0], d[3] - d[1]) for d in row["drags"]]
        assert 1 <= len(lengths) <= 6 and row["mask"] and row["intent"]
        assert 10 <= max(lengths) <= 120
        pinned += min(lengths) == 0
    assert pinned >= 30


def test_single_drags_begin_each_hand_drawn_case_and_get_a_derived_mask(tmp_path):
    (tmp_path / "heldout" / "photos").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "heldout" / "photos" / "a.png"), np.full((80, 100, 3), 90, np.uint8))
    drags = [[20, 20, 20, 20], [40, 40, 60, 40], [40, 60, 50, 60]]  # a pin, then two that move
    case = {"id": "a", "folder": "photos", "photo": "a.png", "intent": "", "mask": [{"box": [0, 0, 9, 9]}]}
    file = tmp_path / "drags.json"
    file.write_text(json.dumps({"cases": [{**case, "drags": drags}]}))
    (whole,), (single,) = load_user_cases(tmp_path, file), load_single_cases(tmp_path, file)
    assert whole.case.drags.tolist() == drags and whole.case.mask.sum() < 120
    assert single.name == "a" and single.case.drags.tolist() == drags[1:2]
    assert single.case.mask[40, 40] == single.case.mask[40, 59] == 1 and single.case.mask[5, 5] == 0


def test_files_are_split_and_joined(tmp_path):
    content = np.random.default_rng(0).bytes(100_000)
    (tmp_path / "state.pt").write_bytes(content)
    pieces = split(tmp_path / "state.pt", tmp_path / "pieces", 40_000)
    assert [piece.stat().st_size for piece in pieces] == [40_000, 40_000, 20_000]
    join(tmp_path / "pieces" / "state.pt.pieces.json", tmp_path / "again.pt")
    assert (tmp_path / "again.pt").read_bytes() == content
    pieces[1].write_bytes(b"x" * 40_000)
    with pytest.raises(ValueError, match="damaged"):
        join(tmp_path / "pieces" / "state.pt.pieces.json", tmp_path / "third.pt")
    pieces[1].unlink()
    with pytest.raises(ValueError, match="missing"):
        join(tmp_path / "pieces" / "state.pt.pieces.json", tmp_path / "third.pt")
    assert not (tmp_path / "third.pt").exists()


def test_packed_data_stays_under_its_limit_and_leaves_heldout_out(tmp_path):
    rng = np.random.default_rng(0)
    for folder, count in (("photos", 30), ("photos512", 10), ("videos/a", 4), ("videos/b", 4), ("heldout/photos", 5)):
        (tmp_path / folder).mkdir(parents=True)
        for index in range(count):
            (tmp_path / folder / f"{index:05d}.jpg").write_bytes(rng.bytes(5000))
    count = pack_data(tmp_path, tmp_path / "out.tar", 150_000)
    assert (tmp_path / "out.tar").stat().st_size <= 150_000
    with tarfile.open(tmp_path / "out.tar") as tar:
        names = tar.getnames()
    assert len(names) == count and {name.split("/")[0] for name in names} == {"photos", "photos512", "videos"}
    # clips come whole
    assert sum(name.startswith("videos/a") for name in names) in (0, 4)


def test_sheets_show_drags_and_mask(tmp_path):
    picture = np.full((60, 80, 3), 100, np.uint8)
    mask = np.zeros((60, 80), np.float32)
    mask[10:50, 10:70] = 1
    drawn = draw_edit(picture, mask, np.array([[20, 30, 50, 30], [60, 40, 60, 40]], np.float32))
    assert drawn[5, 5].tolist() == [50, 50, 50] and drawn[20, 30].tolist() == [100, 100, 100]
    assert drawn[30, 20, 0] > 200 and drawn[30, 50, 2] > 200
    rows = [[tile(drawn, "one", 90, 70)], [tile(picture, "two", 90, 70), tile(picture, "three", 90, 70)]]
    paths = write_sheets(tmp_path / "sheets" / "look", rows, 2, ".png")
    assert [path.name for path in paths] == ["look-00.png"]
    assert cv2.imread(str(paths[0])).shape == (2 * 86, 2 * 94, 3)
