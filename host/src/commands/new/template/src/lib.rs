//! Empties an EC2 instance that is about to go: drains it in ECS, and waits until no task is left.

use hostler_plugin::drain::{Drain, Step};
use hostler_plugin::prelude::*;

/// How long a task of no service may go on. Draining leaves those running, so they are stopped then.
const STOP_STANDALONE_AFTER: Duration = Duration::from_secs(120);

/// One step: looks at the instance, does what is missing, and says whether that is all.
///
/// It is called again after `Outcome::again`, after an error and after a crash, so it remembers
/// nothing: whether the instance is DRAINING, and what still runs there, is read from ECS each time.
/// The host completes the lifecycle action, with CONTINUE once this says `Done`.
fn handle(event: &Event) -> Result<Outcome> {
    // `configured` lets the policy change it, in [handler.config].
    let drain = Drain::new()
        .stop_standalone_after(STOP_STANDALONE_AFTER)
        .configured()?;
    match drain.step(event)? {
        Step::Wait(wait) => Ok(wait.into()),
        Step::Drained => {
            log::info!("{} is drained", event.instance()?);
            Ok(Outcome::Done)
        }
        // No container instance: an event of a node that ECS does not know, or no longer.
        Step::NotAMember => Ok(Outcome::Done),
    }
}

hostler_plugin::export!(handle);

#[cfg(test)]
mod tests {
    use hostler_plugin::testing::{self, World};

    use super::*;

    #[test]
    fn the_instance_may_go_once_its_tasks_have_ended() {
        let mut world = World::new()
            .member("ACTIVE")
            .service_task("web")
            .service_task("web");
        let event = testing::event(Kind::InstanceTerminating);
        let (end, notes) = world.to_the_end(handle, event, |attempt, world| {
            // What ECS does between two attempts: one task ends at a time.
            world.tasks.truncate(2 - attempt as usize);
        });
        assert_eq!(end, Ok(Outcome::Done));
        assert_eq!(
            notes,
            [
                "2 tasks still running: web x2",
                "1 task still running: web x1"
            ]
        );
        assert_eq!(
            world.container_instance.map(|member| member.status),
            Some("DRAINING".to_owned())
        );
    }
}
