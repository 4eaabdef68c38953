//! Calls of methods and functions: followed, or left as calls where that fails.

use std::collections::HashMap;

use super::{Flow, Frame, Inliner, MAX_DEPTH, NamedVals, Step, Stop, arguments, opaque};
use crate::program::ast::{Function, Param};
use crate::program::builder::CodePlace;
use crate::program::value::{Known, Val};
use crate::program::{Argument, Call, CallIndex, CallSite, ModuleId, Op};

impl<'a> Inliner<'a> {
    pub(super) fn call_method(
        &mut self,
        module: ModuleId,
        name: &str,
        args: NamedVals,
        site: Option<CallSite>,
    ) -> Step<Val> {
        let network = self.network;
        let class = &network.modules.get(module).class;
        let Some(function) = network.sources.class(class).and_then(|c| c.method(name)) else {
            return opaque(format!("{class} has no method {name}"));
        };
        let is_root = site.is_none();
        let checkpoint = self.builder.checkpoint();
        let overrides = self.overrides.len();
        let caller = self.builder.current_call;
        let index = CallIndex(self.builder.calls.len());
        let start = self.builder.statements.len();
        self.builder.calls.push(Call {
            module,
            method: name.into(),
            site,
            caller,
            args: args.iter().map(|(_, v)| v.clone()).collect(),
            result: Val::none(),
            variables: Vec::new(),
            expressions: Vec::new(),
            range: start..start,
        });
        self.builder.current_call = Some(index);
        let place = CodePlace {
            module: Some(module),
            owner: class.clone(),
            function: name.into(),
        };
        let receiver = std::iter::once((None, Val::module(module)));
        let result = self.run(
            function,
            place,
            receiver.chain(args.iter().cloned()).collect(),
        );
        self.builder.current_call = caller;
        match result {
            Ok(result) => {
                let end = self.builder.statements.len();
                let call = &mut self.builder.calls[index.0];
                call.result = result.clone();
                call.range.end = end;
                Ok(result)
            }
            // Attributes it may have set cannot be taken back, so such a call is not rolled back.
            Err(Stop::Opaque(_)) if !is_root && self.overrides.len() == overrides => {
                self.builder.roll_back(&checkpoint);
                let args = args
                    .into_iter()
                    .map(|(name, v)| Argument {
                        name,
                        value: v.operand,
                    })
                    .collect();
                Ok(self.builder.emit(
                    Op::Method {
                        module,
                        name: name.into(),
                    },
                    args,
                    Known::Nothing,
                ))
            }
            Err(stop) => Err(stop),
        }
    }

    pub(super) fn call_function(&mut self, qualified: &str, args: NamedVals) -> Step<Val> {
        let network = self.network;
        if let Some(function) = network.sources.function(qualified) {
            let checkpoint = self.builder.checkpoint();
            let overrides = self.overrides.len();
            let (owner, name) = qualified.rsplit_once('.').unwrap_or(("", qualified));
            let place = CodePlace {
                module: None,
                owner: owner.into(),
                function: name.into(),
            };
            match self.run(function, place, args.clone()) {
                Err(Stop::Opaque(_)) if self.overrides.len() == overrides => {
                    self.builder.roll_back(&checkpoint)
                }
                result => return result,
            }
        }
        Ok(self
            .builder
            .emit(Op::Call(qualified.into()), arguments(args), Known::Nothing))
    }

    pub(super) fn run(
        &mut self,
        function: &'a Function,
        place: CodePlace,
        args: NamedVals,
    ) -> Step<Val> {
        if self.depth == MAX_DEPTH {
            return self.not_followed("calls nest too deep");
        }
        let mut frame = Frame {
            variables: HashMap::new(),
            place,
        };
        self.bind_parameters(&mut frame, &function.params, args)?;
        self.depth += 1;
        let flow = self.block(&mut frame, &function.body);
        self.depth -= 1;
        Ok(match flow? {
            Flow::Return(value) => value,
            Flow::Next => Val::none(),
        })
    }

    pub(super) fn bind_parameters(
        &mut self,
        frame: &mut Frame,
        params: &'a [Param],
        args: NamedVals,
    ) -> Step<()> {
        let mut given = args.into_iter().peekable();
        for param in params {
            let value =
                match given.next_if(|(name, _)| name.as_deref().is_none_or(|n| n == param.name)) {
                    Some((_, value)) => value,
                    None => match &param.default {
                        Some(default) => self.eval(frame, default)?,
                        None => return opaque(format!("no argument for {}", param.name)),
                    },
                };
            self.set_variable(frame, &param.name, value);
        }
        match given.next() {
            None => Ok(()),
            Some(_) => opaque("arguments in an order that is not followed"),
        }
    }
}
