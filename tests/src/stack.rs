//! AWS on this machine.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::autoscaling::AutoScaling;
use crate::http::{Request, Response, Server, form};
use crate::process::{Folder, Process};
use crate::target;
use serde_json::{Value, json};

/// The account of every emulator.
pub const ACCOUNT: &str = "123456789012";

/// The region of everything.
pub const REGION: &str = "eu-central-1";

/// S3, SQS, STS and Lambda by `ministack`, ECS and EC2 by `moto`, Auto Scaling by ourselves.
///
/// Tests of one binary share one: what they make is kept apart by names and instance ids.
#[derive(Debug)]
pub struct Stack {
    /// Auto Scaling, which remembers what it is told.
    pub autoscaling: AutoScaling,
    ministack: Process,
    moto: Process,
    folder: Folder,
}

/// Who plays a part of AWS.
#[derive(Debug, Clone, Copy)]
pub enum Emulator {
    /// S3, SQS, STS, Lambda.
    Ministack,
    /// ECS, EC2, Secrets Manager.
    Moto,
}

impl Stack {
    /// The one that the tests of a binary share. Its servers end with the process.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Stack> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// Starts the servers.
    pub fn start() -> Self {
        let folder = Folder::new();
        let ministack = Process::serve(
            "ministack",
            &folder.path().join("ministack"),
            |port| {
                let mut command = python("ministack");
                command.args(["-m", "ministack"]).env("BIND_HOST", "127.0.0.1").env("GATEWAY_PORT", port.to_string());
                command.env("MINISTACK_ACCOUNT_ID", ACCOUNT).env("MINISTACK_REGION", REGION);
                command
            },
            |port| answers(port, "/_ministack/health"),
        );
        let moto = Process::serve(
            "moto",
            &folder.path().join("moto"),
            |port| {
                let mut command = python("moto");
                command.args(["-m", "moto.server", "-H", "127.0.0.1", "-p"]).arg(port.to_string());
                command.env("MOTO_ACCOUNT_ID", ACCOUNT);
                command
            },
            |port| answers(port, "/moto-api/data.json"),
        );
        Self { autoscaling: AutoScaling::start(), ministack, moto, folder }
    }

