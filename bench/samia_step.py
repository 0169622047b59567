"""A training step of SAMIA's paper recipe against the same network of nn.TransformerEncoder."""

import torch
from _timing import side_by_side
from torch import nn

from prunemia.attacks.samia import Network

ROWS = 128


class Plain(nn.Module):
    """SAMIA as the published code builds it, with torch's own encoder."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.normalize = nn.BatchNorm1d(3 * classes)
        self.embed = nn.Linear(3, 64)
        layer = nn.TransformerEncoderLayer(64, 4, 128, 0.2, activation="gelu", batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)
        self.hidden, self.head = nn.Linear(64 * classes, 64), nn.Linear(64, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = self.normalize(x).view(-1, 3, self.classes).transpose(1, 2)
        encoded = self.encoder(nn.functional.gelu(self.embed(tokens)))
        return self.head(torch.relu(self.hidden(encoded.flatten(1))))


def copy(ours: Network, plain: Plain) -> None:
    """Give ``plain`` the weights of ``ours``."""
    for name in ("normalize", "embed", "hidden", "head"):
        getattr(plain, name).load_state_dict(getattr(ours, name).state_dict())
    names = {
        "mix": "self_attn.in_proj_",
        "out": "self_attn.out_proj.",
        "up": "linear1.",
        "down": "linear2.",
    }
    names |= {"norm1": "norm1.", "norm2": "norm2."}
    for source, target in zip(ours.layers, plain.encoder.layers, strict=True):
        state = {
            names[k.split(".")[0]] + k.split(".")[1]: v for k, v in source.state_dict().items()
        }
        target.load_state_dict(state)


def steps(network: nn.Module, count: int = 12) -> None:
    """Take ``count`` training steps of the paper's recipe; the fused optimizer is part of ours."""
    x = torch.randn(ROWS, 3 * network.classes, generator=torch.Generator().manual_seed(1))
    y = torch.arange(ROWS) % 2
    fused = isinstance(network, Network)
    sgd = torch.optim.SGD(network.parameters(), 1e-3, 0.9, weight_decay=5e-4, fused=fused)
    network.train()
    for _ in range(count):
        sgd.zero_grad()
        nn.functional.cross_entropy(network(x), y).backward()
        sgd.step()


def twins(classes: int) -> tuple[Plain, Network]:
    """Return torch's and our network with the same weights; refuse to if their outputs differ."""
    torch.manual_seed(0)
    ours, plain = Network(classes, fast=False), Plain(classes)
    copy(ours, plain)
    x = torch.randn(ROWS, 3 * classes)
    torch.testing.assert_close(ours.eval()(x), plain.eval()(x), rtol=1e-4, atol=1e-5)
    return plain, ours


def main() -> None:
    for classes, target in ((30, 1.6), (100, 2.0)):
        plain, ours = twins(classes)
        steps_of = f"C = {classes}, 12 steps of {ROWS} samples"
        name = f"SAMIA, paper recipe, {steps_of}, against nn.TransformerEncoder"
        side_by_side(name, lambda p=plain: steps(p), lambda o=ours: steps(o), target=target)


if __name__ == "__main__":
    main()
