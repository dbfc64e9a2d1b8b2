//! Agents that tests register.

use std::path::{Path, PathBuf};

use agentauth_core::agent::{AgentFile, Registration};
use agentauth_core::grant::{Binding, Grant};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::binaries;

/// An agent to register.
#[derive(Clone, Debug)]
pub struct AgentSpec {
    /// Its name.
    pub name: String,
    /// Its executable.
    pub executable: PathBuf,
    /// Whether the executable's SHA-256 is a selector, too.
    pub pinned: bool,
    /// Its script, where the executable is an interpreter.
    pub script: Option<PathBuf>,
    /// The control group that it runs in.
    pub cgroup: Option<String>,
    /// What its manifest asks for.
    pub scopes: Vec<String>,
    /// What it is granted until that is revoked.
    pub grants: Vec<String>,
}

impl AgentSpec {
    /// The test agent, recognised by path and SHA-256, granted what it asks for.
    pub fn probe() -> Self {
        let scopes =
            ["payments.execute:currency=EUR", "payments.read", "admin.manage", "files.read:/projects"];
        let scopes: Vec<String> = scopes.map(str::to_owned).to_vec();
        Self {
            name: "probe-agent".to_owned(),
            executable: binaries::program("probe-agent"),
            pinned: true,
            script: None,
            cgroup: None,
            grants: scopes.clone(),
            scopes,
        }
    }

    /// The sample payment agent, run by Python; nothing where there is no Python.
    pub fn payment() -> Option<Self> {
        Some(Self {
            name: "payment-agent".to_owned(),
            executable: binaries::python()?,
            pinned: false,
            script: Some(binaries::root().join("docs/examples/payment_agent.py")),
            cgroup: None,
            scopes: vec!["payments.execute:currency=EUR".to_owned()],
            grants: vec!["payments.execute:currency=EUR".to_owned()],
        })
    }

    /// It with its grants, as an administrator's file says it.
    pub fn file(&self) -> Value {
        let mut selectors = json!({"executable": self.executable});
        if self.pinned {
            selectors["sha256"] = sha256(&self.executable).into();
        }
        if let Some(script) = &self.script {
            selectors["script"] = json!(script);
        }
        if let Some(cgroup) = &self.cgroup {
            selectors["cgroup"] = json!(cgroup);
        }
        let scopes: Vec<Value> = self
            .scopes
            .iter()
            .map(|scope| json!({"scope": scope, "purpose": "do what the test asks for"}))
            .collect();
        let grants: Vec<Value> =
            self.grants.iter().map(|scope| json!({"scope": scope, "lifetime": "until_revoked"})).collect();
        json!({
            "manifest": {"name": self.name, "version": "1.0.0", "scopes": scopes},
            "selectors": selectors,
            "grants": grants,
        })
    }

    /// Its registration and its grants, as if a person had given them earlier.
    pub fn standing(&self) -> (Registration, Vec<Grant>) {
        let file = AgentFile::parse(self.file().to_string().as_bytes()).unwrap();
        let binding = Binding {
            manifest_digest: Some(file.agent().manifest_digest.into()),
            consent: Some("earlier".into()),
            ..Binding::default()
        };
        let grants = file.grants().map(|grant| grant.bound(binding.clone())).collect();
        (file.registration(), grants)
    }
}

/// SHA-256 of a file, in lower-case hexadecimal.
pub fn sha256(path: &Path) -> String {
    hex::encode(Sha256::digest(std::fs::read(path).unwrap()))
}
