//! Modules from a folder.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Component, Path, PathBuf};

use async_trait::async_trait;

use super::signature::SIGNATURE_BYTES;
use super::{Fetched, Source, SourceError, SourceErrorKind, Upload, Which};
use crate::digest::sha256;

/// A folder of modules, `source = "dir:PATH"`.
///
/// The signature of a module is the file beside it whose name ends in `.minisig` too. A file written again with the same bytes is no
/// new version.
/// A module's name cannot lead out of the folder: neither by `..`, nor by an absolute path, nor through a symbolic link.
#[derive(Debug, Clone)]
pub struct DirSource {
    folder: PathBuf,
}

impl DirSource {
    /// The modules in `folder`. It need not exist before the first is fetched.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }
}

#[async_trait]
impl Source for DirSource {
    async fn fetch(&self, module: &str, which: Which<'_>, max_size: u64) -> Result<Fetched, SourceError> {
        let known = match which {
            Which::Newest(known) => known.map(|known| known.tag.clone()),
            Which::Version(version) => {
                let message =
                    format!("a folder keeps no versions, so there is no {version} of {}", self.locate(module));
                return Err(SourceError { kind: SourceErrorKind::NotFound, message });
            }
        };
        let (folder, module) = (self.folder.clone(), module.to_owned());
        let place = self.locate(&module);
        let read = tokio::task::spawn_blocking(move || {
            let bytes = read(&folder, &module, max_size)?;
            let signature = signature(&folder, &module)?;
            let tag = format!("{} {}", sha256(&bytes), signature.as_ref().map(sha256).unwrap_or_default());
            if known.as_ref() == Some(&tag) {
                return Ok(Fetched::Unchanged);
            }
            Ok(Fetched::New(Upload { bytes, signature, tag, version_id: None }))
        });
        read.await.unwrap_or_else(|error| {
            Err(SourceError {
                kind: SourceErrorKind::Unavailable,
                message: format!("reading {place} was broken off: {error}; the next event tries again"),
            })
        })
    }

    async fn earlier(&self, _: &str) -> Result<Vec<String>, SourceError> {
        Ok(Vec::new())
    }

    fn locate(&self, module: &str) -> String {
        self.folder.join(module).display().to_string()
    }
}

