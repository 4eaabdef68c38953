//! Branches that the analysis cannot decide: what holds whichever side the network takes.
//!
//! Both sides of a branch are followed and taken back again. What they agree on is known of the statement that stays.
//! Where the branches of a call depend on each other (`fast` is set in one and read in the next), every way through
//! the whole call is followed instead, and the call stays as one statement.

use std::collections::BTreeMap;

use super::{Flow, Frame, Inliner, NamedVals, ProgramError, Step, Stop, opaque};
use crate::program::ast::{Expr, Function, Stmt, walk};
use crate::program::builder::{CodePlace, EARLY_RETURN, UNKNOWN_SHAPE, positional};
use crate::program::statement_macs;
use crate::program::value::{Known, Operand, Val};
use crate::program::{Op, opaque::Renaming};

/// Why a branch stays whose condition data decide.
pub(super) const UNDECIDED: &str = "a branch that data decide";
/// How many ways through one call are followed at most.
const MAX_WAYS: usize = 64;
/// How many statements are followed and taken back again at most, over the whole network.
const MAX_SPECULATION: usize = 100_000;

/// One way through a call: which side is taken at each undecided branch.
#[derive(Default)]
pub(super) struct Way {
    /// For each branch, whether the first side is taken. A branch beyond the end takes it too, and is added.
    turns: Vec<bool>,
    passed: usize,
}

impl Way {
    fn turn(&mut self) -> bool {
        if self.passed == self.turns.len() {
            self.turns.push(true);
        }
        self.passed += 1;
        self.turns[self.passed - 1]
    }

    /// The way to try after this one.
    fn next(mut self) -> Option<Way> {
        while !self.turns.pop()? {}
        self.turns.push(false);
        Some(Way {
            turns: self.turns,
            passed: 0,
        })
    }
}

/// An `if` in the code being followed.
#[derive(Clone, Copy)]
pub(super) struct Branch<'a> {
    pub statement: &'a Stmt,
    pub condition: &'a Expr,
    pub then: &'a [Stmt],
    pub otherwise: &'a [Stmt],
}

impl<'a> Branch<'a> {
    fn sides(&self) -> [&'a [Stmt]; 2] {
        [self.then, self.otherwise]
    }
}

/// What holds of the results of code, whichever way it goes.
pub(super) struct Outcome<T> {
    pub results: T,
    /// Multiply-accumulates for one sample, if they are the same for all ways.
    pub macs: Option<i64>,
}

/// What is known of the variables that a branch assigns; `None` for a variable that nothing reads.
pub(super) type Variables = BTreeMap<String, Option<Known>>;

impl<'a> Inliner<'a> {
    /// Follows the side of a branch that its condition picks.
    pub(super) fn branch(&mut self, frame: &mut Frame, branch: Branch<'a>) -> Step<Flow> {
        let condition = self.eval(frame, branch.condition)?;
        match condition.as_bool() {
            Some(true) => self.block(frame, branch.then),
            Some(false) => self.block(frame, branch.otherwise),
            None => {
                self.undecided_by = if self.builder.asks_for_shape(&condition.operand) {
                    UNKNOWN_SHAPE
                } else {
                    UNDECIDED
                };
                self.undecided(frame, branch)
            }
        }
    }

    /// An `if` whose condition is not known.
    fn undecided(&mut self, frame: &mut Frame, branch: Branch<'a>) -> Step<Flow> {
        if let Some(way) = &mut self.way {
            let side = if way.turn() {
                branch.then
            } else {
                branch.otherwise
            };
            return self.block(frame, side);
        }
        let line = self.builder.line;
        let outcome = self.both_ways(frame, branch);
        self.builder.line = line;
        let complete = outcome.as_ref().is_some_and(|o| {
            let all_known = |known: &Option<Known>| *known != Some(Known::Nothing);
            o.macs.is_some() && o.results.values().all(all_known)
        });
        if !complete && frame.may_stay_a_call && frame.attributes_set == self.attributes_set {
            return Err(Stop::Undecided);
        }
        let ends = branch.sides().map(|side| ends_method(frame, side));
        if !complete && self.undecided_by == UNDECIDED && ends[0] != ends[1] {
            self.undecided_by = EARLY_RETURN;
        }
        self.leave_opaque(frame, branch.statement, outcome)
    }

