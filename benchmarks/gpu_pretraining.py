"""Pretrains on a GPU, with PyTorch, what `apprentice pretrain` has begun: the same text, fresh weights, losses and optimiser, no
dropout, and nearly the same words hidden.

    python gpu_pretraining.py RUN --imitate DIR --minutes M -o DIR

RUN is the directory that `apprentice pretrain -o RUN` keeps its unfinished work in (RUN.unfinished): `text` has the tokenised
sequences, `start` the fresh encoder. The learning rate falls with the time that has passed, so that the run ends when it shall.
Writes a directory that `apprentice pretrain --from` and transformers read, and beside it DIR.metrics.jsonl.
"""

import argparse
import json
import math
import pathlib
import shutil
import time

import numpy as np
import safetensors.torch
import tokenizers
import torch
import torch.nn.functional as F
import transformers

CONTINUES = 1 << 31  # as in crates/student/src/pretrain/store.rs


class Text:
    """Sequences of sub-words, cut into words; each stands between [CLS] and [SEP] in a row of its own, padded."""

    def __init__(self, path, vocabulary, limit=None):
        ends = np.fromfile(f"{path}.ends", np.uint64).astype(np.int64)[:limit]
        pieces = np.fromfile(f"{path}.pieces", np.uint32)[: ends[-1]]
        ids = (pieces & ~np.uint32(CONTINUES)).astype(np.int64)
        starts = np.concatenate([[0], ends[:-1]])
        self.lengths = ends - starts + 2
        begins_word = (pieces & CONTINUES) == 0
        begins_word[starts] = True
        word_starts = np.flatnonzero(begins_word)
        word_lengths = np.diff(np.append(word_starts, len(ids)))
        # Of each sequence.
        self.first_words = np.searchsorted(word_starts, starts)
        self.word_counts = np.diff(np.append(self.first_words, len(word_starts)))

        sequence = np.repeat(np.arange(len(ends)), ends - starts)
        place = np.arange(len(ids)) - starts[sequence] + 1
        shape = (len(ends), -(-int(self.lengths.max()) // 8) * 8)
        word = np.repeat(np.arange(len(word_starts)), word_lengths)
        self.ids = np.full(shape, vocabulary["[PAD]"], np.int32)
        self.ids[:, 0] = vocabulary["[CLS]"]
        self.ids[np.arange(len(ends)), self.lengths - 1] = vocabulary["[SEP]"]
        self.ids[sequence, place] = ids
        # The number of a sub-word's word in its sequence; -1 for what stands in none.
        self.words = np.full(shape, -1, np.int16)
        self.words[sequence, place] = word - self.first_words[sequence]
        self.in_word = np.zeros(shape, np.int16)
        in_word = np.arange(len(ids)) - word_starts[word]
        self.in_word[sequence, place] = in_word
        self.word_lengths = np.zeros(shape, np.int16)
        self.word_lengths[sequence, place] = word_lengths[word]
        self.word_places = np.zeros(shape, np.int16)
        word_sequence = sequence[word_starts]
        number = np.arange(len(word_starts)) - self.first_words[word_sequence]
        self.word_places[word_sequence, number] = place[word_starts]

        # Words that are spelt alike share a number.
        factors = np.random.default_rng(0).integers(1, 1 << 63, size=shape[1], dtype=np.uint64) | np.uint64(1)
        mixed = (ids.astype(np.uint64) + np.uint64(1)) * factors[in_word]
        mixed ^= mixed >> np.uint64(29)
        hashes = np.add.reduceat(mixed, word_starts)
        _, examples, self.kinds = np.unique(hashes, return_index=True, return_inverse=True)
        tokens = [None] * (max(vocabulary.values()) + 1)
        for token, number in vocabulary.items():
            special = len(token) > 2 and token.startswith("[") and token.endswith("]")
            tokens[number] = None if special else token.removeprefix("##")
        self.spellings = []
        for example in examples:
            letters = [tokens[i] for i in ids[word_starts[example] :][: word_lengths[example]]]
            self.spellings.append(None if None in letters else "".join(letters))


@torch.inference_mode()
def states_of_words(text, directory, layers, device):
    """The hidden states, each with mean 0 and variance 1, that an encoder has for the words (`[words, D]`), and which it has."""
    tokenizer = tokenizers.Tokenizer.from_file(f"{directory}/tokenizer.json")
    tokenizer.no_padding()
    tokenizer.no_truncation()
    kinds = [e.ids for e in tokenizer.encode_batch([s or "?" for s in text.spellings], add_special_tokens=False)]
    kind = torch.float16 if device.type == "cuda" else torch.float32
    model = transformers.BertModel.from_pretrained(directory, num_hidden_layers=layers, add_pooling_layer=False, dtype=kind)
    model = model.to(device).eval()
    counts = np.array([len(ids) for ids in kinds])
    flat, offsets = np.concatenate(kinds).astype(np.int64), np.cumsum(counts) - counts
    counts_of_words = counts[text.kinds]
    ends_of_words = np.cumsum(counts_of_words)
    stream = flat[np.repeat(offsets[text.kinds] - ends_of_words + counts_of_words, counts_of_words) + np.arange(ends_of_words[-1])]
    begins = ends_of_words - counts_of_words
    starts = begins[text.first_words]
    lengths = np.append(starts[1:], len(stream)) - starts
    longest = model.config.max_position_embeddings - 2
    known = np.array([s is not None for s in text.spellings])[text.kinds]
    sequence_of_word = np.repeat(np.arange(len(starts)), text.word_counts)
    known &= begins - starts[sequence_of_word] < longest
    known &= counts_of_words > 0

    states = torch.empty(len(begins), model.config.hidden_size, dtype=model.dtype, device=device)
    cls, sep = (tokenizer.token_to_id(t) for t in ("[CLS]", "[SEP]"))
    order, at = np.argsort(lengths, kind="stable"), 0
    while at < len(order):
        size = max(1, 131072 // (min(int(lengths[order[min(at + 2048, len(order) - 1)]]), longest) + 2))
        rows = order[at : at + size]
        at += len(rows)
        width = min(int(lengths[rows].max()), longest)
        places = np.arange(width)
        inside = places < np.minimum(lengths[rows], longest)[:, None]
        ids = np.zeros((len(rows), width + 2), np.int64)
        ids[:, 0] = cls
        ids[:, 1:-1] = np.where(inside, stream[np.minimum(starts[rows, None] + places, len(stream) - 1)], 0)
        ids[np.arange(len(rows)), inside.sum(1) + 1] = sep
        ids = torch.from_numpy(ids).to(device)
        attended = torch.arange(width + 2, device=device) < torch.from_numpy(inside.sum(1) + 2).to(device)[:, None]
        hidden = model(input_ids=ids, attention_mask=attended.long()).last_hidden_state
        words = np.concatenate([np.arange(text.first_words[row], text.first_words[row] + text.word_counts[row]) for row in rows])
        row_of_word = np.repeat(np.arange(len(rows)), text.word_counts[rows])
        place_of_word = np.minimum(begins[words] - starts[rows][row_of_word] + 1, width + 1)
        found = hidden[torch.from_numpy(row_of_word).to(device), torch.from_numpy(place_of_word).to(device)]
        states[torch.from_numpy(words).to(device)] = F.layer_norm(found.float(), found.shape[-1:], eps=1e-12).to(states.dtype)
    return states, torch.from_numpy(known).to(device)


def hide(rows, share, mask, vocabulary_size):
    """Whole words at random up to the share: ids as the model sees them, and the places of what may be hidden, what stood there
    and whether it is hidden. As crates/student/src/pretrain/masking.rs, but for a word that would be too much: what comes after
    it is left alone, too."""
    device, (count, width) = rows["ids"].device, rows["ids"].shape
    in_words = rows["words"] >= 0
    wanted = (share * (rows["lengths"] - 2)).round().clamp(min=1)
    keys = torch.rand(count, width, device=device).gather(1, rows["words"].long().clamp(min=0))
    keys = torch.where(in_words, keys, 2.0)
    order = keys.sort(dim=1, stable=True).indices
    ranks = torch.empty_like(order).scatter_(1, order, torch.arange(width, device=device).expand(count, -1))
    word_start = ranks - rows["in_word"].long()
    fits = word_start + rows["word_lengths"].long() <= wanted[:, None]
    hidden = in_words & ((word_start == 0) | fits)
    most = max(int(share * width) + 1, 8)
    places = order[:, :most]
    ids = rows["ids"].long()
    truth = ids.gather(1, places)
    drawn = torch.rand(count, width, device=device)
    anything = torch.randint(mask + 1, vocabulary_size, (count, width), device=device)
    changed = torch.where(drawn < 0.8, mask, torch.where(drawn < 0.9, anything, ids))
    return torch.where(hidden, changed, ids), places, truth, hidden.gather(1, places)


class Student(torch.nn.Module):
    """BERT for masked language modelling, with transformers' names, and a linear map to the states of another encoder."""

    def __init__(self, config, weights, width, device):
        super().__init__()
        self.config = config
        self.names = list(weights)
        self.weights = torch.nn.ParameterList([torch.nn.Parameter(v.to(device)) for v in weights.values()])
        generator = torch.Generator().manual_seed(1)
        state_map = torch.randn(width, config["hidden_size"], generator=generator) * config["initializer_range"]
        self.state_map = torch.nn.Parameter(state_map.to(device))
        self.state_bias = torch.nn.Parameter(torch.zeros(width, device=device))

    def forward(self, ids, attended, places):
        """Logits of the places, and all hidden states."""
        kind = torch.bfloat16 if ids.is_cuda else torch.float32
        w = {name: value.to(kind) for name, value in zip(self.names, self.weights)}
        heads, layers = self.config["num_attention_heads"], self.config["num_hidden_layers"]

        def norm(x, name):
            return F.layer_norm(x, x.shape[-1:], w[f"{name}.LayerNorm.weight"], w[f"{name}.LayerNorm.bias"],
                                self.config["layer_norm_eps"])

        def linear(x, name):
            return F.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])

        words = w["bert.embeddings.word_embeddings.weight"]
        x = F.embedding(ids, words) + w["bert.embeddings.position_embeddings.weight"][: ids.shape[1]]
        x = norm(x + w["bert.embeddings.token_type_embeddings.weight"][0], "bert.embeddings")
        count, length, hidden = x.shape
        for layer in range(layers):
            at = f"bert.encoder.layer.{layer}"
            q, k, v = (linear(x, f"{at}.attention.self.{part}").view(count, length, heads, -1).transpose(1, 2)
                       for part in ("query", "key", "value"))
            mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=attended[:, None, None, :])
            mixed = linear(mixed.transpose(1, 2).reshape(count, length, hidden), f"{at}.attention.output.dense")
            x = norm(x + mixed, f"{at}.attention.output")
            wide = F.gelu(linear(x, f"{at}.intermediate.dense"))
            x = norm(x + linear(wide, f"{at}.output.dense"), f"{at}.output")
        at = "cls.predictions.transform"
        asked = x.gather(1, places[:, :, None].expand(-1, -1, hidden))
        asked = norm(F.gelu(linear(asked, f"{at}.dense")), at)
        return F.linear(asked, words, w["cls.predictions.bias"]), x

    def states(self, hidden):
        """What hidden states are mapped to, to be those of the other encoder."""
        return F.linear(hidden, self.state_map.to(hidden.dtype), self.state_bias.to(hidden.dtype))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("run", type=pathlib.Path)
    p.add_argument("--imitate", type=pathlib.Path, required=True)
    p.add_argument("--imitate-layers", type=int, default=4)
    p.add_argument("--imitation-weight", type=float, default=100)
    p.add_argument("--minutes", type=float, required=True)
    p.add_argument("--learning-rate", type=float, default=1e-3)
    p.add_argument("--batch-tokens", type=int, default=32768)
    p.add_argument("--mask-share", type=float, default=0.15)
    p.add_argument("--sequences", type=int, help="the first so many only")
    p.add_argument("-o", "--output", type=pathlib.Path, required=True)
    a = p.parse_args()
    started = time.time()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    vocabulary = tokenizers.Tokenizer.from_file(str(a.run / "start/tokenizer.json")).get_vocab()
    text = Text(a.run / "text/training", vocabulary, a.sequences)
    held_out = Text(a.run / "text/held-out", vocabulary)
    print(f"{len(text.lengths)} sequences, {text.lengths.sum()} sub-words, {len(text.kinds)} words, {len(text.spellings)} "
          f"different: {time.time() - started:.0f} s", flush=True)
    states, known = states_of_words(text, a.imitate, a.imitate_layers, device)
    print(f"states of {len(known)} words, {known.float().mean().item():.4f} known, variance {states[:4096].float().var():.4f}: "
          f"{time.time() - started:.0f} s", flush=True)
    train(a, text, held_out, states, known, vocabulary, device)


