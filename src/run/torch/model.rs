//! A network on its way through a run: what its archive holds, what is known of it, and itself in memory.

use std::cell::OnceCell;
use std::num::NonZeroUsize;
use std::rc::Rc;

use anyhow::{Context, Result};
use tch::{Device, Tensor};

use super::state_dict::StateDict;
use super::{Module, copy, explain, images_together, kernel_sets, kernels};
use crate::archive::Archive;
use crate::blocks::analysis::{Analysis, AnalysisError};
use crate::blocks::patch::{
    thaw, to_evaluation_mode, unbake, unmoved_statistics, with_usual_momentum,
};
use crate::program::ast::Function;
use crate::program::interface::{Interface, InterfaceError};
use crate::program::{Emitter, ValueId};
use crate::report::progress::Progress;
use crate::run::inference::Kernels;
use crate::run::quick_forms::QuickForms;
use crate::run::segments::{tensors_method, with_root_methods};

/// A network. It is analysed once, and loaded into libtorch once it has to run.
///
/// Its weights may be changed in memory; [`keep_weights`](Model::keep_weights) takes them into the archive.
#[derive(Debug)]
pub struct Model {
    archive: Archive,
    analysis: Rc<Analysis>,
    /// How the network that this one was made of is run: removals do not change it.
    interface: Result<Interface, InterfaceError>,
    execution: Execution,
    memory: OnceCell<InMemory>,
}

/// How networks are to be run.
#[derive(Clone, Copy, Debug)]
pub struct Execution {
    pub device: Device,
    /// Statement by statement as they are written, and in no quicker form.
    pub as_written: bool,
}

impl From<Device> for Execution {
    fn from(device: Device) -> Self {
        Execution {
            device,
            as_written: false,
        }
    }
}

#[derive(Debug)]
struct InMemory {
    module: Module,
    /// All parameters and buffers, which share the module's memory; none where nobody asked for them.
    tensors: Option<Vec<Tensor>>,
}

impl Clone for Model {
    /// The same archive, not loaded yet.
    fn clone(&self) -> Self {
        self.with_archive(self.archive.clone())
    }
}

impl Model {
    /// A network that runs in this way.
    #[must_use]
    pub fn new(archive: Archive, analysis: Analysis, execution: impl Into<Execution>) -> Self {
        Model {
            archive,
            interface: analysis.interface.clone(),
            analysis: Rc::new(analysis),
            execution: execution.into(),
            memory: OnceCell::new(),
        }
    }

    /// Whether it is to run as it is written alone.
    #[must_use]
    pub fn is_as_written(&self) -> bool {
        self.execution.as_written
    }

    /// A network made of this one, whose code is another: analysed and run alike. Where this one is a module of an archive,
    /// so is the other.
    ///
    /// # Errors
    /// If it cannot be analysed.
    pub fn changed_into(&self, archive: Archive) -> Result<Self, AnalysisError> {
        let archive = archive.like(&self.archive)?;
        let analysis = Analysis::of(&archive, &self.analysis.request)?;
        Ok(Model {
            analysis: Rc::new(analysis),
            ..self.with_archive(archive)
        })
    }

    /// The same network with the weights of another archive, whose code is this one's.
    #[must_use]
    pub fn with_archive(&self, archive: Archive) -> Self {
        Model {
            archive,
            analysis: Rc::clone(&self.analysis),
            interface: self.interface.clone(),
            execution: self.execution,
            memory: OnceCell::new(),
        }
    }

    #[must_use]
    pub fn archive(&self) -> &Archive {
        &self.archive
    }

    #[must_use]
    pub fn into_archive(self) -> Archive {
        self.archive
    }

    #[must_use]
    pub fn analysis(&self) -> &Analysis {
        &self.analysis
    }

    /// The analysis, to give blocks other names.
    pub fn analysis_mut(&mut self) -> &mut Analysis {
        Rc::make_mut(&mut self.analysis)
    }

