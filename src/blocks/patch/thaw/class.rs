//! The constants of one class that become attributes.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::content::{floating, is_mask, is_uniform};
use super::uses::{ConstantUse, Role, for_each_use};
use crate::archive::{Archive, ArchiveError};
use crate::program::Module;
use crate::program::ast::{Assign, Class, Expr, Member, walk_mut};

/// A new attribute of the class.
pub(super) struct NewAttribute {
    pub name: String,
    pub constant: usize,
    /// Whether it is a parameter; otherwise it is a buffer.
    pub parameter: bool,
}

/// Which constants of a class become which attributes.
pub(super) struct Thawing {
    pub attributes: Vec<NewAttribute>,
    /// For every use, by its number in the class, the attribute that takes the constant's place.
    of_use: HashMap<usize, usize>,
    /// For each constant that becomes one parameter, that parameter: reads of no known kind are replaced by it as well.
    of_constant: HashMap<usize, usize>,
}

impl Thawing {
    pub fn of(
        archive: &Archive,
        module: &Module,
        class: &Class,
        shared: &BTreeSet<usize>,
    ) -> Result<Self, ArchiveError> {
        let uses = trainable(archive, uses(class), shared)?;
        let tied = tied(archive, &uses)?;
        let mut thawing = Thawing {
            attributes: Vec::new(),
            of_use: HashMap::new(),
            of_constant: HashMap::new(),
        };
        let mut names = Names::new(module, class);
        let mut first_uses: HashMap<(usize, bool), usize> = HashMap::new();
        for (number, found) in uses {
            let name = names.name(&found);
            let parameter = is_parameter(&found);
            let key = (found.constant, parameter);
            let known = first_uses
                .get(&key)
                .filter(|_| tied.contains(&found.constant));
            let attribute = known.copied().unwrap_or(thawing.attributes.len());
            if attribute == thawing.attributes.len() {
                first_uses.insert(key, attribute);
                thawing.attributes.push(NewAttribute {
                    name: names.unused(name),
                    constant: found.constant,
                    parameter,
                });
            }
            thawing.of_use.insert(number, attribute);
            if parameter && tied.contains(&found.constant) {
                thawing.of_constant.insert(found.constant, attribute);
            }
        }
        Ok(thawing)
    }

    /// Declares the attributes, and reads them in place of the constants.
    pub fn edit(&self, class: &mut Class) {
        let mut number = 0;
        for method in class.methods_mut() {
            let receiver = method.params.first().map_or("self", |p| &p.name).to_owned();
            let read = |attribute: usize| Expr::Attribute {
                base: Box::new(Expr::Name(receiver.clone())),
                name: self.attributes[attribute].name.clone(),
            };
            for_each_use(method, &mut |expression, _| {
                if let Some(attribute) = self.of_use.get(&number) {
                    *expression = read(*attribute);
                }
                number += 1;
            });
            walk_mut(&mut method.body, &mut |expression| {
                let constant = expression.constant_number();
                if let Some(attribute) = constant.and_then(|c| self.of_constant.get(&c)) {
                    *expression = read(*attribute);
                }
            });
        }
        self.declare(class);
    }

    fn declare(&self, class: &mut Class) {
        for (list, parameters) in [("__buffers__", false), ("__parameters__", true)] {
            let new = self.attributes.iter();
            let new = new.filter(|a| a.parameter == parameters);
            list_names(class, list, new.map(|a| a.name.as_str()));
        }
        let fields = class.members.iter();
        let end = fields
            .take_while(|m| !matches!(m, Member::Method(_)))
            .count();
        let declarations = self
            .attributes
            .iter()
            .map(|a| field(&a.name, Some(Expr::Name("Tensor".into())), Vec::new()));
        class.members.splice(end..end, declarations);
    }
}

/// All uses of a class, in the order of its methods and of evaluation; each use's call is its own in the class.
fn uses(class: &Class) -> Vec<ConstantUse> {
    let mut found: Vec<ConstantUse> = Vec::new();
    for mut method in class.methods().cloned() {
        let before = found.last().map_or(0, |last| last.call);
        for_each_use(&mut method, &mut |_, mut used| {
            used.call += before;
            found.push(used);
        });
    }
    found
}

