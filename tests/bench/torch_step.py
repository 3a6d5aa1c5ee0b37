#!/usr/bin/python3
"""Times training steps of one model in PyTorch, as its users write them.

    torch_step.py MODEL OPTIMIZER THREADS STEPS

MODEL: mlp-128, mlp-1024, cnn or gpt; OPTIMIZER: sgd or adamw. Prints the line that bench_step prints:
model,optimizer,threads,milliseconds (median step),KiB resident after construction,KiB resident at most
"""

import os
import statistics
import sys
import time

MODEL, OPTIMIZER, THREADS, STEPS = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
os.environ["OMP_NUM_THREADS"] = str(THREADS)
os.environ["OPENBLAS_NUM_THREADS"] = str(THREADS)

import torch  # noqa: E402  the number of threads is read when it loads
from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

VOCABULARY, CONTEXT = 65, 64


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.c_attn = nn.Linear(width, 3 * width)
        self.c_proj = nn.Linear(width, width)
        self.register_buffer("mask", torch.ones(CONTEXT, CONTEXT).tril().view(1, 1, CONTEXT, CONTEXT))

    def forward(self, x):
        batch, length, width = x.size()
        q, k, v = (
            part.view(batch, length, self.heads, width // self.heads).transpose(1, 2)
            for part in self.c_attn(x).split(width, dim=2)
        )
        scores = (q @ k.transpose(-2, -1)) * (1.0 / (width // self.heads) ** 0.5)
        scores = scores.masked_fill(self.mask == 0, float("-inf"))
        y = functional.softmax(scores, dim=-1) @ v
        return self.c_proj(y.transpose(1, 2).contiguous().view(batch, length, width))


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.attn = Attention(width, heads)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class Gpt(nn.Module):
    def __init__(self, layers, heads, width):
        super().__init__()
        self.wte = nn.Embedding(VOCABULARY, width)
        self.wpe = nn.Embedding(CONTEXT, width)
        self.h = nn.Sequential(*(Block(width, heads) for _ in range(layers)))
        self.ln_f = nn.LayerNorm(width)
        self.lm_head = nn.Linear(width, VOCABULARY, bias=False)

    def forward(self, tokens):
        x = self.wte(tokens) + self.wpe(torch.arange(tokens.size(1)))
        return self.lm_head(self.ln_f(self.h(x)))


def images(batch, shape, classes=10):
    return torch.rand(batch, *shape), torch.randint(classes, (batch,))


def build():
    if MODEL == "mlp-128":
        return nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10)), images(64, (784,))
    if MODEL == "mlp-1024":
        layers = (nn.Linear(784, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 10))
        return nn.Sequential(*layers), images(256, (784,))
    if MODEL == "cnn":
        return nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(3136, 128), nn.ReLU(), nn.Linear(128, 10),
        ), images(64, (1, 28, 28))
    if MODEL == "gpt":
        tokens = torch.randint(VOCABULARY, (12, CONTEXT + 1))
        return Gpt(4, 4, 128), (tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous())
    sys.exit("unknown model " + MODEL)


def resident(field):
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(field + ":"))


def main():
    torch.set_num_threads(THREADS)
    torch.manual_seed(1)
    model, (x, y) = build()
    constructed = resident("VmRSS")
    with open("/proc/self/clear_refs", "w", encoding="ascii") as peak:
        peak.write("5")  # the peak is counted from here on
    if OPTIMIZER == "adamw":
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    else:
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    times = []
    for step in range(STEPS + 3):
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        output = model(x)
        loss = functional.cross_entropy(output.view(-1, output.size(-1)), y.view(-1))
        loss.backward()
        optimizer.step()
        if step >= 3:
            times.append(time.perf_counter() - start)
    milliseconds = 1e3 * statistics.median(times)
    print(f"{MODEL},{OPTIMIZER},{THREADS},{milliseconds:.4f},{constructed},{resident('VmHWM')}")


main()
