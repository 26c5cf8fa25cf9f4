//! The order in which a run is told, and which of the lines that are logged are heard.

use tracing::subscriber::DefaultGuard;
use tracing_subscriber::layer::SubscriberExt;

use super::*;

/// Lets the journal hear this thread.
fn heard(world: &World) -> DefaultGuard {
    tracing::subscriber::set_default(tracing_subscriber::registry().with(world.listener()))
}

fn told(world: &World) -> String {
    world.journal().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[tokio::test(start_paused = true)]
async fn what_is_said_stands_between_what_happens() {
    let world = world(&format!("[[task]]\ninstance = \"{INSTANCE}\"\nservice = \"web\"\nstops-in = \"20s\""));
    let _guard = heard(&world);
    tracing::info!("before");
    world.deliver(&terminating("token")).unwrap();
    tracing::info!("between two changes of one instant");
    drain(&world).unwrap();
    tracing::info!("after a call");
    pass(30).await;
    // The world finds out only now that a task stopped ten seconds ago.
    tracing::info!("later");
    world.describe(&id(INSTANCE)).unwrap();
    insta::assert_snapshot!(told(&world), @"
    +0s host  before
    +0s world event delivered i-0aaaaaaaaaaaaaaa1: instance-terminating
    +0s world lifecycle state i-0aaaaaaaaaaaaaaa1: Terminating:Wait
    +0s host  between two changes of one instant
    +0s call  ecs.find-container-instance i-0aaaaaaaaaaaaaaa1: ACTIVE in prod, 1 running
    +0s call  ecs.drain i-0aaaaaaaaaaaaaaa1: DRAINING, 0 running
    +0s world task stopping service:web 87ff2aaa on i-0aaaaaaaaaaaaaaa1
    +0s host  after a call
    +20s world task stopped service:web 87ff2aaa on i-0aaaaaaaaaaaaaaa1
    +30s host  later
    +30s call  ec2.describe-instance i-0aaaaaaaaaaaaaaa1: running
    ");
}

#[tokio::test(start_paused = true)]
async fn our_lines_and_the_guests_are_heard_and_the_warnings_of_others() {
    let world = world("");
    let _guard = heard(&world);
    tracing::debug!("ours");
    tracing::trace!("too much");
    tracing::info!(target: "guest", "the handler's");
    tracing::info!(target: "another", "of no interest");
    tracing::warn!(target: "another", "a warning");
    insta::assert_snapshot!(told(&world), @"
    +0s host  ours
    +0s guest the handler's
    +0s host  a warning
    ");
}

#[tokio::test(start_paused = true)]
async fn the_fields_of_a_line_are_kept_as_text() {
    let world = world("");
    let _guard = heard(&world);
    tracing::warn!(call = "ecs.drain", attempt = 2, error = %"refused", list = ?["a"], absent = None::<u32>, "host call");
    let journal = world.journal();
    let What::Host(line) = &journal[0].what else { panic!("{journal:?}") };
    assert_eq!((line.level, line.message.as_str()), ("WARN", "host call"));
    let fields: Vec<_> = line.fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(fields, ["call=ecs.drain", "attempt=2", "error=refused", "list=[\"a\"]"]);
    assert_eq!((line.field("attempt"), line.field("absent")), ("2", ""));
}

#[tokio::test(start_paused = true)]
async fn a_world_of_the_same_blueprint_has_its_own_journal() {
    let blueprint = Blueprint::parse("world.toml", HEAD).unwrap();
    let (one, other) = (blueprint.world(), blueprint.world());
    drain(&one).unwrap();
    assert_eq!((one.journal().len(), other.journal().len()), (2, 0));
    assert_eq!(member_of_prod(&other).status, "ACTIVE");
}
