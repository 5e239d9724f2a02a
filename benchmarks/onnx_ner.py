"""Predicts with ONNX Runtime, as the rival of `apprentice predict`: a student exported from transformers, in 32-bit floating
point or with dynamic 8-bit quantisation, on length-sorted batches.

Prints one JSON object: {"predict_tokens_per_s", "f1", ...}, as transformers_ner.py does.
"""

import argparse
import json
import pathlib
import time

import numpy as np
import onnxruntime
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from seqeval.metrics import f1_score
from transformers import AutoModelForTokenClassification, AutoTokenizer
from transformers.utils import logging

from transformers_ner import collate, encode, filled_up, read_conll


class Logits(torch.nn.Module):
    """The model with plain tensors in and out, as the exporter wants it."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask):
        return self.model(input_ids=input_ids, attention_mask=attention_mask).logits


def export(model, folder, int8):
    path, example = folder / "model.onnx", torch.ones(2, 8, dtype=torch.long)
    if not path.exists():
        axes = {0: "batch", 1: "length"}
        torch.onnx.export(
            Logits(model), (example, example), str(path), input_names=["ids", "mask"], output_names=["logits"],
            dynamic_axes={"ids": axes, "mask": axes, "logits": axes}, dynamo=False,
        )
    small = folder / "model.int8.onnx"
    if int8 and not small.exists():
        quantize_dynamic(path, small, weight_type=QuantType.QInt8, per_channel=True)
    return small if int8 else path


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", required=True, help="a model directory")
    p.add_argument("--test", required=True)
    p.add_argument("--precision", choices=["f32", "int8"], required=True)
    p.add_argument("--folder", required=True, type=pathlib.Path, help="keeps the exported models")
    p.add_argument("--batch", type=int, default=64)
    p.add_argument("--threads", type=int, default=2)
    a = p.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    # "eager" attention: the exporter knows it with any length.
    model = AutoModelForTokenClassification.from_pretrained(a.model, attn_implementation="eager").eval()
    tokenizer = AutoTokenizer.from_pretrained(a.model)
    names = model.config.id2label
    sentences = read_conll(a.test)
    data = encode(sentences, tokenizer, {name: index for index, name in names.items()}, 512)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = a.threads
    session = onnxruntime.InferenceSession(str(export(model, a.folder, a.precision == "int8")), options)

    started = time.perf_counter()
    order = sorted(range(len(data)), key=lambda i: len(data[i][0]))
    predicted = [None] * len(data)
    for start in range(0, len(order), a.batch):
        chosen = order[start : start + a.batch]
        ids, mask, targets = collate([data[i] for i in chosen])
        best = session.run(None, {"ids": ids.numpy(), "mask": mask.numpy()})[0].argmax(-1)
        for row, i in enumerate(chosen):
            predicted[i] = best[row][targets[row].numpy() != -100].tolist()
    seconds = time.perf_counter() - started
    gold = [tags for _, tags in sentences]
    guessed = [filled_up([names[i] for i in row], tags) for tags, row in zip(gold, predicted)]
    tokens = int(np.sum([len(ids) for ids, _ in data]))
    print(json.dumps({"f1": round(float(f1_score(gold, guessed)), 4), "predict_tokens_per_s": round(tokens / seconds)}))


if __name__ == "__main__":
    main()
