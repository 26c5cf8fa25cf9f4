//! The one HTTP client of all AWS clients.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_smithy_http_client::Connector;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::{SharedHttpClient, SharedHttpConnector, http_client_fn};

/// What tells connectors apart: their timeouts for connecting and for reading. The services here have one set, and IMDS, for credentials, another.
type Timeouts = (Option<Duration>, Option<Duration>);

/// One connection pool and one set of trusted certificates for all services, where the SDK's default makes one for each. Like that
/// default, and unlike the HTTP client that `aws-smithy-http-client` offers ready-made, it goes through the proxies that HTTPS_PROXY,
/// HTTP_PROXY and NO_PROXY name.
pub(super) fn client() -> SharedHttpClient {
    let connectors: Mutex<Vec<(Timeouts, SharedHttpConnector)>> = Mutex::default();
    http_client_fn(move |settings, components| {
        let timeouts = (settings.connect_timeout(), settings.read_timeout());
        let mut connectors = connectors.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, connector)) = connectors.iter().find(|(known, _)| *known == timeouts) {
            return connector.clone();
        }
        let mut builder = Connector::builder().tls_provider(Provider::Rustls(CryptoMode::AwsLc));
        builder.set_connector_settings(Some(settings.clone()));
        builder.set_sleep_impl(components.sleep_impl());
        builder.set_proxy_config(Some(ProxyConfig::from_env()));
        let connector = SharedHttpConnector::new(builder.build());
        connectors.push((timeouts, connector.clone()));
        connector
    })
}