/// The uses that can become parameters or buffers, with their numbers in the class.
fn trainable(
    archive: &Archive,
    uses: Vec<ConstantUse>,
    shared: &BTreeSet<usize>,
) -> Result<Vec<(usize, ConstantUse)>, ArchiveError> {
    let mut weights_seen = false;
    let mut found = Vec::new();
    for (number, used) in uses.into_iter().enumerate() {
        let Some(tensor) = floating(archive, used.constant)? else {
            continue;
        };
        let wanted = match used.role {
            Role::Weight(_) | Role::Statistic(_) => {
                weights_seen = true;
                true
            }
            Role::Operand => weights_seen && tensor.numel() > 1 && !is_mask(archive, &tensor)?,
        };
        let own = !shared.contains(&used.constant) || is_uniform(archive, &tensor)?;
        if wanted && own {
            found.push((number, used));
        }
    }
    Ok(found)
}

/// The constants that become one attribute, however often they are read.
fn tied(archive: &Archive, uses: &[(usize, ConstantUse)]) -> Result<HashSet<usize>, ArchiveError> {
    let mut conditional: BTreeMap<usize, bool> = BTreeMap::new();
    for (_, used) in uses {
        *conditional.entry(used.constant).or_default() |= used.conditional;
    }
    let mut tied = HashSet::new();
    for (constant, conditional) in conditional {
        let uniform = match floating(archive, constant)? {
            Some(tensor) if !conditional => is_uniform(archive, &tensor)?,
            _ => false,
        };
        if !uniform {
            tied.insert(constant);
        }
    }
    Ok(tied)
}

fn is_parameter(used: &ConstantUse) -> bool {
    !matches!(used.role, Role::Statistic(_))
}

/// Names by operator and part, numbered in the order of evaluation: `conv1_weight`.
struct Names {
    taken: HashSet<String>,
    /// How many operators of a kind there were, and the call of the last one.
    operators: HashMap<&'static str, (usize, usize)>,
}

impl Names {
    fn new(module: &Module, class: &Class) -> Self {
        let fields = class.fields().filter_map(|f| Some(f.declares()?.0));
        let methods = class.methods().map(|m| m.name.as_str());
        let attributes = module.attributes.keys().map(String::as_str);
        let taken = fields.chain(methods).chain(attributes);
        Names {
            taken: taken.map(str::to_owned).collect(),
            operators: HashMap::new(),
        }
    }

    fn name(&mut self, used: &ConstantUse) -> String {
        let (count, call) = self.operators.entry(used.operator).or_default();
        if *call != used.call {
            (*count, *call) = (*count + 1, used.call);
        }
        match used.role {
            Role::Weight(part) | Role::Statistic(part) => {
                format!("{}{count}_{part}", used.operator)
            }
            Role::Operand => format!("{}{count}", used.operator),
        }
    }

    fn unused(&mut self, name: String) -> String {
        let numbered = (2_usize..).map(|n| format!("{name}_{n}"));
        let mut names = std::iter::once(name.clone()).chain(numbered);
        let unused = names.find(|n| !self.taken.contains(n)).unwrap_or(name);
        self.taken.insert(unused.clone());
        unused
    }
}

/// Appends names to a class's `__parameters__` or `__buffers__`.
fn list_names<'a>(class: &mut Class, list: &str, names: impl Iterator<Item = &'a str>) {
    let is_list = |m: &Member| matches!(m, Member::Field(a) if matches!(a.targets.as_slice(), [Expr::Name(n)] if n == list));
    let mut names = names
        .map(|name| Expr::Str(format!("\"{name}\"")))
        .peekable();
    if names.peek().is_none() {
        return;
    }
    if !class.members.iter().any(is_list) {
        let empty = Expr::List {
            items: Vec::new(),
            trailing_comma: false,
        };
        class.members.insert(0, field(list, None, vec![empty]));
    }
    if let Some(Member::Field(found)) = class.members.iter_mut().find(|m| is_list(m))
        && let [
            Expr::List {
                items,
                trailing_comma,
            },
        ] = found.values.as_mut_slice()
    {
        items.extend(names);
        *trailing_comma = true;
    }
}

fn field(name: &str, annotation: Option<Expr>, values: Vec<Expr>) -> Member {
    Member::Field(Assign {
        targets: vec![Expr::Name(name.into())],
        trailing_comma: false,
        spaced_colon: annotation.is_some(),
        annotation,
        values,
    })
}
