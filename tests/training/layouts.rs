//! Training is the same each time, in every layout of images that it chooses: no kernel writes where it should not.

use ckaprune::program::Network;
use ckaprune::program::interface::Layout;
use ckaprune::train::finetune::{Training, may_lie_channels_last};
use tch::Device;

use super::common::images::easy_images;
use super::common::{Written, class, fixture, open, program};
use super::{images, lessons, model, run, train};

/// Under `ONEDNN_MAX_CPU_ISA=AVX2` this is where uxlfoundation/oneDNN#6035 shows, as other losses or as an end of the
/// process.
#[test]
fn trained_twice_every_width_of_convolutions_gives_the_same_bits() {
    let (_folder, part) = easy_images();
    for width in [3, 4, 6, 12] {
        let archive = open(&fixture(&format!("field/widths_{width}.pt")));
        let trained = || train(&archive, &part, 2, 0);
        let (first, second) = (trained(), trained());
        assert!(
            first
                .tuning
                .train_losses
                .iter()
                .all(|loss| loss.is_finite()),
            "{width}"
        );
        assert_eq!(
            first.tuning.train_losses, second.tuning.train_losses,
            "{width}"
        );
        let bytes = |archive: &ckaprune::archive::Archive| archive.to_bytes().unwrap();
        assert!(
            bytes(first.model.archive()) == bytes(second.model.archive()),
            "{width}"
        );
    }
}

#[test]
fn images_that_come_channels_last_are_trained_on_in_the_layout_that_is_right() {
    let (_folder, part) = easy_images();
    let archive = open(&fixture("field/widths_turned.pt"));
    let input = model(&archive).interface().unwrap().input;
    assert_eq!(input.layout, Layout::ChannelsLast);
    let images = images(&part);
    let trained = || run(&archive, lessons(&images), &Training::default());
    let (first, second) = (trained(), trained());
    assert_eq!(first.tuning.train_losses, second.tuning.train_losses);
    assert!(
        first.model.archive().to_bytes().unwrap() == second.model.archive().to_bytes().unwrap()
    );
}

/// A network of one convolution with this weight and the arguments behind it.
fn convolution(weight: &[i64], arguments: &str) -> Network {
    let body = format!("return torch.conv2d(x, self.weight, None, {arguments})");
    Written::new(&class("Net", &body))
        .tensor("weight", weight)
        .network()
}

fn may(network: &Network, channels: i64) -> bool {
    let program = program(network, &[channels, 8, 8]);
    may_lie_channels_last(network, &program, Device::Cpu)
}

#[test]
fn images_lie_channels_last_unless_a_narrow_convolution_of_one_pixel_leaves_pixels_out() {
    let plain = "[0, 0], [1, 1], 1";
    for (weight, arguments, expected) in [
        ([4, 6, 1, 1], format!("[1, 1], {plain}"), true),
        ([4, 6, 1, 1], format!("[2, 2], {plain}"), false),
        ([4, 6, 1, 1], format!("[1, 2], {plain}"), false),
        ([4, 6, 3, 3], format!("[2, 2], {plain}"), true),
        ([4, 2, 1, 1], "[3, 3], [0, 0], [1, 1], 3".into(), false),
    ] {
        assert_eq!(
            may(&convolution(&weight, &arguments), 6),
            expected,
            "{weight:?} {arguments}"
        );
    }
    // AVX-512 writes 16 channels at a time.
    let narrow = convolution(&[4, 12, 1, 1], &format!("[2, 2], {plain}"));
    assert!(!may(&narrow, 12));
    let wide = convolution(&[4, 16, 1, 1], &format!("[2, 2], {plain}"));
    assert!(may(&wide, 16));
    let on_a_gpu = may_lie_channels_last(&wide, &program(&wide, &[16, 8, 8]), Device::Cuda(0));
    assert!(!on_a_gpu);
}

#[test]
fn what_is_not_followed_may_be_such_a_convolution() {
    let only_in_training = class(
        "Net",
        "
        if self.training:
          x = torch.conv2d(x, self.weight, None, [2, 2])
        else:
          pass
        return x
        ",
    );
    let network = |shape: &[i64]| {
        Written::new(&only_in_training)
            .set("training", ckaprune::program::Attribute::Bool(false))
            .tensor("weight", shape)
            .network()
    };
    assert!(!may(&network(&[6, 6, 1, 1]), 6));
    assert!(may(&network(&[6, 6, 3, 3]), 6));
    let computed = class(
        "Net",
        "return torch.conv2d(x, torch.mul(self.scale, self.direction), None, [2, 2])",
    );
    let computed = Written::new(&computed)
        .tensor("scale", &[4, 1, 1, 1])
        .tensor("direction", &[4, 6, 1, 1]);
    assert!(!may(&computed.network(), 6));
}
