//! `hostler new`: a plugin to begin with, which builds and passes its tests as it is, anywhere.
//!
//! Neither a registry nor a network is needed: the SDK is part of this program, and is unpacked beside the plugin.

mod files;
mod name;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{anyhow, bail};
use clap::{Args, ValueEnum};

use name::Name;

use crate::shell;

/// Makes a plugin to begin with: a folder with a handler, its tests, two cases and a policy.
///
/// The handler drains an instance that is about to go. It builds and passes its tests as it is, without a network: the SDK is
/// unpacked to .hostler/sdk in the folder, and `.cargo/config.toml` points to it.
#[derive(Debug, Args)]
#[command(after_help = "Exit codes:\n  0  the plugin is made\n  1  it is not, and nothing was written")]
pub struct Arguments {
    /// What the plugin is called: its folder, its crate, and NAME.wasm in a policy
    #[arg(value_name = "NAME")]
    pub name: String,
    /// The language it is written in
    #[arg(long, value_enum, default_value_t)]
    pub lang: Language,
    /// The folder to make it in
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub path: PathBuf,
}

/// The languages there is a beginning for.
///
/// The host runs plugins of any language that becomes a component; for others there is no template yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Language {
    /// Rust, for wasm32-unknown-unknown
    #[default]
    Rust,
}

impl Arguments {
    /// Runs the command.
    pub fn run(&self) -> ExitCode {
        match self.make() {
            Ok(folder) => {
                println!("made {}: a plugin that drains an instance before it goes. Now:\n", folder.display());
                println!("  cd {}\n  hostler test --watch", shell::typed(&folder.to_string_lossy()));
                ExitCode::SUCCESS
            }
            Err(error) => {
                crate::commands::complain(&error);
                ExitCode::FAILURE
            }
        }
    }

    /// Makes the plugin, whole or not at all, and returns its folder.
    pub fn make(&self) -> anyhow::Result<PathBuf> {
        let name = Name::new(&self.name)?;
        let Language::Rust = self.lang;
        // Without a `./` before it, as one would type it.
        let folder = if self.path == Path::new(".") { name.as_str().into() } else { self.path.join(name.as_str()) };
        let shown = folder.display();
        match fs::read_dir(&folder).map(|mut entries| entries.next().is_none()) {
            Ok(true) => {}
            Ok(false) => bail!("{shown} is not empty: choose another name, or another folder with --path DIR"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => bail!("cannot use {shown}: {error}; choose another name, or another folder with --path DIR"),
        }
        // Made beside its place and moved there, so that it is never seen half.
        let part = folder.with_file_name(format!(".{}.{}.part", name.as_str(), std::process::id()));
        files::of_plugin(&name)
            .iter()
            .try_for_each(|(path, text)| write(&part.join(path), text))
            .and_then(|()| fs::rename(&part, &folder))
            .inspect_err(|_| drop(fs::remove_dir_all(&part)))
            .map_err(|error| {
                anyhow!("cannot make {shown}: {error}; choose a folder you may write to with --path DIR")
            })?;
        Ok(folder)
    }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)?;
    fs::write(path, text)
}

#[cfg(test)]
mod tests;
