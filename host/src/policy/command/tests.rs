use proptest::prelude::*;

use super::*;

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn owned(command: &[&str]) -> Vec<String> {
    command.iter().map(|&argument| argument.to_owned()).collect()
}

fn pattern(written: &[&str]) -> CommandPattern {
    CommandPattern::new(owned(written)).unwrap()
}

#[test]
fn commands_match_argument_by_argument() {
    let long = "x".repeat(1 << 20);
    let cases: &[(&[&str], &[&str], bool)] = &[
        (&["docker", "ps"], &["docker", "ps"], true),
        (&["docker", "ps"], &["docker", "ps", "-a"], false),
        (&["docker", "ps"], &["docker"], false),
        (&["docker", "ps"], &["docker ps"], false),
        (&["docker", "ps"], &["docker", "PS"], false),
        (&["docker", "ps"], &["docker", " ps"], false),
        (&["docker", "ps"], &["docker", "ps\n"], false),
        (&["docker", "ps"], &["docker", "ps", ""], false),
        (&["docker"], &["/usr/bin/docker"], false),
        (&["docker"], &[""], false),
        (&["docker"], &[], false),
        // One star is one argument, whatever is in it.
        (&["docker", "*"], &["docker", "ps"], true),
        (&["docker", "*"], &["docker", ""], true),
        (&["docker", "*"], &["docker", "*"], true),
        (&["docker", "*"], &["docker", "a b; rm -rf /"], true),
        (&["docker", "*"], &["docker", "a\nb"], true),
        (&["docker", "*"], &["docker", "caf\u{e9} \u{1f433}"], true),
        (&["docker", "*"], &["docker", &long], true),
        (&["docker", "*"], &["docker"], false),
        (&["docker", "*"], &["docker", "ps", "x"], false),
        (&["docker", "*", "ps"], &["docker", "x", "ps"], true),
        (&["docker", "*", "ps"], &["docker", "ps"], false),
        (&["docker", "*", "*"], &["docker", "a", "b"], true),
        (&["docker", "*", "*"], &["docker", "a"], false),
        // It is no option, unless the policy says so.
        (&["docker", "*"], &["docker", "-v"], false),
        (&["docker", "*"], &["docker", "-"], false),
        (&["docker", "*"], &["docker", "--"], false),
        (&["docker", "*"], &["docker", "--root=/x"], false),
        (&["docker", "*"], &["docker", "a-b"], true),
        (&["docker", "*"], &["docker", " -v"], true),
        (&["docker", "*"], &["docker", "\u{2212}v"], true),
        (&["docker", "*", "**"], &["docker", "-v", "ps"], false),
        (&["docker", "-*"], &["docker", "-v"], true),
        (&["docker", "-*"], &["docker", "-"], true),
        (&["docker", "-*"], &["docker", "-*"], true),
        (&["docker", "-*"], &["docker", "v"], false),
        (&["docker", "-*"], &["docker", ""], false),
        (&["docker", "-*"], &["docker", "-v", "-v"], false),
        (&["docker", "--*"], &["docker", "--version"], false),
        (&["docker", "--*"], &["docker", "--*"], true),
        // A last `**` is the rest, and the policy has said so.
        (&["docker", "ps", "**"], &["docker", "ps"], true),
        (&["docker", "ps", "**"], &["docker", "ps", "-a", "--no-trunc"], true),
        (&["docker", "ps", "**"], &["docker", "ps", "**"], true),
        (&["docker", "ps", "**"], &["docker", "rm"], false),
        (&["docker", "ps", "**"], &["docker"], false),
        (&["docker", "*", "**"], &["docker"], false),
        (&["docker", "*", "**"], &["docker", "ps", "-a"], true),
        // A star within an argument is only a star: neither a glob nor a regular expression.
        (&["ls", "/var/*"], &["ls", "/var/log"], false),
        (&["ls", "/var/*"], &["ls", "/var/*"], true),
        (&["ls", "***"], &["ls", "x"], false),
        (&["ls", "***"], &["ls", "***"], true),
        (&["ls", "?"], &["ls", "x"], false),
        (&["ls", "."], &["ls", "x"], false),
        (&["ls", "[a-z]"], &["ls", "x"], false),
        (&["ls", "\\*"], &["ls", "*"], false),
        (&["ls", ""], &["ls", ""], true),
        (&["ls", ""], &["ls"], false),
        // Bytes, not what they look like: composed and decomposed, and letters of another script.
        (&["ls", "\u{e9}"], &["ls", "e\u{301}"], false),
        (&["ls", "a"], &["ls", "\u{430}"], false),
        // What no command can carry is never matched.
        (&["ls", "**"], &["ls", "a\0b"], false),
        (&["ls", "*"], &["ls", "a\0b"], false),
        (&["ls", "*"], &["ls\0", "a"], false),
        (&["ls", "**"], &[], false),
    ];
    for (written, command, expected) in cases {
        let found = pattern(written).matches(&owned(command));
        let shown: Vec<String> = command.iter().map(|argument| argument.chars().take(40).collect()).collect();
        assert_eq!(found, *expected, "{written:?} against {shown:?}");
    }
}

