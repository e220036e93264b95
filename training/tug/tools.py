"""Commands beside training and evaluation: contact sheets of pairs, parcels of data and of checkpoints, weights
between those of two."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from .packing import PIECE, join, pack_data, split
from .sheets import pair_row, write_sheets
from .weights import between, save


def _sheet(args: argparse.Namespace) -> None:
    rows = {"synthetic": _synthetic_rows, "heldout": _heldout_rows, "video": _video_rows, "user": _user_rows}[
        args.kind
    ](args)
    for path in write_sheets(args.out / args.kind, rows, 8):
        print(path)


def _synthetic_rows(args: argparse.Namespace) -> list:
    """Training pairs on training photos."""
    from .cases import synthetic_case
    from .photos import photo_paths, read_photo

    rng, paths = np.random.default_rng(args.seed), photo_paths(args.data)
    rows = []
    for index in range(args.count):
        path = paths[int(rng.integers(len(paths)))]
        rows.append(pair_row(synthetic_case(rng, read_photo(path), (256, 256)), f"{index} {path.stem[:40]}"))
    return rows


def _heldout_rows(args: argparse.Namespace) -> list:
    from .testsets import load_set

    return [pair_row(item.case, item.name[:44]) for item in load_set("synthetic", args.data, args.count)]


def _video_rows(args: argparse.Namespace) -> list:
    """Real pairs from the clips of DATA/videos (or of --videos)."""
    from .videos import draw_pairs, load_clip

    folder = args.videos or args.data / "videos"
    clips = sorted(path for path in folder.iterdir() if path.is_dir())
    each, rows = max(1, -(-args.count // len(clips))), []
    for index, path in enumerate(clips):
        pairs = draw_pairs(np.random.default_rng([args.seed, index]), load_clip(path), each)
        rows += [pair_row(pair.case, f"{path.name} {pair.first}-{pair.last}") for pair in pairs]
        print(f"{path.name}: {len(pairs)} pairs", flush=True)
    return rows


def _user_rows(args: argparse.Namespace) -> list:
    from .testsets import load_user_cases

    items = list(load_user_cases(args.data))[: args.count]
    tiles = [pair_row(item.case, item.name)[0] for item in items]
    return [tiles[i : i + 3] for i in range(0, len(tiles), 3)]


def _pack(args: argparse.Namespace) -> None:
    count = pack_data(args.data, args.out, args.megabytes * 1_000_000, args.seed)
    print(f"{args.out}: {count} files, {args.out.stat().st_size / 1e6:.1f} MB")


def register(commands: argparse._SubParsersAction) -> None:
    """Adds `sheet`, `pack-data`, `split`, `join` and `between` to the command line."""
    data = Path("../../shared/data")
    sheet = commands.add_parser("sheet", help="contact sheets of pairs with drags and mask drawn in")
    sheet.add_argument("kind", choices=("synthetic", "heldout", "video", "user"))
    sheet.add_argument("--data", type=Path, default=data)
    sheet.add_argument("--videos", type=Path, help="a folder of clips, DATA/videos if not given")
    sheet.add_argument("--count", type=int, default=48)
    sheet.add_argument("--seed", type=int, default=0)
    sheet.add_argument("--out", type=Path, default=Path("out/sheets"))
    sheet.set_defaults(run=_sheet)

    pack = commands.add_parser("pack-data", help="a subset of the training data as one small tar")
    pack.add_argument("--data", type=Path, default=data)
    pack.add_argument("--out", type=Path, default=Path("out/data.tar"))
    pack.add_argument("--megabytes", type=int, default=50)
    pack.add_argument("--seed", type=int, default=0)
    pack.set_defaults(run=_pack)

    cut = commands.add_parser("split", help="a file in pieces, with a manifest")
    cut.add_argument("file", type=Path)
    cut.add_argument("folder", type=Path)
    cut.add_argument("--bytes", type=int, default=PIECE)
    cut.set_defaults(run=lambda args: split(args.file, args.folder, args.bytes))

    whole = commands.add_parser("join", help="the file that was split, checked")
    whole.add_argument("manifest", type=Path)
    whole.add_argument("out", type=Path)
    whole.set_defaults(run=lambda args: join(args.manifest, args.out))

    middle = commands.add_parser("between", help="weights between those of two checkpoints, for --warm or the export")
    middle.add_argument("one", type=Path)
    middle.add_argument("other", type=Path)
    middle.add_argument("out", type=Path)
    middle.add_argument("--share", type=float, default=0.5, help="how far from the one to the other")
    middle.set_defaults(run=lambda args: save(args.out, between(args.one, args.other, args.share)))
