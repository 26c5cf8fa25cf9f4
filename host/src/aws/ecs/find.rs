//! The search for the container instance of an EC2 instance.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_sdk_ecs::operation::list_clusters::ListClustersOutput;

use super::{AmazonEcs, PAGE, arns, id_of};
use crate::aws::error::Call;
use crate::policy::{FindContainerInstance, NamePatterns};
use crate::ports::{ClusterName, ContainerInstance, InstanceId, PortError, PortErrorKind};

/// Of how many instances we remember where they were: more than any event source has on their way out at once, in about 1 MB.
pub(super) const REMEMBERED: usize = 4096;

/// The cluster in which each instance was last found live. A hint of where to look first, never an answer.
#[derive(Debug, Default)]
pub(super) struct FoundLast(Mutex<HashMap<InstanceId, ClusterName>>);

impl FoundLast {
    pub(super) fn of(&self, instance: &InstanceId) -> Option<ClusterName> {
        self.lock().get(instance).cloned()
    }

    pub(super) fn remember(&self, found: &ContainerInstance) {
        let mut clusters = self.lock();
        // All go at once: most instances in a full map are gone for good, and forgetting one that is not costs a single search,
        // which is not worth keeping track of which was used when.
        if clusters.len() >= REMEMBERED && !clusters.contains_key(&found.instance) {
            clusters.clear();
        }
        clusters.insert(found.instance.clone(), found.cluster.clone());
    }

    fn forget(&self, instance: &InstanceId) {
        self.lock().remove(instance);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<InstanceId, ClusterName>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AmazonEcs {
    /// The container instance of an EC2 instance, in the clusters of the request.
    ///
    /// The cluster in which it was found last is asked first, if the request still allows that one; when it is live there, no other is
    /// asked. So a second live registration, in another cluster, is only noticed by the full search.
    pub(super) async fn find(&self, request: FindContainerInstance) -> Result<Option<ContainerInstance>, PortError> {
        let FindContainerInstance { instance, clusters } = request;
        let hint = self.found_last.of(&instance).filter(|cluster| clusters.matches(cluster.as_str()));
        if let Some(cluster) = hint {
            if let Some(found) = self.still_in(&cluster, &instance).await? {
                return Ok(Some(found));
            }
            self.found_last.forget(&instance);
        }
        let found = self.search(&instance, &clusters).await?;
        if let Some(live) = found.as_ref().filter(|found| is_live(found)) {
            self.found_last.remember(live);
        }
        Ok(found)
    }

    /// The instance in the cluster it was found in last, if it is live there. That the cluster is gone is for the search to judge.
    async fn still_in(
        &self,
        cluster: &ClusterName,
        instance: &InstanceId,
    ) -> Result<Option<ContainerInstance>, PortError> {
        match self.in_cluster(cluster, instance).await {
            Ok(found) => Ok(choose(found)?.filter(is_live)),
            Err(error) if error.kind == PortErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Asks every cluster there is. One that the policy names and ECS does not have is an error, but only once the instance is live in
    /// none of the others: a typo in one name must neither read as "not a member" nor stop the work on those that are members.
    async fn search(
        &self,
        instance: &InstanceId,
        clusters: &NamePatterns,
    ) -> Result<Option<ContainerInstance>, PortError> {
        let mut found = Vec::new();
        let mut missing = Vec::new();
        for cluster in self.clusters_to_search(clusters).await? {
            let named = clusters.literals().any(|name| name == cluster.as_str());
            match self.in_cluster(&cluster, instance).await {
                Ok(more) => found.extend(more),
                Err(error) if error.kind == PortErrorKind::NotFound && named => missing.push((cluster, error)),
                // It was listed a moment ago, so it has just been deleted.
                Err(error) if error.kind == PortErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        if !found.iter().any(is_live) && !missing.is_empty() {
            return Err(missing.swap_remove(0).1);
        }
        for (cluster, error) in &missing {
            let (instance, cluster) = (instance.as_str(), cluster.as_str());
            tracing::warn!(instance, cluster, %error, "a cluster that grants.ecs.clusters names does not exist; the instance is in another");
        }
        choose(found)
    }

    /// The clusters the policy names, then those its patterns match.
    async fn clusters_to_search(&self, patterns: &NamePatterns) -> Result<Vec<ClusterName>, PortError> {
        let mut clusters = Vec::new();
        for name in patterns.literals() {
            let cluster = ClusterName::parse(name).map_err(|error| {
                PortError::new(PortErrorKind::Invalid, format!("{error}; correct grants.ecs.clusters of the handler"))
            })?;
            if !clusters.contains(&cluster) {
                clusters.push(cluster);
            }
        }
        if patterns.all_literal() {
            return Ok(clusters);
        }
        let call = Call::new("ecs:ListClusters", "the patterns of clusters in grants.ecs");
        self.budget.turn(call.operation()).await;
        let pages = self.client.list_clusters().into_paginator().page_size(PAGE).send();
        let take = |page: ListClustersOutput| (page.cluster_arns, page.next_token);
        for arn in arns(&self.budget, &call, pages, take).await? {
            let matching = ClusterName::parse(id_of(&arn)).ok().filter(|name| patterns.matches(name.as_str()));
            if let Some(cluster) = matching.filter(|cluster| !clusters.contains(cluster)) {
                clusters.push(cluster);
            }
        }
        Ok(clusters)
    }

    /// The container instances of `instance` in one cluster, in any state but INACTIVE.
    async fn in_cluster(
        &self,
        cluster: &ClusterName,
        instance: &InstanceId,
    ) -> Result<Vec<ContainerInstance>, PortError> {
        Ok(self.members.ask(cluster, instance.clone()).await?.unwrap_or_default())
    }
}

/// The one to act on. An instance that changed clusters may have left a registration behind that is no longer in use; two in use mean that we do not know.
fn choose(found: Vec<ContainerInstance>) -> Result<Option<ContainerInstance>, PortError> {
    let mut candidates = found.iter().filter(|found| is_live(found));
    match (candidates.next(), candidates.next()) {
        (Some(one), Some(other)) => Err(PortError::new(
            PortErrorKind::Conflict,
            format!(
                "{} is registered twice: {} in cluster {} ({}) and {} in cluster {} ({}); deregister the one that is not in use",
                one.instance, one.arn, one.cluster, one.status, other.arn, other.cluster, other.status
            ),
        )),
        (Some(one), None) => Ok(Some(one.clone())),
        (None, _) => Ok(found.into_iter().next()),
    }
}

/// Whether the registration is in use, and not one that an instance has left behind.
fn is_live(found: &ContainerInstance) -> bool {
    matches!(found.status.as_str(), "ACTIVE" | "DRAINING")
}
