//! Every host function of the contract, under every kind of grant: each comes to what the oracle says, and reaches no more.

use proptest::prelude::*;

use super::oracle::{Grants, Oracle, Section};
use super::*;

const CLUSTERS: [&[&str]; 5] = [&["prod-1"], &["batch"], &["prod-*"], &["*"], &["prod-1", "batch"]];
const GROUPS: [&[&str]; 5] = [&["web"], &["jobs"], &["we*"], &["*"], &["web", "jobs"]];
const PATTERNS: [&[&[&str]]; 4] =
    [&[&["uptime"]], &[&["systemctl", "stop", "*"]], &[&["systemctl", "**"]], &[&["other"], &["sh", "-c", "id"]]];
const ECS: [&str; 3] = ["read", "drain", "stop-task"];
const AUTOSCALING: [&str; 2] = ["read", "protect"];

/// Makes the calls in one attempt, and compares each with the oracle.
async fn play(grants: &Grants, names_instance: bool, calls: &[Call]) -> Result<(), String> {
    let mut scene = Scene::new(&grants.written(), names_instance).await;
    let mut oracle = Oracle { grants: grants.clone(), names_instance, found: Default::default() };
    for (index, call) in calls.iter().enumerate() {
        let expected = oracle.judge(call);
        let (ended, reached) = scene.call(call).await;
        let told = || {
            format!("call {index}, {call:?}, under\n{}\ncame to {ended:?}\nand reached {reached:?}", grants.written())
        };
        let ends = ended.as_ref().map(|&()| ()).map_err(|(code, _)| *code);
        if (&ends, &reached) != (&expected.ends, &expected.reaches) {
            return Err(format!("{}\nwhere it should be {expected:?}", told()));
        }
        if let Err((ErrorCode::Denied, message)) = &ended {
            let named = format!("handler \"under-test\" may not call {} on {}: ", call.function, call.target.id());
            if !message.starts_with(&named) || !message.contains("(line ") || !message.contains("; to allow it, ") {
                return Err(format!("{}\nwhich does not say who, what, why, and what would allow it", told()));
            }
        }
    }
    Ok(())
}

fn section(names: &'static [&'static str], allow: &[&'static str], any: bool) -> Section {
    Section { names, allow: allow.to_vec(), commands: PATTERNS[0], any }
}

/// Each capability without a grant, with one for another action, for another cluster or group, exactly, and for any instance.
fn grants() -> Vec<Grants> {
    let mut all = vec![Grants::default()];
    for any in [false, true] {
        for names in CLUSTERS {
            let allowed = ECS.into_iter().map(|word| vec![word]).chain([ECS.to_vec()]);
            all.extend(allowed.map(|allow| Grants { ecs: Some(section(names, &allow, any)), ..Grants::default() }));
        }
        for names in GROUPS {
            let allowed = AUTOSCALING.into_iter().map(|word| vec![word]).chain([AUTOSCALING.to_vec()]);
            all.extend(
                allowed.map(|allow| Grants { autoscaling: Some(section(names, &allow, any)), ..Grants::default() }),
            );
        }
        all.push(Grants { ec2: Some(section(&[], &["read"], any)), ..Grants::default() });
        for commands in PATTERNS {
            let ssh = Some(Section { commands, ..section(&[], &[], any) });
            all.push(Grants { ssh, ..Grants::default() });
        }
    }
    all
}

#[tokio::test(start_paused = true)]
async fn each_function_under_each_grant_comes_to_what_the_oracle_says() {
    let (functions, mut seen) = (functions(), [0_usize; 3]);
    for grants in grants() {
        for names_instance in [true, false] {
            for function in &functions {
                for target in TARGETS {
                    for command in 0..if function == "ssh.exec" { COMMANDS.len() } else { 1 } {
                        let task_of =
                            if matches!(target, Target::Sibling | Target::Elsewhere) { target } else { Target::Own };
                        let call = Call { function: function.clone(), target, task_of, command };
                        play(&grants, names_instance, std::slice::from_ref(&call))
                            .await
                            .unwrap_or_else(|why| panic!("{why}"));
                        let ends = Oracle { grants: grants.clone(), names_instance, found: Default::default() }
                            .judge(&call)
                            .ends;
                        seen[match ends {
                            Ok(()) => 0,
                            Err(ErrorCode::Denied) => 1,
                            Err(_) => 2,
                        }] += 1;
                    }
                }
            }
        }
    }
    assert!(seen.iter().all(|seen| *seen > 500), "the matrix is lopsided: {seen:?}");
}

fn any_call() -> impl Strategy<Value = Call> {
    let tasks = vec![Target::Own, Target::Sibling, Target::Elsewhere];
    (
        prop::sample::select(functions()),
        prop::sample::select(TARGETS.to_vec()),
        prop::sample::select(tasks),
        0..COMMANDS.len(),
    )
        .prop_map(|(function, target, task_of, command)| Call { function, target, task_of, command })
}

fn any_section(
    names: &'static [&'static [&'static str]],
    words: &'static [&'static str],
) -> impl Strategy<Value = Option<Section>> {
    let allow = prop::sample::subsequence(words.to_vec(), words.len().min(1)..=words.len());
    let names = prop::sample::select(names.to_vec());
    let section = (names, allow, prop::sample::select(PATTERNS.to_vec()), any::<bool>())
        .prop_map(|(names, allow, commands, any)| Section { names, allow, commands, any });
    prop::option::weighted(0.8, section)
}

fn any_grants() -> impl Strategy<Value = Grants> {
    (
        any_section(&CLUSTERS, &ECS),
        any_section(&GROUPS, &AUTOSCALING),
        any_section(&[&[]], &["read"]),
        any_section(&[&[]], &[]),
    )
        .prop_map(|(ecs, autoscaling, ec2, ssh)| Grants { ecs, autoscaling, ec2, ssh })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    /// What one call finds out must not open a door to the next.
    #[test]
    fn sequences_of_calls_in_one_attempt_come_to_what_the_oracle_says(
        grants in any_grants(), names_instance in prop::bool::weighted(0.8), calls in prop::collection::vec(any_call(), 1..24)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        if let Err(why) = runtime.block_on(play(&grants, names_instance, &calls)) {
            prop_assert!(false, "{}", why);
        }
    }
}
