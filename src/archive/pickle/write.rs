//! Nodes to bytes, in the opcodes libtorch's own reader understands.

use std::collections::HashMap;

use super::{Node, NodeId, Pickle, PickleError};

impl Pickle {
    /// The pickle as bytes: those it was read from if nothing was changed, else a new program of protocol 2.
    ///
    /// Nodes that are referred to more than once are written once and fetched from the memo; nodes that
    /// the root does not reach are left out.
    ///
    /// # Errors
    /// [`PickleError::Cycle`], [`PickleError::DuplicateKey`] or [`PickleError::Global`] when edits made a
    /// graph that could not be read back; [`PickleError::TooLong`] for a text of 4 GiB.
    pub fn to_bytes(&self) -> Result<Vec<u8>, PickleError> {
        if let Some(original) = &self.original {
            return Ok(original.clone());
        }
        let mut writer = Writer {
            pickle: self,
            references: self.survey()?.references,
            memo: HashMap::new(),
            out: vec![b'\x80', 2],
        };
        writer.write(self.root)?;
        writer.out.push(b'.');
        Ok(writer.out)
    }
}

enum Step {
    Node(NodeId),
    Opcode(u8),
    Memoise(NodeId),
}

struct Writer<'a> {
    pickle: &'a Pickle,
    references: Vec<u32>,
    memo: HashMap<NodeId, u32>,
    out: Vec<u8>,
}

impl Writer<'_> {
    /// Writes `root` and all below it, with a list of things to do in place of recursion.
    fn write(&mut self, root: NodeId) -> Result<(), PickleError> {
        let mut steps = vec![Step::Node(root)];
        while let Some(step) = steps.pop() {
            match step {
                Step::Opcode(opcode) => self.out.push(opcode),
                Step::Memoise(id) => self.memoise(id),
                Step::Node(id) => match self.memo.get(&id) {
                    Some(&slot) => self.slot(b'h', b'j', slot),
                    None => {
                        let first = steps.len();
                        self.node(id, &mut steps)?;
                        // libtorch gives a value its type when it is complete, so it is memoised then.
                        if self.references[id.index()] > 1 {
                            steps.push(Step::Memoise(id));
                        }
                        steps[first..].reverse();
                    }
                },
            }
        }
        Ok(())
    }

    /// Writes a value without parts at once, and pushes the steps that write one with parts, first to last.
    fn node(&mut self, id: NodeId, steps: &mut Vec<Step>) -> Result<(), PickleError> {
        match self.pickle.get(id) {
            Node::None => self.out.push(b'N'),
            Node::Bool(value) => self.out.push(if *value { b'\x88' } else { b'\x89' }),
            Node::Int(value) => self.integer(*value),
            Node::Float(value) => {
                self.out.push(b'G');
                self.out.extend(value.to_be_bytes());
            }
            Node::Str(text) => self.sized(b'X', text.as_bytes())?,
            Node::Bytes(bytes) => self.sized(b'B', bytes)?,
            Node::Global { module, name } => {
                self.out.push(b'c');
                self.out.extend(module.as_bytes());
                self.out.push(b'\n');
                self.out.extend(name.as_bytes());
                self.out.push(b'\n');
            }
            Node::Tuple(items) => match items[..] {
                [] => self.out.push(b')'),
                _ => {
                    self.out.push(b'(');
                    steps.extend(items.iter().copied().map(Step::Node));
                    steps.push(Step::Opcode(b't'));
                }
            },
            Node::List(items) => {
                self.out.extend(b"](");
                steps.extend(items.iter().copied().map(Step::Node));
                steps.push(Step::Opcode(b'e'));
            }
            Node::Dict(items) => {
                self.out.extend(b"}(");
                steps.extend(
                    items
                        .iter()
                        .flat_map(|&(key, value)| [Step::Node(key), Step::Node(value)]),
                );
                steps.push(Step::Opcode(b'u'));
            }
            Node::Reduce { callable, args } => {
                steps.extend([Step::Node(*callable), Step::Node(*args), Step::Opcode(b'R')]);
            }
            Node::Object { class, args, state } => {
                steps.extend([Step::Node(*class), Step::Node(*args), Step::Opcode(b'\x81')]);
                if let Some(state) = state {
                    steps.extend([Step::Node(*state), Step::Opcode(b'b')]);
                }
            }
            Node::PersistentId(id) => steps.extend([Step::Node(*id), Step::Opcode(b'Q')]),
        }
        Ok(())
    }

    fn integer(&mut self, value: i64) {
        if let Ok(value) = u8::try_from(value) {
            self.out.extend([b'K', value]);
        } else if let Ok(value) = u16::try_from(value) {
            self.out.push(b'M');
            self.out.extend(value.to_le_bytes());
        } else if let Ok(value) = i32::try_from(value) {
            self.out.push(b'J');
            self.out.extend(value.to_le_bytes());
        } else {
            // libtorch reads LONG1 in eight bytes only.
            self.out.extend([b'\x8a', 8]);
            self.out.extend(value.to_le_bytes());
        }
    }

    fn sized(&mut self, opcode: u8, bytes: &[u8]) -> Result<(), PickleError> {
        let limit = u64::from(u32::MAX);
        let len = u32::try_from(bytes.len()).map_err(|_| PickleError::TooLong {
            len: bytes.len() as u64,
            limit,
        })?;
        self.out.push(opcode);
        self.out.extend(len.to_le_bytes());
        self.out.extend(bytes);
        Ok(())
    }

    fn memoise(&mut self, id: NodeId) {
        // At most one slot a node, and nodes are counted in u32.
        let slot = self.memo.len() as u32;
        self.memo.insert(id, slot);
        self.slot(b'q', b'r', slot);
    }

    /// A memo number, in one byte after `short` where that is enough, else in four after `long`.
    fn slot(&mut self, short: u8, long: u8, slot: u32) {
        if let Ok(slot) = u8::try_from(slot) {
            self.out.extend([short, slot]);
        } else {
            self.out.push(long);
            self.out.extend(slot.to_le_bytes());
        }
    }
}
