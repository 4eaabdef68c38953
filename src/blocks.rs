//! Cuts, residual blocks and stages of a flat program.
//!
//! A block is the region of one module call with one tensor in and one out, in which a skip connection leaves the
//! input and joins again by an addition. It can be removed if that skip is the identity all the way: `x + f(x)`, with
//! at most an activation behind the addition. Then its output may be replaced by its input, whatever the network.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::ops::Range;

use clap::ValueEnum;
use serde::Serialize;

use crate::cost::{self, Macs};
use crate::program::{
    CallIndex, ModuleId, Network, Op, Operand, Program, Statement, ValueId, is_activation,
};

/// A place between two statements where exactly one value is live, and that value is a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The statement in front of which the cut lies.
    pub position: usize,
    pub value: ValueId,
}

/// Why a block cannot be removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Its output has another shape than its input, as `[channels, height, width]`.
    ChangesShape { from: Vec<i64>, to: Vec<i64> },
    /// The shortcut computes something (a projection, a normalisation), so the block is more than `x + f(x)`.
    ShortcutComputes,
    /// Its module runs more than once, with the same weights.
    RunsTwice,
    /// Its module hangs in several places of the module tree.
    SharedModule,
    /// The call stands in a free function or hands the input on in a container.
    CallNotPlain,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::ChangesShape { from, to } => {
                write!(
                    f,
                    "changes the shape from {} to {}",
                    show_shape(from),
                    show_shape(to)
                )
            }
            Reason::ShortcutComputes => f.write_str("its shortcut is not the identity"),
            Reason::RunsTwice => f.write_str("its module runs more than once"),
            Reason::SharedModule => f.write_str("its module hangs in several places"),
            Reason::CallNotPlain => {
                f.write_str("it is not called with its input as a plain argument of a method")
            }
        }
    }
}

/// `16×32×32`
#[must_use]
pub fn show_shape(shape: &[i64]) -> String {
    shape
        .iter()
        .map(i64::to_string)
        .collect::<Vec<_>>()
        .join("×")
}

/// How finely the network is divided: a module with all the residual sums in it is one block, or each sum `x + f(x)` is
/// one of its own.
// Its variants have no comments of their own, which `--help` would print.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Granularity {
    #[default]
    Block,
    Fine,
}

/// What may be removed: residual blocks `x + f(x)`, or everything with parameters that gives a tensor of the shape of the
/// one it takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Candidates {
    #[default]
    Residual,
    All,
}

/// What counts as a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Search {
    pub granularity: Granularity,
    pub candidates: Candidates,
}

/// A residual block.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// The path of its module: `layer1.3`.
    pub path: String,
    pub module: ModuleId,
    pub call: CallIndex,
    pub statements: Range<usize>,
    pub input: ValueId,
    pub output: ValueId,
    /// Shape of one sample, without the batch dimension; `None` if it could not be told.
    pub input_shape: Option<Vec<i64>>,
    pub output_shape: Option<Vec<i64>>,
    /// Consecutive blocks of one output shape form a stage; counted from 0.
    pub stage: usize,
    /// `None`: the block can be removed.
    pub obstacle: Option<Reason>,
    /// Number of parameters.
    pub params: i64,
    pub macs: Macs,
}

impl Block {
    #[must_use]
    pub fn is_removable(&self) -> bool {
        self.obstacle.is_none()
    }
}

/// When each value is born and when it is last read.
struct Lifetimes {
    /// Statement that makes the value; the program's input is born before all.
    born: HashMap<ValueId, usize>,
    /// Last statement that reads it, or the number of statements if the program returns it.
    last_read: HashMap<ValueId, usize>,
}

