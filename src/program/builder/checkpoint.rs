//! Taking back what was built since a point, when it turns out that code cannot be followed.

use super::{Builder, CallIndex, CodeLine, objects};

/// How much was built when code began that may have to be taken back.
pub(in crate::program) struct Checkpoint {
    statements: usize,
    values: usize,
    calls: usize,
    not_followed: usize,
    writes: usize,
    undo: usize,
    in_place_seen: usize,
    objects: objects::Mark,
    /// The call being followed, and how many of its variables and expressions were noted.
    notes: Option<(CallIndex, usize, usize)>,
    no_grad: bool,
    autocast: bool,
    line: Option<CodeLine>,
}

impl Builder<'_> {
    /// The point that has been reached.
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint {
            statements: self.statements.len(),
            values: self.values.len(),
            calls: self.calls.len(),
            not_followed: self.not_followed.len(),
            writes: self.writes.len(),
            undo: self.undo.len(),
            in_place_seen: self.in_place_seen,
            objects: self.objects.mark(),
            notes: self.current_call.map(|index| {
                let call = &self.calls[index.0];
                (index, call.variables.len(), call.expressions.len())
            }),
            no_grad: self.no_grad,
            autocast: self.autocast,
            line: self.line,
        }
    }

    /// Takes back all that was built since.
    pub fn roll_back(&mut self, to: &Checkpoint) {
        self.statements.truncate(to.statements);
        self.values.truncate(to.values);
        self.calls.truncate(to.calls);
        self.not_followed.truncate(to.not_followed);
        self.writes.truncate(to.writes);
        self.in_place_seen = to.in_place_seen;
        self.objects.return_to(&to.objects);
        (self.no_grad, self.autocast) = (to.no_grad, to.autocast);
        self.line = to.line;
        if let Some((index, variables, expressions)) = to.notes
            && let Some(call) = self.calls.get_mut(index.0)
        {
            call.variables.truncate(variables);
            call.expressions.truncate(expressions);
        }
        for (value, former) in self.undo.drain(to.undo..).rev() {
            match former {
                Some(former) => self.latest.insert(value, former),
                None => self.latest.remove(&value),
            };
        }
    }
}
