//! What criteria are called, and the values they give.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

/// The criteria by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Name {
    #[default]
    Cka,
    CkaDebiased,
    BlockInfluence,
    L1,
    Random,
    Consensus,
    Recoverability,
    Agreement,
}

impl Name {
    /// In the order in which they are listed.
    pub const ALL: [Name; 8] = [
        Name::Cka,
        Name::CkaDebiased,
        Name::BlockInfluence,
        Name::L1,
        Name::Random,
        Name::Consensus,
        Name::Recoverability,
        Name::Agreement,
    ];

    /// As options and documents have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Name::Cka => "cka",
            Name::CkaDebiased => "cka-debiased",
            Name::BlockInfluence => "block-influence",
            Name::L1 => "l1",
            Name::Random => "random",
            Name::Consensus => "consensus",
            Name::Recoverability => "recoverability",
            Name::Agreement => "agreement",
        }
    }

    /// Whether the value depends on images.
    #[must_use]
    pub fn looks_at_images(self) -> bool {
        !matches!(self, Name::L1 | Name::Random)
    }

    /// Whether candidates that are surely behind can be told from some of the images.
    #[must_use]
    pub fn can_race(self) -> bool {
        matches!(self, Name::Cka | Name::Recoverability | Name::Agreement)
    }

    /// Whether the value tells what a removal costs: [`Value::cost`].
    #[must_use]
    pub fn tells_cost(self) -> bool {
        !matches!(self, Name::Random | Name::Consensus)
    }

    /// Whether representations with and without the block are compared.
    #[must_use]
    pub fn compares(self) -> bool {
        matches!(self, Name::Cka | Name::CkaDebiased | Name::Consensus)
    }
}

/// What of a network a removal saves, where its cost is weighed against that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Per {
    Macs,
    Params,
    /// Time of one image.
    Latency,
}

impl Per {
    /// In the order in which they are listed.
    pub const ALL: [Per; 3] = [Per::Macs, Per::Params, Per::Latency];

    /// As options and documents have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Per::Macs => "macs",
            Per::Params => "params",
            Per::Latency => "latency",
        }
    }

    /// As people read it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Per::Macs => "MACs",
            Per::Params => "parameters",
            Per::Latency => "time",
        }
    }
}

/// What candidates are compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Reference {
    Current,
    Original,
}

impl Reference {
    /// In the order in which they are listed.
    pub const ALL: [Reference; 2] = [Reference::Current, Reference::Original];

    /// As options have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Reference::Current => "current",
            Reference::Original => "original",
        }
    }
}

/// A block's value by one criterion. In JSON its name is the key: `"cka": 0.98`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Value {
    /// Linear CKA with the reference: 1 means that the representation does not change (up to rotation and scale).
    Cka(f64),
    /// The same, free of the bias of few images; at most 1.
    CkaDebiased(f64),
    /// 1 − cosine of the block's input and output: 0 means that the block does nothing.
    BlockInfluence(f64),
    /// Mean magnitude of the block's weights.
    L1(f64),
    /// Uniform in 0..1.
    Random(f64),
    /// Mean place among the candidates over several similarities: 1 is the first by all of them.
    Consensus(f64),
    /// Part of the representation that is left without the block once the map in front of the gap is fitted anew: 1 is all
    /// of it, 0 no more than its mean.
    Recoverability(f64),
    /// Kullback-Leibler divergence of the class probabilities from the whole network's, in nats, negative: 0 means that they
    /// do not change.
    Agreement(f64),
}

impl Value {
    /// The number alone.
    #[must_use]
    pub fn number(self) -> f64 {
        match self {
            Value::Cka(x)
            | Value::CkaDebiased(x)
            | Value::BlockInfluence(x)
            | Value::L1(x)
            | Value::Random(x)
            | Value::Consensus(x)
            | Value::Recoverability(x)
            | Value::Agreement(x) => x,
        }
    }

