//! Where else the code uses a block: in branches that never run, and in other methods.
//!
//! libtorch compiles all of it, so a block has to go from all of it. Each call of the block is replaced by what the
//! call is given.

mod copies;
mod spans;

use std::fmt;

use super::attributes::used_by_block_alone;
use super::twins::Twins;
use super::{Block, Reason};
use crate::program::ast::{Arg, CallId, Class, Expr};
use crate::program::{
    Call, CallIndex, FoundUse, Mention, ModuleId, Network, Program, Target, Usage, Uses, is_impure,
};

/// A call in the code that gives a block's output, and what takes its place when the block goes.
#[derive(Clone, Debug, PartialEq)]
pub struct Bypass {
    /// The module whose method is edited.
    pub module: ModuleId,
    pub method: String,
    pub call: CallId,
    pub stand_in: Mention,
}

/// A use of a block in a method from which it cannot be taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtherUse {
    /// The method hands the block on, or calls another method of it than `forward` does.
    NoCall,
    /// The arguments of the call do not show what to put in its place.
    UnclearCall,
    ReadsInside,
    /// The method uses weights of the block in other code than that of the block.
    NoCopy,
    PicksByNumber,
    HandsOnHolder,
    /// Code behind the block reads more of it than its output, such as sizes.
    ReadsBesides,
}

impl fmt::Display for OtherUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            OtherUse::NoCall => "uses it in another way than `forward` does",
            OtherUse::UnclearCall => "calls it in a way that does not show what takes its place",
            OtherUse::ReadsInside => "reads what is in it",
            OtherUse::NoCopy => "uses its weights in other code than `forward` does",
            OtherUse::PicksByNumber => "picks it by its number among others",
            OtherUse::HandsOnHolder => "hands on a module that it is in",
            OtherUse::ReadsBesides => "reads other values that it computes, besides its output",
        })
    }
}

/// The search of all code for uses of a block besides the one in `forward`.
struct Elsewhere<'s, 't, 'a> {
    network: &'a Network,
    program: &'a Program,
    uses: &'s Uses<'a>,
    twins: &'s mut Twins<'t>,
    block: &'s Block,
}

/// The uses of a block elsewhere in the code, and what takes their places.
///
/// # Errors
/// Why the block cannot be taken out of all code.
pub(super) fn bypasses(
    network: &Network,
    program: &Program,
    uses: &Uses,
    twins: &mut Twins,
    block: &Block,
) -> Result<Vec<Bypass>, Reason> {
    let mut elsewhere = Elsewhere {
        network,
        program,
        uses,
        twins,
        block,
    };
    match block.call {
        Some(call) => elsewhere.calls(call),
        None => elsewhere.copies(),
    }
}

impl<'a> Elsewhere<'_, '_, 'a> {
    /// The other calls of the block's module.
    fn calls(&mut self, own: CallIndex) -> Result<Vec<Bypass>, Reason> {
        let site = self.program.calls[own.0].site.as_ref();
        let own = site.map(|site| site.id);
        let (network, program, block) = (self.network, self.program, self.block);
        let mut bypasses = Vec::new();
        for (owner, name) in used_by_block_alone(network, program, block) {
            let mut found = self.uses_of(owner, &name);
            found.retain(|f| f.usage != Usage::Named);
            let (in_forward, others): (Vec<FoundUse>, Vec<FoundUse>) =
                found.into_iter().partition(|f| self.is_call(f, own));
            let parameter = in_forward
                .first()
                .and_then(|call| Parameter::of(network, program, block, call));
            for other in others {
                let bypass = bypass(&other, parameter.as_ref(), self.twins);
                bypasses.push(bypass.map_err(|otherwise| {
                    self.used_elsewhere(other.owner, other.method, otherwise)
                })?);
            }
        }
        Ok(bypasses)
    }

    /// Whether this use is the call `wanted` of the block in the code of its frame.
    fn is_call(&self, found: &FoundUse, wanted: Option<CallId>) -> bool {
        let frame = self.frame();
        match found.usage {
            Usage::Called { id, .. } => {
                let in_frame = found.owner == frame.module && found.method == frame.method;
                in_frame && Some(id) == wanted && found.target == Target::Itself
            }
            _ => false,
        }
    }

    fn uses_of(&self, owner: ModuleId, name: &str) -> Vec<FoundUse<'a>> {
        let class_of = |module| self.class_of(module);
        self.uses.of_attribute(self.network, class_of, owner, name)
    }

    fn class_of(&self, module: ModuleId) -> &'a str {
        &self.network.modules.get(module).class
    }

    fn frame(&self) -> &'a Call {
        &self.program.calls[self.block.frame.0]
    }

    fn used_elsewhere(&self, owner: ModuleId, method: &str, otherwise: OtherUse) -> Reason {
        Reason::UsedElsewhere {
            class: self.class_of(owner).to_owned(),
            method: method.to_owned(),
            otherwise,
        }
    }
}

/// What takes the place of one use.
fn bypass(
    found: &FoundUse,
    parameter: Option<&Parameter>,
    twins: &mut Twins,
) -> Result<Bypass, OtherUse> {
    match (found.target, found.usage) {
        (Target::Inside, _) => Err(OtherUse::ReadsInside),
        (Target::Holder, Usage::Picked) => Err(OtherUse::PicksByNumber),
        (Target::Holder | Target::Around, _) => Err(OtherUse::HandsOnHolder),
        (Target::Itself, Usage::Picked | Usage::Read { .. } | Usage::Named) => {
            Err(OtherUse::NoCall)
        }
        (Target::Itself, Usage::Called { method, id, args }) => {
            let parameter = parameter.ok_or(OtherUse::UnclearCall)?;
            if !twins.are_same(parameter.module, parameter.method, method) {
                return Err(OtherUse::NoCall);
            }
            let position = parameter.among(method, args).ok_or(OtherUse::UnclearCall)?;
            Ok(Bypass {
                module: found.owner,
                method: found.method.to_owned(),
                call: id,
                stand_in: Mention::Argument(position),
            })
        }
    }
}

/// The parameter through which a block's method takes the input.
struct Parameter<'a> {
    module: ModuleId,
    class: &'a Class,
    method: &'a str,
    /// Its place among the parameters behind the receiver.
    position: usize,
}

impl<'a> Parameter<'a> {
    /// The parameter that `forward` passes the input to.
    fn of(
        network: &'a Network,
        program: &'a Program,
        block: &Block,
        own: &FoundUse,
    ) -> Option<Self> {
        let (_, Mention::Argument(argument)) = block.place_in_code(program)? else {
            return None;
        };
        let Usage::Called { args, .. } = own.usage else {
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
        // The argument can only take the place of the result if both are of the same type.
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

    /// The place of its argument in a call of this method; `None` if leaving out the other arguments changes more.
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

/// Whether an expression does nothing but give a value, so that it can be left out.
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
