//! Ports whose answers are not about what was asked: nothing is done with them, however wide the grants are.

use super::ports::Lie;
use super::*;

const WIDE: &str = r#"
ecs = { clusters = ["prod-*"], allow = ["read", "drain", "stop-task"], instances = "any" }
autoscaling = { groups = ["*"], allow = ["read", "protect"], instances = "any" }
ec2 = { allow = ["read"], instances = "any" }
ssh = { user = "u", key = "env:K", host-keys = "console", commands = [["uptime"]], instances = "any" }
"#;

/// What each function that reaches the world comes to, where its ports tell this lie.
async fn told(lie: Lie) -> Vec<(String, ErrorCode, String)> {
    let mut told = Vec::new();
    for function in functions() {
        if matches!(function.split('.').next(), Some("config" | "log" | "clock")) {
            continue;
        }
        let mut scene = Scene::new(WIDE, true).await;
        *scene.counted.lie.lock().unwrap() = Some(lie);
        let call = Call { function, target: Target::Own, task_of: Target::Own, command: 0 };
        let (ended, reached) = scene.call(&call).await;
        let changing = ["ecs.drain", "ecs.stop-task", "autoscaling.set-instance-protection", "ssh.exec"];
        if let Err((code, message)) = ended {
            let changed = reached.iter().any(|reached| changing.iter().any(|change| reached.starts_with(change)));
            assert!(!changed, "{call:?} reached {reached:?} and came to {message}");
            told.push((call.function, code, message));
        }
    }
    told
}

#[tokio::test(start_paused = true)]
async fn an_answer_about_another_instance_is_not_believed() {
    let told = told(Lie::Is("i-0aaaaaaaaaaaaaaa1")).await;
    assert_eq!(told.len(), 8, "{told:?}");
    for (function, code, message) in told {
        assert_eq!(code, ErrorCode::Other, "{function}");
        assert_eq!(
            message,
            format!("the answer is about i-0aaaaaaaaaaaaaaa1, and {INSTANCE} was asked for: nothing was done with it"),
            "{function}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_is_not_granted_is_not_even_shown() {
    let told = told(Lie::InCluster("batch")).await;
    let functions: Vec<_> = told.iter().map(|(function, _, _)| function.as_str()).collect();
    assert_eq!(functions.len(), 4, "{functions:?}");
    for (function, code, message) in told {
        assert_eq!(code, ErrorCode::Denied, "{function}");
        assert!(message.contains("is for clusters \"prod-*\", and the instance is in \"batch\""), "{message}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_command_goes_nowhere_where_the_address_is_no_nodes() {
    for address in ["169.254.169.254", "127.0.0.1", "::ffff:127.0.0.1", "fd00:ec2::254", "0.0.0.0", "224.0.0.1"] {
        let told = told(Lie::At(address)).await;
        let [(function, code, message)] = told.as_slice() else { panic!("{address}: {told:?}") };
        assert_eq!((function.as_str(), *code), ("ssh.exec", ErrorCode::Denied), "{address}: {message}");
    }
}
