//! Blocks that are no module of their own: other methods of the same class may write their code again.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::copies::SpanCode;
use super::{Bypass, Elsewhere, OtherUse};
use crate::blocks::Reason;
use crate::blocks::attributes::used_by_block_alone;
use crate::program::ast::{CallId, Expr, walk};
use crate::program::{
    Attribute, Call, Known, ModuleId, Operand, Statement, Target, Usage, Val, ValueId, rewrite,
};

/// By method of the block's class, the calls in which it uses a weight of the block; `None` for a use in no call.
type Users<'a> = BTreeMap<&'a str, Vec<Option<CallId>>>;

impl<'a> Elsewhere<'_, '_, 'a> {
    /// The places where the code of the block is written again, in other methods of the class that it stands in.
    pub(super) fn copies(&mut self) -> Result<Vec<Bypass>, Reason> {
        let mut users = self.users_of_weights()?;
        let own = users.remove(self.frame().method.as_str());
        let inside = self.calls_inside();
        self.add_users_of_constants(&mut users, &inside);
        let mut bypasses = Vec::new();
        for (method, calls) in users {
            let others = self.copies_in(method, &calls)?.into_iter();
            bypasses.extend(others.filter(|copy| !inside.contains(&copy.call)));
        }
        self.check_nothing_else_is_read(own.unwrap_or_default(), &bypasses)?;
        Ok(bypasses)
    }

