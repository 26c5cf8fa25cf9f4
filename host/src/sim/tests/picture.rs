//! A world at one moment, as expectations see it.

use super::*;
use crate::lifecycle::{Lifecycle, LifecycleResult};

const TASKS: &str = "[[task]]\ninstance = \"i-0aaaaaaaaaaaaaaa1\"\nservice = \"web\"\nstops-in = \"20s\"\n\
                     [[task]]\ninstance = \"i-0aaaaaaaaaaaaaaa1\"\nfamily = \"report\"\n";

fn picture(world: &World) -> String {
    let picture = world.picture();
    let mut told: Vec<_> = picture.instances.iter().map(|instance| format!("{instance:?}")).collect();
    told.extend(picture.actions.iter().map(|action| format!("{action:?}")));
    told.join("\n")
}

#[tokio::test(start_paused = true)]
async fn an_instance_with_its_tasks() {
    let world = world(TASKS);
    drain(&world).unwrap();
    insta::assert_snapshot!(picture(&world), @r#"InstancePicture { id: InstanceId("i-0aaaaaaaaaaaaaaa1"), state: "running", lifecycle_state: Some("InService"), protected_from_scale_in: false, container_instance_status: Some("DRAINING"), tasks: [TaskPicture { group: "service:web", last_status: "DEACTIVATING" }, TaskPicture { group: "family:report", last_status: "RUNNING" }] }"#);
    pass(20).await;
    assert_eq!(world.picture().instances[0].tasks[0].last_status, "STOPPED");
    assert_eq!(world.picture().tasks_lost(), 0);
}

#[tokio::test(start_paused = true)]
async fn tasks_of_an_instance_that_is_taken_away_are_lost_and_ecs_forgets_it() {
    let world = world(TASKS);
    world.deliver(&terminating("token")).unwrap();
    drain(&world).unwrap();
    pass(20).await;
    world.complete(&action(Some("token")), LifecycleResult::Continue).await.unwrap();
    assert_eq!(find(&world, &["prod"]).unwrap(), None, "ECS has forgotten it");
    insta::assert_snapshot!(picture(&world), @r#"
    InstancePicture { id: InstanceId("i-0aaaaaaaaaaaaaaa1"), state: "shutting-down", lifecycle_state: Some("Terminating:Proceed"), protected_from_scale_in: false, container_instance_status: Some("DRAINING"), tasks: [TaskPicture { group: "service:web", last_status: "STOPPED" }, TaskPicture { group: "family:report", last_status: "LOST" }] }
    ActionPicture { instance: InstanceId("i-0aaaaaaaaaaaaaaa1"), hook: HookName("drain"), token: Some("token"), end: Some(Continued) }
    "#);
    assert_eq!(world.picture().tasks_lost(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_instance_in_no_group_and_no_cluster() {
    let world = world(&format!("[[instance]]\nid = \"{OTHER}\"\n"));
    let other = &world.picture().instances[1];
    assert_eq!((other.lifecycle_state, other.container_instance_status, other.tasks.len()), (None, None, 0));
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_registers_late_is_no_member_before() {
    let world = world("registered-after = \"30s\"");
    assert_eq!(world.picture().instances[0].container_instance_status, None);
    pass(30).await;
    assert_eq!(world.picture().instances[0].container_instance_status, Some("ACTIVE"));
}
