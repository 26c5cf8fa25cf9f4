//! `[[instance]]`: the instance itself, and as a member of a group and of a cluster.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::{Builder, INSTANCE_TYPE, place_of};
use crate::ports::InstanceId;
use crate::reading::{At, Section};
use crate::sim::group::{follows, holding};
use crate::sim::keys::InstanceKeys;
use crate::sim::node::{Member, Node, Registration};

impl Builder<'_, '_> {
    pub(super) fn instance(&mut self, At { at, value }: Section<InstanceKeys>) {
        let mut keys = value.0;
        let example = "id = \"i-0123456789abcdef0\"";
        let Some(At { at, value: id }) = self.reading.required(at, "id", keys.id.take(), example) else { return };
        if let Some(known) = self.state.find(&id) {
            let first = self.state.nodes[known].registration.as_ref().map(|registration| registration.cluster.clone());
            let message = match (first, keys.cluster) {
                (Some(first), Some(second)) if first != second.value => {
                    format!(
                        "{id} is in two clusters, {first} and {}; an instance is a member of one at most",
                        second.value
                    )
                }
                _ => format!("{id} is there twice"),
            };
            self.mistake(at, message);
            return;
        }
        let address = match &keys.address {
            Some(address) => address.value.0,
            None => self.free_address(),
        };
        if let Some(other) = self.state.nodes.iter().find(|node| node.address == address) {
            let message = format!("{id} and {} have the same address, {address}", other.id);
            self.mistake(keys.address.as_ref().map_or(at, |address| address.at), message);
        }
        let lifecycle = keys.lifecycle.unwrap_or_default().as_str();
        let reclaimed_at = self.some_time("reclaimed-after", keys.reclaimed_after);
        if let Some(reclaimed) = keys.reclaimed_after
            && lifecycle != "spot"
        {
            let message = format!("{id} has reclaimed-after, and is {lifecycle}; write lifecycle = \"spot\"");
            self.mistake(reclaimed.at, message);
        }
        let state = keys.state.unwrap_or_default().as_str();
        let member = self.member(&id, &mut keys);
        let held_for = self.time("held-for", keys.held_for, Duration::ZERO);
        let held_by = member.as_ref().and_then(|member| holding(member.state));
        let registration = self.registration(&id, &mut keys);
        let zone = keys.availability_zone.unwrap_or_else(|| format!("{}a", self.state.place.region));
        let mut node = Node::new(id, address, zone);
        node.instance_type = keys.r#type.unwrap_or_else(|| INSTANCE_TYPE.to_owned());
        node.lifecycle = lifecycle;
        node.launched_at = keys.launched_at.map(|at| at.0);
        node.tags = keys.tags.unwrap_or_default().into_iter().collect();
        node.enter(state, Duration::ZERO);
        node.reclaimed_at = reclaimed_at;
        node.member = member;
        node.registration = registration;
        self.state.add(node);
        if let Some(transition) = held_by {
            self.state.begin_actions(self.state.nodes.len() - 1, transition, Duration::ZERO, held_for);
        }
    }

    /// The instance as a member of the group it names.
    fn member(&mut self, id: &InstanceId, keys: &mut InstanceKeys) -> Option<Member> {
        let Some(group) = keys.group.take() else {
            let without = [
                (place_of(keys.lifecycle_state.as_ref()), "lifecycle-state"),
                (place_of(keys.health_status.as_ref()), "health-status"),
                (place_of(keys.held_for.as_ref()), "held-for"),
                (place_of(keys.protected_from_scale_in.as_ref()), "protected-from-scale-in"),
            ];
            self.useless(&without, id, "group = \"…\"");
            return None;
        };
        if self.state.group(&group.value).is_none() {
            let known: Vec<_> = self.state.groups.iter().map(|group| group.name.to_string()).collect();
            self.missing(group.at, id, "group", group.value.as_str(), &known);
        }
        let state = keys.lifecycle_state.map(|state| state.value).unwrap_or_default().as_str();
        if let Some(held_for) = keys.held_for
            && holding(state).is_none()
        {
            let message = format!(
                "{id} has held-for, and no hook holds it while it is {state}; write lifecycle-state = \"Terminating:Wait\""
            );
            self.mistake(held_for.at, message);
        }
        Some(Member {
            group: group.value,
            state,
            becomes: follows(state, Duration::ZERO),
            protected: keys.protected_from_scale_in.is_some_and(|protected| protected.value),
            health: keys.health_status.map(|health| health.value).unwrap_or_default().as_str(),
        })
    }

