//! A made-up run on a network like ResNet-56, and the same with names that nobody should trust.

use ckaprune::report::page::charts::{
    Axis, Bar, Bars, Bin, Block, BlockKind, Frontier, Group, HeatMap, Level, Mark, Point,
    Reliability, Series, Shape, Stage, Stages, Tone, Unit,
};
use ckaprune::report::page::{Beside, Code, Column, Fact, Facts, Headline, Page, Section, Table};

/// What a run is like.
pub struct Run {
    pub stages: usize,
    pub blocks_per_stage: usize,
    pub iterations: usize,
    /// What a block's path begins with.
    pub prefix: &'static str,
}

pub const RESNET_56: Run = Run {
    stages: 3,
    blocks_per_stage: 9,
    iterations: 15,
    prefix: "layer",
};

/// Ends elements, attributes, scripts and styles; begins entities; turns the direction of writing; is no XML.
pub const HOSTILE: &str = "</title></svg></style></script><script>document.title='owned'</script>\
    <img src=x onerror=\"document.title='owned'\">\"'&amp;]]><!--\u{202e}\u{1b}[31m\u{0}层";

pub const HOSTILE_RUN: Run = Run {
    stages: 2,
    blocks_per_stage: 3,
    iterations: 2,
    prefix: HOSTILE,
};

const MACS: f64 = 4_718_592.;

impl Run {
    /// The first block of each stage but the first changes the shape.
    fn paths(&self) -> Vec<String> {
        let stages = 1..=self.stages;
        let path = |s: usize, b: usize| format!("{}{s}.{b}", self.prefix);
        stages
            .flat_map(|s| (0..self.blocks_per_stage).map(move |b| path(s, b)))
            .collect()
    }

    fn changes_shape(&self, block: usize) -> bool {
        block > 0 && block.is_multiple_of(self.blocks_per_stage)
    }

    /// Which block each iteration removes: strewn, but none that changes the shape.
    fn removed(&self) -> Vec<usize> {
        let blocks = self.stages * self.blocks_per_stage;
        let strewn = (0..blocks).map(|i| (i * 7 + 5) % blocks);
        strewn
            .filter(|&b| b > 0 && !self.changes_shape(b))
            .take(self.iterations)
            .collect()
    }

    pub fn stages(&self) -> Stages {
        let (paths, removed) = (self.paths(), self.removed());
        let block = |i: usize| Block {
            name: paths[i].clone(),
            kind: match i {
                0 => BlockKind::Fixed,
                i if self.changes_shape(i) => BlockKind::ChangesShape,
                _ => BlockKind::Removable,
            },
            macs: MACS * if self.changes_shape(i) { 0.79 } else { 1. },
            removed: removed.iter().position(|&r| r == i).map(|p| p + 1),
            note: if i == 0 {
                "kept by --keep".into()
            } else {
                String::new()
            },
        };
        let stage = |s: usize| Stage {
            name: format!("stage {}, {} × {2} × {2}", s + 1, 16 << s, 32 >> s),
            blocks: (s * self.blocks_per_stage..(s + 1) * self.blocks_per_stage)
                .map(block)
                .collect(),
        };
        Stages {
            title: "Blocks in the order in which they run".into(),
            stages: (0..self.stages).map(stage).collect(),
        }
    }

    pub fn heat_map(&self) -> HeatMap {
        let (paths, removed) = (self.paths(), self.removed());
        let candidates: Vec<usize> = (1..paths.len())
            .filter(|&b| !self.changes_shape(b))
            .collect();
        let gone = |b: usize| removed.iter().position(|&r| r == b).unwrap_or(usize::MAX);
        let value = |b: usize, i: usize| {
            let ease = ((b * 37 + 11) % 23) as f64 / 23.;
            (i <= gone(b)).then(|| {
                0.999 - 0.05 * ease * (1. + i as f64 / 8.) - if i == gone(b) { 0. } else { 0.004 }
            })
        };
        HeatMap {
            title: "Similarity of the network without a block to the network with it".into(),
            value: "CKA".into(),
            row: "block".into(),
            column: "iteration".into(),
            rows: candidates.iter().map(|&b| paths[b].clone()).collect(),
            columns: (1..=self.iterations).map(|i| i.to_string()).collect(),
            values: candidates
                .iter()
                .map(|&b| (0..self.iterations).map(|i| value(b, i)).collect())
                .collect(),
            marks: removed
                .iter()
                .enumerate()
                .map(|(column, b)| Mark {
                    row: candidates.iter().position(|c| c == b).unwrap(),
                    column,
                })
                .collect(),
            marked: "removed".into(),
            row_groups: (1..self.stages)
                .map(|s| {
                    candidates
                        .iter()
                        .position(|&c| c > s * self.blocks_per_stage)
                        .unwrap()
                })
                .collect(),
            ..HeatMap::default()
        }
    }

