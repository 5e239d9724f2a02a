"""What helps against wrong labels: trains students on NoiseBench, several seeds each, at equal optimiser steps.

    python regimens.py --apprentice PROGRAM --shared DIR -o DIR [--seeds 1 2 3] [--jobs 2]

2,000 sentences with the labels of a weak LLM, 500 with clean ones, and 2,500 clean ones to score on, blocks of the file in this
order (885 between them are dev). Every run has the same number of optimiser steps and keeps its last weights, but for the row
that says otherwise; nothing is chosen on test. A run that is there already is not done again, so the script may be stopped and
started. Runs take one thread each, `--jobs` of them at a time. Prints the Markdown of `apprentice score`; the first row is the
control.
"""

import argparse
import concurrent.futures
import json
import pathlib
import re
import statistics
import subprocess

from reproduction import block, run

RECIPE = ["--epochs", "8", "--budget-steps", "96", "--learning-rate", "4e-4", "--warmup-share", "0.1"]
WEAK_BLOCKS = {"distilled": ("noise_llm", 0, 2000), "original": ("clean", 2000, 2500), "dev": ("clean", 2500, 3385),
               "test": ("clean", 3385, 5885)}
# What may help against wrong labels, on top of all data at once and of the distilled data first.
MEANS = {
    "all": ["--regimen", "all"],
    "original-only": ["--regimen", "original-only"],
    "all, CRF": ["--regimen", "all", "--head", "crf"],
    "all, best epoch on dev": ["--regimen", "all", "--dev", "{dev}"],
    "all, voters' agreement as weight": ["--regimen", "all", "--distilled", "{votes}", "--weigh-by-confidence"],
    "all, labelled anew": ["--regimen", "all", "--distilled", "{anew}"],
    "all, labelled anew, confidence as weight": ["--regimen", "all", "--distilled", "{anew}", "--weigh-by-confidence"],
    "sequential, voters' agreement as weight": ["--regimen", "sequential", "--distilled", "{votes}", "--weigh-by-confidence"],
    "sequential, labelled anew": ["--regimen", "sequential", "--distilled", "{anew}"],
}


def labelled_by_students(a, files):
    """The distilled sentences as students see them: one that learned from the original data alone votes with the LLM; one
    that learned from the original data last labels anew."""
    for name, regimen in [("votes", "original-only"), ("anew", "sequential")]:
        files[name] = a.output / f"weak.{name}.jsonl"
        if files[name].exists():
            continue
        student = a.output / f"student.{name}"
        labels = a.output / f"weak.student.{name}.conll" if name == "votes" else files[name]
        run(a.apprentice, "-q", "train", "--encoder", a.encoder, "--original", files["original"], "--distilled",
            files["distilled"], *RECIPE, "--regimen", regimen, "--seed", 1000, "-o", student, "--overwrite")
        run(a.apprentice, "-q", "predict", "--model", student, files["distilled"], "-o", labels,
            "--overwrite")
        if name == "votes":
            run(a.apprentice, "-q", "data", "vote", files["distilled"], labels, "--quorum", "0.5", "-o", files[name])
    return files


def train(a, files, name, flags, seed):
    folder = a.output / "means" / re.sub(r"[^\w.=-]+", "_", name) / str(seed)
    flags = [flag.format_map(files) for flag in flags]
    if "--distilled" not in flags:
        flags += ["--distilled", files["distilled"]]
    if not (folder / "result.json").exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        go_on = ["--resume"] if folder.with_name(folder.name + ".unfinished").exists() else []
        run(a.apprentice, "-q", "train", "--encoder", a.encoder, "--original", files["original"],
            "--test", files["test"], *RECIPE, *flags, "--seed", seed, "--threads", 1, "-o", folder,
            *go_on)
        # The table needs the predictions alone, and a hundred models would be gigabytes.
        (folder / "model/model.safetensors").unlink()
        result = json.load(open(folder / "result.json"))
        print(f"{name} {seed}: {result['test']['micro']['f1']:.4f}", flush=True)
    return folder


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--apprentice", required=True)
    p.add_argument("--shared", type=pathlib.Path, required=True)
    p.add_argument("--encoder", help="a model directory; that of all-MiniLM-L6-v2 in --shared if not given")
    p.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    p.add_argument("--jobs", type=int, default=2)
    p.add_argument("-o", "--output", type=pathlib.Path, required=True)
    a = p.parse_args()
    a.encoder = a.encoder or a.shared / "models/all-minilm-l6-v2"
    a.output.mkdir(parents=True, exist_ok=True)
    files = labelled_by_students(a, {name: block(a, name, *part) for name, part in WEAK_BLOCKS.items()})
    with concurrent.futures.ThreadPoolExecutor(a.jobs) as pool:
        # Seed by seed, so that a table over fewer seeds is there early.
        runs = {(name, seed): pool.submit(train, a, files, name, flags, seed)
                for seed in a.seeds for name, flags in MEANS.items()}
        folders = {key: future.result() for key, future in runs.items()}
    print("| | optimiser steps | sub-words |\n|---|---|---|")
    for name in MEANS:
        results = [json.load(open(folders[name, seed] / "result.json")) for seed in a.seeds]
        tokens = statistics.mean(r["train_seconds"] * r["tokens_per_second"] for r in results)
        print(f"| {name} | {' '.join(sorted({str(r['steps']) for r in results}))} | {tokens:.0f} |")
    # A system's name has no `=`.
    predicted = [f"{name.replace('=', ' ')}={folders[name, seed]}/predictions.test.conll" for name in MEANS for seed in a.seeds]
    subprocess.run([a.apprentice, "score", "--markdown", "--gold", files["test"], "--predicted", *predicted], check=True)


if __name__ == "__main__":
    main()
