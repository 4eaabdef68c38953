//! Edits of an archive's own source code, as values that are checked before and after they are applied.
//!
//! Removing a block takes its call out of the method that makes it, its attribute out of the class and the object that
//! hold it, and with that its weights out of the file. Everything else keeps its structure and its names. Classes are
//! shared between equal modules, so a class is copied before an edit that only one instance may see.

mod classes;
mod method;
mod thaw;
mod unbake;

use std::collections::BTreeSet;

pub use thaw::thaw;
pub use unbake::unbake;

use crate::archive::network::{module_name, source_file};
use crate::archive::{Archive, NetworkError};
use crate::blocks::{Block, Reason};
use crate::program::{CallSite, Emitter, ModuleId, Network, Operand, Program, ProgramError, Skip};
use classes::ClassEditor;

/// Why blocks cannot be removed.
#[derive(Debug, thiserror::Error)]
pub enum PatchError {
    #[error("there is no block {path}; `ckaprune inspect` lists them")]
    NoSuchBlock { path: String },
    #[error("block {path} cannot be removed: {reason}")]
    NotRemovable { path: String, reason: Reason },
    #[error(
        "block {path} cannot be removed: method `{method}` of {class} uses it in another way than calling it"
    )]
    StillUsed {
        path: String,
        class: String,
        method: String,
    },
    #[error("block {path} cannot be removed: its call is not where the analysis saw it")]
    CallNotFound { path: String },
    /// The safety net: the edited archive was read back and computes something else.
    #[error(
        "without these blocks the archive would not compute what it should ({detail}); this is a bug: please report it"
    )]
    Unfaithful { detail: String },
    #[error("the edited archive cannot be read back ({0}); this is a bug: please report it")]
    Unreadable(#[from] NetworkError),
    #[error("without these blocks the network cannot run: {0}")]
    Refused(#[from] ProgramError),
}

/// The removal of a set of blocks.
#[derive(Clone, Debug, PartialEq)]
pub struct Patch {
    removals: Vec<Removal>,
}

#[derive(Clone, Debug, PartialEq)]
struct Removal {
    path: String,
    module: ModuleId,
    /// The module whose method makes the call.
    caller: ModuleId,
    site: CallSite,
    /// Which of the call's arguments takes the place of its result.
    argument: usize,
    skip: Skip,
}

impl Patch {
    /// The removal of the blocks with these paths.
    ///
    /// # Errors
    /// If a path names no block, or one that cannot be removed.
    pub fn remove(
        program: &Program,
        blocks: &[Block],
        paths: &[String],
    ) -> Result<Self, PatchError> {
        let paths: BTreeSet<&String> = paths.iter().collect();
        let removals = paths.into_iter().map(|path| {
            let block = blocks.iter().find(|b| b.path == *path);
            Removal::of(
                program,
                block.ok_or_else(|| PatchError::NoSuchBlock { path: path.clone() })?,
            )
        });
        Ok(Patch {
            removals: removals.collect::<Result<_, _>>()?,
        })
    }

    /// The archive without the blocks; `archive` itself stays as it is.
    ///
    /// The result is read back and compared, statement by statement, with the program in which the blocks are skipped.
    ///
    /// # Errors
    /// If a block is used in other ways than the analysis saw, or the check fails.
    pub fn apply(
        &self,
        archive: &Archive,
        network: &Network,
        program: &Program,
    ) -> Result<Archive, PatchError> {
        let patched = self.edit(archive, network)?;
        let reread = patched.network()?;
        let shape = program.sample_shape(program.input).unwrap_or_default();
        let after = Program::new(&reread, &shape)?;
        let skips: Vec<Skip> = self.removals.iter().map(|r| r.skip.clone()).collect();
        let expected = Emitter::new(network, program).normal_form(&skips);
        let found = Emitter::new(&reread, &after).normal_form(&[]);
        match expected.lines().zip(found.lines()).find(|(e, f)| e != f) {
            Some((expected, found)) => Err(PatchError::Unfaithful {
                detail: format!("`{found}` in place of `{expected}`"),
            }),
            None if expected.len() != found.len() => Err(PatchError::Unfaithful {
                detail: "it has another number of steps".into(),
            }),
            None => Ok(patched),
        }
    }

    fn edit(&self, archive: &Archive, network: &Network) -> Result<Archive, PatchError> {
        let mut classes = ClassEditor::new(network);
        for removal in &self.removals {
            let body = classes.method_mut(removal.caller, &removal.site.place.function);
            let body = body.ok_or_else(|| removal.call_not_found())?;
            if !method::remove_call(body, removal.site.id, removal.argument) {
                return Err(removal.call_not_found());
            }
            classes.remove_attribute(removal.module, &removal.path)?;
        }
        let mut patched = archive.clone();
        write_sources(&mut patched, network, &classes);
        for (module, class) in classes.changed_classes() {
            if let Some(object) = patched.object(&network.modules.get(module).path) {
                patched.data_mut().set_class(object, class);
            }
        }
        for removal in &self.removals {
            let (parent, name) = removal.path.rsplit_once('.').unwrap_or(("", &removal.path));
            if let Some(object) = patched.object(parent) {
                patched.data_mut().remove_attribute(object, name);
            }
        }
        Ok(patched)
    }
}

impl Removal {
    fn of(program: &Program, block: &Block) -> Result<Self, PatchError> {
        if let Some(reason) = &block.obstacle {
            return Err(PatchError::NotRemovable {
                path: block.path.clone(),
                reason: reason.clone(),
            });
        }
        let call = &program.calls[block.call.0];
        let argument = call
            .args
            .iter()
            .position(|a| a.operand == Operand::Value(block.input));
        let site = call.site.clone();
        let caller = site.as_ref().and_then(|s| s.place.module);
        match (argument, site, caller) {
            (Some(argument), Some(site), Some(caller)) => Ok(Removal {
                path: block.path.clone(),
                module: block.module,
                caller,
                site,
                argument,
                skip: Skip {
                    statements: block.statements.clone(),
                    input: block.input,
                    output: block.output,
                },
            }),
            _ => Err(PatchError::NotRemovable {
                path: block.path.clone(),
                reason: Reason::CallNotPlain,
            }),
        }
    }

    fn call_not_found(&self) -> PatchError {
        PatchError::CallNotFound {
            path: self.path.clone(),
        }
    }
}

/// Writes the source files that differ, and takes out those of which nothing is left.
fn write_sources(archive: &mut Archive, before: &Network, classes: &ClassEditor) {
    let after = classes.swept_sources();
    for (module, file) in after.files() {
        if before.sources.file(module) != Some(file) {
            archive.set_source(&source_file(module), crate::program::print(file));
        }
    }
    let gone: Vec<String> = archive
        .sources()
        .filter(|(file, _)| module_name(file).is_some_and(|m| after.file(&m).is_none()))
        .map(|(file, _)| file.to_owned())
        .collect();
    for file in gone {
        archive.remove_source(&file);
    }
}
