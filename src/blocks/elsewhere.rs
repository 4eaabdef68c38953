//! What else in the code speaks of a block: branches that never run, and other methods.
//!
//! libtorch compiles all of it, so a block has to go from all of it. Where it is called, what it is given is what it
//! gives when it is gone.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;

use super::attributes::used_by_block_alone;
use super::copies::copies;
use super::twins::Twins;
use super::{Block, Reason};
use crate::program::ast::{Arg, CallId, Class, Expr, walk};
use crate::program::{
    Attribute, Call, Found, How, Known, Mention, ModuleId, Network, Of, Operand, Program,
    Statement, Uses, Val, ValueId, is_impure, rewrite,
};

/// A call of a block besides the one that `forward` makes, and what takes its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Bypass {
    /// The module whose method is edited.
    pub module: ModuleId,
    pub method: String,
    pub call: CallId,
    pub stand_in: Mention,
}

/// What a method does with a block that keeps it from being taken out of there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Otherwise {
    /// It hands it on, or calls another method of it than `forward` does.
    NoCall,
    /// What it gives to it does not show what to put in its place.
    UnclearCall,
    ReadsInside,
    /// It uses weights of it in other code than that of the block.
    NoCopy,
    PicksByNumber,
    HandsOnHolder,
    /// Its code gives more than its output, such as sizes, which is read behind it.
    ReadsBesides,
}

impl fmt::Display for Otherwise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Otherwise::NoCall => "uses it in another way than `forward` does",
            Otherwise::UnclearCall => "calls it in a way that does not show what takes its place",
            Otherwise::ReadsInside => "reads what is in it",
            Otherwise::NoCopy => "uses its weights in other code than `forward` does",
            Otherwise::PicksByNumber => "picks it by its number among others",
            Otherwise::HandsOnHolder => "hands on a module that it is in",
            Otherwise::ReadsBesides => "reads other values that it computes, besides its output",
        })
    }
}

/// The other calls of a block's module, and what takes their places.
///
/// # Errors
/// Why the block cannot be taken out of all code.
pub(super) fn bypasses(
    network: &Network,
    program: &Program,
    (uses, twins): (&Uses, &mut Twins),
    block: &Block,
) -> Result<Vec<Bypass>, Reason> {
    let Some(call) = block.call else {
        return copied(network, program, (uses, twins), block);
    };
    let class_of = |module| network.modules.get(module).class.as_str();
    let frame = &program.calls[block.frame.0];
    let own_call = program.calls[call.0].site.as_ref().map(|site| site.id);
    let is_own = |found: &Found| match found.usage.how {
        How::Called { id, .. } => {
            let in_frame = found.owner == frame.module && found.usage.method == frame.method;
            in_frame && Some(id) == own_call && found.of == Of::Itself
        }
        _ => false,
    };
    let mut bypasses = Vec::new();
    for (owner, name) in used_by_block_alone(network, program, block) {
        let mut found = uses.of_attribute(network, class_of, owner, &name);
        found.retain(|f| f.usage.how != How::Named);
        let own = found.iter().find(|f| is_own(f)).copied();
        for other in found.iter().filter(|f| !is_own(f)) {
            let parameter = own.and_then(|own| Parameter::of(network, program, block, &own));
            let bypass = bypass(other, parameter.as_ref(), twins);
            bypasses.push(bypass.map_err(|otherwise| Reason::UsedElsewhere {
                class: class_of(other.owner).to_owned(),
                method: other.usage.method.to_owned(),
                otherwise,
            })?);
        }
    }
    Ok(bypasses)
}

