//! Where a terminal is in relation to the person's browser: on the same desktop, or behind SSH, a container's walls, or the
//! Windows Subsystem for Linux. For hints only.

use std::path::Path;

/// Where this process runs, as far as a browser is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A browser can be opened here.
    Desktop,
    /// In a container: what listens on its loopback address is not reached from outside, published ports included.
    Container,
    /// Behind SSH: a forwarded port leads a browser back.
    Ssh,
    /// Linux under Windows, without a browser of its own.
    Wsl,
    /// A machine without a graphical session, of which no more is known.
    Headless,
}

/// What was found out. Any single one can be wrong; none is a security fact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// There is a graphical session, or a browser of the user's choice (see [`crate::browser::Surroundings`]).
    pub browser: bool,
    /// The environment tells of an SSH connection.
    pub ssh: bool,
    /// The environment or the file system tells of a container.
    pub container: bool,
    /// The environment or the kernel tells of the Windows Subsystem for Linux.
    pub wsl: bool,
}

/// What the files below a root directory (`/`, but for tests) say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// A container manager left its mark.
    pub container: bool,
    /// The kernel is Microsoft's.
    pub wsl: bool,
}

/// Where this process runs: what the environment `told`, with what the session and the machine show beside it.
pub fn here(told: Facts) -> Place {
    let surroundings = crate::browser::Surroundings::of_this_process();
    let marks = marks(Path::new("/"));
    place(&Facts {
        browser: surroundings.display || surroundings.browser.is_some(),
        container: told.container || marks.container,
        wsl: told.wsl || marks.wsl,
        ..told
    })
}

/// Judges the facts: the nearest wall counts. Who came into a container by SSH can forward a port of the container itself;
/// who did not has the container's wall before the machine's.
pub fn place(facts: &Facts) -> Place {
    match facts {
        Facts { browser: true, .. } => Place::Desktop,
        Facts { ssh: true, .. } => Place::Ssh,
        Facts { container: true, .. } => Place::Container,
        Facts { wsl: true, .. } => Place::Wsl,
        _ => Place::Headless,
    }
}

/// Reads the marks of container managers (Docker, Podman, systemd-nspawn) and of the kernel.
pub fn marks(root: &Path) -> Marks {
    let there = |file: &str| root.join(file).exists();
    let kernel = std::fs::read_to_string(root.join("proc/sys/kernel/osrelease")).unwrap_or_default();
    Marks {
        container: there(".dockerenv") || there("run/.containerenv") || there("run/systemd/container"),
        wsl: kernel.to_ascii_lowercase().contains("microsoft"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_wall_is_named() {
        let none = Facts::default();
        for (facts, expected) in [
            // A desktop; also a terminal of it, an editor's remote terminal with its own BROWSER, and X over SSH.
            (Facts { browser: true, ..none }, Place::Desktop),
            (Facts { browser: true, ssh: true, ..none }, Place::Desktop),
            (Facts { browser: true, container: true, ..none }, Place::Desktop),
            // WSL with a graphical session of its own.
            (Facts { browser: true, wsl: true, ..none }, Place::Desktop),
            (Facts { container: true, ..none }, Place::Container),
            (Facts { container: true, ssh: true, ..none }, Place::Ssh),
            // Docker Desktop: a container on Microsoft's kernel.
            (Facts { container: true, wsl: true, ..none }, Place::Container),
            (Facts { ssh: true, ..none }, Place::Ssh),
            // SSH into a WSL machine.
            (Facts { ssh: true, wsl: true, ..none }, Place::Ssh),
            (Facts { wsl: true, ..none }, Place::Wsl),
            (none, Place::Headless),
        ] {
            assert_eq!(place(&facts), expected, "{facts:?}");
        }
    }

    #[test]
    fn marks_are_read_from_recorded_machines() {
        let plain = Marks::default();
        for (files, expected) in [
            (&[("proc/sys/kernel/osrelease", "6.12.41+deb13-amd64\n")][..], plain),
            (
                &[("proc/sys/kernel/osrelease", "5.15.167.4-microsoft-standard-WSL2\n")],
                Marks { wsl: true, ..plain },
            ),
            (&[("proc/sys/kernel/osrelease", "4.4.0-19041-Microsoft\n")], Marks { wsl: true, ..plain }),
            (&[(".dockerenv", "")], Marks { container: true, ..plain }),
            (&[("run/.containerenv", "engine=\"podman-5.4.2\"\n")], Marks { container: true, ..plain }),
            (&[("run/systemd/container", "systemd-nspawn")], Marks { container: true, ..plain }),
            (&[], plain),
        ] {
            let root = tempfile::tempdir().unwrap();
            for (file, content) in files {
                let file = root.path().join(file);
                std::fs::create_dir_all(file.parent().unwrap()).unwrap();
                std::fs::write(file, content).unwrap();
            }
            assert_eq!(marks(root.path()), expected, "{files:?}");
        }
    }
}
