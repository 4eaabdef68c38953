//! Energy, where the machine has a counter for it; it is never estimated.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;
use nvml_wrapper::Nvml;
use serde::{Deserialize, Serialize};
use tch::{Device, Tensor};

use super::{Passes, in_turn};
use crate::run::torch::{Module, pci_bus_id};

/// Counters of processor packages: Intel's and AMD's Running Average Power Limit, as Linux shows them. Their files are
/// mostly readable for root alone.
const RAPL: &str = "/sys/class/powercap";

/// A counter of the energy that the device takes, idle parts and other programs included.
pub struct Meter(Counter);

enum Counter {
    /// Packages of processors.
    Rapl(Vec<Package>),
    /// A GPU, by its place on the bus.
    Nvml(Box<Nvml>, String),
}

struct Package {
    counter: PathBuf,
    /// Microjoules after which the counter starts again at 0.
    range: u64,
}

/// Energy of forward passes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Energy {
    pub joules_per_image: f64,
    /// Mean power over the time of measuring.
    pub watts: f64,
    pub images: usize,
    /// The counter: `rapl` or `nvml`.
    pub counter: Source,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    Rapl,
    Nvml,
}

impl Meter {
    /// The counter of a device; `None` if it has none or it may not be read.
    #[must_use]
    pub fn of(device: Device) -> Option<Self> {
        let counter = match device {
            Device::Cpu => Counter::Rapl(packages(Path::new(RAPL))?),
            Device::Cuda(_) => Counter::Nvml(Box::new(Nvml::init().ok()?), pci_bus_id(device)?),
            _ => return None,
        };
        let meter = Meter(counter);
        meter.read().is_some().then_some(meter)
    }

    /// Runs the network over the same images for some seconds; `None` if the counter fell silent.
    ///
    /// # Errors
    /// If the network cannot run.
    pub fn measure(&self, module: &Module, images: &Tensor) -> Result<Option<Energy>> {
        const TIME: Duration = Duration::from_secs(2);
        in_turn(&[(module, images)], Passes::Exactly(1))?;
        let (Some(before), begun) = (self.read(), Instant::now()) else {
            return Ok(None);
        };
        let mut passes = 0;
        while begun.elapsed() < TIME {
            // With its warm-up, which takes energy as well.
            passes += in_turn(&[(module, images)], Passes::Exactly(10))?
                .iter()
                .map(|p| p.len() + super::latency::WARM_UP)
                .sum::<usize>();
        }
        let seconds = begun.elapsed().as_secs_f64();
        let Some(after) = self.read() else {
            return Ok(None);
        };
        let joules = self.between(&before, &after);
        let batch = images.size().first().copied().unwrap_or_default() as usize;
        let images = passes * batch;
        Ok(Some(Energy {
            joules_per_image: joules / images.max(1) as f64,
            watts: joules / seconds,
            images,
            counter: match self.0 {
                Counter::Rapl(_) => Source::Rapl,
                Counter::Nvml(..) => Source::Nvml,
            },
        }))
    }

    /// All counters: in microjoules of each package, or in millijoules of the GPU.
    fn read(&self) -> Option<Vec<u64>> {
        match &self.0 {
            Counter::Rapl(packages) => packages.iter().map(|p| number(&p.counter)).collect(),
            Counter::Nvml(nvml, bus) => {
                let gpu = nvml.device_by_pci_bus_id(bus.as_str()).ok()?;
                Some(vec![gpu.total_energy_consumption().ok()?])
            }
        }
    }

    /// Joules from one reading to the next.
    fn between(&self, before: &[u64], after: &[u64]) -> f64 {
        let pairs = before.iter().zip(after);
        match &self.0 {
            Counter::Rapl(packages) => {
                pairs
                    .zip(packages)
                    .map(|((from, to), package)| spent(*from, *to, package.range))
                    .sum::<u64>() as f64
                    / 1e6
            }
            Counter::Nvml(..) => pairs.map(|(a, b)| b.saturating_sub(*a)).sum::<u64>() as f64 / 1e3,
        }
    }
}

/// From one reading to the next of a counter that may have started again once.
fn spent(from: u64, to: u64, range: u64) -> u64 {
    match to.checked_sub(from) {
        Some(difference) => difference,
        None => (range.saturating_sub(from)).saturating_add(to),
    }
}

/// The packages of a folder that can be read; `None` without any. Their parts (cores, memory) are counted in them.
fn packages(folder: &Path) -> Option<Vec<Package>> {
    let entries = fs::read_dir(folder).ok()?.filter_map(Result::ok);
    let package = |entry: fs::DirEntry| {
        let zone = entry.path();
        let name = fs::read_to_string(zone.join("name")).ok()?;
        let counter = zone.join("energy_uj");
        number(&counter)?;
        name.trim().starts_with("package").then_some(Package {
            range: number(&zone.join("max_energy_range_uj"))?,
            counter,
        })
    };
    let found: Vec<Package> = entries.filter_map(package).collect();
    (!found.is_empty()).then_some(found)
}

fn number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_that_started_again_is_counted_over_the_end() {
        assert_eq!(spent(10, 30, 100), 20);
        assert_eq!(spent(90, 5, 100), 15);
    }

    #[test]
    fn packages_are_counted_once_and_their_parts_not_again() {
        let folder = tempfile::tempdir().unwrap();
        for (zone, name) in [
            ("intel-rapl:0", "package-0\n"),
            ("intel-rapl:0:0", "core\n"),
            ("intel-rapl:1", "package-1\n"),
        ] {
            let zone = folder.path().join(zone);
            fs::create_dir(&zone).unwrap();
            fs::write(zone.join("name"), name).unwrap();
            fs::write(zone.join("energy_uj"), "1000\n").unwrap();
            fs::write(zone.join("max_energy_range_uj"), "262143328850\n").unwrap();
        }
        assert_eq!(packages(folder.path()).unwrap().len(), 2);
        let meter = Meter(Counter::Rapl(packages(folder.path()).unwrap()));
        let before = meter.read().unwrap();
        for zone in ["intel-rapl:0", "intel-rapl:1"] {
            fs::write(folder.path().join(zone).join("energy_uj"), "1501000").unwrap();
        }
        assert_eq!(meter.between(&before, &meter.read().unwrap()), 3.);
    }

    #[test]
    fn a_machine_without_a_counter_has_no_meter() {
        let empty = tempfile::tempdir().unwrap();
        assert!(packages(empty.path()).is_none());
        assert!(packages(Path::new("no/such/folder")).is_none());
    }
}
