//! The stores that need no service: memory and age files.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod suite;

use std::fs;
use std::path::Path;

use agentauth_store::{AgeFile, Fault, Health, LateAgeFile, Memory, SecretStore, StoreError};
use futures_util::FutureExt as _;
use suite::{held, name, secret};

/// scrypt quick enough for a test.
const QUICK: u8 = 10;

fn age(directory: &Path) -> AgeFile {
    AgeFile::open_with_work_factor(directory, &secret("correct horse"), QUICK).unwrap()
}

#[tokio::test]
async fn memory_keeps_the_contract() {
    suite::run(&Memory::new(), None).await;
}

#[tokio::test]
async fn age_files_keep_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secrets");
    suite::run(&age(&path), Some(&|| Box::new(age(&path)))).await;
    let left: Vec<_> = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["identity.age"]);
}

#[tokio::test]
async fn age_files_that_open_late_keep_the_contract_and_refuse_late() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secrets");
    // Made with a quick key; opening takes what the file says.
    drop(age(&path));
    suite::run(&LateAgeFile::new(&path, secret("correct horse")), None).await;
    let wrong = LateAgeFile::new(&path, secret("wrong horse"));
    assert!(matches!(
        wrong.get(&name("dev", "refresh_token")).await,
        Err(StoreError::WrongPassphrase { .. })
    ));
    assert!(matches!(wrong.probe().await, Health::Failing { .. }));
}

#[tokio::test]
async fn memory_fails_as_it_is_told_and_only_then() {
    let store = Memory::new();
    let name = name("dev", "refresh_token");
    for fault in [Fault::Locked, Fault::Absent, Fault::TimedOut, Fault::Damaged, Fault::Refused] {
        store.fail_next(fault);
        let error = store.set(&name, &secret("s3cret")).await.unwrap_err();
        assert!(!format!("{error:?} {error}").contains("s3cret"));
        assert_eq!(error.is_passing(), matches!(fault, Fault::Locked | Fault::TimedOut), "{fault:?}");
        assert_eq!(held(&store, &name).await, None, "{fault:?}");
    }
    store.fail_next(Fault::Nothing);
    store.fail_next(Fault::TimedOutAfterDoing);
    assert_eq!(held(&store, &name).await, None);
    assert!(matches!(store.set(&name, &secret("done")).await, Err(StoreError::TimedOut { .. })));
    assert_eq!(held(&store, &name).await.as_deref(), Some("done"));
    assert_eq!(store.calls().last(), Some(&"get"));

    store.fail_next(Fault::Locked);
    assert!(matches!(store.probe().await, Health::Locked { .. }));
}

#[tokio::test]
async fn memory_can_hang() {
    let store = Memory::new();
    store.fail_next(Fault::Hang);
    let name = name("dev", "refresh_token");
    assert!(store.get(&name).now_or_never().is_none());
    assert_eq!(held(&store, &name).await, None);
}

#[tokio::test]
async fn a_wrong_passphrase_is_called_that() {
    let dir = tempfile::tempdir().unwrap();
    assert!(!AgeFile::exists(dir.path()));
    let store = age(dir.path());
    assert!(AgeFile::exists(dir.path()));
    store.set(&name("dev", "refresh_token"), &secret("s3cret")).await.unwrap();
    let error = AgeFile::open(dir.path(), &secret("wrong horse")).unwrap_err();
    assert!(matches!(error, StoreError::WrongPassphrase { .. }), "{error:?}");
    assert!(!format!("{error:?} {error}").contains("horse"), "{error:?}");
    let empty = AgeFile::open(dir.path(), &secret(""));
    assert!(matches!(empty, Err(StoreError::Refused { .. })), "{empty:?}");
}

