//! Networks measured side by side: what `eval` says of one, and of the one it is held against, and `compare` of several.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use tch::{Device, Tensor};

use super::classes::Knows;
use super::images::Measuring;
use super::memory_fit::MemoryFit;
use super::{blame, note_scale};
use crate::archive::Archive;
use crate::blocks::analysis::{Analysis, Request};
use crate::cli::Data;
use crate::cli::error::one_message;
use crate::data::Samples;
use crate::program::interface::Scale;
use crate::report;
use crate::report::progress::Progress;
use crate::run::interrupt::Stopped;
use crate::run::memory::Work;
use crate::run::torch::Model;
use crate::run::torch::run_shapes::learned;
use crate::run::torch::{Execution, Module, Peak, explain, free_gpu_memory};
use crate::score::cka::cka;
use crate::score::representation;
use crate::train::eval::{
    Energy, Latency, Meter, Passes, Predictions, Quality, Ratio, in_turn, paired_difference,
    predict,
};
use crate::train::measure::Measure as OwnCommand;
use crate::train::robustness::{self, Protocol, Robustness};

/// Time that each network is timed for with each size of batch.
const TIMED: Duration = Duration::from_secs(2);

/// A network to be measured.
pub(super) struct Subject {
    pub path: PathBuf,
    pub model: Model,
}

impl Subject {
    /// Analyses an archive.
    ///
    /// # Errors
    /// One that names the file.
    pub fn of(
        path: &Path,
        archive: Archive,
        request: &Request,
        execution: Execution,
    ) -> Result<Self> {
        let analysis = Analysis::of(&archive, request).map(|found| learned(&archive, found));
        let analysis = analysis.with_context(|| path.display().to_string())?;
        Ok(Subject {
            path: path.to_owned(),
            model: Model::new(archive, analysis, execution),
        })
    }

    /// Refuses a network to which classes of images mean nothing.
    ///
    /// # Errors
    /// One that names the file.
    pub fn check_scores(&self) -> Result<()> {
        match self.model.interface() {
            Ok(interface) => interface
                .check_scores()
                .map_err(|error| blame(&self.path)(error.into())),
            // Why it cannot be run is told where it is run.
            Err(_) => Ok(()),
        }
    }

    fn scale(&self) -> Scale {
        let interface = self.model.interface();
        interface.map(|i| i.scale).unwrap_or_default()
    }

    /// The network in memory, loaded anew: what a run takes is measured from there on.
    pub fn load(&self) -> Result<Module> {
        let loaded = self.model.load_instrumented(self.model.archive());
        loaded.map_err(blame(&self.path))
    }
}

impl Measuring {
    /// Leaves labels alone that mean nothing to a network, and says so, if there are any.
    pub fn forget_labels(&mut self, why: &anyhow::Error, progress: Progress) {
        if self.part.labels().is_some() {
            let warning = format!("{why:#}: labels are left alone, and no accuracy is measured");
            progress.warn(&warning);
            self.warnings.push(warning);
            self.part.forget_labels();
        }
    }

    /// Warns of networks that may number their classes otherwise than the data does; gives the first such doubt.
    ///
    /// # Errors
    /// If a network cannot run, whose code does not show how many classes it knows.
    pub fn doubts(&mut self, subjects: &[Subject], progress: Progress) -> Result<Option<String>> {
        if self.part.labels().is_none() {
            return Ok(None);
        }
        let images = self.images();
        let mut first = None;
        for subject in subjects {
            let doubt = self.classes.doubt(Knows {
                path: &subject.path,
                model: &subject.model,
                images: &images,
            })?;
            if let Some(doubt) = doubt {
                progress.warn(&doubt);
                self.warnings.push(doubt.clone());
                first.get_or_insert(doubt);
            }
        }
        Ok(first)
    }

    /// Lets batches be of a size that these networks can run in. Without `--batch-size` they become smaller where memory
    /// is short.
    ///
    /// # Errors
    /// If a batch cannot fit: one that names the network's file.
    pub fn fit(
        self,
        subjects: &[Subject],
        data: &Data,
        protocol: Option<&Protocol>,
        progress: Progress,
    ) -> Result<Self> {
        let work = match protocol.is_some_and(|protocol| !protocol.attacks.is_empty()) {
            true => Work::Backward,
            false => Work::Forward,
        };
        let together = subjects.iter().map(|s| s.model.batch_together()).min();
        let suits = together.unwrap_or_else(|| self.loader.batch_size());
        let usual = self.loader.suiting(suits).batch_size();
        let mut batch = usual;
        for subject in subjects {
            let fit = MemoryFit::new(subject.model.analysis(), work, subject.model.device());
            if data.batch_size.is_none() {
                batch = fit.batch(batch);
            }
            let images = batch.get().min(self.part.len());
            fit.check(images, progress).map_err(blame(&subject.path))?;
        }
        let mut loader = self.loader.clone();
        if batch < usual {
            progress.note(format_args!(
                "note: batches of {}, as the memory is short (--batch-size)",
                report::counted(batch.get(), "image")
            ));
            loader = loader.with_batch_size(batch);
        }
        Ok(Measuring {
            loader,
            timed: batch,
            ..self
        })
    }
}

