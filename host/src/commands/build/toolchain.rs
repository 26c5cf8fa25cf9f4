//! A compiler that can make plugins: the one there is, the one rustup completes, or Debian's.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::bail;

use super::TARGET;

/// How plugins are compiled on this machine.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Toolchain {
    /// The toolchain in use has the target.
    Installed,
    /// It has not, and cannot get it: Debian's compiler, which builds the standard library from its source.
    Debian {
        /// What links modules.
        linker: PathBuf,
    },
}

/// Debian's compiler (package `rustc-web`), which a rustup toolchain hides on the PATH.
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";

/// Where a toolchain keeps the source of the standard library, below its root (package `rust-web-src`).
const STD_SOURCE: &str = "lib/rustlib/src/rust/library/std/Cargo.toml";

impl Toolchain {
    /// Finds the toolchain for a package in `folder`, which may have a toolchain file of its own. May download the target.
    pub(super) fn find(folder: &Path) -> anyhow::Result<Self> {
        let rustc = PathBuf::from(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
        let sysroot = sysroot(&rustc, folder);
        let installed =
            || sysroot.as_ref().is_some_and(|root| root.join("lib/rustlib").join(TARGET).join("lib").is_dir());
        let add_target = || match add_target(folder) {
            // RUSTC may name a compiler that is none of rustup's.
            Ok(()) if !installed() => Err(format!("rustup added it to another compiler than {}", rustc.display())),
            added => added,
        };
        Self::choose(installed(), add_target, || debian(sysroot.as_deref()))
    }

    /// The first that works; both reasons when none does.
    fn choose(
        installed: bool,
        add_target: impl FnOnce() -> Result<(), String>,
        debian: impl FnOnce() -> Result<PathBuf, String>,
    ) -> anyhow::Result<Self> {
        if installed {
            return Ok(Self::Installed);
        }
        let Err(no_target) = add_target() else { return Ok(Self::Installed) };
        match debian() {
            Ok(linker) => Ok(Self::Debian { linker }),
            Err(no_debian) => bail!(
                "no compiler for {TARGET}: {no_target}, and {no_debian}; install one with `rustup target add {TARGET}`, or on \
                 Debian with `apt-get install rustc-web rust-web-src lld`"
            ),
        }
    }

    /// What to say beside a plugin's name.
    pub(super) fn remark(&self) -> &'static str {
        match self {
            Self::Installed => "",
            Self::Debian { .. } => " with Debian's compiler; the first time, that takes a minute more",
        }
    }

    /// Makes cargo use it.
    pub(super) fn configure(&self, cargo: &mut Command) {
        match self {
            Self::Installed => {}
            Self::Debian { linker } => {
                cargo
                    .env("RUSTC", DEBIAN_RUSTC)
                    // Building the standard library is not stable; the compiler's own build system allows it like this.
                    .env("RUSTC_BOOTSTRAP", "1")
                    .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker)
                    .arg("-Zbuild-std=std,panic_abort");
            }
        }
    }
}

/// The root of the toolchain that `rustc` belongs to, as chosen in `folder`.
fn sysroot(rustc: &Path, folder: &Path) -> Option<PathBuf> {
    let output = Command::new(rustc)
        .args(["--print", "sysroot"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let path = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !path.trim().is_empty()).then(|| PathBuf::from(path.trim()))
}

/// Asks rustup to add the target to the toolchain in use. What it says goes to standard error.
fn add_target(folder: &Path) -> Result<(), String> {
    eprintln!("adding the target {TARGET} with rustup");
    let status = Command::new("rustup")
        .args(["target", "add", TARGET])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err("rustup cannot add it".to_owned()),
        Err(_) => Err("there is no rustup".to_owned()),
    }
}

/// Debian's compiler and a linker for it; or what is missing. `sysroot` is that of the toolchain in use.
fn debian(in_use: Option<&Path>) -> Result<PathBuf, String> {
    let root = sysroot(Path::new(DEBIAN_RUSTC), Path::new("/")).ok_or(format!("there is no {DEBIAN_RUSTC}"))?;
    if !root.join(STD_SOURCE).is_file() {
        return Err(format!("{DEBIAN_RUSTC} has no source of the standard library (package rust-web-src)"));
    }
    linker(&root, in_use).ok_or_else(|| "there is no wasm-ld (package lld)".to_owned())
}

/// A linker for modules: LLVM's, from the system or from a toolchain.
fn linker(root: &Path, in_use: Option<&Path>) -> Option<PathBuf> {
    let host = format!("lib/rustlib/{}-unknown-linux-gnu/bin/rust-lld", std::env::consts::ARCH);
    let of_toolchains = [in_use, Some(root)].into_iter().flatten().map(|root| root.join(&host));
    let of_the_system = std::env::var_os("PATH")
        .into_iter()
        .flat_map(|path| std::env::split_paths(&path).map(|folder| folder.join("wasm-ld")).collect::<Vec<PathBuf>>());
    of_toolchains.chain(of_the_system).find(|linker| linker.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn never<T>() -> Result<T, String> {
        panic!("asked although there is no need")
    }

    #[test]
    fn what_is_there_is_used_before_anything_is_fetched() {
        assert_eq!(Toolchain::choose(true, never, never).unwrap(), Toolchain::Installed);
        assert_eq!(Toolchain::choose(false, || Ok(()), never).unwrap(), Toolchain::Installed);
    }

    #[test]
    fn where_rustup_cannot_debian_can() {
        let found =
            Toolchain::choose(false, || Err("rustup cannot add it".to_owned()), || Ok("/usr/bin/wasm-ld".into()));
        assert_eq!(found.unwrap(), Toolchain::Debian { linker: "/usr/bin/wasm-ld".into() });
    }

    #[test]
    fn with_neither_the_error_says_what_to_install() {
        let found = Toolchain::choose(
            false,
            || Err("rustup cannot add it".to_owned()),
            || Err("there is no /usr/bin/rustc".to_owned()),
        );
        assert_eq!(
            found.unwrap_err().to_string(),
            "no compiler for wasm32-unknown-unknown: rustup cannot add it, and there is no /usr/bin/rustc; install one with \
             `rustup target add wasm32-unknown-unknown`, or on Debian with `apt-get install rustc-web rust-web-src lld`"
        );
    }

    #[test]
    fn debians_compiler_is_told_how_to_build_everything() {
        let mut cargo = Command::new("cargo");
        Toolchain::Debian { linker: "/usr/bin/wasm-ld".into() }.configure(&mut cargo);
        let environment: Vec<_> =
            cargo.get_envs().filter_map(|(key, value)| Some((key.to_str()?, value?.to_str()?))).collect();
        assert_eq!(
            environment,
            [
                ("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", "/usr/bin/wasm-ld"),
                ("RUSTC", "/usr/bin/rustc"),
                ("RUSTC_BOOTSTRAP", "1"),
            ]
        );
        assert_eq!(cargo.get_args().collect::<Vec<_>>(), ["-Zbuild-std=std,panic_abort"]);
    }
}
