//! Blocks: the parts of a program that may go, and the cuts between them.
//!
//! A residual block is a region with one tensor in and one out, in which a skip connection leaves the input and joins
//! again by an addition. It can be removed if that skip is the identity all the way: `x + f(x)`, with at most an
//! activation behind the addition. Then its output may be replaced by its input, whatever the network. Most blocks are
//! the call of one module; where a method adds up several residual spans itself, or the modules are gone (a frozen
//! archive), a block is a span of that method's code.

#![forbid(unsafe_code)]

pub mod analysis;
pub mod answer;
pub(crate) mod attributes;
mod cuts;
pub mod front;
mod globs;
mod layout;
pub mod lineage;
mod naming;
mod other_uses;
pub mod patch;
mod region;
pub mod representation;
mod residual;
pub mod samples;
mod skip;
mod spans;
mod sums;
mod twins;
pub mod value;
pub mod verdict;

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::program::ast::CallId;
use crate::program::cost::{self, Macs};
pub use crate::program::show_shape;
use crate::program::{CallIndex, Mention, ModuleId, Network, Program, ShapeEnd, Uses, ValueId};
pub use cuts::{Cut, cuts};
pub use globs::Globs;
pub use other_uses::{Bypass, OtherUse};
use region::{Graph, Region};
use twins::Twins;

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
    /// The code around it has no expression for its output that runs just once, or none for its input.
    CallNotPlain,
    /// The shape of its input or of its output could not be told.
    UnknownShape {
        /// The place from which on shapes are not known.
        behind: Option<String>,
    },
    /// Code besides the call in `forward` uses it in a way that cannot be taken out.
    UsedElsewhere {
        class: String,
        method: String,
        otherwise: OtherUse,
    },
}

impl Reason {
    fn is_pick(&self) -> bool {
        let Reason::UsedElsewhere { otherwise, .. } = self else {
            return false;
        };
        *otherwise == OtherUse::PicksByNumber
    }

    /// Whether the block is `x + f(x)` nevertheless, and only other code or shared weights keep it from going.
    #[must_use]
    pub fn holds_residual(&self) -> bool {
        matches!(
            self,
            Reason::RunsTwice
                | Reason::SharedModule
                | Reason::CallNotPlain
                | Reason::UsedElsewhere { .. }
        )
    }
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
            Reason::RunsTwice => f.write_str("it runs more than once, with the same weights"),
            Reason::SharedModule => f.write_str("its module hangs in several places"),
            Reason::UnknownShape { behind } => {
                f.write_str("the shape of its input or output could not be told")?;
                match behind {
                    Some(place) => write!(f, " behind {place}"),
                    None => Ok(()),
                }
            }
            Reason::UsedElsewhere {
                class,
                method,
                otherwise,
            } => {
                let class = class.rsplit('.').next().unwrap_or_default();
                write!(f, "`{method}` of {class} {otherwise}")
            }
            Reason::CallNotPlain => f.write_str(
                "its input or its output is no plain expression in the code of one method",
            ),
        }
    }
}

/// How finely the network is divided: a module with all the residual sums in it is one block, or each sum `x + f(x)` is
/// one of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Granularity {
    #[default]
    Block,
    Fine,
}

impl Granularity {
    /// In the order in which they are listed.
    pub const ALL: [Granularity; 2] = [Granularity::Block, Granularity::Fine];

    /// As options and documents have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Granularity::Block => "block",
            Granularity::Fine => "fine",
        }
    }
}

/// What may be removed: residual blocks `x + f(x)`, or everything with parameters that gives a tensor of the shape of the
/// one it takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Candidates {
    #[default]
    Residual,
    All,
}

impl Candidates {
    /// In the order in which they are listed.
    pub const ALL: [Candidates; 2] = [Candidates::Residual, Candidates::All];

    /// As options and documents have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Candidates::Residual => "residual",
            Candidates::All => "all",
        }
    }
}

/// What counts as a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Search {
    pub granularity: Granularity,
    pub candidates: Candidates,
}

/// A part of the network that may be removed as a whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// The path of its module, `layer1.3`; without modules its place, `stage2.block3`.
    pub path: String,
    /// The module call it is; `None`: a span of a method's code.
    pub call: Option<CallIndex>,
    /// The call of the method whose code it stands in.
    pub frame: CallIndex,
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
    /// Its other calls: in branches that never run, and in other methods.
    pub elsewhere: Vec<Bypass>,
    /// Number of parameters.
    pub params: i64,
    pub macs: Macs,
}

impl Block {
    /// Whether it can be removed.
    #[must_use]
    pub fn is_removable(&self) -> bool {
        self.obstacle.is_none()
    }

    /// The dimension of the channels in what it gives: convolutions keep them in dimension 1, layers of tokens in the last
    /// one, which is -1.
    #[must_use]
    pub fn channels(&self, program: &Program) -> i64 {
        let statements = program.statements[self.statements.clone()].iter();
        let mut operators = statements.filter_map(|s| s.operator());
        match operators.any(|name| name.starts_with("conv") || name == "_convolution") {
            true => 1,
            false => -1,
        }
    }

    /// The call expression that gives the block's output, and what speaks of its input there; both in the code of the
    /// method that [`Block::frame`] calls.
    #[must_use]
    pub fn place_in_code(&self, program: &Program) -> Option<(CallId, Mention)> {
        place_in_code(program, self.call, self.frame, self.input, self.output)
    }

