//! The package of a plugin, as cargo describes it.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};
use serde::Deserialize;

/// A package that can become a plugin.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Package {
    /// The name of its folder: what the plugin is called.
    pub(super) plugin: String,
    /// Its folder, in full.
    pub(super) folder: PathBuf,
    /// Cargo's id for it.
    pub(super) id: String,
    /// The root of its workspace; its own folder when it is in none.
    pub(super) workspace_root: PathBuf,
    /// Where cargo puts what it builds.
    pub(super) target_directory: PathBuf,
    /// Where it builds, and build scripts write what they write: the same, unless its configuration has a `build-dir`.
    pub(super) build_directory: PathBuf,
    /// Whether the workspace has a profile `plugin` of its own.
    pub(super) has_profile: bool,
}

/// What `cargo metadata` says, as far as we ask.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Described>,
    workspace_root: PathBuf,
    target_directory: PathBuf,
    /// Cargo says so since 1.91, from when on it can be another.
    build_directory: Option<PathBuf>,
}

impl Metadata {
    /// Asks cargo about the package in `folder`, and those of its workspace. `name` is for messages.
    fn read(folder: &Path, name: &dyn Display) -> anyhow::Result<Self> {
        let mut metadata = cargo(folder);
        metadata.args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path"]);
        metadata.arg(folder.join("Cargo.toml")).stderr(Stdio::inherit());
        let output = metadata.output().context("cannot start cargo: is Rust installed?")?;
        ensure!(output.status.success(), "{name}: cargo cannot read its Cargo.toml, and says why above");
        serde_json::from_slice(&output.stdout).context("cannot understand what `cargo metadata` says")
    }
}

#[derive(Deserialize)]
struct Described {
    id: String,
    manifest_path: PathBuf,
    targets: Vec<Target>,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    /// `dev` or `build`; none for what every build needs.
    kind: Option<String>,
    /// Its folder, if that is where it comes from.
    path: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    crate_types: Vec<String>,
}

impl Package {
    /// Reads the package in the folder `path`.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let name = path.display();
        let folder = path.canonicalize().with_context(|| format!("{name}: there is no such folder"))?;
        let manifest = folder.join("Cargo.toml");
        ensure!(manifest.is_file(), "{name} has no Cargo.toml: give the folder of a plugin's package");

        let metadata = Metadata::read(&folder, &name)?;
        let root = metadata.workspace_root.join("Cargo.toml");
        let root = std::fs::read_to_string(&root).with_context(|| format!("cannot read {}", root.display()))?;
        Self::from_metadata(metadata, &folder, has_profile(&root)).with_context(|| name.to_string())
    }

    fn from_metadata(metadata: Metadata, folder: &Path, has_profile: bool) -> anyhow::Result<Self> {
        let manifest = folder.join("Cargo.toml");
        let Some(package) = metadata.packages.into_iter().find(|package| package.manifest_path == manifest) else {
            bail!("its Cargo.toml is that of a workspace, not of a package: give the folders of its plugins");
        };
        let is_cdylib = |target: &Target| target.crate_types.iter().any(|kind| kind == "cdylib");
        ensure!(
            package.targets.iter().any(is_cdylib),
            "the package is not a plugin yet: write crate-type = [\"cdylib\", \"rlib\"] under [lib] in its Cargo.toml"
        );
        let plugin = folder.file_name().and_then(|name| name.to_str()).context("the folder's name is not UTF-8")?;
        Ok(Self {
            plugin: plugin.to_owned(),
            folder: folder.to_owned(),
            id: package.id,
            workspace_root: metadata.workspace_root,
            build_directory: metadata.build_directory.unwrap_or_else(|| metadata.target_directory.clone()),
            target_directory: metadata.target_directory,
            has_profile,
        })
    }
}

/// The folders of the packages that the one in `folder` is built from: its own, and those it depends on by their path, and
/// so on.
pub(super) fn sources(folder: &Path) -> anyhow::Result<BTreeSet<PathBuf>> {
    let mut sources = BTreeSet::new();
    let mut next = vec![folder.canonicalize()?];
    while let Some(folder) = next.pop() {
        if sources.contains(&folder) {
            continue;
        }
        let manifest = folder.join("Cargo.toml");
        let packages = Metadata::read(&folder, &folder.display())?.packages;
        let own = packages.into_iter().filter(|package| package.manifest_path == manifest);
        let built_from = own.flat_map(|own| own.dependencies).filter(|one| one.kind.as_deref() != Some("dev"));
        next.extend(built_from.filter_map(|one| one.path?.canonicalize().ok()));
        sources.insert(folder);
    }
    Ok(sources)
}

