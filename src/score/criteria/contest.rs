//! Candidates compared by a mean over images: a race drops those that are surely behind.

use ndarray::Array1;

use crate::score::Job;
use crate::score::cka::Influence;
use crate::score::race::{Race, comparisons, fallen_behind};

/// The values of each candidate, image by image; more is better.
pub struct Contest {
    race: Option<Race>,
    values: Vec<Vec<f64>>,
    is_in: Vec<bool>,
    /// Images there are in all.
    images: usize,
    /// Numbers of images at which candidates are compared next.
    comparisons: Vec<usize>,
    margin: f64,
    /// What each candidate saves; a mean counts for so much less.
    saved: Vec<f64>,
}

impl Contest {
    /// Of the candidates of a job. A value of 0 means that an image costs nothing.
    pub fn of(job: &Job, race: Option<Race>, images: usize) -> Self {
        let saved = |path: &String| job.savings.map_or(1., |savings| savings.part(path));
        Self::new(job.wanted.iter().map(saved).collect(), images, race)
    }

    fn new(saved: Vec<f64>, images: usize, race: Option<Race>) -> Self {
        let candidates = saved.len();
        let comparisons = race.map_or(Vec::new(), |_| comparisons(images, 0));
        Contest {
            race,
            saved,
            values: vec![Vec::new(); candidates],
            is_in: vec![true; candidates],
            images,
            margin: race.map_or(0., |race| race.margin(candidates, comparisons.len())),
            comparisons,
        }
    }

    /// Whether a candidate is still compared.
    pub fn has(&self, candidate: usize) -> bool {
        self.is_in[candidate]
    }

    /// Takes in a candidate's values of the next images.
    pub fn add(&mut self, candidate: usize, values: impl IntoIterator<Item = f64>) {
        self.values[candidate].extend(values);
    }

    /// Drops those that are surely behind, if it is time to: so many images have been seen by all others.
    pub fn drop_those_behind(&mut self, seen: usize) {
        let due = self.comparisons.iter().filter(|at| **at <= seen).count();
        let Some(race) = self.race.filter(|_| due > 0) else {
            return;
        };
        self.comparisons.drain(..due);
        let places: Vec<usize> = (0..self.values.len()).filter(|i| self.is_in[*i]).collect();
        let influence = |i: &usize| influence(&self.values[*i]).divided_by(self.saved[*i]);
        let influences: Vec<Influence> = places.iter().map(influence).collect();
        let behind = fallen_behind(&influences, race.winners, seen, self.images, self.margin);
        for (place, _) in places
            .iter()
            .zip(behind)
            .filter(|(_, is_behind)| *is_behind)
        {
            self.is_in[*place] = false;
        }
    }

    /// The mean of each candidate, and the images that it rests on.
    pub fn means(&self) -> impl Iterator<Item = (f64, usize)> {
        self.values
            .iter()
            .map(|values| (mean(values), values.len()))
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// What each image does to the mean.
fn influence(values: &[f64]) -> Influence {
    let (mean, count) = (mean(values), values.len() as f64);
    Influence {
        cka: mean,
        samples: values
            .iter()
            .map(|x| (x - mean) / count)
            .collect::<Array1<f64>>(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(contest: &mut Contest, images: std::ops::Range<usize>) {
        for candidate in (0..2).filter(|c| contest.has(*c)).collect::<Vec<_>>() {
            // Both vary alike from image to image; the second is a little behind.
            let values = images
                .clone()
                .map(|i| (i % 7) as f64 - 0.1 * candidate as f64);
            contest.add(candidate, values);
        }
        contest.drop_those_behind(images.end);
    }

    #[test]
    fn a_candidate_that_is_behind_on_every_image_sees_no_more_of_them() {
        let mut contest = Contest::new(vec![1.; 2], 1000, Some(Race::default()));
        shown(&mut contest, 0..100);
        assert!(contest.has(1), "before the first comparison");
        shown(&mut contest, 100..200);
        shown(&mut contest, 200..300);
        let seen: Vec<usize> = contest.means().map(|(_, seen)| seen).collect();
        assert_eq!(seen, [300, 200]);
    }

    #[test]
    fn without_a_race_all_see_all() {
        let mut contest = Contest::new(vec![1.; 2], 1000, None);
        shown(&mut contest, 0..500);
        shown(&mut contest, 500..1000);
        let means: Vec<(f64, usize)> = contest.means().collect();
        assert!(means.iter().all(|(_, seen)| *seen == 1000));
        assert!((means[0].0 - means[1].0 - 0.1).abs() < 1e-9);
    }

    #[test]
    fn one_that_saves_more_stays_though_it_costs_more() {
        // Of the second a removal costs twice as much and saves four times as much.
        let mut contest = Contest::new(vec![1., 4.], 1000, Some(Race::default()));
        contest.add(0, (0..200).map(|i| -1. - 0.01 * f64::from(i % 7)));
        contest.add(1, (0..200).map(|i| -2. - 0.01 * f64::from(i % 7)));
        contest.drop_those_behind(200);
        assert!(!contest.has(0) && contest.has(1));
    }
}
