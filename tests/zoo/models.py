"""The networks of the zoo, and which of their modules are residual blocks, told from the eager modules alone."""

from dataclasses import dataclass
from typing import Callable, List

import torch
import torchvision.models as tv
from torch import nn
from torchvision.models import convnext, efficientnet, maxvit, mnasnet, mobilenetv2, mobilenetv3
from torchvision.models import regnet, resnet, shufflenetv2, swin_transformer, vision_transformer

import own_models as own

SEED = 7


@dataclass(frozen=True)
class Entry:
    name: str
    make: Callable[[], nn.Module]
    side: int = 224
    # Only convolutions: a removal leaves the same bits. Attention may be computed in another order.
    convolutional: bool = True

    def input(self, batch: int) -> torch.Tensor:
        return torch.rand(batch, 3, self.side, self.side, generator=torch.Generator().manual_seed(SEED))

    def build(self) -> nn.Module:
        """The eager network in evaluation mode, with seeded weights."""
        torch.manual_seed(SEED)
        model = self.make()
        spread_constants(model)
        settle_statistics(model, self.input(4))
        return model.eval().requires_grad_(False)


@torch.no_grad()
def spread_constants(model: nn.Module) -> None:
    """Ones, zeros and tiny layer scales hide mistakes: a block scaled by 1e-6 is removed unseen."""
    for parameter in model.parameters():
        if bool((parameter == parameter.flatten()[0]).all()):
            parameter.add_(0.1 * torch.randn_like(parameter))


@torch.no_grad()
def settle_statistics(model: nn.Module, batch: torch.Tensor) -> None:
    """Running statistics near those of real activations, so that nothing vanishes or overflows, and each different."""
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    model.train()(batch)
    for norm, momentum in zip(norms, momenta):
        norm.momentum = momentum
        mean, var = norm.running_mean, norm.running_var
        mean.add_(0.2 * torch.randn_like(mean) * (var + norm.eps).sqrt())
        var.mul_(0.5 + torch.rand_like(var))


def torchvision_entries() -> List[Entry]:
    def entry(name: str, **about) -> Entry:
        options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
        return Entry(name, lambda: getattr(tv, name)(weights=None, **options), **about)

    convolutional = """
        resnet18 resnet34 resnet50 resnet101 resnet152 resnext50_32x4d resnext101_64x4d wide_resnet50_2
        mobilenet_v2 mobilenet_v3_small mobilenet_v3_large mnasnet0_5 mnasnet1_0
        efficientnet_b0 efficientnet_b1 efficientnet_b2 efficientnet_b3 efficientnet_v2_s
        convnext_tiny regnet_y_400mf regnet_x_800mf shufflenet_v2_x0_5 shufflenet_v2_x1_0
        vgg11_bn alexnet squeezenet1_1 densenet121 googlenet""".split()
    attention = "swin_t swin_v2_t vit_b_16 maxvit_t".split()
    return [
        *(entry(name) for name in convolutional),
        entry("inception_v3", side=299),
        *(entry(name, convolutional=False) for name in attention),
    ]


def own_entries() -> List[Entry]:
    post, pre = own.PostActivationBlock, own.PreActivationBlock
    makers = {
        "own_preactivation": lambda: own.Staged(pre),
        "own_stochastic_depth": lambda: own.Staged(post, drop=0.2),
        "own_squeeze_excitation": lambda: own.Staged(post, squeeze=True),
        "own_tuple": lambda: own.ReturnsTuple(post),
        "own_dict": lambda: own.ReturnsDict(post),
        "own_normalised": lambda: own.Normalised(own.Staged(post)),
        "own_cross_stage": own.CrossStagePartial,
        "own_aggregation": own.AggregationTree,
        "own_in_place": own.InPlace,
        "own_walks": own.Walks,
        "own_detector": own.Detector,
        "own_embedding": own.Embedding,
        "own_super_resolution": own.SuperResolution,
        "own_towers": own.Towers,
    }
    return [Entry(name, make, side=32) for name, make in makers.items()]


def segmentation_entries() -> List[Entry]:
    names = "fcn_resnet50 deeplabv3_mobilenet_v3_large lraspp_mobilenet_v3_large".split()
    options = {"weights": None, "weights_backbone": None}
    return [Entry(name, lambda name=name: getattr(tv.segmentation, name)(**options), side=64) for name in names]


ENTRIES = {entry.name: entry for entry in [*own_entries(), *torchvision_entries(), *segmentation_entries()]}
# They answer for places in images, with several outputs, or with rows that are no class scores.
OTHER_ANSWERS = [
    *(entry.name for entry in segmentation_entries()), "own_detector", "own_embedding", "own_super_resolution", "own_towers",
]