    /// What both sides of a branch agree on.
    fn both_ways(&mut self, frame: &Frame, branch: Branch<'a>) -> Option<Outcome<Variables>> {
        let renamed = Renaming::of(branch.statement, |_| false)?;
        let parts: usize = frame.variables.values().map(Val::weight).sum();
        self.count_work(parts.saturating_mul(2)).ok()?;
        let mut merged: Option<Outcome<Variables>> = None;
        for side in branch.sides() {
            let mut frame = frame.speculative();
            let outcome = self.speculate(|inliner| match inliner.block(&mut frame, side)? {
                Flow::Next => Ok(renamed
                    .writes
                    .iter()
                    .map(|name| {
                        let value = frame.variables.get(name);
                        let value = value.map(|v| inliner.builder.current(v));
                        let known = value.map_or(Some(Known::Nothing), |v| outline(&v));
                        (name.clone(), known)
                    })
                    .collect::<Variables>()),
                _ => opaque("a branch that leaves"),
            });
            let Ok(outcome) = outcome else { return None };
            merged = match (merged, outcome) {
                (Some(a), Some(b)) => Some(Outcome {
                    macs: a.macs.filter(|macs| b.macs == Some(*macs)),
                    results: a
                        .results
                        .into_iter()
                        .zip(b.results.into_values())
                        .map(|((name, a), b)| (name, agreement(a, b)))
                        .collect(),
                }),
                (a, b) => a.or(b),
            };
        }
        merged
    }

    /// What all ways through a call agree on; `None` if their MACs differ or are not known, or the ways are too many.
    pub(super) fn every_way(
        &mut self,
        function: &'a Function,
        place: &CodePlace,
        args: &NamedVals,
    ) -> Option<Outcome<Known>> {
        if self.way.is_some() {
            return None;
        }
        let mut merged: Option<Outcome<Option<Known>>> = None;
        let mut next = Some(Way::default());
        for _ in 0..MAX_WAYS {
            let Some(way) = next.take() else { break };
            self.way = Some(way);
            let outcome = self.speculate(|inliner| {
                let result = inliner.run(function, place.clone(), args.clone())?;
                Ok(outline(&inliner.builder.current(&result)))
            });
            next = self.way.take()?.next();
            merged = match (merged, outcome.ok()?) {
                (Some(a), Some(b)) => Some(Outcome {
                    macs: a.macs.filter(|macs| b.macs == Some(*macs)),
                    results: agreement(a.results, b.results),
                }),
                (a, b) => a.or(b),
            };
            if merged.as_ref().is_some_and(|m| m.macs.is_none()) {
                return None;
            }
        }
        let merged = merged.filter(|_| next.is_none())?;
        Some(Outcome {
            results: merged.results?,
            macs: merged.macs,
        })
    }

    /// Follows code and takes it back again; `None` if the code raises an error.
    fn speculate<T>(
        &mut self,
        follow: impl FnOnce(&mut Self) -> Step<T>,
    ) -> Result<Option<Outcome<T>>, ()> {
        let checkpoint = self.builder.checkpoint();
        let call = self.builder.current_call;
        let start = self.builder.statements.len();
        self.speculating += 1;
        let result = follow(self);
        self.speculating -= 1;
        let outcome = match result {
            Ok(results) => Ok(Some(Outcome {
                results,
                macs: self.macs_since(start),
            })),
            Err(Stop::Error(ProgramError::Refused { .. })) => Ok(None),
            Err(_) => Err(()),
        };
        self.builder.current_call = call;
        self.builder.roll_back(&checkpoint);
        let objects = &self.builder.objects;
        self.kept.retain(|_, id| objects.has(*id));
        outcome
    }

