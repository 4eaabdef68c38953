//! What the options of robustness take: names of attacks and corruptions, severities, steps.

use std::num::NonZeroU32;
use std::str::FromStr;

use crate::data::corruptions::{Corruption, Epsilon, Severity};

/// An attack without its settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttackName {
    Fgsm,
    Pgd,
}

/// `fgsm,pgd`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attacks(pub Vec<AttackName>);

impl FromStr for Attacks {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        list(text, |word| match word {
            "fgsm" => Some(AttackName::Fgsm),
            "pgd" => Some(AttackName::Pgd),
            _ => None,
        })
        .map(Attacks)
        .ok_or_else(|| "expected fgsm, pgd or fgsm,pgd".into())
    }
}

/// `noise,blur`, or `all`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corruptions(pub Vec<Corruption>);

impl FromStr for Corruptions {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim() == "all" {
            return Ok(Corruptions(Corruption::ALL.to_vec()));
        }
        let named = |word: &str| Corruption::ALL.into_iter().find(|c| c.name() == word);
        list(text, named).map(Corruptions).ok_or_else(|| {
            let names = Corruption::ALL.map(Corruption::name);
            let names = names.join(", ");
            format!("expected all, or some of {names}, each once, parted by commas")
        })
    }
}

/// `1,3,5`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Severities(pub Vec<Severity>);

impl FromStr for Severities {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        list(text, |word| {
            Severity::try_from(word.parse::<u8>().ok()?).ok()
        })
        .filter(|severities| severities.is_sorted())
        .map(Severities)
        .ok_or_else(|| "expected rising numbers from 1 to 5 parted by commas, such as 1,3,5".into())
    }
}

/// Words parted by commas, none of them twice; `None` if one is not understood.
fn list<T: PartialEq>(text: &str, understand: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    let mut items = Vec::new();
    for word in text.split(',') {
        let item = understand(word.trim())?;
        if items.contains(&item) {
            return None;
        }
        items.push(item);
    }
    Some(items)
}

/// The size of a step, as [`Epsilon`]; one of 0 would go nowhere.
///
/// # Errors
/// What was expected instead.
pub fn step_size(text: &str) -> Result<Epsilon, String> {
    text.parse()
        .ok()
        .filter(|size: &Epsilon| size.0 > 0.)
        .ok_or_else(|| {
            "expected a fraction such as 2/255 or a number, above 0 and at most 1".into()
        })
}

/// A number of steps.
///
/// # Errors
/// What was expected instead.
pub fn steps(text: &str) -> Result<NonZeroU32, String> {
    text.parse()
        .map_err(|_| "expected a whole number, 1 or more".into())
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::*;

    fn refused<T: FromStr<Err = String> + fmt::Debug>(texts: &[&str], says: &str) {
        for text in texts {
            let message = text.parse::<T>().unwrap_err();
            assert!(message.contains(says), "{text}: {message}");
        }
    }

    #[test]
    fn epsilon_is_a_fraction_or_a_number() {
        assert_eq!("8/255".parse(), Ok(Epsilon(8. / 255.)));
        assert_eq!(" 8 / 255 ".parse(), Ok(Epsilon(8. / 255.)));
        assert_eq!("0.03".parse(), Ok(Epsilon(0.03)));
        assert_eq!("0".parse(), Ok(Epsilon(0.)));
        let bad = [
            "8/0", "-1/255", "-0.1", "8", "256/255", "nan", "inf", "1/inf/2", "8/", "/255", "",
            "x", "nan/1", "0/0",
        ];
        refused::<Epsilon>(&bad, "8/255");
        assert!(step_size("0").is_err() && step_size("0/255").is_err());
        assert_eq!(step_size("2/255"), Ok(Epsilon(2. / 255.)));
    }

    #[test]
    fn epsilon_is_shown_as_it_is_usually_said() {
        let shown = |x: f64| Epsilon(x).to_string();
        assert_eq!(shown(8. / 255.), "8/255");
        assert_eq!(shown(0.5 / 255.), "0.5/255");
        assert_eq!(shown(0.03), "7.65/255");
        assert_eq!(shown(0.0312345), "0.0312345");
    }

    #[test]
    fn lists_have_known_words_each_once() {
        assert_eq!(
            "fgsm, pgd".parse(),
            Ok(Attacks(vec![AttackName::Fgsm, AttackName::Pgd]))
        );
        refused::<Attacks>(&["", "fgsm,", "FGSM", "fgsm,fgsm", "cw", "all"], "fgsm,pgd");
        let all: Corruptions = "all".parse().unwrap();
        assert_eq!(all.0.len(), 6);
        assert_eq!(
            "blur,noise".parse(),
            Ok(Corruptions(vec![Corruption::Blur, Corruption::Noise]))
        );
        refused::<Corruptions>(
            &["", "all,noise", "noise,noise", "fog", "noise;blur"],
            "pixelate",
        );
    }

    #[test]
    fn severities_rise_from_1_to_5() {
        let numbers = |text: &str| {
            let severities: Severities = text.parse().unwrap();
            severities.0.into_iter().map(u8::from).collect::<Vec<_>>()
        };
        assert_eq!(numbers("1,3,5"), [1, 3, 5]);
        assert_eq!(numbers("2"), [2]);
        refused::<Severities>(&["", "0", "6", "3,1", "2,2", "1-5", "all", "256"], "1,3,5");
    }

    #[test]
    fn a_number_of_steps_is_not_0() {
        assert!(steps("0").is_err() && steps("-1").is_err() && steps("2.5").is_err());
        assert_eq!(steps("20").map(NonZeroU32::get), Ok(20));
    }
}
