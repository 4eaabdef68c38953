//! What else in the code speaks of a block: branches that never run, and other methods.
//!
//! libtorch compiles all of it, so a block has to go from all of it. Where it is called, what it is given is what it
//! gives when it is gone.

use std::fmt;

use super::attributes::used_by_block_alone;
use super::twins::Twins;
use super::{Block, Reason};
use crate::program::ast::{Arg, CallId, Class, Expr};
use crate::program::{Found, How, Mention, ModuleId, Network, Of, Program, Uses, is_impure};

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
    PicksByNumber,
    HandsOnHolder,
}

impl fmt::Display for Otherwise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Otherwise::NoCall => "uses it in another way than `forward` does",
            Otherwise::UnclearCall => "calls it in a way that does not show what takes its place",
            Otherwise::ReadsInside => "reads what is in it",
            Otherwise::PicksByNumber => "picks it by its number among others",
            Otherwise::HandsOnHolder => "hands on a module that it is in",
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
        return Ok(Vec::new());
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
