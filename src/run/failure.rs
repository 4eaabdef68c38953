//! What libtorch's exceptions mean for the user, by what they say.

use std::fmt;

use crate::run::memory::Memory;

/// What a library says itself of an error that stands before it in our words; for those who ask.
#[derive(Debug)]
pub struct Original {
    pub who: &'static str,
    pub words: String,
}

impl fmt::Display for Original {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

impl std::error::Error for Original {}

/// An exception of libtorch, in words that say what happened and what to do. Its own words are the source of the
/// error, which is shown on demand.
#[derive(Debug, thiserror::Error)]
#[error("{cause}")]
pub struct Failure {
    pub cause: Cause,
    source: Original,
}

/// Kinds of exception that call for different remedies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The main memory has not so many bytes more, if that is known.
    NoMemory(Option<u64>),
    NoGpuMemory,
    /// The GPU, or its driver.
    Gpu,
    /// An operator that is in no library; its name.
    UnknownOperator(String),
    /// An operator that the device, or the element type, has no kernel for; its name.
    NoKernel(String),
    /// Layers that do not fit together.
    Shapes,
    /// The network's own `raise`, and what it says.
    Raised(String),
    Other,
}

impl Failure {
    /// Of the whole text of an exception.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Failure {
            cause: Cause::of(text),
            source: Original {
                who: "libtorch",
                words: printable(text.strip_prefix("Internal torch error: ").unwrap_or(text)),
            },
        }
    }
}

const MEMORY: [&str; 3] = [
    "DefaultCPUAllocator",
    "std::bad_alloc",
    "Cannot allocate memory",
];
const GPU_MEMORY: [&str; 4] = [
    "CUDA out of memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
];
const GPU: [&str; 6] = [
    "CUDA error",
    "CUDA driver",
    "NVIDIA driver",
    "CUDA unknown error",
    "CUBLAS_STATUS",
    "CUDNN_STATUS",
];
const SHAPES: [&str; 16] = [
    "must match the size of tensor",
    "must match the existing size",
    "shapes cannot be multiplied",
    "Sizes of tensors must match",
    "expected input[",
    "Kernel size can't be greater than actual input size",
    "Output size is too small",
    "is invalid for input of size",
    "size mismatch",
    "elements not",
    "Expected more than 1 value per channel",
    "Given normalized_shape",
    "Given transposed=",
    "view size is not compatible",
    "Dimension out of range",
    "Padding size should be less than the corresponding input dimension",
];

impl Cause {
    fn of(text: &str) -> Self {
        let says = |any: &[&str]| any.iter().any(|words| text.contains(words));
        // The network speaks for itself, and might use any of the other words.
        if let Some(said) = raised(text) {
            return Cause::Raised(said);
        }
        if says(&GPU_MEMORY) {
            return Cause::NoGpuMemory;
        }
        if says(&MEMORY) {
            return Cause::NoMemory(
                behind(text, "tried to allocate ").and_then(|n| n.parse().ok()),
            );
        }
        if let Some(name) = behind(text, "Unknown builtin op: ") {
            return Cause::UnknownOperator(name);
        }
        let no_kernel = behind(text, "Could not run '").or_else(|| {
            let (before, _) = text.split_once("\" not implemented for '")?;
            before.rsplit('"').next().map(name_in)
        });
        if let Some(name) = no_kernel {
            return Cause::NoKernel(name);
        }
        if says(&GPU) {
            Cause::Gpu
        } else if says(&SHAPES) {
            Cause::Shapes
        } else {
            Cause::Other
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::NoMemory(bytes) => {
                f.write_str("the memory of this machine is used up")?;
                if let Some(bytes) = bytes {
                    write!(f, " ({} more were needed)", Memory(*bytes))?;
                }
                f.write_str("; name a smaller --batch-size, or end other programs")
            }
            Cause::NoGpuMemory => f.write_str(
                "the memory of the GPU is used up; name a smaller --batch-size, or run with --device cpu",
            ),
            Cause::Gpu => f.write_str(
                "the GPU or its driver fails; see whether the driver is as new as libtorch's CUDA, or run with \
                 --device cpu",
            ),
            Cause::UnknownOperator(name) => write!(
                f,
                "the network calls {name}, an operator that libtorch does not have; export it without"
            ),
            Cause::NoKernel(name) => write!(
                f,
                "libtorch has no {name} for this device and the network's element type; run with --device cpu, or \
                 export the network in float32"
            ),
            Cause::Shapes => f.write_str(
                "the network's layers do not fit together for images of this size; name the size that it was made for \
                 with --input-size",
            ),
            Cause::Raised(said) if said.is_empty() => {
                f.write_str("the network itself refuses these images")
            }
            Cause::Raised(said) => write!(f, "the network itself refuses these images: “{said}”"),
            Cause::Other => f.write_str("libtorch cannot do what the network asks for"),
        }
    }
}

