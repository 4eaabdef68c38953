//! Bytes to nodes: the pickle machine with everything that executes left out.
//!
//! The opcodes are those of PyTorch's pickler (protocol 2), and their later spellings that archives
//! rewritten by Python tools have. See Python's `pickletools` for what each means.

use std::collections::HashMap;

use super::{Node, NodeId, Pickle, PickleError, globals};
use crate::archive::Limits;

impl Pickle {
    /// Reads a pickle.
    ///
    /// # Errors
    /// One [`PickleError`] variant per way the bytes can be wrong; nothing is read past the caps of `limits`.
    pub fn parse(bytes: &[u8], limits: &Limits) -> Result<Self, PickleError> {
        let len = bytes.len() as u64;
        if len > limits.pickle_bytes {
            return Err(PickleError::TooLong {
                len,
                limit: limits.pickle_bytes,
            });
        }
        let mut machine = Machine::new(bytes, limits);
        let root = machine.run()?;
        let pickle = Self {
            nodes: machine.nodes,
            root,
            original: Some(bytes.to_vec()),
        };

        let survey = pickle.survey()?;
        if survey.depth > limits.pickle_depth {
            return Err(PickleError::TooDeep {
                limit: limits.pickle_depth,
            });
        }
        if survey.tree_nodes > limits.pickle_nodes {
            return Err(PickleError::TooManyNodes {
                limit: limits.pickle_nodes,
            });
        }
        Ok(pickle)
    }
}

struct Machine<'a> {
    bytes: &'a [u8],
    /// The next byte to read.
    at: usize,
    /// The opcode being carried out, for messages.
    opcode: u8,
    opcode_at: usize,
    limits: &'a Limits,
    opcodes: usize,
    nodes: Vec<Node>,
    stack: Vec<NodeId>,
    /// Heights of the stack at each open MARK.
    marks: Vec<usize>,
    memo: HashMap<u64, NodeId>,
}

impl<'a> Machine<'a> {
    fn new(bytes: &'a [u8], limits: &'a Limits) -> Self {
        Self {
            bytes,
            at: 0,
            opcode: 0,
            opcode_at: 0,
            limits,
            opcodes: 0,
            nodes: Vec::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
        }
    }

    /// Runs up to STOP and gives the one value that is left.
    fn run(&mut self) -> Result<NodeId, PickleError> {
        if self.u8()? != b'\x80' || !(2..=5).contains(&self.u8()?) {
            return Err(PickleError::Protocol);
        }
        loop {
            self.opcode_at = self.at;
            self.opcode = self.u8()?;
            if self.opcode == b'.' {
                break;
            }
            self.opcodes += 1;
            if self.opcodes > self.limits.pickle_opcodes {
                return Err(PickleError::TooManyOpcodes {
                    limit: self.limits.pickle_opcodes,
                });
            }
            self.step()?;
        }
        if self.at != self.bytes.len() {
            return Err(PickleError::TrailingBytes { offset: self.at });
        }
        match self.stack[..] {
            [root] if self.marks.is_empty() => Ok(root),
            _ => Err(self.misfit()),
        }
    }

    /// Carries out one opcode.
    fn step(&mut self) -> Result<(), PickleError> {
        match self.opcode {
            b'N' => self.push(Node::None),
            b'\x88' => self.push(Node::Bool(true)),
            b'\x89' => self.push(Node::Bool(false)),
            b'K' | b'M' | b'J' | b'\x8a' => self.integer(),
            b'G' => {
                let value = f64::from_be_bytes(self.array()?);
                self.push(Node::Float(value))
            }
            b'X' | b'\x8c' => self.text(),
            b'B' | b'C' => self.raw_bytes(),
            b'c' => self.global(),
            b'\x93' => self.stack_global(),
            b'(' => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            b')' => self.push(Node::Tuple(Vec::new())),
            b']' => self.push(Node::List(Vec::new())),
            b'}' => self.push(Node::Dict(Vec::new())),
            b't' | b'\x85'..=b'\x87' | b'l' | b'd' | b'a' | b'e' | b's' | b'u' => self.fill(),
            b'R' => {
                let (callable, args) = self.pop_pair()?;
                self.push(Node::Reduce { callable, args })
            }
            b'\x81' => {
                let (class, args) = self.pop_pair()?;
                self.push(Node::Object {
                    class,
                    args,
                    state: None,
                })
            }
            b'b' => self.build(),
            b'Q' => {
                let id = self.pop()?;
                self.push(Node::PersistentId(id))
            }
            b'q' | b'r' | b'\x94' => self.put(),
            b'h' | b'j' => self.fetch(),
            // FRAME is a hint on how many bytes to read at once.
            b'\x95' => self.array::<8>().map(|_| ()),
            opcode => Err(PickleError::Opcode {
                offset: self.opcode_at,
                opcode,
            }),
        }
    }

