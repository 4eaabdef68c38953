//! Parts of the program with one tensor in and one out.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Range;

use super::cuts::Lifetimes;
use super::skip;
use super::sums::{Sum, addition};
use crate::program::{CallIndex, Known, Operand, Program, Statement, ValueId, is_activation};

/// The program, with what the search for regions often needs to know of it.
pub(super) struct Graph<'a> {
    pub program: &'a Program,
    lifetimes: Lifetimes,
    readers: HashMap<ValueId, Vec<usize>>,
    /// The input and the tensors computed from it.
    data: HashSet<ValueId>,
}

impl<'a> Graph<'a> {
    pub fn of(program: &'a Program) -> Self {
        let mut readers: HashMap<ValueId, Vec<usize>> = HashMap::new();
        let mut data = HashSet::from([program.input]);
        for (i, statement) in program.statements.iter().enumerate() {
            for value in statement.reads() {
                readers.entry(value).or_default().push(i);
            }
            if statement.reads().any(|v| data.contains(&v)) {
                let tensors = statement.outputs.iter();
                data.extend(tensors.filter(|v| !is_number(program, **v)));
            }
        }
        Graph {
            program,
            lifetimes: Lifetimes::of(program),
            readers,
            data,
        }
    }

    /// The one tensor of data that enters these statements, and the one that leaves them. Values that depend on weights
    /// alone, such as an encoding of positions that all blocks share, may enter as well.
    fn ends(&self, range: &Range<usize>) -> Option<(ValueId, ValueId)> {
        let statements = self.program.statements.get(range.clone())?;
        let entering: HashSet<ValueId> = statements
            .iter()
            .flat_map(Statement::reads)
            .filter(|v| self.lifetimes.born_before(*v, range.start) && self.data.contains(v))
            .collect();
        let leaving: HashSet<ValueId> = statements
            .iter()
            .flat_map(|s| s.outputs.iter().copied())
            .filter(|v| self.lifetimes.read_from(*v, range.end))
            .collect();
        let (1, 1) = (entering.len(), leaving.len()) else {
            return None;
        };
        let (input, output) = (*entering.iter().next()?, *leaving.iter().next()?);
        let both_tensors = self.program.is_tensor(input) && self.program.is_tensor(output);
        both_tensors.then_some((input, output))
    }

    /// The only statement that reads a value.
    fn only_reader(&self, value: ValueId) -> Option<usize> {
        match self.readers.get(&value)?.as_slice() {
            [reader] => Some(*reader),
            _ => None,
        }
    }

    /// The end of the chain of operators behind `value`: each is the only one to read the result before it, and passes
    /// the test.
    pub fn chain_behind(
        &self,
        mut value: ValueId,
        mut end: usize,
        mut passes: impl FnMut(&Statement) -> bool,
    ) -> usize {
        while let Some(reader) = self.only_reader(value) {
            let statement = &self.program.statements[reader];
            let ([output], true) = (statement.outputs.as_slice(), passes(statement)) else {
                break;
            };
            if statement.impure {
                break;
            }
            (value, end) = (*output, reader + 1);
        }
        end
    }

    /// The latest tensor that all of the data in both values comes from, and the first statement behind it.
    fn dominator(&self, left: ValueId, right: ValueId) -> Option<(ValueId, usize)> {
        let place = |v: ValueId| (self.lifetimes.born_at(v).map_or(0, |i| i + 1), v);
        let mut open: BTreeSet<(usize, ValueId)> = [left, right].map(place).into();
        let mut first = usize::MAX;
        while open.len() > 1 {
            let (behind, _) = open.pop_last()?;
            let at = behind.checked_sub(1)?;
            first = first.min(at);
            let reads = self.program.statements[at].reads();
            open.extend(reads.filter(|v| self.data.contains(v)).map(place));
        }
        let (_, value) = open.pop_first()?;
        (first < usize::MAX).then_some((value, first))
    }

    /// Where these statements begin, together with those behind `input` that compute what they read of weights alone,
    /// such as a position bias; with `numbers`, also with those that compute sizes of the input.
    fn begin_of_preparations(&self, input: ValueId, range: &Range<usize>, numbers: bool) -> usize {
        let behind = self.lifetimes.born_at(input).map_or(0, |i| i + 1);
        let statements = &self.program.statements;
        let prepared =
            |v: &ValueId| !self.data.contains(v) && (numbers || !is_number(self.program, *v));
        let inside = statements[range.clone()].iter();
        let mut open: HashSet<ValueId> =
            inside.flat_map(Statement::reads).filter(prepared).collect();
        let mut first = range.start;
        for at in (behind..range.start).rev() {
            if statements[at].outputs.iter().any(|v| open.contains(v)) {
                open.extend(statements[at].reads().filter(prepared));
                first = at;
            }
        }
        first
    }
}

