//! The epochs of one training: which weights are kept, when it ends, and how it goes on where it was stopped.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tch::Tensor;

use super::checkpoint::{Tensors, TrainingState};
use super::trainee::{Epoch, Shown, Trainee};
use super::{Lessons, Session};
use crate::report::in_percent;
use crate::run::interrupt::Stopped;
use crate::run::torch;

/// A training on its way.
pub struct Epochs<'a> {
    trainee: Trainee<'a>,
    /// Of the network: they share its memory.
    tensors: &'a [Tensor],
    session: Session<'a>,
    standing: TrainingState,
    /// The best weights so far: of the highest validation accuracy, or the last ones. Empty before there are any.
    kept: Vec<Tensor>,
    /// Of this sitting's epochs.
    busy: Duration,
    /// When the training was kept last.
    kept_at: Instant,
}

/// What came of all epochs.
pub struct Taught {
    /// The best weights; none if there was no epoch.
    pub weights: Vec<Tensor>,
    /// Mean loss of each epoch.
    pub losses: Vec<f64>,
    /// Accuracy on the validation images after each epoch.
    pub validation: Vec<f64>,
    /// The epoch, counted from 1, whose weights these are; 0 if there was none.
    pub kept: usize,
    /// Trained on in the time of this sitting's epochs alone.
    pub images_per_second: Option<f64>,
}

/// Whether there is more to do.
enum Next {
    Epoch,
    End,
}

impl<'a> Epochs<'a> {
    pub fn new(trainee: Trainee<'a>, tensors: &'a [Tensor], session: Session<'a>) -> Self {
        let standing = TrainingState {
            channels_last: trainee.channels_last,
            ..TrainingState::default()
        };
        Epochs {
            trainee,
            tensors,
            session,
            standing,
            kept: Vec::new(),
            busy: Duration::ZERO,
            kept_at: Instant::now(),
        }
    }

    /// Goes on from what an earlier sitting kept.
    pub fn take_up(&mut self) -> Result<()> {
        let checkpoint = self.session.checkpoint;
        let Some(saved) = checkpoint.map(|c| c.load()).transpose()?.flatten() else {
            return Ok(());
        };
        saved.network(self.tensors)?;
        self.standing = saved.standing.clone();
        self.standing.channels_last &= self.trainee.channels_last;
        if self.standing.is_over {
            return Ok(());
        }
        if self.standing.kept > 0 {
            self.kept = saved.kept(self.tensors)?;
        }
        saved.moments(self.trainee.optimizer.moments())?;
        self.trainee.optimizer.go_on(&self.standing.taken);
        let epochs = self.trainee.training.epochs;
        if self.standing.epochs < epochs {
            self.session.progress.note(format_args!(
                "going on with the fine-tuning in epoch {} of {epochs}, after {} of its images",
                self.standing.epochs + 1,
                self.standing.images
            ));
        }
        Ok(())
    }

    /// Trains to the end.
    pub fn run(&mut self, mut lessons: Lessons) -> Result<()> {
        if self.standing.is_over {
            return Ok(());
        }
        let mixes = self.trainee.training.mixing.is_any();
        if let Some(teacher) = lessons.teacher.as_deref_mut().filter(|_| !mixes) {
            let precision = self.trainee.precision;
            teacher.learn_by_heart(lessons.train, precision, self.session.stop)?;
        }
        while self.standing.epochs < self.trainee.training.epochs {
            self.go_on()?;
            if let Next::End = self.epoch(&mut lessons)? {
                break;
            }
        }
        self.standing.is_over = true;
        self.keep()
    }

