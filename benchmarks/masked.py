"""Measures a pretrained encoder on what `apprentice pretrain` held out, with transformers, and compares.

    python masked.py RUN

RUN is the directory that `pretrain -o RUN` wrote: held-out.jsonl has the sequences with hidden sub-words, result.json what
apprentice measured. Exits with an error if the losses differ by more than 1e-4 or another number of sub-words is found.
"""

import json
import pathlib
import sys

import torch
import transformers

TOLERANCE = 1e-4


def main():
    run = pathlib.Path(sys.argv[1])
    ours = json.loads((run / "result.json").read_text())["held_out"]
    model, loading = transformers.AutoModelForMaskedLM.from_pretrained(
        run / "model", dtype=torch.float32, output_loading_info=True
    )
    assert not loading["missing_keys"] and not loading["unexpected_keys"], loading
    model.eval()
    loss, right, hidden = 0.0, 0, 0
    with torch.inference_mode():
        for line in (run / "held-out.jsonl").open(encoding="utf-8"):
            sequence = json.loads(line)
            logits = model(input_ids=torch.tensor([sequence["ids"]])).logits[0, sequence["places"]].double()
            truth = torch.tensor(sequence["truth"])
            loss += torch.nn.functional.cross_entropy(logits, truth, reduction="sum").item()
            right += (logits.argmax(-1) == truth).sum().item()
            hidden += len(truth)
    loss /= hidden
    print(
        f"{hidden} hidden sub-words: loss {loss:.6f}, here {ours['loss']:.6f}; perplexity {torch.tensor(loss).exp():.4f}, here "
        f"{ours['perplexity']:.4f}; {right} found, here {ours['accuracy'] * ours['hidden']:.0f}"
    )
    assert hidden == ours["hidden"]
    assert abs(loss - ours["loss"]) < TOLERANCE, "other losses"
    # Two sub-words may be equally likely but for rounding.
    assert abs(right - ours["accuracy"] * hidden) <= 1 + hidden / 1000, "other sub-words are found"


if __name__ == "__main__":
    main()