/// The places where the code of a span is written again, in other methods of the class that it stands in.
fn copied(
    network: &Network,
    program: &Program,
    (uses, twins): (&Uses, &mut Twins),
    block: &Block,
) -> Result<Vec<Bypass>, Reason> {
    let class_of = |module| network.modules.get(module).class.as_str();
    let frame = &program.calls[block.frame.0];
    let class_name = class_of(frame.module);
    let refused = |owner: ModuleId, method: &str, otherwise| Reason::UsedElsewhere {
        class: class_of(owner).to_owned(),
        method: method.to_owned(),
        otherwise,
    };
    // By method the calls in which a weight of the block is used.
    let mut using: BTreeMap<&str, Vec<Option<CallId>>> = BTreeMap::new();
    for (owner, name) in used_by_block_alone(network, program, block) {
        if !holds_tensors(network, owner, &name) {
            continue;
        }
        for found in uses.of_attribute(network, class_of, owner, &name) {
            let call = match (found.of, found.usage.how) {
                (Of::Holder | Of::Around, _) | (_, How::Named) => continue,
                (_, How::Called { id, .. }) => Some(id),
                (_, How::Read { within }) => within,
                (_, How::Picked) => None,
            };
            if found.owner != frame.module {
                let otherwise = match found.of {
                    Of::Inside => Otherwise::ReadsInside,
                    _ => Otherwise::NoCopy,
                };
                return Err(refused(found.owner, found.usage.method, otherwise));
            }
            using.entry(found.usage.method).or_default().push(call);
        }
    }
    let inside = calls_inside(program, block);
    // What a branch of the method itself that never runs does with modules of the block stays.
    let counting = calls_that_give_numbers(program, block);
    let own = using.remove(frame.method.as_str()).into_iter().flatten();
    let own: HashSet<CallId> = own.flatten().filter(|id| counting.contains(id)).collect();
    for number in constants_of_block_alone(network, program, block) {
        for usage in uses.of_constant(class_name, number) {
            let How::Read { within } = usage.how else {
                continue;
            };
            let own = usage.method == frame.method && within.is_some_and(|id| inside.contains(&id));
            if !own {
                using.entry(usage.method).or_default().push(within);
            }
        }
    }
    let mut bypasses = Vec::new();
    for (name, calls) in using {
        let class = network.sources.class(class_name);
        let methods = class.and_then(|c| Some((c.method(&frame.method)?, c.method(name)?)));
        let place = block.place_in_code(program);
        let found = match (methods, place) {
            (Some((own, method)), Some((output, input))) => {
                let code = (frame.module, own, method);
                copies(network, twins, code, output, &input)
            }
            _ => Vec::new(),
        };
        let in_copy = |call: &Option<CallId>| {
            call.is_some_and(|call| found.iter().any(|copy| copy.calls.contains(&call)))
        };
        if !calls.iter().all(in_copy) {
            return Err(refused(frame.module, name, Otherwise::NoCopy));
        }
        let others = found
            .into_iter()
            .filter(|copy| !inside.contains(&copy.call));
        bypasses.extend(others.map(|copy| Bypass {
            module: frame.module,
            method: name.to_owned(),
            call: copy.call,
            stand_in: copy.stand_in,
        }));
    }
    if own.is_empty() {
        return Ok(bypasses);
    }
    match calls_left(network, program, twins, block, &bypasses) {
        Some(left) if left.is_disjoint(&own) => Ok(bypasses),
        _ => Err(refused(
            frame.module,
            &frame.method,
            Otherwise::ReadsBesides,
        )),
    }
}

/// The calls in the code of a block's frame that run some of its statements, and give numbers beside tensors. The
/// analysis knows these numbers, so that the program does not show who reads them; other tensors nobody reads.
fn calls_that_give_numbers(program: &Program, block: &Block) -> HashSet<CallId> {
    fn holds_number(value: &Val) -> bool {
        match &value.known {
            Known::List(items) | Known::Tuple(items) => items.iter().any(holds_number),
            Known::Int(_) | Known::Float(_) | Known::Tensor { item: Some(_), .. } => true,
            _ => false,
        }
    }
    let running = calls_run_by(program, block);
    let giving = running.filter(|call| holds_number(&call.result));
    giving
        .filter_map(|call| Some(call.site.as_ref()?.id))
        .collect()
}

/// The calls in the code of a block's frame that run statements of the block alone.
fn calls_run_by<'a>(program: &'a Program, block: &'a Block) -> impl Iterator<Item = &'a Call> {
    program.calls.iter().filter(|call| {
        let (start, end) = (call.range.start, call.range.end);
        call.caller == Some(block.frame)
            && block.statements.start <= start
            && end <= block.statements.end
    })
}

