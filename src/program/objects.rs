//! Lists and dictionaries that code makes and changes.
//!
//! Everybody who means a list sees what is appended to it, so its content is kept here, once, and a variable only
//! says which list it is ([`Val::object`]).

use super::value::{Known, ObjectId, Val};

/// How many changes are followed at most: each keeps the former content, so that a call can be taken back.
const MAX_CHANGES: usize = 1 << 12;
/// Longer lists are not changed any further.
const MAX_LENGTH: usize = 1 << 10;
/// How many parts a value may have: a list of two lists of two lists … grows fast.
const MAX_PARTS: usize = 1 << 14;

#[derive(Default)]
pub(super) struct Objects {
    contents: Vec<Val>,
    /// Former contents, to roll back.
    undo: Vec<(ObjectId, Val)>,
    changes: usize,
}

pub(super) struct Mark {
    contents: usize,
    undo: usize,
}

impl Objects {
    pub fn mark(&self) -> Mark {
        Mark {
            contents: self.contents.len(),
            undo: self.undo.len(),
        }
    }

    pub fn return_to(&mut self, mark: &Mark) {
        for (id, former) in self.undo.drain(mark.undo..).rev() {
            self.contents[id.0 as usize] = former;
        }
        self.contents.truncate(mark.contents);
    }

    /// A new list or dictionary with this content; other values stay as they are.
    pub fn add(&mut self, mut val: Val) -> Val {
        if matches!(val.known, Known::List(_) | Known::Dict(_)) {
            val.object = Some(ObjectId(self.contents.len() as u32));
            self.contents.push(val.clone());
        }
        val
    }

    pub fn has(&self, id: ObjectId) -> bool {
        (id.0 as usize) < self.contents.len()
    }

    /// Writes the type of a list or dictionary that was just made.
    pub fn retype(&mut self, typed: &Val) {
        let content = typed
            .object
            .and_then(|id| self.contents.get_mut(id.0 as usize));
        if let Some(content) = content {
            content.operand = typed.operand.clone();
        }
    }

    /// What the value holds now.
    pub fn content<'v>(&'v self, val: &'v Val) -> &'v Val {
        let content = val.object.and_then(|id| self.contents.get(id.0 as usize));
        content.unwrap_or(val)
    }

    /// Gives a list or dictionary this content. `None` if that is more than is followed.
    pub fn set(&mut self, id: ObjectId, mut val: Val) -> Option<()> {
        let long = match &val.known {
            Known::List(items) => items.len() > MAX_LENGTH,
            Known::Dict(pairs) => pairs.len() > MAX_LENGTH,
            _ => false,
        };
        if long || self.changes == MAX_CHANGES {
            return None;
        }
        self.changes += 1;
        val.object = Some(id);
        let place = self.contents.get_mut(id.0 as usize)?;
        self.undo.push((id, std::mem::replace(place, val)));
        Some(())
    }
}

/// Whether the value has so many parts that it is not followed.
pub(super) fn too_large(val: &Val) -> bool {
    fn count(val: &Val, left: &mut usize) -> bool {
        if *left == 0 {
            return false;
        }
        *left -= 1;
        match &val.known {
            Known::List(items) | Known::Tuple(items) => items.iter().all(|v| count(v, left)),
            Known::Dict(pairs) => pairs.iter().all(|(k, v)| count(k, left) && count(v, left)),
            _ => true,
        }
    }
    !count(val, &mut MAX_PARTS.clone())
}

/// Whether a list or dictionary that may change is this value or a part of it.
pub(super) fn holds_object(val: &Val) -> bool {
    val.object.is_some()
        || match &val.known {
            Known::List(items) | Known::Tuple(items) => items.iter().any(holds_object),
            Known::Dict(pairs) => pairs.iter().any(|(_, v)| holds_object(v)),
            _ => false,
        }
}
