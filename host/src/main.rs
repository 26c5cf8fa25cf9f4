//! Arguments to a command; or the Lambda function, when AWS_LAMBDA_RUNTIME_API is set.

use std::process::ExitCode;

fn main() -> ExitCode {
    #[cfg(feature = "live")]
    if std::env::var_os("AWS_LAMBDA_RUNTIME_API").is_some() {
        return hostler::commands::lambda::run();
    }
    hostler::commands::run_from_arguments()
}
