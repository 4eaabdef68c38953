"""One network of each family of timm 1.0: the smallest variant, at the smallest size of images it takes well."""

from dataclasses import dataclass, field
from typing import Dict

import timm
import torch
from torch import nn

import models


@dataclass(frozen=True)
class Family:
    name: str
    variant: str
    side: int = 64
    # Of `create_model`: the size of images where the network is built for one, and the width of one that is large.
    options: Dict[str, object] = field(default_factory=dict)

    def input(self, batch: int) -> torch.Tensor:
        return torch.rand(batch, 3, self.side, self.side, generator=torch.Generator().manual_seed(models.SEED))

    def build(self, scriptable: bool) -> nn.Module:
        """The eager network in evaluation mode, with seeded weights."""
        torch.manual_seed(models.SEED)
        model = timm.create_model(self.variant, pretrained=False, scriptable=scriptable, **self.options)
        models.spread_constants(model)
        models.settle_statistics(model, self.input(4))
        return model.eval().requires_grad_(False)


def any_size(table: str, side: int = 64) -> list:
    """Networks that take images of any size."""
    return [Family(family, variant, side) for family, variant in (line.split() for line in table.strip().splitlines())]


def built_for(side: int, table: str, **options) -> list:
    """Networks that are built for images of one size."""
    rows = (line.split() for line in table.strip().splitlines())
    return [Family(family, variant, side, {"img_size": side, **options}) for family, variant in rows]


FAMILIES = {
    family.name: family
    for family in [
        *any_size("""
            gernet gernet_s
            mobileone mobileone_s1
            repvgg repvgg_a0
            convmixer convmixer_768_32
            convnext convnext_atto
            convnext_v2 convnextv2_atto
            cspnet cs3darknet_s
            darknet darknet17
            cspnext cspnext_tiny
            cpubone cpubone_nano
            davit davit_tiny
            densenet densenet121
            dla dla46x_c
            dpn dpn48b
            edgenext edgenext_xx_small
            efficientnet efficientnet_b0
            efficientnet_v2 efficientnetv2_rw_t
            mnasnet mnasnet_small
            mobilenet_v1 mobilenetv1_100
            mobilenet_v2 mobilenetv2_035
            tinynet tinynet_e
            efficientvim efficientvim_m1
            efficientvit_mit efficientvit_b0
            fasternet fasternet_t0
            focalnet focalnet_tiny_srf
            ghostnet ghostnet_050
            ghostnet_v2 ghostnetv2_100
            ghostnet_v3 ghostnetv3_050
            hardcorenas hardcorenas_b
            hieradet hieradet_small
            hgnet hgnet_tiny
            hgnet_v2 hgnetv2_b0
            hrnet hrnet_w18_small
            iformer iformer_t
            inception_next inception_next_atto
            lcnet lcnet_035
            lcnet_v2 lcnetv2_small
            lowformer lowformer_b0
            mambaout mambaout_femto
            caformer caformer_s18
            poolformer poolformer_s12
            poolformer_v2 poolformerv2_s12
            mobilenet_v3 mobilenetv3_small_050
            mobilenet_v4 mobilenetv4_conv_small_035
            mobilevit mobilevit_xxs
            mobilevit_v2 mobilevitv2_050
            nextvit nextvit_small
            eca_nfnet eca_nfnet_l0
            nf_regnet nf_regnet_b0
            pvt_v2 pvt_v2_b0
            rdnet rdnet_tiny
            regnet regnetx_002
            regnet_y regnety_002
            repghost repghostnet_050
            repvit repvit_m0_9
            res2net res2net50_14w_8s
            resnest resnest14d
            resnet resnet10t
            resnext resnext50_32x4d
            resnet_v2 resnetv2_18
            rexnet rexnet_100
            selecsls selecsls42
            senet legacy_seresnet18
            sknet skresnet18
            starnet starnet_s050
            shvit shvit_s1
            tresnet tresnet_m
            vovnet ese_vovnet19b_slim_dw
            xception legacy_xception
            xception_aligned xception41
            fastvit fastvit_t8
            tiny_vit tiny_vit_5m_224
            csatv2 csatv2
        """),
        *any_size("vgg vgg11_bn", 32),
        *any_size("""
            inception_v3 inception_v3
            inception_resnet_v2 inception_resnet_v2
            nasnet nasnetalarge
        """, 96),
        *any_size("""
            halonet halonet26t
        """, 256),
        *any_size("lambda_resnet lambda_resnet26t"),
        *any_size("""
            efficientformer efficientformer_l1
            swiftformer swiftformer_xs
            efficientvit_msra efficientvit_m0
            levit levit_128s
            crossvit crossvit_tiny_240
        """, 224),
        # There is none that is smaller.
        *built_for(64, "beit beit_base_patch16_224", embed_dim=192, num_heads=3),
        *built_for(64, """
            cait cait_xxs24_224
            coat coat_lite_tiny
            convit convit_tiny
            deit deit_tiny_patch16_224
            deit_distilled deit_tiny_distilled_patch16_224
            efficientformer_v2 efficientformerv2_s0
            eva eva02_tiny_patch14_224
            gcvit gcvit_xxtiny
            hiera hiera_tiny_224
            coatnet coatnet_pico_rw_224
            maxvit maxvit_pico_rw_256
            gmlp gmlp_ti16_224
            mlp_mixer mixer_s16_224
            resmlp resmlp_12_224
            mvit_v2 mvitv2_tiny
            nest nest_tiny
            pit pit_ti_224
            sequencer2d sequencer2d_s
            swin swin_tiny_patch4_window7_224
            swin_v2 swinv2_tiny_window8_256
            swin_v2_cr swinv2_cr_tiny_224
            tnt tnt_s_patch16_224
            twins_pcpvt twins_pcpvt_small
            twins_svt twins_svt_small
            visformer visformer_tiny
            vit vit_tiny_patch16_224
            vit_hybrid vit_tiny_r_s16_p8_224
            vit_relpos vit_relpos_small_patch16_224
            vit_dinov3 vit_tiny_patch16_dinov3_qkvb
            vitamin vitamin_small_224
            volo volo_d1_224
            xcit xcit_nano_12_p16_224
        """),
    ]
}
