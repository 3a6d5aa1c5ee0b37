"""Talkoot's models against PyTorch's, by what tests/torch/dump writes. Prints TAP.

    agree.py DUMP

For each model PyTorch builds the equivalent module, takes Talkoot's parameters with load_state_dict(strict=True)
and sees the same batch. Bounds: each logit within 1e-4, the mean loss within 1e-5 (relative), and each gradient
tensor g within |g - torch's g| <= 1e-4 |torch's g| + 1e-6 |the whole gradient| (Euclidean norms; the second term is
for tensors whose true gradient is zero, such as a bias before a norm). Then the other way round, with parameters
that PyTorch drew and saved; and 100 steps of AdamW, each step's loss within 1e-3.
"""

import os
import random
import struct
import subprocess
import sys
import tempfile
import traceback
from collections import OrderedDict

import torch
from torch import nn
from torch.nn import functional

import tensors
from modules import Attention, Gpt, Position, Residual

DUMP = sys.argv[1]
BATCH = 16
claims = failures = 0


def claim(text, good, notes):
    global claims, failures
    claims += 1
    failures += not good
    print(f"{'ok' if good else 'not ok'} {claims} - {text}")
    for note in notes:
        print(f"# {note}")
    sys.stdout.flush()


# Data: kind -> (what project.yaml says, shape of a sample for PyTorch, loss)


def write_table(path, features, label):
    rng = random.Random(len(path) + features)
    with open(path, "w", encoding="ascii") as file:
        for i in range(240):
            file.write(",".join(f"{rng.gauss(3, 2):.4f}" for _ in range(features)) + f",{label(i, rng)}\n")


def write_images(folder, side, classes):
    rng = random.Random(side)
    with open(f"{folder}/images.idx", "wb") as file:
        file.write(struct.pack(">BBBBIII", 0, 0, 8, 3, 240, side, side) + rng.randbytes(240 * side * side))
    with open(f"{folder}/labels.idx", "wb") as file:
        file.write(struct.pack(">BBBBI", 0, 0, 8, 1, 240) + bytes(i % classes for i in range(240)))


def write_text(path, words):
    rng = random.Random(words)
    drawn = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(1, 9))) for _ in range(120)]
    with open(path, "w", encoding="ascii") as file:
        file.write(" ".join(rng.choice(drawn) + rng.choice(["", "", ",", ".\n"]) for _ in range(words)))


def write_data(folder):
    write_table(f"{folder}/three.csv", 6, lambda i, rng: "abc"[i % 3])
    write_table(f"{folder}/two.csv", 6, lambda i, rng: "ab"[i % 2])
    write_table(f"{folder}/number.csv", 6, lambda i, rng: f"{rng.gauss(-1, 5):.3f}")
    write_table(f"{folder}/planes.csv", 144, lambda i, rng: "abc"[i % 3])
    write_images(folder, 12, 4)
    write_text(f"{folder}/text.txt", 6000)


DATA = {
    "three": ("{path: three.csv}", (6,)),
    "two": ("{path: two.csv}", (6,)),
    "number": ("{path: number.csv, predict: number}", (6,)),
    "planes": ("{path: planes.csv}", (3, 8, 6)),
    "images": ("{path: images.idx, labels: labels.idx, format: idx}", (1, 12, 12)),
    "text": ("{path: text.txt, validation_fraction: 0}", None),
}


def losses_of(kind, outputs, labels):
    if kind == "number":
        return functional.mse_loss(outputs.reshape(-1), labels)
    if outputs.size(-1) == 1:
        return functional.binary_cross_entropy_with_logits(outputs.reshape(-1), labels.float())
    return functional.cross_entropy(outputs.reshape(-1, outputs.size(-1)), labels)


