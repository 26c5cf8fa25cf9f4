//! What a test has of the stack for itself.

use std::net::Ipv4Addr;

use crate::autoscaling::Call;
use crate::stack::Stack;

/// An Auto Scaling group whose instances are in an ECS cluster, and the bucket of its host.
#[derive(Debug)]
pub struct Fleet {
    /// Where all of it is.
    pub stack: &'static Stack,
    /// Modules in `plugins/`, and what the host writes.
    pub bucket: String,
    /// The name of the group.
    pub group: String,
    /// The name of the cluster.
    pub cluster: String,
}

/// An instance of a cluster.
#[derive(Debug)]
pub struct Instance {
    /// EC2's id.
    pub id: String,
    /// ECS's ARN.
    pub container_instance: String,
}

impl Fleet {
    /// One without instances and modules, on the shared stack. Its names have `name` in them, and are no other test's.
    pub fn new(name: &str) -> Self {
        let stack = Stack::shared();
        let nuproj = format!("nuproj-{name}");
        let [bucket, group, cluster] = [name, &nuproj, &nuproj].map(|name| stack.unique(name));
        stack.create_bucket(&bucket);
        Self { stack, bucket, group, cluster }
    }

    /// Has `hook` of the group hold back an instance on its way out, from now on: the token that the event carries.
    pub fn hold_back(&self, hook: &str, instance: &str) -> String {
        self.stack.autoscaling.hold_back(&self.group, hook, instance)
    }

    /// The completions of the group's lifecycle actions, in order.
    pub fn completions(&self) -> Vec<Call> {
        self.stack.autoscaling.completions(&self.group)
    }

    /// Puts a module, or the next version of it, where a policy's handler finds it as `{name}.wasm`.
    pub fn upload(&self, name: &str, module: impl Into<Vec<u8>>) {
        self.stack.put_object(&self.bucket, &format!("plugins/{name}.wasm"), module);
    }

    /// Launches an instance at a private address, and registers it in the cluster.
    pub fn launch(&self, address: Ipv4Addr) -> Instance {
        let id = self.stack.run_instance(address);
        let container_instance = self.stack.register(&self.cluster, &id);
        Instance { id, container_instance }
    }

    /// The keys of the objects below a prefix of the bucket.
    pub fn objects(&self, prefix: &str) -> Vec<String> {
        self.stack.objects(&self.bucket, prefix)
    }

    /// An object of the bucket.
    pub fn object(&self, key: &str) -> String {
        self.stack.get_object(&self.bucket, key)
    }

    /// Starts a standalone task on an instance: its ARN.
    pub fn start_task(&self, instance: &Instance) -> String {
        self.stack.start_task(&self.cluster, &instance.container_instance)
    }

    /// A task's last status, such as `STOPPED`.
    pub fn task_status(&self, task: &str) -> String {
        self.stack.task_status(&self.cluster, task)
    }

    /// An instance's status in the cluster, such as `DRAINING`.
    pub fn status(&self, instance: &Instance) -> String {
        self.stack.status(&self.cluster, &instance.container_instance)
    }
}
