"""The networks, plain ones that can be stacked and torchvision's, and what they cost."""

import contextlib
import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from prunemia.registry import NETWORKS, load

FORMS = {"features": "features", "series": "channels, length", "images": "channels, height, width"}
# the samples that networks take, dimension by dimension


class Dropout(nn.Dropout):
    """Dropout by its own ``generator``, so that a network's draws are its own; None: torch's."""

    generator: torch.Generator | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` with a share ``p`` of its entries dropped while training."""
        if not self.training or self.p == 0:
            return x
        return x * dropout_mask(x.shape, self.p, self.generator, x.device).to(x.dtype)


def draw_dropout_from(generator: torch.Generator | None, module: nn.Module) -> None:
    """Let a network's dropout draw from a generator."""
    for layer in module.modules():
        if isinstance(layer, Dropout):
            layer.generator = generator


def dropout_mask(
    shape: Sequence[int], p: float, generator: torch.Generator | None, device: torch.device | str
) -> Tensor:
    """Draw 0 with probability p, met to 2**-17, and 1 / (1 - p) otherwise, shape ``shape``."""
    # four entries share one 64-bit draw, at a quarter of bernoulli's cost
    count = math.prod(shape)
    bits = torch.empty(-(-count // 4), dtype=torch.int64, device=device)
    bits.random_(-(2**63), None, generator=generator)
    level = round(p * 2**16) - 2**15
    keep = bits.view(torch.int16)[:count].view(*shape) >= level
    return keep.to(torch.float32).div_(1 - p)


def build(
    name: str, input_shape: Sequence[int], classes: int, *, width: int | None = None, seed: int = 0
) -> nn.Module:
    """Return a fresh network of `NETWORKS`; its start, by ``seed``, is that of `initialize`.

    ``input_shape``: of one sample, channels first; ``width``: channels of the first block (columnfc
    has none), None: the network's own. ValueError: no such network, or not for such samples.
    """
    kind = NETWORKS.find(name)
    shape = tuple(input_shape)
    form = FORMS.get(kind.takes or "", "")
    if form and len(shape) != form.count(",") + 1:
        raise ValueError(f"model: {name!r} takes samples of shape ({form}); this data has {shape}")
    if kind.takes == "images" and min(shape[1:]) < kind.smallest:
        least = f"{kind.smallest}×{kind.smallest}"
        raise ValueError(f"model: {name!r} takes images of {least} or more; these are {shape}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = initialize(load(kind.import_path)(shape, classes, width or kind.width or 0))
        return module.to(memory_format=torch.channels_last)


def initialize(module: nn.Module) -> nn.Module:
    """Give layers Xavier-normal weights and no biases; a subclass of theirs starts itself."""
    for layer in module.modules():
        if type(layer) in (nn.Linear, nn.Conv1d, nn.Conv2d):
            nn.init.xavier_normal_(layer.get_parameter("weight"))
            if layer.bias is not None:
                nn.init.zeros_(layer.get_parameter("bias"))
    return module


class Pool(nn.AdaptiveAvgPool1d):
    """Averages to so many places; where there are as many already, it takes no time for it."""

    def forward(self, x: Tensor) -> Tensor:
        """Return x, shape (n, C, L), averaged to (n, C, output_size)."""
        return x if x.shape[-1] == self.output_size else super().forward(x)


def columnfc(shape: tuple[int, ...], classes: int, _: int) -> nn.Module:
    """Yuan & Zhang's network for feature data: two hidden layers of 256 and 128."""
    first = [nn.Linear(math.prod(shape), 256), nn.ReLU(), Dropout(0.1)]
    second = [nn.Linear(256, 128), nn.ReLU(), Dropout(0.1)]
    return nn.Sequential(nn.Flatten(), *first, *second, nn.Linear(128, classes))


def cnn1d(shape: tuple[int, ...], classes: int, width: int) -> nn.Module:
    """Three halving Conv1d blocks (Greydanus & Kobak 2024), pooled to five, and a linear head."""
    layers: list[nn.Module] = []
    for channels, kernel in ((shape[0], 5), (width, 3), (width, 3)):
        layers += [nn.Conv1d(channels, width, kernel, stride=2, padding=kernel // 2, bias=False)]
        layers += [nn.BatchNorm1d(width), nn.ReLU()]
    return nn.Sequential(*layers, Pool(5), nn.Flatten(), nn.Linear(5 * width, classes))


def cnn2d(shape: tuple[int, ...], classes: int, width: int) -> nn.Module:
    """Three halving Conv2d + BatchNorm + ReLU blocks, pooled, and a linear head: small images."""
    layers: list[nn.Module] = []
    for channels, wide in ((shape[0], width), (width, 2 * width), (2 * width, 4 * width)):
        layers += [nn.Conv2d(channels, wide, 3, stride=2, padding=1, bias=False)]
        layers += [nn.BatchNorm2d(wide), nn.ReLU()]
    head = nn.Linear(4 * width, classes)
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)


# torchvision's networks (Yuan & Zhang 2022, section 6.1), for images of 32×32: a 3×3 stem of stride
# 1 without pooling, and VGG pooled to one place with one linear layer in place of three. At another
# width than the published 64 all channels but the image's are width / 64 of the published ones.


def resnet18(shape: tuple[int, ...], classes: int, width: int) -> nn.Module:
    """ResNet-18 (He et al., 2016): 11.2 million weights at ten classes and width 64."""
    from torchvision import models
    from torchvision.models.resnet import BasicBlock

    module = models.resnet18(weights=None, num_classes=classes)
    if width != 64:  # the published width takes torchvision's as it is, draws and all
        module.inplanes = width
        module.bn1 = nn.BatchNorm2d(width)
        for stage in range(4):
            blocks = module._make_layer(BasicBlock, width * 2**stage, 2, stride=1 + (stage > 0))
            setattr(module, f"layer{stage + 1}", blocks)
        module.fc = nn.Linear(8 * width, classes)
    module.conv1 = nn.Conv2d(shape[0], width, 3, padding=1, bias=False)
    module.maxpool = nn.Identity()
    return module


def vgg16(shape: tuple[int, ...], classes: int, width: int) -> nn.Module:
    """VGG-16 with BatchNorm (Simonyan & Zisserman, 2015): 14.7 million weights at width 64."""
    from torchvision.models import vgg

    plan = [each if isinstance(each, str) else each * width // 64 for each in vgg.cfgs["D"]]
    features = vgg.make_layers(plan, batch_norm=True)
    features[0] = nn.Conv2d(shape[0], width, 3, padding=1)
    head = nn.Linear(8 * width, classes)
    return nn.Sequential(features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)


def densenet121(shape: tuple[int, ...], classes: int, width: int) -> nn.Module:
    """DenseNet-121 (Huang et al., 2017), grown by width / 2: 7.0 million weights at width 64."""
    from torchvision import models

    module = models.DenseNet(width // 2, (6, 12, 24, 16), width, num_classes=classes)
    module.features.conv0 = nn.Conv2d(shape[0], width, 3, padding=1, bias=False)
    module.features.pool0 = nn.Identity()
    return module


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one CPU thread: faster for small networks, and the same bits at any load."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Set evaluation mode, and restore afterwards the mode of each layer, one by one."""
    modes = [(layer, layer.training) for layer in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for layer, mode in modes:
            layer.training = mode


@torch.no_grad()
def macs(module: nn.Module, shape: tuple[int, ...]) -> int:
    """Return one sample's multiplications in convolutions and matrix products (linear layers)."""
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    with evaluating(module), counter:
        module(torch.zeros((1, *shape)).to(next(module.parameters())))
    return int(counter.get_total_flops()) // 2  # a multiplication and an addition are two
