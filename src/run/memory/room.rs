//! How much more memory this process may take: less than the machine has free where a container or a shell has a
//! limit of its own.

use std::fs;
use std::path::Path;

use super::kilobytes;

/// Bytes until the nearest limit; `None` where the system does not tell of any.
pub(super) fn room() -> Option<u64> {
    let machine = kilobytes("/proc/meminfo", "MemAvailable:");
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let groups = groups.lines().filter_map(Group::of);
    let limits = groups.filter_map(|group| group.room(Path::new("/sys/fs/cgroup")));
    limits.chain(machine).chain(address_space()).min()
}

/// What `ulimit -v` leaves.
fn address_space() -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let taken = super::own("VmSize:")?;
    Some(address_limit(&limits)?.saturating_sub(taken))
}

fn address_limit(limits: &str) -> Option<u64> {
    let words = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max address space"))?;
    words.split_whitespace().next()?.parse().ok()
}

/// A control group that counts the memory of this process.
#[derive(Debug, PartialEq)]
struct Group<'a> {
    /// Of the second version, which has other names for the same numbers.
    is_unified: bool,
    path: &'a str,
}

impl<'a> Group<'a> {
    /// A line of `/proc/self/cgroup`: number, controllers, path.
    fn of(line: &'a str) -> Option<Self> {
        let mut fields = line.splitn(3, ':');
        let (number, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let is_unified = number == "0" && controllers.is_empty();
        let counts_memory = controllers.split(',').any(|c| c == "memory");
        (is_unified || counts_memory).then_some(Group { is_unified, path })
    }

    /// What the limits of the group and of those that it is in leave.
    fn room(&self, mounted: &Path) -> Option<u64> {
        // Beside groups of the first version the second one is mounted one folder further down.
        let (places, names): (&[&str], _) = match self.is_unified {
            true => (&["", "unified"], UNIFIED),
            false => (&["memory"], FIRST),
        };
        let inner = Path::new(self.path.trim_start_matches('/'));
        // A container may see its own group as the outermost, whatever it is called outside.
        let groups = places.iter().flat_map(|place| {
            let mounted = mounted.join(place);
            inner.ancestors().map(move |group| mounted.join(group))
        });
        groups.filter_map(|group| left(&group, &names)).min()
    }
}

/// Names of the files and keys that say what a group takes.
struct Names {
    limit: &'static str,
    taken: &'static str,
    /// Copies of files, which the system drops when memory is short.
    files: [&'static str; 2],
}

const UNIFIED: Names = Names {
    limit: "memory.max",
    taken: "memory.current",
    files: ["inactive_file ", "active_file "],
};
const FIRST: Names = Names {
    limit: "memory.limit_in_bytes",
    taken: "memory.usage_in_bytes",
    files: ["total_inactive_file ", "total_active_file "],
};

/// What the limit of one group leaves; `None` if it has none.
fn left(group: &Path, names: &Names) -> Option<u64> {
    let number = |name: &str| -> Option<u64> {
        let text = fs::read_to_string(group.join(name)).ok()?;
        text.trim().parse().ok()
    };
    // The word `max` is no limit.
    let (limit, taken) = (number(names.limit)?, number(names.taken)?);
    let statistics = fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
    let value = |key| statistics.lines().find_map(|line| line.strip_prefix(key));
    let files = names
        .files
        .iter()
        .filter_map(|key| value(*key)?.trim().parse::<u64>().ok());
    Some(limit.saturating_sub(taken.saturating_sub(files.sum())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, files: &[(&str, &str)]) {
        fs::create_dir_all(folder).unwrap();
        for (name, text) in files {
            fs::write(folder.join(name), text).unwrap();
        }
    }

    #[test]
    fn groups_that_count_memory_are_found() {
        let group = |is_unified, path| Some(Group { is_unified, path });
        assert_eq!(Group::of("0::/user/a:b"), group(true, "/user/a:b"));
        assert_eq!(Group::of("4:cpu,memory:/box"), group(false, "/box"));
        for other in ["3:cpuset:/", "1:name=systemd:/", "", "4:memory"] {
            assert_eq!(Group::of(other), None, "{other}");
        }
    }

    #[test]
    fn the_tightest_limit_of_a_group_and_those_around_it_counts() {
        let place = tempfile::tempdir().unwrap();
        let mounted = place.path();
        write(
            &mounted.join("outer"),
            &[("memory.max", "1000\n"), ("memory.current", "900\n")],
        );
        write(
            &mounted.join("outer/inner"),
            &[("memory.max", "max\n"), ("memory.current", "500\n")],
        );
        let room = |path| {
            Group {
                is_unified: true,
                path,
            }
            .room(mounted)
        };
        assert_eq!(room("/outer/inner"), Some(100));
        assert_eq!(room("/elsewhere"), None);
        // Copies of files give way.
        write(
            &mounted.join("outer"),
            &[(
                "memory.stat",
                "anon 1\ninactive_file 200\nactive_file 50\nshmem 9\n",
            )],
        );
        assert_eq!(room("/outer/inner"), Some(350));
        write(&mounted.join("outer"), &[("memory.current", "2000\n")]);
        assert_eq!(room("/outer"), Some(0), "more is taken than the limit");
    }

    #[test]
    fn groups_of_the_first_version_have_other_names() {
        let place = tempfile::tempdir().unwrap();
        // The path is that outside of the container.
        write(
            &place.path().join("memory"),
            &[
                ("memory.limit_in_bytes", "4096\n"),
                ("memory.usage_in_bytes", "1096\n"),
                ("memory.stat", "inactive_file 1\ntotal_inactive_file 96\n"),
            ],
        );
        let group = Group {
            is_unified: false,
            path: "/docker/0123",
        };
        assert_eq!(group.room(place.path()), Some(3096));
    }

    #[test]
    fn a_limit_of_the_shell_is_read() {
        let limits = |soft: &str| {
            format!(
                "Limit                     Soft Limit           Hard Limit           Units\n\
                 Max address space         {soft}            unlimited            bytes\n"
            )
        };
        assert_eq!(address_limit(&limits("4294967296")), Some(4 << 30));
        assert_eq!(address_limit(&limits("unlimited")), None);
    }
}