    /// The calls in the code of [`Block::frame`] that run statements of the block alone, and write memory.
    pub(crate) fn writes_in_code(&self, program: &Program) -> Vec<CallId> {
        let inside = program.statements[self.statements.clone()].iter();
        let written: BTreeSet<ValueId> = inside
            .filter(|s| s.impure)
            .flat_map(|s| s.outputs.iter().copied())
            .collect();
        let expressions = &program.calls[self.frame.0].expressions;
        let always_inside = |id: &CallId| {
            let mut runs = expressions.iter().filter(|(other, _)| other == id);
            runs.all(|(_, value)| written.contains(value))
        };
        let ids: BTreeSet<CallId> = expressions.iter().map(|(id, _)| *id).collect();
        ids.into_iter().filter(always_inside).collect()
    }
}

/// The blocks of a program, in the order in which they run.
#[must_use]
pub fn find(network: &Network, program: &Program, search: Search) -> Vec<Block> {
    let graph = Graph::of(program);
    let mut regions = residual::find(&graph, search.granularity);
    if search.candidates == Candidates::All {
        let residual: Vec<Region> = regions.iter().filter(|r| r.skips).cloned().collect();
        let spans = spans::find(&graph, network, &residual);
        regions.retain(|r| r.skips || !spans.iter().any(|s| s.overlaps(r)));
        regions.extend(spans);
    }
    regions.sort_by_key(|r| r.statements.start);
    let uses = ModuleUses::of(network, program);
    let any_span = search.candidates == Candidates::All;
    let mut blocks: Vec<Block> = regions
        .iter()
        .map(|region| block(network, program, &uses, region, any_span))
        .collect();
    naming::number_stages(&mut blocks);
    naming::name_by_place(network, program, &mut blocks);
    let (uses, mut twins) = (Uses::of(&network.sources), Twins::of(network));
    for block in &mut blocks {
        let bypasses = match block.obstacle {
            None | Some(Reason::CallNotPlain) => {
                other_uses::bypasses(network, program, &uses, &mut twins, block)
            }
            Some(_) => continue,
        };
        match (bypasses, &block.obstacle) {
            (Ok(bypasses), None) => block.elsewhere = bypasses,
            (Err(reason), None) => block.obstacle = Some(reason),
            // Why the call is not plain is more useful to know than that it is not.
            (Err(reason), Some(_)) if reason.is_pick() => block.obstacle = Some(reason),
            (_, Some(_)) => {}
        }
    }
    blocks
}

fn block(
    network: &Network,
    program: &Program,
    uses: &ModuleUses,
    region: &Region,
    any_span: bool,
) -> Block {
    let statements = region.statements.clone();
    let (input_shape, output_shape) = (
        program.sample_shape(region.input),
        program.sample_shape(region.output),
    );
    let params = match region.call {
        Some(call) => network
            .modules
            .parameter_count(program.calls[call.0].module),
        None => cost::params(network, program, statements.clone()),
    };
    Block {
        path: naming::path_in_tree(network, program, region).unwrap_or_default(),
        call: region.call,
        frame: region.frame,
        input: region.input,
        output: region.output,
        obstacle: obstacle(network, program, uses, region, any_span),
        elsewhere: Vec::new(),
        input_shape,
        output_shape,
        stage: 0,
        params,
        macs: cost::macs(network, program, statements.clone()),
        statements,
    }
}

/// Why a region cannot be taken out.
fn obstacle(
    network: &Network,
    program: &Program,
    uses: &ModuleUses,
    region: &Region,
    any_span: bool,
) -> Option<Reason> {
    let (Some(from), Some(to)) = (program.shape(region.input), program.shape(region.output)) else {
        let ends = program.shape_ends().into_iter().rev();
        let before = |end: &ShapeEnd| end.statement < region.statements.end;
        let behind = ends.filter(before).map(|end| end.place(network)).next();
        return Some(Reason::UnknownShape { behind });
    };
    if from != to {
        let shown = |value| program.sample_shape(value).unwrap_or_default();
        return Some(Reason::ChangesShape {
            from: shown(region.input),
            to: shown(region.output),
        });
    }
    if !region.skips && !any_span {
        return Some(Reason::ShortcutComputes);
    }
    let module = program.calls[region.call.unwrap_or(region.frame).0].module;
    if uses.runs.get(&module).is_some_and(|n| *n > 1) {
        return Some(Reason::RunsTwice);
    }
    if uses.is_shared(network, module) {
        return Some(Reason::SharedModule);
    }
    match place_in_code(
        program,
        region.call,
        region.frame,
        region.input,
        region.output,
    ) {
        None => Some(Reason::CallNotPlain),
        Some(_) => None,
    }
}

/// How the code that holds a region speaks of its output, and of the input to put in its place.
fn place_in_code(
    program: &Program,
    call: Option<CallIndex>,
    frame: CallIndex,
    input: ValueId,
    output: ValueId,
) -> Option<(CallId, Mention)> {
    match call {
        Some(call) => {
            let site = program.calls[call.0].site.as_ref()?;
            site.place.module?;
            let mention = program
                .argument_of(call, input)
                .or_else(|| program.mention_of(frame, input))?;
            program
                .runs_once(frame, site.id)
                .then_some((site.id, mention))
        }
        None => Some((
            program.expression_of(frame, output)?,
            program.mention_of(frame, input)?,
        )),
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
            for (_, child) in module.children() {
                *places.entry(child).or_default() += 1;
            }
        }
        ModuleUses { runs, places }
    }

    /// Whether the module, or one it hangs in, hangs in several places.
    fn is_shared(&self, network: &Network, module: ModuleId) -> bool {
        let mut at = Some(module);
        while let Some(module) = at {
            if self.places.get(&module).is_some_and(|n| *n > 1) {
                return true;
            }
            at = network.modules.get(module).parent;
        }
        false
    }
}
