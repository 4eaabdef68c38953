//! Making traced code trainable.
//!
//! Tracing writes the mode of the network into the code: `batch_norm(.., False, ..)`. When such code is trained, batch
//! norm keeps its old statistics and dropout does nothing. Before tracing, the code read `self.training` in place of
//! the literal; here it does so again.

use crate::archive::Archive;
use crate::archive::network::source_file;
use crate::program::ast::{Class, Expr, Item, walk_mut};
use crate::program::{Network, print, training_switch};

/// Replaces the literal training switches in the methods of modules by `self.training`; returns how many there were.
///
/// Scripted code has none: there the switch is a variable already.
pub fn unbake(archive: &mut Archive, network: &Network) -> usize {
    let mut sources = network.sources.clone();
    let mut total = 0;
    for (module, file) in sources.files_mut() {
        let classes = file.items.iter_mut().filter_map(|item| match item {
            Item::Class(class) => Some(class),
            _ => None,
        });
        let replaced: usize = classes.map(unbake_class).sum();
        if replaced > 0 {
            archive.set_source(&source_file(module), print(file));
        }
        total += replaced;
    }
    total
}

fn unbake_class(class: &mut Class) -> usize {
    if !class
        .fields()
        .any(|f| f.declares().is_some_and(|(name, _)| name == "training"))
    {
        return 0;
    }
    let mut replaced = 0;
    for method in class.methods_mut() {
        let Some(receiver) = method.params.first().map(|p| p.name.clone()) else {
            continue;
        };
        walk_mut(&mut method.body, &mut |expression| {
            let Expr::Call { callee, args, .. } = expression else {
                return;
            };
            let Some(position) = training_switch(callee) else {
                return;
            };
            if let Some(switch) = args.get_mut(position)
                && matches!(&switch.value, Expr::Name(literal) if literal == "False")
            {
                let object = Box::new(Expr::Name(receiver.clone()));
                switch.value = Expr::Attribute {
                    base: object,
                    name: "training".into(),
                };
                replaced += 1;
            }
        });
    }
    replaced
}