    /// The instance as a member of the cluster it names.
    fn registration(&mut self, id: &InstanceId, keys: &mut InstanceKeys) -> Option<Registration> {
        let Some(cluster) = keys.cluster.take() else {
            let without = [
                (place_of(keys.registered_after.as_ref()), "registered-after"),
                (place_of(keys.container_instance_status.as_ref()), "container-instance-status"),
                (place_of(keys.agent_connected.as_ref()), "agent-connected"),
                (place_of(keys.agent_disconnects_after.as_ref()), "agent-disconnects-after"),
                (place_of(keys.agent_reconnects_after.as_ref()), "agent-reconnects-after"),
            ];
            self.useless(&without, id, "cluster = \"…\"");
            return None;
        };
        if !self.state.clusters.contains(&cluster.value) {
            let known: Vec<_> = self.state.clusters.iter().map(ToString::to_string).collect();
            self.missing(cluster.at, id, "cluster", cluster.value.as_str(), &known);
        }
        let mut registration = Registration::new(&self.state.place, cluster.value, id);
        registration.at = self.time("registered-after", keys.registered_after, Duration::ZERO);
        registration.registered = registration.at.is_zero();
        let alive = matches!(keys.state.unwrap_or_default().as_str(), "pending" | "running");
        registration.agent_connected = keys.agent_connected.map_or(alive, |connected| connected.value);
        let status = keys.container_instance_status.map(|status| status.value);
        registration.status = status.unwrap_or_default().as_str();
        self.agent(id, keys, &mut registration);
        Some(registration)
    }

    /// When the agent goes and comes back: each only from where it can.
    fn agent(&mut self, id: &InstanceId, keys: &InstanceKeys, registration: &mut Registration) {
        registration.disconnects_at = self.some_time("agent-disconnects-after", keys.agent_disconnects_after);
        registration.reconnects_at = self.some_time("agent-reconnects-after", keys.agent_reconnects_after);
        if let Some(disconnects) = keys.agent_disconnects_after {
            if !registration.agent_connected {
                let message = format!("the agent of {id} is not connected at the beginning: leave this out");
                self.mistake(disconnects.at, message);
            } else if registration.disconnects_at < Some(registration.at) {
                let message = format!("the agent of {id} disconnects before it registers the instance: write more");
                self.mistake(disconnects.at, message);
            }
        }
        if let Some(reconnects) = keys.agent_reconnects_after {
            if registration.agent_connected && registration.disconnects_at.is_none() {
                self.useless(&[(Some(reconnects.at), "agent-reconnects-after")], id, "agent-disconnects-after = \"…\"");
            } else if registration.reconnects_at <= registration.disconnects_at {
                self.mistake(reconnects.at, format!("the agent of {id} reconnects before it disconnects: write more"));
            }
        }
    }

    /// An address for an instance that was given none: 10.0.0.10 and so on.
    fn free_address(&self) -> IpAddr {
        let taken = |address: &IpAddr| self.state.nodes.iter().any(|node| node.address == *address);
        let first = u32::from(Ipv4Addr::new(10, 0, 0, 10));
        let mut addresses = (first..).map(|bits| IpAddr::V4(Ipv4Addr::from(bits)));
        addresses.find(|address| !taken(address)).unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
    }
}
