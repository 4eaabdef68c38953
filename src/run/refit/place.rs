//! Linear maps that can be fitted anew, and the values that they end in.

use std::ops::Range;

use super::operand::{Named, named, read};
use super::passage::{Passage, Way, may_be_passage};
use crate::program::{Network, Operand, Program, Statement, ValueId, is_activation};
use crate::run::stops::Look;

/// A value `[other +] [scaled, permuted] [norm of] map(input)`, of which nobody else reads the parts.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// The statement of the map.
    pub map: usize,
    pub input: ValueId,
    pub weight: Named,
    pub bias: Option<Named>,
    /// `None`: the map is a linear layer.
    pub windows: Option<Windows>,
    pub norm: Option<Norm>,
    /// The way into the sum, in the order in which it is gone.
    pub passages: Vec<Passage>,
    pub value: ValueId,
    /// The statement that gives the value.
    pub end: usize,
    /// Rectifiers (ReLU) alone read it: whatever is below zero is as good as zero.
    pub is_rectified: bool,
}

impl Place {
    /// At what the map is given, then at the value.
    #[must_use]
    pub fn look(&self) -> Look {
        Look {
            from: self.map,
            until: self.end,
            values: vec![self.input, self.value],
        }
    }

    /// At the value.
    #[must_use]
    pub fn value_alone(&self) -> Look {
        Look {
            from: self.map,
            until: self.end,
            values: vec![self.value],
        }
    }

    /// The tensors of the network that fitting the map may change.
    pub fn tensors(&self) -> impl Iterator<Item = &Named> {
        let norm = self.norm.iter();
        let norm = norm.flat_map(|norm| [&norm.scale, &norm.shift, &norm.mean, &norm.variance]);
        std::iter::once(&self.weight).chain(&self.bias).chain(norm)
    }

    /// Whether a constant can be added to what the map gives.
    #[must_use]
    pub fn has_shift(&self) -> bool {
        self.bias.is_some() || self.norm.is_some()
    }
}

/// What a convolution sees of its input, vertically and horizontally.
#[derive(Clone, Debug, PartialEq)]
pub struct Windows {
    pub kernel: [i64; 2],
    pub stride: [i64; 2],
    pub padding: [i64; 2],
    pub dilation: [i64; 2],
}

/// A batch normalisation in evaluation mode.
#[derive(Clone, Debug, PartialEq)]
pub struct Norm {
    pub scale: Named,
    pub shift: Named,
    pub mean: Named,
    pub variance: Named,
    pub epsilon: f64,
}

/// Where a network's maps are looked for.
#[derive(Clone, Copy)]
pub struct Maps<'a> {
    pub network: &'a Network,
    pub program: &'a Program,
}

impl<'a> Maps<'a> {
    /// The place that ends in a value, or in what activations make it of.
    #[must_use]
    pub fn behind(self, value: ValueId) -> Option<Place> {
        let value = self.in_front_of(value, passes_on);
        let (_, statement) = self.maker(value)?;
        let terms: Vec<ValueId> = match statement.operator() {
            Some("add" | "add_") => statement.args.iter().take(2).filter_map(read).collect(),
            _ => vec![value],
        };
        let mut places = terms.into_iter().filter_map(|term| {
            let is_part = |s: &Statement| {
                is_dropout(s) || may_be_passage(s) || s.operator() == Some("batch_norm")
            };
            let (map, _) = self.maker(self.in_front_of(term, is_part))?;
            self.of_map(map)
        });
        places.find(|place| place.value == value)
    }

    /// The place of the map with this weight: the path of its module, and its name there.
    #[must_use]
    pub fn of_weight(self, path: &str, name: &str) -> Option<Place> {
        let mut maps = 0..self.program.statements.len();
        maps.find_map(|map| {
            let weight = self.program.statements[map].args.get(1)?;
            let (module, found) = named(&weight.value)?;
            let is_it = found == name && self.network.modules.get(module).path == path;
            is_it.then(|| self.of_map(map)).flatten()
        })
    }

    /// The places whose maps are among these statements.
    #[must_use]
    pub fn between(self, maps: Range<usize>) -> Vec<Place> {
        maps.filter_map(|map| self.of_map(map)).collect()
    }

