//! Numbers as people read them, in tables, sentences and charts alike.

/// `125,485,696`
#[must_use]
pub fn thousands(n: i64) -> String {
    let digits = n.unsigned_abs().to_string();
    let mut out = String::from(if n < 0 { "-" } else { "" });
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 thread`, `2 threads`
#[must_use]
pub fn counted(n: usize, word: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{} {word}{plural}", thousands(n as i64))
}

/// `1,024 calibration images`
#[must_use]
pub fn calibration_images(n: usize, are_noise: bool) -> String {
    let what = if are_noise {
        "images of random noise"
    } else {
        "calibration images"
    };
    format!("{} {what}", thousands(n as i64))
}

/// How much of the whole a part is: `3.76 %`
#[must_use]
pub fn percent(part: i64, whole: i64) -> String {
    if whole == 0 {
        "-".into()
    } else {
        format!("{:.2} %", 100. * part as f64 / whole as f64)
    }
}

/// A fraction, such as an accuracy: `93.26 %`
#[must_use]
pub fn in_percent(fraction: f64) -> String {
    percent_to(2, fraction)
}

/// A fraction with so many decimals: `93.3 %`
#[must_use]
pub fn percent_to(decimals: usize, fraction: f64) -> String {
    format!("{:.decimals$} %", 100. * fraction)
}

/// An interval of fractions: `91.37 to 94.77 %`
#[must_use]
pub fn interval([low, high]: [f64; 2]) -> String {
    format!("{:.2} to {:.2} %", 100. * low, 100. * high)
}

/// The difference of two fractions in points, without the word: `-0.53`
#[must_use]
pub fn points(difference: f64) -> String {
    format!("{:+.2}", 100. * difference)
}

/// How far confidence is from accuracy: `off by 1.20 points on average`
#[must_use]
pub fn off_by(calibration_error: f64) -> String {
    format!("off by {:.2} points on average", 100. * calibration_error)
}

/// By how many percent a count changed.
#[must_use]
pub fn change(before: i64, after: i64) -> f64 {
    100. * (after - before) as f64 / before.max(1) as f64
}

/// A time in milliseconds, without the unit: `3.14`
#[must_use]
pub fn milliseconds(seconds: f64) -> String {
    format!("{:.2}", 1e3 * seconds)
}

/// The text of a number with a minus as wide as a plus, for pages: `−0.53`
#[must_use]
pub fn true_minus(number: &str) -> String {
    number.replace('-', "−")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_are_told_in_percent_and_their_differences_in_points() {
        assert_eq!(in_percent(0.93256), "93.26 %");
        assert_eq!(percent_to(0, 0.25), "25 %");
        assert_eq!(interval([0.9137, 0.9477]), "91.37 to 94.77 %");
        assert_eq!(points(-0.0053), "-0.53");
        assert_eq!(points(0.), "+0.00");
        assert_eq!(true_minus(&points(-0.0053)), "−0.53");
        assert_eq!(off_by(0.012), "off by 1.20 points on average");
        assert_eq!(percent(1, 0), "-");
        assert!((change(200, 150) + 25.).abs() < 1e-12 && change(0, 1) > 0.);
    }

    #[test]
    fn counts_are_told_in_groups_of_three_digits() {
        assert_eq!(thousands(125_485_696), "125,485,696");
        assert_eq!(thousands(-1_000), "-1,000");
        assert_eq!(thousands(999), "999");
        assert_eq!(counted(1, "thread"), "1 thread");
        assert_eq!(counted(2_000, "image"), "2,000 images");
    }
}
