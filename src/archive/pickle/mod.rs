//! An inert pickle: a graph of nodes that is read, looked at, edited and written. Nothing is ever called.
//!
//! A Python pickle is a program for a small stack machine that may import and call anything. What TorchScript
//! writes needs none of that: [`Pickle::parse`] keeps calls as [`Node::Reduce`] and refuses every name
//! outside [`globals`]. What the bytes fetch from the memo is one [`NodeId`] here, so sharing survives a round trip.

mod error;
pub mod globals;
mod parse;
mod survey;
mod view;
mod write;

pub use error::PickleError;
pub use view::Attributes;

/// Names a node of one [`Pickle`]. Only good with the pickle it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(u32);

impl NodeId {
    fn index(self) -> usize {
        self.0 as usize
    }
}

/// A value, its parts named by [`NodeId`].
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// `None`
    None,
    /// `True` or `False`
    Bool(bool),
    /// An integer; TorchScript has no wider ones.
    Int(i64),
    /// A float
    Float(f64),
    /// Text
    Str(String),
    /// Raw bytes; only archives rewritten by Python tools have them.
    Bytes(Vec<u8>),
    /// A tuple
    Tuple(Vec<NodeId>),
    /// A list
    List(Vec<NodeId>),
    /// A dictionary, in the order it was written
    Dict(Vec<(NodeId, NodeId)>),
    /// A name of the allow-list: a class, a rebuild function, a storage type.
    Global {
        /// E.g. `__torch__.torch.nn.modules.conv`
        module: String,
        /// E.g. `Conv2d`
        name: String,
    },
    /// `callable(*args)`, not called: a tensor, a typed list, an enumeration value.
    Reduce {
        /// A [`Node::Global`]
        callable: NodeId,
        /// A tuple; a bare value for an enumeration.
        args: NodeId,
    },
    /// An instance of a TorchScript class.
    Object {
        /// A [`Node::Global`]
        class: NodeId,
        /// The empty tuple in all that libtorch writes
        args: NodeId,
        /// A dictionary of attributes, or what the class's `__getstate__` gave
        state: Option<NodeId>,
    },
    /// A reference to something outside the pickle: a tuple that names a storage.
    PersistentId(NodeId),
}

impl Node {
    /// Bytes of the text it holds itself.
    fn text_len(&self) -> usize {
        match self {
            Self::Str(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
            Self::Global { module, name } => module.len() + name.len(),
            _ => 0,
        }
    }

    /// Calls `visit` with every part of this node, in the order they are written.
    fn for_each_child(&self, mut visit: impl FnMut(NodeId)) {
        match self {
            Self::Tuple(items) | Self::List(items) => items.iter().copied().for_each(visit),
            Self::Dict(items) => {
                for &(key, value) in items {
                    visit(key);
                    visit(value);
                }
            }
            Self::Reduce { callable, args } => {
                visit(*callable);
                visit(*args);
            }
            Self::Object { class, args, state } => {
                visit(*class);
                visit(*args);
                state.iter().copied().for_each(visit);
            }
            Self::PersistentId(id) => visit(*id),
            Self::None
            | Self::Bool(_)
            | Self::Int(_)
            | Self::Float(_)
            | Self::Str(_)
            | Self::Bytes(_)
            | Self::Global { .. } => {}
        }
    }
}

/// A graph of [`Node`]s without cycles.
///
/// Methods that take a [`NodeId`] panic when it comes from another pickle.
#[derive(Debug, Clone)]
pub struct Pickle {
    nodes: Vec<Node>,
    root: NodeId,
    /// The bytes it was read from, for as long as they still say the same.
    original: Option<Vec<u8>>,
}

impl Pickle {
    /// The pickle of the node that `build` adds last of all.
    ///
    /// # Errors
    /// Those of `build`.
    pub fn of<E>(build: impl FnOnce(&mut Self) -> Result<NodeId, E>) -> Result<Self, E> {
        let mut pickle = Pickle {
            nodes: Vec::new(),
            root: NodeId(0),
            original: None,
        };
        pickle.root = build(&mut pickle)?;
        Ok(pickle)
    }

    /// The node that stands for the whole pickle.
    pub fn root(&self) -> NodeId {
        self.root
    }

    /// Lets another node stand for the whole.
    pub fn set_root(&mut self, root: NodeId) {
        self.original = None;
        self.root = root;
    }

    /// The node named `id`.
    pub fn get(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    /// Adds a node whose parts are already there. It is written once something that is reachable holds it.
    pub fn add(&mut self, node: Node) -> NodeId {
        // A pickle of 2^32 nodes would take 200 GB; the reader's cap is far below.
        let id = NodeId(u32::try_from(self.nodes.len()).expect("fewer than 2^32 nodes"));
        self.nodes.push(node);
        id
    }

    /// Puts `node` in the place of `id`, for everything that holds it, and gives back the old node.
    ///
    /// A node that contains itself is noticed by [`to_bytes`](Self::to_bytes).
    pub fn replace(&mut self, id: NodeId, node: Node) -> Node {
        self.original = None;
        std::mem::replace(&mut self.nodes[id.index()], node)
    }

    /// Whether anything was changed since the pickle was read.
    pub fn is_edited(&self) -> bool {
        self.original.is_none()
    }

    /// Every node that the root reaches, each once, parents before their first-met parts.
    pub fn reachable(&self) -> Vec<NodeId> {
        let mut seen = vec![false; self.nodes.len()];
        let mut found = Vec::new();
        let mut open = vec![self.root];
        while let Some(id) = open.pop() {
            if std::mem::replace(&mut seen[id.index()], true) {
                continue;
            }
            found.push(id);
            let first = open.len();
            self.get(id).for_each_child(|child| open.push(child));
            open[first..].reverse();
        }
        found
    }
}
