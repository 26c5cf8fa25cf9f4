use super::*;

const HOOK: &str = "drain";

fn call(action: &str, parameters: &[(&str, &str)]) -> Call {
    let parameters = parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Call { action: action.to_owned(), parameters, accepted: false }
}

/// A call about an action, by its token or by its instance.
fn about(action: &str, by: (&str, &str)) -> Call {
    let result = ("LifecycleActionResult", "CONTINUE");
    call(action, &[("AutoScalingGroupName", "web"), ("LifecycleHookName", HOOK), by, result])
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// What an answer says in each element of that name.
fn told<'a>(xml: &'a str, element: &str) -> Vec<&'a str> {
    let (open, close) = (format!("<{element}>"), format!("</{element}>"));
    xml.split(open.as_str()).skip(1).filter_map(|rest| rest.split(close.as_str()).next()).collect()
}

fn refusal(result: Result<String, Fault>) -> String {
    result.err().map(|Fault(code, message)| format!("{code}: {message}")).unwrap_or_default()
}

#[test]
fn an_action_lives_as_long_as_heartbeats_come_and_tells_the_longest_time_without() {
    let (mut state, start) = (State::default(), Instant::now());
    state.hook("web", HOOK, seconds(30));
    let token = state.hold_back("web", HOOK, "i-1", start);
    let by = ("LifecycleActionToken", token.as_str());
    for at in [20, 45, 60] {
        assert!(state.act(&about("RecordLifecycleActionHeartbeat", by), start + seconds(at)).is_ok());
    }
    let story = &state.stories("web", start + seconds(61))[0];
    assert_eq!((story.heartbeats, story.longest_gap, &story.end), (3, seconds(25), &None));

    let late = state.act(&about("RecordLifecycleActionHeartbeat", by), start + seconds(90));
    assert_eq!(refusal(late), format!("ValidationError: No active Lifecycle Action found with token {token}"));
    let story = &state.stories("web", start + seconds(1000))[0];
    assert_eq!((story.longest_gap, &story.end), (seconds(30), &Some(Ended::TimedOut)));
}

#[test]
fn heartbeats_cannot_keep_an_action_alive_for_ever() {
    let (mut state, start) = (State::default(), Instant::now());
    state.hook("web", HOOK, seconds(30));
    state.hold_back("web", HOOK, "i-1", start);
    let by = ("InstanceId", "i-1");
    let beats = (1..200).map(|n| state.act(&about("RecordLifecycleActionHeartbeat", by), start + seconds(n * 20)));
    assert_eq!(beats.filter(Result::is_ok).count(), 149, "100 times 30 s");
}

#[test]
fn one_completion_is_accepted_and_every_other_counted() {
    let (mut state, start) = (State::default(), Instant::now());
    let token = state.hold_back("web", HOOK, "i-1", start);
    let by_instance = ("InstanceId", "i-1");
    let mut complete = |by| refusal(state.act(&about("CompleteLifecycleAction", by), start + seconds(1)));
    assert_eq!(
        complete(("LifecycleActionToken", "another")),
        "ValidationError: No active Lifecycle Action found with token another"
    );
    assert_eq!(complete(("LifecycleActionToken", &token)), "");
    assert_eq!(complete(by_instance), "ValidationError: No active Lifecycle Action found with instance ID i-1");
    complete(("LifecycleActionToken", &token));
    let story = &state.stories("web", start + seconds(2))[0];
    assert_eq!((story.accepted.join(" "), story.refused), ("CONTINUE".to_owned(), 2));
    assert_eq!((&story.end, story.longest_gap), (&Some(Ended::Completed("CONTINUE".to_owned())), seconds(1)));
}

#[test]
fn instances_come_in_pages_and_wait_while_one_of_their_actions_does() {
    let (mut state, start) = (State::default(), Instant::now());
    for n in 0..120 {
        state.hold_back("web", HOOK, &format!("i-{n:03}"), start);
    }
    state.hold_back("web", "archive", "i-000", start);
    for instance in ["i-000", "i-001"] {
        assert!(state.act(&about("CompleteLifecycleAction", ("InstanceId", instance)), start).is_ok());
    }
    let (mut pages, mut token, mut states) = (0, String::new(), Vec::new());
    loop {
        let page = call("DescribeAutoScalingInstances", &[("NextToken", &token)]);
        let page = state.act(&page, start).unwrap_or_else(|Fault(code, message)| panic!("{code}: {message}"));
        pages += 1;
        states.extend(told(&page, "LifecycleState").into_iter().map(str::to_owned));
        token = told(&page, "NextToken").join("");
        if token.is_empty() {
            break;
        }
    }
    assert_eq!((pages, states.len()), (3, 120));
    let waiting: Vec<_> = states[..3].iter().map(String::as_str).collect();
    assert_eq!(waiting, ["Terminating:Wait", "Terminating:Proceed", "Terminating:Wait"]);

    let ids: Vec<_> = (0..51).map(|n| (format!("InstanceIds.member.{n}"), format!("i-{n:03}"))).collect();
    let ids: Vec<_> = ids.iter().map(|(name, id)| (name.as_str(), id.as_str())).collect();
    let refused = refusal(state.act(&call("DescribeAutoScalingInstances", &ids), start));
    assert!(refused.contains("limited to 50"), "{refused}");
}

#[test]
fn hooks_are_told_with_their_timeouts() {
    let (mut state, start) = (State::default(), Instant::now());
    state.hook("web", HOOK, seconds(30));
    state.hold_back("web", "archive", "i-1", start);
    let describe = |group| call("DescribeLifecycleHooks", &[("AutoScalingGroupName", group)]);
    let hooks = state.act(&describe("web"), start).unwrap_or_default();
    assert_eq!(told(&hooks, "LifecycleHookName"), ["archive", HOOK]);
    assert_eq!(told(&hooks, "HeartbeatTimeout"), ["3600", "30"]);
    assert_eq!(told(&hooks, "GlobalTimeout"), ["172800", "3000"]);
    assert!(refusal(state.act(&describe("other"), start)).contains("name not found"));
}
