//! The pages of `eval` and `compare`: measurements of one network or of several side by side.

use super::measure::{Profile, Versus};
use crate::prune::gates::Verdict;
use crate::report::page::charts::{Bar, Bars, Bin, Group, Reliability, Unit};
use crate::report::page::{Column, Headline, Section, Table};
use crate::report::yardstick::Yardstick;
use crate::report::{in_percent, milliseconds, off_by, points, thousands};
use crate::train::eval::Rate;
use crate::train::robustness::Row;

/// The warnings as sentences that stand behind others: they say why the figures may not be what they seem.
pub(super) fn warned(warnings: &[String]) -> String {
    let sentence = |warning: &String| format!(" WARNING: {warning}.");
    warnings.iter().map(sentence).collect()
}

/// Measurements of networks; the first is the one that the others are held against.
pub(super) struct Measurements<'a> {
    /// What each is called in charts.
    pub names: Vec<String>,
    pub profiles: Vec<&'a Profile>,
    /// What each but the first is against the first.
    pub versus: Vec<&'a Versus>,
    /// What `measured` is of each; accuracy where nothing is.
    pub measure: &'a Yardstick,
}

impl Measurements<'_> {
    /// Everything that was measured, in sections by subject.
    pub fn sections(&self) -> Vec<Section> {
        let mut sections = vec![Section::new("Networks").with(self.table())];
        sections.extend(self.own());
        sections.extend(self.quality());
        sections.extend(self.robustness());
        sections.extend(self.speed());
        sections
    }

    fn bars(
        &self,
        title: &str,
        value: &str,
        unit: Unit,
        groups: impl IntoIterator<Item = Group>,
    ) -> Bars {
        let several = self.names.len() > 1;
        Bars {
            title: title.into(),
            value: value.into(),
            unit,
            series: if several {
                self.names.clone()
            } else {
                Vec::new()
            },
            groups: groups.into_iter().collect(),
        }
    }

    fn group(&self, label: impl Into<String>, bar: impl Fn(&Profile) -> Option<Bar>) -> Group {
        Group {
            label: label.into(),
            bars: self.profiles.iter().map(|p| bar(p)).collect(),
        }
    }

    /// The table of figures, with the file of each network above.
    fn table(&self) -> Table {
        let mut table = self.figures();
        let files = self.profiles.iter().map(|p| p.model.clone());
        let files = std::iter::once("network".to_owned()).chain(files);
        table.rows.insert(0, files.collect());
        table
    }

    /// By the user's own measure.
    fn own(&self) -> Option<Section> {
        self.profiles.iter().find_map(|p| p.measured)?;
        let name = self.measure.title();
        let group = self.group("", |p| Some(Bar::of(p.measured?)));
        let (title, unit) = (
            format!("{name} by a measure of your own"),
            self.measure.unit(),
        );
        Some(Section::new(name).with(self.bars(&title, name, unit, [group])))
    }

    fn quality(&self) -> Option<Section> {
        let first = self.profiles.iter().find_map(|p| p.quality.as_ref())?;
        let overall = self.group("all images", |p| Some(rate(&p.quality.as_ref()?.rate)));
        let top5 = first.top5.map(|_| {
            self.group("among the first 5", |p| {
                Some(rate(p.quality.as_ref()?.top5.as_ref()?))
            })
        });
        let classes = first.classes.iter().map(|class| {
            self.group(class.class.clone(), |p| {
                let classes = &p.quality.as_ref()?.classes;
                let same = classes.iter().find(|c| c.class == class.class)?;
                Some(rate(&same.rate))
            })
        });
        let mut section = Section::new("Accuracy")
            .with(self.bars(
                "Accuracy; whiskers hold the true value with 95 % confidence",
                "accuracy",
                Unit::Percent,
                std::iter::once(overall).chain(top5),
            ))
            .with(self.bars("Accuracy of each class", "accuracy", Unit::Percent, classes));
        for (name, profile) in self.names.iter().zip(&self.profiles) {
            let Some(quality) = &profile.quality else {
                continue;
            };
            let bins = quality.calibration.iter().filter_map(|bin| {
                Some(Bin {
                    ends: [bin.from, bin.to],
                    confidence: bin.confidence?,
                    accuracy: bin.accuracy?,
                    images: bin.images,
                })
            });
            let of = if self.names.len() > 1 {
                format!(" of {name}")
            } else {
                String::new()
            };
            section = section.with(Reliability {
                title: format!(
                    "Is it right as often as it says? Confidence and accuracy{of}, {}",
                    off_by(quality.calibration_error)
                ),
                bins: bins.collect(),
            });
        }
        Some(section)
    }

    fn robustness(&self) -> Option<Section> {
        let first = self.profiles.iter().find_map(|p| p.robustness.as_ref())?;
        let clean = self.group("as they are", |p| {
            Some(Bar::of(p.robustness.as_ref()?.clean.accuracy))
        });
        let rows = first
            .rows
            .iter()
            .enumerate()
            .map(|(at, row): (usize, &Row)| {
                self.group(row.condition.text(), |p| {
                    Some(Bar::of(p.robustness.as_ref()?.rows.get(at)?.hits.accuracy))
                })
            });
        let images = thousands(first.clean.images as i64);
        let title = format!("Accuracy on the same {images} images, attacked and corrupted");
        let mut section = Section::new("Robustness").with(self.bars(
            &title,
            "accuracy",
            Unit::Percent,
            std::iter::once(clean).chain(rows),
        ));
        if let Some(ood) = &first.ood {
            let confidence = |of: fn(&crate::train::robustness::Ood) -> f64| {
                move |p: &Profile| Some(Bar::of(of(p.robustness.as_ref()?.ood.as_ref()?)))
            };
            let groups = [
                self.group("as they are", confidence(|o| o.clean_confidence)),
                self.group(ood.data.clone(), confidence(|o| o.confidence)),
                self.group("AUROC of telling them apart", confidence(|o| o.auroc)),
            ];
            section = section.with(self.bars(
                "Mean confidence on images of another kind",
                "confidence",
                Unit::Plain,
                groups,
            ));
        }
        Some(section)
    }

    fn speed(&self) -> Option<Section> {
        let first = self.profiles.first()?;
        let mut section = Section::new("Speed");
        for (at, size) in first.latency.iter().enumerate() {
            let group = self.group(format!("batch of {}", size.batch_size), |p| {
                let latency = p.latency.get(at)?;
                let [q1, q3] = latency.spread.quartiles;
                Some(Bar {
                    value: latency.spread.median,
                    interval: Some(latency.spread.quartiles),
                    note: format!(
                        "{:.0} images/s\nquartiles {:.3} and {:.3} ms, {} passes",
                        latency.images_per_second,
                        1e3 * q1,
                        1e3 * q3,
                        latency.spread.passes
                    ),
                })
            });
            let title = match size.batch_size {
                1 => "A forward pass of one image: median and quartiles".to_owned(),
                n => format!("A forward pass of {n} images: median and quartiles"),
            };
            section = section.with(self.bars(&title, "time", Unit::Milliseconds, [group]));
        }
        (!section.contents.is_empty()).then_some(section)
    }
}

