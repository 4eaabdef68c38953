//! `ckaprune compare`: networks side by side on the same images.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde::Serialize;

use super::measure::{Measured, Profile, Subject, Versus};
use super::measure_page::{self, Measurements};
use super::session::{Foot, Head, Report, Session};
use super::{Outcome, file_name, open_archive, predictions};
use crate::archive::Archive;
use crate::cli::{Compare, Model};
use crate::report::page::{Page, how_to_repeat};
use crate::report::{self, Invocation, thousands};

#[derive(Serialize)]
struct CompareReport {
    #[serde(flatten)]
    head: Head,
    models: Vec<Entry>,
    #[serde(flatten)]
    foot: Foot,
}

#[derive(Serialize)]
struct Entry {
    #[serde(flatten)]
    profile: Profile,
    /// This network against the first one. The first one itself has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    versus: Option<Versus>,
}

pub(super) fn run(options: &Compare, invocation: &Invocation) -> Result<Outcome> {
    let Some(first) = options.models.first() else {
        bail!("name at least two archives to compare")
    };
    let first = Model {
        model: first.clone(),
        inside: options.inside.clone(),
        arguments: options.arguments.clone(),
        output_key: options.output_key.clone(),
        config: None,
    };
    let open = |path: &PathBuf| {
        let archive = open_archive(path, "each FILE")?.focused(&first.focus());
        archive.with_context(|| path.display().to_string())
    };
    let archives: Vec<Archive> = options.models.iter().map(open).collect::<Result<_>>()?;
    let mut session = Session::open(options.into(), &first, &archives[0])?;
    let request = session.images.request(&first);
    let opened = options.models.iter().zip(archives);
    let subjects: Vec<Subject> = opened
        .map(|(path, archive)| Subject::of(path, archive, &request, session.execution))
        .collect::<Result<_>>()?;
    session.plan()?;
    let (mut session, _) = session.fit(&subjects)?;
    let found = session.measure(&subjects)?;
    session.warn(&found);
    let file = options.robustness.predictions.as_deref();
    let predicted = file.map_or(Ok(()), |file| {
        predictions::write_all(file, &session.images.part, &subjects, &found)
    });
    let report = CompareReport::of(found, &session);
    session.tell(&report, invocation, predicted)?;
    Ok(Outcome::Done)
}

impl CompareReport {
    fn of(found: Measured, session: &Session) -> Self {
        let versus = std::iter::once(None).chain(found.versus.into_iter().map(Some));
        let entries = found.profiles.into_iter().zip(versus);
        let mut head = session.head("compare");
        head.images = Some(session.images.part.len());
        CompareReport {
            head,
            models: entries
                .map(|(profile, versus)| Entry { profile, versus })
                .collect(),
            foot: session.foot(),
        }
    }

    /// How many images were measured, and of which part.
    fn images(&self) -> String {
        let images = self.head.images.unwrap_or_default();
        format!("{} {} images", thousands(images as i64), self.head.part)
    }

    fn measurements(&self) -> Measurements<'_> {
        let models = self.models.iter();
        Measurements {
            names: (0..self.models.len()).map(letter).collect(),
            profiles: models.clone().map(|e| &e.profile).collect(),
            versus: models.filter_map(|e| e.versus.as_ref()).collect(),
            measure: &self.head.measure,
        }
    }
}

impl Report for CompareReport {
    fn page(&self, invocation: &Invocation) -> Page {
        let names: Vec<&str> = self
            .models
            .iter()
            .map(|e| file_name(&e.profile.model))
            .collect();
        let last = self.models.last();
        let mut sections = self.measurements().sections();
        sections.extend(how_to_repeat(invocation));
        Page {
            title: names.join(" and "),
            subtitle: format!(
                "Compared on {}; {}. The figures below are those of {}.{}",
                self.images(),
                self.head.machine(),
                names.last().unwrap_or(&"the last"),
                measure_page::warned(&self.foot.warnings),
            ),
            headlines: last.map_or_else(Vec::new, |e| {
                measure_page::headlines(&e.profile, e.versus.as_ref(), &self.head.measure)
            }),
            sections,
        }
    }

    fn text(&self) -> String {
        let what = match self.head.part {
            "noise" => "noise".to_owned(),
            _ => self.images(),
        };
        let legend = self.models.iter().enumerate();
        let legend: String = legend
            .map(|(at, e)| format!("{}  {}\n", letter(at), e.profile.model))
            .collect();
        format!(
            "{legend}on {what}; {}\n\n{}",
            self.head.machine(),
            report::text_of(&self.measurements().figures())
        )
    }
}

/// What a network is called in tables: A, B, C and so on, and a number after Z.
fn letter(at: usize) -> String {
    match u8::try_from(at) {
        Ok(at) if at < 26 => char::from(b'A' + at).to_string(),
        _ => (at + 1).to_string(),
    }
}
