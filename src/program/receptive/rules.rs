//! What each operator does to a view.

use std::collections::HashMap;

use super::window::{Window, pair};
use super::{Field, Layout, View};
use crate::program::{
    Attribute, Dim, Known, Network, Op, Operand, Program, Shape, Statement, ValueId, axis,
    is_activation, is_conversion,
};

/// How many tokens besides those of positions an attention may have: for the class, for distillation, registers.
const EXTRA_TOKENS: i64 = 8;

/// Operators, besides activations and conversions, whose results see at a position what their arguments see there.
const POINTWISE: &[&str] = &[
    "add",
    "sub",
    "rsub",
    "mul",
    "div",
    "pow",
    "maximum",
    "minimum",
    "neg",
    "exp",
    "log",
    "sqrt",
    "rsqrt",
    "abs",
    "square",
    "clamp_max",
    "batch_norm",
    "contiguous",
    "clone",
    "detach",
    "alias",
    "expand_as",
    "cat",
    "concat",
    "threshold",
    "log_sigmoid",
    "channel_shuffle",
];

/// Operators whose result depends on the form of a tensor, not on its elements.
const SIZES: &[&str] = &["size", "len", "dim", "numel", "dtype", "device"];

pub(super) struct Rules<'a> {
    pub network: &'a Network,
    pub program: &'a Program,
    pub views: HashMap<ValueId, View>,
}

