//! A plugin that was uploaded: an object of a bucket, as whoever asks may read it.

use std::fmt;
use std::path::Path;

use anyhow::{Context, anyhow, bail};
use bytesize::ByteSize;

use super::Subject;
use crate::digest::sha256;
use crate::modules::{Fetched, Source, SourceErrorKind, Which};
use crate::policy::{LARGEST_MODULE, Location, Policy};

/// What an argument begins with that names an object.
const S3: &str = "s3://";

/// An object of a bucket.
#[derive(Debug)]
pub(super) struct Object {
    /// The folder that it is in.
    pub(super) folder: Location,
    /// Its name there.
    name: String,
}

impl Object {
    /// The object that an argument names; none if it names a file.
    pub(super) fn named(argument: &Path) -> anyhow::Result<Option<Self>> {
        let Some(place) = argument.to_str().filter(|place| place.starts_with(S3)) else { return Ok(None) };
        let named = || format!("{place:?} names no object: write s3://BUCKET/KEY");
        let (folder, name) = place
            .rsplit_once('/')
            .filter(|(folder, name)| folder.len() >= S3.len() && !name.is_empty())
            .with_context(named)?;
        let folder = Location::try_from(format!("{folder}/")).map_err(|why| anyhow!(why)).with_context(named)?;
        Ok(Some(Self { folder, name: name.to_owned() }))
    }

    /// Reads it from `source`, which is its folder: its newest version, or that one. Never more of it than the policy takes, or any.
    pub(super) async fn read(
        &self,
        source: &dyn Source,
        version_id: Option<&str>,
        policy: Option<&Policy>,
        name: Option<&str>,
    ) -> anyhow::Result<Subject> {
        let name = match (name, policy) {
            (Some(name), _) => name.to_owned(),
            (None, Some(policy)) => self.module(policy)?,
            (None, None) => self.name.clone(),
        };
        let which = version_id.map_or(Which::Newest(None), Which::Version);
        let most = policy.map_or(LARGEST_MODULE, |policy| policy.modules.max_size);
        let upload = match source.fetch(&self.name, which, most).await {
            Ok(Fetched::New(upload)) => upload,
            Ok(Fetched::Unchanged) => bail!("{self} is said not to have changed, and nothing was known of it"),
            Err(error) if error.kind == SourceErrorKind::TooLarge && policy.is_none() => {
                bail!("{self} has more than {}, which no policy takes", ByteSize::b(LARGEST_MODULE))
            }
            Err(error) => return Err(error.into()),
        };
        let which = upload.version_id.map(|id| format!("version-id {id}, ")).unwrap_or_default();
        let shown = format!("{self} ({which}SHA-256 {})", sha256(&upload.bytes));
        Ok(Subject { shown, name, bytes: upload.bytes, signature: upload.signature })
    }

    /// What hosts with this policy call it.
    fn module(&self, policy: &Policy) -> anyhow::Result<String> {
        let (place, source) = (self.to_string(), policy.modules.source.locate(""));
        let module = place.strip_prefix(&source).with_context(|| {
            format!("{place} is not below {source}, where hosts with this policy look for plugins: upload it there, or say with --name what it has to be signed as")
        })?;
        Ok(module.to_owned())
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.folder.locate(&self.name))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::testing::bucket::Bucket;

    fn policy(source: &str) -> Policy {
        let text = format!(
            "[modules]\nsource = \"{source}\"\nallow-unsigned = true\n[[handler]]\nname = \"h\"\nmodule = \"team/a.wasm\"\nevent.source = [\"aws.ec2\"]\n"
        );
        Policy::parse("hostler.toml", &text).unwrap()
    }

    /// What an object of a bucket with two versions is looked at as.
    async fn subject(
        argument: &str,
        version_id: Option<&str>,
        policy: Option<&Policy>,
        name: Option<&str>,
    ) -> Result<(String, String), String> {
        let bucket: Arc<Bucket> = Bucket::versioned();
        bucket.put(b"one", Some("signature of one"));
        bucket.put(b"two", Some("signature of two"));
        let read = async {
            let object = Object::named(Path::new(argument))?.context("it names a file")?;
            object.read(&*bucket, version_id, policy, name).await
        };
        read.await
            .map(|subject| (subject.name, subject.signature.unwrap_or_default()))
            .map_err(|error| format!("{error:#}"))
    }

    #[tokio::test]
    async fn an_object_is_looked_at_as_what_hosts_call_it() {
        let of_hosts = policy("s3://my-bucket/plugins/");
        let told = |name: &str, number: &str| Ok((name.to_owned(), format!("signature of {number}")));
        let place = "s3://my-bucket/plugins/team/a.wasm";
        assert_eq!(subject(place, None, Some(&of_hosts), None).await, told("team/a.wasm", "two"));
        assert_eq!(subject(place, Some("v1"), Some(&of_hosts), None).await, told("team/a.wasm", "one"));
        assert_eq!(subject(place, None, None, None).await, told("a.wasm", "two"));
        assert_eq!(
            subject("s3://other-bucket/a.wasm", None, Some(&of_hosts), Some("b.wasm")).await,
            told("b.wasm", "two")
        );
    }

    #[tokio::test]
    async fn what_cannot_be_looked_at_is_said_with_what_to_do() {
        let of_hosts = policy("s3://my-bucket/plugins/");
        let of_a_folder = policy("dir:plugins");
        let mut said = Vec::new();
        for (argument, version_id, policy) in [
            ("s3://my-bucket/a.wasm", None, &of_hosts),
            ("s3://my-bucket/plugins/a.wasm", None, &of_a_folder),
            ("s3://my-bucket/plugins/a.wasm", Some("v3"), &of_hosts),
            ("s3://my-bucket/plugins/", None, &of_hosts),
            ("s3://my-bucket", None, &of_hosts),
            ("s3://Bucket/a.wasm", None, &of_hosts),
        ] {
            said.push(subject(argument, version_id, Some(policy), None).await.unwrap_err());
        }
        insta::assert_snapshot!(said.join("\n"), @r#"
        s3://my-bucket/a.wasm is not below s3://my-bucket/plugins/, where hosts with this policy look for plugins: upload it there, or say with --name what it has to be signed as
        s3://my-bucket/plugins/a.wasm is not below plugins/, where hosts with this policy look for plugins: upload it there, or say with --name what it has to be signed as
        a.wasm is not there
        "s3://my-bucket/plugins/" names no object: write s3://BUCKET/KEY
        "s3://my-bucket" names no object: write s3://BUCKET/KEY
        "s3://Bucket/a.wasm" names no object: write s3://BUCKET/KEY: "Bucket" is not the name of a bucket: it has 3 to 63 lowercase letters, digits, . and -, as in "s3://BUCKET/PREFIX/"
        "#);
    }
}
