//! The pages of `eval` and `compare`: measurements of one network or of several side by side.

use super::measure::{Profile, Versus};
use crate::eval::Rate;
use crate::gates::Verdict;
use crate::invocation::Invocation;
use crate::memory::Memory;
use crate::page::charts::{Bar, Bars, Bin, Group, Reliability, Unit};
use crate::page::{Code, Column, Facts, Headline, Section, Table};
use crate::report::{accuracy, thousands};
use crate::robustness::Row;

/// Measurements of networks; the first is the one that the others are held against.
pub(super) struct Measurements<'a> {
    /// What each is called in charts.
    pub names: Vec<String>,
    pub profiles: Vec<&'a Profile>,
    /// Of all but the first.
    pub versus: Vec<&'a Versus>,
}

impl Measurements<'_> {
    /// Everything that was measured, a section a subject.
    pub fn sections(&self) -> Vec<Section> {
        let mut sections = vec![Section::new("Networks").with(self.table())];
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

    /// A column a network.
    fn table(&self) -> Table {
        let mut columns = vec![Column::words("")];
        columns.extend(self.names.iter().map(|name| Column::numbers(name)));
        let mut rows = Vec::new();
        let mut row = |word: &str, cells: Vec<Option<String>>| {
            if cells.iter().any(Option::is_some) {
                let cells = cells.into_iter().map(Option::unwrap_or_default);
                rows.push(std::iter::once(word.to_owned()).chain(cells).collect());
            }
        };
        let each = |cell: &dyn Fn(&Profile) -> Option<String>| {
            self.profiles.iter().map(|p| cell(p)).collect::<Vec<_>>()
        };
        let others = |cell: &dyn Fn(&Versus) -> Option<String>| {
            let cells = self.versus.iter().map(|v| cell(v));
            std::iter::once(None).chain(cells).collect::<Vec<_>>()
        };
        let points = |x: f64| format!("{:+.2} points", 100. * x);
        row("file", each(&|p| Some(p.model.clone())));
        row(
            "accuracy",
            each(&|p| Some(accuracy(p.quality.as_ref()?.rate.accuracy))),
        );
        row(
            "against the first",
            others(&|v| Some(points(v.accuracy_difference?))),
        );
        row(
            "  95 %",
            others(&|v| {
                let [low, high] = v.accuracy_difference_interval?;
                Some(format!("{:+.2} to {:+.2}", 100. * low, 100. * high))
            }),
        );
        row(
            "top 5",
            each(&|p| Some(accuracy(p.quality.as_ref()?.top5?.accuracy))),
        );
        row(
            "loss",
            each(&|p| Some(format!("{:.4}", p.quality.as_ref()?.loss))),
        );
        row(
            "calibration error",
            each(&|p| Some(accuracy(p.quality.as_ref()?.calibration_error))),
        );
        row(
            "called the same as by the first",
            others(&|v| Some(accuracy(v.agreement?))),
        );
        row(
            "CKA with the first",
            others(&|v| Some(format!("{:.4}", v.cka?))),
        );
        row("parameters", each(&|p| Some(thousands(p.params))));
        row("MACs", each(&|p| Some(thousands(p.macs))));
        row(
            "of the first's MACs",
            others(&|v| Some(format!("×{:.3}", v.macs_ratio))),
        );
        row("blocks", each(&|p| Some(p.blocks.to_string())));
        row(
            "size of the file",
            each(&|p| Some(Memory(p.file_size).to_string())),
        );
        row(
            "peak memory",
            each(&|p| Some(Memory(p.peak_memory?).to_string())),
        );
        row(
            "J an image",
            each(&|p| Some(format!("{:.3}", p.energy?.joules_per_image))),
        );
        Table {
            title: String::new(),
            columns,
            rows,
        }
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
                title: format!("Is it right as often as it says? Confidence and accuracy{of}, off by {:.2} points on average", 100. * quality.calibration_error),
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
                    Some(Bar::of(p.robustness.as_ref()?.rows.get(at)?.tally.accuracy))
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
            let confidence = |of: fn(&crate::robustness::Ood) -> f64| {
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
pub(super) fn headlines(profile: &Profile, versus: Option<&Versus>) -> Vec<Headline> {
    let mut headlines = Vec::new();
    if let Some(quality) = &profile.quality {
        let difference = versus.and_then(|v| v.accuracy_difference);
        headlines.push(Headline {
            label: "accuracy".into(),
            value: accuracy(quality.rate.accuracy),
            note: match difference {
                Some(difference) => format!("{:+.2} points", 100. * difference),
                None => format!("of {} images", thousands(quality.rate.images as i64)),
            },
        });
    }
    let ratio = |ratio: Option<f64>| ratio.map_or(String::new(), |r| format!("×{r:.3}"));
    headlines.push(Headline {
        label: "MACs".into(),
        value: Unit::Count.show(profile.macs as f64, 0.),
        note: ratio(versus.map(|v| v.macs_ratio)),
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
            value: format!("{:.2} ms", 1e3 * latency.spread.median),
            note: ratio(times.map(|t| t.spread.median)),
        });
    }
    headlines
}

/// Which limits were kept.
pub(super) fn gates(verdicts: &[Verdict]) -> Option<Section> {
    let columns = vec![
        Column::words("gate"),
        Column::numbers("limit"),
        Column::numbers("measured"),
        Column::words(""),
    ];
    let row = |v: &Verdict| {
        let met = if v.met { "met" } else { "missed" };
        vec![
            v.gate.name().to_owned(),
            v.gate.show(v.limit),
            v.gate.show(v.measured),
            met.to_owned(),
        ]
    };
    let table = Table {
        title: String::new(),
        columns,
        rows: verdicts.iter().map(row).collect(),
    };
    (!verdicts.is_empty()).then(|| Section::new("Gates").with(table))
}

/// How to get the same again.
pub(super) fn invocation(invocation: &Invocation) -> [Section; 2] {
    [
        Section::new("Configuration").with(Facts::from(invocation)),
        Section::new("Command").with(Code(invocation.command_line.clone())),
    ]
}
