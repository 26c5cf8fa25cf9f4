//! The event source mappings of the function: AWS Lambda.

use async_trait::async_trait;
use aws_sdk_lambda::Client;
use aws_sdk_lambda::types::{EventSourceMappingConfiguration, FunctionResponseType};

use super::error::Call;
use crate::doors::lambda::mappings::{Mapping, Mappings};
use crate::ports::PortError;

/// AWS Lambda, as far as it tells of event source mappings.
#[derive(Debug)]
pub(super) struct EventSourceMappings(pub(super) Client);

#[async_trait]
impl Mappings for EventSourceMappings {
    /// A function and a queue have one mapping between them at most ("CreateEventSourceMapping").
    async fn between(&self, function: &str, queue: &str) -> Result<Option<Mapping>, PortError> {
        let call = Call::new("lambda:ListEventSourceMappings", queue);
        let answer = self.0.list_event_source_mappings().function_name(function).event_source_arn(queue).send().await;
        let answer = answer.map_err(|error| call.failed(&error))?;
        Ok(answer.event_source_mappings().first().map(mapping))
    }
}

fn mapping(from: &EventSourceMappingConfiguration) -> Mapping {
    Mapping {
        reports_item_failures: from.function_response_types().contains(&FunctionResponseType::ReportBatchItemFailures),
        filters: from.filter_criteria().is_some_and(|criteria| !criteria.filters().is_empty()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::aws::fake::{Fake, Reply};

    const FUNCTION: &str = "arn:aws:lambda:eu-central-1:123456789012:function:hostler:live";
    const QUEUE: &str = "arn:aws:sqs:eu-central-1:123456789012:events";

    async fn between(reply: Reply) -> (Result<Option<Mapping>, PortError>, Fake) {
        let fake = Fake::always(reply);
        let found = EventSourceMappings(Client::new(&fake.config())).between(FUNCTION, QUEUE).await;
        (found, fake)
    }

    fn told(mapping: Value) -> Reply {
        Reply::json(&json!({ "EventSourceMappings": [mapping] }))
    }

    #[tokio::test(start_paused = true)]
    async fn a_mapping_tells_how_it_takes_answers_and_whether_it_filters() {
        let reports = ["ReportBatchItemFailures"];
        let (good, fake) = between(told(json!({ "UUID": "1", "FunctionResponseTypes": reports }))).await;
        assert_eq!(good.unwrap(), Some(Mapping { reports_item_failures: true, filters: false }));
        insta::assert_snapshot!(fake.calls()[0].uri, @"https://lambda.eu-central-1.amazonaws.com/2015-03-31/event-source-mappings?EventSourceArn=arn%3Aaws%3Asqs%3Aeu-central-1%3A123456789012%3Aevents&FunctionName=arn%3Aaws%3Alambda%3Aeu-central-1%3A123456789012%3Afunction%3Ahostler%3Alive");

        let filtered = json!({ "UUID": "1", "FilterCriteria": { "Filters": [{ "Pattern": "{}" }] } });
        let (bad, _) = between(told(filtered)).await;
        assert_eq!(bad.unwrap(), Some(Mapping { reports_item_failures: false, filters: true }));
        let (empty, _) =
            between(told(json!({ "FunctionResponseTypes": [], "FilterCriteria": { "Filters": [] } }))).await;
        assert_eq!(empty.unwrap(), Some(Mapping { reports_item_failures: false, filters: false }));
        let (none, _) = between(Reply::json(&json!({ "EventSourceMappings": [] }))).await;
        assert_eq!(none.unwrap(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_role_that_may_not_ask_is_told_what_to_allow() {
        let refusal = Reply::json_error(403, "AccessDeniedException", "User is not authorized");
        let (refused, _) = between(refusal.header("x-amzn-errortype", "AccessDeniedException")).await;
        insta::assert_snapshot!(refused.unwrap_err(), @"lambda:ListEventSourceMappings for arn:aws:sqs:eu-central-1:123456789012:events: not allowed by IAM (AccessDeniedException: User is not authorized, HTTP 403, request req-1); allow lambda:ListEventSourceMappings for the role Hostler runs as");
    }
}
