"""The PyTorch modules that Talkoot's models equal, with the same names in their state_dict."""

import torch
from torch import nn
from torch.nn import functional


class Position(nn.Module):
    """Adds a learned vector to each position."""

    def __init__(self, context, width):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(context, width))

    def forward(self, x):
        return x + self.weight


class Attention(nn.MultiheadAttention):
    """Causal self-attention."""

    def __init__(self, width, heads, bias=True):
        super().__init__(width, heads, bias=bias, batch_first=True)

    def forward(self, x):
        length = x.size(1)
        later = torch.ones(length, length, dtype=torch.bool).triu(1)
        return super().forward(x, x, x, need_weights=False, attn_mask=later)[0]


class Residual(nn.Sequential):
    def forward(self, x):
        return x + super().forward(x)


class GptAttention(nn.Module):
    def __init__(self, width, heads, bias):
        super().__init__()
        self.heads = heads
        self.c_attn = nn.Linear(width, 3 * width, bias=bias)
        self.c_proj = nn.Linear(width, width, bias=bias)

    def forward(self, x):
        batch, length, width = x.shape
        split = (batch, length, self.heads, width // self.heads)
        q, k, v = (part.reshape(split).transpose(1, 2) for part in self.c_attn(x).split(width, dim=2))
        scores = q @ k.transpose(2, 3) / (width // self.heads) ** 0.5
        later = torch.ones(length, length, dtype=torch.bool).triu(1)
        y = torch.softmax(scores.masked_fill(later, float("-inf")), dim=-1) @ v
        return self.c_proj(y.transpose(1, 2).reshape(batch, length, width))


class Norm(nn.Module):
    """Layer norm whose bias may be missing, which this age of nn.LayerNorm does not know."""

    def __init__(self, width, bias):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width)) if bias else None

    def forward(self, x):
        return functional.layer_norm(x, self.weight.shape, self.weight, self.bias, 1e-5)


class GptMlp(nn.Module):
    def __init__(self, width, bias):
        super().__init__()
        self.c_fc = nn.Linear(width, 4 * width, bias=bias)
        self.c_proj = nn.Linear(4 * width, width, bias=bias)

    def forward(self, x):
        return self.c_proj(functional.gelu(self.c_fc(x)))


class GptBlock(nn.Module):
    def __init__(self, width, heads, bias):
        super().__init__()
        self.ln_1 = Norm(width, bias)
        self.attn = GptAttention(width, heads, bias)
        self.ln_2 = Norm(width, bias)
        self.mlp = GptMlp(width, bias)

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class Gpt(nn.Module):
    """GPT-2 with the names of its usual PyTorch form."""

    def __init__(self, vocabulary, context, layers, heads, width, tie=True, bias=True):
        super().__init__()
        self.transformer = nn.ModuleDict(
            {
                "wte": nn.Embedding(vocabulary, width),
                "wpe": nn.Embedding(context, width),
                "h": nn.ModuleList(GptBlock(width, heads, bias) for _ in range(layers)),
                "ln_f": Norm(width, bias),
            }
        )
        self.lm_head = nn.Linear(width, vocabulary, bias=False)
        if tie:
            self.lm_head.weight = self.transformer.wte.weight
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, tokens):
        x = self.transformer.wte(tokens) + self.transformer.wpe.weight[: tokens.size(1)]
        for block in self.transformer.h:
            x = block(x)
        return self.lm_head(self.transformer.ln_f(x))