    /// The environment that leads the AWS SDK to the servers, one endpoint per service.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let (ministack, moto) = (url(&self.ministack), url(&self.moto));
        vec![
            ("AWS_ENDPOINT_URL_S3", ministack.clone()),
            ("AWS_ENDPOINT_URL_SQS", ministack.clone()),
            ("AWS_ENDPOINT_URL_LAMBDA", ministack.clone()),
            ("AWS_ENDPOINT_URL_STS", ministack),
            ("AWS_ENDPOINT_URL_ECS", moto.clone()),
            ("AWS_ENDPOINT_URL_EC2", moto.clone()),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", moto),
            ("AWS_ENDPOINT_URL_AUTO_SCALING", self.autoscaling.server.url()),
            // Credentials come from the environment and nowhere else.
            ("AWS_EC2_METADATA_DISABLED", "true".into()),
        ]
    }

    /// A server in front of ministack or moto, for the host to be led to: `intercept` answers, or lets a request through.
    pub fn in_front_of(
        &self,
        emulator: Emulator,
        intercept: impl Fn(&Request) -> Option<Response> + Send + Sync + 'static,
    ) -> Server {
        let behind = self.address(emulator);
        let pass_on = move |request: &Request| match request.send(behind) {
            Ok(response) => response,
            Err(error) => Response::new(502, error.to_string()),
        };
        Server::start(move |request| intercept(&request).unwrap_or_else(|| pass_on(&request)))
    }

    /// Where an emulator listens.
    pub fn address(&self, emulator: Emulator) -> SocketAddr {
        address(match emulator {
            Emulator::Ministack => &self.ministack,
            Emulator::Moto => &self.moto,
        })
    }

    /// A folder of its own for a test, or for one of its servers. It goes with the stack.
    pub fn folder(&self, name: &str) -> PathBuf {
        let folder = self.folder.path().join(name);
        std::fs::create_dir_all(&folder).expect("a folder can be made below the target directory");
        folder
    }

    /// A name that no other test of this stack has.
    pub fn unique(&self, name: &str) -> String {
        static NEXT: AtomicUsize = AtomicUsize::new(1);
        format!("{name}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// A request to ministack, as it is.
    pub fn ministack(&self, service: &str, request: Request) -> Response {
        call(&self.ministack, service, request)
    }

    /// Makes a bucket.
    pub fn create_bucket(&self, bucket: &str) {
        let place = format!(
            "<CreateBucketConfiguration><LocationConstraint>{REGION}</LocationConstraint></CreateBucketConfiguration>"
        );
        succeed(self.ministack("s3", Request::new("PUT", &format!("/{bucket}"), place)));
    }

    /// Puts an object.
    pub fn put_object(&self, bucket: &str, key: &str, body: impl Into<Vec<u8>>) {
        succeed(self.ministack("s3", Request::new("PUT", &format!("/{bucket}/{key}"), body)));
    }

    /// Puts an object with a signature.
    pub fn put_signed(&self, bucket: &str, key: &str, body: impl Into<Vec<u8>>, minisig: &str) {
        let request = Request::new("PUT", &format!("/{bucket}/{key}"), body).header("x-amz-meta-minisig", minisig);
        succeed(self.ministack("s3", request));
    }

    /// Has a bucket keep versions from now on.
    pub fn keep_versions(&self, bucket: &str) {
        let configuration = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
        succeed(self.ministack("s3", Request::new("PUT", &format!("/{bucket}?versioning"), configuration)));
    }

    /// The keys of the objects below a prefix.
    pub fn objects(&self, bucket: &str, prefix: &str) -> Vec<String> {
        let request = Request::new("GET", &format!("/{bucket}?list-type=2&prefix={prefix}"), "");
        let xml = succeed(self.ministack("s3", request)).text();
        xml.split("<Key>").skip(1).filter_map(|rest| rest.split("</Key>").next()).map(str::to_owned).collect()
    }

    /// Gets an object.
    pub fn get_object(&self, bucket: &str, key: &str) -> String {
        succeed(self.ministack("s3", Request::new("GET", &format!("/{bucket}/{key}"), ""))).text()
    }

    /// Calls ECS.
    pub fn ecs(&self, operation: &str, input: &Value) -> Value {
        let request = Request::new("POST", "/", input.to_string())
            .header("x-amz-target", &format!("AmazonEC2ContainerServiceV20141113.{operation}"))
            .header("content-type", "application/x-amz-json-1.1");
        json_of(&succeed(call(&self.moto, "ecs", request)))
    }

    /// Keeps a text in Secrets Manager: the name of the secret.
    pub fn create_secret(&self, text: &str) -> String {
        let name = self.unique("nuproj/secret");
        let input =
            json!({ "Name": name, "SecretString": text, "ClientRequestToken": "11111111-1111-4111-8111-111111111111" });
        let request = Request::new("POST", "/", input.to_string())
            .header("x-amz-target", "secretsmanager.CreateSecret")
            .header("content-type", "application/x-amz-json-1.1");
        succeed(call(&self.moto, "secretsmanager", request));
        name
    }

    /// Launches an instance with a private address: its id.
    pub fn run_instance(&self, address: Ipv4Addr) -> String {
        let input = form(&[
            ("Action", "RunInstances"),
            ("Version", "2016-11-15"),
            ("ImageId", "ami-12c6146b"),
            ("InstanceType", "m7g.large"),
            ("MinCount", "1"),
            ("MaxCount", "1"),
            ("PrivateIpAddress", &address.to_string()),
        ]);
        let request = Request::new("POST", "/", input).header("content-type", "application/x-www-form-urlencoded");
        let xml = succeed(call(&self.moto, "ec2", request)).text();
        let id = xml.split("<instanceId>").nth(1).and_then(|rest| rest.split('<').next());
        id.unwrap_or_else(|| panic!("EC2 launched nothing: {xml}")).to_owned()
    }

    /// Registers an instance in a cluster, which is made if need be: the ARN of its container instance.
    pub fn register(&self, cluster: &str, instance: &str) -> String {
        self.ecs("CreateCluster", &json!({ "clusterName": cluster }));
        let document = json!({ "instanceId": instance }).to_string();
        let input = json!({ "cluster": cluster, "instanceIdentityDocument": document });
        text(&self.ecs("RegisterContainerInstance", &input)["containerInstance"]["containerInstanceArn"])
    }

    /// A container instance's status, such as `DRAINING`.
    pub fn status(&self, cluster: &str, container_instance: &str) -> String {
        let input = json!({ "cluster": cluster, "containerInstances": [container_instance] });
        text(&self.ecs("DescribeContainerInstances", &input)["containerInstances"][0]["status"])
    }

    /// Starts a standalone task on a container instance: its ARN. It goes on until it is stopped.
    pub fn start_task(&self, cluster: &str, container_instance: &str) -> String {
        // moto moves a task on each time it is described, from RUNNING to its end, unless it is told to leave it.
        let transition =
            json!({ "model_name": "ecs::task", "transition": { "progression": "manual", "times": 1_000_000 } });
        let request = Request::new("POST", "/moto-api/state-manager/set-transition", transition.to_string());
        succeed(call(&self.moto, "moto", request.header("content-type", "application/json")));

        let container = json!({ "name": "main", "image": "none", "memory": 64 });
        let definition = json!({ "family": "standalone", "containerDefinitions": [container] });
        self.ecs("RegisterTaskDefinition", &definition);
        let input = json!({
            "cluster": cluster, "taskDefinition": "standalone", "containerInstances": [container_instance],
        });
        text(&self.ecs("StartTask", &input)["tasks"][0]["taskArn"])
    }

    /// A task's last status, such as `STOPPED`.
    pub fn task_status(&self, cluster: &str, task: &str) -> String {
        text(&self.ecs("DescribeTasks", &json!({ "cluster": cluster, "tasks": [task] }))["tasks"][0]["lastStatus"])
    }
}

pub(crate) fn python(tool: &str) -> Command {
    let python = target().join("tools").join(tool).join("bin/python");
    assert!(python.exists(), "{} is missing: `make emulators` installs it", python.display());
    Command::new(python)
}

fn address(process: &Process) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, process.port).into()
}

