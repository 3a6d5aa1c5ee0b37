"""Reads and writes safetensors with nothing but the standard library and PyTorch, as an oracle of Talkoot's own
reader and writer."""

import json
import struct

import torch

DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "F64": torch.float64}


def load(path):
    with open(path, "rb") as file:
        data = file.read()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    tensors = {}
    for name, about in header.items():
        begin, end = about["data_offsets"]
        flat = torch.frombuffer(bytearray(data[8 + length + begin : 8 + length + end]), dtype=DTYPES[about["dtype"]])
        tensors[name] = flat.reshape(about["shape"])
    return tensors


def save(path, tensors):
    names = {dtype: name for name, dtype in DTYPES.items()}
    header, parts, offset = {"__metadata__": {"format": "pt"}}, [], 0
    for name, tensor in tensors.items():
        part = tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        header[name] = {
            "dtype": names[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [offset, offset + len(part)],
        }
        offset += len(part)
        parts.append(part)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(parts))


def load_flat(path, dtype, shape):
    """A file of bare little-endian numbers."""
    with open(path, "rb") as file:
        return torch.frombuffer(bytearray(file.read()), dtype=dtype).reshape(shape)
