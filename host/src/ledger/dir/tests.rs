//! The folder as a store, and what is left in it by processes that are killed.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::ledger::contract;

/// A store in a folder that is not there yet.
fn store() -> (TempDir, DirStore) {
    let root = tempfile::tempdir().unwrap();
    let store = DirStore::new(root.path().join("var/ledger"));
    (root, store)
}

/// What people read, without the folder's name.
fn shown(root: &TempDir, error: &PortError) -> String {
    error.message.replace(&root.path().display().to_string(), "ROOT")
}

fn refused(error: WriteError) -> PortError {
    match error {
        WriteError::Refused(error) => error,
        other => panic!("not refused: {other:?}"),
    }
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn it_keeps_the_contract() {
    let (_root, store) = store();
    contract::holds(&store).await;
}

#[tokio::test]
async fn a_long_list_comes_in_pages() {
    let (_root, store) = store();
    store.write("many/00000", b"{}".to_vec(), None).await.unwrap();
    // The disk is not what is tested here.
    for number in 1..=PAGE {
        fs::write(store.folder.join(format!("many/{number:05}")), "{}").unwrap();
    }
    let first = store.list("many/", None).await.unwrap();
    assert_eq!((first.objects.len(), first.more), (PAGE, true));
    let rest = store.list("many/", Some(&first.objects[PAGE - 1].key)).await.unwrap();
    assert_eq!((rest.objects.len(), rest.objects[0].key.as_str(), rest.more), (1, "many/01000", false));
}

#[tokio::test]
async fn another_store_on_the_same_folder_sees_the_same() {
    let (_root, store) = store();
    let version = store.write("a/b.json", b"{}".to_vec(), None).await.unwrap();
    let other = DirStore::new(&store.folder);
    let seen = other.read("a/b.json").await.unwrap().unwrap();
    assert_eq!(seen, Stored { bytes: b"{}".to_vec(), version });
    let page = other.list("a/", None).await.unwrap();
    let age = Timestamp::now().duration_since(page.objects[0].modified);
    assert!(age.abs() < jiff::SignedDuration::from_mins(1), "{age}");
    assert_eq!(Path::new(&other.locate("a/b.json")), store.folder.join("a/b.json"));
}

#[tokio::test]
async fn nobody_else_reads_what_is_written() {
    let (_root, store) = store();
    store.write("a/b.json", b"{}".to_vec(), None).await.unwrap();
    for (path, wanted) in [("", 0o700), ("a", 0o700), ("a/b.json", 0o600), (".locks", 0o700)] {
        assert_eq!(mode(&store.folder.join(path)), wanted, "{path}");
    }
    assert!(fs::read_dir(store.folder.join(".locks")).unwrap().all(|lock| mode(&lock.unwrap().path()) == 0o600));
}

#[tokio::test]
async fn a_key_stays_below_the_folder() {
    let (root, store) = store();
    fs::write(root.path().join("secret"), "x").unwrap();
    for key in [
        "",
        "/etc/passwd",
        "../../secret",
        "a/../../../secret",
        "a//b",
        "a/",
        ".",
        "./a",
        ".locks/00",
        "a/.new-b",
        "\0",
    ] {
        assert_eq!(store.read(key).await.unwrap_err().kind, PortErrorKind::Invalid, "{key:?}");
        let error = refused(store.write(key, Vec::new(), None).await.unwrap_err());
        assert_eq!(error.kind, PortErrorKind::Invalid, "{key:?}");
        let error = refused(store.remove(key, &Version(sha256("x"))).await.unwrap_err());
        assert_eq!(error.kind, PortErrorKind::Invalid, "{key:?}");
    }
    for prefix in ["/etc/", "../../", "a/../../"] {
        assert_eq!(store.list(prefix, None).await.unwrap_err().kind, PortErrorKind::Invalid, "{prefix:?}");
    }
    insta::assert_snapshot!(store.read("../../secret").await.unwrap_err(), @r#""../../secret" is no key of a ledger: its parts, divided by /, are not empty and begin with no dot, so that it stays below the folder"#);
}

#[tokio::test]
async fn what_a_killed_process_left_unfinished_is_no_object_and_goes_away() {
    let (_root, store) = store();
    let version = store.write("a/b.json", b"whole".to_vec(), None).await.unwrap();
    for torn in ["a/.new-b.json", "a/.new-c.json", ".new-d"] {
        fs::write(store.folder.join(torn), "to").unwrap();
    }
    assert_eq!(store.read("a/b.json").await.unwrap().unwrap().bytes, b"whole");
    assert_eq!(store.read("a/c.json").await, Ok(None));
    // Writing the same object takes its place, and a list clears the others away.
    store.write("a/b.json", b"new".to_vec(), Some(&version)).await.unwrap();
    assert!(!store.folder.join("a/.new-b.json").exists());
    let page = store.list("", None).await.unwrap();
    assert_eq!(page.objects.iter().map(|object| object.key.as_str()).collect::<Vec<_>>(), ["a/b.json"]);
    assert!(!store.folder.join("a/.new-c.json").exists() && !store.folder.join(".new-d").exists());
}

#[tokio::test]
async fn whoever_reads_while_it_is_replaced_reads_the_old_one_whole() {
    let (_root, store) = store();
    let version = store.write("a", b"the old one".to_vec(), None).await.unwrap();
    let reader = fs::File::open(store.folder.join("a")).unwrap();
    store.write("a", b"new".to_vec(), Some(&version)).await.unwrap();
    assert_eq!(std::io::read_to_string(reader).unwrap(), "the old one");
}

#[tokio::test]
async fn what_is_being_written_is_not_cleared_away() {
    let (_root, store) = store();
    store.write("a/b.json", b"{}".to_vec(), None).await.unwrap();
    let unfinished = store.folder.join("a/.new-c.json");
    fs::write(&unfinished, "to").unwrap();
    let lock = store.locks.turn("a/c.json").await.lock().unwrap();
    DirStore::new(&store.folder).list("", None).await.unwrap();
    assert!(unfinished.exists());
    drop(lock);
    DirStore::new(&store.folder).list("", None).await.unwrap();
    assert!(!unfinished.exists());
}

#[tokio::test]
async fn a_lock_that_stays_taken_names_who_has_it() {
    let (root, store) = store();
    let version = store.write("a", b"{}".to_vec(), None).await.unwrap();
    let _lock = store.locks.turn("a").await.lock().unwrap();
    let mut other = DirStore::new(&store.folder);
    Arc::get_mut(&mut other.locks).unwrap().wait = Duration::ZERO;
    let error = refused(other.write("a", b"[]".to_vec(), Some(&version)).await.unwrap_err());
    assert_eq!(error.kind, PortErrorKind::Unavailable);
    let message = shown(&root, &error).replace(&std::process::id().to_string(), "PID");
    insta::assert_snapshot!(message, @"ROOT/var/ledger/.locks/12 is held by process PID, for 0ns and longer: see whether that hangs, and whether its disk does");
    assert_eq!(other.read("a").await.unwrap().unwrap().bytes, b"{}", "reading takes no lock");
}

/// Adds one to the number in `counter`, as often as it takes.
async fn increment(store: &DirStore) {
    loop {
        let seen = store.read("counter").await.unwrap();
        let (number, version) = match &seen {
            Some(stored) => (String::from_utf8_lossy(&stored.bytes).parse::<u32>().unwrap(), Some(&stored.version)),
            None => (0, None),
        };
        match store.write("counter", (number + 1).to_string().into_bytes(), version).await {
            Ok(_) => return,
            Err(WriteError::Changed) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_change_is_lost_between_threads_and_stores() {
    let (_root, store) = store();
    let others = DirStore::new(&store.folder);
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..8 {
        let store = if task % 2 == 0 { store.clone() } else { others.clone() };
        tasks.spawn(async move {
            for _ in 0..10 {
                increment(&store).await;
            }
        });
    }
    tasks.join_all().await;
    assert_eq!(store.read("counter").await.unwrap().unwrap().bytes, b"80");
}

/// What tells a test that it is the process to be killed.
const TO_BE_KILLED: &str = "HOSTLER_TEST_LEDGER_TO_BE_KILLED";

/// The content of an object: its number, often enough that half of it would be seen.
fn content(number: u64) -> Vec<u8> {
    format!("{number}\n").repeat(20_000).into_bytes()
}

/// Writes one object again and again, and says so each time, for as long as it lives. Nothing unless it is to be killed.
#[tokio::test]
async fn writes_until_it_is_killed() {
    let Some(folder) = std::env::var_os(TO_BE_KILLED) else { return };
    let store = DirStore::new(folder);
    let mut version = None;
    for number in 1_u64.. {
        version = Some(store.write("a/object", content(number), version.as_ref()).await.unwrap());
        writeln!(std::io::stdout(), "written: {number}").unwrap();
    }
}

#[tokio::test]
async fn a_process_that_is_killed_leaves_the_last_object_or_the_next_and_no_lock() {
    for lives in [1, 2, 3, 5, 8, 13] {
        let (_root, store) = store();
        let test = "ledger::dir::tests::writes_until_it_is_killed";
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(TO_BE_KILLED, &store.folder)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut written = BufReader::new(child.stdout.take().unwrap())
            .lines()
            .filter_map(|line| line.unwrap().rsplit_once("written: ")?.1.parse::<u64>().ok());
        assert_eq!(written.by_ref().find(|number| *number == lives), Some(lives));
        child.kill().unwrap();
        child.wait().unwrap();
        let last = written.last().unwrap_or(lives);

        let stored = store.read("a/object").await.unwrap().unwrap();
        assert!(stored.bytes == content(last) || stored.bytes == content(last + 1), "{last} was written last");
        let page = store.list("", None).await.unwrap();
        assert_eq!(page.objects.len(), 1);
        store.write("a/object", b"after".to_vec(), Some(&stored.version)).await.unwrap();
    }
}

#[tokio::test]
async fn an_object_that_is_too_large_is_neither_written_nor_read_whole() {
    let (root, store) = store();
    let large = usize::try_from(MAX_BYTES).unwrap() + 1;
    let error = refused(store.write("a", vec![b' '; large], None).await.unwrap_err());
    insta::assert_snapshot!(shown(&root, &error), @"cannot write ROOT/var/ledger/a: it has more than 8.0 MiB, and no more is read");
    store.write("b", Vec::new(), None).await.unwrap();
    fs::write(store.folder.join("b"), vec![b' '; large]).unwrap();
    insta::assert_snapshot!(shown(&root, &store.read("b").await.unwrap_err()), @"cannot read ROOT/var/ledger/b: it has more than 8.0 MiB, and no more is read");
}

#[tokio::test]
async fn a_file_in_the_place_of_the_folder_is_named() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("ledger"), "").unwrap();
    let store = DirStore::new(root.path().join("ledger"));
    let error = refused(store.write("a/b", Vec::new(), None).await.unwrap_err());
    insta::assert_snapshot!(shown(&root, &error), @"cannot make ROOT/ledger: ledger is a link, or no folder; something else is in its place: remove that, or name another folder as store in [ledger]");
    insta::assert_snapshot!(shown(&root, &store.list("", None).await.unwrap_err()), @"cannot list ROOT/ledger: Not a directory (os error 20); something else is in its place: remove that, or name another folder as store in [ledger]");
    insta::assert_snapshot!(shown(&root, &store.read("a").await.unwrap_err()), @"cannot read ROOT/ledger/a: Not a directory (os error 20); something else is in its place: remove that, or name another folder as store in [ledger]");
}

#[tokio::test]
async fn a_folder_in_the_place_of_an_object_is_named() {
    let (root, store) = store();
    store.write("a/b", Vec::new(), None).await.unwrap();
    let error = refused(store.write("a", Vec::new(), None).await.unwrap_err());
    insta::assert_snapshot!(shown(&root, &error), @"cannot read ROOT/var/ledger/a: Is a directory (os error 21); something else is in its place: remove that, or name another folder as store in [ledger]");
}

#[tokio::test]
async fn a_folder_may_be_a_link() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("disk")).unwrap();
    symlink("disk", root.path().join("ledger")).unwrap();
    let store = DirStore::new(root.path().join("ledger"));
    store.write("a/b", Vec::new(), None).await.unwrap();
    assert_eq!(store.list("", None).await.unwrap().objects.len(), 1);
}

#[test]
fn what_the_system_refuses_says_what_would_mend_it() {
    let said = |kind: ErrorKind| failed("write", Path::new("/var/lib/hostler/a"), &kind.into());
    insta::assert_snapshot!(said(ErrorKind::PermissionDenied), @"cannot write /var/lib/hostler/a: permission denied; let the user that Hostler runs as read and write the folder of the ledger");
    insta::assert_snapshot!(said(ErrorKind::ReadOnlyFilesystem), @"cannot write /var/lib/hostler/a: read-only filesystem or storage medium; mount it writable, or name another folder as store in [ledger]");
    insta::assert_snapshot!(said(ErrorKind::StorageFull), @"cannot write /var/lib/hostler/a: no storage space; make room there");
    assert_eq!(said(ErrorKind::PermissionDenied).kind, PortErrorKind::Denied);
}

#[tokio::test]
async fn a_pipe_in_the_place_of_an_object_is_named_and_not_waited_for() {
    let (root, store) = store();
    store.write("open/other.json", b"{}".to_vec(), None).await.unwrap();
    let pipe = root.path().join("var/ledger/open/i-1.json");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let error = store.read("open/i-1.json").await.unwrap_err();
    insta::assert_snapshot!(shown(&root, &error), @"cannot read ROOT/var/ledger/open/i-1.json: it is no file, and was not made by hostler; remove it");
}

#[tokio::test]
async fn what_root_makes_is_given_to_whoever_has_the_folder() {
    const SOMEBODY: u32 = 4_242;
    let (_root, store) = store();
    fs::create_dir_all(&store.folder).unwrap();
    // Only root makes anything for others; whoever else runs the tests finds what it has made its own.
    let owner = match chown(&store.folder, Some(SOMEBODY), Some(SOMEBODY)) {
        Ok(()) => SOMEBODY,
        Err(_) => fs::metadata(&store.folder).unwrap().uid(),
    };
    store.write("open/here/i-1.json", b"{}".to_vec(), None).await.unwrap();
    let made: Vec<_> = WalkDir::new(&store.folder).min_depth(1).into_iter().map(Result::unwrap).collect();
    assert_eq!(made.len(), 5, "two folders and a file, and a folder with a lock");
    for entry in made {
        assert_eq!(entry.metadata().unwrap().uid(), owner, "{}", entry.path().display());
    }
}

#[tokio::test]
async fn links_are_not_followed_out_of_the_folder() {
    let (root, store) = store();
    let outside = root.path().join("outside");
    fs::write(&outside, "of root alone").unwrap();
    store.write("open/other.json", b"{}".to_vec(), None).await.unwrap();
    symlink(&outside, store.folder.join("open/i-1.json")).unwrap();
    let error = store.read("open/i-1.json").await.unwrap_err();
    insta::assert_snapshot!(shown(&root, &error), @"cannot read ROOT/var/ledger/open/i-1.json: Too many levels of symbolic links (os error 40); something else is in its place: remove that, or name another folder as store in [ledger]");

    // Who has the folder can put anything in the place of a lock, and root comes by.
    let locks = store.folder.join(".locks");
    fs::remove_dir_all(&locks).unwrap();
    fs::create_dir(&locks).unwrap();
    for number in 0..16 {
        symlink(&outside, locks.join(format!("{number:02}"))).unwrap();
    }
    let error = refused(store.write("open/i-2.json", b"{}".to_vec(), None).await.unwrap_err());
    insta::assert_snapshot!(shown(&root, &error), @"cannot lock ROOT/var/ledger/.locks/10: Too many levels of symbolic links (os error 40); something else is in its place: remove that, or name another folder as store in [ledger]");
    assert_eq!(fs::read_to_string(&outside).unwrap(), "of root alone");
}

#[tokio::test]
async fn a_folder_that_is_a_link_is_not_gone_into() {
    for (key, link) in [("open/i-1.json", "open"), ("open/here/i-1.json", "open/here"), ("open/here/i-1.json", "open")]
    {
        let (root, store) = store();
        let version = store.write(key, b"{}".to_vec(), None).await.unwrap();
        // What is outside is the same, so that nothing but the link is in the way.
        let (outside, link) = (root.path().join("outside"), store.folder.join(link));
        fs::rename(&link, &outside).unwrap();
        symlink(&outside, &link).unwrap();
        let unfinished = outside.join(".new-i-2.json");
        fs::write(&unfinished, "of root alone").unwrap();
        let seen = || WalkDir::new(&outside).sort_by_file_name().into_iter().map(|entry| entry.unwrap().into_path());
        let before: Vec<_> = seen().collect();

        let invalid = |error: PortError| assert_eq!(error.kind, PortErrorKind::Invalid, "{link:?}: {error}");
        invalid(store.read(key).await.unwrap_err());
        invalid(refused(store.write(key, b"[]".to_vec(), Some(&version)).await.unwrap_err()));
        invalid(refused(store.remove(key, &version).await.unwrap_err()));
        let (folder, _) = key.rsplit_once('/').unwrap();
        invalid(store.list(&format!("{folder}/"), None).await.unwrap_err());
        assert_eq!(store.list("", None).await.unwrap().objects, []);
        // Without the look that goes before: somebody was quicker.
        let file = store.folder.join(key);
        let whole = Whole::new(&store.folder, &file);
        invalid(refused(whole.write(b"[]").unwrap_err()));
        invalid(refused(whole.remove().unwrap_err()));
        whole::clear_away(&store.folder, &file);
        whole::clear_away(&store.folder, &link.join(".new-i-2.json"));
        assert_eq!(seen().collect::<Vec<_>>(), before);
    }
}

#[tokio::test]
async fn locks_are_not_taken_where_a_link_leads_to() {
    let (root, store) = store();
    let (outside, locks) = (root.path().join("outside"), store.folder.join(".locks"));
    fs::create_dir_all(&outside).unwrap();
    fs::create_dir_all(&store.folder).unwrap();
    symlink(&outside, &locks).unwrap();
    let error = refused(store.write("a", b"{}".to_vec(), None).await.unwrap_err());
    insta::assert_snapshot!(shown(&root, &error), @"cannot lock ROOT/var/ledger/.locks/12: .locks is a link, or no folder; something else is in its place: remove that, or name another folder as store in [ledger]");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
}

#[tokio::test]
async fn a_file_that_was_made_a_lock_too_keeps_what_it_holds() {
    let (root, store) = store();
    let (outside, locks) = (root.path().join("outside"), store.folder.join(".locks"));
    fs::write(&outside, "of root alone").unwrap();
    fs::create_dir_all(&locks).unwrap();
    for number in 0..16 {
        fs::hard_link(&outside, locks.join(format!("{number:02}"))).unwrap();
    }
    store.write("a", b"{}".to_vec(), None).await.unwrap();
    assert_eq!(fs::read_to_string(&outside).unwrap(), "of root alone");
}

#[tokio::test]
async fn a_pipe_in_the_place_of_a_lock_is_not_waited_for() {
    let (_root, store) = store();
    let locks = store.folder.join(".locks");
    fs::create_dir_all(&locks).unwrap();
    let pipes = (0..16).map(|number| locks.join(format!("{number:02}")));
    assert!(Command::new("mkfifo").args(pipes).status().unwrap().success());
    refused(store.write("open/i-1.json", b"{}".to_vec(), None).await.unwrap_err());
}

#[test]
fn where_no_folder_can_be_made_it_is_not_tried_for_ever() {
    // The system answers there that the folder above is missing, whichever that is.
    assert!(make_store(Path::new("/proc/hostler/ledger")).is_err());
}

#[tokio::test]
async fn a_lock_that_has_another_name_elsewhere_is_not_written_to() {
    let (root, store) = store();
    let outside = root.path().join("outside");
    fs::write(&outside, "of root alone").unwrap();
    let locks = store.folder.join(".locks");
    fs::create_dir_all(&locks).unwrap();
    for number in 0..16 {
        fs::hard_link(&outside, locks.join(format!("{number:02}"))).unwrap();
    }
    let _ = store.write("open/i-1.json", b"{}".to_vec(), None).await;
    assert_eq!(fs::read_to_string(&outside).unwrap(), "of root alone");
}