impl Lifetimes {
    fn of(program: &Program) -> Self {
        let mut born = HashMap::new();
        let mut last_read = HashMap::new();
        // Values that share memory with a given root, as far as they are born.
        let mut family: HashMap<ValueId, Vec<ValueId>> = HashMap::new();
        family
            .entry(program.value(program.input).root)
            .or_default()
            .push(program.input);
        for (i, statement) in program.statements.iter().enumerate() {
            for value in statement.reads() {
                last_read.insert(value, i);
                if statement.impure {
                    // It may write that memory, which every other view of it sees: none may cross a cut before.
                    for relative in family.get(&program.value(value).root).into_iter().flatten() {
                        last_read.insert(*relative, i);
                    }
                }
            }
            for output in &statement.outputs {
                born.insert(*output, i);
                family
                    .entry(program.value(*output).root)
                    .or_default()
                    .push(*output);
            }
        }
        for value in program.output.operand.values() {
            last_read.insert(value, program.statements.len());
        }
        Lifetimes { born, last_read }
    }

    fn born_before(&self, value: ValueId, position: usize) -> bool {
        self.born.get(&value).is_none_or(|b| *b < position)
    }

    fn read_from(&self, value: ValueId, position: usize) -> bool {
        self.last_read.get(&value).is_some_and(|r| *r >= position)
    }
}

/// All cuts of the program, the one before the first statement included.
#[must_use]
pub fn cuts(program: &Program) -> Vec<Cut> {
    let lifetimes = Lifetimes::of(program);
    let mut live: HashSet<ValueId> = HashSet::from([program.input]);
    let mut found = Vec::new();
    for position in 0..=program.statements.len() {
        live.retain(|v| lifetimes.read_from(*v, position));
        if let (1, Some(&value)) = (live.len(), live.iter().next())
            && program.is_tensor(value)
        {
            found.push(Cut { position, value });
        }
        if let Some(statement) = program.statements.get(position) {
            live.extend(&statement.outputs);
        }
    }
    found
}

/// The blocks of a program, in the order in which they run.
#[must_use]
pub fn find(network: &Network, program: &Program, _search: Search) -> Vec<Block> {
    let lifetimes = Lifetimes::of(program);
    let regions: Vec<Region> = (1..program.calls.len())
        .filter_map(|i| Region::of_call(program, &lifetimes, CallIndex(i)))
        .collect();
    let mut owners: BTreeMap<usize, &Region> = BTreeMap::new();
    for (i, statement) in program.statements.iter().enumerate() {
        if let Some((left, right)) = addition(program, statement) {
            let joins = |r: &&Region| {
                r.statements.contains(&i) && r.depends.contains(&left) && r.depends.contains(&right)
            };
            // The innermost region owns the addition; of two that span the same statements, the deeper call.
            if let Some(owner) = regions
                .iter()
                .filter(joins)
                .min_by_key(|r| (r.statements.len(), usize::MAX - r.call.0))
            {
                owners.insert(owner.call.0, owner);
            }
        }
    }
    let owners: Vec<&Region> = owners.into_values().collect();
    let shown = owners.iter().filter(|r| {
        let inside = |outer: &Region, inner: &Region| {
            outer.call != inner.call
                && outer.statements.start <= inner.statements.start
                && inner.statements.end <= outer.statements.end
        };
        let in_removable = owners.iter().any(|outer| outer.skips && inside(outer, r));
        let around_removable =
            !r.skips && owners.iter().any(|inner| inner.skips && inside(r, inner));
        !in_removable && !around_removable
    });
    let uses = ModuleUses::of(network, program);
    let mut blocks: Vec<Block> = shown.map(|r| r.block(network, program, &uses)).collect();
    blocks.sort_by_key(|b| b.statements.start);
    number_stages(&mut blocks);
    blocks
}

fn number_stages(blocks: &mut [Block]) {
    let mut stage = 0;
    for i in 1..blocks.len() {
        let (before, block) = (&blocks[i - 1], &blocks[i]);
        let begins = match (&before.output_shape, &block.output_shape) {
            (Some(a), Some(b)) => a != b,
            _ => matches!(
                block.obstacle,
                Some(Reason::ChangesShape { .. } | Reason::ShortcutComputes)
            ),
        };
        stage += usize::from(begins);
        blocks[i].stage = stage;
    }
}