    /// Shows the images of an epoch, or a part of them.
    fn epoch(&mut self, lessons: &mut Lessons) -> Result<Next> {
        let (epoch, epochs) = (self.standing.epochs + 1, self.trainee.training.epochs);
        let bar = self.session.progress.bar(
            format_args!("fine-tuning, epoch {epoch} of {epochs}"),
            lessons.train.len(),
        );
        bar.advance(self.standing.images);
        let number = (self.session.first_epoch + epoch - 1) as u64;
        let Session {
            stop,
            every,
            checkpoint,
            ..
        } = self.session;
        let kept_at = self.kept_at;
        let pause = || stop() || (checkpoint.is_some() && kept_at.elapsed() >= every);
        let begun = Instant::now();
        // Its loss is read at the end, so that the time counts the work and not its queueing.
        let way = Epoch {
            number,
            pause: &pause,
            seen: &|images| bar.advance(images),
        };
        let shown = self.trainee.epoch(lessons, &mut self.standing, &way)?;
        self.busy += begun.elapsed();
        drop(bar);
        match shown {
            Shown::Some => {
                self.keep()?;
                Ok(Next::Epoch)
            }
            Shown::All => self.judge(lessons),
        }
    }

    /// Takes in an epoch whose images were all shown.
    fn judge(&mut self, lessons: &Lessons) -> Result<Next> {
        let (epoch, epochs) = (self.standing.epochs + 1, self.trainee.training.epochs);
        let loss = self.standing.loss();
        if !loss.is_finite() || !self.trainee.answers_in_numbers()? {
            if self.standing.kept == 0 {
                bail!("the loss is {loss} in epoch {epoch}: training diverged; try a lower --lr");
            }
            self.session.progress.warn(format_args!(
                "the loss is {loss} in epoch {epoch}: training diverged, and stops with the weights of epoch {}; try a \
                 lower --lr",
                self.standing.kept
            ));
            return Ok(Next::End);
        }
        let accuracy = match self.trainee.validate(lessons, self.session.progress) {
            Err(error) if error.is::<Stopped>() => {
                self.keep()?;
                return Err(error);
            }
            measured => measured?,
        };
        self.standing.end_epoch(loss, accuracy);
        let validated = accuracy.map_or(String::new(), |a| {
            format!(", validation accuracy {}", in_percent(a))
        });
        self.session.progress.step(format_args!(
            "epoch {epoch} of {epochs}: training loss {loss:.4}{validated}"
        ));
        if self.standing.best.is_none_or(|best| accuracy > Some(best)) {
            self.standing.kept = epoch;
            self.standing.best = accuracy;
            self.kept = self
                .tensors
                .iter()
                .map(torch::copy)
                .collect::<Result<_>>()?;
        }
        let worse = epoch - self.standing.kept;
        let patience = self.trainee.training.patience;
        if accuracy.is_some() && patience.is_some_and(|patience| worse >= patience) {
            self.session.progress.note(format_args!(
                "no better validation accuracy in {worse} epochs: training stops after epoch {epoch}"
            ));
            return Ok(Next::End);
        }
        if epoch < epochs {
            self.keep()?;
        }
        Ok(Next::Epoch)
    }

    /// Writes down how far training came, if there is a place for it.
    fn keep(&mut self) -> Result<()> {
        let Some(checkpoint) = self.session.checkpoint else {
            return Ok(());
        };
        self.standing.taken = self.trainee.optimizer.steps();
        let moments: Vec<&Tensor> = self.trainee.optimizer.moments().collect();
        let tensors = match self.standing.is_over {
            true => Tensors {
                network: self.result(),
                kept: &[],
                moments: &[],
            },
            false => Tensors {
                network: self.tensors,
                kept: match self.standing.keeps_current() {
                    true => &[],
                    false => &self.kept,
                },
                moments: &moments,
            },
        };
        checkpoint.save(&self.standing, &tensors)?;
        self.kept_at = Instant::now();
        Ok(())
    }

    fn go_on(&self) -> Result<()> {
        match (self.session.stop)() {
            true => bail!(Stopped),
            false => Ok(()),
        }
    }

    /// The weights that training ends with: the best, or those it began with where there was no epoch.
    pub fn result(&self) -> &[Tensor] {
        match self.kept.is_empty() {
            true => self.tensors,
            false => &self.kept,
        }
    }

    /// What came of it.
    pub fn taught(self) -> Taught {
        let images = self.trainee.images;
        let seconds = self.busy.as_secs_f64().max(f64::MIN_POSITIVE);
        Taught {
            images_per_second: (images > 0).then(|| images as f64 / seconds),
            kept: self.standing.kept,
            losses: self.standing.losses,
            validation: self.standing.validation,
            weights: self.kept,
        }
    }
}
