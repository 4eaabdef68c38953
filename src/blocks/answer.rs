//! What a network answers as one tensor: its class scores, or all outputs that were asked for, side by side.

use crate::blocks::analysis::Analysis;
use crate::program::ast::Function;
use crate::program::{Network, Program, ValueId, methods_of};

/// The name of the method that makes a row for each image of one of several outputs.
const ROWS: &str = "ckaprune_rows";

/// A network's program as if it gave one tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Answering {
    pub program: Program,
    /// Its output: that which was asked for as it is, or several, a row for each image.
    pub value: ValueId,
    /// What was asked for.
    pub values: Vec<ValueId>,
}

impl Answering {
    /// `None` where the program does not show what was asked for.
    #[must_use]
    pub fn of(analysis: &Analysis) -> Option<Self> {
        let values = analysis.interface.as_ref().ok()?.answer.values()?;
        let (program, value) = match values[..] {
            [one] => (analysis.program.towards(one), one),
            _ => analysis.program.joined(&values, |_| ROWS.to_owned()),
        };
        Some(Answering {
            program,
            value,
            values,
        })
    }

    /// Methods of the root class that the program calls.
    #[must_use]
    pub fn methods(&self, network: &Network) -> Vec<Function> {
        match self.values.len() {
            1 => Vec::new(),
            _ => tensor_method(network, ROWS, "return torch.flatten(x, 1)"),
        }
    }
}

/// The method of the root class from a tensor `x` to another with this body.
pub(super) fn tensor_method(network: &Network, name: &str, body: &str) -> Vec<Function> {
    let root = &network.modules.root().class;
    let body: String = body.lines().map(|line| format!("    {line}\n")).collect();
    let text = format!(
        "class Methods(Module):\n  def {name}(self: {root},\n    x: Tensor) -> Tensor:\n{body}"
    );
    methods_of(&text).unwrap_or_default()
}
