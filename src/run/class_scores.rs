//! The way from images to class scores as one method, in forms that are quicker than the network as it is written.

use super::inference::{Kernels, Layer, sources};
use super::segments::{Form, Method, Methods};
use crate::blocks::analysis::Analysis;
use crate::blocks::answer::Answering;
use crate::program::ast::Function;
use crate::program::{Emitter, Network, Operand, Span, tensor_list_method};

/// Name of the method that gives the tensors which the layers of all forms are made of.
pub const SOURCES: &str = "ckaprune_sources";

/// One form.
#[derive(Clone, Debug, PartialEq)]
pub struct QuickForm {
    pub method: Method,
    /// What the method needs made before it runs.
    pub layers: Vec<Layer>,
}

/// The forms of a network, the quickest first, and the methods that they are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClassScores {
    pub forms: Vec<QuickForm>,
    /// The tensors that [`SOURCES`] gives.
    pub sources: Vec<Operand>,
    functions: Vec<Function>,
}

impl ClassScores {
    /// With each of these sets of kernels; none where the class scores are not a tensor that the program shows.
    #[must_use]
    pub fn of(analysis: &Analysis, sets: &[Kernels]) -> Self {
        let Some(answering) = Answering::of(analysis) else {
            return ClassScores::default();
        };
        let program = &answering.program;
        let span = Span {
            input: program.input,
            output: answering.value,
            statements: 0..program.statements.len(),
            without: Vec::new(),
        };
        let emitter = Emitter::new(&analysis.network, program);
        let mut all = ClassScores {
            functions: answering.methods(&analysis.network),
            ..ClassScores::default()
        };
        for (number, set) in sets.iter().enumerate() {
            let mut methods = Methods::default();
            let (name, form) = (format!("scores_{number}"), Form::Inference(*set));
            let method = methods.write(emitter, &name, &span, form);
            all.functions.extend(methods.functions);
            all.forms.push(QuickForm {
                method,
                layers: methods.layers,
            });
        }
        all.sources = sources(all.forms.iter().flat_map(|form| &form.layers));
        all
    }

    /// The methods of all forms, and [`SOURCES`].
    #[must_use]
    pub fn methods(&self, network: &Network) -> Vec<Function> {
        if self.forms.is_empty() {
            return Vec::new();
        }
        let sources = tensor_list_method(network, SOURCES, &self.sources);
        self.functions.iter().cloned().chain([sources]).collect()
    }
}
