//! Training that is stopped between any two batches, and gone on with, ends as training that is not: the same bits.

#![cfg(feature = "torch")]

mod common;

use std::cell::Cell;
use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ckaprune::archive::Archive;
use ckaprune::blocks::analysis::{Analysis, Request};
use ckaprune::data::{Augment, Images, Loader, Transform};
use ckaprune::report::progress::Progress;
use ckaprune::run::interrupt::Stopped;
use ckaprune::run::settings::Settings;
use ckaprune::run::torch::Model;
use ckaprune::train::finetune::{
    Checkpoint, Distillation, Judge, Lessons, Method, Mixing, Schedule, Session, Shape, Teacher,
    Teaching, Trained, Training, finetune,
};
use common::images::easy_images;
use common::{fixture, open};
use tch::Device;

const QUIET: Progress = Progress { quiet: true };

/// libtorch's random numbers are the whole process's: one test at a time draws them.
fn random_numbers() -> MutexGuard<'static, ()> {
    static DRAWING: Mutex<()> = Mutex::new(());
    DRAWING.lock().unwrap_or_else(PoisonError::into_inner)
}

fn model(archive: &Archive) -> Model {
    let analysis = Analysis::of(archive, &Request::shape(&[3, 8, 8])).unwrap();
    Model::new(archive.clone(), analysis, Device::Cpu)
}

/// One training, to be done in one sitting or in several.
struct Job {
    archive: Archive,
    images: Images,
    validates: bool,
    teacher: Option<Archive>,
    /// The teacher's maps are imitated, not its scores.
    imitates: bool,
    training: Training,
    folder: tempfile::TempDir,
}

impl Job {
    /// Three batches an epoch, the last of them shorter.
    fn new(model: &str, training: Training) -> Self {
        let (folder, part) = easy_images();
        let loader = Loader::new(NonZeroUsize::new(25).unwrap(), Transform::default());
        Job {
            archive: open(&fixture(model)),
            images: Images::new(part, loader.shuffled(7)),
            validates: false,
            teacher: None,
            imitates: false,
            training,
            folder,
        }
    }

    fn checkpoint(&self) -> Checkpoint {
        let file = self.folder.path().join("training.checkpoint");
        Checkpoint::new(file, Settings::default())
    }

    fn sit(&self, session: Session) -> anyhow::Result<Trained> {
        let distillation = Distillation {
            temperature: 4.,
            weight: 0.5,
        };
        let taught_by = self.teacher.as_ref().map(model);
        let teaching = Teaching {
            labels: !self.imitates,
            scores: Some(distillation).filter(|_| !self.imitates),
            features: self.imitates,
        };
        let mut teacher = taught_by
            .as_ref()
            .and_then(|model| Teacher::new(model, teaching, &self.images.loader).unwrap());
        let lessons = Lessons {
            train: &self.images,
            judge: self.validates.then_some(Judge::Labelled(&self.images)),
            teacher: teacher.as_mut(),
        };
        finetune(model(&self.archive), lessons, &self.training, session)
    }

    /// Stops after every `batches` batches, each time as a process that ends, until all is done. The number of sittings.
    fn in_sittings(&self, batches: usize) -> (Trained, usize) {
        for sitting in 1..100 {
            // Whatever else draws random numbers in between.
            tch::manual_seed(sitting as i64);
            let asked = Cell::new(0);
            let stop = || {
                asked.set(asked.get() + 1);
                // It is asked before the first batch of an epoch, and after each; and of the teacher's three first.
                asked.get()
                    > batches
                        + if self.teacher.is_some() && !self.imitates {
                            3
                        } else {
                            0
                        }
            };
            let checkpoint = self.checkpoint();
            let session = Session {
                checkpoint: Some(&checkpoint),
                stop: &stop,
                ..Session::at(3, QUIET)
            };
            match self.sit(session) {
                Ok(trained) => return (trained, sitting),
                Err(error) => assert!(error.is::<Stopped>(), "{error:#}"),
            }
        }
        panic!("a training that never ends");
    }

    /// Checks that it comes to the same in one sitting and in many.
    fn check(&self) {
        let _alone = random_numbers();
        let straight = self.sit(Session::at(3, QUIET)).unwrap();
        let mut most = 0;
        for batches in [2, 3, 5] {
            let (trained, sittings) = self.in_sittings(batches);
            most = most.max(sittings);
            assert_eq!(
                trained.tuning.train_losses, straight.tuning.train_losses,
                "every {batches}"
            );
            assert_eq!(trained.tuning.validation, straight.tuning.validation);
            assert_eq!(trained.tuning.kept_epoch, straight.tuning.kept_epoch);
            let bytes = |trained: &Trained| trained.model.archive().to_bytes().unwrap();
            assert!(
                bytes(&trained) == bytes(&straight),
                "other weights: every {batches}"
            );
            self.checkpoint().remove().unwrap();
        }
        assert!(most > 4, "{most} sittings");
    }
}

