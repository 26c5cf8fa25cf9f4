//! Whoever signs plugins, with a key of the host's own command.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::host;

/// A pair of keys in a folder.
#[derive(Debug)]
pub struct Signer {
    folder: PathBuf,
    /// The line of a policy's `[modules]` that trusts it.
    pub trusted: String,
}

impl Signer {
    /// Makes the keys, in a folder of its own.
    pub fn new(folder: &Path) -> Self {
        std::fs::create_dir_all(folder).expect("a folder can be made");
        let said = said(&hostler(folder, &["keygen", "--unencrypted"]));
        let trusted = said.lines().map(str::trim).find(|line| line.starts_with("trusted-keys"));
        let trusted = trusted.unwrap_or_else(|| panic!("keygen names no key: {said}")).to_owned();
        Self { folder: folder.to_owned(), trusted }
    }

    /// Signs a module as `name` in a version, with minisign: `hostler sign` takes components only, and an uploader need not. Returns what
    /// S3 takes as its metadata `minisig`.
    pub fn sign(&self, module: &[u8], name: &str, version: &str) -> String {
        std::fs::write(self.folder.join(name), module).expect("a module can be written");
        let comment = format!("file:{name}\tversion:{version}");
        let mut minisign = Command::new("minisign");
        minisign.current_dir(&self.folder).args(["-S", "-s", "hostler.key", "-m", name, "-t", &comment]);
        said(&minisign.output().expect("there is minisign: `make test` installs it"));
        let signature = std::fs::read(self.folder.join(format!("{name}.minisig"))).expect("minisign writes it");
        BASE64.encode(signature)
    }
}

/// Runs the host in a folder.
pub fn hostler(folder: &Path, arguments: &[&str]) -> Output {
    hostler_with(folder, arguments, &[])
}

/// The same, with this in its environment.
pub fn hostler_with(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(host());
    command.current_dir(folder).args(arguments).env_remove("AWS_LAMBDA_RUNTIME_API").envs(environment.iter().copied());
    command.output().expect("the host starts")
}

/// What a program said that did well.
fn said(output: &Output) -> String {
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{error}{out}");
    out.into_owned()
}
