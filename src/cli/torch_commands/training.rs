//! From the options of training to what it takes.

use serde_json::json;

use crate::cli;
use crate::cli::options::Teach;
use crate::run::memory::Work;
use crate::run::pick::Pick;
use crate::run::settings::Settings;
use crate::train::finetune::{Distillation, Method, Mixing, Schedule, Shape, Teaching, Training};

impl cli::Prune {
    /// Whether labels decide what is kept or exported.
    pub(super) fn decides_by_accuracy(&self) -> bool {
        let decides = self.max_drop.is_some() || self.pick == Pick::Best;
        decides && self.measure.measure_with.is_none()
    }

    /// Whether any training is asked for: first, after a removal, or last.
    pub(super) fn asks_to_train(&self) -> bool {
        self.training.epochs + self.pretrain + self.final_epochs > 0
    }
}

impl cli::Training {
    /// How to train, as the options say.
    pub(super) fn parameters(&self, seed: u64) -> Training {
        let shape = match self.schedule {
            cli::Schedule::Constant => Shape::Constant,
            cli::Schedule::Steps => Shape::Steps {
                at: self.milestones.0.clone(),
                factor: 0.1,
            },
            cli::Schedule::Cosine => Shape::Cosine,
        };
        Training {
            epochs: self.epochs,
            method: match self.optimizer {
                cli::Optimizer::Sgd => Method::Sgd {
                    momentum: self.momentum,
                },
                cli::Optimizer::Adamw => Method::AdamW,
            },
            learning_rate: self.lr,
            schedule: Schedule {
                shape,
                warm_up: self.warm_up,
            },
            weight_decay: self.weight_decay,
            label_smoothing: self.label_smoothing,
            mixing: Mixing {
                mixup: self.mixup,
                cutmix: self.cutmix,
            },
            clip_norm: self.clip_norm,
            patience: self.patience.map(|n| n as usize),
            mixed_precision: self.amp == cli::Amp::Auto,
            seed,
        }
    }

    /// What training takes of the memory.
    pub(super) fn work(&self) -> Work {
        let states = match self.optimizer {
            cli::Optimizer::Sgd if self.momentum == 0. => 0,
            cli::Optimizer::Sgd => 1,
            cli::Optimizer::Adamw => 2,
        };
        Work::Training { states }
    }

    /// What to learn from.
    pub(super) fn teaching(&self, usual: Teach) -> Teaching {
        let teach = self.teach.unwrap_or(usual);
        Teaching {
            labels: teach.labels,
            scores: teach.scores.then_some(Distillation {
                temperature: self.temperature,
                weight: self.distill_weight,
            }),
            features: teach.features,
        }
    }

    /// Whether the best weights are kept; else the last.
    pub(super) fn keeps_best(&self) -> bool {
        self.val_split != Some(0.)
    }

    /// All that decides what the weights become.
    pub(super) fn settings(&self) -> Settings {
        let settings = [
            ("epochs", json!(self.epochs)),
            ("optimizer", json!(self.optimizer)),
            ("lr", json!(self.lr)),
            ("schedule", json!(self.schedule)),
            ("milestones", json!(self.milestones)),
            ("warm-up", json!(self.warm_up)),
            ("momentum", json!(self.momentum)),
            ("weight-decay", json!(self.weight_decay)),
            ("label-smoothing", json!(self.label_smoothing)),
            ("clip-norm", json!(self.clip_norm)),
            ("val-split", json!(self.val_split)),
            ("patience", json!(self.patience)),
            ("teach", json!(self.teach.map(|teach| teach.to_string()))),
            ("temperature", json!(self.temperature)),
            ("distill-weight", json!(self.distill_weight)),
            ("augment", json!(self.augment.to_string())),
            ("mixup", json!(self.mixup)),
            ("cutmix", json!(self.cutmix)),
            ("amp", json!(self.amp)),
        ];
        settings.into_iter().collect()
    }
}