    /// The columns of the matrix that a place's regression has.
    #[must_use]
    pub fn columns(self, place: &Place) -> i64 {
        let operand = &self.program.statements[place.map].args[1].value;
        let weight = self.network.tensor(operand);
        weight.map_or(i64::MAX, |info| info.shape[1..].iter().product::<i64>() + 1)
    }

    /// The place of the map that a statement is.
    fn of_map(self, map: usize) -> Option<Place> {
        let statement = &self.program.statements[map];
        let weight = &statement.args.get(1)?.value;
        let shape = &self.network.tensor(weight)?.shape;
        let windows = match (statement.operator()?, &shape[..]) {
            ("linear", [_, _]) => None,
            ("conv2d", [_, inputs, height, width]) if is(statement.arg(6, "groups"), 1) => {
                self.has_channels(statement, *inputs)?;
                Some(windows(statement, [*height, *width])?)
            }
            ("_convolution", [_, inputs, height, width]) if is(statement.arg(8, "groups"), 1) => {
                self.has_channels(statement, *inputs)?;
                Some(windows(statement, [*height, *width])?)
            }
            _ => return None,
        };
        let bias = statement.arg(2, "bias").filter(|bias| !is_none(bias));
        let [output] = statement.outputs[..] else {
            return None;
        };
        let mut place = Place {
            map,
            input: read(statement.args.first()?)?,
            weight: self.own(weight)?,
            bias: match bias {
                Some(bias) => Some(self.own(bias)?),
                None => None,
            },
            windows,
            norm: None,
            passages: Vec::new(),
            value: output,
            end: map,
            is_rectified: false,
        };
        self.follow(&mut place);
        place.is_rectified = self.is_rectified(place.value);
        Some(place)
    }

    /// Takes in what alone reads a place's value: a normalisation, then a sum with the way there.
    fn follow(self, place: &mut Place) {
        let Some(rank) = self.program.shape(place.value).map(|shape| shape.len()) else {
            return;
        };
        let mut tried = place.clone();
        let mut channel = match place.windows {
            Some(_) => 1,
            None => rank.saturating_sub(1),
        };
        while let Some((end, statement)) = self.only_reader(tried.value) {
            let [output] = statement.outputs[..] else {
                return;
            };
            let is_first = statement.args.first().and_then(read) == Some(tried.value);
            let is_sum = matches!(statement.operator(), Some("add" | "add_"));
            match statement.operator() {
                _ if is_dropout(statement) && is_first => {}
                Some("batch_norm") if is_first && place.norm.is_none() => {
                    let Some(norm) = self.norm(statement).filter(|_| tried.passages.is_empty())
                    else {
                        return;
                    };
                    tried.norm = Some(norm);
                }
                _ if is_sum => {
                    let Some(scale) = self.scale_in_sum(statement, tried.value) else {
                        return;
                    };
                    tried.passages.extend(scale);
                }
                _ => {
                    let way = Way {
                        value: tried.value,
                        channel,
                    };
                    let Some((passage, way)) = way.through(statement, self.network, self.program)
                    else {
                        return;
                    };
                    channel = way.channel;
                    tried.passages.push(passage);
                }
            }
            (tried.value, tried.end) = (output, end);
            // A way that leads nowhere is none.
            if is_sum || tried.passages.is_empty() {
                *place = tried.clone();
            }
            if is_sum {
                return;
            }
        }
    }

    fn is_rectified(self, value: ValueId) -> bool {
        let readers = self.program.statements.iter();
        let mut readers = readers.filter(|s| s.reads().any(|v| v == value)).peekable();
        let is_given = self.program.output.operand.values().contains(&value);
        !is_given
            && readers.peek().is_some()
            && readers.all(|s| matches!(s.operator(), Some("relu" | "relu_")))
    }

    fn norm(self, statement: &Statement) -> Option<Norm> {
        let own = |place, name| self.own(statement.arg(place, name)?);
        Some(Norm {
            scale: own(1, "weight")?,
            shift: own(2, "bias")?,
            mean: own(3, "running_mean")?,
            variance: own(4, "running_var")?,
            epsilon: match statement.arg(7, "eps")? {
                Operand::Literal(text) => text.parse().ok()?,
                _ => return None,
            },
        })
    }

