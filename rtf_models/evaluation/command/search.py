"""Objects alike: nearest fingerprints by cosine similarity, and how often they are of the same class."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .common import (
    add_checkpoint,
    add_machine,
    load_model,
    make_parser,
    open_data,
    run_command,
    write_report,
)

EPILOG = """\
The index is made of fingerprints: of a run's embeddings file (--embeddings), of a data folder through a network
(--checkpoint, --data-dir, --split), or read from a file (--index). flat is exact; hnsw is approximate and fast for
millions of objects. Asked for objects by name (--object-id) it prints their neighbours; given query fingerprints
(--queries, or --query-split of the data folder) it reports precision at k: how many of the k nearest are of the query's
class, beside the share that chance would give.

--output-dir gets search.json, search.md and search.png.

examples:
  python -m rtf_models search --checkpoint bts-ae --data-dir data/bts --query-split test --output-dir analysis/search
  python -m rtf_models search --embeddings runs/ae_dim64/train_embeddings.npz --save-index bts.index \\
      --object-id ZTF18aavrwhu --k 10
  python -m rtf_models search --index bts.index --object-id ZTF18aavrwhu
"""


def parser() -> argparse.ArgumentParser:
    p = make_parser("search", __doc__, EPILOG)
    add_checkpoint(p, required=False)
    p.add_argument("--data-dir", type=Path, help="data folder of the objects in the index")
    p.add_argument("--split", default="train", help="split that the index is made of (default train)")
    p.add_argument("--embeddings", type=Path, help="npz of fingerprints instead (train_embeddings.npz of a run)")
    p.add_argument("--index", type=Path, help="index that --save-index wrote instead")
    p.add_argument("--kind", choices=("flat", "hnsw"), default="flat", help="flat: exact (default); hnsw: approximate")
    p.add_argument("--save-index", type=Path, metavar="FILE", help="write the index")
    p.add_argument("--object-id", nargs="+", default=[], metavar="ID", help="print the neighbours of these objects")
    p.add_argument("--k", type=int, default=10, help="how many neighbours (default 10)")
    p.add_argument("--query-split", help="split of the data folder whose sources ask")
    p.add_argument("--queries", type=Path, help="npz of fingerprints that ask (test_embeddings.npz of a run)")
    p.add_argument("--at", nargs="+", type=int, default=[1, 5, 10, 20], metavar="K",
                   help="precision at these k (default 1 5 10 20)")
    p.add_argument("--level", choices=("coarse", "fine"), default="coarse", help="classes of the precision")
    p.add_argument("--output-dir", type=Path, help="folder for the report of the precision")
    add_machine(p)
    return p


def main(argv: list[str] | None = None) -> int:
    return run_command(parser(), _work, argv)


def _work(args: argparse.Namespace) -> int:
    from ..errors import EvaluationError

    if args.k < 1:
        raise EvaluationError(f"--k {args.k}: expected 1 or more")
    asks = args.query_split or args.queries
    if asks and not args.output_dir:
        raise EvaluationError("--query-split and --queries make a report: expected --output-dir")
    if not (asks or args.object_id or args.save_index):
        raise EvaluationError("nothing to do: expected --object-id, --query-split, --queries or --save-index")
    index, stored = _index(args)
    if args.save_index:
        print(f"wrote an index of {len(index)} objects ({index.kind}) to {index.save(args.save_index)}")
    queries = _queries(args, index)
    pool = [part for part in (stored, queries) if part is not None]
    for name in args.object_id:
        _print_neighbours(index, name, _vector(index, name, pool), args.k)
    if queries is None:
        return 0
    return _report(args, index, queries)


def _index(args):
    """The index, and the fingerprints that it was made of (None where it was read)."""
    from ...checkpoint import find_checkpoint
    from ..errors import EvaluationError
    from ..runs import Run, read_summary
    from ..similarity import SimilarityIndex

    if args.index:
        return SimilarityIndex.load(args.index), None
    if args.embeddings:
        from ...embedding import Embeddings

        run = Run(args.embeddings.parent, read_summary(args.embeddings.parent))
        stored = Embeddings.load(args.embeddings)
        return SimilarityIndex.build(stored, run.scheme, args.kind), stored
    if not (args.checkpoint and args.data_dir):
        raise EvaluationError("no objects: expected --index, --embeddings, or --checkpoint with --data-dir")
    find_checkpoint(args.checkpoint)
    stored, scheme = _embedded(args, args.split)
    return SimilarityIndex.build(stored, scheme, args.kind), stored


def _embedded(args, split: str):
    from ...embedding import embed_sources
    from ..errors import EvaluationError
    from ..probe import with_scheme

    if not (args.checkpoint and args.data_dir):
        raise EvaluationError(f"split '{split}': expected --checkpoint and --data-dir to make its fingerprints")
    sources = open_data(args, split)
    found = embed_sources(load_model(args, args.data_dir), sources, batch_size=args.batch_size, device=args.device,
                          reconstruct=False, progress=not args.quiet)  # fmt: skip
    return with_scheme(found, sources.scheme), sources.scheme


def _queries(args, index):
    from ...embedding import Embeddings
    from ..probe import with_scheme

    if args.queries:
        return with_scheme(Embeddings.load(args.queries), index.scheme)
    return _embedded(args, args.query_split)[0] if args.query_split else None


def _vector(index, name: str, pool):
    """The fingerprint of an object, from what is at hand, or out of the index itself."""
    from ..errors import EvaluationError

    for part in pool:
        rows = (part.obj_ids == name).nonzero()[0]
        if len(rows):
            return part.embeddings[rows[0]]
    rows = (index.object_ids == name).nonzero()[0]
    if not len(rows):
        raise EvaluationError(f"--object-id {name}: no such object among {len(index)} of the index or the queries")
    return index.index.reconstruct(int(rows[0]))


def _print_neighbours(index, name: str, vector, k: int) -> None:
    from ..markdown import number, table

    found = index.neighbours(vector, k, leave_out=name)
    rows = [[one["object_id"], one["class"], number(one["cosine"], 4)] for one in found]
    print(f"nearest to {name}\n\n{table(['object', 'class', 'cosine'], rows)}")


def _report(args, index, queries) -> int:
    from ..similarity import precision_at_k

    found = precision_at_k(index, queries, args.at, args.level)
    content = {"objects": len(index), "kind": index.kind, "level": args.level, **found}
    figures = {"search": precision_figure(found)}
    return write_report(args.output_dir, "search", content, search_markdown(content), figures)


def search_markdown(content: dict) -> str:
    """A row a class: precision at each k beside chance."""
    from ..markdown import percent, table

    ks = list(content["mean"])
    rows = [[name, str(r["n"]), percent(r["share"]), *(percent(r[k]) for k in ks)]
            for name, r in content["per_class"].items()]  # fmt: skip
    rows.append(["mean over queries", str(content["n"]), "", *(percent(content["mean"][k]) for k in ks)])
    rows.append(["mean over classes", "", "", *(percent(content["macro"][k]) for k in ks)])
    header = ["class of the query", "queries", "chance", *(f"at {k}" for k in ks)]
    return f"## Precision of the k nearest of {content['objects']} objects\n\n{table(header, rows)}"


def precision_figure(found: dict):
    """Precision against k by class, chance dashed."""
    from matplotlib.figure import Figure

    from ..figure import PALETTE

    figure = Figure(figsize=(6, 4), layout="constrained")
    ax = figure.subplots()
    ks = [int(k) for k in found["mean"]]
    for i, (name, r) in enumerate(found["per_class"].items()):
        colour = PALETTE[i % len(PALETTE)]
        ax.plot(ks, [r[str(k)] for k in ks], "o-", ms=4, color=colour, label=f"{name} ({r['n']})")
        ax.axhline(r["share"], color=colour, lw=0.8, ls="--")
    ax.set(xlabel="k", ylabel="precision at k (dashed: chance)", ylim=(0, 1), xticks=ks)
    ax.legend(fontsize=8)
    return figure


if __name__ == "__main__":
    sys.exit(main())
