"""Real pairs from clips: two frames, the camera's motion taken out, the rest of the motion told as drags and a mask.

Steps of a pair: a frame distance at which the motion is visible but followable; a homography between the frames fitted
to the background (RANSAC) and the later frame brought into the earlier one's view; DIS optical flow both ways, and
places where the two disagree counted as hidden; handles drawn by flow magnitude, tracked frame by frame through the
clip, forward and backward, and dropped where a track and the flow disagree; a loose edit mask around what moves.

Coordinates are pixels of the frame, origin at the top-left corner; `Case.field` is backward, from target to source.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from .cases import Case
from .drags import COUNT_WEIGHTS, COUNTS
from .masks import loose_mask
from .motions import Array, grid, warp
from .photos import read_mask, read_photo


@dataclass(frozen=True)
class PairConfig:
    """Lengths are shares of the frame's shorter side: motion wanted (median of the moving region), its least length,
    and the largest disagreement of forward and backward flow, of track and flow. seam: grey levels by which the frames
    may differ just outside the mask; change: grey levels from which a place has
    changed; flat: those below which a warped place counts as shown."""

    motion: tuple[float, float] = (0.025, 0.16)
    moving: float = 0.012
    disagreement: float = 0.008
    track_error: float = 0.012
    spread: tuple[float, float] = (0.03, 0.15)
    largest_gap: int = 16
    seam: float = 24.0
    change: float = 10.0
    flat: float = 5.0


@dataclass
class Clip:
    """frames: uint8 [H, W, 3] RGB; masks: bool [H, W] of the moving object, or None."""

    name: str
    frames: list[Array]
    masks: list[Array] | None = None
    greys: list[Array] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.greys:
            self.greys = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in self.frames]


@dataclass
class Pair:
    """A case between frames `first` and `last`, and the homography [3, 3] from first to last coordinates."""

    case: Case
    first: int
    last: int
    camera: Array


def load_clip(folder: Path) -> Clip:
    """A folder of numbered frames, with `masks/` beside them if there is a ground truth."""
    paths = sorted(p for p in folder.glob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
    if len(paths) < 2:
        raise FileNotFoundError(f"{folder} holds {len(paths)} frames, at least 2 are needed")
    frames = [read_photo(path) for path in paths]
    masks = [folder / "masks" / f"{path.stem}.png" for path in paths]
    if not all(path.exists() for path in masks):
        return Clip(folder.name, frames)
    return Clip(folder.name, frames, [read_mask(path) for path in masks])


def load_clips(videos: Path) -> list[Clip]:
    """Every clip folder of `videos`."""
    return [load_clip(folder) for folder in sorted(videos.iterdir()) if folder.is_dir()]


def flow(one: Array, two: Array) -> Array:
    """DIS optical flow [H, W, 2] from grey picture `one` to `two`: one(x) = two(x + flow(x))."""
    solver = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    solver.setFinestScale(0)
    return solver.calc(one, two, None)


def camera_motion(one: Array, two: Array, moving: Array | None = None) -> Array | None:
    """Homography [3, 3] from grey picture `one` to `two`, fitted to corners outside `moving`; None if few agree."""
    where = np.full(one.shape, 255, np.uint8)
    if moving is not None:
        where[cv2.dilate(moving.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0] = 0
    points = cv2.goodFeaturesToTrack(one, 500, 0.01, 5, mask=where)
    if points is None or len(points) < 20:
        return None
    there, good = _track(one, two, points[:, 0])
    start, there = points[:, 0][good], there[good]
    if len(start) < 20:
        return None
    cv2.setRNGSeed(0)
    matrix, inliers = cv2.findHomography(start + 0.5, there + 0.5, cv2.RANSAC, 1.5)
    if matrix is None or inliers.mean() < 0.5 or inliers.sum() < 20:
        return None
    if moving is None or not moving.any():
        return matrix
    # the background is no plane: what lies around the object counts, if enough of it can be followed
    away = cv2.distanceTransform(1 - moving.astype(np.uint8), cv2.DIST_L2, 3)
    near = away[start[:, 1].astype(int), start[:, 0].astype(int)] < 0.25 * min(one.shape)
    if near.sum() >= 40:
        local, inliers = cv2.findHomography(start[near] + 0.5, there[near] + 0.5, cv2.RANSAC, 1.0)
        if local is not None and inliers.mean() > 0.6:
            return local
    return matrix


def _track(one: Array, two: Array, points: Array, tolerance: float = 1.0) -> tuple[Array, Array]:
    """Lucas–Kanade from `one` to `two` and back: (places [N, 2], bool [N]: both ways agree); pixel centres whole."""
    points = np.ascontiguousarray(points, np.float32).reshape(-1, 1, 2)
    options = dict(winSize=(15, 15), maxLevel=4)
    there, ok, _ = cv2.calcOpticalFlowPyrLK(one, two, points, None, **options)
    back, ok_back, _ = cv2.calcOpticalFlowPyrLK(two, one, there, None, **options)
    close = np.hypot(*(back - points)[:, 0].T) < tolerance
    return there[:, 0], (ok[:, 0] > 0) & (ok_back[:, 0] > 0) & close


def track_through(greys: list[Array], points: Array) -> tuple[Array, Array]:
    """Points [N, 2] (corner origin) of the first frame followed to the last: (places, bool [N]: every step agreed)."""
    places, alive = points - 0.5, np.ones(len(points), bool)
    for one, two in zip(greys[:-1], greys[1:], strict=True):
        places, good = _track(one, two, places)
        alive &= good
    return places + 0.5, alive


def _to_view(picture: Array, camera: Array, border: int = cv2.BORDER_REPLICATE) -> Array:
    """The later frame seen from the earlier one: out(x) = picture(camera · x), corner-origin coordinates."""
    shift = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    matrix = np.linalg.inv(shift) @ camera @ shift
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpPerspective(picture, matrix, picture.shape[1::-1], flags=flags, borderMode=border)


@dataclass
class Motion:
    """Between a frame and a later one seen from it: target uint8 [H, W, 3]; forward, backward flow [H, W, 2];
    inside: target places the later frame really shows; visible: target places whose content the source shows too."""

    target: Array
    forward: Array
    backward: Array
    inside: Array
    visible: Array


def motion_between(clip: Clip, first: int, last: int, camera: Array, config: PairConfig) -> Motion:
    side = min(clip.greys[0].shape)
    target = _to_view(clip.frames[last], camera)
    inside = _to_view(np.full(clip.greys[0].shape, 255, np.uint8), camera, cv2.BORDER_CONSTANT) > 250
    grey = cv2.cvtColor(target, cv2.COLOR_RGB2GRAY)
    forward, backward = flow(clip.greys[first], grey), flow(grey, clip.greys[first])
    place = grid(*grey.shape) + backward - 0.5
    again = cv2.remap(forward, place[..., 0], place[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    away = np.hypot(*np.moveaxis(backward + again, -1, 0))
    length = np.hypot(*np.moveaxis(backward, -1, 0))
    visible = away < config.disagreement * side + 0.05 * length
    # without texture flow is arbitrary, but what it fetches looks right: that is visible all the same
    fetched = cv2.remap(
        clip.frames[first], place[..., 0], place[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )
    misfit = cv2.GaussianBlur(cv2.absdiff(fetched, target).astype(np.float32).max(-1), (0, 0), 0.008 * side)
    visible = (visible | (misfit < config.flat)) & inside
    return Motion(target, forward, backward, inside, visible)


def draw_pair(rng: np.random.Generator, clip: Clip, config: PairConfig | None = None) -> Pair | None:
    """A case from two frames of the clip; None where nothing followable moves from the frame that was drawn."""
    config = config or PairConfig()
    side = min(clip.greys[0].shape)
    first = int(rng.integers(len(clip.frames) - 1))
    step = 1 if rng.random() < 0.5 else -1
    wanted = side * rng.uniform(*config.motion)
    best: tuple[Motion, int, Array] | None = None
    for gap in (1, 2, 3, 4, 6, 8, 11, 16):
        last = first + step * gap
        if gap > config.largest_gap or not 0 <= last < len(clip.frames):
            break
        hint = clip.masks[first] if clip.masks else None
        camera = camera_motion(clip.greys[first], clip.greys[last], hint)
        if camera is None:
            break
        motion = motion_between(clip, first, last, camera, config)
        moving = _moving(clip, first, motion, config)
        if moving is None:
            continue
        size = float(np.median(np.hypot(*np.moveaxis(motion.forward, -1, 0))[moving]))
        if size > side * config.motion[1] * 1.3:
            break
        if size >= side * config.motion[0]:
            best = (motion, last, camera)
        if size >= wanted:
            break
    if best is None:
        return None
    motion, last, camera = best
    return _case(rng, clip, first, last, camera, motion, config)


def _moving(clip: Clip, first: int, motion: Motion, config: PairConfig) -> Array | None:
    """Source places that move and are shown in both frames, bool [H, W]; within the ground-truth object if known."""
    height, width = clip.greys[0].shape
    side = min(height, width)
    length = np.hypot(*np.moveaxis(motion.forward, -1, 0))
    place = grid(height, width) + motion.forward - 0.5
    back = cv2.remap(motion.backward, place[..., 0], place[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    agree = np.hypot(*np.moveaxis(motion.forward + back, -1, 0)) < config.disagreement * side + 0.05 * length
    moving = (length > config.moving * side) & agree
    if clip.masks is not None:
        moving &= clip.masks[first]
    moving = cv2.morphologyEx(moving.astype(np.uint8), cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(moving)
    if count < 2:
        return None
    best = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    share = stats[best, cv2.CC_STAT_AREA] / (height * width)
    return labels == best if 0.008 < share < 0.4 else None


def _case(rng, clip: Clip, first: int, last: int, camera: Array, motion: Motion, config: PairConfig) -> Pair | None:
    moving = _moving(clip, first, motion, config)
    if moving is None:
        return None
    height, width = moving.shape
    drags = _drags(rng, clip, first, last, camera, motion, moving, config)
    if drags is None:
        return None
    # without texture flow may be anything: what counts is what looks different
    difference = cv2.absdiff(clip.frames[first], motion.target).astype(np.float32).mean(-1)
    changed = (cv2.GaussianBlur(difference, (0, 0), 0.006 * min(height, width)) > config.change) & motion.inside
    core = _touching(moving, moving | changed)
    if clip.masks is not None:
        after = _to_view(clip.masks[last].astype(np.uint8) * 255, camera, cv2.BORDER_CONSTANT) > 127
        core = moving | clip.masks[first] | after
    core = cv2.morphologyEx(core.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    mask = loose_mask(rng, core.astype(np.float32), config.spread) * motion.inside
    if mask.mean() > 0.8 or _seam(clip.frames[first], motion, mask) > config.seam:
        return None
    return Pair(assemble(clip, first, motion, mask, drags), first, last, camera)


def _touching(seed: Array, places: Array) -> Array:
    """The connected parts of `places` that meet `seed`, bool [H, W]."""
    closed = cv2.morphologyEx(places.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    _, labels = cv2.connectedComponents(closed)
    return np.isin(labels, np.setdiff1d(np.unique(labels[seed]), [0]))


def _seam(source: Array, motion: Motion, mask: Array) -> float:
    """85th percentile of the smoothed difference of the frames in a ring just outside the mask, in grey levels."""
    ring = (cv2.dilate(mask, np.ones((11, 11), np.uint8)) > 0.5) & (mask <= 0.5) & motion.inside
    difference = cv2.absdiff(source, motion.target).astype(np.float32).mean(-1)
    return float(np.percentile(cv2.GaussianBlur(difference, (0, 0), 2)[ring], 85)) if ring.any() else 0.0


def assemble(clip: Clip, first: int, motion: Motion, mask: Array, drags: Array) -> Case:
    """The case as an edit: the target differs from the source inside the mask only."""
    source = clip.frames[first]
    target = np.where(mask[..., None] > 0.5, motion.target, source)
    visible = motion.visible.astype(np.float32)
    return Case(source, mask.astype(np.float32), drags, target, motion.backward, visible, motion.forward)


def _drags(rng, clip, first, last, camera, motion: Motion, moving: Array, config: PairConfig) -> Array | None:
    """Handles by flow magnitude on what moves; kept where the track through the clip lands where the flow does."""
    height, width = moving.shape
    side = min(height, width)
    length = np.hypot(*np.moveaxis(motion.forward, -1, 0)) * cv2.erode(moving.astype(np.uint8), np.ones((5, 5)))
    if length.max() <= 0:
        return None
    flat = length.ravel() / length.sum()
    picks = rng.choice(len(flat), size=min(80, int((flat > 0).sum())), replace=False, p=flat)
    handles = np.stack([picks % width, picks // width], 1).astype(np.float32) + 0.5
    order = 1 if last > first else -1
    stop = last + order
    greys = clip.greys[first : stop if stop >= 0 else None : order]
    ends, alive = track_through(greys, handles)
    seen = cv2.perspectiveTransform(ends[None].astype(np.float64), np.linalg.inv(camera))[0].astype(np.float32)
    goals = handles + motion.forward[picks // width, picks % width]
    alive &= np.hypot(*(seen - goals).T) < config.track_error * side
    alive &= (goals >= 0).all(1) & (goals[:, 0] < width) & (goals[:, 1] < height)
    count = int(rng.choice(COUNTS, p=COUNT_WEIGHTS))
    chosen: list[Array] = []
    for handle, goal in zip(handles[alive], goals[alive], strict=True):
        x, y = int(goal[0]), int(goal[1])
        if motion.visible[y, x] and all(np.hypot(*(goal - drag[2:])) > 0.04 * side for drag in chosen):
            # the target decides: the handle is where the backward flow takes it, so that field and drag agree
            back = goal + motion.backward[y, x]
            if np.hypot(*(back - handle)) < config.track_error * side:
                chosen.append(np.concatenate([back, goal]))
        if len(chosen) == count:
            break
    return np.array(chosen, np.float32) if chosen else None


def draw_pairs(rng: np.random.Generator, clip: Clip, count: int, config: PairConfig | None = None) -> list[Pair]:
    """Up to `count` pairs of a clip, in at most six tries each."""
    tries = (draw_pair(rng, clip, config) for _ in range(6 * count))
    pairs: list[Pair] = []
    for pair in tries:
        if pair is not None:
            pairs.append(pair)
        if len(pairs) == count:
            break
    return pairs


def training_pairs(videos: Path, cache: Path, each: int = 20, seed: int = 0) -> list[Case]:
    """Up to `each` pairs of every clip, half as large, drawn once and then kept in `cache`; fields in halved pixels."""
    file = cache / f"pairs-{videos.resolve().name}-{each}.npz"
    if not file.exists():
        stored: dict[str, Array] = {}
        for index, folder in enumerate(sorted(path for path in videos.iterdir() if path.is_dir())):
            pairs = draw_pairs(np.random.default_rng((seed, index)), _halved(load_clip(folder)), each)
            print(f"pairs of {folder.name}: {len(pairs)}", flush=True)
            for number, pair in enumerate(pairs):
                for key, value in vars(pair.case).items():
                    if isinstance(value, np.ndarray):
                        half = value.astype(np.float16) if key in ("field", "forward") else value
                        stored[f"{index}.{number}.{key}"] = half
        cache.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(file, **stored)
    cases: dict[str, dict[str, Array]] = {}
    with np.load(file) as kept:
        for key in kept.files:
            place, name = key.rsplit(".", 1)
            cases.setdefault(place, {})[name] = kept[key]
    return [
        Case(**{name: value.astype(np.float32) if value.dtype == np.float16 else value for name, value in case.items()})
        for case in cases.values()
    ]


def _halved(clip: Clip) -> Clip:
    """The clip at half its size: training sees less than that, and flow costs a quarter."""

    def small(image: Array) -> Array:
        return cv2.resize(image, (image.shape[1] // 2, image.shape[0] // 2), interpolation=cv2.INTER_AREA)

    masks = None if clip.masks is None else [small(mask.astype(np.float32)) > 0.5 for mask in clip.masks]
    return Clip(clip.name, [small(frame) for frame in clip.frames], masks)


def cropped_pair(rng: np.random.Generator, case: Case, height: int, width: int) -> Case | None:
    """A random crop around the mask's middle, mirrored half the time, brought to [height, width]; None if no drag that
    moves is left in it."""
    h, w = case.mask.shape
    factor = min(h / height, w / width) * rng.uniform(0.7, 1.0)
    ch, cw = min(h, round(height * factor)), min(w, round(width * factor))
    ys, xs = np.nonzero(case.mask > 0.5)
    if len(xs) == 0:
        return None
    y = int(np.clip(ys.mean() - ch / 2 + rng.normal(0, 0.08 * ch), 0, h - ch))
    x = int(np.clip(xs.mean() - cw / 2 + rng.normal(0, 0.08 * cw), 0, w - cw))
    scale = np.array([width / cw, height / ch], np.float32)
    flip = rng.random() < 0.5

    def part(image: Array, vectors: bool = False) -> Array:
        area = cv2.INTER_AREA if scale[0] < 1 else cv2.INTER_LINEAR
        out = cv2.resize(image[y : y + ch, x : x + cw], (width, height), interpolation=area)
        out = out * scale if vectors else out
        if not flip:
            return np.ascontiguousarray(out)
        return np.ascontiguousarray(out[:, ::-1] * (np.array([-1, 1], np.float32) if vectors else 1))

    drags = (case.drags.reshape(-1, 2, 2) - [x, y]) * scale
    if flip:
        drags[..., 0] = width - drags[..., 0]
    drags = drags.reshape(-1, 4).astype(np.float32)
    inside = ((drags > 1) & (drags < np.tile([width - 1, height - 1], 2))).all(1)
    moves = np.hypot(*(drags[:, 2:] - drags[:, :2]).T) > 1
    if not (inside & moves).any():
        return None
    mask, visible = (part(case.mask) > 0.5).astype(np.float32), part(case.visible)
    source, target = part(case.source).astype(np.uint8), part(case.target).astype(np.uint8)
    backward, forward = part(case.field, True), part(case.forward, True)
    misfit = np.hypot(*np.moveaxis(forward + warp(backward, forward), -1, 0))
    known = (misfit < 1 + 0.1 * np.hypot(*np.moveaxis(forward, -1, 0))).astype(np.float32)
    return Case(source, mask, drags[inside], target, backward, visible, forward, True, known)


def write_pairs(path: Path, pairs: list[tuple[str, Pair]]) -> None:
    """Fixed pairs as coordinates only: clip, frames, camera, drags, and the mask as outlines."""
    rows = []
    for name, pair in pairs:
        outlines, _ = cv2.findContours((pair.case.mask > 0.5).astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
        rows.append(
            {
                "clip": name,
                "frames": [pair.first, pair.last],
                "camera": [[float(f"{v:.7g}") for v in row] for row in pair.camera],
                "drags": [[round(float(v), 2) for v in drag] for drag in pair.case.drags],
                "mask": [outline[:, 0].tolist() for outline in outlines],
            }
        )
    path.write_text("[\n" + ",\n".join(" " + json.dumps(row) for row in rows) + "\n]\n")


def read_pairs(path: Path, videos: Path, config: PairConfig | None = None) -> list[tuple[str, Case]]:
    """The fixed pairs of a file as (clip name, case)."""
    clips: dict[str, Clip] = {}
    cases = []
    for row in json.loads(path.read_text()):
        if row["clip"] not in clips:
            clips[row["clip"]] = load_clip(videos / row["clip"])
        clip = clips[row["clip"]]
        first, last = row["frames"]
        motion = motion_between(clip, first, last, np.array(row["camera"]), config or PairConfig())
        mask = np.zeros(clip.greys[0].shape, np.uint8)
        cv2.drawContours(mask, [np.array(o, np.int32)[:, None] for o in row["mask"]], -1, 1, -1)
        cases.append((row["clip"], assemble(clip, first, motion, mask, np.array(row["drags"], np.float32))))
    return cases
