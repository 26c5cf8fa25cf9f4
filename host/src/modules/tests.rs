mod given_up;
mod pins;
mod signed;
mod versions;

use std::collections::VecDeque;

use async_trait::async_trait;

use super::ask::PATIENCE;
use super::*;
use crate::digest::sha256;
use crate::ledger::{Ledger, MemoryStore, Store};
use crate::ports::{AccountId, Place, Region};
use crate::sandbox::{Capacity, Pace};
use crate::testing::{VirtualClock, guests, policy};

/// A source that answers from a script, and notes what it was asked.
#[derive(Default)]
struct Scripted {
    answers: Mutex<VecDeque<Result<Fetched, SourceError>>>,
    asked: Mutex<Vec<Option<String>>>,
}

#[async_trait]
impl Source for Scripted {
    async fn fetch(&self, _: &str, which: Which<'_>, _: u64) -> Result<Fetched, SourceError> {
        // As a real source would, it lets others run before it answers.
        tokio::task::yield_now().await;
        self.asked.lock().unwrap().push(match which {
            Which::Newest(known) => known.map(|known| known.tag.clone()),
            Which::Version(version) => Some(version.to_owned()),
        });
        self.answers.lock().unwrap().pop_front().expect("asked more often than the script says")
    }

    async fn earlier(&self, _: &str) -> Result<Vec<String>, SourceError> {
        Ok(Vec::new())
    }

    fn locate(&self, module: &str) -> String {
        format!("s3://bucket/{module}")
    }
}

const REFUSED: &str = "s3://bucket/m.wasm was refused: it is empty";

fn new(bytes: Vec<u8>, tag: &str) -> Result<Fetched, SourceError> {
    Ok(Fetched::New(Upload { bytes, signature: None, tag: tag.into(), version_id: None }))
}

fn down() -> Result<Fetched, SourceError> {
    Err(SourceError { kind: SourceErrorKind::Unavailable, message: "S3 does not answer".into() })
}

fn modules<const N: usize>(answers: [Result<Fetched, SourceError>; N]) -> (Arc<Scripted>, Modules) {
    let source = Arc::new(Scripted { answers: Mutex::new(answers.into()), ..Scripted::default() });
    (Arc::clone(&source), of(source))
}

/// The modules of a source under a policy that takes unsigned ones.
fn of(source: Arc<dyn Source>) -> Modules {
    let sandbox = Sandbox::new(Capacity { attempts: 1, memory: 1 << 20 }, Pace::Virtual).expect("a sandbox");
    let clock: Arc<dyn Clock> = Arc::new(VirtualClock::new());
    let notes = ledger(&clock).notes("modules");
    Modules::new(source, (Arc::new(sandbox), Compiler::Here), clock, &policy("").modules, notes)
}

/// An empty one.
fn ledger(clock: &Arc<dyn Clock>) -> Ledger {
    ledger_over(Arc::new(MemoryStore::new(Arc::clone(clock))), clock)
}

pub(super) fn ledger_over(store: Arc<dyn Store>, clock: &Arc<dyn Clock>) -> Ledger {
    let place =
        Place { account: AccountId::parse("123456789012").unwrap(), region: Region::parse("eu-central-1").unwrap() };
    Ledger::new(store, Arc::clone(clock), place, "this host")
}

async fn refresh_is_due() {
    tokio::time::advance(Duration::from_secs(10)).await;
}

