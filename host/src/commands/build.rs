//! `hostler build`: from the source of a plugin to the component that the host runs.
//!
//! Cargo compiles the package to a core module, which then becomes a component. The same input gives the same bytes: paths
//! of this machine are kept out of them.

mod component;
mod diagnostics;
mod package;
mod toolchain;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, bail};
use bytesize::ByteSize;
use clap::Args;
use serde::Deserialize;

use component::Component;
use package::Package;
use toolchain::Toolchain;

/// Builds plugins: one component, NAME.wasm, for each folder NAME.
///
/// Compiles for wasm32-unknown-unknown with the cargo profile `plugin`. Where the toolchain lacks that target, rustup is asked
/// to add it; where rustup cannot, Debian's rustc-web and rust-web-src are used.
#[derive(Debug, Args)]
#[command(after_help = "Exit codes:\n  0  every plugin is built\n  1  one is not, and those after it were not tried")]
pub struct Arguments {
    /// Folders of plugins, each with its Cargo.toml
    #[arg(value_name = "PATH", default_value = ".")]
    pub paths: Vec<PathBuf>,
    /// Where the components go [default: `dist` at the root of the package's workspace]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// The target that plugins are compiled for: the one whose components import nothing but what they use.
const TARGET: &str = "wasm32-unknown-unknown";

/// The profile that plugins are compiled with, where their workspace has none of that name.
const PROFILE: [(&str, &str); 6] = [
    ("inherits", "\"release\""),
    ("codegen-units", "1"),
    ("lto", "true"),
    ("opt-level", "\"s\""),
    ("panic", "\"abort\""),
    ("strip", "\"debuginfo\""),
];

impl Arguments {
    /// Runs the command.
    pub fn run(&self) -> ExitCode {
        match self.build() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                crate::commands::complain(&error);
                ExitCode::FAILURE
            }
        }
    }

    /// Builds each plugin, and prints a line for it.
    pub fn build(&self) -> anyhow::Result<()> {
        // All mistakes in the arguments come before the first long compilation.
        let packages = self.paths.iter().map(|path| Package::read(path)).collect::<anyhow::Result<Vec<Package>>>()?;
        for package in &packages {
            let toolchain = Toolchain::find(&package.folder)?;
            eprintln!("building {}{}", package.plugin, toolchain.remark());
            let component = component_of(package, &toolchain, Verbosity::Normal)?;
            let out = self.out.clone().unwrap_or_else(|| package.workspace_root.join("dist"));
            let path = out.join(format!("{}.wasm", package.plugin));
            super::write(&path, &component.bytes)?;
            let size = ByteSize::b(component.bytes.len() as u64);
            println!("{}: {size}, imports {}", from_here(&path).display(), component.imports.join(" "));
        }
        Ok(())
    }
}

/// How much cargo says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verbosity {
    Normal,
    /// Only what is wrong: warnings on standard error, and errors in what is returned.
    Quiet,
}

/// Builds the plugin of the package in `folder`, and returns the component. What the compiler has to say against it is in the
/// error: whoever reads a report does not see our standard error.
pub(crate) fn component(folder: &Path) -> anyhow::Result<Vec<u8>> {
    let package = Package::read(folder)?;
    let toolchain = Toolchain::find(&package.folder)?;
    Ok(component_of(&package, &toolchain, Verbosity::Quiet)?.bytes)
}

/// The folders of the packages that the plugin in `folder` is built from: its own, and those it depends on by their path.
pub(crate) fn sources(folder: &Path) -> anyhow::Result<BTreeSet<PathBuf>> {
    package::sources(folder)
}

fn component_of(package: &Package, toolchain: &Toolchain, verbosity: Verbosity) -> anyhow::Result<Component> {
    let module = compile(package, toolchain, verbosity)?;
    let module = fs::read(&module).with_context(|| format!("cannot read {}", module.display()))?;
    Component::encode(&module).with_context(|| package.plugin.clone())
}

/// Compiles the package to a core module and returns where it is.
fn compile(package: &Package, toolchain: &Toolchain, verbosity: Verbosity) -> anyhow::Result<PathBuf> {
    let mut cargo = package::cargo(&package.folder);
    cargo.args(["build", "--lib", "--target", TARGET, "--profile", "plugin"]);
    cargo.args(["--package", &package.id]);
    match verbosity {
        Verbosity::Normal => cargo.args(["--message-format", "json-render-diagnostics"]),
        Verbosity::Quiet => cargo.args(["--message-format", "json", "--quiet"]).stderr(Stdio::piped()),
    };
    if !package.has_profile {
        for (key, value) in PROFILE {
            cargo.arg("--config").arg(format!("profile.plugin.{key}={value}"));
        }
    }
    remap_paths(&mut cargo, package);
    toolchain.configure(&mut cargo);

    let running = cargo.stdout(Stdio::piped()).spawn().context("cannot start cargo: is Rust installed?")?;
    let output = running.wait_with_output().context("cannot read what cargo says")?;
    let messages = String::from_utf8_lossy(&output.stdout);
    let said = String::from_utf8_lossy(&output.stderr);
    let told = diagnostics::told(&messages, &said);
    match (output.status.success(), verbosity) {
        (true, Verbosity::Normal) => {}
        (true, Verbosity::Quiet) => eprint!("{said}{}", told.warnings),
        (false, Verbosity::Normal) => bail!("{} does not compile: cargo says why above", package.plugin),
        (false, Verbosity::Quiet) => bail!("{} does not compile:\n{}", package.plugin, told.errors),
    }
    module(&messages, &package.id)
        .with_context(|| format!("{}: cargo built no .wasm file, although it says it succeeded", package.plugin))
}