    /// Makes a container of items on the stack, or puts them into the container below them.
    fn fill(&mut self) -> Result<(), PickleError> {
        let items = match self.opcode {
            b'\x85'..=b'\x87' => self.pop_many(usize::from(self.opcode - b'\x84')),
            b'a' => self.pop_many(1),
            b's' => self.pop_many(2),
            _ => self.pop_to_mark(),
        }?;
        match self.opcode {
            b'l' => self.push(Node::List(items)),
            b'd' => {
                let pairs = self.pairs(&items)?;
                self.push(Node::Dict(pairs))
            }
            b'a' | b'e' => self.append(items),
            b's' | b'u' => self.set_items(&items),
            _ => self.push(Node::Tuple(items)),
        }
    }

    fn integer(&mut self) -> Result<(), PickleError> {
        let value = match self.opcode {
            b'K' => i64::from(self.u8()?),
            b'M' => i64::from(u16::from_le_bytes(self.array()?)),
            b'J' => i64::from(i32::from_le_bytes(self.array()?)),
            _ => self.long()?,
        };
        self.push(Node::Int(value))
    }

    /// Two's complement, low byte first, in as many bytes as the first byte says; none means zero.
    fn long(&mut self) -> Result<i64, PickleError> {
        let len = usize::from(self.u8()?);
        let digits = self.take(len)?;
        let negative = digits.last().is_some_and(|&high| high & 0x80 != 0);
        let mut value = [if negative { 0xff } else { 0 }; 8];
        let Some(low) = value.get_mut(..len) else {
            return Err(PickleError::WideInteger {
                offset: self.opcode_at,
            });
        };
        low.copy_from_slice(digits);
        Ok(i64::from_le_bytes(value))
    }

    fn text(&mut self) -> Result<(), PickleError> {
        let len = self.length(b'\x8c')?;
        self.check_length(len)?;
        let text = self.take(len)?.to_vec();
        let text = String::from_utf8(text).map_err(|_| PickleError::Text {
            offset: self.opcode_at,
        })?;
        self.push(Node::Str(text))
    }

    fn raw_bytes(&mut self) -> Result<(), PickleError> {
        let len = self.length(b'C')?;
        self.check_length(len)?;
        let bytes = self.take(len)?.to_vec();
        self.push(Node::Bytes(bytes))
    }

    /// The length of what follows: one byte for the opcode `short`, four for its sibling.
    fn length(&mut self, short: u8) -> Result<usize, PickleError> {
        if self.opcode == short {
            return self.u8().map(usize::from);
        }
        let len = u32::from_le_bytes(self.array()?);
        usize::try_from(len).map_err(|_| PickleError::Truncated { offset: self.at })
    }

    fn check_length(&self, len: usize) -> Result<(), PickleError> {
        if len > self.limits.pickle_text {
            return Err(PickleError::TextTooLong {
                offset: self.opcode_at,
                limit: self.limits.pickle_text,
            });
        }
        Ok(())
    }

    fn global(&mut self) -> Result<(), PickleError> {
        let module = self.line()?;
        let name = self.line()?;
        self.push_global(module, name)
    }

    fn stack_global(&mut self) -> Result<(), PickleError> {
        let (module, name) = self.pop_pair()?;
        match (self.node(module), self.node(name)) {
            (Some(Node::Str(module)), Some(Node::Str(name))) => {
                let (module, name) = (module.clone(), name.clone());
                self.push_global(module, name)
            }
            _ => Err(self.misfit()),
        }
    }

    fn push_global(&mut self, module: String, name: String) -> Result<(), PickleError> {
        if globals::kind(&module, &name).is_none() {
            return Err(PickleError::Global {
                name: format!("{module}.{name}"),
            });
        }
        self.push(Node::Global { module, name })
    }

    fn append(&mut self, items: Vec<NodeId>) -> Result<(), PickleError> {
        match self.top() {
            Some(Node::List(list)) => list.extend(items),
            _ => return Err(self.misfit()),
        }
        Ok(())
    }

    fn set_items(&mut self, items: &[NodeId]) -> Result<(), PickleError> {
        let items = self.pairs(items)?;
        match self.top() {
            Some(Node::Dict(dict)) => dict.extend(items),
            _ => return Err(self.misfit()),
        }
        Ok(())
    }

