//! What a pipeline complains of.

use gstreamer as gst;

/// The first error that nobody has asked for yet, if there is one.
pub(super) fn failure(bus: &gst::Bus) -> Option<String> {
    let message = bus.pop_filtered(&[gst::MessageType::Error])?;
    match message.view() {
        gst::MessageView::Error(error) => {
            let detail = error.debug().map(|d| format!(" ({d})")).unwrap_or_default();
            Some(format!("{}{detail}", error.error()))
        }
        _ => None,
    }
}