/// The module among the artifacts that cargo tells of, one JSON object in a line.
fn module(messages: &str, package_id: &str) -> Option<PathBuf> {
    #[derive(Deserialize)]
    struct Message {
        package_id: Option<String>,
        #[serde(default)]
        filenames: Vec<PathBuf>,
    }

    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Message>(line).ok())
        .filter(|message| message.package_id.as_deref() == Some(package_id))
        .flat_map(|message| message.filenames)
        .find(|file| file.extension().is_some_and(|extension| extension == "wasm"))
}

/// Keeps the paths of this machine out of the module: panics carry the place they come from, be it in a dependency or in code
/// that a build script wrote.
///
/// Flags in the environment hide those of the configuration, so ours are added wherever the author's are.
fn remap_paths(cargo: &mut Command, package: &Package) {
    let flags = remappings(
        [
            (Some(package.workspace_root.clone()), "/plugin"),
            (Some(package.target_directory.clone()), "/target"),
            (Some(package.build_directory.clone()), "/target"),
            (cargo_home(), "/cargo"),
        ]
        .into_iter()
        .filter_map(|(from, to)| Some((from?, to))),
    );
    let separator = "\u{1f}";
    let inherited = std::env::var("CARGO_ENCODED_RUSTFLAGS").or_else(|_| {
        std::env::var("RUSTFLAGS").map(|flags| flags.split_whitespace().collect::<Vec<_>>().join(separator))
    });
    match inherited {
        Ok(inherited) if !inherited.is_empty() => {
            cargo.env("CARGO_ENCODED_RUSTFLAGS", format!("{inherited}{separator}{}", flags.join(separator)));
        }
        _ => {
            let flags = toml::Value::from(flags);
            cargo.arg("--config").arg(format!("target.{TARGET}.rustflags={flags}"));
        }
    }
}

/// What tells the compiler to write the second path of each pair where it finds the first.
fn remappings(paths: impl Iterator<Item = (PathBuf, &'static str)>) -> Vec<String> {
    let mut paths: Vec<_> = paths.collect();
    // The last that matches counts: whatever lies below another comes after it.
    paths.sort_by_key(|(from, _)| from.components().count());
    paths.into_iter().map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display())).collect()
}

/// Where cargo keeps the sources of dependencies.
fn cargo_home() -> Option<PathBuf> {
    std::env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(std::env::home_dir()?.join(".cargo")))
}

/// A path as one would type it: from the folder we are in, when it leads further in.
fn from_here(path: &Path) -> &Path {
    let here = std::env::current_dir().and_then(|folder| folder.canonicalize());
    here.ok().and_then(|here| path.strip_prefix(here).ok()).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_module_is_found_among_what_cargo_says() {
        let messages = r#"{"reason":"compiler-artifact","package_id":"path+file:///w/sdk#0.1.0","filenames":["/t/libsdk.rlib"]}
not json
{"reason":"compiler-artifact","package_id":"path+file:///w/drain#0.1.0","filenames":["/t/libdrain.rlib","/t/drain.wasm"]}
{"reason":"build-finished","success":true}"#;
        assert_eq!(module(messages, "path+file:///w/drain#0.1.0"), Some(PathBuf::from("/t/drain.wasm")));
        assert_eq!(module(messages, "path+file:///w/sdk#0.1.0"), None);
    }

    #[test]
    fn a_folder_below_another_is_told_after_it_whichever_is_which() {
        let remappings = |paths: [(&str, &'static str); 2]| {
            super::remappings(paths.into_iter().map(|(from, to)| (PathBuf::from(from), to))).join(" ")
        };
        let below = "--remap-path-prefix=/home/me=/cargo --remap-path-prefix=/home/me/target=/target";
        assert_eq!(remappings([("/home/me/target", "/target"), ("/home/me", "/cargo")]), below);
        assert_eq!(remappings([("/home/me", "/cargo"), ("/home/me/target", "/target")]), below);
    }
}
