use super::*;
use crate::ledger::{Item, MemoryStore};
use crate::policy::Pin;
use crate::ports::Region;
use crate::sim::World;
use crate::testing::{INSTANCE, START, give_up, open_item, policy, put_open, terminating, told};

const GRANTS: &str = "[handler.grants]\necs = { clusters = [\"prod\"], allow = [\"read\", \"drain\", \"stop-task\"] }";

/// An instance that is being drained, with a service whose limits let nothing move.
fn world() -> World {
    let text = format!(
        "start = \"{START}\"\naccount = \"123456789012\"\nregion = \"eu-central-1\"\n[[cluster]]\nname = \"prod\"\n\
         [[group]]\nname = \"web\"\n[[group.hook]]\nname = \"drain\"\ntransition = \"terminating\"\n\
         [[instance]]\nid = \"{INSTANCE}\"\ngroup = \"web\"\ncluster = \"prod\"\naddress = \"10.0.1.17\"\ntype = \"m7g.large\"\n\
         [[service]]\nname = \"web\"\ncluster = \"prod\"\ndesired-count = 1\nmaximum-percent = 100\n\
         [[task]]\ninstance = \"{INSTANCE}\"\nservice = \"web\"\n"
    );
    let world = World::parse("world.toml", &text).unwrap_or_else(|error| panic!("{error}"));
    world.deliver(&terminating()).unwrap();
    world
}

fn eyes(world: &World) -> Eyes {
    Eyes { ports: world.ports(), services: Arc::new(world.clone()), place: world.place() }
}

async fn ledger(open: Option<Item>) -> Arc<dyn Store> {
    let store = MemoryStore::default();
    if let Some(item) = open {
        put_open(&store, &Open { items: vec![item], ..Open::default() }).await;
    }
    Arc::new(store)
}

async fn why(store: &Arc<dyn Store>, eyes: Result<Eyes, String>, clock: Arc<dyn Clock>) -> (u8, String) {
    said(store, eyes, clock, false).await
}

async fn said(store: &Arc<dyn Store>, eyes: Result<Eyes, String>, clock: Arc<dyn Clock>, json: bool) -> (u8, String) {
    let (instance, policy) = (InstanceId::parse(INSTANCE).unwrap(), policy(GRANTS));
    let mut out = Vec::new();
    let asked = Asked { instance: &instance, policy: &policy, store, json };
    let code = asked.tell(&mut out, eyes, &clock).await.unwrap();
    (code, String::from_utf8(out).unwrap())
}

/// An item that waits for its tasks.
fn waiting() -> Item {
    let mut item = Item { attempts: 12, told: vec![told("again", "1 task still running: web x1")], ..open_item() };
    item.due += jiff::SignedDuration::from_secs(12);
    Item { wake: item.due, ..item }
}