    fn build(&mut self) -> Result<(), PickleError> {
        let new_state = self.pop()?;
        match self.top() {
            Some(Node::Object {
                state: state @ None,
                ..
            }) => *state = Some(new_state),
            _ => return Err(self.misfit()),
        }
        Ok(())
    }

    fn put(&mut self) -> Result<(), PickleError> {
        let id = match self.opcode {
            b'q' => u64::from(self.u8()?),
            b'r' => u64::from(u32::from_le_bytes(self.array()?)),
            _ => self.memo.len() as u64,
        };
        let top = *self.stack.last().ok_or_else(|| self.misfit())?;
        self.memo.insert(id, top);
        if self.memo.len() > self.limits.pickle_memo {
            return Err(PickleError::MemoTooLarge {
                limit: self.limits.pickle_memo,
            });
        }
        Ok(())
    }

    fn fetch(&mut self) -> Result<(), PickleError> {
        let id = match self.opcode {
            b'h' => u64::from(self.u8()?),
            _ => u64::from(u32::from_le_bytes(self.array()?)),
        };
        let node = *self.memo.get(&id).ok_or(PickleError::Memo {
            offset: self.opcode_at,
            id,
        })?;
        self.stack.push(node);
        Ok(())
    }

    // The stack.

    fn push(&mut self, node: Node) -> Result<(), PickleError> {
        // A node's number has 32 bits.
        let limit = self.limits.pickle_nodes.min(u32::MAX as usize);
        if self.nodes.len() >= limit {
            return Err(PickleError::TooManyNodes { limit });
        }
        let id = NodeId(self.nodes.len() as u32);
        self.nodes.push(node);
        self.stack.push(id);
        Ok(())
    }

    fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(id.index())
    }

    /// The value an opcode works on in place, when no MARK was set above it.
    fn top(&mut self) -> Option<&mut Node> {
        if self.stack.len() <= self.floor() {
            return None;
        }
        let id = *self.stack.last()?;
        self.nodes.get_mut(id.index())
    }

    /// The height below which the stack belongs to someone outside the innermost MARK.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self) -> Result<NodeId, PickleError> {
        if self.stack.len() <= self.floor() {
            return Err(self.misfit());
        }
        self.stack.pop().ok_or_else(|| self.misfit())
    }

    fn pop_pair(&mut self) -> Result<(NodeId, NodeId), PickleError> {
        let second = self.pop()?;
        Ok((self.pop()?, second))
    }

    fn pop_many(&mut self, count: usize) -> Result<Vec<NodeId>, PickleError> {
        match self.stack.len().checked_sub(count) {
            Some(start) if start >= self.floor() => Ok(self.stack.split_off(start)),
            _ => Err(self.misfit()),
        }
    }

    fn pop_to_mark(&mut self) -> Result<Vec<NodeId>, PickleError> {
        // Nothing is popped below the innermost mark, so the stack is at least as high.
        let mark = self.marks.pop().ok_or_else(|| self.misfit())?;
        Ok(self.stack.split_off(mark))
    }

    fn pairs(&self, items: &[NodeId]) -> Result<Vec<(NodeId, NodeId)>, PickleError> {
        let (pairs, rest) = items.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(self.misfit());
        }
        Ok(pairs.iter().map(|&[key, value]| (key, value)).collect())
    }

    fn misfit(&self) -> PickleError {
        PickleError::Stack {
            offset: self.opcode_at,
            opcode: self.opcode,
        }
    }

    // The bytes.

    fn u8(&mut self) -> Result<u8, PickleError> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], PickleError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let array = *rest.first_chunk().ok_or(PickleError::Truncated {
            offset: self.bytes.len(),
        })?;
        self.at += N;
        Ok(array)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], PickleError> {
        let end = self.at.checked_add(len);
        let taken = end.and_then(|end| self.bytes.get(self.at..end));
        let taken = taken.ok_or(PickleError::Truncated {
            offset: self.bytes.len(),
        })?;
        self.at += len;
        Ok(taken)
    }

    /// Text up to the next line feed, which is left out.
    fn line(&mut self) -> Result<String, PickleError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let len = rest.iter().position(|&byte| byte == b'\n');
        let line = self.take(len.ok_or(PickleError::Truncated {
            offset: self.bytes.len(),
        })?)?;
        self.at += 1;
        String::from_utf8(line.to_vec()).map_err(|_| PickleError::Text {
            offset: self.opcode_at,
        })
    }
}
