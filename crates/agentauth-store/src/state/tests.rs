//! The state database, good and bad.

use super::*;

fn profile(name: &str) -> ProfileName {
    name.parse().unwrap()
}

fn pin(subject: &str) -> Pin {
    Pin {
        issuer: "https://api.example.com/P2abc".to_owned(),
        subject: subject.to_owned(),
        display_name: Some("Ada".to_owned()),
        pinned_at: "2026-01-02T03:04:05.678901234Z".parse().unwrap(),
    }
}

#[test]
fn a_pin_is_set_once_and_survives() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    let db = StateDb::open(&path).unwrap();
    assert_eq!(db.pin(&profile("dev")).unwrap(), None);
    assert_eq!(db.set_pin_if_absent(&profile("dev"), &pin("U1")).unwrap(), PinOutcome::Set);
    assert_eq!(db.set_pin_if_absent(&profile("dev"), &pin("U2")).unwrap(), PinOutcome::Existing(pin("U1")));
    drop(db);
    let db = StateDb::open(&path).unwrap();
    assert_eq!(db.pin(&profile("dev")).unwrap(), Some(pin("U1")));
    assert_eq!(db.pin(&profile("prod")).unwrap(), None);
    db.replace_pin(&profile("dev"), &pin("U2")).unwrap();
    assert_eq!(db.pin(&profile("dev")).unwrap(), Some(pin("U2")));
}

#[test]
fn refresh_history_round_trips() {
    let dir = tempfile::tempdir().unwrap();
    let db = StateDb::open(&dir.path().join("state.db")).unwrap();
    assert_eq!(db.refresh_record(&profile("dev")).unwrap(), RefreshRecord::default());
    let record = RefreshRecord {
        rotates: true,
        ambiguous: 3,
        last_success: Some("2026-01-02T03:04:05Z".parse().unwrap()),
    };
    db.put_refresh_record(&profile("dev"), &record).unwrap();
    assert_eq!(db.refresh_record(&profile("dev")).unwrap(), record);
    db.put_refresh_record(&profile("dev"), &RefreshRecord::default()).unwrap();
    assert_eq!(db.refresh_record(&profile("dev")).unwrap(), RefreshRecord::default());
}

#[test]
fn a_pause_and_the_time_survive() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    let db = StateDb::open(&path).unwrap();
    let (dev, first): (_, Timestamp) = (profile("dev"), "2026-01-02T03:04:05Z".parse().unwrap());
    let second = first + jiff::SignedDuration::from_secs(9);
    assert_eq!((db.locked_since(&dev).unwrap(), db.last_seen(&dev).unwrap()), (None, None));
    db.put_lock(&dev, Some(first)).unwrap();
    db.put_lock(&dev, Some(second)).unwrap();
    db.put_last_seen(&dev, second).unwrap();
    drop(db);
    let db = StateDb::open(&path).unwrap();
    assert_eq!(db.locked_since(&dev).unwrap(), Some(first), "a second lock does not shorten the first");
    assert_eq!(db.last_seen(&dev).unwrap(), Some(second));
    assert_eq!(db.locked_since(&profile("prod")).unwrap(), None);
    db.put_lock(&dev, None).unwrap();
    db.put_last_seen(&dev, first).unwrap();
    assert_eq!((db.locked_since(&dev).unwrap(), db.last_seen(&dev).unwrap()), (None, Some(first)));
}

#[test]
fn a_file_of_the_first_version_is_brought_up_to_date() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    let raw = Connection::open(&path).unwrap();
    raw.execute_batch(MIGRATIONS[0]).unwrap();
    raw.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
    raw.pragma_update(None, "user_version", 1).unwrap();
    write_pin(&raw, &profile("dev"), &pin("U1")).unwrap();
    drop(raw);
    let db = StateDb::open(&path).unwrap();
    assert_eq!(db.pin(&profile("dev")).unwrap(), Some(pin("U1")));
    db.put_lock(&profile("dev"), Some(pin("U1").pinned_at)).unwrap();
}