#[tokio::test(start_paused = true)]
async fn within_refresh_the_source_is_not_asked() {
    let (source, modules) = modules([new(guests::done(), "1"), Ok(Fetched::Unchanged)]);
    let first = modules.current("m", None).await.unwrap();
    tokio::time::advance(Duration::from_secs(9)).await;
    assert!(Arc::ptr_eq(&first, &modules.current("m", None).await.unwrap()));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(Arc::ptr_eq(&first, &modules.current("m", None).await.unwrap()));
    assert_eq!(*source.asked.lock().unwrap(), [None, Some("1".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn a_new_version_replaces_the_one_in_use() {
    let (_, modules) = modules([new(guests::done(), "1"), new(guests::abandon(), "2")]);
    let first = modules.current("m", None).await.unwrap();
    refresh_is_due().await;
    let second = modules.current("m", None).await.unwrap();
    assert_ne!(first.module.digest, second.module.digest);
}

#[tokio::test(start_paused = true)]
async fn a_refused_version_leaves_the_last_good_one_and_is_not_fetched_again() {
    let (source, modules) = modules([new(guests::done(), "1"), new(b"garbage".to_vec(), "2"), Ok(Fetched::Unchanged)]);
    let good = modules.current("m", None).await.unwrap();
    for _ in 0..2 {
        refresh_is_due().await;
        assert!(Arc::ptr_eq(&good, &modules.current("m", None).await.unwrap()));
    }
    assert_eq!(source.asked.lock().unwrap().last().unwrap().as_deref(), Some("2"));
}

#[tokio::test(start_paused = true)]
async fn while_the_source_is_down_the_last_good_one_goes_on() {
    let (_, modules) = modules([new(guests::done(), "1"), down()]);
    let good = modules.current("m", None).await.unwrap();
    refresh_is_due().await;
    assert!(Arc::ptr_eq(&good, &modules.current("m", None).await.unwrap()));
}

#[tokio::test(start_paused = true)]
async fn without_a_good_one_the_error_says_where_and_why() {
    let unchanged = || Ok(Fetched::Unchanged);
    let (_, modules) = modules([new(Vec::new(), "1"), unchanged(), down(), unchanged()]);
    for expected in [REFUSED, REFUSED, "S3 does not answer", REFUSED] {
        let error = modules.current("m.wasm", None).await.unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
        refresh_is_due().await;
    }
}

#[tokio::test(start_paused = true)]
async fn events_that_come_together_fetch_once() {
    let (source, modules) = modules([new(guests::done(), "1")]);
    let modules = Arc::new(modules);
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let modules = Arc::clone(&modules);
        asking.spawn(async move { modules.current("m", None).await.unwrap().module.digest.clone() });
    }
    assert_eq!(asking.join_all().await.len(), 10);
    assert_eq!(source.asked.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_passing_fault_of_the_source_does_not_outlive_itself() {
    let (_, modules) = modules([down(), new(guests::done(), "1")]);
    modules.current("m", None).await.unwrap_err();
    // No time has passed: with nothing to go on with, `refresh` does not keep the source from being asked.
    modules.current("m", None).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_while_the_source_fails_has_that_answer_and_does_not_ask_in_turn() {
    struct Slow(Mutex<u32>);

    #[async_trait]
    impl Source for Slow {
        async fn fetch(&self, _: &str, _: Which<'_>, _: u64) -> Result<Fetched, SourceError> {
            *self.0.lock().unwrap() += 1;
            tokio::time::sleep(Duration::from_secs(30)).await;
            down()
        }

        async fn earlier(&self, _: &str) -> Result<Vec<String>, SourceError> {
            Ok(Vec::new())
        }

        fn locate(&self, module: &str) -> String {
            format!("s3://bucket/{module}")
        }
    }

    let source = Arc::new(Slow(Mutex::new(0)));
    let modules = Arc::new(of(source.clone()));
    let began = tokio::time::Instant::now();
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let modules = Arc::clone(&modules);
        asking.spawn(async move { modules.current("m", None).await.unwrap_err().passes });
    }
    assert_eq!(asking.join_all().await, [true; 16]);
    assert_eq!((began.elapsed().as_secs(), *source.0.lock().unwrap()), (30, 1));
    modules.current("m", None).await.unwrap_err();
    assert_eq!(*source.0.lock().unwrap(), 2, "a fault that passes must not outlive itself");
}

#[tokio::test(start_paused = true)]
async fn a_silent_source_is_not_waited_for_when_there_is_a_good_module() {
    struct Silent(Mutex<Option<Fetched>>);

    #[async_trait]
    impl Source for Silent {
        async fn fetch(&self, _: &str, _: Which<'_>, _: u64) -> Result<Fetched, SourceError> {
            let first = self.0.lock().unwrap().take();
            match first {
                Some(fetched) => Ok(fetched),
                None => std::future::pending().await,
            }
        }

        async fn earlier(&self, _: &str) -> Result<Vec<String>, SourceError> {
            Ok(Vec::new())
        }

        fn locate(&self, module: &str) -> String {
            module.to_owned()
        }
    }

    let modules = of(Arc::new(Silent(Mutex::new(new(guests::done(), "1").ok()))));
    let good = modules.current("m", None).await.unwrap();
    refresh_is_due().await;
    let asked = tokio::time::Instant::now();
    assert!(Arc::ptr_eq(&good, &modules.current("m", None).await.unwrap()));
    assert_eq!(asked.elapsed(), PATIENCE);
}

fn refused(kind: SourceErrorKind, message: &str) -> Result<Fetched, SourceError> {
    Err(SourceError { kind, message: message.into() })
}

/// What is said at the start of a source that answers so about the modules `a` and `b`.
async fn checked<const N: usize>(answers: [Result<Fetched, SourceError>; N]) -> String {
    let (_, modules) = modules(answers);
    modules
        .check(["a", "b", "a"].map(|name| (name, None)))
        .await
        .map_or_else(|error| error.to_string(), |()| "sound".to_owned())
}

#[tokio::test(start_paused = true)]
async fn a_source_that_is_missing_or_forbidden_is_found_at_the_start() {
    use SourceErrorKind::{Denied, NotFound, SourceMissing, TooLarge};
    let denied = |what| refused(Denied, what);
    assert_eq!(checked([refused(SourceMissing, "there is no bucket"), down()]).await, "there is no bucket");
    assert_eq!(checked([denied("it is forbidden"), denied("it is forbidden")]).await, "it is forbidden");
    assert_eq!(checked([refused(TooLarge, "it is there"), denied("b is forbidden")]).await, "sound");
    // It may be uploaded, and the source may answer, at any time.
    assert_eq!(checked([refused(NotFound, "a is not there"), down()]).await, "sound");
    assert_eq!(checked([new(Vec::new(), "1"), new(Vec::new(), "1")]).await, "sound");
}

#[tokio::test(start_paused = true)]
async fn at_the_start_it_is_looked_for_what_handlers_are_pinned_to() {
    let (version, content) = (Pin::VersionId("v1".to_owned()), Pin::Sha256(sha256("content")));
    let (source, modules) = modules([new(Vec::new(), "1"), refused(SourceErrorKind::NotFound, "it was deleted")]);
    modules.check([("a", Some(&version)), ("a", Some(&version))]).await.unwrap();
    modules.check([("b", Some(&content))]).await.unwrap();
    assert_eq!(*source.asked.lock().unwrap(), [Some("v1".to_owned()), None]);
}

#[tokio::test(start_paused = true)]
async fn a_folder_of_modules_that_is_not_there_is_named() {
    let modules = of(Arc::new(DirSource::new("/no/such/folder")));
    insta::assert_snapshot!(modules.check([("a.wasm", None)]).await.unwrap_err(), @"/no/such/folder/a.wasm is not there, nor is its folder; correct `source` in [modules], or make the folder");
}

/// Puts a version of a module that takes 40 s to compile into its slot.
async fn slow(modules: &Modules, name: &str, becomes: Result<Vec<u8>, CompileError>) {
    let sandbox = Arc::clone(&modules.sandbox);
    let work = async move {
        tokio::time::sleep(Duration::from_secs(40)).await;
        Ok(load(&sandbox, &becomes?)?)
    };
    let known = Some(Known { tag: "slow".into(), signature: None });
    modules.slot(name, None).lock().await.compiling = Some(Compiling::new(known, Origin::built_here("digest"), work));
}

#[tokio::test(start_paused = true)]
async fn while_a_new_version_compiles_one_event_waits_a_while_and_others_do_not() {
    let (_, modules) = modules([new(guests::done(), "1")]);
    let good = modules.current("m", None).await.unwrap();
    slow(&modules, "m", Ok(guests::abandon())).await;
    let began = tokio::time::Instant::now();
    for elapsed in [PATIENCE, PATIENCE, PATIENCE] {
        assert!(Arc::ptr_eq(&good, &modules.current("m", None).await.unwrap()));
        assert_eq!(began.elapsed(), elapsed);
    }
    tokio::time::advance(Duration::from_secs(40)).await;
    tokio::task::yield_now().await;
    let next = modules.current("m", None).await.unwrap();
    assert_ne!(next.module.digest, good.module.digest);
}

#[tokio::test(start_paused = true)]
async fn whoever_goes_while_a_version_compiles_leaves_the_work_to_the_next() {
    let (source, modules) = modules([]);
    slow(&modules, "m", Ok(guests::done())).await;
    let waited = tokio::time::timeout(Duration::from_secs(30), modules.current("m", None)).await;
    assert!(waited.is_err());
    let began = tokio::time::Instant::now();
    modules.current("m", None).await.unwrap();
    assert_eq!((began.elapsed().as_secs(), source.asked.lock().unwrap().len()), (10, 0));
}

#[tokio::test(start_paused = true)]
async fn what_this_machine_could_not_compile_is_tried_again() {
    let (source, modules) = modules([new(guests::done(), "1")]);
    slow(&modules, "m", Err(CompileError::Failed("there are no processes left".into()))).await;
    let error = modules.current("m", None).await.unwrap_err();
    assert!(error.passes);
    insta::assert_snapshot!(error, @"s3://bucket/m is not taken yet: it could not be compiled: there are no processes left");
    modules.current("m", None).await.unwrap();
    assert_eq!(*source.asked.lock().unwrap(), [None]);
}

/// What a future comes to when it is polled once, with the tasks beside it.
async fn polled_once<T>(future: &mut (impl Future<Output = T> + Unpin)) -> Option<T> {
    let polled = std::future::poll_fn(|context| std::task::Poll::Ready(std::pin::Pin::new(&mut *future).poll(context)));
    let polled = polled.await;
    tokio::task::yield_now().await;
    match polled {
        std::task::Poll::Ready(done) => Some(done),
        std::task::Poll::Pending => None,
    }
}