#[cfg(unix)]
#[tokio::test]
async fn age_files_are_private_and_hold_nothing_in_clear() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secrets");
    let store = age(&path);
    store.set(&name("dev", "refresh_token"), &secret("s3cret-in-clear")).await.unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    let mut names = Vec::new();
    for entry in fs::read_dir(&path).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let bytes = fs::read(entry.path()).unwrap();
        assert!(bytes.starts_with(b"age-encryption.org/v1\n"));
        for clear in ["s3cret", "AGE-SECRET-KEY", "age1"] {
            assert!(!bytes.windows(clear.len()).any(|window| window == clear.as_bytes()), "{clear}");
        }
        names.push(entry.file_name().into_string().unwrap());
    }
    names.sort();
    assert_eq!(names, ["dev-refresh_token.age", "identity.age"]);
    assert!(!format!("{store:?}").contains("AGE"));
}

#[tokio::test]
async fn damaged_swapped_and_foreign_age_files_are_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let store = age(dir.path());
    let (one, two) = (name("one", "refresh_token"), name("two", "refresh_token"));
    let (first, second) =
        (dir.path().join("one-refresh_token.age"), dir.path().join("two-refresh_token.age"));
    store.set(&one, &secret("1")).await.unwrap();
    store.set(&two, &secret("2")).await.unwrap();

    fs::copy(&second, &first).unwrap();
    let swapped = store.get(&one).await;
    assert!(
        matches!(swapped, Err(StoreError::Damaged { what: "it holds another secret", .. })),
        "{swapped:?}"
    );

    let mut bytes = fs::read(&second).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&second, bytes).unwrap();
    assert!(matches!(store.get(&two).await, Err(StoreError::Damaged { .. })));
    fs::write(&second, b"").unwrap();
    assert!(matches!(store.get(&two).await, Err(StoreError::Damaged { .. })));

    let elsewhere = tempfile::tempdir().unwrap();
    let stranger = age(elsewhere.path());
    stranger.set(&two, &secret("planted")).await.unwrap();
    fs::copy(elsewhere.path().join("two-refresh_token.age"), &second).unwrap();
    assert!(matches!(store.get(&two).await, Err(StoreError::Damaged { .. })));

    // Writing anew mends it.
    store.set(&two, &secret("22")).await.unwrap();
    assert_eq!(held(&store, &two).await.as_deref(), Some("22"));
}

#[tokio::test]
async fn a_lost_or_damaged_identity_is_said_and_not_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let store = age(dir.path());
    store.set(&name("dev", "refresh_token"), &secret("x")).await.unwrap();
    let identity = dir.path().join("identity.age");
    fs::write(&identity, b"rubbish").unwrap();
    let open = || AgeFile::open_with_work_factor(dir.path(), &secret("correct horse"), QUICK);
    assert!(matches!(open(), Err(StoreError::Damaged { .. })));
    fs::remove_file(&identity).unwrap();
    assert!(matches!(open(), Err(StoreError::Damaged { .. })));
    assert!(!identity.exists());
    assert!(matches!(store.probe().await, Health::Failing { .. }));
}

#[test]
fn two_processes_that_create_it_at_once_share_one_identity() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| age(dir.path()))).collect();
        let stores: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        runtime.block_on(async {
            stores[0].set(&name("dev", "refresh_token"), &secret("shared")).await.unwrap();
            for store in &stores {
                assert_eq!(held(store, &name("dev", "refresh_token")).await.as_deref(), Some("shared"));
            }
        });
    });
}

/// The real work factor, once: opening takes about a second and must not take many.
#[tokio::test]
async fn the_real_work_factor_opens_and_writes_need_none_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = AgeFile::open(dir.path(), &secret("correct horse")).unwrap();
    let name = name("dev", "refresh_token");
    store.set(&name, &secret("x")).await.unwrap();
    assert_eq!(held(&store, &name).await.as_deref(), Some("x"));
    let header = fs::read(dir.path().join("identity.age")).unwrap();
    let line = String::from_utf8_lossy(&header).lines().nth(1).unwrap().to_owned();
    assert!(line.starts_with("-> scrypt ") && line.ends_with(" 18"), "{line}");
}