/// What the network says where it raises an exception of Python's. An operator's own has no module before its class.
fn raised(text: &str) -> Option<String> {
    const MOST: usize = 200;
    let (_, said) = text.lines().rev().find_map(|line| {
        let (class, said) = line.trim().split_once(": ")?;
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
        let is_raised = class.starts_with("builtins.") && class.chars().all(is_name);
        let is_assertion = said.starts_with("AssertionError:") && class == "RuntimeError";
        (is_raised || is_assertion).then_some((class, said))
    })?;
    let said = said.strip_prefix("AssertionError:").unwrap_or(said).trim();
    Some(
        said.chars()
            .filter(|c| !c.is_control())
            .take(MOST)
            .collect(),
    )
}

/// The name or number behind some words.
fn behind(text: &str, words: &str) -> Option<String> {
    let (_, rest) = text.split_once(words)?;
    Some(name_in(rest)).filter(|name| !name.is_empty())
}

fn name_in(text: &str) -> String {
    const LONGEST: usize = 100;
    let is_name = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '.');
    let name: String = text.chars().take_while(is_name).take(LONGEST).collect();
    name.trim_end_matches(['.', ':']).to_owned()
}

/// Text that comes from a file in part, for a terminal.
fn printable(text: &str) -> String {
    let safe = |c: char| match c {
        '\n' | '\t' => c,
        c if c.is_control() => '\u{fffd}',
        c => c,
    };
    text.trim_end().chars().map(safe).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interpreter(last: &str) -> String {
        format!(
            "The following operation failed in the TorchScript interpreter.\n\
             Traceback of TorchScript, serialized code (most recent call last):\n  \
             File \"code/__torch__.py\", line 9, in forward\n    \
             x0 = torch.add(x, y)\n         ~~~~~~~~~ <--- HERE\n\n{last}\n"
        )
    }

    /// As libtorch says it.
    #[test]
    fn causes_are_told_by_what_libtorch_says() {
        let name = |name: &str| name.to_owned();
        let texts = [
            (
                "[enforce fail at alloc_cpu.cpp:121] data. DefaultCPUAllocator: not enough memory: you tried to \
                 allocate 68719476736 bytes. Error code 12 (Cannot allocate memory)\nException raised from alloc_cpu",
                Cause::NoMemory(Some(68_719_476_736)),
            ),
            ("std::bad_alloc", Cause::NoMemory(None)),
            (
                "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 79.10 GiB of which \
                 1.50 GiB is free.",
                Cause::NoGpuMemory,
            ),
            (
                "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
                Cause::NoGpuMemory,
            ),
            (
                "CUDA error: no kernel image is available for execution on the device\nCUDA kernel errors might be \
                 asynchronously reported at some other API call",
                Cause::Gpu,
            ),
            (
                "The NVIDIA driver on your system is too old (found version 11040).",
                Cause::Gpu,
            ),
            (
                "\nUnknown builtin op: torchvision::nms.\nCould not find any similar ops to torchvision::nms. This op \
                 may not exist or may not be currently supported in TorchScript.",
                Cause::UnknownOperator(name("torchvision::nms")),
            ),
            (
                "Could not run 'quantized::conv2d.new' with arguments from the 'CUDA' backend. This could be because",
                Cause::NoKernel(name("quantized::conv2d.new")),
            ),
            (
                "\"slow_conv2d_cpu\" not implemented for 'Half'",
                Cause::NoKernel(name("slow_conv2d_cpu")),
            ),
            (
                "mat1 and mat2 shapes cannot be multiplied (2x64 and 256x10)",
                Cause::Shapes,
            ),
            (
                "Given groups=1, weight of size [16, 3, 3, 3], expected input[2, 1, 8, 8] to have 3 channels, but got \
                 1 channels instead",
                Cause::Shapes,
            ),
            ("expected a Tensor but got a None", Cause::Other),
            ("", Cause::Other),
        ];
        for (text, cause) in texts {
            assert_eq!(Cause::of(text), cause, "{text}");
            assert_eq!(
                Cause::of(&interpreter(&format!("RuntimeError: {text}"))),
                cause,
                "{text}"
            );
        }
    }

    #[test]
    fn what_the_network_raises_is_quoted_without_control_characters_and_in_part() {
        let said = |last: &str| Cause::of(&interpreter(last)).to_string();
        assert_eq!(
            said("builtins.ValueError: expected\x1b[2J 3 channels"),
            "the network itself refuses these images: “expected[2J 3 channels”"
        );
        assert_eq!(
            said("RuntimeError: AssertionError: "),
            "the network itself refuses these images"
        );
        // Whatever it says.
        let memory = said("builtins.RuntimeError: CUDA out of memory");
        assert!(memory.contains("itself"), "{memory}");
        assert!(said(&format!("builtins.A: {}", "x".repeat(10_000))).len() < 300);
    }

    #[test]
    fn its_own_words_are_kept_whole_and_harmless() {
        let failure = Failure::of("Internal torch error: one\ntwo\x1b[31m\n");
        let source = std::error::Error::source(&failure).unwrap();
        assert_eq!(source.to_string(), "one\ntwo\u{fffd}[31m");
    }
}
