"""Twenty published networks pruned and cut: same answers, or a sentence. Minutes: by hand alone."""

import argparse
import warnings

import torch
from torch import nn
from torchvision import models

from prunemia.models import macs
from prunemia.pruning import cut, prune

NAMES = (
    "resnet18", "resnet50", "resnext50_32x4d", "wide_resnet50_2", "vgg16_bn", "alexnet",
    "densenet121", "mobilenet_v2", "mobilenet_v3_small", "efficientnet_b0", "efficientnet_v2_s",
    "shufflenet_v2_x0_5", "regnet_y_400mf", "regnet_x_400mf", "squeezenet1_1", "googlenet",
    "mnasnet0_5", "convnext_tiny", "swin_t", "vgg11_bn",
)  # fmt: skip
METHODS = ("l1structured", "l2structured", "slim", "l1unstructured")
SHAPE = (3, 64, 64)


def trained(name: str) -> nn.Module:
    """Build a network in which no normalization's γ, β, mean or variance is special."""
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = models.get_model(name, weights=None, num_classes=10)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for tensor in (layer.weight, layer.running_var):
                tensor.data.uniform_(0.5, 1.5)
            for tensor in (layer.bias, layer.running_mean):
                tensor.data.normal_(0, 0.3)
    return module.eval()


def outcome(name: str, method: str) -> str:
    """Prune and cut; say what is left of the multiplications, or the sentence that refuses."""
    module = trained(name)
    try:
        prune(module, method, 0.6)
        small = cut(module, SHAPE)
    except ValueError as error:
        return str(error).replace("\n", " ")
    x = torch.randn(8, *SHAPE, generator=torch.Generator().manual_seed(1)) * 3
    with torch.no_grad():
        answers, before = small(x), module(x)
    worst = float((answers - before).abs().max() / before.abs().max())
    assert worst < 1e-4, f"{name}, {method}: answers differ by {worst}"
    return f"same answers, {macs(small, SHAPE) / macs(module, SHAPE):.0%} of the multiplications"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=NAMES)
    print("| network | method | result |\n|---|---|---|", flush=True)
    for name in parser.parse_args().names:
        for method in METHODS:
            print(f"| {name} | {method} | {outcome(name, method)} |", flush=True)


if __name__ == "__main__":
    main()
