"""ResNet-18, VGG-16 and DenseNet-121: torchvision's layers, for images of 32×32.

Where torchvision halves a photograph of 224×224 twice before its first block, these keep a small
image whole: a 3×3 stem of stride 1 and no pooling after it. Where its VGG ends in three linear
layers over 7×7 places (124 million weights), this one pools to one place, 512 features, and one
linear layer, as is usual for 32×32.
Source: Yuan & Zhang (2022), section 6.1, name the networks; the changes of stem and head are ours.
"""

from __future__ import annotations

from torch import nn


def resnet18(channels: int, classes: int) -> nn.Module:
    """ResNet-18 (He et al., 2016): 11.2 million weights at ten classes."""
    from torchvision import models

    module: nn.Module = models.resnet18(weights=None, num_classes=classes)
    module.conv1 = _stem(channels, 64)
    module.maxpool = nn.Identity()
    return module


def vgg16(channels: int, classes: int) -> nn.Module:
    """VGG-16 with BatchNorm (Simonyan & Zisserman, 2015): 14.7 million weights at ten classes."""
    from torchvision.models import vgg

    features = vgg.make_layers(vgg.cfgs["D"], batch_norm=True)
    features[0] = nn.Conv2d(channels, 64, 3, padding=1)
    return nn.Sequential(features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, classes))


def densenet121(channels: int, classes: int) -> nn.Module:
    """DenseNet-121 (Huang et al., 2017): 7.0 million weights at ten classes."""
    from torchvision import models

    module = models.densenet121(weights=None, num_classes=classes)
    module.features.conv0 = _stem(channels, 64)
    module.features.pool0 = nn.Identity()
    return module  # type: ignore[no-any-return]


def _stem(channels: int, width: int) -> nn.Conv2d:
    return nn.Conv2d(channels, width, 3, padding=1, bias=False)