fn rate(rate: &Rate) -> Bar {
    Bar {
        value: rate.accuracy,
        interval: Some(rate.interval),
        note: format!(
            "{} of {} images",
            thousands(rate.correct as i64),
            thousands(rate.images as i64)
        ),
    }
}

/// What a reader in a hurry wants to know of one network.
pub(super) fn headlines(
    profile: &Profile,
    versus: Option<&Versus>,
    measure: &Yardstick,
) -> Vec<Headline> {
    let mut headlines = Vec::new();
    if let Some(measured) = profile.measured {
        let difference = versus.and_then(|v| v.measured_difference);
        headlines.push(Headline {
            label: measure.name().into(),
            value: measure.show(measured),
            note: difference.map_or(String::new(), |difference| measure.change(0., difference)),
        });
    }
    if let Some(quality) = &profile.quality {
        let difference = versus.and_then(|v| v.accuracy_difference);
        headlines.push(Headline {
            label: "accuracy".into(),
            value: in_percent(quality.rate.accuracy),
            note: match difference {
                Some(difference) => format!("{} points", points(difference)),
                None => format!("of {} images", thousands(quality.rate.images as i64)),
            },
        });
    }
    let ratio = |ratio: Option<f64>| ratio.map_or(String::new(), |r| format!("×{r:.3}"));
    headlines.push(Headline {
        label: "MACs".into(),
        value: Unit::Count.show(profile.macs as f64, 0.),
        note: versus.map_or(String::new(), Versus::macs_text),
    });
    headlines.push(Headline {
        label: "parameters".into(),
        value: Unit::Count.show(profile.params as f64, 0.),
        note: ratio(versus.map(|v| v.params_ratio)),
    });
    if let Some(latency) = profile.latency.first() {
        let times = versus.and_then(|v| v.latency_ratio.first());
        headlines.push(Headline {
            label: "an image takes".into(),
            value: format!("{} ms", milliseconds(latency.spread.median)),
            note: ratio(times.map(|t| t.spread.median)),
        });
    }
    headlines
}

/// Which limits were kept.
pub(super) fn gates(verdicts: &[Verdict], measure: &Yardstick) -> Option<Section> {
    (!verdicts.is_empty()).then(|| Section::new("Gates").with(gates_table(verdicts, measure)))
}

/// A table with a row for each gate; networks were measured by `measure`.
pub(super) fn gates_table(verdicts: &[Verdict], measure: &Yardstick) -> Table {
    let columns = vec![
        Column::words("gate"),
        Column::numbers("limit"),
        Column::numbers("measured"),
        Column::numbers("by"),
        Column::words(""),
    ];
    let row = |v: &Verdict| {
        let values = [v.limit, v.measured, v.margin.abs()].map(|value| v.gate.show(value, measure));
        let met = if v.met { "met" } else { "MISSED" };
        let words = [v.gate.name().to_owned()].into_iter().chain(values);
        words.chain([met.to_owned()]).collect()
    };
    Table {
        title: String::new(),
        columns,
        rows: verdicts.iter().map(row).collect(),
    }
}
