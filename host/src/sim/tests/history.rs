use super::*;
use crate::policy::SetInstanceProtection;

/// The world of the other tests, in which reads lag five seconds behind.
fn lagging(rest: &str) -> World {
    let text = format!("eventually-consistent = \"5s\"\n{HEAD}{rest}");
    World::parse("world.toml", &text).unwrap_or_else(|error| panic!("{error}"))
}

#[tokio::test(start_paused = true)]
async fn a_drain_shows_late_but_its_answer_does_not() {
    let world = lagging("[[task]]\nservice = \"web\"\nstops-in = \"20s\"");
    pass(60).await;
    assert_eq!(drain(&world).unwrap().status, "DRAINING");
    assert_eq!((member_of_prod(&world).status.as_str(), member_of_prod(&world).running_tasks), ("ACTIVE", 1));
    assert_eq!(tasks(&world), ["service:web RUNNING RUNNING"]);
    pass(4).await;
    assert_eq!(member_of_prod(&world).status, "ACTIVE");
    pass(1).await;
    assert_eq!((member_of_prod(&world).status.as_str(), member_of_prod(&world).running_tasks), ("DRAINING", 0));
    assert_eq!(tasks(&world), ["service:web DEACTIVATING STOPPED"]);
    pass(19).await;
    assert_eq!(tasks(&world), ["service:web STOPPING STOPPED"], "it has stopped four seconds ago");
    pass(1).await;
    assert!(tasks(&world).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_second_drain_acts_on_the_world_as_it_is() {
    let world = lagging("[[task]]\nservice = \"web\"\nstops-in = \"20s\"");
    drain(&world).unwrap();
    assert_eq!(member_of_prod(&world).status, "ACTIVE");
    assert_eq!(drain(&world).unwrap().status, "DRAINING");
    let arn = list(&world).remove(0).arn;
    stop(&world, &arn).unwrap();
    assert_eq!(changes(&world).len(), 1, "it was stopping already");
}

#[tokio::test(start_paused = true)]
async fn what_happens_at_the_beginning_shows_late_too() {
    let world = lagging("");
    world.deliver(&terminating("token")).unwrap();
    assert_eq!(lifecycle_state(&world).as_deref(), Some("InService"));
    pass(5).await;
    assert_eq!(lifecycle_state(&world).as_deref(), Some("Terminating:Wait"));
}

#[tokio::test(start_paused = true)]
async fn registration_protection_and_the_end_of_an_instance_show_late() {
    let world = lagging("registered-after = \"10s\"\nreclaimed-after = \"1m\"");
    let member = world.describe_member(&id(INSTANCE)).unwrap().unwrap();
    world.protect(&SetInstanceProtection { member, protected: true }).unwrap();
    assert!(!world.describe_member(&id(INSTANCE)).unwrap().unwrap().protected_from_scale_in);
    pass(14).await;
    assert!(world.describe_member(&id(INSTANCE)).unwrap().unwrap().protected_from_scale_in);
    assert_eq!(find(&world, &["prod"]).unwrap(), None);
    pass(1).await;
    member_of_prod(&world);
    // Nobody looks while all of it happens, and still it was in its order.
    pass(49).await;
    assert_eq!(state(&world), "running");
    member_of_prod(&world);
    pass(1).await;
    assert_eq!(state(&world), "shutting-down");
    assert_eq!(find(&world, &["prod"]).unwrap(), None);
}
