//! What stands between the component model and a handler. Not for authors: the macro and the bindings use it.

use std::alloc::{self, Layout};
use std::fmt::Display;
use std::ptr::NonNull;

pub use crate::bindings::hostler::handler::types::{Event as HostEvent, Outcome as HostOutcome};
use crate::{Event, Outcome};

/// Refuses at compile time what is not a handler.
pub const fn accepts<E: Display>(_handle: fn(&Event) -> Result<Outcome, E>) {}

/// Runs the handler for one attempt.
pub fn run<E: Display>(handle: fn(&Event) -> Result<Outcome, E>, event: HostEvent) -> Result<HostOutcome, String> {
    // The trap that follows a panic carries neither its text nor its place. Natively, the hook is the test's own affair.
    #[cfg(target_arch = "wasm32")]
    std::panic::set_hook(Box::new(|panic| report(panic.payload_as_str(), panic.location())));
    // With `#`, an error that has a chain prints all of it.
    handle(&Event::from(event)).map(HostOutcome::from).map_err(|error| format!("{error:#}"))
}

/// Sends the text and the place of a panic to the log.
#[cfg(any(target_arch = "wasm32", test))]
fn report(text: Option<&str>, place: Option<&std::panic::Location<'_>>) {
    let place = place.map_or_else(|| "unknown".to_owned(), ToString::to_string);
    crate::log::error!("the plugin panicked: {}", text.unwrap_or("(no text)"); at = place);
}

/// The bindings call it, so that this module, and with it `cabi_realloc`, is part of every plugin.
pub fn maybe_link_cabi_realloc() {}

/// Allocates, or grows, what the host writes its arguments and results into: `realloc` of the canonical ABI.
///
/// # Safety
///
/// `old_pointer` was returned by this function for `old_size` and `align`, unless `old_size` is zero.
#[cfg(target_arch = "wasm32")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cabi_realloc(old_pointer: *mut u8, old_size: usize, align: usize, new_size: usize) -> *mut u8 {
    let layout = |size| Layout::from_size_align(size, align).expect("the host asks for what fits in memory");
    if new_size == 0 {
        return std::ptr::without_provenance_mut(align);
    }
    // SAFETY: neither size is zero where it is used, and the caller vouches for the old allocation.
    let pointer = unsafe {
        if old_size == 0 {
            alloc::alloc(layout(new_size))
        } else {
            alloc::realloc(old_pointer, layout(old_size), new_size)
        }
    };
    if pointer.is_null() {
        alloc::handle_alloc_error(layout(new_size));
    }
    pointer
}

/// Memory the bindings lend to the host for one call, given back when dropped.
#[derive(Debug)]
pub struct Cleanup {
    pointer: NonNull<u8>,
    layout: Layout,
}

impl Cleanup {
    /// Memory of `layout`, and its owner; no owner for no memory.
    pub fn new(layout: Layout) -> (*mut u8, Option<Self>) {
        if layout.size() == 0 {
            return (std::ptr::null_mut(), None);
        }
        // SAFETY: the size is not zero.
        let Some(pointer) = NonNull::new(unsafe { alloc::alloc(layout) }) else { alloc::handle_alloc_error(layout) };
        (pointer.as_ptr(), Some(Self { pointer, layout }))
    }

    /// Leaves the memory to the other side.
    pub fn forget(self) {
        std::mem::forget(self);
    }
}

impl Drop for Cleanup {
    fn drop(&mut self) {
        // SAFETY: `new` allocated it with this layout, and nothing else gives it back.
        unsafe { alloc::dealloc(self.pointer.as_ptr(), self.layout) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, World};
    use crate::{Error, Kind};

    fn host_event() -> HostEvent {
        let event = testing::event(Kind::SpotInterruption);
        HostEvent {
            id: event.id,
            kind: event.kind.to_string(),
            source: event.source,
            detail_type: event.detail_type,
            account: event.account,
            region: event.region,
            time: event.time.unix_milliseconds(),
            instance: event.instance,
            group: event.group,
            deadline: Some(7),
            attempt: 3,
            state: Some("kept".to_owned()),
            detail: event.detail,
        }
    }

    #[test]
    fn a_handler_sees_the_event_as_the_host_sent_it() {
        fn handle(event: &Event) -> crate::Result<Outcome> {
            let expected = Event {
                deadline: Some(crate::Time::from_unix_milliseconds(7)),
                attempt: 3,
                state: Some("kept".to_owned()),
                ..testing::event(Kind::SpotInterruption)
            };
            if *event == expected { Ok(Outcome::Done) } else { Err(Error::new(format!("{event:?}"))) }
        }
        assert_eq!(World::new().run(|| run(handle, host_event())), Ok(HostOutcome::Done));
    }

    #[test]
    fn any_error_that_can_be_printed_fails_the_attempt() {
        fn handle(_: &Event) -> Result<Outcome, std::num::ParseIntError> {
            "x".parse::<u8>().map(|_| Outcome::Done)
        }
        assert_eq!(run(handle, host_event()), Err("invalid digit found in string".to_owned()));
    }

    #[test]
    fn a_panic_tells_the_log_its_text_and_place() {
        let mut world = World::new();
        let place = std::panic::Location::caller();
        world.run(|| report(Some("no such thing"), Some(place)));
        world.run(|| report(None, None));
        assert_eq!(
            world.log,
            [
                format!("error: the plugin panicked: no such thing at={place}"),
                "error: the plugin panicked: (no text) at=unknown".to_owned()
            ]
        );
    }
}
