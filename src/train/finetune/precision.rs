//! Mixed precision: a network's products in bfloat16, everything else in f32.
//!
//! bfloat16 has the exponents of f32, so that no gradient vanishes that f32 could hold: the loss needs no scaling, as
//! it does with float16 (Micikevicius et al., arXiv 1710.03740; Kalamkar et al., arXiv 1905.12322).

use anyhow::Result;
use tch::{Device, Kind, Tensor};
use torch_sys::{
    at_autocast_clear_cache, at_autocast_decrement_nesting, at_autocast_increment_nesting,
};

use crate::program::dtype::Dtype;
use crate::run::torch::{self, Module, explain};

/// In what a network's forward pass multiplies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// As its parameters are.
    Full,
    /// In bfloat16, as libtorch's autocast has it; on a device of this kind.
    Mixed(DeviceType),
}

/// libtorch's `c10::DeviceType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum DeviceType {
    #[cfg(test)]
    Cpu = 0,
    Cuda = 1,
}

impl Precision {
    /// Mixed where it is wanted, the device has bfloat16, and the network computes in f32; else full. A CPU's results
    /// are always those of full precision.
    #[must_use]
    pub fn choose(wanted: bool, device: Device, element: Dtype) -> Self {
        if wanted && element == Dtype::Float32 && torch::has_bfloat16(device) {
            Precision::Mixed(DeviceType::Cuda)
        } else {
            Precision::Full
        }
    }

    /// Runs a network in this precision.
    ///
    /// # Errors
    /// If the network cannot run.
    pub fn run<T>(self, forward: impl FnOnce() -> Result<T>) -> Result<T> {
        let _casting = match self {
            Precision::Full => None,
            Precision::Mixed(kind) => Some(Autocast::begin(kind)),
        };
        forward()
    }

    /// Class scores of a batch; f32 where precision is mixed, so that the loss is computed in it.
    ///
    /// # Errors
    /// If the network cannot run.
    pub fn forward(self, module: &Module, images: &Tensor) -> Result<Tensor> {
        self.wide(self.run(|| module.forward(images))?)
    }

    /// Class scores as the loss is computed of them.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn wide(self, scores: Tensor) -> Result<Tensor> {
        match self {
            Precision::Full => Ok(scores),
            Precision::Mixed(_) => scores.f_to_kind(Kind::Float).map_err(explain),
        }
    }
}

/// libtorch's autocast on this thread, until it is dropped.
struct Autocast {
    kind: DeviceType,
    was_on: bool,
}

/// libtorch's number of the element type.
const BFLOAT16: i8 = 15;

impl Autocast {
    fn begin(kind: DeviceType) -> Self {
        // SAFETY: all of them set or read thread-local values only, and fail for devices without autocast alone.
        unsafe {
            let was_on = is_autocast_enabled(kind);
            set_autocast_dtype(kind, BFLOAT16);
            set_autocast_enabled(kind, true);
            at_autocast_increment_nesting();
            Autocast { kind, was_on }
        }
    }
}

impl Drop for Autocast {
    fn drop(&mut self) {
        // SAFETY: as in `begin`. The casts of parameters are forgotten with the last scope, before a step changes the
        // parameters.
        unsafe {
            if at_autocast_decrement_nesting() == 0 {
                at_autocast_clear_cache();
            }
            set_autocast_enabled(self.kind, self.was_on);
        }
    }
}

// `ATen/autocast_mode.h`; tch's own autocast leaves the element type at float16. Arguments are enums of one byte.
unsafe extern "C" {
    #[link_name = "_ZN2at8autocast19is_autocast_enabledEN3c1010DeviceTypeE"]
    fn is_autocast_enabled(device: DeviceType) -> bool;
    #[link_name = "_ZN2at8autocast20set_autocast_enabledEN3c1010DeviceTypeEb"]
    fn set_autocast_enabled(device: DeviceType, enabled: bool);
    #[link_name = "_ZN2at8autocast18set_autocast_dtypeEN3c1010DeviceTypeENS1_10ScalarTypeE"]
    fn set_autocast_dtype(device: DeviceType, element: i8);
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::archive::Archive;
    use crate::program::interface::Interface;

    /// On a CPU too, where training never uses it: the same switches of libtorch, with another device.
    const MIXED: Precision = Precision::Mixed(DeviceType::Cpu);

    fn network(name: &str) -> Module {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/archives");
        let archive = Archive::open(&folder.join(name)).unwrap();
        Module::load(&archive, Device::Cpu, &Interface::default()).unwrap()
    }

    fn images() -> Tensor {
        let pixels = Tensor::arange(4 * 3 * 8 * 8, (Kind::Float, Device::Cpu));
        pixels.sin().reshape([4, 3, 8, 8])
    }

    #[test]
    fn scripted_and_traced_networks_multiply_in_bfloat16_and_give_f32() {
        for name in ["basic_scripted.pt", "basic_traced.pt"] {
            let module = network(name);
            let full = Precision::Full.forward(&module, &images()).unwrap();
            let mixed = MIXED.forward(&module, &images()).unwrap();
            assert_eq!(mixed.kind(), Kind::Float);
            let apart = (&mixed - &full).abs().max().double_value(&[]);
            let size = full.abs().max().double_value(&[]);
            // bfloat16 has 8 bits: what is closer was not computed in it.
            assert!(
                apart > 1e-5 * size && apart < 0.05 * size,
                "{name}: {apart} of {size}"
            );
        }
    }

    #[test]
    fn casting_ends_with_the_pass() {
        let module = network("basic_scripted.pt");
        let before = module.forward(&images()).unwrap();
        let _ = MIXED.forward(&module, &images()).unwrap();
        assert_eq!(module.forward(&images()).unwrap(), before);
    }

    #[test]
    fn gradients_are_f32_and_those_of_full_precision_but_for_rounding() {
        let module = network("basic_scripted.pt");
        let gradient = |precision: Precision| {
            let images = images().set_requires_grad(true);
            let loss = precision.forward(&module, &images).unwrap();
            loss.square().sum(Kind::Float).backward();
            images.grad()
        };
        let (full, mixed) = (gradient(Precision::Full), gradient(MIXED));
        assert_eq!(mixed.kind(), Kind::Float);
        let apart = (&mixed - &full).norm().double_value(&[]);
        let size = full.norm().double_value(&[]);
        // PyTorch's own autocast is 17 % away here: where rounding moves a value over 0, ReLU passes another gradient.
        assert!(apart > 0. && apart < 0.25 * size, "{apart} of {size}");
    }

    #[test]
    fn a_cpu_keeps_full_precision() {
        let chosen = Precision::choose(true, Device::Cpu, Dtype::Float32);
        assert_eq!(chosen, Precision::Full);
    }
}