/// The signature beside a module; none if there is none.
fn signature(folder: &Path, module: &str) -> Result<Option<String>, SourceError> {
    match read(folder, &format!("{module}.minisig"), SIGNATURE_BYTES) {
        // Whatever it says instead of text is no signature, and is told as such.
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind == SourceErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// One file, whatever module is asked for.
#[derive(Debug, Clone)]
pub struct OneFile {
    folder: DirSource,
    file: String,
}

impl OneFile {
    /// The module at `path`; none if that does not name a file.
    pub fn new(path: &Path) -> Option<Self> {
        let file = path.file_name()?.to_str()?.to_owned();
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Some(Self { folder: DirSource::new(folder), file })
    }
}

#[async_trait]
impl Source for OneFile {
    async fn fetch(&self, _: &str, which: Which<'_>, max_size: u64) -> Result<Fetched, SourceError> {
        self.folder.fetch(&self.file, which, max_size).await
    }

    async fn earlier(&self, _: &str) -> Result<Vec<String>, SourceError> {
        self.folder.earlier(&self.file).await
    }

    fn locate(&self, _: &str) -> String {
        self.folder.locate(&self.file)
    }
}

/// The content of a module, of at most `max_size` bytes.
fn read(folder: &Path, module: &str, max_size: u64) -> Result<Vec<u8>, SourceError> {
    let path = folder.join(module);
    let fail = |kind, what: String| Err(SourceError { kind, message: format!("{} {what}", path.display()) });
    let plain = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
    if module.is_empty() || !Path::new(module).components().all(plain) {
        let folder = folder.display();
        return fail(
            SourceErrorKind::Denied,
            format!("is not in {folder}; name the module by its path below that folder"),
        );
    }
    let found = folder.canonicalize().and_then(|folder| Ok((folder, path.canonicalize()?)));
    let (real_folder, real) = match found {
        Ok(found) => found,
        Err(error) => return unreadable(&path, folder, &error),
    };
    if !real.starts_with(&real_folder) {
        let what = format!("is a link to {}, outside the folder of modules; put the file itself there", real.display());
        return fail(SourceErrorKind::Denied, what);
    }
    // Before it is opened: opening a pipe would wait for somebody to write to it.
    let metadata = match real.metadata() {
        Ok(metadata) => metadata,
        Err(error) => return unreadable(&path, folder, &error),
    };
    if !metadata.is_file() {
        return fail(SourceErrorKind::Denied, "is not a file; name a .wasm file".to_owned());
    }
    let too_large = |size: &str| {
        fail(
            SourceErrorKind::TooLarge,
            format!(
                "has {size} bytes, and max-size allows {max_size}; make it smaller, or raise max-size in [modules]"
            ),
        )
    };
    if metadata.len() > max_size {
        return too_large(&metadata.len().to_string());
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or_default());
    // One byte more than is allowed, so that a file that grew meanwhile is noticed.
    let opened = File::open(&real);
    if let Err(error) = opened.and_then(|file| file.take(max_size.saturating_add(1)).read_to_end(&mut bytes)) {
        return unreadable(&path, folder, &error);
    }
    if u64::try_from(bytes.len()).is_ok_and(|len| len > max_size) {
        return too_large(&format!("more than {max_size}"));
    }
    Ok(bytes)
}

fn unreadable<T>(path: &Path, folder: &Path, error: &std::io::Error) -> Result<T, SourceError> {
    let place = path.display();
    let (kind, message) = match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory if !folder.is_dir() => (
            SourceErrorKind::SourceMissing,
            format!("{place} is not there, nor is its folder; correct `source` in [modules], or make the folder"),
        ),
        ErrorKind::NotFound | ErrorKind::NotADirectory => (
            SourceErrorKind::NotFound,
            format!("{place} is not there; build it to that place, or correct the handler's `module`"),
        ),
        ErrorKind::PermissionDenied => {
            (SourceErrorKind::Denied, format!("{place} may not be read by this process; give its user read permission"))
        }
        _ => (SourceErrorKind::Unavailable, format!("{place} cannot be read: {error}")),
    };
    Err(SourceError { kind, message })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::modules::Known;

    const PLENTY: u64 = 1 << 20;

    /// A folder with one module, and beside it a file that is none of our business.
    fn folder() -> (tempfile::TempDir, DirSource) {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("dist/team")).unwrap();
        fs::write(root.path().join("dist/drain.wasm"), b"first").unwrap();
        fs::write(root.path().join("secret.wasm"), b"secret").unwrap();
        let source = DirSource::new(root.path().join("dist"));
        (root, source)
    }

    async fn refused(source: &DirSource, module: &str) -> (SourceErrorKind, String) {
        let error = source.fetch(module, Which::Newest(None), PLENTY).await.unwrap_err();
        let full = source.locate(module);
        assert!(error.message.contains(&full), "{error} does not name {full}");
        (error.kind, error.message)
    }

    #[tokio::test(start_paused = true)]
    async fn a_module_is_fetched_again_only_when_its_content_differs() {
        let (root, source) = folder();
        let fetch = async |known: Option<&Known>| match source.fetch("drain.wasm", Which::Newest(known), PLENTY).await {
            Ok(Fetched::New(upload)) => Some(upload),
            Ok(Fetched::Unchanged) => None,
            Err(error) => panic!("{error}"),
        };
        let first = fetch(None).await.unwrap();
        assert_eq!((&first.bytes[..], &first.signature), (&b"first"[..], &None));
        let known = Known { tag: first.tag, signature: None };
        fs::write(root.path().join("dist/drain.wasm"), b"first").unwrap();
        assert_eq!(fetch(Some(&known)).await, None);
        fs::write(root.path().join("dist/drain.wasm.minisig"), b"signed").unwrap();
        assert_eq!(fetch(Some(&known)).await.unwrap().signature.as_deref(), Some("signed"));
        fs::write(root.path().join("dist/drain.wasm"), b"other").unwrap();
        assert_eq!(fetch(Some(&known)).await.unwrap().bytes, b"other");
    }

    #[tokio::test(start_paused = true)]
    async fn a_missing_module_or_folder_is_named_with_what_to_do() {
        let (root, source) = folder();
        let (kind, message) = refused(&source, "gone.wasm").await;
        assert_eq!(kind, SourceErrorKind::NotFound);
        assert!(
            message.ends_with("is not there; build it to that place, or correct the handler's `module`"),
            "{message}"
        );
        let (kind, message) = refused(&DirSource::new(root.path().join("nowhere")), "drain.wasm").await;
        assert_eq!(kind, SourceErrorKind::SourceMissing);
        assert!(message.contains("nor is its folder; correct `source`"), "{message}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_cannot_lead_out_of_the_folder() {
        let (root, source) = folder();
        let absolute = root.path().join("secret.wasm").display().to_string();
        for name in ["../secret.wasm", "team/../../secret.wasm", "..", "", absolute.as_str()] {
            let (kind, message) = refused(&source, name).await;
            assert_eq!(kind, SourceErrorKind::Denied, "{name}: {message}");
        }
    }

    #[cfg(unix)]
    #[tokio::test(start_paused = true)]
    async fn a_link_cannot_lead_out_of_the_folder_but_may_stay_inside() {
        let (root, source) = folder();
        let dist = root.path().join("dist");
        std::os::unix::fs::symlink(root.path().join("secret.wasm"), dist.join("file.wasm")).unwrap();
        std::os::unix::fs::symlink(root.path(), dist.join("up")).unwrap();
        std::os::unix::fs::symlink("drain.wasm", dist.join("alias.wasm")).unwrap();
        for name in ["file.wasm", "up/secret.wasm"] {
            let (kind, message) = refused(&source, name).await;
            assert_eq!(kind, SourceErrorKind::Denied, "{name}: {message}");
            assert!(message.contains("secret.wasm, outside the folder of modules"), "{message}");
        }
        assert!(source.fetch("alias.wasm", Which::Newest(None), PLENTY).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_large_module_is_not_read() {
        let (_root, source) = folder();
        assert!(source.fetch("drain.wasm", Which::Newest(None), 5).await.is_ok());
        let error = source.fetch("drain.wasm", Which::Newest(None), 4).await.unwrap_err();
        assert_eq!(error.kind, SourceErrorKind::TooLarge);
        assert!(error.message.contains("has 5 bytes, and max-size allows 4"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_folder_is_not_a_module() {
        let (_root, source) = folder();
        let (kind, message) = refused(&source, "team").await;
        assert_eq!(kind, SourceErrorKind::Denied);
        assert!(message.ends_with("is not a file; name a .wasm file"), "{message}");
    }
}