/// The two tensors that a plain addition adds.
fn addition(program: &Program, statement: &Statement) -> Option<(ValueId, ValueId)> {
    if statement.operator() != Some("add") {
        return None;
    }
    let scaled = statement
        .arg(2, "alpha")
        .is_some_and(|alpha| alpha.int() != Some(1));
    match (statement.arg(0, "self"), statement.arg(1, "other")) {
        (Some(Operand::Value(a)), Some(Operand::Value(b)))
            if !scaled && program.is_tensor(*a) && program.is_tensor(*b) =>
        {
            Some((*a, *b))
        }
        _ => None,
    }
}

/// A module call with one tensor in and one out.
struct Region {
    call: CallIndex,
    module: ModuleId,
    statements: Range<usize>,
    input: ValueId,
    output: ValueId,
    /// The input and what is computed from it inside.
    depends: HashSet<ValueId>,
    /// The input reaches the output by identity, through at least one addition.
    skips: bool,
}

impl Region {
    fn of_call(program: &Program, lifetimes: &Lifetimes, index: CallIndex) -> Option<Self> {
        let call = &program.calls[index.0];
        let caller = call.caller.map(|c| program.calls[c.0].module);
        let range = call.range.clone();
        if caller == Some(call.module) || range.is_empty() {
            return None;
        }
        let statements = &program.statements[range.clone()];
        let entering: HashSet<ValueId> = statements
            .iter()
            .flat_map(Statement::reads)
            .filter(|v| lifetimes.born_before(*v, range.start))
            .collect();
        let leaving: HashSet<ValueId> = statements
            .iter()
            .flat_map(|s| s.outputs.iter().copied())
            .filter(|v| lifetimes.read_from(*v, range.end))
            .collect();
        let (1, 1) = (entering.len(), leaving.len()) else {
            return None;
        };
        let (input, output) = (*entering.iter().next()?, *leaving.iter().next()?);
        let returned = call.result.operand == Operand::Value(output);
        if !returned || !program.is_tensor(input) || !program.is_tensor(output) {
            return None;
        }
        let (depends, skips) = flow(program, statements, input);
        let skips = skips.contains(&output);
        Some(Region {
            call: index,
            module: call.module,
            statements: range,
            input,
            output,
            depends,
            skips,
        })
    }

    fn block(&self, network: &Network, program: &Program, uses: &ModuleUses) -> Block {
        let (input_shape, output_shape) = (
            program.sample_shape(self.input),
            program.sample_shape(self.output),
        );
        Block {
            path: network.modules.get(self.module).path.clone(),
            module: self.module,
            call: self.call,
            statements: self.statements.clone(),
            input: self.input,
            output: self.output,
            obstacle: self.obstacle(program, uses, &input_shape, &output_shape),
            input_shape,
            output_shape,
            stage: 0,
            params: network.modules.parameter_count(self.module),
            macs: cost::macs(network, program, self.statements.clone()),
        }
    }

    fn obstacle(
        &self,
        program: &Program,
        uses: &ModuleUses,
        from: &Option<Vec<i64>>,
        to: &Option<Vec<i64>>,
    ) -> Option<Reason> {
        let call = &program.calls[self.call.0];
        let in_method = call.site.as_ref().is_some_and(|s| s.place.module.is_some());
        let plain = call
            .args
            .iter()
            .any(|a| a.operand == Operand::Value(self.input));
        match (from, to) {
            (Some(from), Some(to)) if from != to => Some(Reason::ChangesShape {
                from: from.clone(),
                to: to.clone(),
            }),
            _ if !self.skips => Some(Reason::ShortcutComputes),
            _ if uses.runs.get(&self.module).is_some_and(|n| *n > 1) => Some(Reason::RunsTwice),
            _ if uses.places.get(&self.module).is_some_and(|n| *n > 1) => {
                Some(Reason::SharedModule)
            }
            _ if !in_method || !plain => Some(Reason::CallNotPlain),
            _ => None,
        }
    }
}