    /// How to run the network for its class scores.
    ///
    /// # Errors
    /// Why it cannot be.
    pub fn interface(&self) -> Result<&Interface> {
        Ok(self.interface.as_ref().map_err(Clone::clone)?)
    }

    /// Images that cores best run at once where they work together on each operator.
    #[must_use]
    pub fn batch_together(&self) -> NonZeroUsize {
        images_together(self.largest_tensor())
    }

    /// Bytes of the largest tensor inside, for one image.
    fn largest_tensor(&self) -> usize {
        self.analysis.program.largest_tensor() * size_of::<f32>()
    }

    #[must_use]
    pub fn execution(&self) -> Execution {
        self.execution
    }

    #[must_use]
    pub fn device(&self) -> Device {
        self.execution.device
    }

    /// The network in memory, in evaluation mode.
    ///
    /// # Errors
    /// Those of [`Module::load`].
    pub fn module(&self) -> Result<&Module> {
        if let Some(memory) = self.memory.get() {
            return Ok(&memory.module);
        }
        let memory = InMemory {
            module: self.loaded(&self.archive, Vec::new(), &QuickForms::default())?,
            tensors: None,
        };
        Ok(&self.memory.get_or_init(|| memory).module)
    }

    /// Lets go of the network in memory. Weights that were changed and not kept are lost.
    pub fn unload(&mut self) {
        self.memory.take();
    }

    /// Loads the network anew, with its tensors within reach, and with a method for each list of values, by its name,
    /// that gives them for an input.
    ///
    /// # Errors
    /// Those of [`Module::load`].
    pub fn load_with(&mut self, lists: &[(String, Vec<ValueId>)]) -> Result<()> {
        let emitter = Emitter::new(&self.analysis.network, &self.analysis.program);
        let lists = lists.iter();
        let methods = lists.map(|(name, values)| emitter.list_method(name, values));
        self.load_with_methods(methods.collect())
    }

    /// The same with these methods of its root class.
    ///
    /// # Errors
    /// Those of [`Module::load`].
    pub fn load_with_methods(&mut self, methods: Vec<Function>) -> Result<()> {
        self.load_with_quick(methods, &QuickForms::default())
    }

    /// The same with these forms of one of its spans, where libtorch takes them.
    ///
    /// # Errors
    /// Those of [`Module::load`].
    pub fn load_with_quick(&mut self, mut methods: Vec<Function>, span: &QuickForms) -> Result<()> {
        self.unload();
        let Analysis {
            network, program, ..
        } = &*self.analysis;
        let mut archive = self.archive.clone();
        if unmoved_statistics(program) > 0 {
            with_usual_momentum(&mut archive)?;
        }
        methods.push(tensors_method(network, &StateDict::of(network).operands()));
        let module = self.loaded(&archive, methods, span)?;
        let tensors = Some(module.tensors()?);
        self.memory = OnceCell::from(InMemory { module, tensors });
        Ok(())
    }

    /// Loads an archive of this network that has other methods beside its own, to be run as this one is.
    ///
    /// # Errors
    /// Those of [`Module::load`].
    pub fn load_instrumented(&self, archive: &Archive) -> Result<Module> {
        Module::load(archive, self.device(), self.interface()?)?.behind(&self.analysis)
    }

    /// Loads an archive of this network with more methods, and with the quick forms of its class scores and of a span.
    fn loaded(
        &self,
        archive: &Archive,
        methods: Vec<Function>,
        span: &QuickForms,
    ) -> Result<Module> {
        let network = &self.analysis.network;
        let load = |methods: &[Function]| {
            let instrumented = with_root_methods(archive, network, methods);
            self.load_instrumented(&instrumented)
        };
        let scores = QuickForms::of_class_scores(&self.analysis, self.kernel_sets());
        let largest = self.largest_tensor();
        let quick: Vec<Function> = [&scores, span]
            .into_iter()
            .flat_map(|forms| forms.methods(network))
            .collect();
        if !quick.is_empty() && kernels::operator::register().is_ok() {
            let all: Vec<Function> = methods.iter().cloned().chain(quick).collect();
            // Where libtorch does not take the quick forms, the network runs as it is written.
            if let Ok(module) = load(&all) {
                return Ok(module.with_quick(scores, largest));
            }
        }
        Ok(load(&methods)?.with_quick(QuickForms::default(), largest))
    }