/// What was measured of one network.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Profile {
    pub model: String,
    /// Bytes.
    pub file_size: u64,
    pub params: i64,
    pub macs: i64,
    /// False if some code could not be followed, so that `macs` is a lower bound.
    pub macs_exact: bool,
    pub blocks: usize,
    /// What the network gives in place of scores before softmax; absent where it gives those.
    #[serde(default, skip_serializing_if = "Scale::is_usual")]
    pub scores: Scale,
    /// By the user's own measure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<f64>,
    /// Absent without labels.
    #[serde(flatten)]
    pub quality: Option<Quality>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub robustness: Option<Robustness>,
    /// Of one image, and of a batch; none if no passes were to be timed.
    pub latency: Vec<Latency>,
    /// Bytes beyond what the process had before, while the network was loaded and run on one batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_memory: Option<u64>,
    /// Of batches; absent where the machine has no counter that may be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub energy: Option<Energy>,
}

/// A network against the first one, on the same images.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Versus {
    /// The network it is compared with.
    pub with: String,
    /// By how much more the user's own measure gives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured_difference: Option<f64>,
    /// By how much the accuracy is higher, as a fraction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accuracy_difference: Option<f64>,
    /// Holds the true difference with 95 % confidence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accuracy_difference_interval: Option<[f64; 2]>,
    /// Fraction of images for which both name the same class; absent without images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agreement: Option<f64>,
    /// Linear CKA of both representations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cka: Option<f64>,
    /// Why there is none: a representation cannot be told or is constant, or taking it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_cka: Option<String>,
    /// Images the CKA was taken on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cka_samples: Option<usize>,
    /// Of the times of a pass, for each size of batch; below 1 is quicker.
    pub latency_ratio: Vec<Ratio>,
    pub macs_ratio: f64,
    /// False if the MACs of one of both are a lower bound.
    #[serde(default = "yes")]
    pub macs_ratio_exact: bool,
    pub params_ratio: f64,
}

const fn yes() -> bool {
    true
}

impl Versus {
    /// The ratio of MACs, for people.
    pub fn macs_text(&self) -> String {
        let about = if self.macs_ratio_exact { "" } else { "about " };
        format!("{about}×{:.3}", self.macs_ratio)
    }

    /// What has to be known beside the figures of this network.
    fn remarks(&self, of: &Profile) -> Vec<String> {
        let cka = self.no_cka.as_ref();
        let cka =
            cka.map(|why| format!("there is no CKA of {} with {}: {why}", of.model, self.with));
        let macs = (!self.macs_ratio_exact).then(|| {
            format!(
                "some code of {} or {} could not be followed, so the ratio of their MACs is about right at most",
                of.model, self.with
            )
        });
        cka.into_iter().chain(macs).collect()
    }
}

/// How networks are measured.
pub(super) struct Measure<'a> {
    pub images: &'a Measuring,
    pub device: Device,
    /// What else to look at the images under, and on how many of them.
    pub robustness: Option<(&'a Protocol, Samples)>,
    /// The user's own measure, if there is one.
    pub own: Option<&'a OwnCommand>,
    /// `None`: as many as a given time holds.
    pub passes: Option<usize>,
    /// Images for CKA.
    pub samples: Samples,
    pub seed: u64,
    pub progress: Progress,
}

/// Of several networks: what was measured of each, and of each but the first against it.
pub(super) struct Measured {
    pub profiles: Vec<Profile>,
    /// What each said of every image under each condition, if any was asked for.
    pub predictions: Vec<robustness::Predictions>,
    pub versus: Vec<Versus>,
}

impl Measured {
    /// What has to be known beside the figures.
    pub fn remarks(&self) -> Vec<String> {
        let others = self.versus.iter().zip(self.profiles.iter().skip(1));
        others.flat_map(|(versus, of)| versus.remarks(of)).collect()
    }
}

