//! From bytes to a module, in a child process.
//!
//! Whoever uploads a module writes the input of parsers and of a compiler, which takes seconds and hundreds of megabytes for modules
//! that are meant well and cannot be stopped. So another process of this program does it: one that has no credentials, no environment
//! and bounds on its time and memory, and that ends when nobody waits for it any more.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytesize::ByteSize;
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;
use tokio::sync::Semaphore;

use super::{Refusal, accept, machine};
use crate::digest::sha256;
use crate::sandbox::{Code, Module, Sandbox};
use crate::telemetry::visible;

/// How long a module may take to compile: a Python one, the slowest that is meant well, takes about ten seconds.
const TIME: Duration = Duration::from_secs(40);

/// How many times as long is waited for a compiler that gets hardly any processor: whoever serves events comes first.
const ROUNDS: u32 = 10;

/// The most memory that compiling may take, in bytes, where this process may take twice that: a Python module takes 400 MB.
const MEMORY: u64 = 1 << 30;

/// How many threads compile one module.
const THREADS: u32 = 4;

/// The most code that a module may become, in bytes, where this process may take eight times that, since it holds code of several
/// modules: that of a Python one has 60 MB.
const CODE_BYTES: u64 = 256 << 20;

/// The most that a child may say, in bytes.
const WORDS_BYTES: u64 = 64 << 10;

/// The child's exit code for a module that it refuses.
pub const REFUSED: u8 = 3;

/// The child's exit code where this machine does not let it work: that says nothing of the module.
pub const UNABLE: u8 = 4;

/// Why there is no module.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// It is refused, and would be the next time.
    #[error("it {0}")]
    Refused(#[from] Refusal),
    /// This machine could not compile it now.
    #[error("it could not be compiled: {0}")]
    Failed(String),
}

/// Who makes modules of bytes.
#[derive(Debug, Clone)]
pub enum Compiler {
    /// This process: for modules that whoever runs it has built, and under virtual time, which passes while a child works.
    Here,
    /// A child of it for each module.
    Child(Child),
}

/// How a child is started, and what it may take.
#[derive(Debug, Clone)]
pub struct Child {
    program: PathBuf,
    time: Duration,
    memory: u64,
    code: u64,
    /// One module after the other: each may take all of that.
    turn: Arc<Semaphore>,
}

impl Compiler {
    /// A child of the program that runs.
    pub fn child() -> Self {
        // The program that runs, whatever an upgrade has put in its place meanwhile: its code would not fit.
        let running = PathBuf::from("/proc/self/exe");
        let program = if running.exists() { Ok(running) } else { std::env::current_exe() };
        Self::Child(Child::of(program.unwrap_or_else(|_| "hostler".into())))
    }

    /// Checks, compiles and links a module. May be dropped: a child then ends.
    pub async fn load(&self, sandbox: &Arc<Sandbox>, bytes: Vec<u8>) -> Result<Module, CompileError> {
        let sandbox = Arc::clone(sandbox);
        let loading = match self {
            Self::Here => tokio::task::spawn_blocking(move || load(&sandbox, &bytes)),
            Self::Child(child) => {
                let code = child.compile(&bytes, sandbox.memory()).await?;
                tokio::task::spawn_blocking(move || {
                    sandbox.load(&code, sha256(&bytes), bytes.len()).map_err(|error| misfit(&error))
                })
            }
        };
        Ok(loading.await.map_err(|error| CompileError::Failed(error.to_string()))??)
    }
}

/// Checks, compiles and links a module, in this process and on this thread. A large one takes seconds.
pub fn load(sandbox: &Sandbox, bytes: &[u8]) -> Result<Module, Refusal> {
    accept::accept(bytes)?;
    sandbox.compile(bytes, sha256(bytes)).map_err(|error| misfit(&error))
}

fn takes_too_much(memory: u64) -> Refusal {
    Refusal::because(format!("takes more than {} of memory to compile: make it smaller", ByteSize::b(memory)))
}

fn misfit(error: &wasmtime::Error) -> Refusal {
    Refusal::because(format!("does not fit this host: {error:#}"))
}

impl Child {
    /// The program at `program`, under the bounds that hold for modules from outside.
    pub fn of(program: PathBuf) -> Self {
        let memory = machine::memory();
        Self {
            program,
            time: TIME,
            memory: MEMORY.min(memory / 2),
            code: CODE_BYTES.min(memory / 8),
            turn: Arc::new(Semaphore::new(1)),
        }
    }

    /// The same with other bounds, on the memory that compiling takes and the code that comes of it in bytes.
    #[must_use]
    pub fn bounded(self, time: Duration, memory: u64, code: u64) -> Self {
        Self { time, memory, code, ..self }
    }