    /// The methods that use weights which only the block has. They must be methods of the block's own class.
    fn users_of_weights(&self) -> Result<Users<'a>, Reason> {
        let mut users = Users::new();
        for (owner, name) in used_by_block_alone(self.network, self.program, self.block) {
            if !self.holds_tensors(owner, &name) {
                continue;
            }
            for found in self.uses_of(owner, &name) {
                let call = match (found.target, found.usage) {
                    (Target::Holder | Target::Around, _) | (_, Usage::Named) => continue,
                    (_, Usage::Called { id, .. }) => Some(id),
                    (_, Usage::Read { within }) => within,
                    (_, Usage::Picked) => None,
                };
                if found.owner != self.frame().module {
                    let otherwise = match found.target {
                        Target::Inside => OtherUse::ReadsInside,
                        _ => OtherUse::NoCopy,
                    };
                    return Err(self.used_elsewhere(found.owner, found.method, otherwise));
                }
                users.entry(found.method).or_default().push(call);
            }
        }
        Ok(users)
    }

    /// Adds the methods that use weights which freezing made constants of.
    fn add_users_of_constants(&self, users: &mut Users<'a>, inside: &HashSet<CallId>) {
        let frame = self.frame();
        for number in self.constants_of_block_alone() {
            for found in self.uses.of_constant(self.class_of(frame.module), number) {
                let Usage::Read { within } = found.usage else {
                    continue;
                };
                let is_own =
                    found.method == frame.method && within.is_some_and(|id| inside.contains(&id));
                if !is_own {
                    users.entry(found.method).or_default().push(within);
                }
            }
        }
    }

    /// The copies of the block's code in a method, all of whose `calls` must be parts of copies.
    fn copies_in(&mut self, name: &str, calls: &[Option<CallId>]) -> Result<Vec<Bypass>, Reason> {
        let frame = self.frame();
        let class = self.network.sources.class(self.class_of(frame.module));
        let methods = class.and_then(|c| Some((c.method(&frame.method)?, c.method(name)?)));
        let found = match (methods, self.block.place_in_code(self.program)) {
            (Some((own, method)), Some((output, input))) => {
                let code = SpanCode {
                    network: self.network,
                    module: frame.module,
                    method: own,
                    output,
                    input,
                };
                code.copies_in(method, self.twins)
            }
            _ => Vec::new(),
        };
        let in_copy = |call: &Option<CallId>| {
            call.is_some_and(|call| found.iter().any(|copy| copy.calls.contains(&call)))
        };
        if !calls.iter().all(in_copy) {
            return Err(self.used_elsewhere(frame.module, name, OtherUse::NoCopy));
        }
        let bypasses = found.into_iter().map(|copy| Bypass {
            module: frame.module,
            method: name.to_owned(),
            call: copy.call,
            stand_in: copy.stand_in,
        });
        Ok(bypasses.collect())
    }

    /// The block must give nothing that code behind it reads, but its output. `own` are the calls in the method of the
    /// block itself that use its weights.
    fn check_nothing_else_is_read(
        &mut self,
        own: Vec<Option<CallId>>,
        bypasses: &[Bypass],
    ) -> Result<(), Reason> {
        // What a branch of the method that never runs does with modules of the block may stay.
        let counting = self.calls_that_give_numbers();
        let own: HashSet<CallId> = own.into_iter().flatten().collect();
        let own: HashSet<CallId> = own.intersection(&counting).copied().collect();
        if own.is_empty() {
            return Ok(());
        }
        match self.calls_left(bypasses) {
            Some(left) if left.is_disjoint(&own) => Ok(()),
            _ => {
                let frame = self.frame();
                Err(self.used_elsewhere(frame.module, &frame.method, OtherUse::ReadsBesides))
            }
        }
    }

    /// The calls in the code of the block's frame that run some of its statements, and give numbers beside tensors. The
    /// analysis knows these numbers, so that the program does not show who reads them; other tensors nobody reads.
    fn calls_that_give_numbers(&self) -> HashSet<CallId> {
        fn holds_number(value: &Val) -> bool {
            match &value.known {
                Known::List(items) | Known::Tuple(items) => items.iter().any(holds_number),
                Known::Int(_) | Known::Float(_) | Known::Tensor { item: Some(_), .. } => true,
                _ => false,
            }
        }
        let giving = self.calls_run().filter(|call| holds_number(&call.result));
        giving
            .filter_map(|call| Some(call.site.as_ref()?.id))
            .collect()
    }

    /// The calls in the code of the block's frame that run statements of the block alone.
    fn calls_run(&self) -> impl Iterator<Item = &'a Call> {
        let (frame, statements) = (self.block.frame, self.block.statements.clone());
        self.program.calls.iter().filter(move |call| {
            call.caller == Some(frame)
                && statements.start <= call.range.start
                && call.range.end <= statements.end
        })
    }

    /// The calls that are left in the code of the block's frame without the block; `None` if that is too much to try.
    fn calls_left(&mut self, bypasses: &[Bypass]) -> Option<HashSet<CallId>> {
        let (program, block, frame) = (self.program, self.block, self.frame());
        let class = self.network.sources.class(self.class_of(frame.module))?;
        let mut code = class.method(&frame.method)?.clone();
        let mut parts: usize = 0;
        walk(&code.body, &mut |_| parts += 1);
        // The code is read once for each statement that goes.
        self.twins
            .count(parts.saturating_mul(block.statements.len()))
            .then_some(())?;
        let before = rewrite::Before::of(&code);
        let (call, stand_in) = block.place_in_code(program)?;
        let in_frame = |b: &&Bypass| b.module == frame.module && b.method == frame.method;
        let others = bypasses.iter().filter(in_frame);
        let others = others.map(|bypass| (bypass.call, &bypass.stand_in));
        for (call, stand_in) in std::iter::once((call, &stand_in)).chain(others) {
            rewrite::replace_call(&mut code, call, stand_in);
        }
        rewrite::drop_writes(&mut code, &block.writes_in_code(program));
        rewrite::clean_up(&mut code, &before);
        let mut left = HashSet::new();
        walk(&code.body, &mut |expression| {
            if let Expr::Call { id, .. } = expression {
                left.insert(*id);
            }
        });
        Some(left)
    }

    /// The calls in the code of the block's frame that give what its statements make, or run some of them alone.
    fn calls_inside(&self) -> HashSet<CallId> {
        let statements = self.program.statements[self.block.statements.clone()].iter();
        let made: HashSet<ValueId> = statements.flat_map(|s| s.outputs.iter().copied()).collect();
        let giving = self.frame().expressions.iter();
        let giving = giving.filter(|(_, value)| made.contains(value));
        let running = self
            .calls_run()
            .filter_map(|call| Some(call.site.as_ref()?.id));
        giving.map(|(id, _)| *id).chain(running).collect()
    }

    fn holds_tensors(&self, owner: ModuleId, name: &str) -> bool {
        let modules = &self.network.modules;
        match modules.attribute(owner, name) {
            Some(Attribute::Module(module)) => modules.tensors(*module).next().is_some(),
            Some(Attribute::Tensor(_)) => true,
            _ => false,
        }
    }

    /// The weights that freezing made constants of, and that only the statements of the block read.
    fn constants_of_block_alone(&self) -> BTreeSet<usize> {
        let read = |statements: &[Statement]| -> BTreeSet<usize> {
            let operands = statements.iter().flat_map(|s| &s.args).map(|a| &a.value);
            let weights = operands.filter(|o| self.network.weight(o).is_some());
            let numbers = weights.filter_map(|operand| match operand {
                Operand::Constant(number) => Some(*number),
                _ => None,
            });
            numbers.collect()
        };
        let all = &self.program.statements;
        let (start, end) = (self.block.statements.start, self.block.statements.end);
        let inside = read(&all[start..end]);
        &(&inside - &read(&all[..start])) - &read(&all[end..])
    }
}