class Dumped:
    """A folder that dump has filled."""

    def __init__(self, folder, kind, model, train="", *arguments, batch=BATCH, data=None):
        yaml = f"{folder}/project.yaml"
        with open(yaml, "w", encoding="utf-8") as file:
            file.write(f"project: {{name: torch, seed: 5}}\nmodel: {model}\ndata: {data or DATA[kind][0]}\n")
            file.write(f"train: {{batch_size: {batch}{train}}}\n")
        done = subprocess.run([DUMP, yaml, folder, *arguments], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
        self.folder, self.kind = folder, kind
        self.losses = [float(line) for line in done.stdout.split()]
        shape = DATA[kind][1]
        if shape is None:
            self.inputs = tensors.load_flat(f"{folder}/inputs", torch.int32, (-1,)).long()
        else:
            self.inputs = tensors.load_flat(f"{folder}/inputs", torch.float32, (-1, *shape))
        labels = torch.float32 if kind == "number" else torch.int32
        self.labels = tensors.load_flat(f"{folder}/labels", labels, (-1,))
        if kind != "number":
            self.labels = self.labels.long()

    def batch(self, context, number=0, rows=BATCH):
        """Inputs and labels of a step."""
        inputs = self.inputs if context is None else self.inputs.reshape(-1, context)
        per_row = self.labels.numel() // inputs.size(0)
        begin, end = number * rows, (number + 1) * rows
        return inputs[begin:end], self.labels[begin * per_row : end * per_row]

    def outputs(self, like):
        return tensors.load_flat(f"{self.folder}/outputs", torch.float32, like.shape)

    def tensors(self, name):
        return tensors.load(f"{self.folder}/{name}.safetensors")


def compare_gradients(module, theirs):
    """The largest relative error, and whether all are within the bound."""
    ours = OrderedDict((name, parameter.grad) for name, parameter in module.named_parameters())
    whole = sum(float(g.double().norm()) ** 2 for g in ours.values()) ** 0.5
    worst, good = 0.0, True
    for name, gradient in ours.items():
        error = float((gradient.double() - theirs[name].double()).norm())
        norm = float(gradient.double().norm())
        good = good and error <= 1e-4 * norm + 1e-6 * whole
        worst = max(worst, error / max(norm, 1e-2 * whole))
    return worst, good


def agree(folder, name, kind, model, module, context=None, gradients=True):
    dumped = Dumped(folder, kind, model)
    parameters = dumped.tensors("parameters")
    module.load_state_dict(parameters, strict=True)
    module.train(gradients)
    inputs, labels = dumped.batch(context)
    outputs = module(inputs)
    loss = losses_of(kind, outputs, labels)
    off = float((outputs - dumped.outputs(outputs)).abs().max())
    notes = [f"logits within {off:.1e}"]
    good = off <= 1e-4
    if gradients:
        loss.backward()
        apart = abs(float(loss) - dumped.losses[0]) / abs(float(loss))
        worst, close = compare_gradients(module, dumped.tensors("gradient"))
        notes[0] += f", loss within {apart:.1e}, gradients within {worst:.1e} (relative)"
        good = good and close and apart <= 1e-5
    claim(f"{name} agrees with PyTorch", good, notes)


def read_back(folder, name, kind, model, module, context=None, dtype=torch.float32, without=()):
    """PyTorch draws and saves; Talkoot reads. Before they become numbers of that type they are scaled to doubles that
    none of the types holds. Names in `without` are not saved: of tensors that share memory, safetensors' save_model
    keeps the alphabetically first name alone, and save_file makes its user choose one."""
    state = {key: (value.double() * 1.1).to(dtype) for key, value in module.state_dict().items()}
    tensors.save(f"{folder}/theirs.safetensors", {key: state[key] for key in state if key not in without})
    module.load_state_dict({key: value.float() for key, value in state.items()})
    dumped = Dumped(folder, kind, model[:-1] + ", init: theirs.safetensors}")
    with torch.no_grad():
        outputs = module(dumped.batch(context)[0])
    off = float((outputs - dumped.outputs(outputs)).abs().max())
    claim(f"{name} drawn by PyTorch gives its logits in Talkoot", off <= 1e-4, [f"logits within {off:.1e}"])


def track(folder, name, layers, heads, width, context, batch, data):
    """100 steps of AdamW from the same parameters on the same batches. A round is a step here, so that each loss is
    shown; the optimizer's state is carried."""
    model = f"{{type: gpt, layers: {layers}, heads: {heads}, width: {width}, context: {context},"
    model += " tie: true}"
    train = (
        ", optimizer: adamw, learning_rate: 1.0e-3, beta1: 0.9, beta2: 0.99, weight_decay: 0.1, clip: 1,"
        " schedule: constant, run_warmup_steps: 0, inner_state: average, inner_steps: 1, units_per_round: 1,"
        " rounds: 100, compression: none, outer: {optimizer: sgd, learning_rate: 1}"
    )
    dumped = Dumped(folder, "text", model, train, "train", batch=batch, data=data)
    parameters = dumped.tensors("parameters")
    module = Gpt(parameters["transformer.wte.weight"].size(0), context, layers, heads, width)
    module.load_state_dict(parameters, strict=True)
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-3, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.1)
    ours = []
    for step in range(100):
        inputs, labels = dumped.batch(context, step, batch)
        loss = losses_of("text", module(inputs), labels)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
        ours.append(float(loss))
    theirs = dumped.losses[1:]
    apart = max(abs(a - b) for a, b in zip(ours, theirs))
    good = len(theirs) == 100 and apart <= 1e-3 and ours[99] < ours[0] - 0.5
    note = f"losses {ours[0]:.4f} … {ours[99]:.4f}, apart {apart:.1e}"
    claim(f"100 steps of {name} track PyTorch's loss", good, [note])


