//! Making frozen code trainable.
//!
//! Freezing turns weights into constants of the code: `torch.conv2d(x, CONSTANTS.c0, CONSTANTS.c1)`. Nothing can train
//! them there. As attributes of the module whose method reads them they are parameters again:
//! `torch.conv2d(x, self.conv1_weight, self.conv1_bias)`.

mod class;
mod content;
mod uses;

use std::collections::{BTreeMap, BTreeSet};

use super::constants::{for_each_expression, read_by, renumber};
use crate::archive::network::source_file;
use crate::archive::{Adoption, Archive, ArchiveError};
use crate::program::{Module, Network, Sources, print};
use class::Thawing;

/// Turns constants of the code that were weights into parameters of the modules whose methods read them. Returns how
/// many parameters were added; if none, nothing is changed.
///
/// A floating-point constant becomes
/// - a parameter where an operator takes it for a weight or bias (convolutions, linear layers and matrix products,
///   normalisations, embeddings, attention);
/// - a buffer where batch norm takes it for a running mean or variance;
/// - a parameter where it has several elements and is an operand of arithmetic: a layer scale, a position table, a
///   class token.
///
/// Some constants stay constants: operands of arithmetic before the first weight, which prepare the input (its mean and
/// deviation); masks, which have elements that are not finite, or just two numbers, one of them zero; indices; inputs
/// of layers; and what is written in place. A fixed kernel (a blur) cannot be told from a learned one and is trained.
///
/// Freezing keeps one constant for tensors of equal content, so that all zero biases of one width become one constant.
/// Therefore a constant whose elements are all the same number becomes a parameter for each place that reads it, unless
/// one of these places stands in a branch: the sides of a branch compute the same thing. Any other constant that is
/// read twice was one weight, and stays one weight; if several classes or functions read it, it stays a constant.
///
/// Classes with several instances keep their constants: each instance would need its own.
///
/// # Errors
/// If a constant cannot be read.
pub fn thaw(archive: &mut Archive, network: &Network) -> Result<usize, ArchiveError> {
    let mut sources = network.sources.clone();
    let shared = shared_constants(&sources);
    let mut thawed = Vec::new();
    for module in single_instances(network) {
        // An object with `__getstate__` has no dictionary of attributes to add to.
        let object = archive.object(&module.path);
        let object = object.filter(|object| archive.data().has_attributes(*object));
        if let (Some(object), Some(class)) = (object, sources.class_mut(&module.class)) {
            let thawing = Thawing::of(archive, module, class, &shared)?;
            thawing.edit(class);
            thawed.extend(thawing.attributes.into_iter().map(|a| (object, a)));
        }
    }
    let parameters = thawed.iter().filter(|(_, a)| a.parameter).count();
    if parameters == 0 {
        return Ok(0);
    }
    let adoptions: Vec<Adoption> = thawed
        .iter()
        .map(|(_, attribute)| Adoption {
            constant: attribute.constant,
            requires_grad: attribute.parameter,
        })
        .collect();
    let nodes = archive.adopt_constants(&adoptions)?;
    for ((object, attribute), node) in thawed.iter().zip(nodes) {
        archive
            .data_mut()
            .set_attribute(*object, &attribute.name, node);
    }
    let left = read_by(&mut sources);
    renumber(&mut sources, &left);
    archive.retain_constants(&left);
    for (module, file) in sources.files() {
        if network.sources.file(module) != Some(file) {
            archive.set_source(&source_file(module), print(file));
        }
    }
    Ok(parameters)
}

/// The modules whose class no other module has.
fn single_instances(network: &Network) -> impl Iterator<Item = &Module> {
    let instances = network.modules.instances();
    network
        .modules
        .iter()
        .map(|(_, module)| module)
        .filter(move |module| instances.get(module.class.as_str()) == Some(&1))
}

/// The constants that more than one class or function reads.
fn shared_constants(sources: &Sources) -> BTreeSet<usize> {
    let mut readers: BTreeMap<usize, usize> = BTreeMap::new();
    for (_, file) in sources.clone().files_mut() {
        for item in &mut file.items {
            let mut read = BTreeSet::new();
            for_each_expression(item, &mut |e| read.extend(e.constant_number()));
            for constant in read {
                *readers.entry(constant).or_default() += 1;
            }
        }
    }
    let shared = readers.into_iter().filter(|(_, readers)| *readers > 1);
    shared.map(|(constant, _)| constant).collect()
}