    pub fn frontier(&self) -> Frontier {
        let whole = 125_485_696.;
        let removed = self.removed();
        let paths = self.paths();
        let point = |i: usize| {
            let accuracy = 0.9326 + 0.003 * (i as f64 * 1.9).sin() - 0.00035 * (i * i) as f64 / 2.;
            Point {
                label: (i + 1).to_string(),
                note: format!("removed {}", paths[removed[i]]),
                x: whole - MACS * (i + 1) as f64,
                y: accuracy,
                from: Some(accuracy - 0.004 * (i + 1) as f64),
                chosen: i + 1 == self.iterations,
            }
        };
        Frontier {
            title: "Accuracy over the size of the network".into(),
            x: Axis {
                label: "MACs left".into(),
                unit: Unit::Count,
            },
            y: Axis {
                label: "accuracy".into(),
                unit: Unit::Percent,
            },
            series: vec![
                Series {
                    name: "iteration".into(),
                    joined: true,
                    points: (0..self.iterations).map(point).collect(),
                    ..Series::default()
                },
                Series {
                    name: "original".into(),
                    shape: Shape::Diamond,
                    tone: Tone::Blue,
                    points: vec![Point {
                        x: whole,
                        y: 0.9326,
                        ..Point::default()
                    }],
                    ..Series::default()
                },
                Series {
                    name: "original, fine-tuned as long".into(),
                    shape: Shape::Square,
                    tone: Tone::Orange,
                    points: vec![Point {
                        x: whole,
                        y: 0.9371,
                        ..Point::default()
                    }],
                    ..Series::default()
                },
            ],
            levels: vec![Level {
                name: "original".into(),
                y: 0.9326,
            }],
            before: "before fine-tuning".into(),
            chosen: "exported".into(),
        }
    }

    /// A page with every chart.
    pub fn page(&self) -> Page {
        Page {
            title: format!("Pruning of {}56.pt", self.prefix),
            subtitle: format!(
                "{} of {} blocks removed by linear CKA on 1,024 images, each removal followed by 20 epochs of fine-tuning.",
                self.iterations,
                self.paths().len()
            ),
            headlines: [
                ("accuracy", "92.91 %", "−0.35 points of 93.26 %"),
                ("MACs", "54.7 M", "−56.4 % of 125.5 M"),
                ("parameters", "402,186", "−53.0 % of 855,770"),
                ("an image takes", "2.08 ms", "×0.48 of 4.31 ms"),
            ]
            .map(|(label, value, note)| Headline {
                label: label.into(),
                value: value.into(),
                note: note.into(),
            })
            .into(),
            sections: vec![
                Section::new("What went, and what it cost")
                    .with(Beside(vec![self.stages().into(), self.frontier().into()])),
                Section::new("Blocks").with(self.heat_map()),
                Section::new("How fast it is").with(latency(self.prefix)),
                Section::new("How robust it is")
                    .with(robustness())
                    .with(reliability()),
                Section::new("Iterations").with(table(self)),
                Section::new("Configuration").with(facts(self.prefix)),
                Section::new("Command").with(Code(format!(
                    "ckaprune prune --model '{}56.pt' --iterations {} --data cifar10 --epochs 20",
                    self.prefix, self.iterations
                ))),
            ],
        }
    }
}

fn pair(label: &str, [before, after]: [f64; 2]) -> Group {
    let bar = |value: f64| {
        Some(Bar {
            interval: Some([0.97 * value, 1.06 * value]),
            ..Bar::of(value)
        })
    };
    Group {
        label: label.into(),
        bars: vec![bar(before), bar(after)],
    }
}

pub fn latency(name: &str) -> Bars {
    Bars {
        title: "Latency of a forward pass, median with tenth and ninetieth percentile".into(),
        value: "latency".into(),
        unit: Unit::Milliseconds,
        series: vec![format!("{name}56.pt"), "pruned".into()],
        groups: vec![
            pair("1 image", [0.004_31, 0.002_08]),
            pair("8 images", [0.021_4, 0.010_9]),
        ],
    }
}

pub fn robustness() -> Bars {
    let corruptions = [
        "clean",
        "Gaussian noise",
        "defocus blur",
        "fog",
        "contrast",
        "JPEG compression",
    ];
    let group = |(i, name): (usize, &&str)| Group {
        label: (*name).into(),
        bars: vec![
            Some(Bar::of(0.93 - 0.07 * i as f64)),
            Some(Bar::of(0.92 - 0.08 * i as f64)),
            (i > 0).then(|| Bar::of(0.90 - 0.06 * i as f64)),
        ],
    };
    Bars {
        title: "Accuracy under corruptions".into(),
        value: "accuracy".into(),
        unit: Unit::Percent,
        series: vec!["original".into(), "pruned".into(), "another".into()],
        groups: corruptions.iter().enumerate().map(group).collect(),
    }
}

pub fn reliability() -> Reliability {
    let bin = |i: usize| {
        let confidence = (i as f64 + 0.55) / 10.;
        Bin {
            ends: [i as f64 / 10., (i + 1) as f64 / 10.],
            confidence,
            accuracy: confidence * 0.92,
            images: if i < 2 { 0 } else { 4 << i },
        }
    };
    Reliability {
        title: "Calibration: expected calibration error 4.1 %".into(),
        bins: (0..10).map(bin).collect(),
    }
}

fn table(run: &Run) -> Table {
    let paths = run.paths();
    let row = |(i, block): (usize, &usize)| {
        vec![
            (i + 1).to_string(),
            paths[*block].clone(),
            format!("0.99{:04}", 9100 - 137 * i),
            "92.91 %".into(),
        ]
    };
    let column = |title: &str, number| Column {
        title: title.into(),
        number,
    };
    Table {
        title: String::new(),
        columns: vec![
            column("", true),
            column("removed", false),
            column("CKA", true),
            column("accuracy", true),
        ],
        rows: run.removed().iter().enumerate().map(row).collect(),
    }
}

fn facts(name: &str) -> Facts {
    let fact = |(name, value, default): (&str, &str, bool)| Fact {
        name: name.into(),
        value: value.into(),
        default,
    };
    Facts(
        [
            ("model", name, false),
            ("iterations", "15", false),
            ("epochs", "20", false),
            ("lr", "0.01", true),
            ("samples", "1024", true),
            ("criterion", "cka", true),
            ("seed", "0", true),
        ]
        .map(fact)
        .into(),
    )
}
