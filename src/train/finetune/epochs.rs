//! The epochs of one training: which weights are kept, when it ends, and how it goes on where it was stopped.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tch::Tensor;

use super::checkpoint::{Tensors, TrainingState};
use super::judge::{Verdict, Verdicts};
use super::trainee::{Epoch, Shown, Trainee};
use super::{Judge, Lessons, Session, Tuning};
use crate::run::interrupt::Stopped;
use crate::run::torch;

/// A training on its way.
pub struct Epochs<'a, 't> {
    trainee: Trainee<'a>,
    /// Of the network: they share its memory.
    tensors: &'a [Tensor],
    lessons: Lessons<'a, 't>,
    session: Session<'a>,
    standing: TrainingState,
    /// The best weights so far: by the judge, or the last ones. Empty before there are any.
    kept: Vec<Tensor>,
    /// Those it began with, where a judge may find none better.
    begun: Vec<Tensor>,
    /// Of this sitting's epochs.
    busy: Duration,
    /// When the training was kept last.
    kept_at: Instant,
}

/// What came of all epochs.
pub struct Taught {
    /// The best weights; none if they are those in memory.
    pub weights: Vec<Tensor>,
    pub tuning: Tuning,
    /// Trained on in the time of this sitting's epochs alone.
    pub images_per_second: Option<f64>,
}

/// Whether there is more to do.
enum Next {
    Epoch,
    End,
}

impl<'a, 't> Epochs<'a, 't> {
    /// A training that begins.
    ///
    /// # Errors
    /// If libtorch cannot copy the weights.
    pub fn new(
        trainee: Trainee<'a>,
        tensors: &'a [Tensor],
        lessons: Lessons<'a, 't>,
        session: Session<'a>,
    ) -> Result<Self> {
        let standing = TrainingState {
            channels_last: trainee.channels_last,
            ..TrainingState::default()
        };
        let is_judged = lessons.judge.is_some() && trainee.training.epochs > 0;
        let begun = match is_judged {
            true => copies(tensors)?,
            false => Vec::new(),
        };
        Ok(Epochs {
            trainee,
            tensors,
            lessons,
            session,
            standing,
            kept: begun.iter().map(Tensor::shallow_clone).collect(),
            begun,
            busy: Duration::ZERO,
            kept_at: Instant::now(),
        })
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
            self.kept.clear();
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
    pub fn run(&mut self) -> Result<()> {
        if self.standing.is_over {
            return Ok(());
        }
        let mixes = self.trainee.training.mixing.is_any();
        let Lessons { train, teacher, .. } = &mut self.lessons;
        if let Some(teacher) = teacher.as_deref_mut().filter(|_| !mixes) {
            let precision = self.trainee.precision;
            teacher.learn_by_heart(train, precision, self.session.stop)?;
        }
        if self.standing.before.is_none() && self.trainee.training.epochs > 0 {
            self.standing.before = self.verdict()?;
            self.standing.best = self.standing.before;
        }
        while self.standing.epochs < self.trainee.training.epochs {
            self.go_on()?;
            if let Next::End = self.epoch()? {
                break;
            }
        }
        self.drop_what_is_chance();
        self.note_what_is_kept();
        self.standing.is_over = true;
        self.keep()
    }

    /// What the judge says of the weights as they are, if there is one.
    fn verdict(&mut self) -> Result<Option<Verdict>> {
        let judge = self.lessons.judge;
        let verdict = judge.map(|judge| self.trainee.judged(judge, self.session.progress));
        verdict.transpose()
    }

    /// Goes back to what training began with if the best epoch did no better than chance would.
    fn drop_what_is_chance(&mut self) {
        let TrainingState { before, best, .. } = self.standing;
        if let (Some(judge), Some(before), Some(best)) = (self.lessons.judge, before, best)
            && self.standing.kept > 0
            && !judge.is_clearly_better(best, before)
        {
            self.standing.kept = 0;
            self.standing.best = Some(before);
            self.kept = std::mem::take(&mut self.begun);
        }
    }

    fn note_what_is_kept(&self) {
        if let (Some(judge), Some(before)) = (self.lessons.judge, self.standing.before)
            && self.standing.kept == 0
        {
            self.session.progress.note(format_args!(
                "no epoch did clearly better than the weights that training began with ({}): they are kept",
                judge.say(before)
            ));
        }
    }

    /// Shows the images of an epoch, or a part of them.
    fn epoch(&mut self) -> Result<Next> {
        let (epoch, epochs) = (self.standing.epochs + 1, self.trainee.training.epochs);
        let bar = self.session.progress.bar(
            format_args!("fine-tuning, epoch {epoch} of {epochs}"),
            self.lessons.train.len(),
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
        let lessons = &mut self.lessons;
        let shown = self.trainee.epoch(lessons, &mut self.standing, &way)?;
        self.busy += begun.elapsed();
        drop(bar);
        match shown {
            Shown::Some => {
                self.keep()?;
                Ok(Next::Epoch)
            }
            Shown::All => self.judge(),
        }
    }

    /// Takes in an epoch whose images were all shown.
    fn judge(&mut self) -> Result<Next> {
        let (epoch, epochs) = (self.standing.epochs + 1, self.trainee.training.epochs);
        let loss = self.standing.loss();
        if !loss.is_finite() || !self.trainee.answers_in_numbers()? {
            let kept = match self.standing.kept {
                0 if self.kept.is_empty() => bail!(
                    "the loss is {loss} in epoch {epoch}: training diverged; try a lower --lr"
                ),
                0 => "those it began with".to_owned(),
                kept => format!("those of epoch {kept}"),
            };
            self.session.progress.warn(format_args!(
                "the loss is {loss} in epoch {epoch}: training diverged, and stops with the best weights so far, {kept}; try \
                 a lower --lr"
            ));
            return Ok(Next::End);
        }
        let verdict = match self.verdict() {
            Err(error) if error.is::<Stopped>() => {
                self.keep()?;
                return Err(error);
            }
            judged => judged?,
        };
        self.standing.end_epoch(loss, verdict);
        let judged = match (self.lessons.judge, verdict) {
            (Some(judge), Some(verdict)) => format!(", {}", judge.say(verdict)),
            _ => String::new(),
        };
        self.session.progress.step(format_args!(
            "epoch {epoch} of {epochs}: training loss {loss:.4}{judged}"
        ));
        if self.standing.best.is_none_or(|best| verdict > Some(best)) {
            self.standing.kept = epoch;
            self.standing.best = verdict;
            self.kept = copies(self.tensors)?;
        }
        let worse = epoch - self.standing.kept;
        let patience = self.trainee.training.patience;
        if verdict.is_some() && patience.is_some_and(|patience| worse >= patience) {
            self.session.progress.note(format_args!(
                "nothing better in {worse} epochs: training stops after epoch {epoch}"
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
                // Those it began with are the network's own.
                kept: match self.standing.kept == 0 || self.standing.keeps_current() {
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
        let verdicts = self.standing.before.map(|before| Verdicts {
            by_accuracy: matches!(self.lessons.judge, Some(Judge::Labelled(_))),
            before: before.value,
            after: self.standing.verdicts.iter().map(|v| v.value).collect(),
        });
        let seconds = self.busy.as_secs_f64().max(f64::MIN_POSITIVE);
        Taught {
            images_per_second: (images > 0).then(|| images as f64 / seconds),
            tuning: Tuning::new(self.standing.losses, verdicts, self.standing.kept),
            weights: self.kept,
        }
    }
}

fn copies(tensors: &[Tensor]) -> Result<Vec<Tensor>> {
    tensors.iter().map(torch::copy).collect()
}
