/// Why a `torch.export` program (.pt2) is not taken.
///
/// A message says what is wrong and what to do; the path is for the caller to add.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExportedError {
    /// The layouts of PyTorch 2.6 to 2.8.
    #[error(
        "this .pt2 is in the layout of PyTorch 2.8 and older; load it with torch.export.load and save it again with PyTorch \
         2.9 or newer"
    )]
    OldLayout,
    /// Several programs in one file.
    #[error(
        "this .pt2 holds {found} models; save each in a file of its own with torch.export.save"
    )]
    SeveralModels {
        /// How many there are.
        found: usize,
    },
    /// Compiled ahead of time.
    #[error(
        "this .pt2 is a compiled package (AOTInductor), which holds no graph to prune; save the exported program itself with \
         torch.export.save"
    )]
    Compiled,
    /// An entry that a program needs.
    #[error("entry {entry} is missing, which every exported program has; export the model again")]
    Missing {
        /// The entry.
        entry: String,
    },
    /// A JSON document that is damaged or of another form.
    #[error("{entry} cannot be read ({detail}); export the model again")]
    Json {
        /// The entry.
        entry: String,
        /// What the reader objected to.
        detail: String,
    },
    /// Larger than any network.
    #[error("{entry} has more than the {limit} values allowed; is this a model?")]
    TooManyValues {
        /// The entry.
        entry: String,
        /// The cap.
        limit: usize,
    },
    /// A schema of another generation.
    #[error(
        "this .pt2 is written in version {major} of its schema, and only version {known} is known; save it with PyTorch 2.9 to \
         2.15"
    )]
    Schema {
        /// Of the file.
        major: u64,
        /// The one that is read.
        known: u64,
    },
    /// Weights that only Python can read.
    #[error(
        "weight {name} is pickled, and pickles in a .pt2 are never read; export a model whose weights are plain tensors"
    )]
    Pickled {
        /// The weight.
        name: String,
    },
    /// A weight that is no plain tensor.
    #[error(
        "weight {name} has {what}, which no plain tensor has; export a model whose weights are plain tensors"
    )]
    Weight {
        /// The weight.
        name: String,
        /// What is odd.
        what: &'static str,
    },
    /// An operator that holds graphs of its own.
    #[error(
        "the program calls {target}, which holds a graph of its own (from no_grad, autocast or control flow); remove it with \
         program.run_decompositions({{}}) before saving"
    )]
    HigherOrder {
        /// The operator.
        target: String,
    },
    /// An operator that cannot be named in TorchScript.
    #[error("node {node} calls {target}, which cannot be followed ({why})")]
    Operator {
        /// The node.
        node: String,
        /// The operator.
        target: String,
        /// What stands against it.
        why: &'static str,
    },
    /// A graph that contradicts itself.
    #[error("the graph contradicts itself: {detail}; export the model again")]
    Graph {
        /// How.
        detail: String,
    },
    /// A removal that the graph does not allow.
    #[error("without these blocks the graph would be broken: {detail}")]
    Removal {
        /// How.
        detail: String,
    },
}