    /// The sets of kernels for quick forms of this network, the quickest first; none where it has to run as it is written.
    #[must_use]
    pub fn kernel_sets(&self) -> &'static [Kernels] {
        let Ok(interface) = &self.interface else {
            return &[];
        };
        // What is quantised on the way depends on all of a batch, and rounding may take it a step further; batches of a
        // fixed size cannot be divided.
        let depends_on_batch = interface.quantised || interface.batch.is_some();
        if self.execution.as_written || depends_on_batch {
            return &[];
        }
        let mut sets = kernel_sets(&self.analysis, interface.element, self.device());
        // Without optimisation kernels of ours are slower than any of libtorch's. Scoring has them all the same, so that
        // tests see them.
        if cfg!(debug_assertions) {
            sets = &sets[sets.len().saturating_sub(1)..];
        }
        sets
    }

    /// The network in memory, to be changed, and its parameters and buffers in the order of [`StateDict::of`].
    ///
    /// # Errors
    /// Those of [`Module::load`].
    pub fn in_memory(&mut self) -> Result<(&mut Module, &[Tensor])> {
        if self.memory.get().is_none_or(|m| m.tensors.is_none()) {
            self.load_with(&[])?;
        }
        let memory = self.memory.get_mut().context("the network is not loaded")?;
        let tensors = memory.tensors.as_deref().unwrap_or_default();
        Ok((&mut memory.module, tensors))
    }

    /// Copies of the weights in memory.
    ///
    /// # Errors
    /// Those of [`Module::load`].
    pub fn weights(&mut self) -> Result<Vec<Tensor>> {
        let (_, tensors) = self.in_memory()?;
        tensors.iter().map(copy).collect()
    }

    /// Puts weights in the place of those in memory.
    ///
    /// # Errors
    /// If they are those of another network.
    pub fn set_weights(&mut self, weights: &[Tensor]) -> Result<()> {
        let (_, tensors) = self.in_memory()?;
        tch::no_grad(|| {
            for (tensor, weight) in tensors.iter().zip(weights) {
                tensor.shallow_clone().f_copy_(weight).map_err(explain)?;
            }
            Ok(())
        })
    }

    /// Takes the weights in memory into the archive.
    ///
    /// # Errors
    /// If the archive does not hold one of them.
    pub fn keep_weights(&mut self) -> Result<()> {
        let Some(tensors) = self.memory.get().and_then(|m| m.tensors.as_ref()) else {
            return Ok(());
        };
        let network = &self.analysis.network;
        StateDict::of(network).write_back(network, tensors, &mut self.archive)
    }

    /// The network in a form that trains: weights that freezing made constants are parameters again, and training
    /// switches that tracing made literals switch again, and are off. `None` where it has this form.
    ///
    /// # Errors
    /// If it cannot be brought into this form.
    pub fn trainable(&self, progress: Progress) -> Result<Option<Self>> {
        let mut archive = self.archive.clone();
        let network = &self.analysis.network;
        let mut thawed = None;
        if network.is_frozen() {
            let constants = thaw(&mut archive, network)?;
            if constants > 0 {
                progress.note(format_args!(
                    "note: the network was frozen: {constants} of its constants become parameters; with batch norm \
                     folded into them it needs a lower --lr than before it was frozen"
                ));
                thawed = Some(archive.network()?);
            }
        }
        let network = thawed.as_ref().unwrap_or(network);
        // Switches that are on would be so as soon as it is loaded.
        let switched = unbake(&mut archive, network) + to_evaluation_mode(&mut archive, network);
        if thawed.is_none() && switched == 0 {
            return Ok(None);
        }
        Ok(Some(self.changed_into(archive)?))
    }
}
