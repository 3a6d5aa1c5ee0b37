"""Digests and encodings by tasks/math/NUMERICS.md ("Digests", "Encodings"), for training_reference.py."""

import hashlib
import struct

from numerics_arithmetic import bits

ZERO_DIGEST = bytes(32)


# ---- digests ----

def h(data):
    return hashlib.blake2b(data, digest_size=32).digest()


def tree(leaves):
    """The top of a Merkle tree over hashed leaves: the left side has the largest power of two below all."""
    if len(leaves) == 1:
        return leaves[0]
    left = 1
    while 2 * left < len(leaves):
        left *= 2
    return h(b"\1" + tree(leaves[:left]) + tree(leaves[left:]))


def blob_digest(data):
    leaves = [h(b"\0" + data[i:i + 16384]) for i in range(0, max(len(data), 1), 16384)]
    return h(b"\2" + struct.pack("<Q", len(data)) + tree(leaves))


def merkle_root(digests):
    return tree([h(b"\0" + d) for d in digests])


def fields_digest(label, *fields):
    data = bytes([len(label)]) + label.encode()
    return h(data + b"".join(struct.pack("<Q", len(f)) + f for f in fields))


def floats(values):
    return b"".join(struct.pack("<I", bits(v)) for v in values)


# ---- MessagePack ----

def head(n, short, *longer):
    """A length or a whole number in the shortest of its forms; short is (most, first byte)."""
    if n <= short[0]:
        return bytes([short[1] + n])
    for most, first, form in longer:
        if n <= most:
            return bytes([first]) + struct.pack(form, n)
    raise ValueError(n)


def pack(v):
    """Floats are binary32; a dictionary is the array of its values."""
    if isinstance(v, bool):
        return b"\xc3" if v else b"\xc2"
    if isinstance(v, int):
        return head(v, (0x7f, 0), (0xff, 0xcc, ">B"), (0xffff, 0xcd, ">H"), (2 ** 32 - 1, 0xce, ">I"),
                    (2 ** 64 - 1, 0xcf, ">Q"))
    if isinstance(v, float):
        return b"\xca" + struct.pack(">I", bits(v))
    if isinstance(v, bytes):
        return head(len(v), (-1, 0), (0xff, 0xc4, ">B"), (0xffff, 0xc5, ">H"), (2 ** 32 - 1, 0xc6, ">I")) + v
    if isinstance(v, str):
        text = v.encode()
        return head(len(text), (31, 0xa0), (0xff, 0xd9, ">B"), (0xffff, 0xda, ">H")) + text
    items = list(v.values()) if isinstance(v, dict) else v
    return head(len(items), (15, 0x90), (0xffff, 0xdc, ">H")) + b"".join(map(pack, items))


LAYERS = ["embedding", "position", "flatten", "linear", "conv2d", "max_pool", "average_pool", "layer_norm",
          "group_norm", "relu", "gelu", "silu", "tanh", "sigmoid", "dropout", "attention", "branch", "join"]
NUMBERS = {  # choices as the recipe has them, from 1
    "model": ["logistic", "mlp", "char-mlp", "cnn", "gpt", "layers"],
    "loss": ["cross_entropy", "binary_cross_entropy", "squared_error"],
    "mode": ["local", "gradient"], "optimizer": ["sgd", "adamw"], "inner_state": ["fresh", "average"],
    "schedule": ["constant", "cosine", "linear"],
    "compression": ["none", "int8", "fp16", "bf16", "sparseloco"], "outer": ["sgd", "nesterov", "adamw"],
    "kind": ["f32", "u8", "text"], "token": ["character", "byte"], "label": ["class", "number"],
}


def number(name, choice):
    return 0 if choice is None else 1 + NUMBERS[name].index(choice)


def recipe_bytes(recipe):
    layers = [[1 + LAYERS.index(l["type"])] + [l[k] for k in (
        "name", "width", "heads", "kernel", "stride", "padding", "tied", "bias", "rate", "init_scale")]
        for l in recipe["layers"]]
    train = [number(k, v) if k in NUMBERS else v for k, v in recipe["train"].items()]
    d = recipe["data"]
    data = [number("kind", d["kind"]), d["features"], d["context"], number("token", d["token"]),
            number("label", d["label"]), d["target_mean"], d["target_deviation"], d["listed"]]
    parts = [[p["samples"], p["shard_samples"], b"".join(map(blob_digest, p["shards"]))]
             for p in (d["train"], d["validation"])]
    return pack([2, 1, recipe["name"], recipe["seed"],
                 [number("model", recipe["model"]), number("loss", recipe["loss"]), recipe["image"], layers],
                 train, blob_digest(recipe["initial"]) if recipe["initial"] else ZERO_DIGEST, data + parts])