# Which instances of a class are `x + f(x)`, an activation behind the sum included.
RESIDUAL = {
    resnet.BasicBlock: lambda b: b.downsample is None,
    resnet.Bottleneck: lambda b: b.downsample is None,
    mobilenetv2.InvertedResidual: lambda b: b.use_res_connect,
    mobilenetv3.InvertedResidual: lambda b: b.use_res_connect,
    mnasnet._InvertedResidual: lambda b: b.apply_residual,
    efficientnet.MBConv: lambda b: b.use_res_connect,
    efficientnet.FusedMBConv: lambda b: b.use_res_connect,
    convnext.CNBlock: lambda b: True,
    regnet.ResBottleneckBlock: lambda b: b.proj is None,
    swin_transformer.SwinTransformerBlock: lambda b: True,
    swin_transformer.SwinTransformerBlockV2: lambda b: True,
    vision_transformer.EncoderBlock: lambda b: True,
    maxvit.MBConv: lambda b: isinstance(b.proj, nn.Identity),
    own.PostActivationBlock: lambda b: b.shortcut is None,
    own.PreActivationBlock: lambda b: b.shortcut is None,
    own.InPlaceBlock: lambda b: b.shortcut is None,
    own.PlainBlock: lambda b: True,
}

# Modules that are no residual blocks and end in a residual sum, by the module that begins it: what is left without it. The
# skip of this one carries the input that its activation has written over, so that stays.
ENDS_IN_SUM = {own.InputWritingBlock: ("conv", "act")}

# The two residual halves of a transformer block.
HALVES = {
    swin_transformer.SwinTransformerBlock: ("attn", "mlp"),
    swin_transformer.SwinTransformerBlockV2: ("attn", "mlp"),
    vision_transformer.EncoderBlock: ("self_attention", "mlp"),
    maxvit.PartitionAttentionLayer: ("attn_layer", "mlp_layer"),
}

# A normalisation behind a half's own module: it answers zeros with its bias, so it has to go with the half.
NORM_BEHIND = {
    (swin_transformer.SwinTransformerBlockV2, "attn"): "norm1",
    (swin_transformer.SwinTransformerBlockV2, "mlp"): "norm2",
}


@dataclass(frozen=True)
class Expected:
    """Paths of what has to be found removable, and of what may be found besides."""

    required: frozenset
    allowed: frozenset = frozenset()
    # Spans have names that the eager network does not have: only a lower bound is known.
    open_ended: bool = False


def expected_blocks(model: nn.Module, mode: str) -> Expected:
    modules = list(model.named_modules())
    blocks = {path for path, m in modules if type(m) in RESIDUAL and RESIDUAL[type(m)](m)}
    blocks |= {f"{path}.{ENDS_IN_SUM[type(m)][0]}" for path, m in modules if type(m) in ENDS_IN_SUM}
    if mode == "fine":
        halves = {f"{path}.{half}" for path, m in modules for half in HALVES.get(type(m), ())}
        whole = {path for path, m in modules if type(m) in HALVES}
        return Expected(frozenset(halves | (blocks - whole)))
    # Between partition and departition lies `x + f(x)` twice, so the whole may pass for a block, or each sum; all are sound.
    partition = maxvit.PartitionAttentionLayer
    partitioned = {path for path, m in modules if isinstance(m, partition)}
    partitioned |= {f"{path}.{half}" for path in partitioned for half in HALVES[partition]}
    if mode == "all":
        units = {path for path, m in modules if is_plain_unit(m)}
        return Expected(frozenset(blocks | units), frozenset(partitioned), open_ended=True)
    return Expected(frozenset(blocks), frozenset(partitioned))


def is_plain_unit(module: nn.Module) -> bool:
    """A module without a skip around it whose output has its input's shape."""
    return isinstance(module, shufflenetv2.InvertedResidual) and module.stride == 1


def shape_keeping_convolutions(model: nn.Module) -> int:
    """How many convolutions stand in a Sequential and keep the shape: each begins a span that could go."""
    children = (m for parent in model.modules() if isinstance(parent, nn.Sequential) for m in parent)
    return sum(
        isinstance(m, nn.Conv2d)
        and m.in_channels == m.out_channels
        and m.stride == (1, 1)
        and all(2 * p == d * (k - 1) for p, d, k in zip(m.padding, m.dilation, m.kernel_size))
        for m in children
    )
