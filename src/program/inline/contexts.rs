//! Objects of classes that are no modules, and `with` statements around code.
//!
//! `torch.no_grad()`, `record_function` and `autocast` are classes of the archive like any other, so what a `with`
//! does is read from its class: one that only switches gradients or speaks to a profiler leaves the values alone, and
//! its body is followed as if it stood alone.

use super::{Flow, Frame, Inliner, Step, opaque};
use crate::program::ast::{Arg, Class, Expr, Stmt, walk};
use crate::program::builder::CodePlace;
use crate::program::value::{Known, Operand, Val};

/// An object that code made.
pub(super) struct MadeObject {
    class: String,
    /// What `autocast` keeps of whether it is switched on.
    enabled: Option<Val>,
}

/// What entering a context does.
enum Effect {
    Nothing,
    Grad(bool),
    Autocast,
}

impl<'a> Inliner<'a> {
    /// `Class.__new__(Class)`
    pub(super) fn new_object(&mut self, class: &str) -> Val {
        self.made_objects.push(MadeObject {
            class: class.into(),
            enabled: None,
        });
        Val::new(
            Operand::Literal(format!("{class}.__new__({class})")),
            Known::Object(self.made_objects.len() - 1),
        )
    }

    /// `(object).__init__(args)`; other methods are not followed.
    pub(super) fn object_method(
        &mut self,
        frame: &mut Frame,
        object: Val,
        name: &str,
        args: &'a [Arg],
    ) -> Step<Val> {
        let class = self.class_of(&object).to_owned();
        let definition = self.class_to_search(&class)?;
        let Some(init) = definition
            .and_then(|c| c.method(name))
            .filter(|_| name == "__init__")
        else {
            return opaque(format!(
                "`{name}` of an object of class `{}`",
                shown(&class)
            ));
        };
        let place = CodePlace {
            module: None,
            owner: class,
            function: name.into(),
        };
        let args = self.args(frame, args)?;
        self.run(
            init,
            place,
            std::iter::once((None, object)).chain(args).collect(),
        )
    }

    /// `object.name = value`; nothing but the methods of its class reads it.
    pub(super) fn set_field(&mut self, number: usize, name: &str, value: Val) {
        if name == "_enabled"
            && let Some(made) = self.made_objects.get_mut(number)
        {
            made.enabled = Some(value);
        }
    }

    fn class_of(&self, object: &Val) -> &str {
        match object.known {
            Known::Object(number) => self.made_objects.get(number).map_or("", |made| &made.class),
            _ => "",
        }
    }

    /// `with torch.no_grad():` and its like: the body, followed.
    pub(super) fn with(
        &mut self,
        frame: &mut Frame,
        items: &'a [(Expr, Option<Expr>)],
        body: &'a [Stmt],
    ) -> Step<Flow> {
        let before = self.builder.no_grad;
        for (context, target) in items {
            let context = self.eval(frame, context)?;
            if target.is_some() {
                return opaque("a `with` statement that gives its context a name");
            }
            match self.effect(&context)? {
                Effect::Nothing => {}
                Effect::Grad(enabled) => self.builder.no_grad = !enabled,
                Effect::Autocast => self.builder.autocast = true,
            }
        }
        let flow = self.block(frame, body);
        self.builder.no_grad = before;
        flow
    }

    /// `torch.set_grad_enabled(False)` as a statement of its own.
    pub(super) fn set_grad_enabled(&mut self, enabled: &Val) -> Step<Val> {
        let Some(enabled) = enabled.as_bool() else {
            return opaque("a switch of gradients that data decide");
        };
        self.builder.no_grad = !enabled;
        Ok(Val::none())
    }

    fn effect(&mut self, context: &Val) -> Step<Effect> {
        let Known::Object(number) = context.known else {
            return opaque("a `with` statement around an object that is not known");
        };
        let made = &self.made_objects[number];
        let class = made.class.clone();
        if AUTOCAST.contains(&class.as_str()) {
            return match made.enabled.as_ref().map(Val::as_bool) {
                Some(Some(false)) => Ok(Effect::Nothing),
                _ => Ok(Effect::Autocast),
            };
        }
        let Some(definition) = self.class_to_search(&class)? else {
            return opaque(format!(
                "a `with` statement around `{}`, which has no code here",
                shown(&class)
            ));
        };
        let unfollowed = format!(
            "a `with` statement around an object of class `{}`",
            shown(&class)
        );
        effect_of(definition).map_or_else(|| opaque(unfollowed), Ok)
    }
}

/// libtorch recognises these classes by their names.
const AUTOCAST: [&str; 3] = [
    "__torch__.torch.amp.autocast_mode.autocast",
    "__torch__.torch.cpu.amp.autocast_mode.autocast",
    "__torch__.torch.cuda.amp.autocast_mode.autocast",
];

/// What the code of a context may call without changing any value of the network.
const HARMLESS: [&str; 12] = [
    "torch.is_grad_enabled",
    "torch.set_grad_enabled",
    "ops.profiler._record_function_enter",
    "ops.profiler._record_function_enter_new",
    "ops.profiler._record_function_exit",
    "ops.prim.RaiseException",
    "torch.__is__",
    "torch.__isnot__",
    "torch.__not__",
    "unchecked_cast",
    "uninitialized",
    "annotate",
];

/// `None`: its code does more than is known here.
fn effect_of(class: &Class) -> Option<Effect> {
    let mut effect = Effect::Nothing;
    for name in ["__enter__", "__exit__"] {
        let method = class.method(name)?;
        let mut harmless = true;
        walk(&method.body, &mut |expression| {
            let Expr::Call { callee, args, .. } = expression else {
                return;
            };
            let callee = callee.dotted().unwrap_or_default();
            harmless &= HARMLESS.contains(&callee.as_str());
            if (name, callee.as_str()) == ("__enter__", "torch.set_grad_enabled") {
                match args.first().map(|a| &a.value) {
                    Some(Expr::Name(word)) if word == "False" => effect = Effect::Grad(false),
                    Some(Expr::Name(word)) if word == "True" => effect = Effect::Grad(true),
                    _ => harmless = false,
                }
            }
        });
        harmless.then_some(())?;
    }
    Some(effect)
}

/// `torch.no_grad` of `__torch__.torch.no_grad`.
fn shown(class: &str) -> &str {
    class.strip_prefix("__torch__.").unwrap_or(class)
}
