//! From a program and its arguments to the one line that SSH can carry.

use crate::ports::{PortError, PortErrorKind};
use crate::shell;

/// The longest line Linux lets a shell take as one argument: `MAX_ARG_STRLEN`, 32 pages, less the NUL at its end.
const LONGEST_LINE: usize = 128 * 1024 - 1;

/// Writes `command` as a line for the POSIX shell that sshd hands it to.
///
/// Every argument stands in single quotes, the program too: within them nothing has a meaning, and a quoted first word is
/// neither a keyword (`if`), nor an assignment (`A=b`), nor an alias, nor an option of the shell, whatever it begins with.
pub(crate) fn command_line(command: &[String]) -> Result<String, PortError> {
    if command.is_empty() {
        return Err(PortError::new(PortErrorKind::Invalid, "the command is empty; name a program"));
    }
    let mut line = String::new();
    for (position, argument) in command.iter().enumerate() {
        if argument.contains('\0') {
            let name = if position == 0 { "the program".to_owned() } else { format!("argument {position}") };
            let message = format!("{name} has a NUL byte, which no command line can carry; pass such data on stdin");
            return Err(PortError::new(PortErrorKind::Invalid, message));
        }
        if position > 0 {
            line.push(' ');
        }
        line.push_str(&shell::quoted(argument));
    }
    if line.len() > LONGEST_LINE {
        let message = format!(
            "the command is {} bytes long once quoted and Linux takes {LONGEST_LINE}; pass the data on stdin",
            line.len()
        );
        return Err(PortError::new(PortErrorKind::Invalid, message));
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    fn line(command: &[&str]) -> Result<String, PortError> {
        command_line(&command.iter().map(|argument| (*argument).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn every_word_is_quoted() {
        assert_eq!(line(&["sudo", "systemctl", "stop", "ecs"]).unwrap(), "'sudo' 'systemctl' 'stop' 'ecs'");
        assert_eq!(line(&["echo", "it's", ""]).unwrap(), r"'echo' 'it'\''s' ''");
    }

    #[test]
    fn what_no_command_line_can_carry_is_invalid() {
        for (command, says) in [
            (vec![], "the command is empty"),
            (vec!["a\0b"], "the program has a NUL byte"),
            (vec!["tee", "a", "\0"], "argument 2 has a NUL byte"),
            (vec!["echo", "x".repeat(LONGEST_LINE).leak()], "once quoted and Linux takes 131071"),
        ] {
            let error = line(&command).unwrap_err();
            assert_eq!(error.kind, PortErrorKind::Invalid);
            assert!(error.message.contains(says), "{error}");
        }
    }

    #[test]
    fn a_first_word_has_no_meaning_to_the_shell() {
        for word in ["if", "A=b", "-c", "~", "!", "{", "exit"] {
            let output = Command::new("sh").arg("-c").arg(line(&[word]).unwrap()).output().unwrap();
            let expected = if word == "exit" { Some(0) } else { Some(127) };
            assert_eq!(output.status.code(), expected, "{word}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_real_shell_gives_the_arguments_back(arguments in prop::collection::vec("[^\0]{0,12}|['\"$`\\\\\n;&|*?~!# -]{0,8}", 0..5)) {
            // Each argument comes back followed by a NUL, which no argument can hold.
            let mut command = vec!["printf".to_owned(), r"%s\000".to_owned()];
            command.extend(arguments.iter().cloned());
            let output = Command::new("sh").arg("-c").arg(command_line(&command).unwrap()).output().unwrap();
            prop_assert!(output.status.success());
            let expected = if arguments.is_empty() { "\0".to_owned() } else { arguments.iter().map(|a| format!("{a}\0")).collect() };
            prop_assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
        }
    }
}
