//! Where answers come from: the last learned layers of a network.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::program::{Operand, Program, Statement, ValueId};

/// The values to compare, side by side, of a program that gives this answer and nothing else: the input of its last
/// learned layer (arXiv 2405.17081, section 3.1), or of all its last layers where the answer comes from several heads or
/// towers. Where something reaches the answer past such a layer that feeds one as well, as in a network whose last
/// residual sum is averaged into scores, no layer is the last, and the answer itself is compared. None if there is
/// no learned layer.
#[must_use]
pub fn representation(program: &Program, answer: &[ValueId]) -> Vec<ValueId> {
    let flow = Flow::of(program);
    let heads = flow.heads(answer);
    let feeding = flow.behind(&heads.inputs);
    let runs_past = heads.past.iter().any(|value| feeding.contains(value));
    // Several inputs are looked at together, once all of them exist: none may be overwritten by then.
    let is_gone = heads.inputs.len() > 1 && flow.is_written_later(&heads);
    if runs_past || is_gone {
        answer.to_vec()
    } else {
        heads.inputs.into_iter().collect()
    }
}

/// What reaches the answer without a learned layer in between.
struct Heads {
    /// Inputs of the last learned layers, in the order in which they are made.
    inputs: BTreeSet<ValueId>,
    /// Those layers, by the places of their statements, and their inputs.
    layers: Vec<(usize, ValueId)>,
    /// Values between those layers and the answer, or beside them.
    past: HashSet<ValueId>,
}

/// The statements that give or change each value, and the values that are computed from the images.
struct Flow<'a> {
    program: &'a Program,
    makers: HashMap<ValueId, usize>,
    /// Statements that may write the memory with this root.
    writers: HashMap<ValueId, Vec<usize>>,
    from_images: HashSet<ValueId>,
}

impl<'a> Flow<'a> {
    fn of(program: &'a Program) -> Self {
        let root = |v: ValueId| program.value(v).root;
        let mut flow = Flow {
            program,
            makers: HashMap::new(),
            writers: HashMap::new(),
            from_images: HashSet::from([program.input]),
        };
        for (place, statement) in program.statements.iter().enumerate() {
            let comes_of_images =
                |v: &ValueId| flow.from_images.contains(v) || flow.from_images.contains(&root(*v));
            if content(statement).iter().any(comes_of_images) {
                flow.from_images.extend(&statement.outputs);
                if statement.impure {
                    flow.from_images.extend(statement.reads().map(root));
                }
            }
            flow.makers
                .extend(statement.outputs.iter().map(|v| (*v, place)));
            if statement.impure {
                for value in statement.reads() {
                    flow.writers.entry(root(value)).or_default().push(place);
                }
            }
        }
        flow
    }

    /// The statements that give or change the elements of a value.
    fn sources(&self, value: ValueId) -> impl Iterator<Item = (usize, &'a Statement)> {
        let writers = self.writers.get(&self.program.value(value).root);
        let places = self
            .makers
            .get(&value)
            .into_iter()
            .chain(writers.into_iter().flatten());
        places.map(|place| (*place, &self.program.statements[*place]))
    }

    /// The values whose elements a statement reads, as far as they are computed from the images.
    fn read(&self, statement: &Statement) -> impl Iterator<Item = ValueId> {
        let read = content(statement).into_iter();
        read.filter(|value| self.comes_of_images(*value))
    }

    fn comes_of_images(&self, value: ValueId) -> bool {
        let root = self.program.value(value).root;
        self.from_images.contains(&value) || self.from_images.contains(&root)
    }

    fn heads(&self, answer: &[ValueId]) -> Heads {
        let mut heads = Heads {
            inputs: BTreeSet::new(),
            layers: Vec::new(),
            past: HashSet::new(),
        };
        let mut open = answer.to_vec();
        while let Some(value) = open.pop() {
            if !heads.past.insert(value) {
                continue;
            }
            for (place, statement) in self.sources(value) {
                let input = self.layer_input(statement);
                if let Some(input) = input {
                    heads.inputs.insert(input);
                    heads.layers.push((place, input));
                }
                // The other arguments of a layer are weights, which may be computed from the images too.
                open.extend(self.read(statement).filter(|v| Some(*v) != input));
            }
        }
        heads
    }

    /// The input of a learned layer; `None` for other statements.
    fn layer_input(&self, statement: &Statement) -> Option<ValueId> {
        let place = match statement.operator()? {
            "linear" | "conv1d" | "conv2d" | "conv3d" | "_convolution" | "_convolution_mode" => 0,
            "addmm" => 1,
            "matmul" | "mm" => {
                let mut factors = self.read(statement);
                // In a product of two values that are computed from the images neither is a weight.
                return factors.next().filter(|_| factors.next().is_none());
            }
            _ => return None,
        };
        match statement.args.get(place).map(|a| &a.value) {
            Some(Operand::Value(id)) if self.comes_of_images(*id) => Some(*id),
            _ => None,
        }
    }

    /// Whether the memory of an input is written behind the layer that reads it.
    fn is_written_later(&self, heads: &Heads) -> bool {
        heads.layers.iter().any(|(place, input)| {
            let writers = self.writers.get(&self.program.value(*input).root);
            writers.is_some_and(|writers| writers.iter().any(|writer| writer > place))
        })
    }

    /// These values, and all that they are computed from.
    fn behind(&self, values: &BTreeSet<ValueId>) -> HashSet<ValueId> {
        let mut found = HashSet::new();
        let mut open: Vec<ValueId> = values.iter().copied().collect();
        while let Some(value) = open.pop() {
            if found.insert(value) {
                open.extend(self.sources(value).flat_map(|(_, s)| self.read(s)));
            }
        }
        found
    }
}

/// The values whose elements a statement reads; of others it looks at shape, type or device alone.
fn content(statement: &Statement) -> Vec<ValueId> {
    let first = || {
        statement
            .args
            .first()
            .map_or(Vec::new(), |a| a.value.values())
    };
    match statement.operator() {
        Some(
            "size" | "dim" | "numel" | "len" | "zeros_like" | "ones_like" | "full_like"
            | "empty_like" | "new_zeros" | "new_ones" | "new_full" | "new_empty",
        ) => Vec::new(),
        Some("type_as" | "to" | "view_as" | "reshape_as" | "expand_as") => first(),
        _ => statement.reads().collect(),
    }
}
