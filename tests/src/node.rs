//! A node: an sshd that proves by certificate which instance it is.

use std::io::Read;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use crate::process::{Process, path, program};
use crate::stack::Stack;

/// What sshd calls itself before anything else.
const BANNER: &[u8] = b"SSH-2.0-";

/// An instance's sshd, on 127.0.0.1.
#[derive(Debug)]
pub struct Node {
    /// The instance that its host certificate names.
    pub instance: String,
    folder: PathBuf,
    sshd: Process,
}

impl Node {
    /// Starts the sshd of `instance`, with a host key signed by a CA of its own, that lets the key in [`Node::key`] in.
    pub fn start(stack: &Stack, instance: &str) -> Self {
        let folder = stack.folder(&format!("node-{instance}"));
        keygen(&folder, &["-t", "ed25519", "-N", "", "-f", "ca"]);
        keygen(&folder, &["-t", "ed25519", "-N", "", "-f", "host"]);
        keygen(&folder, &["-t", "ed25519", "-N", "", "-f", "client"]);
        keygen(&folder, &["-s", "ca", "-h", "-I", instance, "-n", instance, "-V", "-5m:+1d", "host.pub"]);
        // As root, sshd wants a folder that the system makes at boot, where there is a boot.
        drop(std::fs::create_dir_all("/run/sshd"));
        let sshd = Process::serve("sshd", &folder.join("sshd"), |port| command(&folder, port), greets);
        Self { instance: instance.into(), folder, sshd }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.sshd.port
    }

    /// Who may log in: the user that runs the test, since sshd without root knows no other.
    pub fn user(&self) -> String {
        let output = Command::new("id").arg("-un").output().expect("there is id");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// The private key that is let in.
    pub fn key(&self) -> PathBuf {
        self.folder.join("client")
    }

    /// The public key of the CA that signed the host key.
    pub fn host_ca(&self) -> PathBuf {
        self.folder.join("ca.pub")
    }

    /// A file that nothing has made yet, for a command to make.
    pub fn marker(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The `ssh` grant that reaches it, for `commands` as the policy writes them.
    pub fn grant(&self, commands: &str) -> String {
        format!(
            "ssh = {{ user = {:?}, key = \"file:{}\", host-keys = \"ca:{}\", port = {}, loopback = true, commands = {commands} }}",
            self.user(),
            self.key().display(),
            self.host_ca().display(),
            self.port(),
        )
    }

    /// Runs a command with OpenSSH's client, which trusts the CA for `expected` and nothing else.
    pub fn ssh(&self, expected: &str, command: &str) -> Output {
        let ca = std::fs::read_to_string(self.host_ca()).expect("the CA was made");
        let known_hosts = self.marker("known_hosts");
        std::fs::write(&known_hosts, format!("@cert-authority * {ca}")).expect("a file can be made");
        let mut ssh = Command::new(program("ssh"));
        ssh.args(["-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", "IdentitiesOnly=yes"]);
        ssh.arg("-o").arg(format!("UserKnownHostsFile={}", known_hosts.display()));
        ssh.arg("-o").arg(format!("HostKeyAlias={expected}")).arg("-i").arg(self.key());
        ssh.args(["-p", &self.port().to_string(), &format!("{}@127.0.0.1", self.user()), command]);
        ssh.env_remove("SSH_AUTH_SOCK").output().expect("ssh starts")
    }
}

fn command(folder: &Path, port: u16) -> Command {
    let at = |name: &str| folder.join(name).display().to_string();
    let options = [
        format!("ListenAddress=127.0.0.1:{port}"),
        format!("HostKey={}", at("host")),
        format!("HostCertificate={}", at("host-cert.pub")),
        format!("AuthorizedKeysFile={}", at("client.pub")),
        "PidFile=none".into(),
        "StrictModes=no".into(),
        "PasswordAuthentication=no".into(),
        "KbdInteractiveAuthentication=no".into(),
        "LogLevel=VERBOSE".into(),
    ];
    // By its absolute path, since it starts itself anew for each connection.
    let mut command = Command::new(program("sshd"));
    command.args(["-D", "-e", "-f", "/dev/null"]);
    for option in options {
        command.args(["-o", &option]);
    }
    command
}

fn greets(port: u16) -> bool {
    let mut greeting = [0; BANNER.len()];
    TcpStream::connect((Ipv4Addr::LOCALHOST, port))
        .and_then(|mut stream| {
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            stream.read_exact(&mut greeting)
        })
        .is_ok_and(|()| greeting == BANNER)
}

fn keygen(folder: &Path, arguments: &[&str]) {
    let output =
        Command::new(program("ssh-keygen")).arg("-q").args(arguments).env("PATH", path()).current_dir(folder).output();
    let output = output.expect("ssh-keygen starts");
    assert!(output.status.success(), "ssh-keygen: {}", String::from_utf8_lossy(&output.stderr));
}
