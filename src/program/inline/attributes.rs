//! Attributes of modules, of their classes, and of named tuples.

use super::{Frame, Inliner, Step, opaque, tensor_of};
use crate::program::builder::{CodePlace, positional};
use crate::program::value::{Known, Operand, Val};
use crate::program::{Attribute, ModuleId, Op};

impl<'a> Inliner<'a> {
    pub(super) fn attribute(&mut self, base: &Val, name: &str) -> Step<Val> {
        let Known::Module(module) = base.known else {
            if let Some(field) = self.tuple_field(base, name) {
                return Ok(self.builder.current(field));
            }
            let arg = vec![positional(base.operand.clone())];
            return Ok(self
                .builder
                .emit(Op::Field(name.into()), arg, Known::Nothing));
        };
        if let Some(value) = self.overrides.get(&(module, name.to_owned())) {
            return Ok(self.builder.current(value));
        }
        let operand = Operand::Attribute {
            module,
            name: name.into(),
        };
        let mut parts = 0;
        let attribute = self.network.modules.attribute(module, name);
        if let Some(Attribute::Dict(pairs)) = attribute
            && self.speculating > 0
        {
            return self.kept_dictionary(module, name, pairs);
        }
        let value = attribute.and_then(|a| attribute_value(a, &mut parts));
        self.count_work(parts)?;
        let known = match attribute {
            // Programs are analysed in evaluation mode, whatever mode the archive was saved in.
            Some(Attribute::Bool(_)) if name == "training" => return Ok(Val::bool(false)),
            Some(attribute) => match value {
                Some(Val {
                    operand: Operand::List(_) | Operand::Dict(_),
                    known,
                    ..
                }) => known,
                Some(value) => return Ok(value),
                None => match attribute {
                    Attribute::Tensor(info) => tensor_of(&info.shape),
                    _ => Known::Nothing,
                },
            },
            None => return self.class_constant(module, name),
        };
        Ok(Val::new(operand, known))
    }

    /// The field of a named tuple that was made here.
    fn tuple_field<'v>(&self, base: &'v Val, name: &str) -> Option<&'v Val> {
        let (Known::Tuple(items), Operand::Value(id)) = (&base.known, &base.operand) else {
            return None;
        };
        let Op::Call(class) = &self.builder.made_by(*id)?.op else {
            return None;
        };
        let fields = self.named_tuple(class)?;
        items.get(fields.iter().position(|field| *field == name)?)
    }

    /// `stride : Final[int] = 2` in the class body.
    pub(super) fn class_constant(&mut self, module: ModuleId, name: &str) -> Step<Val> {
        let class = &self.network.modules.get(module).class;
        let definition = self.class_to_search(class)?;
        let field = definition.and_then(|c| {
            c.fields().find(|f| {
                f.declares()
                    .is_some_and(|(declared, _)| declared == name && !f.values.is_empty())
            })
        });
        match field.map(|f| f.values.as_slice()) {
            Some([value]) => {
                let place = CodePlace {
                    module: Some(module),
                    owner: class.clone(),
                    function: String::new(),
                };
                self.eval(&mut Frame::new(place), value)
            }
            _ => opaque(format!("{class} has no attribute {name}")),
        }
    }
}

/// The value of an attribute that is a module, or that has no tensors in it. Adds the number of its parts to `parts`.
fn attribute_value(attribute: &Attribute, parts: &mut usize) -> Option<Val> {
    *parts += 1;
    let mut all = |items: &[Attribute]| -> Option<Vec<Val>> {
        items.iter().map(|a| attribute_value(a, parts)).collect()
    };
    Some(match attribute {
        Attribute::Module(id) => Val::module(*id),
        Attribute::None => Val::none(),
        Attribute::Bool(b) => Val::bool(*b),
        Attribute::Int(n) => Val::int(*n),
        Attribute::Float(x) => Val::float(*x),
        Attribute::Str(text) => Val::str(text),
        Attribute::List(items) => Val::list(all(items)?),
        Attribute::Tuple(items) => Val::tuple(all(items)?),
        Attribute::Dict(pairs) => Val::dict(
            pairs
                .iter()
                .map(|(k, v)| Some((attribute_value(k, parts)?, attribute_value(v, parts)?)))
                .collect::<Option<_>>()?,
        ),
        Attribute::Enum(member) => Val::new(
            Operand::Literal(member.clone()),
            Known::Function(member.clone()),
        ),
        Attribute::Tensor(_) | Attribute::Other => return None,
    })
}
