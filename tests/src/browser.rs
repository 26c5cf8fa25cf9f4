//! A browser without a window, which lays a page out as for a reader.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::process::{Folder, path, program};

/// The names it goes by. The first is Debian's, made for this; the others are what people have.
const NAMES: [&str; 3] = ["chromium-headless-shell", "chromium", "google-chrome"];

/// Where the probe leaves what it measured.
const RESULT: (&str, &str) = ("<pre id=\"measured\">", "</pre>");

/// A browser, and a folder for what it remembers.
#[derive(Debug)]
pub struct Browser {
    program: PathBuf,
    folder: Folder,
}

impl Browser {
    /// Finds the one that is installed.
    pub fn find() -> Self {
        let found = NAMES.iter().find(|name| path().split(':').any(|folder| Path::new(folder).join(name).is_file()));
        Self { program: program(found.unwrap_or(&NAMES[0])), folder: Folder::new() }
    }

    /// A folder for pages.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Opens a page as it is, and says what it wrote to the console: what it broke, and what its policy kept it from.
    pub fn complaints(&self, page: &Path) -> Vec<String> {
        let (_, log) = self.open(page);
        log.lines().filter(|line| line.contains("CONSOLE")).map(str::to_owned).collect()
    }

    /// Opens a copy of a page `width` wide, and says what `probe`, the body of a JavaScript function, returns after layout. Only
    /// the copy's policy lets a script run.
    pub fn measure(&self, page: &Path, width: u32, probe: &str) -> Value {
        let original = std::fs::read_to_string(page).expect("the page is text");
        let policy = "default-src 'none'; ";
        assert!(original.contains(policy), "the page forbids everything but what it names");
        let copy = original.replacen(policy, &format!("{policy}script-src 'unsafe-inline'; "), 1);
        let script = format!(
            "<script>addEventListener('load', () => {{ const measured = document.createElement('pre'); measured.id = 'measured'; \
             measured.textContent = JSON.stringify((() => {{ {probe} }})()); parent.document.body.append(measured); }})</script>"
        );
        // In a frame, since not every browser makes a window as narrow as a telephone.
        let copy = (copy + &script).replace('&', "&amp;").replace('"', "&quot;");
        let frame = format!(
            "<!DOCTYPE html><meta charset=\"utf-8\"><iframe width=\"{width}\" height=\"900\" style=\"border: 0\" srcdoc=\"{copy}\">"
        );
        let framed = self.folder.path().join("framed.html");
        std::fs::write(&framed, frame).expect("a file can be made");
        let (dom, log) = self.open(&framed);
        let measured = dom.split_once(RESULT.0).and_then(|(_, rest)| rest.split_once(RESULT.1));
        let (measured, _) = measured.unwrap_or_else(|| panic!("the probe did not end:\n{log}"));
        let measured =
            measured.replace("&lt;", "<").replace("&gt;", ">").replace("&nbsp;", "\u{a0}").replace("&amp;", "&");
        serde_json::from_str(&measured).expect("the probe writes JSON")
    }

    /// The DOM after everything has happened, and the log.
    fn open(&self, page: &Path) -> (String, String) {
        let home = self.folder.path();
        let mut browser = Command::new(&self.program);
        // The sandbox needs rights that build machines do not give; the pages are our own.
        browser.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]);
        browser.args(["--disable-background-networking", "--enable-logging=stderr", "--hide-scrollbars"]);
        browser.args(["--virtual-time-budget=10000", "--dump-dom"]);
        browser.arg(format!("--user-data-dir={}", home.join("profile").display()));
        browser.arg(format!("file://{}", page.display()));
        let output = browser.env_clear().env("PATH", path()).env("HOME", home).env("TMPDIR", home).output();
        let output = output.expect("the browser starts");
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{}: {log}", self.program.display());
        (String::from_utf8_lossy(&output.stdout).into_owned(), log)
    }
}