impl Rules<'_> {
    /// The view of a statement's results; `None` if nothing of it comes from the image.
    pub fn result(&self, statement: &Statement) -> Option<View> {
        if statement.operator().is_some_and(|o| SIZES.contains(&o)) {
            return None;
        }
        let seen: Vec<(ValueId, View)> = statement
            .reads()
            .filter_map(|v| Some((v, *self.views.get(&v)?)))
            .collect();
        let (_, first) = *seen.first()?;
        let ruled = match statement.operator() {
            None => matches!(
                statement.op,
                Op::Index | Op::Unpack | Op::Alias | Op::Field(_)
            )
            .then_some(first),
            Some(operator) => self.operator(operator, statement, &seen),
        };
        Some(ruled.unwrap_or_else(|| {
            // If every argument sees the whole image, so does the result.
            let all = seen.iter().all(|(_, v)| v.field == Field::Whole);
            if all { View::whole() } else { View::UNKNOWN }
        }))
    }

    fn operator(
        &self,
        operator: &str,
        statement: &Statement,
        seen: &[(ValueId, View)],
    ) -> Option<View> {
        let is_pointwise =
            is_activation(operator) || is_conversion(operator) || POINTWISE.contains(&operator);
        if is_pointwise {
            return self.union(statement, seen);
        }
        let data = self.data(statement)?;
        match operator {
            "conv2d" => self.windows(statement, data, &self.convolution_window(statement)?),
            "_convolution" if is(statement.arg(6, "transposed"), "False") => {
                self.windows(statement, data, &self.convolution_window(statement)?)
            }
            "max_pool2d" => self.windows(statement, data, &self.pool_window(statement, Some(4))?),
            "avg_pool2d" => self.windows(statement, data, &self.pool_window(statement, None)?),
            "adaptive_avg_pool2d" | "adaptive_max_pool2d" => self.adaptive(statement, data),
            "mean" | "amax" | "amin" | "sum" => self.reduced(statement, data),
            // Their statistics are those of all positions, in evaluation mode too.
            "group_norm" | "instance_norm" => Some(View {
                field: Field::Whole,
                ..data
            }),
            "layer_norm" => self.layer_norm(statement, data),
            "softmax" | "log_softmax" => self.along_channels(statement, data),
            "linear" => self.linear(statement, data),
            "matmul" | "bmm" if seen.len() > 1 => self.attention(statement, data, 0),
            "matmul" => self.linear(statement, data),
            "scaled_dot_product_attention" | "_native_multi_head_attention" => {
                self.attention(statement, data, 1)
            }
            "permute" => self.moved(data, &self.ints(statement.arg(1, "dims")?)?, statement),
            "transpose" => self.swapped(statement, data),
            "flatten" | "reshape" | "view" => Some(self.reshaped(statement, data)),
            "slice" => self.sliced(statement, data),
            "pad" | "constant_pad_nd" | "reflection_pad2d" | "replication_pad2d" => {
                Some(self.resized(statement, data))
            }
            "chunk" | "split" | "split_with_sizes" => {
                let rank = self.taken(statement, 0)?.len();
                let dim = statement.arg(2, "dim").map_or(Some(0), Operand::int)?;
                Some(data.cut(axis(dim, rank)?))
            }
            _ => None,
        }
    }

    /// The view of the first argument.
    fn data(&self, statement: &Statement) -> Option<View> {
        let first = statement.args.first()?.value.values();
        first.iter().find_map(|v| self.views.get(v)).copied()
    }

    pub fn shape(&self, value: ValueId) -> Option<Shape> {
        match &self.program.value(value).known {
            Known::Tensor { shape, .. } => shape.clone(),
            _ => None,
        }
    }

    fn sizes(&self, value: ValueId) -> Option<Vec<i64>> {
        let shape = self.shape(value)?;
        Some(shape.iter().map(|d| d.n).collect())
    }

    /// The sizes of the result; that of the batch dimension is 1.
    fn given(&self, statement: &Statement) -> Option<Vec<i64>> {
        self.sizes(*statement.outputs.first()?)
    }

    /// The sizes of an argument.
    pub fn taken(&self, statement: &Statement, i: usize) -> Option<Vec<i64>> {
        match &statement.args.get(i)?.value {
            Operand::Value(id) => self.sizes(*id),
            operand => Some(self.network.tensor(operand)?.shape.clone()),
        }
    }

    /// The view of a result element by element, or side by side: it sees as much as the widest argument.
    fn union(&self, statement: &Statement, seen: &[(ValueId, View)]) -> Option<View> {
        let field = seen.iter().map(|(_, v)| v.field).reduce(Field::with)?;
        let given = self.given(statement);
        let rank = given.as_ref().map(Vec::len);
        // An argument that is broadcast does not tell where the positions are.
        let full = |(value, view): &&(ValueId, View)| {
            let spread = |d: &usize| {
                self.sizes(*value)
                    .zip(given.clone())
                    .is_some_and(|(a, b)| a.get(*d) != b.get(*d))
            };
            let same_rank = self.shape(*value).map(|s| s.len()) == rank;
            let broadcast = matches!(view.layout, Layout::Map(axes) if axes.iter().any(spread));
            same_rank && !broadcast
        };
        let full: Vec<&View> = seen.iter().filter(full).map(|(_, v)| v).collect();
        let first = **full.first()?;
        let agree = full
            .iter()
            .all(|v| (v.stride, v.layout) == (first.stride, first.layout));
        Some(if agree {
            View { field, ..first }
        } else if field == Field::Whole {
            View::whole()
        } else {
            View::UNKNOWN
        })
    }

    fn convolution_window(&self, statement: &Statement) -> Option<Window> {
        let weight = self.taken(statement, 1)?;
        let [_, _, height, width] = weight.as_slice() else {
            return None;
        };
        let dilation = self.pair(statement.arg(5, "dilation"), [1, 1])?;
        Some(Window {
            reach: [(height - 1) * dilation[0], (width - 1) * dilation[1]],
            stride: self.pair(statement.arg(3, "stride"), [1, 1])?,
        })
    }

    fn pool_window(&self, statement: &Statement, dilation: Option<usize>) -> Option<Window> {
        let kernel = self.pair(statement.arg(1, "kernel_size"), [1, 1])?;
        let dilation = dilation.and_then(|i| statement.arg(i, "dilation"));
        let dilation = self.pair(dilation, [1, 1])?;
        let stride = statement
            .arg(2, "stride")
            .filter(|s| self.ints(s).is_none_or(|s| !s.is_empty()));
        Some(Window {
            reach: [0, 1].map(|i| (kernel[i] - 1) * dilation[i]),
            stride: self.pair(stride, kernel)?,
        })
    }

    /// `3`, `[3]` or `[3, 3]`.
    fn pair(&self, operand: Option<&Operand>, default: [i64; 2]) -> Option<[i64; 2]> {
        let Some(operand) = operand else {
            return Some(default);
        };
        let single = operand.int().map(|n| vec![n]);
        pair(&single.or_else(|| self.ints(operand))?)
    }

    fn windows(&self, statement: &Statement, data: View, window: &Window) -> Option<View> {
        let (Layout::Map([2, 3]), Some(stride)) = (data.layout, data.stride) else {
            return (data.field == Field::Whole).then_some(data);
        };
        let field = match data.field {
            Field::Pixels(field) => Field::Pixels(
                [0, 1].map(|i| field[i].saturating_add(window.reach[i].saturating_mul(stride[i]))),
            ),
            other => other,
        };
        let stride = [0, 1].map(|i| stride[i].saturating_mul(window.stride[i]));
        let view = View {
            field,
            stride: Some(stride),
            ..data
        };
        Some(self.resized(statement, view))
    }

    fn adaptive(&self, statement: &Statement, data: View) -> Option<View> {
        let (before, after) = (self.taken(statement, 0)?, self.given(statement)?);
        let ([.., h, w], [.., to_h, to_w]) = (before.as_slice(), after.as_slice()) else {
            return None;
        };
        let sides = [(*h, *to_h), (*w, *to_w)];
        if sides.iter().all(|(_, to)| *to == 1) {
            return Some(View {
                stride: None,
                positions: 1,
                field: Field::Whole,
                ..data
            });
        }
        let even = sides.iter().all(|(from, to)| *to > 0 && from % to == 0);
        let kernel = sides.map(|(from, to)| from / to.max(1));
        let window = Window {
            reach: kernel.map(|k| k - 1),
            stride: kernel,
        };
        even.then(|| self.windows(statement, data, &window))
            .flatten()
    }

    /// A mean over some dimensions.
    fn reduced(&self, statement: &Statement, data: View) -> Option<View> {
        let rank = self.taken(statement, 0)?.len();
        let dims = match statement.arg(1, "dim") {
            None | Some(Operand::Literal(_))
                if statement.arg(1, "dim").and_then(Operand::int).is_none() =>
            {
                return Some(View::whole());
            }
            Some(dim) => self.ints(dim).or_else(|| Some(vec![dim.int()?]))?,
            None => return Some(View::whole()),
        };
        let dims: Vec<usize> = dims.iter().filter_map(|d| axis(*d, rank)).collect();
        let reduces = |d: &usize| dims.contains(d);
        let spatial: Vec<usize> = match data.layout {
            Layout::Map(axes) => axes.to_vec(),
            Layout::Tokens(dim) => vec![dim],
            Layout::Flat | Layout::Unknown => return None,
        };
        if spatial.iter().all(reduces) {
            return Some(View::whole());
        }
        let keeps = is(statement.arg(2, "keepdim"), "True");
        (!spatial.iter().any(reduces) && keeps).then_some(data)
    }

    fn layer_norm(&self, statement: &Statement, data: View) -> Option<View> {
        let normalised = self.ints(statement.arg(1, "normalized_shape")?)?.len();
        let rank = self.taken(statement, 0)?.len();
        let inside = |d: usize| d + normalised >= rank;
        match data.layout {
            Layout::Map([h, w]) if !inside(h) && !inside(w) => Some(data),
            Layout::Map([h, w]) if inside(h) && inside(w) => Some(View {
                field: Field::Whole,
                ..data
            }),
            Layout::Tokens(dim) if !inside(dim) => Some(data),
            _ => None,
        }
    }

    /// The integers of a list that stands in the code or hangs on a module.
    pub fn ints(&self, list: &Operand) -> Option<Vec<i64>> {
        let Operand::Attribute { module, name } = list else {
            return list.ints();
        };
        let (Attribute::List(items) | Attribute::Tuple(items)) =
            self.network.modules.attribute(*module, name)?
        else {
            return None;
        };
        let number = |item: &Attribute| match item {
            Attribute::Int(n) => Some(*n),
            _ => None,
        };
        items.iter().map(number).collect()
    }

    fn along_channels(&self, statement: &Statement, data: View) -> Option<View> {
        let rank = self.taken(statement, 0)?.len();
        let dim = axis(statement.arg(1, "dim")?.int()?, rank)?;
        let apart = match data.layout {
            Layout::Map(axes) => !axes.contains(&dim),
            Layout::Tokens(tokens) => tokens != dim,
            Layout::Flat | Layout::Unknown => false,
        };
        apart.then_some(data)
    }

    /// A product with weights, over the last dimension.
    fn linear(&self, statement: &Statement, data: View) -> Option<View> {
        let last = self.taken(statement, 0)?.len().checked_sub(1)?;
        match data.layout {
            Layout::Map(axes) if !axes.contains(&last) => Some(data),
            Layout::Tokens(dim) if dim != last => Some(data),
            Layout::Tokens(_) | Layout::Flat => Some(View::whole()),
            Layout::Map(_) | Layout::Unknown => None,
        }
    }

    /// A sum over positions, weighed by data: argument `over` is summed over its next-to-last dimension, or the first
    /// over its last.
    fn attention(&self, statement: &Statement, data: View, over: usize) -> Option<View> {
        let sizes = self.taken(statement, over)?;
        let from_end = if over == 0 { 1 } else { 2 };
        let summed = *sizes.get(sizes.len().checked_sub(from_end)?)?;
        let value = statement.args.get(1)?.value.values();
        let value = value
            .iter()
            .find_map(|v| self.views.get(v))
            .unwrap_or(&data);
        // Windows of the image were moved into the batch dimension.
        let first = statement.args.get(1)?.value.values();
        let batch = first
            .first()
            .and_then(|v| self.shape(*v))?
            .first()
            .copied()?;
        let tokens = value.positions..=value.positions + EXTRA_TOKENS;
        let all = value.positions > 1 && tokens.contains(&summed) && batch == Dim::BATCH;
        let seen = all || value.field == Field::Whole && data.field == Field::Whole;
        seen.then(View::whole)
    }

    fn moved(&self, data: View, dims: &[i64], statement: &Statement) -> Option<View> {
        let rank = self.taken(statement, 0)?.len();
        let new = |old: usize| dims.iter().position(|d| axis(*d, rank) == Some(old));
        let layout = match data.layout {
            Layout::Map([h, w]) => Layout::Map([new(h)?, new(w)?]),
            Layout::Tokens(dim) => Layout::Tokens(new(dim)?),
            other => other,
        };
        Some(View { layout, ..data })
    }

    fn swapped(&self, statement: &Statement, data: View) -> Option<View> {
        let rank = self.taken(statement, 0)?.len();
        let dim = |i| {
            axis(
                statement
                    .arg(i, if i == 1 { "dim0" } else { "dim1" })?
                    .int()?,
                rank,
            )
        };
        let (a, b) = (dim(1)?, dim(2)?);
        let mut dims: Vec<i64> = (0..rank as i64).collect();
        dims.swap(a, b);
        self.moved(data, &dims, statement)
    }

    /// The same elements in other dimensions.
    fn reshaped(&self, statement: &Statement, data: View) -> View {
        let layout = match (
            self.taken(statement, 0).as_deref(),
            self.given(statement).as_deref(),
        ) {
            (Some(before), Some(after)) if before == after => data.layout,
            (Some([_, c, h, w]), Some([_, c2, tokens]))
                if data.layout == Layout::Map([2, 3]) && c == c2 && *tokens == h * w =>
            {
                Layout::Tokens(2)
            }
            (Some([_, h, w, c]), Some([_, tokens, c2]))
                if data.layout == Layout::Map([1, 2]) && c == c2 && *tokens == h * w =>
            {
                Layout::Tokens(1)
            }
            (Some(before), Some([_, all])) if *all == before.iter().skip(1).product::<i64>() => {
                Layout::Flat
            }
            _ => Layout::Unknown,
        };
        View { layout, ..data }
    }

    fn sliced(&self, statement: &Statement, data: View) -> Option<View> {
        let rank = self.taken(statement, 0)?.len();
        let dim = match statement.arg(1, "dim") {
            None => 0,
            Some(dim) => axis(dim.int()?, rank)?,
        };
        let step = statement.arg(4, "step").map_or(Some(1), Operand::int)?;
        if step == 1 {
            let whole = self.taken(statement, 0) == self.given(statement);
            return Some(if whole { data } else { data.cut(dim) });
        }
        let mut view = self.resized(statement, data);
        if let (Layout::Map(axes), Some(stride)) = (view.layout, &mut view.stride) {
            for (axis, stride) in axes.iter().zip(stride) {
                *stride *= if *axis == dim { step } else { 1 };
            }
        }
        Some(view)
    }

    /// The same view with as many positions as the result has.
    fn resized(&self, statement: &Statement, data: View) -> View {
        let positions = match (data.layout, self.given(statement)) {
            (Layout::Map([h, w]), Some(sizes)) => sizes
                .get(h)
                .zip(sizes.get(w))
                .map(|(h, w)| h.saturating_mul(*w)),
            _ => None,
        };
        View {
            positions: positions.unwrap_or(data.positions),
            ..data
        }
    }
}

fn is(operand: Option<&Operand>, literal: &str) -> bool {
    matches!(operand, Some(Operand::Literal(text)) if text == literal)
}
