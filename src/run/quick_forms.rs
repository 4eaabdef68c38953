//! A span of a network as one method, in forms that are quicker than it is written.

use super::inference::{Kernels, Layer, sources};
use super::segments::{Form, Method, Methods};
use crate::blocks::analysis::Analysis;
use crate::blocks::answer::Answering;
use crate::program::ast::Function;
use crate::program::{Emitter, Network, Operand, Span, tensor_list_method};

/// One form.
#[derive(Clone, Debug, PartialEq)]
pub struct QuickForm {
    pub method: Method,
    /// What the method needs made before it runs.
    pub layers: Vec<Layer>,
}

/// The forms of a span, the quickest first, and the methods that they are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QuickForms {
    pub forms: Vec<QuickForm>,
    /// The tensors that the layers of all forms are made of.
    pub sources: Vec<Operand>,
    /// Name of the method that gives them.
    pub sources_method: String,
    functions: Vec<Function>,
}

impl QuickForms {
    /// Of a span, with each of these sets of kernels; `name` tells them from those of other spans.
    #[must_use]
    pub fn of(emitter: Emitter, name: &str, span: &Span, sets: &[Kernels]) -> Self {
        let mut all = QuickForms {
            sources_method: format!("ckaprune_{name}_sources"),
            ..QuickForms::default()
        };
        for (number, set) in sets.iter().enumerate() {
            let mut methods = Methods::default();
            let (name, form) = (format!("{name}_{number}"), Form::Inference(*set));
            let method = methods.write(emitter, &name, span, form);
            all.functions.extend(methods.functions);
            all.forms.push(QuickForm {
                method,
                layers: methods.layers,
            });
        }
        all.sources = sources(all.forms.iter().flat_map(|form| &form.layers));
        all
    }

    /// Of the way from images to class scores; none where these are not a tensor that the program shows.
    #[must_use]
    pub fn of_class_scores(analysis: &Analysis, sets: &[Kernels]) -> Self {
        let Some(answering) = Answering::of(analysis) else {
            return QuickForms::default();
        };
        let program = &answering.program;
        let span = Span {
            input: program.input,
            output: answering.value,
            statements: 0..program.statements.len(),
            without: Vec::new(),
        };
        let emitter = Emitter::new(&analysis.network, program);
        let mut all = QuickForms::of(emitter, "scores", &span, sets);
        all.functions.extend(answering.methods(&analysis.network));
        all
    }

    /// The methods of all forms, and that of the sources.
    #[must_use]
    pub fn methods(&self, network: &Network) -> Vec<Function> {
        if self.forms.is_empty() {
            return Vec::new();
        }
        let sources = tensor_list_method(network, &self.sources_method, &self.sources);
        self.functions.iter().cloned().chain([sources]).collect()
    }
}