fn url(process: &Process) -> String {
    format!("http://{}", address(process))
}

fn answers(port: u16, path: &str) -> bool {
    let answer = Request::new("GET", path, "").send((Ipv4Addr::LOCALHOST, port).into());
    answer.is_ok_and(|answer| answer.status == 200)
}

/// The request as the emulators want it: they read service and region from the signature, which they do not check.
pub fn signed(service: &str, request: Request) -> Request {
    let scope = format!("Credential=test/20260101/{REGION}/{service}/aws4_request");
    let signature = format!("AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=0");
    request.header("authorization", &signature)
}

fn call(process: &Process, service: &str, request: Request) -> Response {
    signed(service, request).send(address(process)).expect("the emulator answers")
}

pub(crate) fn succeed(response: Response) -> Response {
    assert!((200..300).contains(&response.status), "status {}: {}", response.status, response.text());
    response
}

pub(crate) fn json_of(response: &Response) -> Value {
    serde_json::from_slice(&response.body).unwrap_or_else(|error| panic!("{error}: {}", response.text()))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is not a text")).to_owned()
}

/// Where a program of a virtual environment runs something for us.
pub(crate) fn run_python(code: &str, arguments: &[&Path]) {
    let output = python("ministack").args(["-c", code]).args(arguments).output().expect("python starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