def train(a, text, held_out, states, known, vocabulary, device):
    config = json.loads((a.run / "start/config.json").read_text())
    torch.manual_seed(1)
    random = np.random.default_rng(1)
    student = Student(config, safetensors.torch.load_file(a.run / "start/model.safetensors"), states.shape[1], device)
    decayed, plain = [], []
    for name, value in zip([*student.names, "state_map.weight", "state_map.bias"],
                           [*student.weights, student.state_map, student.state_bias]):
        (plain if name.endswith("bias") or "LayerNorm" in name else decayed).append(value)
    adam = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0.0}],
                             lr=a.learning_rate, betas=(0.9, 0.98), eps=1e-6, fused=True)
    fields = ("ids", "words", "in_word", "word_lengths", "word_places")
    of_sequences = ("lengths", "first_words", "word_counts")
    tables = {of: {f: torch.from_numpy(getattr(of, f)).to(device) for f in (*fields, *of_sequences)} for of in (text, held_out)}

    def rows_of(of, numbers):
        width = -(-int(of.lengths[numbers].max()) // 8) * 8
        chosen = torch.from_numpy(numbers).to(device, non_blocking=True)
        table = tables[of]
        rows = {f: table[f][chosen, :width] for f in fields} | {f: table[f][chosen] for f in of_sequences}
        rows["attended"] = torch.arange(width, device=device) < rows["lengths"][:, None]
        return rows

    def batches():
        while True:
            for part in np.array_split(random.permutation(len(text.lengths)), max(1, len(text.lengths) // 32768)):
                part = part[np.argsort(text.lengths[part], kind="stable")]
                cuts = np.flatnonzero(np.diff(np.cumsum(text.lengths[part]) // a.batch_tokens)) + 1
                found = np.split(part, cuts)
                yield from (found[n] for n in random.permutation(len(found)))

    mask = vocabulary["[MASK]"]

    def fill_in(rows):
        """The summed cross-entropy, how many sub-words are hidden, how many of them are found, and the states of all."""
        ids, places, truth, hidden = hide(rows, a.mask_share, mask, config["vocab_size"])
        logits, own_states = student(ids, rows["attended"], places)
        loss = F.cross_entropy(logits.flatten(0, 1).float(), truth.flatten(), reduction="none") * hidden.flatten()
        return loss.sum(), hidden.sum(), ((logits.argmax(-1) == truth) & hidden).sum(), own_states

    @torch.no_grad()
    def score():
        state = torch.get_rng_state(), torch.cuda.get_rng_state() if device.type == "cuda" else None
        torch.manual_seed(0)
        total, count, right = 0.0, 0, 0
        for numbers in np.array_split(np.argsort(held_out.lengths), 4):
            loss, hidden, found, _ = fill_in(rows_of(held_out, numbers))
            total, count, right = total + loss.item(), count + hidden.item(), right + found.item()
        torch.set_rng_state(state[0])
        if state[1] is not None:
            torch.cuda.set_rng_state(state[1])
        return total / count, right / count

    def save():
        partial = a.output.with_name(a.output.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(a.run / "start", partial)
        weights = {n: v.detach().cpu().clone() for n, v in zip(student.names, student.weights)}
        # An encoder knows nothing of places that no sequence reached.
        places, reached = "bert.embeddings.position_embeddings.weight", int(text.lengths.max())
        weights[places] = weights[places][:reached].clone()
        for name, key in (("config.json", "max_position_embeddings"), ("tokenizer_config.json", "model_max_length")):
            settings = json.loads((partial / name).read_text()) | {key: reached}
            (partial / name).write_text(json.dumps(settings, indent=2) + "\n")
        safetensors.torch.save_file(weights, partial / "model.safetensors", metadata={"format": "pt"})
        shutil.rmtree(a.output, ignore_errors=True)
        partial.rename(a.output)

    a.output.parent.mkdir(parents=True, exist_ok=True)
    metrics = a.output.with_name(a.output.name + ".metrics.jsonl").open("w")
    started, seen, step, next_score = time.time(), 0, 0, 0.0
    for numbers in batches():
        progress = (time.time() - started) / (a.minutes * 60)
        if progress >= 1 or progress >= next_score:
            held_out_loss, accuracy = score()
            line = {"step": step, "seconds": round(time.time() - started, 1), "tokens": seen,
                    "learning_rate": adam.param_groups[0]["lr"], "held_out_loss": held_out_loss,
                    "perplexity": math.exp(held_out_loss), "accuracy": accuracy}
            if step:
                line |= {"loss": loss.item(), "imitation_loss": error.item()}
            print(json.dumps(line), file=metrics, flush=True)
            print(json.dumps(line), flush=True)
            save()
            next_score = progress + 1 / 30
            if progress >= 1:
                break
        rows = rows_of(text, numbers)
        most = int(text.word_counts[numbers].max())
        slots = torch.arange(most, device=device)
        counted = slots < rows["word_counts"][:, None]
        words = torch.where(counted, rows["first_words"][:, None] + slots, 0)
        counted = (counted & known[words]).flatten()
        width = rows["ids"].shape[1]
        word_rows = (rows["word_places"][:, :most].long() + width * torch.arange(len(numbers), device=device)[:, None]).flatten()
        for group in adam.param_groups:
            group["lr"] = a.learning_rate * min(progress / 0.05, (1 - progress) / 0.95)
        total, hidden, _, own_states = fill_in(rows)
        mapped = student.states(own_states.flatten(0, 1)[word_rows])
        errors = (mapped.float() - states[words.flatten()].float()).square().mean(-1)
        loss, error = total / hidden, (errors * counted).sum() / counted.sum()
        (loss + a.imitation_weight * error).backward()
        torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0, foreach=True)
        adam.step()
        adam.zero_grad(set_to_none=True)
        step += 1
        seen += int(text.lengths[numbers].sum())
    taken = time.time() - started
    print(f"{step} steps, {seen} sub-words, {seen / len(text.lengths) / text.lengths.mean():.2f} epochs, "
          f"{seen / taken:.0f} per second", flush=True)


if __name__ == "__main__":
    main()