/// Cargo, run in `folder`: so that its toolchain and configuration are those of the plugin.
pub(super) fn cargo(folder: &Path) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(folder).stdin(Stdio::null());
    cargo
}

/// Whether the manifest has `[profile.plugin]`. One that cannot be read is cargo's to complain about.
fn has_profile(manifest: &str) -> bool {
    let profiles = manifest.parse::<toml::Table>().ok().and_then(|table| table.get("profile").cloned());
    profiles.is_some_and(|profiles| profiles.get("plugin").is_some())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn folder(manifest: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("src")).unwrap();
        fs::write(folder.path().join("src/lib.rs"), "").unwrap();
        fs::write(folder.path().join("Cargo.toml"), manifest).unwrap();
        folder
    }

    fn complaint(folder: &Path) -> String {
        format!("{:#}", Package::read(folder).unwrap_err()).replace(folder.to_str().unwrap(), "PATH")
    }

    #[test]
    fn a_plugin_is_called_as_its_folder() {
        let folder = folder("[package]\nname = \"other\"\nedition = \"2024\"\n[lib]\ncrate-type = [\"cdylib\"]\n");
        let package = Package::read(folder.path()).unwrap();
        let path = folder.path().canonicalize().unwrap();
        assert_eq!(package.plugin, path.file_name().unwrap().to_str().unwrap());
        assert_eq!((package.folder, package.workspace_root), (path.clone(), path));
        assert!(!package.has_profile);
    }

    #[test]
    fn what_is_not_a_plugin_is_told_what_it_lacks() {
        let empty = tempfile::tempdir().unwrap();
        assert_eq!(complaint(empty.path()), "PATH has no Cargo.toml: give the folder of a plugin's package");
        assert_eq!(
            complaint(&empty.path().join("x")).replace("PATH/x", "PATH"),
            "PATH: there is no such folder: No such file or directory (os error 2)"
        );
        assert_eq!(
            complaint(folder("[workspace]\nmembers = []\n").path()),
            "PATH: its Cargo.toml is that of a workspace, not of a package: give the folders of its plugins"
        );
        assert_eq!(
            complaint(folder("[package]\nname = \"x\"\n").path()),
            "PATH: the package is not a plugin yet: write crate-type = [\"cdylib\", \"rlib\"] under [lib] in its Cargo.toml"
        );
        assert_eq!(
            complaint(folder("[package\n").path()),
            "PATH: cargo cannot read its Cargo.toml, and says why above"
        );
    }

    #[test]
    fn a_plugin_is_built_from_what_it_depends_on_by_path() {
        let root = tempfile::tempdir().unwrap();
        let package = |name: &str, dependencies: &str| {
            let folder = root.path().join(name);
            fs::create_dir_all(folder.join("src")).unwrap();
            fs::write(folder.join("src/lib.rs"), "").unwrap();
            let manifest = format!("[package]\nname = {name:?}\nedition = \"2024\"\n{dependencies}\n[workspace]\n");
            fs::write(folder.join("Cargo.toml"), manifest).unwrap();
        };
        package(
            "drain",
            "[dependencies]\nsdk = { path = \"../sdk\" }\n[dev-dependencies]\ntest = { path = \"../test\" }",
        );
        package("sdk", "[build-dependencies]\nwit = { path = \"../wit\" }");
        package("wit", "");
        package("test", "");
        let root = root.path().canonicalize().unwrap();
        assert_eq!(sources(&root.join("drain")).unwrap(), ["drain", "sdk", "wit"].map(|name| root.join(name)).into());
    }

    #[test]
    fn the_profile_of_the_workspace_is_noticed() {
        assert!(has_profile("[profile.plugin]\ninherits = \"release\"\n"));
        assert!(!has_profile("[profile.release]\nlto = true\n"));
        assert!(!has_profile("not toml"));
    }
}