/// The definition, read off the words of the documentation, and from the other end.
fn naive(written: &[&str], command: &[&str]) -> bool {
    match (written.split_last(), command.split_last()) {
        (None, None) => true,
        (Some((&"**", fixed)), _) if command.len() <= fixed.len() => naive(fixed, command),
        (Some((&"**", _)), Some((last, before))) => !last.contains('\0') && naive(written, before),
        (Some((wanted, fixed)), Some((last, before))) => {
            let dashed = last.as_bytes().first() == Some(&b'-');
            let fits = match *wanted {
                "*" => !dashed,
                "-*" => dashed,
                literal => literal == *last,
            };
            fits && !last.contains('\0') && naive(fixed, before)
        }
        _ => false,
    }
}

/// Few words, so that patterns and commands meet often.
fn argument() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["", "a", "b", "-", "-a", "--", "*", "-*", "**", "a\nb", "\u{e9}", "a\0"])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]
    #[test]
    fn it_agrees_with_the_definition(
        program in prop::sample::select(vec!["a", "sudo"]),
        written in prop::collection::vec(argument(), 0..5),
        given in prop::sample::select(vec!["a", "sudo", "b"]),
        command in prop::collection::vec(argument(), 0..6),
    ) {
        let written: Vec<&str> = [program].into_iter().chain(written).collect();
        let command: Vec<&str> = [given].into_iter().chain(command).collect();
        match CommandPattern::new(owned(&written)) {
            Ok(read) => {
                prop_assert_eq!(read.matches(&owned(&command)), naive(&written, &command));
                prop_assert_eq!(read.matches(&[]), false);
                // What it is written as is what it was read from.
                prop_assert_eq!(read.to_string(), format!("{written:?}"));
            }
            Err(_) => {
                let misplaced = written.iter().rev().skip(1).any(|argument| *argument == "**");
                prop_assert!(misplaced || written.iter().any(|argument| argument.contains('\0')));
            }
        }
    }

    /// Whatever a plugin thinks of: where the policy writes no dash and no `**`, there is none in what runs.
    #[test]
    fn no_option_comes_where_none_is_written(command in prop::collection::vec("-{0,2}[a=/ \n]{0,3}", 1..6)) {
        let stars = vec!["*"; command.len()];
        let written: Vec<&str> = ["prog"].into_iter().chain(stars).collect();
        let command: Vec<String> = ["prog".to_owned()].into_iter().chain(command).collect();
        prop_assert_eq!(pattern(&written).matches(&command), !command.iter().any(|argument| argument.starts_with('-')));
    }
}

#[test]
fn a_huge_command_is_judged_as_any_other() {
    let stars = ["prog"].into_iter().chain(std::iter::repeat_n("*", 2000)).chain(["**"]).collect::<Vec<_>>();
    let pattern = pattern(&stars);
    let mut command = vec!["prog".to_owned()];
    command.extend(std::iter::repeat_n("x".repeat(1000), 3999));
    assert!(pattern.matches(&command));
    command[2000] = "-x".to_owned();
    assert!(!pattern.matches(&command) && pattern.lacks_only_a_dash(&command));
}

#[test]
fn a_command_pattern_names_its_program_and_ends_with_its_rest() {
    let error = |text: &str| CommandPattern::new(words(text)).unwrap_err();
    insta::assert_snapshot!(error(""), @r#"an empty command: name the program first, as in ["uptime"]"#);
    insta::assert_snapshot!(error("* ps"), @r#""*" as the program would allow any: name the program"#);
    insta::assert_snapshot!(error("-* ps"), @r#""-*" as the program would allow any: name the program"#);
    insta::assert_snapshot!(error("**"), @r#""**" as the program would allow any: name the program"#);
    insta::assert_snapshot!(error("docker ** ps"), @r#""**" stands for the rest of the arguments, so it can only be the last"#);
}

#[test]
fn what_is_probably_not_meant_is_told() {
    let told = |written: &[&str]| pattern(written).probably_not_meant().unwrap_or_default();
    insta::assert_snapshot!(told(&["tail", "/var/log/*"]), @r#""/var/log/*" means exactly that: a star stands for an argument only where it is all of it"#);
    insta::assert_snapshot!(told(&["/usr/bin/sudo", "systemctl", "**"]), @r#"["/usr/bin/sudo", "systemctl", "**"] runs as root with any options the plugin thinks of: write the arguments, with * for each that varies"#);
    for sound in
        [&["docker", "ps", "**"][..], &["sudo", "systemctl", "stop", "*"], &["sudo", "-*", "id"], &["sudoku", "**"]]
    {
        assert_eq!(told(sound), "");
    }
}