    async fn compile(&self, bytes: &[u8], reserved: u64) -> Result<Code, CompileError> {
        // The semaphore is never closed, which is the only way for this to fail.
        let _turn = self.turn.acquire().await;
        let failed = |error: io::Error| CompileError::Failed(format!("{}: {error}", self.program.display()));
        let mut child = Command::new(&self.program)
            .args(self.arguments(reserved))
            .env_clear()
            .env("RAYON_NUM_THREADS", THREADS.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let process = child.id();
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(mut input), Some(output), Some(words)) = pipes else {
            return Err(CompileError::Failed("its compiler has no pipes".to_owned()));
        };
        let work = async {
            let ((), output, words, status) = tokio::try_join!(
                async {
                    // A child that ends early has its reasons, and tells them elsewhere.
                    let _ = input.write_all(bytes).await;
                    drop(input);
                    Ok(())
                },
                bounded(output, self.code),
                bounded(words, WORDS_BYTES),
                child.wait(),
            )?;
            Ok((output, words, status))
        };
        let mut work = std::pin::pin!(work);
        let mut spent = Duration::ZERO;
        for _ in 0..ROUNDS {
            match tokio::time::timeout(self.time, &mut work).await {
                Ok(Ok((output, words, status))) => return self.answer(output, &words, status),
                Ok(Err(error)) => return Err(failed(error)),
                Err(_) => spent = process.map(machine::processor_time).unwrap_or_default(),
            }
            if spent >= self.time * 3 / 4 {
                let late = format!("takes longer than {:?} to compile: make it smaller", self.time);
                return Err(Refusal::because(late).into());
            }
        }
        let waited = self.time * ROUNDS;
        Err(CompileError::Failed(format!(
            "in {waited:?} its compiler had a processor for {spent:?}: this machine is too busy"
        )))
    }

    fn arguments(&self, reserved: u64) -> [OsString; 4] {
        let cpu = self.time.as_secs().saturating_mul(THREADS.into()).saturating_add(1);
        ["compile-module".into(), reserved.to_string().into(), self.memory.to_string().into(), cpu.to_string().into()]
    }

    /// What the child has come to.
    fn answer(&self, output: Vec<u8>, words: &[u8], status: ExitStatus) -> Result<Code, CompileError> {
        // It is not read further, so that the child has failed to write.
        if output.len() as u64 > self.code {
            let most = ByteSize::b(self.code);
            return Err(Refusal::because(format!("becomes more than {most} of code: make it smaller")).into());
        }
        if status.success() {
            #[expect(unsafe_code, reason = "a child of this program has compiled it, and the pipe is ours alone")]
            return Ok(unsafe { Code::from_this_program(output) });
        }
        if status.code() == Some(REFUSED.into())
            && let Ok(reasons) = serde_json::from_slice::<Vec<String>>(&output)
        {
            return Err(Refusal { reasons }.into());
        }
        let words = String::from_utf8_lossy(words);
        let last = words.lines().rfind(|line| !line.trim().is_empty()).map(visible).unwrap_or_default();
        if status.code() == Some(UNABLE.into()) {
            return Err(CompileError::Failed(last));
        }
        if words.contains("memory allocation of") {
            return Err(takes_too_much(self.memory).into());
        }
        // None of its bounds ends it so.
        if status.signal() == Some(Signal::KILL.as_raw()) {
            return Err(CompileError::Failed(
                "its compiler was killed: has this machine too little memory?".to_owned(),
            ));
        }
        Err(Refusal::because(format!("is more than the compiler can take ({status}): {last}")).into())
    }
}

/// All that comes, and one byte of what is too much.
async fn bounded(pipe: impl AsyncRead + Unpin, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    pipe.take(most.saturating_add(1)).read_to_end(&mut bytes).await?;
    Ok(bytes)
}

/// The child's side: a module comes in, and code or the reasons against it go out. Returns the exit code.
///
/// `reserved` is the address space behind a linear memory, `memory` the most that may be taken, both in bytes; `cpu` is in seconds.
pub fn serve(input: impl Read, mut output: impl Write, reserved: u64, memory: u64, cpu: u64) -> io::Result<u8> {
    confine(memory, cpu)?;
    let mut bytes = Vec::new();
    let mut input = input;
    let read = match input.read_to_end(&mut bytes) {
        Err(error) if error.kind() == io::ErrorKind::OutOfMemory => Err(takes_too_much(memory)),
        read => Ok(read?),
    };
    let accepted = read.and_then(|_| accept::accept(&bytes));
    let compiled = accepted.and_then(|_| Code::compile(&bytes, reserved).map_err(|error| misfit(&error)));
    match compiled {
        Ok(code) => {
            output.write_all(code.as_bytes())?;
            Ok(0)
        }
        Err(refusal) => {
            output.write_all(&serde_json::to_vec(&refusal.reasons)?)?;
            Ok(REFUSED)
        }
    }
}

/// Takes from this process what compiling has no need of.
fn confine(memory: u64, cpu: u64) -> io::Result<()> {
    let between = |resource, soft: u64, hard: u64| {
        let allowed = |most: u64| Some(getrlimit(resource).maximum.map_or(most, |allowed| allowed.min(most)));
        setrlimit(resource, Rlimit { current: allowed(soft), maximum: allowed(hard) })
    };
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    let to = |resource, most| between(resource, most, most);
    to(Resource::Data, memory)?;
    // At the first it is told so, and at the second killed, as it is by a system that is short of memory.
    between(Resource::Cpu, cpu, cpu.saturating_add(1))?;
    to(Resource::Core, 0)?;
    to(Resource::Fsize, 0)?;
    // Whoever serves events comes first.
    let _ = rustix::process::nice(10);
    Ok(())
}
