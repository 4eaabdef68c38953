//! Archives that were saved in training mode.

use crate::archive::{Archive, Node};
use crate::program::{Attribute, Network};

/// Puts every module into evaluation mode, as `model.eval()` does; returns how many were not.
///
/// Networks are measured in evaluation mode whatever their flags say, so they have to be written in this mode.
pub fn to_evaluation_mode(archive: &mut Archive, network: &Network) -> usize {
    const FLAG: &str = "training";
    let is_training = |attribute: Option<&Attribute>| attribute == Some(&Attribute::Bool(true));
    let modules = network.modules.iter().map(|(_, module)| module);
    let mut changed = 0;
    for module in modules.filter(|m| is_training(m.attributes.get(FLAG))) {
        let Some(object) = archive.object(&module.path) else {
            continue;
        };
        let off = archive.data_mut().add(Node::Bool(false));
        changed += usize::from(archive.data_mut().set_attribute(object, FLAG, off));
    }
    changed
}
