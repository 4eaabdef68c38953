//! One walk over the reachable graph that proves what its readers rely on.

use std::collections::HashSet;

use super::globals::{self, Kind};
use super::{Node, NodeId, Pickle, PickleError};

/// What the walk found out.
pub(super) struct Survey {
    /// How often each node is referred to by reachable ones (and as the root), by index.
    pub references: Vec<u32>,
    /// Nodes on the longest path from the root to a leaf.
    pub depth: usize,
    /// Nodes of the tree that the graph spells out when nothing is shared, a long text counted as several: who walks
    /// the tree may copy it.
    pub tree_nodes: usize,
}

/// Bytes of text that count as a node.
const TEXT: usize = 64;

#[derive(Clone, Copy)]
enum Progress {
    Unseen,
    Open,
    Done { depth: usize, tree_nodes: usize },
}

enum Step {
    Enter(NodeId),
    Leave(NodeId),
}

impl Pickle {
    /// Walks the graph without recursing, so that a deep one cannot overflow the stack.
    ///
    /// # Errors
    /// [`PickleError::Cycle`], [`PickleError::DuplicateKey`], [`PickleError::UnprintableName`], and
    /// [`PickleError::Global`] for a name off the list or used as what it is not.
    pub(super) fn survey(&self) -> Result<Survey, PickleError> {
        let mut references = vec![0_u32; self.nodes.len()];
        let mut progress = vec![Progress::Unseen; self.nodes.len()];
        let mut steps = vec![Step::Enter(self.root)];
        while let Some(step) = steps.pop() {
            match step {
                Step::Enter(id) => {
                    references[id.index()] = references[id.index()].saturating_add(1);
                    match progress[id.index()] {
                        Progress::Done { .. } => {}
                        // A node is open exactly while the walk is somewhere below it.
                        Progress::Open => return Err(PickleError::Cycle),
                        Progress::Unseen => {
                            self.check(id)?;
                            progress[id.index()] = Progress::Open;
                            steps.push(Step::Leave(id));
                            self.get(id)
                                .for_each_child(|child| steps.push(Step::Enter(child)));
                        }
                    }
                }
                Step::Leave(id) => {
                    let (mut depth, mut tree_nodes) = (1, 1 + self.get(id).text_len() / TEXT);
                    self.get(id).for_each_child(|child| {
                        if let Progress::Done {
                            depth: below,
                            tree_nodes: part,
                        } = progress[child.index()]
                        {
                            depth = depth.max(below + 1);
                            tree_nodes = tree_nodes.saturating_add(part);
                        }
                    });
                    progress[id.index()] = Progress::Done { depth, tree_nodes };
                }
            }
        }
        match progress[self.root.index()] {
            Progress::Done { depth, tree_nodes } => Ok(Survey {
                references,
                depth,
                tree_nodes,
            }),
            Progress::Unseen | Progress::Open => Err(PickleError::Cycle),
        }
    }

    fn check(&self, id: NodeId) -> Result<(), PickleError> {
        match self.get(id) {
            Node::Global { module, name } => match globals::kind(module, name) {
                Some(_) => [module, name].into_iter().try_for_each(|n| printable(n)),
                None => Err(off_the_list(module, name)),
            },
            // TorchScript calls an enumeration's class, so a class is as good as a function here.
            Node::Reduce { callable, .. } => {
                self.check_use(*callable, &[Kind::Function, Kind::Class])
            }
            Node::Object { class, state, .. } => {
                self.check_use(*class, &[Kind::Class])?;
                state.map_or(Ok(()), |state| self.check_names(state))
            }
            Node::Dict(items) => self.check_keys(items),
            _ => Ok(()),
        }
    }

    fn check_use(&self, id: NodeId, allowed: &[Kind]) -> Result<(), PickleError> {
        match self.get(id) {
            Node::Global { module, name } => match globals::kind(module, name) {
                Some(kind) if allowed.contains(&kind) => Ok(()),
                _ => Err(off_the_list(module, name)),
            },
            _ => Err(PickleError::Global {
                name: "a call of something that is no name".into(),
            }),
        }
    }

    /// An object's attributes; a state that is no dictionary has no names.
    fn check_names(&self, state: NodeId) -> Result<(), PickleError> {
        let Node::Dict(items) = self.get(state) else {
            return Ok(());
        };
        items.iter().try_for_each(|(key, _)| match self.get(*key) {
            Node::Str(name) => printable(name),
            _ => Ok(()),
        })
    }

    fn check_keys(&self, items: &[(NodeId, NodeId)]) -> Result<(), PickleError> {
        let mut seen = HashSet::with_capacity(items.len());
        for &(key, _) in items {
            if let Node::Str(key) = self.get(key)
                && !seen.insert(key)
            {
                return Err(PickleError::DuplicateKey { key: key.clone() });
            }
        }
        Ok(())
    }
}

fn printable(name: &str) -> Result<(), PickleError> {
    if name.contains(char::is_control) {
        return Err(PickleError::UnprintableName { name: name.into() });
    }
    Ok(())
}

fn off_the_list(module: &str, name: &str) -> PickleError {
    PickleError::Global {
        name: format!("{module}.{name}"),
    }
}