    fn macs_since(&self, start: usize) -> Option<i64> {
        let statements = self.builder.statements.get(start..)?;
        statements.iter().try_fold(0_i64, |sum, statement| {
            sum.checked_add(statement_macs(
                self.network,
                &self.builder.values,
                statement,
            )?)
        })
    }

    /// Counts a statement that is followed only to be taken back.
    pub(super) fn count_speculation(&mut self) -> Step<()> {
        if self.speculating > 0 {
            self.speculated += 1;
            if self.speculated > MAX_SPECULATION {
                return opaque("more undecided branches than are followed");
            }
        }
        Ok(())
    }

    /// The value with a statement for each of its items, which takes the item out of it.
    pub(super) fn unfolded(&mut self, val: Val) -> Val {
        let (Known::Tuple(items), Operand::Value(id)) = (&val.known, &val.operand) else {
            return val;
        };
        let (id, items) = (*id, items.clone());
        let items = (0..).zip(items).map(|(i, item)| {
            let args = vec![
                positional(val.operand.clone()),
                positional(Val::int(i).operand),
            ];
            let item = self.builder.emit(Op::Index, args, item.known);
            self.unfolded(item)
        });
        let known = Known::Tuple(items.collect());
        self.builder.values[id.0 as usize].known = known.clone();
        Val { known, ..val }
    }
}

/// Whether a side of a branch calls no method and gives what the method returns: in TorchScript a `return` from the
/// middle is a branch around all the code behind it.
fn ends_method(frame: &Frame, side: &[Stmt]) -> bool {
    let returned =
        |target: &Expr| matches!(target, Expr::Name(name) if frame.returned.contains(name));
    let gives = side.iter().any(|statement| {
        matches!(statement, Stmt::Assign(assign) if assign.targets.iter().any(returned))
    });
    let mut calls = false;
    walk(side, &mut |expression| calls |= is_method_call(expression));
    gives && !calls
}

fn is_method_call(expression: &Expr) -> bool {
    let Expr::Call { callee, .. } = expression else {
        return false;
    };
    // Operators have dotted names; what methods are called of stands in parentheses.
    matches!(&**callee, Expr::Attribute { .. }) && callee.dotted().is_none()
}

/// What stays known of a value once the statements that made it are taken back; `None` if nothing reads the value.
fn outline(val: &Val) -> Option<Known> {
    if matches!(&val.operand, Operand::Literal(text) if text.starts_with("uninitialized(")) {
        return None;
    }
    Some(match &val.known {
        Known::Tuple(items) => {
            // Nothing is known of an item that nothing reads.
            let known = |v: &Val| Val::placeholder(outline(v).unwrap_or(Known::Nothing));
            Known::Tuple(items.iter().map(known).collect())
        }
        Known::List(_)
        | Known::Dict(_)
        | Known::Module(_)
        | Known::Function(_)
        | Known::Object(_) => Known::Nothing,
        other => other.clone(),
    })
}

fn agreement(a: Option<Known>, b: Option<Known>) -> Option<Known> {
    let (Some(first), Some(second)) = (&a, &b) else {
        return a.or(b);
    };
    Some(common(first, second))
}

pub(super) fn common(a: &Known, b: &Known) -> Known {
    match (a, b) {
        (Known::Tensor { shape: a, item: m }, Known::Tensor { shape: b, item: n }) => {
            Known::Tensor {
                shape: a.clone().filter(|_| a == b),
                item: m.filter(|_| m == n),
            }
        }
        (Known::Tuple(a), Known::Tuple(b)) if a.len() == b.len() => {
            let pairs = a.iter().zip(b);
            Known::Tuple(
                pairs
                    .map(|(a, b)| Val::placeholder(common(&a.known, &b.known)))
                    .collect(),
            )
        }
        (a, b) if a == b => a.clone(),
        _ => Known::Nothing,
    }
}
