//! `torch.einsum("b i d, b j d -> b i j", [q, k])`: products and sums over named dimensions.

use std::collections::HashMap;

use super::{Args, ShapeResult};
use crate::program::value::{Dim, Known, Shape, Val, element_count};

/// An equation whose every letter has a size.
struct Equation {
    operands: Vec<Vec<char>>,
    output: Vec<char>,
    sizes: HashMap<char, Dim>,
}

impl Equation {
    /// `None` for dots, repeated letters, and sizes that are unknown or do not fit.
    fn of(text: &str, shapes: &[&Shape]) -> Option<Self> {
        let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let (left, right) = match text.split_once("->") {
            Some((left, right)) => (left, Some(right)),
            None => (text.as_str(), None),
        };
        let operands: Vec<Vec<char>> = left.split(',').map(letters).collect::<Option<_>>()?;
        if operands.len() != shapes.len() {
            return None;
        }
        let mut sizes = HashMap::new();
        for (letters, shape) in operands.iter().zip(shapes) {
            if letters.len() != shape.len() {
                return None;
            }
            for (letter, size) in letters.iter().zip(*shape) {
                match sizes.insert(*letter, *size) {
                    Some(former) if former != *size => return None,
                    _ => {}
                }
            }
        }
        let output = match right {
            Some(right) => letters(right)?,
            None => implicit_output(&operands),
        };
        let known = output.iter().all(|letter| sizes.contains_key(letter));
        known.then_some(Equation {
            operands,
            output,
            sizes,
        })
    }

    fn elements(&self, letters: impl Iterator<Item = char>) -> Option<Dim> {
        let dims: Vec<Dim> = letters
            .map(|letter| self.sizes.get(&letter).copied())
            .collect::<Option<_>>()?;
        element_count(&dims)
    }
}

/// The letters of one operand, each there once.
fn letters(text: &str) -> Option<Vec<char>> {
    let letters: Vec<char> = text.chars().collect();
    let once = |(i, c): (usize, &char)| c.is_ascii_alphabetic() && !letters[..i].contains(c);
    letters.iter().enumerate().all(once).then_some(letters)
}

/// Without `->`: the letters that are there once, in alphabetical order (capitals first, as torch sorts them).
fn implicit_output(operands: &[Vec<char>]) -> Vec<char> {
    let count = |letter: &char| operands.iter().flatten().filter(|c| *c == letter).count();
    let mut output: Vec<char> = operands
        .iter()
        .flatten()
        .copied()
        .filter(|c| count(c) == 1)
        .collect();
    output.sort_unstable();
    output
}

pub(super) fn shape(_: &str, args: &Args) -> ShapeResult {
    Ok(shape_of(args))
}

fn shape_of(args: &Args) -> Option<Shape> {
    let Known::Str(text) = &args.at(0)?.known else {
        return None;
    };
    let shapes: Vec<&Shape> = args
        .at(1)?
        .items()?
        .iter()
        .map(Val::shape)
        .collect::<Option<_>>()?;
    let equation = Equation::of(text, &shapes)?;
    equation
        .output
        .iter()
        .map(|letter| equation.sizes.get(letter).copied())
        .collect()
}

/// The multiply-accumulates of a product of two tensors: one for each combination of all letters. `None` where a
/// letter of one operand alone is summed, as that happens before the product.
pub(super) fn macs(text: &str, shapes: &[&Shape]) -> Option<Dim> {
    let equation = Equation::of(text, shapes)?;
    let [a, b] = equation.operands.as_slice() else {
        return None;
    };
    let alone = |x: &[char], y: &[char]| {
        x.iter()
            .any(|c| !y.contains(c) && !equation.output.contains(c))
    };
    if alone(a, b) || alone(b, a) {
        return None;
    }
    equation.elements(a.iter().chain(b.iter().filter(|c| !a.contains(c))).copied())
}
