//! Edits of an archive's own source code, as values that are checked before and after they are applied.
//!
//! Removing a block takes its call out of the method that makes it, its attribute out of the class and the object that
//! hold it, and with that its weights out of the file. Everything else keeps its structure and its names. Classes are
//! shared between equal modules, so a class is copied before an edit that only one instance may see.

#![forbid(unsafe_code)]

mod classes;
mod constants;
mod evaluation;
mod exported;
mod momentum;
mod placed;
mod thaw;
mod unbake;

use std::collections::{BTreeMap, BTreeSet};

pub use evaluation::to_evaluation_mode;
pub use momentum::{unmoved_statistics, with_usual_momentum};
pub use thaw::thaw;
pub use unbake::unbake;

use crate::archive::network::{module_name, source_file};
use crate::archive::{Archive, ArchiveError, NetworkError};
use crate::blocks::analysis::Analysis;
use crate::blocks::attributes::used_by_block_alone;
use crate::blocks::{Block, Bypass, Reason};
use crate::program::Sources;
use crate::program::ast::CallId;
use crate::program::resolution::{Unresolved, resolve};
use crate::program::rewrite::{self, Before};
use crate::program::{Emitter, ModuleId, Network, Program, ProgramError, Skip, Usage};
use classes::ClassEditor;
use constants::{read_by, renumber, renumbered_text};
use placed::Placing;

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
    /// The graph of an exported program does without them no more.
    #[error(transparent)]
    Cut(ArchiveError),
    #[error("without these blocks the network cannot run: {0}")]
    Refused(#[from] ProgramError),
    #[error("without these blocks libtorch could not load the network: {0}")]
    Unresolved(#[from] Unresolved),
}

/// The removal of a set of blocks.
#[derive(Clone, Debug, PartialEq)]
pub struct Patch {
    removals: Vec<Removal>,
}

#[derive(Clone, Debug, PartialEq)]
struct Removal {
    path: String,
    /// The call that gives the block's output; the block's input takes its place.
    own: Bypass,
    /// The block is that call, of one module.
    is_call: bool,
    /// The other calls that go with the block.
    elsewhere: Vec<Bypass>,
    /// The calls in the same code that write memory for the block alone.
    writes: Vec<CallId>,
    /// Modules and tensors that nothing else needs, by owner and attribute.
    attributes: Vec<(ModuleId, String)>,
    skip: Skip,
}

impl Patch {
    /// The removal of the blocks with these paths.
    ///
    /// # Errors
    /// If a path names no block, or one that cannot be removed.
    pub fn remove(analysis: &Analysis, paths: &[String]) -> Result<Self, PatchError> {
        let Analysis {
            network, program, ..
        } = analysis;
        let paths: BTreeSet<&String> = paths.iter().collect();
        let removals = paths.into_iter().map(|path| {
            let block = analysis.block(path);
            Removal::of(
                network,
                program,
                block.ok_or_else(|| PatchError::NoSuchBlock { path: path.clone() })?,
            )
        });
        let mut removals: Vec<Removal> = removals.collect::<Result<_, _>>()?;
        removals.sort_by_key(|r| r.skip.statements.start);
        Ok(Patch { removals })
    }

    /// The archive without the blocks; `archive` itself stays as it is.
    ///
    /// The result is read back and compared, statement by statement, with the program in which the blocks are skipped.
    ///
    /// # Errors
    /// If a block is used in other ways than the analysis saw, or the check fails.
    pub fn apply(&self, archive: &Archive, analysis: &Analysis) -> Result<Archive, PatchError> {
        let Analysis {
            network, program, ..
        } = analysis;
        let (patched, constants) = match archive.is_exported() {
            true => (self.cut(archive, program)?, BTreeSet::new()),
            false => self.edit_whole(archive, network)?,
        };
        let reread = patched.network()?;
        resolve(&reread)?;
        let shape = program.sample_shape(program.input).unwrap_or_default();
        let learned = &analysis.request.learned;
        let interface = analysis.interface.as_ref().ok();
        let after = match interface.and_then(|interface| interface.batch.as_ref()) {
            Some(batch) => Program::for_batches_of(&reread, &shape, batch.images, learned)?
                .of_any_batch(batch.images),
            None => Program::with_learned(&reread, &shape, learned)?,
        };
        let skips: Vec<Skip> = self.removals.iter().map(|r| r.skip.clone()).collect();
        let expected = Emitter::new(network, program).normal_form(&skips);
        let expected = renumbered_text(&expected, &constants);
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

    /// The exported program without the blocks.
    fn cut(&self, archive: &Archive, program: &Program) -> Result<Archive, PatchError> {
        let cuts = exported::cuts(program, &self.removals);
        let cuts = cuts.ok_or_else(|| self.removals[0].call_not_found())?;
        let without = archive
            .without(&cuts)
            .unwrap_or_else(|| Ok(archive.clone()));
        Ok(without.map_err(PatchError::Cut)?.like(archive)?)
    }

    /// Edits the archive, or, where it is a module of another, that one: what shares classes with it or speaks of it is
    /// there.
    fn edit_whole(
        &self,
        archive: &Archive,
        network: &Network,
    ) -> Result<(Archive, BTreeSet<usize>), PatchError> {
        let Some(focus) = archive.focus() else {
            return self.edit(archive, network);
        };
        let whole = archive.whole();
        let around = whole.network()?;
        let placing = Placing {
            inner: network,
            whole: &around,
            path: focus.inside.as_deref().unwrap_or_default(),
        };
        let (edited, constants) = placing.patch(self)?.edit(&whole, &around)?;
        Ok((edited.focused(focus)?, constants))
    }

    /// The edited archive, and the constants that are left in it, by their old numbers.
    fn edit(
        &self,
        archive: &Archive,
        network: &Network,
    ) -> Result<(Archive, BTreeSet<usize>), PatchError> {
        let mut classes = ClassEditor::new(network);
        let mut dropped: Vec<(ModuleId, &str)> = Vec::new();
        let mut edited: BTreeMap<(ModuleId, &str), Before> = BTreeMap::new();
        // The last block first: its input may be the output of a block before it, which goes as well.
        for removal in self.removals.iter().rev() {
            for bypass in std::iter::once(&removal.own).chain(&removal.elsewhere) {
                let code = classes.method_mut(bypass.module, &bypass.method);
                let code = code.ok_or_else(|| removal.call_not_found())?;
                edited
                    .entry((bypass.module, &bypass.method))
                    .or_insert_with(|| Before::of(code));
                if !rewrite::replace_call(code, bypass.call, &bypass.stand_in) {
                    return Err(removal.call_not_found());
                }
            }
        }
        for removal in &self.removals {
            let own = &removal.own;
            if let Some(code) = classes.method_mut(own.module, &own.method) {
                rewrite::drop_writes(code, &removal.writes);
            }
        }
        for ((module, name), before) in &edited {
            if let Some(code) = classes.method_mut(*module, name) {
                rewrite::clean_up(code, before);
            }
        }
        self.drop_unread_names(&mut classes);
        for (owner, name) in self.unused(&classes)? {
            classes.remove_attribute(owner, name);
            dropped.push((owner, name));
        }
        classes.shorten();
        let mut patched = archive.clone();
        let mut sources = classes.swept_sources();
        let constants = read_by(&mut sources);
        renumber(&mut sources, &constants);
        patched.retain_constants(&constants);
        write_sources(&mut patched, network, &sources);
        for (module, class) in classes.changed_classes() {
            if let Some(object) = patched.object(&network.modules.get(module).path) {
                patched.data_mut().set_class(object, class);
            }
        }
        for (owner, name) in dropped {
            if let Some(object) = patched.object(&network.modules.get(owner).path) {
                patched.data_mut().remove_attribute(object, name);
            }
        }
        Ok((patched, constants))
    }

    /// Removes variables that are bound to attributes which go, where nothing reads them.
    fn drop_unread_names(&self, classes: &mut ClassEditor) {
        let uses = classes.uses();
        let attributes = self.removals.iter().flat_map(|r| &r.attributes);
        let named: BTreeSet<(ModuleId, String)> = attributes
            .flat_map(|(owner, name)| classes.of_attribute(&uses, *owner, name))
            .filter(|found| found.usage == Usage::Named)
            .map(|found| (found.owner, found.method.to_owned()))
            .collect();
        drop(uses);
        for (module, method) in named {
            if let Some(code) = classes.method_mut(module, &method) {
                rewrite::drop_unread_names(code);
            }
        }
    }

    /// The attributes that go with the blocks: those that no code uses any more.
    fn unused(&self, classes: &ClassEditor) -> Result<Vec<(ModuleId, &str)>, PatchError> {
        let uses = classes.uses();
        let mut unused = Vec::new();
        for removal in &self.removals {
            for (owner, name) in &removal.attributes {
                match classes.of_attribute(&uses, *owner, name).first() {
                    None => unused.push((*owner, name.as_str())),
                    // A module that is a block must not be used any more. Of a span, what other code uses stays.
                    Some(found) if removal.is_call => {
                        let class = classes.class_of(found.owner);
                        return Err(removal.still_used(class, found.method));
                    }
                    Some(_) => {}
                }
            }
        }
        Ok(unused)
    }
}

impl Removal {
    fn of(network: &Network, program: &Program, block: &Block) -> Result<Self, PatchError> {
        let not_removable = |reason: &Reason| PatchError::NotRemovable {
            path: block.path.clone(),
            reason: reason.clone(),
        };
        if let Some(reason) = &block.obstacle {
            return Err(not_removable(reason));
        }
        let place = block.place_in_code(program);
        let (call, stand_in) = place.ok_or_else(|| not_removable(&Reason::CallNotPlain))?;
        let frame = &program.calls[block.frame.0];
        Ok(Removal {
            path: block.path.clone(),
            own: Bypass {
                module: frame.module,
                method: frame.method.clone(),
                call,
                stand_in,
            },
            is_call: block.call.is_some(),
            elsewhere: block.elsewhere.clone(),
            writes: block.writes_in_code(program),
            attributes: used_by_block_alone(network, program, block),
            skip: Skip {
                statements: block.statements.clone(),
                input: block.input,
                output: block.output,
            },
        })
    }

    fn call_not_found(&self) -> PatchError {
        PatchError::CallNotFound {
            path: self.path.clone(),
        }
    }

    fn still_used(&self, class: &str, method: &str) -> PatchError {
        PatchError::StillUsed {
            path: self.path.clone(),
            class: class.to_owned(),
            method: method.to_owned(),
        }
    }
}

/// Writes the source files that differ, and takes out those of which nothing is left.
fn write_sources(archive: &mut Archive, before: &Network, after: &Sources) {
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