#[tokio::test(start_paused = true)]
async fn one_sentence_comes_first_and_then_what_it_rests_on() {
    let world = world();
    let drain = async {
        let scope = crate::policy::Scope::new(policy(GRANTS).handlers[0].clone(), InstanceId::parse(INSTANCE).ok());
        let find = scope.find_container_instance(crate::policy::EcsCall::Drain, InstanceId::parse(INSTANCE).unwrap());
        let seen = world.ports().ecs.find_container_instance(find.unwrap()).await.unwrap().unwrap();
        world.ports().ecs.drain(scope.drain(seen).unwrap()).await.unwrap();
    };
    drain.await;
    let (code, text) = why(&ledger(Some(waiting())).await, Ok(eyes(&world)), world.clock()).await;
    assert_eq!(code, OPEN);
    let is_id = |word: &&str| word.len() == 32 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let id = text.split(' ').find(is_id).unwrap();
    let text = text.replace(id, "0b1c6c5a").replace("memory:", "s3://my-state/hostler/");
    insta::assert_snapshot!(text, @"
    i-0123456789abcdef0: ECS cannot move 1 task of service web: 1 of 1 run, its minimum healthy percent
      keeps 1 running, and its maximum percent allows 1, so that it may neither stop one nor start
      another first.
    What to do: let it start another before it stops one, by raising the maximum, or stop one first, by
      lowering the minimum:
      $ aws ecs update-service --cluster prod --service web --deployment-configuration maximumPercent=200,minimumHealthyPercent=100

    The ledger, s3://my-state/hostler/, says
      terminating, hook drain of group web: handler under-test, taken just now, deadline in 60m
        its next attempt is due in 12s
        attempt 1 ended 60s ago: again: 1 task still running: web x1

    AWS says
      EC2: running, on-demand, m7g.large, 10.0.1.17
      Auto Scaling: Terminating:Wait in group web
      ECS: DRAINING in cluster prod, agent connected
        task 0b1c6c5a of service web: RUNNING, to be RUNNING
        service web: desired 1, running 1, pending 0; minimum 100%, maximum 100%
          it says: (service web) was unable to stop or start tasks during a deployment because of the
            service deployment configuration
    ");
    assert!(include_str!("../../../../README.md").contains(&text), "README.md is to show this:\n{text}");
}

#[tokio::test(start_paused = true)]
async fn without_aws_the_ledger_says_what_it_knows() {
    let world = world();
    let (code, text) =
        why(&ledger(Some(waiting())).await, Err("no AWS region is configured".into()), world.clock()).await;
    assert_eq!(code, OPEN);
    insta::assert_snapshot!(text, @"
    i-0123456789abcdef0: it waits, as its handler has asked: 1 task still running: web x1; the next
      attempt is due in 12s.

    The ledger, memory:, says
      terminating, hook drain of group web: handler under-test, taken just now, deadline in 60m
        its next attempt is due in 12s
        attempt 1 ended 60s ago: again: 1 task still running: web x1

    AWS was not asked
      no AWS region is configured
    ");
}

#[tokio::test(start_paused = true)]
async fn what_was_said_by_a_plugin_that_is_given_up_is_nothing_to_mend() {
    let store = ledger(Some(Item { told: vec![told("failed", "it crashed: unreachable")], ..waiting() })).await;
    give_up(&store, &policy(GRANTS)).await;
    let (_, text) = why(&store, Err("no AWS region is configured".into()), world().clock()).await;
    insta::assert_snapshot!(text.split("\n\nAWS was").next().unwrap(), @"
    i-0123456789abcdef0: the plugin that its last attempt ran is given up: 3 attempts in a row crashed;
      the next attempt, with another if there is one, is due in 12s.
    What to do: mend the plugin and upload it; `hostler status --plugins` says what hosts know of it.

    The ledger, memory:, says
      terminating, hook drain of group web: handler under-test, taken just now, deadline in 60m
        its next attempt is due in 12s
        attempt 1 ended 60s ago: failed: it crashed: unreachable
        the plugin of that attempt is given up: 3 attempts in a row crashed
    ");
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_is_pinned_to_it_runs_what_is_given_up() {
    let store = ledger(Some(Item { told: vec![told("failed", "it crashed: unreachable")], ..waiting() })).await;
    let mut policy = policy(GRANTS);
    give_up(&store, &policy).await;
    let ledgers = desk::ledgers(&store, &world().clock()).await.unwrap();
    let known = desk::known(ledgers, &InstanceId::parse(INSTANCE).unwrap()).await.unwrap().unwrap();
    let digest = told("", "").module;
    assert_eq!(known.given_up(&policy, &store).await.keys().collect::<Vec<_>>(), [&digest]);
    Arc::get_mut(&mut policy.handlers[0]).unwrap().pin = Some(Pin::Sha256(digest));
    assert!(known.given_up(&policy, &store).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_instance_of_another_region_is_not_looked_for_in_ours() {
    let world = world();
    let mut item = waiting();
    item.event.region = Region::parse("us-east-1").unwrap();
    let (_, text) = why(&ledger(Some(item)).await, Ok(eyes(&world)), world.clock()).await;
    insta::assert_snapshot!(text.split("AWS was").nth(1).unwrap(), @"
    not asked
     these credentials are of account 123456789012 in eu-central-1, and the instance is in account
       123456789012 in us-east-1; set AWS_PROFILE and AWS_REGION to those
    ");
    assert_eq!(world.journal().iter().filter(|entry| entry.to_string().contains("describe")).count(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_the_ledger_does_not_know_is_looked_for_all_the_same() {
    let world = world();
    let (code, text) = why(&ledger(None).await, Ok(eyes(&world)), world.clock()).await;
    assert_eq!(code, NOTHING);
    insta::assert_snapshot!(text, @"
    i-0123456789abcdef0: its group web holds it in Terminating:Wait, and no host works on it: its event
      has not come here.
    What to do: see the rule that sends events, and add [sweep] to the policy. To let it go on at once:
      $ aws autoscaling complete-lifecycle-action --auto-scaling-group-name web --lifecycle-hook-name HOOK --instance-id i-0123456789abcdef0 --lifecycle-action-result CONTINUE

    The ledger, memory:, says
      nothing

    AWS says
      EC2: running, on-demand, m7g.large, 10.0.1.17
      Auto Scaling: Terminating:Wait in group web
      ECS: not asked, since its handler has no ecs grant that names clusters
    ");
}

#[tokio::test(start_paused = true)]
async fn the_same_can_be_had_as_json() {
    let world = world();
    let unasked = Err("no AWS region is configured".into());
    let (code, text) = said(&ledger(Some(waiting())).await, unasked, world.clock(), true).await;
    assert_eq!(code, OPEN);
    let object: Value = serde_json::from_str(&text).unwrap();
    insta::assert_snapshot!(format!("{object:#}"), @r#"
    {
      "aws": [],
      "command": null,
      "conclusion": "it waits, as its handler has asked: 1 task still running: web x1; the next attempt is due in 12s",
      "instance": "i-0123456789abcdef0",
      "ledger": [
        "terminating, hook drain of group web: handler under-test, taken just now, deadline in 60m",
        "  its next attempt is due in 12s",
        "  attempt 1 ended 60s ago: again: 1 task still running: web x1"
      ],
      "open": 1,
      "remedy": null,
      "unasked": "no AWS region is configured",
      "unknown": []
    }
    "#);
    let (code, text) = said(&ledger(None).await, Ok(eyes(&world)), world.clock(), true).await;
    assert_eq!((code, text.lines().count()), (NOTHING, 1));
    let object: Value = serde_json::from_str(&text).unwrap();
    insta::assert_snapshot!(object["command"].to_string(), @r#""aws autoscaling complete-lifecycle-action --auto-scaling-group-name web --lifecycle-hook-name HOOK --instance-id i-0123456789abcdef0 --lifecycle-action-result CONTINUE""#);
    for key in object.as_object().unwrap().keys() {
        assert!(HELP.contains(&format!("`{key}`")), "{key}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_damaged_is_named_and_what_aws_says_told_all_the_same() {
    let (world, store) = (world(), ledger(Some(waiting())).await);
    let key = store.list("open/", None).await.unwrap().objects.remove(0).key;
    let version = store.read(&key).await.unwrap().unwrap().version;
    store.write(&key, b"garbage".to_vec(), Some(&version)).await.unwrap();
    let (code, told) = why(&store, Ok(eyes(&world)), world.ports().clock).await;
    assert_eq!(code, NOT_COMPLETED);
    assert!(told.contains("is damaged") && told.contains("what cannot be read"), "{told}");
    assert!(told.contains("Auto Scaling: Terminating:Wait in group web"), "{told}");
}
