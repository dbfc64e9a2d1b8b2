//! Walls by Landlock, and a filter of system calls.
//!
//! Landlock allows and never forbids: what is granted on a directory is granted on everything below it. So what is
//! hidden is left out by granting its neighbours one by one, all the way down from the root. The price: in a directory
//! above something hidden, a program can neither make new entries nor use those that are made later.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, BitFlags, CompatLevel, Compatible as _, PathBeneath, PathFd, Ruleset,
    RulesetAttr as _, RulesetCreated, RulesetCreatedAttr as _, RulesetStatus, Scope,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};

use super::{LaunchError, Use, Walls};

/// The newest version of the kernel's interface that is asked for; older kernels do what they can.
const ABI_WANTED: ABI = ABI::V9;

/// What a program needs to run at all, for those that are let into few places.
const SYSTEM: [(&str, &[Use]); 14] = [
    ("/bin", &[Use::Read, Use::Run]),
    ("/dev", &[Use::All]),
    ("/etc", &[Use::Read]),
    ("/lib", &[Use::Read, Use::Run]),
    ("/lib32", &[Use::Read, Use::Run]),
    ("/lib64", &[Use::Read, Use::Run]),
    ("/libx32", &[Use::Read, Use::Run]),
    ("/nix/store", &[Use::Read, Use::Run]),
    ("/opt", &[Use::Read, Use::Run]),
    ("/proc", &[Use::Read]),
    ("/run", &[Use::Read]),
    ("/sbin", &[Use::Read, Use::Run]),
    ("/sys", &[Use::Read]),
    ("/usr", &[Use::Read, Use::Run]),
];

/// What is said to have failed.
const CONFINE: &str = "confine the program";

/// Whether the kernel has Landlock, and it is switched on.
pub(super) fn supported() -> bool {
    Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(ABI::V1))
        .and_then(Ruleset::create)
        .is_ok()
}

/// Whether the kernel looks at connections to sockets that have a path (Linux 7.1).
pub(super) fn sees_connections() -> bool {
    Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::ResolveUnix)
        .and_then(Ruleset::create)
        .is_ok()
}

/// From now on this process, and whatever comes of it, stays within the walls.
pub(super) fn stay_within(walls: &Walls) -> Result<(), LaunchError> {
    let mut ruleset = Ruleset::default()
        .handle_access(AccessFs::from_all(ABI_WANTED))
        .and_then(|ruleset| ruleset.scope(Scope::from_all(ABI_WANTED)))
        .and_then(Ruleset::create)
        .map_err(LaunchError::step(CONFINE))?;
    let hidden: BTreeSet<PathBuf> = walls.hidden.iter().map(|path| resolved(path)).collect();
    for (path, access) in plan(walls) {
        for granted in without(&resolved(&path), &hidden) {
            ruleset = grant(ruleset, &granted, access)?;
        }
    }
    if walls.only.is_none() {
        // Names may be seen everywhere: a home directory that cannot be listed would be the price of hiding them.
        ruleset = grant(ruleset, Path::new("/"), AccessFs::ReadDir.into())?;
    }
    for socket in sockets(walls) {
        ruleset = grant(ruleset, &socket, AccessFs::ResolveUnix.into())?;
    }
    let status = ruleset.restrict_self().map_err(LaunchError::step(CONFINE))?;
    match status.ruleset {
        RulesetStatus::NotEnforced => Err(LaunchError::NoConfinement),
        _ => Ok(()),
    }
}

/// From now on this process, and whatever comes of it, cannot put characters into a terminal's input (`TIOCSTI`,
/// `TIOCLINUX`): they would be read by the person's shell, as if the person had typed them.
pub(super) fn keep_from_typing() -> Result<(), LaunchError> {
    const TIOCSTI: u64 = 0x5412;
    const TIOCLINUX: u64 = 0x541C;
    const REFUSED: u32 = rustix::io::Errno::PERM.raw_os_error().unsigned_abs();
    // `ioctl(2)` by the architecture; there, the same under the number of the x32 interface.
    let calls: &[i64] = if cfg!(target_arch = "x86_64") { &[16, 0x4000_0000 + 514] } else { &[29] };
    const STEP: &str = "keep the program from typing into the terminal";
    let is = |request| {
        SeccompCondition::new(1, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, request)
            .and_then(|condition| SeccompRule::new(vec![condition]))
    };
    let rules = [TIOCSTI, TIOCLINUX]
        .into_iter()
        .map(is)
        .collect::<Result<Vec<_>, _>>()
        .map_err(LaunchError::step(STEP))?;
    let architecture = TargetArch::try_from(std::env::consts::ARCH).map_err(LaunchError::step(STEP))?;
    let filter = SeccompFilter::new(
        calls.iter().map(|call| (*call, rules.clone())).collect(),
        SeccompAction::Allow,
        SeccompAction::Errno(REFUSED),
        architecture,
    )
    .map_err(LaunchError::step(STEP))?;
    let program: BpfProgram = filter.try_into().map_err(LaunchError::step(STEP))?;
    seccompiler::apply_filter(&program).map_err(LaunchError::step(STEP))
}

/// What is granted where, before anything is left out.
fn plan(walls: &Walls) -> Vec<(PathBuf, BitFlags<AccessFs>)> {
    let Some(only) = &walls.only else { return vec![(PathBuf::from("/"), rights(&[Use::All]))] };
    let system = SYSTEM.iter().map(|(path, access)| (PathBuf::from(path), rights(access)));
    system.chain(only.iter().map(|opening| (opening.path.clone(), rights(&opening.access)))).collect()
}

