use clap::Parser;
use clap::error::ErrorKind;

use super::*;

#[derive(Debug, Parser)]
struct Cli {
    #[command(flatten)]
    arguments: Arguments,
}

/// Makes a plugin in a folder, which reads as `DIR`.
fn make(name: &str, folder: &Path) -> Result<PathBuf, String> {
    let arguments = Arguments { name: name.to_owned(), lang: Language::Rust, path: folder.to_owned() };
    arguments.make().map_err(|error| format!("{error:#}").replace(&*folder.to_string_lossy(), "DIR"))
}

fn entries(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_plugin_is_made_whole_and_leaves_nothing_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/folder");
    assert_eq!(make("drain", &path), Ok(path.join("drain")));
    assert_eq!(entries(&path), ["drain"]);
    let expected =
        [".cargo", ".gitignore", ".hostler", "Cargo.lock", "Cargo.toml", "README.md", "cases", "hostler.toml", "src"];
    assert_eq!(entries(&path.join("drain")), expected);
}

#[test]
fn an_empty_folder_is_filled_and_another_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("drain")).unwrap();
    make("drain", folder.path()).unwrap();
    insta::assert_snapshot!(make("drain", folder.path()).unwrap_err(), @"DIR/drain is not empty: choose another name, or another folder with --path DIR");
    fs::write(folder.path().join("file"), "mine").unwrap();
    insta::assert_snapshot!(make("file", folder.path()).unwrap_err(), @"cannot use DIR/file: Not a directory (os error 20); choose another name, or another folder with --path DIR");
    insta::assert_snapshot!(make("drain", &folder.path().join("file")).unwrap_err().replace("DIR/drain", "DIR"), @"cannot use DIR: Not a directory (os error 20); choose another name, or another folder with --path DIR");
    assert_eq!(fs::read_to_string(folder.path().join("file")).unwrap(), "mine");
    assert_eq!(entries(folder.path()), ["drain", "file"]);
}

#[test]
fn a_folder_that_cannot_be_written_to_is_named() {
    // Nobody can make a folder there, not even root.
    let error = make("drain", Path::new("/proc/self")).unwrap_err();
    assert!(error.starts_with("cannot make DIR/drain: "), "{error}");
    assert!(error.ends_with("; choose a folder you may write to with --path DIR"), "{error}");
}

#[test]
fn a_bad_name_makes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    insta::assert_snapshot!(make("../drain", folder.path()).unwrap_err(), @r#""../drain" has a '/' in it: a name is no path; say where to make the plugin with --path DIR"#);
    assert_eq!(entries(folder.path()), Vec::<String>::new());
}

#[test]
fn another_language_is_told_which_there_are() {
    let error = Cli::try_parse_from(["new", "drain", "--lang", "python"]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidValue);
    insta::assert_snapshot!(error.to_string().lines().take(2).collect::<Vec<_>>().join("\n"), @"
    error: invalid value 'python' for '--lang <LANG>'
      [possible values: rust]
    ");
}