impl Measure<'_> {
    /// Measures networks; times are taken in turn.
    ///
    /// # Errors
    /// If a network cannot run on these images.
    pub fn run(&self, subjects: &[Subject]) -> Result<Measured> {
        let mut predictions = Vec::new();
        for subject in subjects {
            note_scale(&subject.path, subject.scale(), self.progress);
            note_batch(subject, self.progress);
            predictions.push(self.predictions(subject).map_err(blame(&subject.path))?);
        }
        let mut robust = Vec::new();
        for subject in subjects {
            robust.extend(self.robustness(subject).map_err(blame(&subject.path))?);
        }
        let (robust, robust_predictions): (Vec<_>, Vec<_>) = robust.into_iter().unzip();
        let mut modules = Vec::new();
        let mut peaks = Vec::new();
        for subject in subjects {
            let (module, peak) = self.loaded(subject).map_err(blame(&subject.path))?;
            modules.push(module);
            peaks.push(peak);
        }
        let times = self.times(&modules)?;
        let mut measured = Vec::new();
        for subject in subjects {
            measured.push(self.measured(subject).map_err(blame(&subject.path))?);
        }
        let mut profiles = Vec::new();
        for (at, subject) in subjects.iter().enumerate() {
            let energy = self.energy(&modules[at]).map_err(blame(&subject.path))?;
            let latency = times
                .iter()
                .map(|t| Latency::of(t.batch, t.seconds[at].clone()));
            let analysis = subject.model.analysis();
            let macs = analysis.macs();
            let quality = || Quality::of(&predictions[at], &self.images.classes.names);
            profiles.push(Profile {
                model: subject.path.display().to_string(),
                file_size: std::fs::metadata(&subject.path).map_or(0, |m| m.len()),
                params: analysis.params(),
                macs: macs.count,
                macs_exact: macs.exact,
                blocks: analysis.blocks.len(),
                scores: subject.scale(),
                measured: measured[at],
                quality: predictions[at].is_labelled().then(quality),
                robustness: robust.get(at).cloned(),
                latency: latency.collect(),
                peak_memory: peaks[at],
                energy,
            });
        }
        let versus = self.versus(subjects, &profiles, &predictions, &times)?;
        Ok(Measured {
            profiles,
            predictions: robust_predictions,
            versus,
        })
    }

    /// Nothing is asked of noise, nor of a network that gives no class scores.
    fn predictions(&self, subject: &Subject) -> Result<Predictions> {
        let images = self.images;
        if images.name == "noise" || subject.check_scores().is_err() {
            return Ok(Predictions::default());
        }
        // What was loaded is let go of at the end.
        let model = subject.model.clone();
        predict(
            model.module()?,
            &images.images(),
            self.progress,
            "measuring",
        )
    }

    /// By the user's own measure, of the network's file as it is.
    fn measured(&self, subject: &Subject) -> Result<Option<f64>> {
        let own = self.own;
        own.map(|own| own.of_file(&subject.path, None, self.progress))
            .transpose()
    }

    /// Under attack, corrupted, and out of distribution, as far as it was asked for.
    fn robustness(
        &self,
        subject: &Subject,
    ) -> Result<Option<(Robustness, robustness::Predictions)>> {
        let Some((protocol, samples)) = self.robustness else {
            return Ok(None);
        };
        let drawn = self.images.images().draw(samples, protocol.seed);
        let model = subject.model.clone();
        robustness::measure(model.module()?, &drawn, protocol, self.progress).map(Some)
    }

    /// A network that has run once, and the memory that took.
    fn loaded(&self, subject: &Subject) -> Result<(Module, Option<u64>)> {
        let (process, gpu) = (Peak::begin(), free_gpu_memory(self.device));
        let module = subject.load()?;
        let batch = self.batch(&module)?;
        drop(tch::no_grad(|| module.forward(&batch))?);
        let peak = match gpu {
            Some(before) => free_gpu_memory(self.device).map(|now| before.saturating_sub(now)),
            None => process.and_then(Peak::end),
        };
        Ok((module, peak))
    }

    /// The first batch, as a network takes it.
    fn batch(&self, module: &Module) -> Result<Tensor> {
        let images = self.images.images();
        let first = images.in_batches_of(self.images.timed).first_batch()?;
        module.images(&first.context("no images to measure on")?.images)
    }

    fn times(&self, modules: &[Module]) -> Result<Vec<Times>> {
        let passes = match self.passes {
            Some(0) => return Ok(Vec::new()),
            Some(n) => Passes::Exactly(n),
            None => Passes::For(TIMED),
        };
        let batches: Vec<Tensor> = modules
            .iter()
            .map(|m| self.batch(m))
            .collect::<Result<_>>()?;
        let whole = batches.first().map_or(0, |b| b.size()[0]);
        let least = modules.iter().filter_map(Module::fixed_batch).max();
        let mut sizes = vec![least.unwrap_or(1).min(whole), whole];
        sizes.dedup();
        let mut times = Vec::new();
        for size in sizes {
            let part = |batch: &Tensor| batch.f_narrow(0, 0, size).map_err(explain);
            let parts: Vec<Tensor> = batches.iter().map(part).collect::<Result<_>>()?;
            let runs: Vec<_> = modules.iter().zip(&parts).collect();
            let _bar = self
                .progress
                .bar(format_args!("timing batches of {size}"), 0);
            times.push(Times {
                batch: size as usize,
                seconds: in_turn(&runs, passes)?,
            });
        }
        Ok(times)
    }

    fn energy(&self, module: &Module) -> Result<Option<Energy>> {
        if self.passes == Some(0) {
            return Ok(None);
        }
        match Meter::of(self.device) {
            Some(meter) => meter.measure(module, &self.batch(module)?),
            None => Ok(None),
        }
    }

    fn versus(
        &self,
        subjects: &[Subject],
        profiles: &[Profile],
        predictions: &[Predictions],
        times: &[Times],
    ) -> Result<Vec<Versus>> {
        let Some((first, others)) = subjects.split_first() else {
            return Ok(Vec::new());
        };
        let calibration = self.images.images().draw(self.samples, self.seed);
        let representation = |subject: &Subject| {
            let found = representation(&subject.model, &calibration, self.progress);
            match found {
                Err(error) if error.is::<Stopped>() => Err(error),
                found => {
                    let why = |error| {
                        format!("{}: {}", subject.path.display(), one_message(&error, false))
                    };
                    Ok(found.map_err(why))
                }
            }
        };
        let reference = match others {
            [] => return Ok(Vec::new()),
            _ => representation(first)?,
        };
        let mut all = Vec::new();
        for (at, subject) in (1..).zip(others) {
            let cka = match &reference {
                Err(why) => Err(why.clone()),
                Ok(reference) => representation(subject)?.and_then(|own| {
                    cka(reference.view(), own.view()).map_err(|error| error.to_string())
                }),
            };
            let (cka, no_cka) = match cka {
                Ok(cka) => (Some(cka), None),
                Err(why) => (None, Some(why)),
            };
            let labelled = predictions[at].is_labelled();
            let (difference, interval) = paired_difference(&predictions[0], &predictions[at]);
            let agreement = predictions[0].agreement(&predictions[at]);
            let ratio = |t: &Times| Ratio::of(t.batch, &t.seconds[at], &t.seconds[0]);
            all.push(Versus {
                with: first.path.display().to_string(),
                measured_difference: measured_difference(&profiles[0], &profiles[at]),
                accuracy_difference: labelled.then_some(difference),
                accuracy_difference_interval: labelled.then_some(interval),
                agreement: (!predictions[at].is_empty()).then_some(agreement),
                cka,
                no_cka,
                cka_samples: cka.map(|_| calibration.len()),
                latency_ratio: times.iter().map(ratio).collect(),
                macs_ratio: profiles[at].macs as f64 / profiles[0].macs as f64,
                macs_ratio_exact: profiles[at].macs_exact && profiles[0].macs_exact,
                params_ratio: profiles[at].params as f64 / profiles[0].params as f64,
            });
        }
        Ok(all)
    }
}

fn measured_difference(first: &Profile, other: &Profile) -> Option<f64> {
    Some(other.measured? - first.measured?)
}

/// Says once that a network is run in batches of one size, whatever the size of batch is.
fn note_batch(subject: &Subject, progress: Progress) {
    let interface = subject.model.interface().ok();
    if let Some(batch) = interface.and_then(|interface| interface.batch.as_ref()) {
        let how = match batch.images {
            1 => "image by image".to_owned(),
            n => format!("in batches of {n}, the last of which is filled up"),
        };
        progress.note(format_args!(
            "note: {}: {batch}, so it is run {how}",
            subject.path.display()
        ));
    }
}

/// Seconds of passes over one size of batch, of each network.
struct Times {
    batch: usize,
    seconds: Vec<Vec<f64>>,
}