    /// The head of a column of such values.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Value::Cka(_) => "CKA",
            Value::CkaDebiased(_) => "debiased CKA",
            Value::BlockInfluence(_) => "influence",
            Value::L1(_) => "mean |weight|",
            Value::Random(_) => "random",
            Value::Consensus(_) => "mean rank",
            Value::Recoverability(_) => "recoverable",
            Value::Agreement(_) => "closeness",
        }
    }

    /// What a block is chosen by, in a sentence.
    #[must_use]
    pub fn grounds(self) -> &'static str {
        match self {
            Value::Cka(_) => "CKA",
            Value::CkaDebiased(_) => "debiased CKA",
            Value::BlockInfluence(_) => "block influence",
            Value::L1(_) => "the size of its weights",
            Value::Random(_) => "chance",
            Value::Consensus(_) => "its mean rank",
            Value::Recoverability(_) => "how much of the representation can be recovered",
            Value::Agreement(_) => "how close the answers stay",
        }
    }

    /// What a removal costs: how far the value is from that of a block that does nothing. `None` where it tells places
    /// alone.
    #[must_use]
    pub fn cost(self) -> Option<f64> {
        match self {
            Value::Cka(x) | Value::CkaDebiased(x) | Value::Recoverability(x) => Some(1. - x),
            Value::Agreement(x) => Some(-x),
            Value::BlockInfluence(x) | Value::L1(x) => Some(x),
            Value::Random(_) | Value::Consensus(_) => None,
        }
    }

    /// The block that is more redundant comes first: similar to nothing removed, or of little influence.
    #[must_use]
    pub fn order(&self, other: &Value) -> Ordering {
        let (a, b) = (self.number(), other.number());
        match self.highest_goes_first() {
            true => b.total_cmp(&a),
            false => a.total_cmp(&b),
        }
    }

    /// Whether the block with the highest value goes first; else that with the lowest.
    #[must_use]
    pub fn highest_goes_first(&self) -> bool {
        match self {
            Value::Cka(_)
            | Value::CkaDebiased(_)
            | Value::Recoverability(_)
            | Value::Agreement(_) => true,
            Value::BlockInfluence(_) | Value::L1(_) | Value::Random(_) | Value::Consensus(_) => {
                false
            }
        }
    }
}

/// How redundant one block is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    pub path: String,
    #[serde(flatten)]
    pub value: Value,
    /// 1 for the block to remove first.
    pub rank: usize,
    /// Calibration images it was compared on: fewer than all for one that fell behind in a race.
    pub samples: usize,
    /// Part of the network's MACs, parameters or time that goes with it, where its value is weighed against that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saves: Option<f64>,
}

impl Score {
    /// The number of its value.
    #[must_use]
    pub fn number(&self) -> f64 {
        self.value.number()
    }
}

/// How the values of all candidates are spread.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Distribution {
    pub min: f64,
    /// A quarter of the candidates lie below.
    pub q1: f64,
    pub median: f64,
    pub q3: f64,
    pub max: f64,
}

impl Distribution {
    /// Of these scores; `None` of none. Quartiles lie between neighbours where no candidate is just there (type 7 of
    /// Hyndman and Fan, 1996).
    #[must_use]
    pub fn of(scores: &[Score]) -> Option<Self> {
        let mut values: Vec<f64> = scores.iter().map(Score::number).collect();
        values.sort_by(f64::total_cmp);
        let last = values.len().checked_sub(1)?;
        let at = |part: f64| {
            let place = part * last as f64;
            let below = values[place.floor() as usize];
            below + (values[place.ceil() as usize] - below) * place.fract()
        };
        Some(Distribution {
            min: at(0.),
            q1: at(0.25),
            median: at(0.5),
            q3: at(0.75),
            max: at(1.),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(values: &[f64]) -> Vec<Score> {
        let score = |x: &f64| Score {
            path: "a".into(),
            value: Value::L1(*x),
            rank: 1,
            samples: 10,
            saves: None,
        };
        values.iter().map(score).collect()
    }

    #[test]
    fn quartiles_lie_between_neighbours() {
        let found = Distribution::of(&scores(&[4., 1., 3., 2.])).unwrap();
        let Distribution {
            min,
            q1,
            median,
            q3,
            max,
        } = found;
        assert_eq!([min, q1, median, q3, max], [1., 1.75, 2.5, 3.25, 4.]);
        assert_eq!(Distribution::of(&[]), None);
    }

    #[test]
    fn similar_and_small_come_first() {
        assert_eq!(Value::Cka(0.9).order(&Value::Cka(0.8)), Ordering::Less);
        let influence = Value::BlockInfluence(0.1);
        assert_eq!(influence.order(&Value::BlockInfluence(0.2)), Ordering::Less);
    }

    #[test]
    fn the_criterion_is_the_key_in_json() {
        let text = serde_json::to_string(&scores(&[0.25])[0]).unwrap();
        assert_eq!(text, r#"{"path":"a","l1":0.25,"rank":1,"samples":10}"#);
        let back: Score = serde_json::from_str(&text).unwrap();
        assert_eq!(back, scores(&[0.25])[0]);
    }
}