#[test]
fn many_openers_of_a_fresh_file_agree_on_one_pin() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|n| {
                let path = &path;
                scope.spawn(move || {
                    let db = StateDb::open(path).unwrap();
                    db.set_pin_if_absent(&profile("dev"), &pin(&format!("U{n}"))).unwrap()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == PinOutcome::Set).count(), 1, "{outcomes:?}");
}

#[test]
fn a_newer_file_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    drop(StateDb::open(&path).unwrap());
    let raw = Connection::open(&path).unwrap();
    raw.pragma_update(None, "user_version", 99).unwrap();
    drop(raw);
    let error = StateDb::open(&path).unwrap_err();
    assert!(matches!(error, StateError::Newer { found: 99, known: 5, .. }), "{error:?}");
    assert!(error.to_string().contains("version 99"), "{error}");
}

#[test]
fn what_is_no_database_of_ours_is_called_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let text = dir.path().join("text.db");
    fs::write(&text, "this is certainly no database file, however long it is ".repeat(100)).unwrap();
    assert!(matches!(StateDb::open(&text), Err(StateError::Damaged { .. })));

    let foreign = dir.path().join("foreign.db");
    Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    assert!(matches!(StateDb::open(&foreign), Err(StateError::Damaged { .. })));

    let broken = dir.path().join("broken.db");
    drop(StateDb::open(&broken).unwrap());
    let mut bytes = fs::read(&broken).unwrap();
    for byte in bytes.iter_mut().skip(4096) {
        *byte = 0xff;
    }
    fs::write(&broken, bytes).unwrap();
    let error = StateDb::open(&broken).unwrap_err();
    assert!(matches!(error, StateError::Damaged { .. }), "{error:?}");

    let value = dir.path().join("value.db");
    let db = StateDb::open(&value).unwrap();
    db.replace_pin(&profile("dev"), &pin("U1")).unwrap();
    Connection::open(&value).unwrap().execute("UPDATE pins SET pinned_at = 'yesterday'", []).unwrap();
    assert!(matches!(db.pin(&profile("dev")), Err(StateError::Damaged { .. })));
}

#[cfg(unix)]
#[test]
fn files_are_private_and_links_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    fs::write(&path, b"").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let db = StateDb::open(&path).unwrap();
    db.replace_pin(&profile("dev"), &pin("U1")).unwrap();
    for entry in fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.path());
    }
    let link = dir.path().join("link.db");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert!(matches!(StateDb::open(&link), Err(StateError::Inaccessible { .. })));
    let missing = dir.path().join("no/state.db");
    assert!(matches!(StateDb::open(&missing), Err(StateError::Inaccessible { .. })));
}

#[test]
fn a_busy_database_is_said_to_be_busy() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    let db = StateDb::open(&path).unwrap();
    db.connection().busy_timeout(Duration::from_millis(10)).unwrap();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert!(matches!(db.replace_pin(&profile("dev"), &pin("U1")), Err(StateError::Busy { .. })));
    assert_eq!(db.pin(&profile("dev")).unwrap(), None, "readers do not wait");
}

#[test]
fn the_mark_of_a_logout_is_of_one_profile_and_can_be_taken_away() {
    let dir = tempfile::tempdir().unwrap();
    let db = StateDb::open(&dir.path().join("state.db")).unwrap();
    assert!(!db.is_logged_out(&profile("dev")).unwrap());
    for at in ["2026-01-02T03:04:05Z", "2026-01-03T03:04:05Z"] {
        db.put_logout(&profile("dev"), Some(at.parse().unwrap())).unwrap();
    }
    assert!(db.is_logged_out(&profile("dev")).unwrap());
    assert!(!db.is_logged_out(&profile("prod")).unwrap());
    db.put_logout(&profile("dev"), None).unwrap();
    assert!(!db.is_logged_out(&profile("dev")).unwrap());
}
