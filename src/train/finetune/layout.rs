//! How images lie in memory while a network is trained on a CPU.

use tch::Device;

use crate::program::{ModuleTree, Network, Operand, Program, Statement};

/// Fewer channels than oneDNN's kernels write at a time: 8 with AVX2, 16 with AVX-512.
const FEW: i64 = 16;

/// Whether images may lie channels last while the network is trained: a CPU's convolutions are quicker so, but not
/// all of them are right. A GPU's images stay as they come.
///
/// The gradient of the weights of a convolution of one pixel that leaves pixels out and has fewer input channels than that
/// is written behind its buffer (uxlfoundation/oneDNN#6035, in the oneDNN 3.10 of libtorch 2.11). Groups and padding seem to spare it; they are not relied on. In the contiguous layout another
/// kernel runs.
#[must_use]
pub fn may_lie_channels_last(network: &Network, program: &Program, device: Device) -> bool {
    if device != Device::Cpu {
        return false;
    }
    let convolutions = || program.statements.iter().filter(|s| is_convolution(s));
    if convolutions().any(|s| overruns(network, program, s)) {
        return false;
    }
    // A weight that is used where the code could not be followed may be used in that way.
    let is_followed = |weight: &Operand| convolutions().any(|s| s.arg(1, "weight") == Some(weight));
    let mut weights = network.modules.tensors(ModuleTree::ROOT);
    weights.all(|(module, name, info)| {
        let name = name.to_owned();
        !info.parameter
            || !is_narrow(&info.shape)
            || is_followed(&Operand::Attribute { module, name })
    })
}

fn is_convolution(statement: &Statement) -> bool {
    matches!(
        statement.operator(),
        Some("conv2d" | "_convolution" | "_convolution_mode" | "convolution")
    )
}

/// Whether it is, or may be, a convolution of the kind that oneDNN gets wrong.
fn overruns(network: &Network, program: &Program, convolution: &Statement) -> bool {
    let strides_by_one = match convolution.arg(3, "stride") {
        None => true,
        Some(stride) => stride.ints().is_some_and(|s| s.iter().all(|n| *n == 1)),
    };
    let narrow = match convolution.arg(1, "weight") {
        Some(Operand::Value(made)) => program.shape(*made).is_none_or(|shape| {
            let sizes: Option<Vec<i64>> = shape.iter().map(|d| d.known()).collect();
            sizes.is_none_or(|sizes| is_narrow(&sizes))
        }),
        Some(weight) => network
            .tensor(weight)
            .is_none_or(|info| is_narrow(&info.shape)),
        None => true,
    };
    narrow && !strides_by_one
}

/// Whether a weight (out × in × height × width) is of one pixel and few channels.
fn is_narrow(shape: &[i64]) -> bool {
    matches!(shape, [_, inputs, 1, 1] if *inputs < FEW)
}