/// Connecting to a socket that somebody else made is a right of its own, which kernels before 7.1 do not know: ours, and
/// those of the system's services.
fn sockets(walls: &Walls) -> Vec<PathBuf> {
    let of_system = fs::read_dir("/run").into_iter().flatten().flatten();
    let of_system = of_system.filter(|entry| entry.file_name() != "user").map(|entry| entry.path());
    walls.sockets.iter().cloned().chain(of_system).collect()
}

fn rights(uses: &[Use]) -> BitFlags<AccessFs> {
    let one = |usage: &Use| -> BitFlags<AccessFs> {
        match usage {
            Use::Read => AccessFs::ReadFile | AccessFs::ReadDir,
            Use::Write => {
                AccessFs::WriteFile
                    | AccessFs::Truncate
                    | AccessFs::MakeReg
                    | AccessFs::MakeDir
                    | AccessFs::MakeSym
                    | AccessFs::MakeFifo
                    | AccessFs::MakeSock
                    | AccessFs::Refer
            }
            Use::Remove => AccessFs::RemoveFile | AccessFs::RemoveDir,
            Use::Run => AccessFs::Execute.into(),
            Use::All => AccessFs::from_all(ABI_WANTED) & !BitFlags::from(AccessFs::ResolveUnix),
        }
    };
    uses.iter().map(one).fold(BitFlags::empty(), |all, more| all | more)
}

fn grant(
    ruleset: RulesetCreated,
    path: &Path,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, LaunchError> {
    // What vanished meanwhile, or cannot even be looked at, is granted to nobody.
    let Ok(handle) = PathFd::new(path) else { return Ok(ruleset) };
    let access = if path.is_dir() { access } else { access & AccessFs::from_file(ABI_WANTED) };
    if access.is_empty() {
        return Ok(ruleset);
    }
    ruleset.add_rule(PathBeneath::new(handle, access)).map_err(LaunchError::step(CONFINE))
}

/// The fewest places that are all of `path` but for what is hidden. Links are left out: what they lead to has a place of
/// its own.
fn without(path: &Path, hidden: &BTreeSet<PathBuf>) -> Vec<PathBuf> {
    if hidden.iter().any(|place| path.starts_with(place)) {
        return Vec::new();
    }
    if !hidden.iter().any(|place| place.starts_with(path)) {
        return vec![path.to_owned()];
    }
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let entries = entries.filter(|entry| entry.file_type().is_ok_and(|kind| !kind.is_symlink()));
    entries.flat_map(|entry| without(&entry.path(), hidden)).collect()
}

/// The path without links, as far as it exists: what is hidden may not be there yet.
pub(super) fn resolved(path: &Path) -> PathBuf {
    match (fs::canonicalize(path), path.parent(), path.file_name()) {
        (Ok(real), ..) => real,
        (Err(_), Some(parent), Some(name)) => resolved(parent).join(name),
        (Err(_), ..) => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory() -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        for made in ["home/.config/ours", "home/.config/theirs", "home/work", "other"] {
            fs::create_dir_all(root.join(made)).unwrap();
        }
        fs::write(root.join("home/notes"), "").unwrap();
        std::os::unix::fs::symlink(root.join("home/.config/ours"), root.join("home/link")).unwrap();
        (directory, root)
    }

    #[test]
    fn the_neighbours_of_what_is_hidden_are_granted_one_by_one() {
        let (_directory, root) = directory();
        let hidden = |paths: &[&str]| paths.iter().map(|path| root.join(path)).collect::<BTreeSet<_>>();
        let mut granted = without(&root, &hidden(&["home/.config/ours"]));
        granted.sort();
        let expected =
            ["home/.config/theirs", "home/notes", "home/work", "other"].map(|path| root.join(path));
        assert_eq!(granted, expected);
        assert_eq!(without(&root, &hidden(&[])), std::slice::from_ref(&root));
        assert_eq!(
            without(&root.join("home/.config/ours/deep"), &hidden(&["home/.config/ours"])),
            [""; 0].map(PathBuf::from)
        );
        // What is not there yet keeps its place free.
        let mut granted = without(&root.join("home/.config"), &hidden(&["home/.config/later"]));
        granted.sort();
        assert_eq!(granted, ["ours", "theirs"].map(|name| root.join("home/.config").join(name)));
    }

    #[test]
    fn a_link_is_what_it_leads_to_also_where_there_is_nothing_yet() {
        let (_directory, root) = directory();
        assert_eq!(resolved(&root.join("home/link")), root.join("home/.config/ours"));
        assert_eq!(resolved(&root.join("home/link/later/still")), root.join("home/.config/ours/later/still"));
    }

    #[test]
    fn who_is_let_into_few_places_gets_no_more_there_than_is_named() {
        let opening =
            |path: &str, access: &[Use]| super::super::Opening { path: path.into(), access: access.to_vec() };
        let walls = Walls {
            only: Some(vec![opening("/projects/a", &[Use::Read]), opening("/projects/b", &[Use::Write])]),
            ..Walls::default()
        };
        let planned = plan(&walls);
        let of = |path: &str| {
            planned.iter().find(|(place, _)| place == Path::new(path)).map(|(_, rights)| *rights).unwrap()
        };
        assert_eq!(of("/projects/a"), AccessFs::ReadFile | AccessFs::ReadDir);
        assert!(!of("/projects/b").intersects(AccessFs::ReadFile | AccessFs::RemoveFile | AccessFs::Execute));
        assert!(planned.iter().all(|(place, _)| place != Path::new("/")));
        assert_eq!(plan(&Walls::default()).len(), 1);
        assert!(!rights(&[Use::All]).contains(AccessFs::ResolveUnix));
    }
}
