//! Hosts that take signed modules, and whoever signs them.

use super::*;
use crate::ledger::tests::scripted::Scripted;
use crate::modules::signing::{NewKeys, SecretKey};
use crate::policy::Policy;
use crate::testing::bucket::Bucket;

/// Hosts of one ledger whose policy trusts one key, and whoever has that.
pub(super) struct Signed {
    pub(super) bucket: Arc<Bucket>,
    pub(super) key: SecretKey,
    pub(super) policy: Policy,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) store: Arc<Scripted>,
    ledger: Ledger,
}

impl Signed {
    pub(super) fn new(bucket: Arc<Bucket>) -> Self {
        let keys = NewKeys::make(None).unwrap();
        let text = format!(
            "[modules]\nsource = \"dir:unused\"\nrefresh = \"10s\"\ntrusted-keys = [\"{}\"]\n[[handler]]\nname = \"h\"\n\
             module = \"m.wasm\"\nevent.source = [\"aws.ec2\"]\n",
            keys.trusted
        );
        let policy = Policy::parse("hostler.toml", &text).unwrap();
        let clock: Arc<dyn Clock> = Arc::new(VirtualClock::new());
        let store = Arc::new(Scripted::default());
        let ledger = ledger_over(store.clone(), &clock);
        Self { bucket, key: SecretKey::read(&keys.secret, None).unwrap(), policy, clock, store, ledger }
    }

    /// A process of a host.
    pub(super) fn host(&self) -> Modules {
        let sandbox = Sandbox::new(Capacity { attempts: 1, memory: 1 << 20 }, Pace::Virtual).expect("a sandbox");
        let compiler = (Arc::new(sandbox), Compiler::Here);
        let notes = self.ledger.notes("modules");
        Modules::new(self.bucket.clone(), compiler, Arc::clone(&self.clock), &self.policy.modules, notes)
    }

    pub(super) fn upload(&self, module: &[u8], version: &str) {
        let version = version.parse().unwrap();
        let signature = self.key.sign(module, "m.wasm", Some(&version), self.clock.now()).unwrap();
        self.bucket.put(module, Some(&signature));
    }
}

/// The digest of what is run after a refresh.
pub(super) async fn digest(modules: &Modules, pin: Option<&Pin>) -> Result<String, String> {
    refresh_is_due().await;
    let plugin = modules.current("m.wasm", pin).await;
    plugin.map(|plugin| plugin.module.digest.clone()).map_err(|error| error.to_string())
}

/// Has what is run bring an event to its end.
pub(super) async fn works(modules: &Modules) {
    let plugin = modules.current("m.wasm", None).await.unwrap();
    modules.tell("m.wasm", "h", &plugin, &Sign::Ended).await;
}

/// Has what is run crash as often as is the end of it.
pub(super) async fn crashes(modules: &Modules) {
    let plugin = modules.current("m.wasm", None).await.unwrap();
    for _ in 0..3 {
        modules.tell("m.wasm", "h", &plugin, &Sign::Crashed("unreachable".to_owned())).await;
    }
}