def dense(*widths, activation=nn.ReLU):
    layers = []
    for i in range(len(widths) - 1):
        layers += [nn.Linear(widths[i], widths[i + 1])] + [activation()] * (i < len(widths) - 2)
    return nn.Sequential(*layers)


def cnn():
    return nn.Sequential(
        *(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(4, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(54, 16), nn.ReLU(), nn.Linear(16, 4)),
    )


PLANES = """
  type: layers
  image: [3, 8, 6]
  layers:
  - {conv2d: {channels: 6, kernel: 3, stride: 1, padding: 2}}
  - {group_norm: {groups: 3}}
  - silu
  - {max_pool: {kernel: 3, stride: 2, padding: 1}}
  - residual:
    - {conv2d: {channels: 6, kernel: 3, padding: 1, bias: false}}
    - gelu
    - residual: [{conv2d: {channels: 6, kernel: 1}}, tanh]
  - {average_pool: {kernel: 3, stride: 2}}
  - {conv2d: {channels: 8, kernel: 2, stride: 2, padding: 1}}
  - sigmoid
  - flatten
  - layer_norm
  - {linear: {width: 10, bias: false}}
  - relu
  - linear"""


def planes():
    return nn.Sequential(
        *(nn.Conv2d(3, 6, 3, padding=2), nn.GroupNorm(3, 6), nn.SiLU(), nn.MaxPool2d(3, 2, padding=1)),
        Residual(
            *(nn.Conv2d(6, 6, 3, padding=1, bias=False), nn.GELU()),
            Residual(nn.Conv2d(6, 6, 1), nn.Tanh()),
        ),
        *(nn.AvgPool2d(3, 2), nn.Conv2d(6, 8, 2, stride=2, padding=1), nn.Sigmoid()),
        *(nn.Flatten(), nn.LayerNorm(16), nn.Linear(16, 10, bias=False), nn.ReLU(), nn.Linear(10, 3)),
    )


TEXT = """
  type: layers
  context: 16
  layers:
  - {embedding: {width: 12}, name: wte}
  - position
  - {residual: [layer_norm, {attention: {heads: 3}}], name: look}
  - residual: [layer_norm, {attention: {heads: 2, bias: false}}, {dropout: {rate: RATE}}]
  - {residual: [layer_norm, {linear: {width: 48}}, gelu, {linear: {width: 12}}], name: think}
  - {layer_norm: {}, name: last}
  - {linear: {tie: true, bias: false}, name: head}"""


def text_layers(vocabulary, rate):
    module = nn.Sequential(
        OrderedDict(
            [
                ("wte", nn.Embedding(vocabulary, 12)),
                ("1", Position(16, 12)),
                ("look", Residual(nn.LayerNorm(12), Attention(12, 3))),
                ("3", Residual(nn.LayerNorm(12), Attention(12, 2, bias=False), nn.Dropout(rate))),
                ("think", Residual(nn.LayerNorm(12), nn.Linear(12, 48), nn.GELU(), nn.Linear(48, 12))),
                ("last", nn.LayerNorm(12)),
                ("head", nn.Linear(12, vocabulary, bias=False)),
            ]
        )
    )
    module.head.weight = module.wte.weight
    return module


def plain_text(vocabulary):
    module = text_layers(vocabulary, 0.0)
    del module[3][2]
    return module


def checks(folder):
    with open(f"{folder}/text.txt", encoding="ascii") as file:
        letters = len(set(file.read()))
    gpt = "{type: gpt, layers: 2, heads: 2, width: 32, context: 16%s}"
    yield agree, "logistic", "three", "{type: logistic}", dense(6, 3)
    yield agree, "an mlp", "three", "{type: mlp, hidden: [16, 12]}", dense(6, 16, 12, 3)
    for name, activation in ("gelu", nn.GELU), ("silu", nn.SiLU), ("tanh", nn.Tanh), ("sigmoid", nn.Sigmoid):
        model = f"{{type: mlp, hidden: [9], activation: {name}}}"
        yield agree, f"an mlp with {name}", "three", model, dense(6, 9, 3, activation=activation)
    yield agree, "binary cross-entropy", "two", "{type: logistic, loss: binary_cross_entropy}", dense(6, 1)
    yield agree, "squared error", "number", "{type: mlp, hidden: [7]}", dense(6, 7, 1)
    char_mlp = nn.Sequential(nn.Embedding(letters, 8), nn.Flatten(), *dense(128, 32, letters, activation=nn.Tanh))
    yield agree, "a char-mlp", "text", "{type: char-mlp, context: 16, embedding: 8, hidden: [32]}", char_mlp, 16
    yield agree, "a cnn", "images", "{type: cnn, channels: [4, 6], hidden: [16]}", cnn()
    yield agree, "a list of convolutions, pools and norms", "planes", PLANES, planes()
    yield agree, "a list with attention", "text", TEXT.replace(", {dropout: {rate: RATE}}", ""), plain_text(letters), 16
    dropout = TEXT.replace("RATE", "0.5")
    yield agree, "dropout outside training", "text", dropout, text_layers(letters, 0.5), 16, False
    yield agree, "a gpt with tied weights", "text", gpt % ", tie: true", Gpt(letters, 16, 2, 2, 32), 16
    untied = Gpt(letters, 16, 2, 2, 32, tie=False, bias=False)
    yield agree, "a gpt without ties and biases", "text", gpt % ", bias: false", untied, 16
    yield read_back, "an mlp", "three", "{type: mlp, hidden: [16, 12]}", dense(6, 16, 12, 3)
    for name in "float16", "bfloat16", "float64":
        mlp, dtype = dense(6, 16, 12, 3), getattr(torch, name)
        yield read_back, f"an mlp of {name}", "three", "{type: mlp, hidden: [16, 12]}", mlp, None, dtype
    yield read_back, "a cnn", "images", "{type: cnn, channels: [4, 6], hidden: [16]}", cnn()
    yield read_back, "a gpt with tied weights", "text", gpt % ", tie: true", Gpt(letters, 16, 2, 2, 32), 16
    for kept, left_out in ("lm_head", "transformer.wte"), ("transformer.wte", "lm_head"):
        tied = Gpt(letters, 16, 2, 2, 32)
        yield (
            *(read_back, f"a gpt saved with {kept}'s weight alone", "text", gpt % ", tie: true", tied, 16),
            *(torch.float32, (f"{left_out}.weight",)),
        )
    untied = Gpt(letters, 16, 2, 2, 32, tie=False)
    yield read_back, "a gpt without ties", "text", gpt % "", untied, 16
    yield track, "a gpt of 2 layers, 2 heads, width 64", 2, 2, 64, 64, 12, DATA["text"][0]
    shakespeare = os.path.abspath("../shared/data/tinyshakespeare.txt")
    if os.environ.get("TORCH_LONG") and os.path.exists(shakespeare):
        data = f"{{path: {shakespeare}, validation_fraction: 0}}"
        yield track, "a gpt of 4 layers, 4 heads, width 128 on Shakespeare", 4, 4, 128, 64, 12, data


def main():
    torch.manual_seed(20260411)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        write_data(folder)
        for check, *arguments in checks(folder):
            try:
                check(folder, *arguments)
            except Exception:  # whatever it is, the other models are still worth comparing
                claim(f"{arguments[0]} is compared", False, traceback.format_exc().splitlines())
    print(f"1..{claims}")
    sys.exit(1 if failures else 0)


main()