fn is_number(program: &Program, value: ValueId) -> bool {
    matches!(
        program.value(value).known,
        Known::Int(_)
            | Known::Float(_)
            | Known::Bool(_)
            | Known::Str(_)
            | Known::None
            // Traced code computes with sizes as tensors.
            | Known::Tensor { item: Some(_), .. }
    )
}

/// A part of the program with one tensor in and one out.
#[derive(Clone, Debug)]
pub(super) struct Region {
    /// The module call it is; `None`: a span of a method's code.
    pub call: Option<CallIndex>,
    /// The call of the method whose code it stands in.
    pub frame: CallIndex,
    pub statements: Range<usize>,
    pub input: ValueId,
    pub output: ValueId,
    /// The input and what is computed from it inside.
    depends: HashSet<ValueId>,
    /// The input reaches the output by identity, through at least one addition.
    pub skips: bool,
}

impl Region {
    /// The region of a module call, if it is one.
    pub fn of_call(graph: &Graph, index: CallIndex) -> Option<Self> {
        let call = &graph.program.calls[index.0];
        let caller = call.caller?;
        let range = call.range.clone();
        if graph.program.calls[caller.0].module == call.module || range.is_empty() {
            return None;
        }
        let region = Self::new(graph, Some(index), caller, range)?;
        (call.result.operand == Operand::Value(region.output)).then_some(region)
    }

    /// The region that an addition ends: from the tensor that both its sides come from to the sum, or to the
    /// activation behind it.
    pub fn of_sum(graph: &Graph, at: usize) -> Option<Self> {
        let statement = &graph.program.statements[at];
        let sum = addition(graph.program, statement)?;
        let (input, first) = graph.dominator(sum.left, sum.right)?;
        let mut activations = 0..1;
        let activated = |s: &Statement| {
            let activation = s.operator().is_some_and(is_activation);
            activation && s.call == statement.call && activations.next().is_some()
        };
        let end = graph.chain_behind(*statement.outputs.first()?, at + 1, activated);
        // A value that other statements read as well is computed outside of the region.
        let begin = |numbers| graph.begin_of_preparations(input, &(first..end), numbers);
        let begins = [begin(true), begin(false), first];
        let mut regions = begins
            .into_iter()
            .filter_map(|begin| Self::of_span(graph, begin..end));
        regions.next().filter(|region| region.joins(&sum))
    }

    /// The region of these statements, in the code of the innermost method that can speak of both its ends.
    pub fn of_span(graph: &Graph, range: Range<usize>) -> Option<Self> {
        let program = graph.program;
        let (input, output) = graph.ends(&range)?;
        let around = |call: &usize| {
            let outer = &program.calls[*call].range;
            outer.start <= range.start && range.end <= outer.end
        };
        let mut frames = (0..program.calls.len()).rev().filter(around).map(CallIndex);
        let innermost = frames.clone().next()?;
        let speaks = |frame: &CallIndex| {
            program.expression_of(*frame, output).is_some()
                && program.mention_of(*frame, input).is_some()
        };
        let frame = frames.find(speaks).unwrap_or(innermost);
        Self::new(graph, None, frame, range)
    }

    fn new(
        graph: &Graph,
        call: Option<CallIndex>,
        frame: CallIndex,
        statements: Range<usize>,
    ) -> Option<Self> {
        let (input, output) = graph.ends(&statements)?;
        let (depends, sums) = skip::flow(
            graph.program,
            &graph.program.statements[statements.clone()],
            input,
        );
        Some(Region {
            call,
            frame,
            statements,
            input,
            output,
            depends,
            skips: sums.contains(&output),
        })
    }

    /// Whether both sides come from the region's input.
    pub fn joins(&self, sum: &Sum) -> bool {
        self.depends.contains(&sum.left) && self.depends.contains(&sum.right)
    }

    /// Whether `inner` lies in this region and is less than it.
    pub fn holds(&self, inner: &Region) -> bool {
        self.spans(inner) && (self.statements != inner.statements || self.call < inner.call)
    }

    /// Whether the statements of `inner` are among this region's.
    pub fn spans(&self, inner: &Region) -> bool {
        self.statements.start <= inner.statements.start
            && inner.statements.end <= self.statements.end
    }

    pub fn overlaps(&self, other: &Region) -> bool {
        self.statements.start < other.statements.end && other.statements.start < self.statements.end
    }
}
