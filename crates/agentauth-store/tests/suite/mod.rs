//! What every secret store does, run against each of them.

use agentauth_store::{Health, SecretName, SecretStore};
use secrecy::{ExposeSecret, SecretString};

/// The name of a secret.
pub(crate) fn name(profile: &str, kind: &str) -> SecretName {
    SecretName::new(profile.parse().unwrap(), kind).unwrap()
}

/// A secret.
pub(crate) fn secret(text: &str) -> SecretString {
    SecretString::from(text)
}

/// What `store` has under `name`.
pub(crate) async fn held(store: &dyn SecretStore, name: &SecretName) -> Option<String> {
    store.get(name).await.unwrap().map(|secret| secret.expose_secret().to_owned())
}

/// Runs the whole suite on an empty store. `again` opens it anew, where it survives that.
pub(crate) async fn run(store: &dyn SecretStore, again: Option<&dyn Fn() -> Box<dyn SecretStore>>) {
    assert_eq!(store.probe().await, Health::Usable);
    assert!(!store.describe().is_empty());

    nothing_is_there(store).await;
    set_replace_remove(store).await;
    names_are_apart(store).await;
    every_text_comes_back(store).await;
    many_at_once(store).await;
    if let Some(again) = again {
        it_survives(store, again).await;
    }
    assert_eq!(store.probe().await, Health::Usable);
}

async fn nothing_is_there(store: &dyn SecretStore) {
    let name = name("nothing", "refresh_token");
    assert_eq!(held(store, &name).await, None);
    assert!(!store.remove(&name).await.unwrap());
}

async fn set_replace_remove(store: &dyn SecretStore) {
    let name = name("dev", "refresh_token");
    store.set(&name, &secret("first")).await.unwrap();
    assert_eq!(held(store, &name).await.as_deref(), Some("first"));
    store.set(&name, &secret("second, which is longer")).await.unwrap();
    assert_eq!(held(store, &name).await.as_deref(), Some("second, which is longer"));
    store.set(&name, &secret("3")).await.unwrap();
    assert_eq!(held(store, &name).await.as_deref(), Some("3"));
    assert!(store.remove(&name).await.unwrap());
    assert_eq!(held(store, &name).await, None);
    assert!(!store.remove(&name).await.unwrap());
}

async fn names_are_apart(store: &dyn SecretStore) {
    let names = [
        name("a", "refresh_token"),
        name("a", "dpop_key"),
        name("a-b", "refresh_token"),
        name("b", "dpop_key"),
    ];
    for name in &names {
        store.set(name, &secret(&name.to_string())).await.unwrap();
    }
    for name in &names {
        assert_eq!(held(store, name).await, Some(name.to_string()));
    }
    assert!(store.remove(&names[0]).await.unwrap());
    for name in &names[1..] {
        assert_eq!(held(store, name).await, Some(name.to_string()));
        store.remove(name).await.unwrap();
    }
}

async fn every_text_comes_back(store: &dyn SecretStore) {
    let name = name("texts", "secret");
    let large = "0123456789abcdef".repeat(6 * 1024 / 16);
    let larger = "ü".repeat(64 * 1024);
    let texts = ["", " ", "\n", "a\nb\n", "agentauthd secret v1 x/y\nz", "\0", "ünï 漢 🦀", &large, &larger];
    for text in texts {
        store.set(&name, &secret(text)).await.unwrap();
        assert_eq!(held(store, &name).await.as_deref(), Some(text));
    }
    assert!(store.remove(&name).await.unwrap());
}

async fn many_at_once(store: &dyn SecretStore) {
    let names: Vec<_> = (0..8).map(|n| name(&format!("many-{n}"), "secret")).collect();
    let rounds = names.iter().map(|name| async move {
        for n in 0..5 {
            let text = format!("{name} {n}");
            store.set(name, &secret(&text)).await.unwrap();
            assert_eq!(held(store, name).await, Some(text));
        }
        assert!(store.remove(name).await.unwrap());
    });
    futures_util::future::join_all(rounds).await;
}

async fn it_survives(store: &dyn SecretStore, again: &dyn Fn() -> Box<dyn SecretStore>) {
    let name = name("survivor", "refresh_token");
    store.set(&name, &secret("still here")).await.unwrap();
    let second = again();
    assert_eq!(held(&*second, &name).await.as_deref(), Some("still here"));
    second.set(&name, &secret("changed there")).await.unwrap();
    assert_eq!(held(store, &name).await.as_deref(), Some("changed there"));
    assert!(second.remove(&name).await.unwrap());
    assert_eq!(held(store, &name).await, None);
}
