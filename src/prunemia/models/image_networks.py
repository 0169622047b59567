"""ResNet-18, VGG-16 and DenseNet-121: torchvision's layers, for images of 32×32.

Where torchvision halves a photograph of 224×224 twice before its first block, these keep a small
image whole: a 3×3 stem of stride 1 and no pooling after it. Where its VGG ends in three linear
layers over 7×7 places (124 million weights), this one pools to one place, 512 features, and one
linear layer, as is usual for 32×32. At another ``width`` than the published 64 all channels, but
those of the image and the classes, are width / 64 of the published ones: at 16 an image costs about
a sixteenth.
Source: Yuan & Zhang (2022), section 6.1, name the networks; the changes of stem and head are ours.
"""

from __future__ import annotations

from torch import nn


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
    module.conv1 = _stem(shape[0], width)
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
    """DenseNet-121 (Huang et al., 2017): 7.0 million weights at width 64, which grows by width / 2.

    The published network, too, grows by half its first block's channels.
    """
    from torchvision import models

    module = models.DenseNet(width // 2, (6, 12, 24, 16), width, num_classes=classes)
    module.features.conv0 = _stem(shape[0], width)
    module.features.pool0 = nn.Identity()
    return module


def _stem(channels: int, width: int) -> nn.Conv2d:
    return nn.Conv2d(channels, width, 3, padding=1, bias=False)
