//! The hashed content of frames and fences. The bytes are hashed as they are stored: never decoded to be encoded again.
use crate::envelope::Undecodable;
use crate::v1::{FenceContent, FrameContent};
use bytes::Bytes;
use domain::ids::Hash;
use prost::Message;

/// The content's bytes and the head that they give the chain.
#[must_use]
pub fn encode(content: &FrameContent) -> (Bytes, Hash) {
    let bytes = Bytes::from(content.encode_to_vec());
    let head = head(&bytes);
    (bytes, head)
}

/// The fence's bytes.
#[must_use]
pub fn encode_fence(content: &FenceContent) -> Bytes {
    Bytes::from(content.encode_to_vec())
}

/// The head that content of these bytes gives the chain.
#[must_use]
pub fn head(content: &[u8]) -> Hash {
    Hash::of(content)
}

/// The content of a frame; its events share the record's memory.
///
/// # Errors
/// [`Undecodable`]: the record is void (rule 2).
pub fn decode(content: &Bytes) -> Result<FrameContent, Undecodable> {
    FrameContent::decode(content.clone()).map_err(|_| Undecodable("malformed frame content"))
}

/// The content of a fence.
///
/// # Errors
/// [`Undecodable`]: the record is void (rule 2).
pub fn decode_fence(content: &Bytes) -> Result<FenceContent, Undecodable> {
    FenceContent::decode(content.clone()).map_err(|_| Undecodable("malformed fence content"))
}