/// What depends on `input`, and which of it is `input` plus something (activations behind the sum included).
fn flow(
    program: &Program,
    statements: &[Statement],
    input: ValueId,
) -> (HashSet<ValueId>, HashSet<ValueId>) {
    let mut depends = HashSet::from([input]);
    let mut same = HashSet::from([input]);
    let mut sums = HashSet::new();
    for statement in statements {
        if statement.reads().any(|v| depends.contains(&v)) {
            depends.extend(&statement.outputs);
        }
        let first = statement.args.first().and_then(|a| match a.value {
            Operand::Value(id) => Some(id),
            _ => None,
        });
        let carries = |set: &HashSet<ValueId>| first.is_some_and(|v| set.contains(&v));
        if statement.op == Op::Alias && carries(&same) {
            same.extend(&statement.outputs);
        }
        let passes = statement.op == Op::Alias || statement.operator().is_some_and(is_activation);
        let skip = |v: ValueId| same.contains(&v) || sums.contains(&v);
        let sum = addition(program, statement)
            .is_some_and(|(a, b)| (skip(a) != skip(b)) && keeps_shape(program, a, b, statement));
        if sum || (passes && carries(&sums)) {
            sums.extend(&statement.outputs);
        }
    }
    (depends, sums)
}

/// An addition that broadcasts its skip is no identity.
fn keeps_shape(program: &Program, a: ValueId, b: ValueId, statement: &Statement) -> bool {
    let shape = |v: ValueId| program.sample_shape(v);
    let out = statement.outputs.first().and_then(|v| shape(*v));
    match (shape(a), shape(b), out) {
        (Some(a), Some(b), Some(out)) => a == out && b == out,
        _ => true,
    }
}

/// How often modules run and hang in the tree.
struct ModuleUses {
    runs: HashMap<ModuleId, usize>,
    places: HashMap<ModuleId, usize>,
}

impl ModuleUses {
    fn of(network: &Network, program: &Program) -> Self {
        let mut runs = HashMap::new();
        for call in &program.calls {
            let caller = call.caller.map(|c| program.calls[c.0].module);
            if caller != Some(call.module) {
                *runs.entry(call.module).or_default() += 1;
            }
        }
        let mut places = HashMap::new();
        for (_, module) in network.modules.iter() {
            for attribute in module.attributes.values() {
                if let crate::program::Attribute::Module(child) = attribute {
                    *places.entry(*child).or_default() += 1;
                }
            }
        }
        ModuleUses { runs, places }
    }
}

/// A guess at the input shape `[channels, height, width]` where nobody named one, for networks on images.
///
/// The size is such that the last feature map has 7 or 8 pixels a side, as is usual: 8 where the network halves the
/// image up to three times (32×32 for a total stride of 4), 7 where it does so more often (224×224 for a stride of 32).
#[must_use]
pub fn guess_input_shape(network: &Network) -> Option<Vec<i64>> {
    const PROBES: [i64; 8] = [256, 224, 32, 28, 64, 128, 299, 384];
    let channels = [3, 1, 4, 2];
    let (shape, program) = channels
        .iter()
        .flat_map(|c| PROBES.iter().map(move |s| vec![*c, *s, *s]))
        .find_map(|shape| {
            let program = Program::new(network, &shape).ok()?;
            Some((shape, program))
        })?;
    let stride = total_stride(&program, shape[1]);
    let usual = stride.map(|s| if s < 16 { 8 * s } else { 7 * s });
    let guess = usual
        .map(|size| vec![shape[0], size, size])
        .filter(|g| Program::new(network, g).is_ok());
    Some(guess.unwrap_or(shape))
}

/// Input pixels for one pixel of the smallest feature map that a convolution makes.
fn total_stride(program: &Program, size: i64) -> Option<i64> {
    let convolutions = program
        .statements
        .iter()
        .filter(|s| matches!(s.operator(), Some("conv2d" | "_convolution")));
    let sides =
        convolutions.filter_map(
            |s| match program.sample_shape(*s.outputs.first()?)?.as_slice() {
                [_, height, width] if height == width && *height > 1 => Some(*height),
                _ => None,
            },
        );
    let smallest = sides.min()?;
    Some((size as u64).div_ceil(smallest as u64).next_power_of_two() as i64).filter(|s| *s <= 64)
}