    /// What a sum of two values of one shape multiplies this one by, where it does so; `None` if it is no such sum.
    fn scale_in_sum(self, statement: &Statement, value: ValueId) -> Option<Option<Passage>> {
        let [left, right, scale @ ..] = &statement.args[..] else {
            return None;
        };
        let shape = |argument| self.program.shape(read(argument)?);
        if shape(left).is_none() || shape(left) != shape(right) {
            return None;
        }
        match scale {
            [alpha] if read(right) == Some(value) => match &alpha.value {
                alpha if alpha.int() == Some(1) => Some(None),
                Operand::Literal(text) => text.parse().ok().map(|by| Some(Passage::Scaled(by))),
                _ => None,
            },
            // It multiplies the other one, which is there as it is.
            [] | [_] => Some(None),
            _ => None,
        }
    }

    fn has_channels(self, statement: &Statement, channels: i64) -> Option<()> {
        let shape = self.program.sample_shape(read(statement.args.first()?)?)?;
        (shape.len() == 3 && shape[0] == channels).then_some(())
    }

    /// A tensor of the network that this use of it is the only one of.
    fn own(self, operand: &Operand) -> Option<Named> {
        let of_network = self.network.tensor(operand)?;
        let uses = self.program.statements.iter().flat_map(|s| &s.args);
        let shares = |o: &Operand| {
            let other = self.network.tensor(o);
            other.is_some_and(|other| other.storage == of_network.storage)
        };
        let once = uses.filter(|a| shares(&a.value)).count() == 1;
        named(operand).filter(|_| once)
    }

    /// The value that one came of by statements of this kind.
    fn in_front_of(self, mut value: ValueId, passes: impl Fn(&Statement) -> bool) -> ValueId {
        while let Some((_, statement)) = self.maker(value).filter(|(_, s)| passes(s)) {
            // A scale may be the first argument: it is no value.
            match statement.args.iter().take(2).find_map(read) {
                Some(before) => value = before,
                None => break,
            }
        }
        value
    }

    /// The statement that gives this value and nothing else.
    fn maker(self, value: ValueId) -> Option<(usize, &'a Statement)> {
        let mut all = self.program.statements.iter().enumerate();
        all.find(|(_, s)| s.outputs == [value])
    }

    /// The statement that reads a value which is read once.
    fn only_reader(self, value: ValueId) -> Option<(usize, &'a Statement)> {
        let reads = |s: &Statement| s.reads().filter(|v| *v == value).count();
        let mut readers = self.program.statements.iter().enumerate();
        let mut readers = readers.by_ref().filter(|(_, s)| reads(s) > 0);
        let is_given = self.program.output.operand.values().contains(&value);
        match (readers.next(), readers.next()) {
            (Some(reader), None) if reads(reader.1) == 1 && !is_given => Some(reader),
            _ => None,
        }
    }
}

fn windows(statement: &Statement, kernel: [i64; 2]) -> Option<Windows> {
    let pair = |place, name, usual| statement.pair(place, name, usual);
    let is_transposed = |s: &Statement| {
        s.operator() == Some("_convolution")
            && !matches!(s.arg(6, "transposed"), Some(Operand::Literal(text)) if text == "False")
    };
    if is_transposed(statement) {
        return None;
    }
    Some(Windows {
        kernel,
        stride: pair(3, "stride", 1)?,
        padding: pair(4, "padding", 0)?,
        dilation: pair(5, "dilation", 1)?,
    })
}

/// Whether it gives what it is given, but for an activation.
fn passes_on(statement: &Statement) -> bool {
    let is_activation = |name: &str| is_activation(name.trim_end_matches('_'));
    is_dropout(statement) || statement.operator().is_some_and(is_activation)
}

/// Whether it is dropout, which does nothing in evaluation mode.
fn is_dropout(statement: &Statement) -> bool {
    let operator = statement.operator().unwrap_or_default();
    operator.trim_end_matches('_').ends_with("dropout")
}

fn is(operand: Option<&Operand>, number: i64) -> bool {
    operand.is_none_or(|operand| operand.int() == Some(number))
}

fn is_none(operand: &Operand) -> bool {
    matches!(operand, Operand::Literal(text) if text == "None")
}