/// The calls that are left in the code of a span's frame without the span; `None` if that is too much to try.
fn calls_left(
    network: &Network,
    program: &Program,
    twins: &mut Twins,
    block: &Block,
    bypasses: &[Bypass],
) -> Option<HashSet<CallId>> {
    let frame = &program.calls[block.frame.0];
    let class = network
        .sources
        .class(&network.modules.get(frame.module).class)?;
    let mut code = class.method(&frame.method)?.clone();
    let mut parts: usize = 0;
    walk(&code.body, &mut |_| parts += 1);
    // The code is read once for each statement that goes.
    twins
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

/// The calls in the code of a block's frame that give what its statements make, or run some of them alone.
fn calls_inside(program: &Program, block: &Block) -> HashSet<CallId> {
    let statements = program.statements[block.statements.clone()].iter();
    let made: HashSet<ValueId> = statements.flat_map(|s| s.outputs.iter().copied()).collect();
    let expressions = program.calls[block.frame.0].expressions.iter();
    let giving = expressions.filter(|(_, value)| made.contains(value));
    let running = calls_run_by(program, block).filter_map(|call| Some(call.site.as_ref()?.id));
    giving.map(|(id, _)| *id).chain(running).collect()
}

fn holds_tensors(network: &Network, owner: ModuleId, name: &str) -> bool {
    match network.modules.attribute(owner, name) {
        Some(Attribute::Module(module)) => network.modules.tensors(*module).next().is_some(),
        Some(Attribute::Tensor(_)) => true,
        _ => false,
    }
}

/// The weights that freezing made constants of, and that only the statements of a block read.
fn constants_of_block_alone(
    network: &Network,
    program: &Program,
    block: &Block,
) -> BTreeSet<usize> {
    let read = |statements: &[Statement]| -> BTreeSet<usize> {
        let operands = statements.iter().flat_map(|s| &s.args).map(|a| &a.value);
        let weights = operands.filter(|o| network.weight(o).is_some());
        let numbers = weights.filter_map(|operand| match operand {
            Operand::Constant(number) => Some(*number),
            _ => None,
        });
        numbers.collect()
    };
    let (start, end) = (block.statements.start, block.statements.end);
    let mut inside = read(&program.statements[start..end]);
    for other in [&program.statements[..start], &program.statements[end..]] {
        inside = &inside - &read(other);
    }
    inside
}

fn bypass(
    found: &Found,
    parameter: Option<&Parameter>,
    twins: &mut Twins,
) -> Result<Bypass, Otherwise> {
    match (found.of, found.usage.how) {
        (Of::Inside, _) => Err(Otherwise::ReadsInside),
        (Of::Holder, How::Picked) => Err(Otherwise::PicksByNumber),
        (Of::Holder | Of::Around, _) => Err(Otherwise::HandsOnHolder),
        (Of::Itself, How::Picked | How::Read { .. } | How::Named) => Err(Otherwise::NoCall),
        (Of::Itself, How::Called { method, id, args }) => {
            let parameter = parameter.ok_or(Otherwise::UnclearCall)?;
            if !twins.are_same(parameter.module, parameter.method, method) {
                return Err(Otherwise::NoCall);
            }
            let position = parameter
                .among(method, args)
                .ok_or(Otherwise::UnclearCall)?;
            Ok(Bypass {
                module: found.owner,
                method: found.usage.method.to_owned(),
                call: id,
                stand_in: Mention::Argument(position),
            })
        }
    }
}

/// The parameter of a block's method that its input is given as.
struct Parameter<'a> {
    module: ModuleId,
    class: &'a Class,
    method: &'a str,
    /// Among those behind the receiver.
    position: usize,
}

impl<'a> Parameter<'a> {
    /// As `forward` calls the block.
    fn of(network: &'a Network, program: &'a Program, block: &Block, own: &Found) -> Option<Self> {
        let (_, Mention::Argument(argument)) = block.place_in_code(program)? else {
            return None;
        };
        let How::Called { args, .. } = own.usage.how else {
            return None;
        };
        let call = &program.calls[block.call?.0];
        let class = network
            .sources
            .class(&network.modules.get(call.module).class)?;
        let method = class.method(&call.method)?;
        let params = method.params.get(1..)?;
        let position = match &args.get(argument)?.name {
            Some(name) => params.iter().position(|p| p.name == *name)?,
            None => argument,
        };
        let parameter = params.get(position)?;
        // What is given may stand wherever the result does only if it is of the same type.
        let tensor = Expr::Name("Tensor".into());
        let taken = parameter.annotation.as_ref().unwrap_or(&tensor);
        let given = method.returns.as_ref().unwrap_or(&tensor);
        (taken == given).then_some(Parameter {
            module: call.module,
            class,
            method: &call.method,
            position,
        })
    }

    /// The place of its argument in a call of this method, where all the others can be left out.
    fn among(&self, method: &str, args: &[Arg]) -> Option<usize> {
        let method = self.class.method(method)?;
        let parameter = &method.params.get(self.position + 1)?.name;
        let is_it = |(i, arg): &(usize, &Arg)| match &arg.name {
            Some(name) => name == parameter,
            None => *i == self.position,
        };
        let (found, _) = args.iter().enumerate().find(is_it)?;
        let mut others = args.iter().enumerate().filter(|(i, _)| *i != found);
        others
            .all(|(_, arg)| only_computes(&arg.value))
            .then_some(found)
    }
}

/// Whether nothing but its value is lost with an expression.
fn only_computes(expression: &Expr) -> bool {
    let mut pure = true;
    expression.walk(&mut |part| {
        if let Expr::Call { callee, .. } = part {
            pure &= match callee.dotted() {
                Some(name) => match name.rsplit_once('.') {
                    Some((namespace, operator)) => namespace == "torch" && !is_impure(operator),
                    None => matches!(
                        name.as_str(),
                        "getattr"
                            | "annotate"
                            | "unchecked_cast"
                            | "uninitialized"
                            | "int"
                            | "float"
                            | "bool"
                    ),
                },
                None => false,
            };
        }
    });
    pure
}