fn epochs(epochs: usize) -> Training {
    Training {
        epochs,
        ..Training::default()
    }
}

#[test]
fn momentum_and_the_course_of_the_rate_go_on() {
    let schedule = Schedule {
        shape: Shape::Cosine,
        warm_up: 1.5,
    };
    Job::new(
        "basic_scripted.pt",
        Training {
            schedule,
            weight_decay: 0.01,
            clip_norm: Some(1.),
            ..epochs(4)
        },
    )
    .check();
}

#[test]
fn adamw_goes_on() {
    Job::new(
        "preact_scripted.pt",
        Training {
            method: Method::AdamW,
            learning_rate: 1e-3,
            weight_decay: 0.01,
            ..epochs(4)
        },
    )
    .check();
}

#[test]
fn dropout_augmentation_and_mixtures_draw_what_they_would_have_drawn() {
    let mixing = Mixing {
        mixup: Some(0.4),
        cutmix: Some(1.),
    };
    let mut job = Job::new(
        "dropout_traced.pt",
        Training {
            mixing,
            ..epochs(4)
        },
    );
    job.check();
    job.training.mixing = Mixing::default();
    job.images.loader = job.images.loader.augmented(Augment::default(), 7);
    job.check();
}

#[test]
fn the_best_epoch_is_kept_and_patience_counts_on() {
    let mut job = Job::new(
        "basic_scripted.pt",
        Training {
            patience: Some(2),
            ..epochs(30)
        },
    );
    job.validates = true;
    job.check();
    let trained = job.sit(Session::at(3, QUIET)).unwrap();
    assert!(
        trained.tuning.train_losses.len() > trained.tuning.kept_epoch,
        "{trained:?}"
    );
}

#[test]
fn a_teacher_that_remembers_its_answers_gives_the_same_ones() {
    let mut job = Job::new("basic_traced.pt", epochs(4));
    job.teacher = Some(open(&fixture("basic_scripted.pt")));
    job.check();
}

#[test]
fn imitation_of_maps_goes_on() {
    let mut job = Job::new("basic_traced.pt", epochs(4));
    job.teacher = Some(open(&fixture("basic_scripted.pt")));
    job.imitates = true;
    job.validates = true;
    job.check();
}

#[test]
fn training_that_diverges_ends_with_the_same_weights() {
    let schedule = Schedule {
        shape: Shape::Steps {
            at: vec![0.25],
            factor: 1e60,
        },
        warm_up: 0.,
    };
    let training = Training {
        learning_rate: 1e-30,
        schedule,
        ..epochs(4)
    };
    let job = Job::new("basic_scripted.pt", training);
    let _alone = random_numbers();
    let straight = job.sit(Session::at(3, QUIET)).unwrap();
    assert_eq!(straight.tuning.kept_epoch, 1);
    let (stopped, sittings) = job.in_sittings(2);
    assert!(sittings > 2);
    assert_eq!(stopped.tuning.kept_epoch, 1);
    assert!(stopped.tuning.train_losses == straight.tuning.train_losses);
}

#[test]
fn frequent_checkpoints_change_nothing() {
    let job = Job::new("dropout_traced.pt", epochs(3));
    let _alone = random_numbers();
    let straight = job.sit(Session::at(0, QUIET)).unwrap();
    let checkpoint = job.checkpoint();
    let session = Session {
        checkpoint: Some(&checkpoint),
        every: Duration::ZERO,
        ..Session::at(0, QUIET)
    };
    let kept = job.sit(session).unwrap();
    let bytes = |trained: &Trained| trained.model.archive().to_bytes().unwrap();
    assert!(bytes(&kept) == bytes(&straight));
    // Done once, it is not done again.
    let again = job.sit(session).unwrap();
    assert!(bytes(&again) == bytes(&straight));
    assert_eq!(again.tuning.train_losses, straight.tuning.train_losses);
    assert_eq!(again.images_per_second, None);
}

#[test]
fn a_checkpoint_of_another_network_is_refused() {
    let job = Job::new("basic_scripted.pt", epochs(2));
    let _alone = random_numbers();
    let checkpoint = job.checkpoint();
    let session = Session {
        checkpoint: Some(&checkpoint),
        ..Session::at(0, QUIET)
    };
    job.sit(session).unwrap();
    let other = Job {
        archive: open(&fixture("preact_scripted.pt")),
        ..job
    };
    let error = format!("{:#}", other.sit(session).unwrap_err());
    assert!(error.contains("training.checkpoint"), "{error}");
}
