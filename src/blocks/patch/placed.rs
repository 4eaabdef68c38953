//! A removal in a module, as one in the network around it.

use super::{Patch, PatchError, Removal};
use crate::blocks::Bypass;
use crate::program::ast::{CallId, Expr, walk};
use crate::program::{Mention, ModuleId, Network};

/// Where a network that is a module of another is in that one.
pub(super) struct Placing<'a> {
    pub inner: &'a Network,
    pub whole: &'a Network,
    pub path: &'a str,
}

impl Placing<'_> {
    /// The same removal in the whole.
    pub fn patch(&self, patch: &Patch) -> Result<Patch, PatchError> {
        let removals = patch.removals.iter();
        let removals = removals.map(|r| self.removal(r).ok_or_else(|| r.call_not_found()));
        Ok(Patch {
            removals: removals.collect::<Result<_, _>>()?,
        })
    }

    fn removal(&self, removal: &Removal) -> Option<Removal> {
        let attributes = removal.attributes.iter();
        let elsewhere = removal.elsewhere.iter();
        let Bypass { module, method, .. } = &removal.own;
        let writes = removal.writes.iter();
        Some(Removal {
            own: self.bypass(&removal.own)?,
            elsewhere: elsewhere.map(|b| self.bypass(b)).collect::<Option<_>>()?,
            writes: writes
                .map(|call| self.call(*module, method, *call))
                .collect::<Option<_>>()?,
            attributes: attributes
                .map(|(owner, name)| Some((self.module(*owner)?, name.clone())))
                .collect::<Option<_>>()?,
            ..removal.clone()
        })
    }

    fn bypass(&self, bypass: &Bypass) -> Option<Bypass> {
        let call = |call| self.call(bypass.module, &bypass.method, call);
        Some(Bypass {
            module: self.module(bypass.module)?,
            method: bypass.method.clone(),
            call: call(bypass.call)?,
            stand_in: match &bypass.stand_in {
                Mention::Expression(expression) => Mention::Expression(call(*expression)?),
                other => other.clone(),
            },
        })
    }

    fn module(&self, module: ModuleId) -> Option<ModuleId> {
        let below = &self.inner.modules.get(module).path;
        self.whole.modules.find(&format!("{}.{below}", self.path))
    }

    /// A call in a method of a module: it has another number where the file of its class has other classes in it. Calls are
    /// counted from the method's end, since it may begin with constants for arguments.
    fn call(&self, module: ModuleId, method: &str, call: CallId) -> Option<CallId> {
        let inner = calls(self.inner, module, method)?;
        let whole = calls(self.whole, self.module(module)?, method)?;
        let at = inner.iter().position(|id| *id == call)?;
        let from_end = inner.len() - at;
        whole.get(whole.len().checked_sub(from_end)?).copied()
    }
}

/// The calls in a method, in order.
fn calls(network: &Network, module: ModuleId, method: &str) -> Option<Vec<CallId>> {
    let class = network.sources.class(&network.modules.get(module).class)?;
    let mut calls = Vec::new();
    walk(&class.method(method)?.body, &mut |expression: &Expr| {
        if let Expr::Call { id, .. } = expression {
            calls.push(*id);
        }
    });
    Some(calls)
}
