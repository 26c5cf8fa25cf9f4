//! `hostler inspect`: what a component says of itself, without running it and without a policy.

mod producers;

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;

use bytesize::ByteSize;
use clap::Args;
use serde::Serialize;
use serde_json::json;

use super::module_file::ModuleFile;
use crate::digest::sha256;
use crate::modules::{Surface, accept};
use crate::policy::{Need, Power};
use producers::Producers;

/// Shows what a plugin could do: its imports, as powers in words.
///
/// A plugin of Rust imports only what it uses, so the list is complete and exact. One of Python or JavaScript imports all there
/// is, so for it the list says what it could ask for. Nothing is run, and no policy is read; `hostler check` compares with one.
#[derive(Debug, Clone, Args)]
#[command(after_help = HELP)]
pub struct Arguments {
    /// The component
    #[arg(value_name = "FILE.wasm")]
    pub file: PathBuf,
    /// Print one JSON object instead of text
    #[arg(long)]
    pub json: bool,
}

const HELP: &str = "\
Exit codes:
  0  it is a plugin for this host
  1  it is not: no component, or one of another contract, or one that imports what this host does not have
  2  the file cannot be read

The JSON object has `file`, `module` (what a policy calls it), `size` in bytes, `sha256`, `contract` (a version, or null), \
`producers` (languages, SDKs and tools with their versions, by kind), `powers` (each with `call`, `power` in words and `needs`, which is \
null where no grant is needed), `wasi` (what it gets of each package of WASI 0.2) and `refused` (why this host refuses it, a list of \
texts). Where the file cannot be read it has `file` and `error`.";

/// It is a plugin for this host.
pub const SERVED: u8 = 0;
/// This host refuses it.
pub const REFUSED: u8 = 1;
/// There is nothing to inspect.
pub const UNREADABLE: u8 = 2;

/// What a component says of itself.
#[derive(Debug, Serialize)]
struct Inspection {
    file: String,
    module: String,
    size: usize,
    sha256: String,
    contract: Option<String>,
    producers: Producers,
    powers: Vec<Asked>,
    wasi: BTreeMap<&'static str, &'static str>,
    refused: Vec<String>,
}

/// A power that an import asks for.
#[derive(Debug, Serialize)]
struct Asked {
    call: &'static str,
    power: &'static str,
    needs: Option<Need>,
}

impl Arguments {
    /// Runs the command and returns its exit code. What it has to say goes to `out`.
    pub fn run(&self, out: &mut dyn Write) -> io::Result<u8> {
        let file = match ModuleFile::read(&self.file) {
            Ok(file) => file,
            Err(error) if self.json => {
                writeln!(out, "{:#}", json!({ "file": self.file.display().to_string(), "error": error.to_string() }))?;
                return Ok(UNREADABLE);
            }
            Err(error) => {
                writeln!(out, "{error}")?;
                return Ok(UNREADABLE);
            }
        };
        let inspection = Inspection::of(&file);
        if self.json {
            writeln!(out, "{:#}", json!(inspection))?;
        } else {
            write!(out, "{inspection}")?;
        }
        Ok(if inspection.refused.is_empty() { SERVED } else { REFUSED })
    }
}

impl Inspection {
    fn of(file: &ModuleFile) -> Self {
        let (surface, refused) = match Surface::read(&file.bytes) {
            Ok(surface) => {
                let reasons = accept::reasons(&surface);
                (surface, reasons)
            }
            Err(refusal) => (Surface::default(), refusal.reasons),
        };
        let powers = surface.calls().filter_map(|call| Power::of(&call));
        Self {
            file: file.path.display().to_string(),
            module: file.module.clone(),
            size: file.bytes.len(),
            sha256: sha256(&file.bytes),
            contract: surface.contract().map(str::to_owned),
            producers: Producers::read(&file.bytes),
            powers: powers
                .map(|power| Asked { call: power.call(), power: power.words(), needs: power.need() })
                .collect(),
            wasi: surface.imports.keys().filter_map(|interface| accept::wasi(interface)).collect(),
            refused,
        }
    }
}

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.file)?;
        writeln!(f, "  module: {}", self.module)?;
        writeln!(f, "  size: {}", ByteSize::b(self.size as u64))?;
        writeln!(f, "  SHA-256: {}", self.sha256)?;
        if let Some(version) = &self.contract {
            writeln!(f, "  contract: {version}")?;
        }
        for (kind, names) in self.producers.kinds() {
            writeln!(f, "  {kind}: {names}")?;
        }
        section(f, "this host refuses it", self.refused.iter())?;
        let (granted, free): (Vec<&Asked>, Vec<&Asked>) = self.powers.iter().partition(|asked| asked.needs.is_some());
        section(f, "where the policy grants it, it can", granted.into_iter())?;
        section(f, "without a grant, it can", free.into_iter())?;
        section(f, "of WASI 0.2, it gets", self.wasi.iter().map(|(package, words)| format!("{package}: {words}")))
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.power, self.call)?;
        self.needs.map_or(Ok(()), |need| write!(f, ": needs {need}"))
    }
}

/// A heading and a line for each item; nothing where there is none.
fn section(
    f: &mut fmt::Formatter<'_>,
    heading: &str,
    items: impl ExactSizeIterator<Item = impl fmt::Display>,
) -> fmt::Result {
    if items.len() == 0 {
        return Ok(());
    }
    writeln!(f, "\n{heading}:")?;
    items.into_iter().try_for_each(|item| writeln!(f, "  {item}"))
}

#[cfg(test)]
mod tests;
